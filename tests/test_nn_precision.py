"""The network in mixed precision: half precision where it will do, and only there."""

import pytest
import torch

from sklearn_mdjpt.nn import (
    HybridEncoder,
    cda_loss,
    centroid_dispersion,
    covariance_centroids,
    isa_loss,
    label_isa_loss,
)
from sklearn_mdjpt.nn.attention import LinearAttention
from sklearn_mdjpt.nn.chunks import map_rows
from sklearn_mdjpt.nn.norm import SubjectNorm, group_rows
from sklearn_mdjpt.nn.precision import as_single

HALVES = [torch.bfloat16, torch.float16]
SUBJECTS = torch.arange(2).repeat_interleave(4)


@pytest.fixture(params=[1, 2])
def n_threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def make_encoder(**kwargs):
    torch.manual_seed(0)
    sizes = {"n_chans": 6, "hidden_dim": 16, "latent_dim": 4, "depth": 1, "n_heads": 2}
    return HybridEncoder(**sizes | kwargs)


def make_windows(n_windows=8, n_times=200):
    x = torch.randn(
        n_windows, 6, n_times, generator=torch.Generator().manual_seed(0)
    ).cumsum(-1)
    return (x - x.mean(-1, keepdim=True)) / x.std()


def total_loss(output):
    za, zb = output.projection.chunk(2)
    return isa_loss(za, zb) + cda_loss(output.spatial, SUBJECTS)


def gradients(encoder, dtype, backward_inside=False):
    """Loss and gradients, all of a training step in the given precision."""
    encoder.zero_grad()
    with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
        loss = total_loss(encoder(make_windows(), SUBJECTS))
        if backward_inside:
            loss.backward()
    if not backward_inside:
        loss.backward()
    return loss, {n: p.grad.clone() for n, p in encoder.named_parameters()}


def cosine(a, b):
    a, b = (torch.cat([grad.flatten() for grad in x.values()]) for x in (a, b))
    return torch.cosine_similarity(a, b, dim=0)


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize(
    ("variant", "chunk_size"), [("paper", None), ("paper", 2), ("transformer", 2)]
)
@pytest.mark.parametrize("backward_inside", [False, True])
def test_gradients_under_autocast(
    variant, dtype, chunk_size, backward_inside, n_threads
):
    encoder = make_encoder(variant=variant, chunk_size=chunk_size)
    loss, single = gradients(encoder, None)
    half_loss, half = gradients(encoder, dtype, backward_inside)
    assert half_loss.dtype == torch.float32
    torch.testing.assert_close(half_loss, loss, rtol=0.02, atol=0)
    for name, grad in half.items():
        assert grad.isfinite().all(), name
        assert grad.any(), name
    assert cosine(half, single) > 0.98


def _autocast_forgets_parameters():
    """Whether torch cuts off any layer, as 2.9 and 2.10 do."""
    layer, x = torch.nn.Linear(2, 2), torch.ones(1, 2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        with torch.no_grad():
            layer(x)
        return not layer(x).requires_grad


@pytest.mark.skipif(
    _autocast_forgets_parameters(),
    reason="this torch keeps cast weights that know no gradient for what follows",
)
@pytest.mark.parametrize("dtype", HALVES)
def test_a_look_without_gradient_leaves_the_next_gradient_whole(dtype, n_threads):
    """What autocast keeps of a pass without gradient knows nothing of parameters."""
    encoder = make_encoder(chunk_size=2)
    _, expected = gradients(encoder, dtype)
    encoder.zero_grad()
    with torch.autocast("cpu", dtype=dtype):
        with torch.no_grad():
            encoder(make_windows(), SUBJECTS)
        total_loss(encoder(make_windows(), SUBJECTS)).backward()
    found = {n: p.grad for n, p in encoder.named_parameters()}
    assert all(grad is not None for grad in found.values())
    assert cosine(found, expected) > 0.999


@pytest.mark.parametrize("dtype", [None, *HALVES])
def test_chunks_are_computed_again_in_the_precision_of_the_forward_pass(
    dtype, n_threads
):
    """Also in other threads, and wherever backward is called."""
    weight = torch.randn(5, 4, requires_grad=True)
    dtypes, cached = [], []

    def function(x):
        y = x @ weight
        dtypes.append(y.dtype)
        cached.append(
            torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled()
        )
        return y

    forward = torch.autocast("cpu", dtype=dtype, enabled=dtype is not None)
    options = {"row_size": 1, "max_rows": 3}
    x = torch.randn(11, 5)
    with forward:
        y = map_rows(function, x, [weight], **options)
    grads = []
    for backward_dtype in (None, *HALVES):
        backward = torch.autocast(
            "cpu", dtype=backward_dtype, enabled=backward_dtype is not None
        )
        with backward:
            grads += torch.autograd.grad(
                y, [weight], torch.ones_like(y), retain_graph=True
            )
    assert set(dtypes) == {dtype or torch.float32} and len(dtypes) == 16
    assert not any(cached)
    assert torch.equal(grads[0], grads[1]) and torch.equal(grads[0], grads[2])


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("subject_norm", ["subject", "train", None])
@pytest.mark.parametrize("feature", ["mean", "de"])
def test_features_under_autocast(dtype, subject_norm, feature, n_threads):
    encoder = make_encoder(subject_norm=subject_norm, feature=feature).eval()

    def features():
        z = encoder.encode_channels(make_windows())
        statistics = None if subject_norm is None else encoder.norm_statistics([z])
        if statistics is not None:
            assert {s.dtype for s in statistics} == {torch.float32}
        return encoder.features_from(z, statistics)

    with torch.inference_mode():
        expected = features()
        with torch.autocast("cpu", dtype=dtype):
            found = features()
    assert found.dtype == torch.float32
    error = (found - expected).norm() / (expected - expected.mean(0)).norm()
    assert error < (0.1 if dtype == torch.bfloat16 else 0.02)


# Where half precision will not do ---------------------------------------------------


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("autocast", [False, True])
def test_losses_of_half_precision_are_those_of_float32(dtype, autocast):
    generator = torch.Generator().manual_seed(0)
    spatial = (3 + torch.randn(8, 2, 5, 300, generator=generator)).to(dtype)
    z = torch.randn(8, 30, generator=generator).to(dtype)
    labels = torch.arange(4).repeat(2)
    centroids = covariance_centroids(spatial.float(), SUBJECTS)

    def losses(convert):
        za, zb = convert(z).chunk(2)
        return {
            "isa": isa_loss(za, zb),
            "label": label_isa_loss(convert(z), SUBJECTS, labels),
            "centroids": covariance_centroids(convert(spatial), SUBJECTS),
            "cda": cda_loss(convert(spatial), SUBJECTS),
            "dispersion": centroid_dispersion(convert(centroids.to(dtype))),
        }

    expected = losses(torch.Tensor.float)
    with torch.autocast("cpu", dtype=dtype, enabled=autocast):
        of_half, of_single = losses(lambda x: x), losses(torch.Tensor.float)
    for name, value in expected.items():
        assert torch.equal(of_half[name], value), name
        assert torch.equal(of_single[name], value), name


def test_losses_of_large_numbers_do_not_overflow():
    """Sums of squares of a few hundreds are beyond what float16 holds."""
    spatial = (300 * torch.randn(4, 2, 5, 300)).half()
    assert cda_loss(spatial, [0, 0, 1, 1]).isfinite()
    assert isa_loss(spatial[:2, 0, 0], spatial[2:, 0, 0]).isfinite()


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("released", [False, True])
def test_z_scores_of_half_precision_are_those_of_float32(dtype, released):
    generator = torch.Generator().manual_seed(0)
    # A spread that is small beside the mean, and squares that overflow float16.
    x = (400 + 20 * torch.randn(8, 3, 100, generator=generator)).to(dtype)
    groups = group_rows(SUBJECTS, 8)
    norm = SubjectNorm((3,), released=released)
    expected = norm(x.float(), *groups)
    with torch.autocast("cpu", dtype=dtype):
        assert torch.equal(norm(x, *groups), expected)
    statistics = norm.window_statistics(x)
    assert torch.equal(statistics, norm.window_statistics(x.float()))
    mean, std = norm.merge(statistics, torch.full((8,), 100))
    assert mean.dtype == std.dtype == torch.float32
    assert torch.equal(
        norm.normalize(x, mean, std), norm.normalize(x.float(), mean, std)
    )


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("feature", ["mean", "de"])
def test_sums_over_time_of_half_precision_are_those_of_float32(dtype, feature):
    # As small as the softmax over 512 features makes them.
    generator = torch.Generator().manual_seed(0)
    dynamics = (2e-4 * torch.rand(8, 64, 90, generator=generator)).to(dtype)
    encoder = make_encoder(feature=feature)
    expected = encoder._summarize(dynamics.float())
    assert torch.equal(encoder._summarize(dynamics), expected)
    projection = encoder.projector(dynamics, *group_rows(SUBJECTS, 8))
    expected = encoder.projector(dynamics.float(), *group_rows(SUBJECTS, 8))
    assert torch.equal(projection, expected)


@pytest.mark.parametrize("dtype", HALVES)
def test_features_that_are_nearly_left_out_keep_their_digits(dtype):
    dynamics = make_encoder().dynamics
    with torch.no_grad():
        dynamics.mixing.bias[0] = 12.0  # float16 would round the others off
        x = torch.randn(2, 4, 6, 20)
        expected = dynamics(x)
        with torch.autocast("cpu", dtype=dtype):
            found = dynamics(x)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, rtol=0.3, atol=1e-7)


@pytest.mark.parametrize("dtype", HALVES)
def test_linear_attention_of_large_keys(dtype):
    """The sums over patches that its denominator has overflow float16."""
    torch.manual_seed(0)
    attention = LinearAttention(8, n_heads=2)
    x = 60 * torch.randn(2, 400, 8)
    expected = attention(x)
    with torch.autocast("cpu", dtype=dtype):
        found = attention(x)
    found.float().square().mean().backward()
    for parameter in attention.parameters():
        assert parameter.grad.isfinite().all()
    assert (found - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize("dtype", HALVES)
def test_linear_attention_where_all_queries_vanish(dtype):
    """The guard of the denominator is not to weigh on what half precision holds."""
    attention = LinearAttention(4, n_heads=1)
    with torch.no_grad():
        attention.qkv.weight.zero_()
        attention.qkv.bias.zero_()
        attention.qkv.bias[:4] = -9.0  # queries: phi is exp(-9)
        attention.qkv.bias[8:] = 1.0  # values
        x = torch.zeros(1, 3, 4)
        expected = attention(x)
        with torch.autocast("cpu", dtype=dtype):
            found = attention(x)
    torch.testing.assert_close(found.float(), expected, rtol=0.03, atol=0.01)


def test_single_and_double_precision_are_left_alone():
    for dtype in (torch.float32, torch.float64):
        x = torch.zeros(2, dtype=dtype)
        assert as_single(x) is x
