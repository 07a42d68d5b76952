import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from sklearn_mdjpt.nn import HybridEncoder, encoder_cost

OTHER = {
    "n_chans": 7,
    "hidden_dim": 24,
    "n_heads": 3,
    "latent_dim": 5,
    "depth": 3,
    "n_filters": 2,
    "n_virtual_channels": 9,
}


@pytest.mark.parametrize("variant", ["paper", "released", "transformer"])
@pytest.mark.parametrize(("kwargs", "n_times"), [({}, 625), (OTHER, 800)])
def test_flops_are_those_that_torch_counts(variant, kwargs, n_times):
    encoder = HybridEncoder(variant=variant, **kwargs)
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # the counter sees one thread
    try:
        with (
            FlopCounterMode(display=False) as counter,
            sdpa_kernel(SDPBackend.MATH),
            torch.no_grad(),
        ):
            encoder(torch.randn(2, encoder.n_chans, n_times))
    finally:
        torch.set_num_threads(before)
    cost = encoder_cost(encoder, n_times)
    assert 2 * cost.flops.sum() == counter.get_total_flops()


def test_cost_is_linear_in_channels_and_time():
    def flops(n_times=625, **kwargs):
        return encoder_cost(HybridEncoder(**kwargs), n_times).flops.sum()

    # One patch more for every 6 samples.
    steps = [flops(625 + 90 * i) for i in range(4)]
    assert steps[1] - steps[0] == steps[2] - steps[1] == steps[3] - steps[2]
    channels = [flops(n_chans=n, n_virtual_channels=60) for n in (20, 40, 60)]
    assert channels[1] - channels[0] == channels[2] - channels[1]


def test_traffic():
    cost = encoder_cost(HybridEncoder())
    assert (cost.bytes <= cost.bytes_unfused).all()
    # Latent signals of 60 channels, 99 patches and 32 dimensions, beside the window.
    assert cost.bytes["read-out"] == 4 * (60 * 625 + 60 * 99 * 32)
