"""Streams of the Lab Streaming Layer, through mne-lsl."""

from __future__ import annotations

import time as clock
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from .._validation import check_installed, check_number, list_some

if TYPE_CHECKING:
    from ._decoder import StreamingDecoder

_POLL_SECONDS = 0.02


def decode_lsl(
    decoder: StreamingDecoder,
    *,
    name: str | None = None,
    source_id: str | None = None,
    duration: float | None = None,
    timeout: float = 10.0,
    scale: float = 1.0,
) -> Iterator[tuple[float, np.ndarray]]:
    """Decode a stream of the Lab Streaming Layer while it comes (extra ``stream``).

    Parameters
    ----------
    decoder : StreamingDecoder
        Its ``sfreq`` is that of the stream, and its channels are picked by name.
    name, source_id : str, default=None
        Of the stream; None takes any.
    duration : float, default=None
        Seconds after which it ends; None goes on for ever.
    timeout : float, default=10.0
        Seconds to wait for the stream, and without any sample of it.
    scale : float, default=1.0
        What samples are multiplied by: 1e-6 for a stream in microvolts.

    Yields
    ------
    time : float
        End of a window, in seconds by the clock of the stream.
    probabilities : ndarray of shape (n_classes,)
        As of `StreamingDecoder.push`.

    Raises
    ------
    ImportError
        Without mne-lsl.
    RuntimeError
        If there is no such stream, several, or no sample for ``timeout`` seconds.
    ValueError
        If the stream has another rate, or lacks channels of the decoder.

    Notes
    -----
    Gaps are found by the stamps of the samples, with their jitter taken out.

    Examples
    --------
    >>> from sklearn_mdjpt.streaming import decode_lsl
    >>> for time, probabilities in decode_lsl(decoder, name="EEG"):  # doctest: +SKIP
    ...     print(time, probabilities)
    """
    check_installed("mne_lsl", "Streams of LSL", 'pip install "sklearn_mdjpt[stream]"')
    check_number(timeout, "timeout", above=0)
    from mne_lsl.lsl import StreamInlet

    info = _find(name, source_id, timeout)
    inlet = StreamInlet(info, processing_flags=["clocksync", "dejitter"])
    inlet.open_stream(timeout=timeout)
    try:
        picks = _picks(inlet.get_sinfo(timeout=timeout), decoder)
        begin = last = clock.monotonic()
        while duration is None or clock.monotonic() - begin < duration:
            samples, stamps = inlet.pull_chunk(timeout=0.0)
            if not len(stamps):
                if clock.monotonic() - last > timeout:
                    raise RuntimeError(f"No sample came for {timeout:g} s.")
                clock.sleep(_POLL_SECONDS)
                continue
            last = clock.monotonic()
            chunk = scale * np.asarray(samples, dtype=float).T[picks]
            # Where samples were lost, the stamps jump within a chunk.
            jumps = np.flatnonzero(np.diff(stamps) > 2.5 / decoder.sfreq) + 1
            for part, of_part in zip(
                np.split(chunk, jumps, axis=1), np.split(stamps, jumps), strict=True
            ):
                yield from decoder.push(part, time=float(of_part[0]))
    finally:
        inlet.close_stream()


def _find(name, source_id, timeout):
    """Return the one stream of these names."""
    from mne_lsl.lsl import resolve_streams

    wanted = {k: v for k, v in (("name", name), ("source_id", source_id)) if v}
    found = resolve_streams(timeout=timeout, minimum=1, **wanted)
    if len(found) != 1:
        what = ", ".join(f"{k}={v!r}" for k, v in wanted.items()) or "any name"
        names = list_some(f"{one.name!r} ({one.source_id!r})" for one in found)
        raise RuntimeError(
            f"Expected one stream of {what}, found {len(found)}"
            f"{': ' + names if found else f' within {timeout:g} s'}."
        )
    return found[0]


def _picks(info: Any, decoder):
    """Return where the channels of the decoder are in a stream."""
    if info.sfreq != decoder.sfreq:
        raise ValueError(
            f"The stream has {info.sfreq:g} Hz, the decoder {decoder.sfreq:g} Hz."
        )
    names = info.get_channel_names() or []
    missing = [name for name in decoder.ch_names if name not in names]
    if missing:
        raise ValueError(
            f"The stream has no channels {list_some(missing)}; it has "
            f"{list_some(names) or 'none with names'}."
        )
    return [names.index(name) for name in decoder.ch_names]
