"""Decoding while EEG comes in: chunks of a stream, and the Lab Streaming Layer.

`StreamingDecoder` takes chunks of any length and gives the probabilities of each window
as soon as it is complete; `decode_lsl` takes the chunks from a stream of the Lab
Streaming Layer.
"""

from ._decoder import StreamingDecoder
from ._lsl import decode_lsl

__all__ = ["StreamingDecoder", "decode_lsl"]
