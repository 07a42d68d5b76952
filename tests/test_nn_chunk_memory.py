"""Chunks reuse the memory of the chunk before, instead of mapping pages anew."""

import platform
import subprocess
import sys

import pytest

_COUNT = """
import resource
import torch
from sklearn_mdjpt.nn import HybridEncoder

torch.set_num_threads(1)
encoder = HybridEncoder(n_chans=20)
x = torch.randn(2, 20, 625)

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

with torch.inference_mode():
    for _ in range(5):
        encoder.encode_channels(x)
    before = faults()
    for _ in range(10):
        encoder.encode_channels(x)
print((faults() - before) / 10)
"""


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_chunks_map_no_pages_anew():
    # A process of its own: in this one larger blocks have been freed before.
    done = subprocess.run(
        [sys.executable, "-c", _COUNT], check=True, capture_output=True, text=True
    )
    # A chunk's tensors have hundreds of pages each.
    assert float(done.stdout) < 500
