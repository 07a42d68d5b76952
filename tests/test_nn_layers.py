"""Layers and the encoder: oracles, gradients, norms, costs, shapes, messages."""

import numpy as np
import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from sklearn_mdjpt.nn import HybridEncoder, NormStatistics, cda_loss, isa_loss
from sklearn_mdjpt.nn.attention import LinearAttention, SoftmaxAttention
from sklearn_mdjpt.nn.blocks import DepthwiseConv, MLLABlock, TransformerBlock
from sklearn_mdjpt.nn.channel_encoder import sinusoidal_positions
from sklearn_mdjpt.nn.dynamics import DILATIONS, SpatiotemporalDynamics

VARIANTS = ("paper", "transformer", "released")
SUBJECTS = torch.tensor([4, 4, 4, 7, 7, 7])
SMALL = {"n_chans": 5, "hidden_dim": 16, "latent_dim": 3, "n_heads": 4, "n_filters": 2}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def make(**kwargs):
    kwargs = SMALL | {"n_virtual_channels": 5} | kwargs
    return HybridEncoder(**kwargs)


def windows(n=6, n_times=500, dtype=torch.float32):
    # Smooth signals with mixed channels: noise alone would have no covariances.
    x = torch.randn(n, 5, n_times, dtype=torch.float64).cumsum(-1) / 5
    return (x + x.roll(1, 1)).to(dtype)


# ---------------------------------------------------------------- attention and blocks


def numpy_linear(layer, x):
    return x @ layer.weight.detach().numpy().T + layer.bias.detach().numpy()


def test_linear_attention_oracle():
    layer = LinearAttention(6, n_heads=2).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    q, k, v = np.split(numpy_linear(layer.qkv, x.numpy()), 3, axis=-1)

    def phi(a):
        return np.where(a > 0, a + 1, np.exp(np.minimum(a, 0)))

    y = np.zeros((2, 7, 6))
    for m in range(2):
        for head in (slice(0, 3), slice(3, 6)):
            for t in range(7):
                weights = [phi(q[m, t, head]) @ phi(k[m, s, head]) for s in range(7)]
                for s in range(7):
                    y[m, t, head] += weights[s] / sum(weights) * v[m, s, head]
    expected = numpy_linear(layer.out, y)
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-10)


def test_linear_attention_survives_features_that_round_to_zero():
    layer = LinearAttention(4, n_heads=2)
    x = 1e3 * torch.randn(3, 5, 4)
    x.requires_grad_()
    y = layer(x)
    y.sum().backward()
    assert y.isfinite().all()
    assert x.grad.isfinite().all()


def test_softmax_attention_oracle():
    layer = SoftmaxAttention(6, n_heads=2).double()
    x = torch.randn(2, 7, 6, dtype=torch.float64)
    q, v = np.split(numpy_linear(layer.qv, x.numpy()), 2, axis=-1)
    k = x.numpy() @ layer.k.weight.detach().numpy().T
    y = np.zeros((2, 7, 6))
    for m in range(2):
        for head in (slice(0, 3), slice(3, 6)):
            for t in range(7):
                w = np.exp(k[m, :, head] @ q[m, t, head] / np.sqrt(3))
                y[m, t, head] = w / w.sum() @ v[m, :, head]
    expected = numpy_linear(layer.out, y)
    np.testing.assert_allclose(layer(x).detach(), expected, rtol=1e-10)


def flops(layer, n_patches):
    with FlopCounterMode(display=False) as counter:
        layer(torch.randn(1, n_patches, 8))
    return counter.get_total_flops()


def test_cost_of_linear_attention_is_linear():
    linear, softmax = LinearAttention(8, 2), SoftmaxAttention(8, 2)
    # Fused kernels of softmax attention are not counted on every device.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        assert flops(linear, 2048) == 2 * flops(linear, 1024)
        assert flops(softmax, 2048) / flops(softmax, 1024) > 3.9


class Shapes(TorchDispatchMode):
    """Record the shape of each tensor that an operation puts out."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, tuple | list) else (out,):
            if isinstance(tensor, torch.Tensor):
                self.seen.add(tuple(tensor.shape))
        return out


def has_square(layer, n_patches):
    x = torch.randn(2, n_patches, 8)
    with Shapes() as shapes:
        layer(x).sum().backward()
    assert shapes.seen
    return any(
        shape.count(n_patches) > 1 or np.prod(shape) >= 2 * n_patches**2
        for shape in shapes.seen
    )


def test_linear_attention_never_makes_a_patch_by_patch_matrix():
    assert not has_square(LinearAttention(8, 2), 211)
    assert not has_square(MLLABlock(8, 2), 211)

    def explicit(x):
        return (x @ x.mT).softmax(-1) @ x.requires_grad_()

    assert has_square(explicit, 211)  # the check can fail


@pytest.mark.parametrize("n_patches", [1, 2, 9])
def test_depthwise_conv_is_conv1d(n_patches):
    layer = DepthwiseConv(4)
    x = torch.randn(3, n_patches, 4)
    expected = torch.nn.Conv1d.forward(layer, x.transpose(1, 2)).transpose(1, 2)
    torch.testing.assert_close(layer(x), expected)


def test_mlla_block_step_by_step():
    block = MLLABlock(8, 2).double()
    x = torch.randn(2, 5, 8, dtype=torch.float64)
    silu, norm = torch.nn.functional.silu, torch.nn.functional.layer_norm

    def conv(layer, x):
        y = torch.zeros_like(x)
        for n in range(5):
            for tap in range(3):
                if 0 <= n + tap - 1 < 5:
                    y[:, n] += layer.weight[:, 0, tap] * x[:, n + tap - 1]
        return y + layer.bias

    h = x + conv(block.position1, x)
    residual = h
    h = norm(h, (8,), block.norm1.weight, block.norm1.bias)
    gate = silu(h @ block.gate.weight.T + block.gate.bias)
    h = silu(conv(block.conv, h @ block.in_proj.weight.T + block.in_proj.bias))
    h = block.attention(h) * gate
    h = residual + h @ block.out_proj.weight.T + block.out_proj.bias
    h = h + conv(block.position2, h)
    up, _, down = block.mlp
    m = norm(h, (8,), block.norm2.weight, block.norm2.bias) @ up.weight.T + up.bias
    m = 0.5 * m * (1 + torch.erf(m / 2**0.5))
    h = h + m @ down.weight.T + down.bias
    torch.testing.assert_close(block(x), h)


def test_transformer_needs_positions():
    block = TransformerBlock(8, 2)
    x = torch.randn(2, 6, 8)
    order = torch.tensor([3, 1, 5, 0, 2, 4])
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])
    positions = sinusoidal_positions(6, 7)
    assert positions.shape == (6, 7)
    assert torch.cdist(positions, positions).fill_diagonal_(1).min() > 0.1


# ------------------------------------------------------------------------- dynamics


@pytest.mark.parametrize("n_patches", [1, 4, 40])
def test_dynamics_oracle(n_patches):
    D, C, F, K = 2, 3, 2, 16
    layer = SpatiotemporalDynamics(D, C, F).double()
    x = torch.randn(2, D, C, n_patches, dtype=torch.float64)
    weight, bias = layer.weight.detach(), layer.bias.detach()
    features = torch.zeros(2, K, n_patches, dtype=torch.float64)
    k = 0
    for scale, dilation in enumerate(DILATIONS):
        for d in range(D):
            for f in range(F):
                features[:, k] = bias[k]
                for n in range(n_patches):
                    for tap, at in enumerate((n - dilation, n, n + dilation)):
                        if 0 <= at < n_patches:
                            w = weight[d, scale, tap, f]
                            features[:, k, n] += x[:, d, :, at] @ w
                k += 1
    past = torch.nn.functional.pad(features, (14, 0)).unfold(-1, 15, 1)
    conv = layer.attention_conv
    weights = (past * conv.weight).sum(-1) + conv.bias[:, None]
    weights = (
        torch.nn.functional.pad(weights.relu(), (14, 0)).unfold(-1, 15, 1).mean(-1)
    )
    weights = torch.einsum("kj,bjn->bkn", layer.mixing.weight[..., 0], weights)
    weights = (weights + layer.mixing.bias[:, None]).softmax(1)
    torch.testing.assert_close(layer(x), weights * features.relu())


# -------------------------------------------------------------------------- gradients


def loss_of(encoder, x, cda_weight=0.02):
    out = encoder(x, SUBJECTS)
    isa = isa_loss(out.projection[:3], out.projection[3:])
    return isa + cda_weight * cda_loss(out.spatial, SUBJECTS)


def gradients(encoder, x):
    encoder.zero_grad()
    loss_of(encoder, x).backward()
    return {
        name: p.grad.double()
        for name, p in encoder.named_parameters()
        if p.requires_grad
    }


@pytest.mark.parametrize(
    ("variant", "subject_norm"),
    [(v, norm) for v in VARIANTS for norm in ("subject", "train")]
    # Not "released": its features hardly differ without a norm.
    + [("paper", None), ("transformer", None)],
)
def test_every_parameter_learns(variant, subject_norm):
    encoder = make(variant=variant, subject_norm=subject_norm)
    x = windows(dtype=torch.float64)
    single = gradients(encoder, x.float())
    double = gradients(encoder.double(), x)
    typical = np.median([g.norm() / g.numel() ** 0.5 for g in double.values()])
    for name, gradient in double.items():
        assert gradient.norm() / gradient.numel() ** 0.5 > 1e-5 * typical, name
        # Rounding alone would agree with nothing.
        error = (single[name] - gradient).norm()
        assert error < 0.05 * gradient.norm(), name


@pytest.mark.parametrize("variant", VARIANTS)
def test_biases_that_a_norm_removes_do_not_train(variant):
    encoder = make(variant=variant)
    fixed = [n for n, p in encoder.named_parameters() if not p.requires_grad]
    assert fixed == (["channel_encoder.read_out.bias"] if variant == "released" else [])
    if variant != "released":
        biases = {name for name in encoder.state_dict() if name.endswith("bias")}
        assert not biases & {
            "channel_encoder.read_out.bias",
            "channel_encoder.blocks.1.mlp.2.bias",
            "spatial.bias",
            "projector.conv2.bias",
        }


def test_released_bias_without_activation_does_not_train():
    def trains(**kwargs):
        return make(variant="released", **kwargs).spatial.bias.requires_grad

    assert trains()
    assert not trains(spatial_activation=None)
    assert trains(spatial_activation=None, subject_norm=None)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_dead_unit_gives_no_nan(variant):
    encoder = make(variant=variant, spatial_activation="relu")
    with torch.no_grad():
        encoder.spatial.weight[2] = 0  # a virtual channel that is constant
    assert all(g.isfinite().all() for g in gradients(encoder, windows()).values())


def test_losses_fall_in_training():
    encoder, x = make(), windows()
    optimizer = torch.optim.Adam(encoder.parameters(), 3e-3)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = loss_of(encoder, x)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.6 * losses[0]


# ------------------------------------------------------------------ z-score by subject


@pytest.mark.parametrize("variant", VARIANTS)
def test_output_is_standardised_by_subject(variant):
    z = make(variant=variant)(windows(), SUBJECTS).channel_encoder.detach()
    for rows in (slice(0, 3), slice(3, 6)):
        mean, std = z[rows].mean((0, 2)), z[rows].std((0, 2))
        assert mean.abs().max() < 1e-4
        # "released" adds 1e-3 to standard deviations that are 0.02 here.
        assert (std - 1).abs().max() < 0.1
        assert z[rows][0].mean(1).abs().max() > 0.05  # not window by window


@pytest.mark.parametrize("variant", VARIANTS)
def test_order_of_rows_does_not_matter(variant):
    encoder, x = make(variant=variant), windows()
    order = torch.tensor([4, 0, 3, 2, 5, 1])
    with torch.no_grad():
        straight = encoder(x, SUBJECTS)
        shuffled = encoder(x[order], SUBJECTS[order])
    for a, b in zip(straight, shuffled, strict=True):
        torch.testing.assert_close(a[order], b, rtol=1e-4, atol=1e-5)


def test_names_of_subjects_do_not_matter():
    encoder, x = make(), windows()
    with torch.no_grad():
        numbered = encoder(x, SUBJECTS).projection
        renamed = encoder(x, [100, 100, 100, -3, -3, -3]).projection
    torch.testing.assert_close(numbered, renamed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("variant", VARIANTS)
def test_one_subject_does_not_see_the_other(variant):
    encoder, x = make(variant=variant), windows()
    other = x.clone()
    other[3:] = 50 * torch.randn_like(other[3:]) + 7
    with torch.no_grad():
        before, after = encoder(x, SUBJECTS), encoder(other, SUBJECTS)
        alone = encoder(x[:3])
    for a, b, c in zip(before, after, alone, strict=True):
        torch.testing.assert_close(a[:3], b[:3], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(a[:3], c, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(a[3:], b[3:], rtol=1e-2)


@pytest.mark.parametrize("feature", ["mean", "de"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_pieces_agree_with_forward(variant, feature):
    encoder, x = make(variant=variant, feature=feature).eval(), windows(7)
    with torch.no_grad():
        whole = encoder(x).features
        parts = [encoder.encode_channels(part) for part in x.split([1, 4, 2])]
        statistics = encoder.norm_statistics(parts)
        pieces = [encoder.features_from(z, statistics) for z in parts]
        single = encoder.features_from(parts[1][2:3], statistics)
    torch.testing.assert_close(torch.cat(pieces), whole, rtol=1e-4, atol=1e-9)
    torch.testing.assert_close(single, pieces[1][2:3], rtol=1e-5, atol=1e-9)


def test_statistics_pool_all_windows_and_times():
    encoder, x = make(), windows(5) + 100
    parts = [x[:2], x[2:4, :, :200], x[4:, :, :77]]
    with torch.no_grad():
        encoded = [encoder.encode_channels(part) for part in parts]
        statistics = encoder.norm_statistics(encoded)
    z = torch.cat([z.transpose(1, 2).flatten(0, 1) for z in encoded]).double()
    mean, std = z.mean(0), (z.var(0, correction=0) + 1e-5).sqrt()
    torch.testing.assert_close(statistics.channel_mean, mean.float())
    torch.testing.assert_close(statistics.channel_std, std.float())
    p = ((z - mean) / std).transpose(1, 2) @ encoder.spatial.weight.double().T
    torch.testing.assert_close(
        statistics.spatial_std, (p.var(0, correction=0) + 1e-5).sqrt().float()
    )
    assert statistics.spatial_mean.shape == (3, 5)


def test_subject_norm_none():
    encoder, x = make(subject_norm=None).eval(), windows()
    with torch.no_grad():
        features = encoder(x, SUBJECTS).features
        pieces = encoder.features_from(encoder.encode_channels(x[:2]))
    torch.testing.assert_close(pieces, features[:2], rtol=1e-4, atol=1e-9)
    with pytest.raises(ValueError, match="uses no statistics"):
        encoder.norm_statistics([encoder.encode_channels(x)])


def test_subject_norm_train():
    encoder, x = make(subject_norm="train"), windows()
    assert set(encoder.state_dict()) - set(make().state_dict()) == {
        "channel_norm.mean",
        "channel_norm.std",
        "spatial_norm.mean",
        "spatial_norm.std",
    }
    with torch.no_grad():
        pooled = encoder(x, SUBJECTS)
        reference = make()
        reference.load_state_dict(encoder.state_dict(), strict=False)
        torch.testing.assert_close(pooled.features, reference(x).features)

        encoder.eval()
        z = encoder.encode_channels(x)
        # The buffers start as mean 0 and standard deviation 1.
        torch.testing.assert_close(encoder(x).channel_encoder, z)
        statistics = encoder.norm_statistics([z])
        assert encoder.set_statistics(statistics) is encoder
        after = encoder(x, SUBJECTS)
        alone = encoder(x[:1]).features
        pieces = encoder.features_from(z[1:3])
        projected = encoder(x[:3]).projection
    torch.testing.assert_close(after.features, pooled.features, rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(alone, after.features[:1], rtol=1e-4, atol=1e-8)
    torch.testing.assert_close(pieces, after.features[1:3], rtol=1e-4, atol=1e-8)
    # The projector z-scores by subject of the batch in eval mode as well.
    torch.testing.assert_close(projected, after.projection[:3], rtol=1e-3, atol=1e-4)


def test_set_statistics_refuses():
    statistics = NormStatistics(*[torch.ones(3, 5)] * 4)
    with pytest.raises(ValueError, match="subject_norm='subject'"):
        make().set_statistics(statistics)
    encoder = make(subject_norm="train")
    with pytest.raises(ValueError, match=r"channel_mean .*\(5, 3\), got \(3, 5\)"):
        encoder.set_statistics(statistics)
    assert (encoder.channel_norm.mean == 0).all()


# ------------------------------------------------------------------ shapes and messages


@pytest.mark.parametrize("variant", ["paper", "transformer"])
@pytest.mark.parametrize("n_times", [32, 37, 38, 625, 3750])
def test_any_length_from_one_patch_to_thirty_seconds(variant, n_times):
    encoder, x = make(variant=variant), windows(3, n_times)
    n_patches = (n_times - 32) // 6 + 1
    for rows in (x, x[:1]):
        out = encoder(rows, [0, 0, 1][: len(rows)])
        assert out.channel_encoder.shape == (len(rows), 5, n_patches, 3)
        assert out.spatial.shape == (len(rows), 3, 5, n_patches)
        assert out.dynamics.shape == (len(rows), 24, n_patches)
        assert out.features.shape == (len(rows), 24)
        assert out.projection.shape == (len(rows), 24 * max(n_patches // 15, 1))
        assert all(part.isfinite().all() for part in out)
    sum(part.sum() for part in out).backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_projection_has_rows_of_unit_length():
    projection = make()(windows(), SUBJECTS).projection
    torch.testing.assert_close(projection.norm(dim=1), torch.ones(6))


def test_defaults_are_the_papers():
    encoder = HybridEncoder().eval()
    with torch.no_grad():
        out = encoder(torch.randn(1, 60, 625))
    assert out.channel_encoder.shape == (1, 60, 99, 32)
    assert out.spatial.shape == (1, 32, 60, 99)
    assert out.dynamics.shape == (1, 512, 99)
    assert encoder.n_features == 512
    with torch.no_grad():
        released = HybridEncoder(variant="released")(torch.randn(1, 60, 625))
    assert released.spatial.shape == (1, 32, 64, 99)
    assert released.projection.shape == (1, 1024)


def test_de_feature():
    encoder, x = make(feature="de"), windows()
    out = encoder(x)
    variance = out.dynamics.double().var(-1, correction=0)
    expected = 0.5 * torch.log(2 * np.pi * np.e * variance + 1)
    torch.testing.assert_close(out.features.double(), expected, rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
def test_state_dict_round_trip(variant, tmp_path):
    encoder, other = make(variant=variant), make(variant=variant)
    x = windows()
    torch.save(encoder.state_dict(), tmp_path / "weights.pt")
    other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
    with torch.no_grad():
        for a, b in zip(encoder(x, SUBJECTS), other(x, SUBJECTS), strict=True):
            assert torch.equal(a, b)


def test_parts_on_cpu_change_nothing(monkeypatch):
    encoder, x = make(), windows()
    whole = encoder.encode_channels(x)
    monkeypatch.setattr("sklearn_mdjpt.nn.chunks._CACHE_ACTIVATIONS", 1)
    torch.testing.assert_close(encoder.encode_channels(x), whole)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"variant": "mamba"}, "variant must be one of .* got 'mamba'"),
        ({"feature": "max"}, "feature must be one of .* got 'max'"),
        ({"subject_norm": "window"}, "subject_norm must be one of .* got 'window'"),
        ({"spatial_activation": "gelu"}, "spatial_activation .* got 'gelu'"),
        ({"n_heads": 3}, "hidden_dim=16 and n_heads=3"),
        ({"depth": 0}, "depth must be a positive integer, got 0"),
        ({"n_filters": 1.5}, "n_filters .* got 1.5"),
        ({"n_virtual_channels": -1}, "n_virtual_channels .* got -1"),
        ({"n_times": 20}, "at least patch_size=32, got 20"),
        ({"sfreq": 0}, "sfreq must be positive"),
    ],
)
def test_arguments_are_checked(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make(**kwargs)


@pytest.mark.parametrize(
    ("x", "subjects", "message"),
    [
        (torch.zeros(2, 6, 100), None, r"\(n_windows, 5, n_times\), got \(2, 6, 100\)"),
        (torch.zeros(6, 100), None, r"got \(6, 100\)"),
        (torch.zeros(0, 5, 100), None, "at least one window"),
        (torch.zeros(2, 5, 31), None, "got 31 time steps, expected at least 32"),
        (torch.zeros(2, 5, 100), [0], r"shape \(2,\).*got \(1,\)"),
        (torch.zeros(2, 5, 100), [0.0, 1.0], "integers, got dtype torch.float32"),
    ],
)
def test_windows_and_subjects_are_checked(x, subjects, message):
    with pytest.raises(ValueError, match=message):
        make()(x, subjects)


def test_statistics_are_asked_for():
    encoder = make()
    z = encoder.encode_channels(windows())
    with pytest.raises(ValueError, match="needs the subject's statistics"):
        encoder.features_from(z)
    with pytest.raises(ValueError, match="No windows"):
        encoder.norm_statistics([z[:0]])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("subject_norm", ["subject", "train", None])
def test_training_and_transform_compute_the_same_features(variant, subject_norm):
    encoder = make(variant=variant, subject_norm=subject_norm)
    x = windows()
    with torch.no_grad():
        trained = encoder.train().encode(x, SUBJECTS, project=False).features
        z = encoder.eval().encode_channels(x)
        expected = torch.empty_like(trained)
        groups = SUBJECTS.unique() if subject_norm == "subject" else [None]
        for subject in groups:
            rows = slice(None) if subject is None else SUBJECTS == subject
            statistics = None
            if subject_norm is not None:
                statistics = encoder.norm_statistics([z[rows]])
            expected[rows] = encoder.features_from(z[rows], statistics)
    torch.testing.assert_close(trained, expected, rtol=1e-4, atol=1e-6)
