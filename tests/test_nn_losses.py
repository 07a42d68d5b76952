"""Losses against oracles written with loops, and what defines them."""

import numpy as np
import pytest
import torch

from sklearn_mdjpt.nn import (
    cda_loss,
    centroid_dispersion,
    covariance_centroids,
    group_isa_loss,
    isa_loss,
    label_isa_loss,
)


def randn(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def isa_oracle(za, zb, temperature):
    """Loss of each window."""
    v, z = len(za), np.concatenate([za, zb])
    losses = []
    for i in range(2 * v):
        partner = i + v if i < v else i - v
        e = [np.exp(cosine(z[i], z[j]) / temperature) for j in range(2 * v)]
        losses.append(-np.log(e[partner] / (sum(e) - e[i])))
    return np.array(losses)


def label_isa_oracle(z, subjects, labels, temperature):
    losses = []
    for i in range(len(z)):
        rows = range(len(z))
        positives = [
            j for j in rows if labels[j] == labels[i] and subjects[j] != subjects[i]
        ]
        negatives = [j for j in rows if labels[j] != labels[i]]
        if not positives:
            continue
        e = {j: np.exp(cosine(z[i], z[j]) / temperature) for j in positives + negatives}
        total = sum(e.values())
        losses.append(-np.mean([np.log(e[j] / total) for j in positives]))
    return np.array(losses)


def cda_oracle(spatial, subjects, scale):
    names = sorted(set(subjects))
    n_windows, n_dims, n_channels, _ = spatial.shape
    centroids = {
        s: [
            np.mean(
                [np.cov(spatial[w, d]) for w in range(n_windows) if subjects[w] == s],
                axis=0,
            )
            for d in range(n_dims)
        ]
        for s in names
    }
    unit = 1.0
    if scale == "trace":
        traces = [np.trace(centroids[s][d]) for s in names for d in range(n_dims)]
        unit = np.mean(traces) / n_channels
    total = 0.0
    for d in range(n_dims):
        for m, a in enumerate(names):
            for b in names[m + 1 :]:
                gap = (centroids[a][d] - centroids[b][d]) / unit
                total += np.linalg.norm(gap, "fro") ** 2
    return np.log(1 + total)


@pytest.mark.parametrize("temperature", [0.07, 1.0])
def test_isa_loss_oracle(temperature):
    za, zb = randn(5, 4), randn(5, 4, seed=1)
    expected = isa_oracle(za.numpy(), zb.numpy(), temperature)
    mean = isa_loss(za, zb, temperature)
    total = isa_loss(za, zb, temperature, reduction="sum")
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-12)


def test_isa_loss_does_not_depend_on_length_or_on_who_is_first():
    za, zb = randn(5, 4), randn(5, 4, seed=1)
    loss = isa_loss(za, zb)
    torch.testing.assert_close(isa_loss(3 * za, zb * torch.arange(1, 6)[:, None]), loss)
    torch.testing.assert_close(isa_loss(zb, za), loss)


def test_isa_loss_of_one_pair_is_zero():
    za = randn(1, 4).requires_grad_()
    loss = isa_loss(za, randn(1, 4, seed=1))
    loss.backward()
    assert loss == 0
    assert (za.grad == 0).all()


def test_label_isa_loss_oracle():
    z = randn(9, 4)
    subjects = [3, 3, 3, 3, 8, 8, 8, 8, 8]
    labels = [0, 0, 1, 2, 0, 1, 1, 1, 4]  # 2 and 4 have no positive
    expected = label_isa_oracle(z.numpy(), subjects, labels, 0.07)
    assert len(expected) == 7
    mean = label_isa_loss(z, subjects, labels)
    total = label_isa_loss(z, subjects, labels, reduction="sum")
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-12)


def group_oracle(z, subjects, moments, temperature):
    """Loss of each window that has a positive, by the formula."""
    n = len(z)
    e = [[np.exp(cosine(a, b) / temperature) for b in z] for a in z]
    losses = []
    for i in range(n):
        negatives = sum(e[i][j] for j in range(n) if moments[j] != moments[i])
        terms = []
        for q in set(subjects) - {subjects[i]}:
            mine = [
                e[i][j]
                for j in range(n)
                if subjects[j] == q and moments[j] == moments[i]
            ]
            if mine:
                total = sum(mine) + negatives
                terms.append(np.mean([-np.log(x / total) for x in mine]))
        if terms:
            losses.append(np.mean(terms))
    return np.array(losses)


@pytest.mark.parametrize(
    ("subjects", "moments"),
    [
        ([0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3], [0, 1, 2] * 4),
        # Some lack moments, one has two windows at one, one shares nothing.
        ([0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 3, 4], [0, 1, 2, 0, 1, 1, 2, 2, 0, 2, 5, 9]),
    ],
)
def test_group_isa_loss_oracle(subjects, moments):
    z = randn(12, 5)
    expected = group_oracle(z.numpy(), subjects, moments, 0.3)
    mean = group_isa_loss(z, subjects, moments, 0.3)
    total = group_isa_loss(z, subjects, moments, 0.3, reduction="sum")
    np.testing.assert_allclose(mean, expected.mean(), rtol=1e-12)
    np.testing.assert_allclose(total, expected.sum(), rtol=1e-12)


def test_group_isa_loss_of_two_subjects_is_isa_loss_gradient_included():
    z = randn(14, 5).requires_grad_()
    pair = isa_loss(*z.chunk(2), temperature=0.2)
    group = group_isa_loss(z, [0] * 7 + [1] * 7, [*range(7)] * 2, 0.2)
    np.testing.assert_allclose(group.item(), pair.item(), rtol=1e-13)
    expected, found = (torch.autograd.grad(loss, z)[0] for loss in (pair, group))
    np.testing.assert_allclose(found, expected, atol=1e-14)


def test_group_isa_loss_knows_no_order_and_no_names():
    z, subjects, moments = randn(12, 4), np.repeat([0, 1, 2], 4), np.tile(range(4), 3)
    expected = group_isa_loss(z, subjects, moments)
    order = np.random.default_rng(0).permutation(12)
    found = group_isa_loss(z[order], 7 - subjects[order], 10 * moments[order] - 3)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_group_isa_loss_is_low_where_moments_are_told_apart():
    directions = torch.eye(4, dtype=torch.float64)
    subjects, moments = np.repeat(range(5), 4), np.tile(range(4), 5)
    aligned = group_isa_loss(directions.repeat(5, 1), subjects, moments)
    people = group_isa_loss(directions[subjects % 4], subjects, moments)
    assert aligned < 1e-5 < 1 < people


def test_label_isa_loss_with_labels_all_different_is_isa_loss():
    za, zb = randn(4, 3), randn(4, 3, seed=1)
    labels = torch.arange(4).repeat(2)
    subjects = torch.arange(2).repeat_interleave(4)
    found = label_isa_loss(torch.cat([za, zb]), subjects, labels)
    torch.testing.assert_close(found, isa_loss(za, zb))


@pytest.mark.parametrize("scale", ["trace", "none"])
def test_cda_loss_oracle(scale):
    spatial = randn(7, 2, 3, 10)
    subjects = [5, 1, 1, 5, 9, 9, 9]
    expected = cda_oracle(spatial.numpy(), subjects, scale)
    np.testing.assert_allclose(cda_loss(spatial, subjects, scale), expected, rtol=1e-12)


def test_covariance_of_two_channels():
    # The released loss mixes channels and times, and finds 0.09 where this is 0.82.
    x = randn(1, 1, 2, 2000)
    x[:, :, 1] = 0.82 * x[:, :, 0] + np.sqrt(1 - 0.82**2) * x[:, :, 1]
    [[covariance]] = covariance_centroids(x, [0])
    assert covariance[0, 1] == pytest.approx(0.82, abs=0.05)


def test_losses_pass_gradcheck():
    za, zb = randn(3, 4).requires_grad_(), randn(3, 4, seed=1).requires_grad_()
    check = torch.autograd.gradcheck
    assert check(isa_loss, (za, zb))
    subjects, labels = [0, 0, 0, 1, 1, 1], [0, 0, 1, 1, 0, 3]
    z = randn(6, 4).requires_grad_()
    assert check(lambda z: label_isa_loss(z, subjects, labels), (z,))
    spatial = randn(4, 2, 3, 5).requires_grad_()
    for scale in ("trace", "none"):
        assert check(lambda p, s=scale: cda_loss(p, [0, 1, 1, 2], s), (spatial,))


@pytest.mark.parametrize("scale", ["trace", "none"])
def test_cda_loss_is_zero_for_equal_covariances(scale):
    p = randn(3, 2, 4, 50)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0))
    both = torch.cat([p, p[..., order]])
    assert cda_loss(both, [0, 0, 0, 1, 1, 1], scale) < 1e-25
    # Different signals altogether, made to have the same covariance.
    q = randn(3, 2, 4, 50, seed=1)
    p, q = (x - x.mean(-1, keepdim=True) for x in (p, q))
    root_p, root_q = (torch.linalg.cholesky(x @ x.mT) for x in (p, q))
    q = root_p @ torch.linalg.solve_triangular(root_q, q, upper=False)
    assert cda_loss(torch.cat([p, q]), [0, 0, 0, 1, 1, 1], scale) < 1e-20


def test_cda_loss_sees_one_channel_apart():
    p = randn(2, 2, 4, 50)
    q = p.clone()
    q[:, :, 2] *= 1.5
    assert cda_loss(torch.cat([p, q]), [0, 0, 1, 1]) > 0.1


@pytest.mark.parametrize("scale", ["trace", "none"])
def test_cda_loss_ignores_order(scale):
    p, subjects = randn(6, 2, 3, 20), torch.tensor([0, 1, 2, 0, 1, 2])
    loss = cda_loss(p, subjects, scale)
    order = torch.tensor([4, 2, 0, 5, 3, 1])
    torch.testing.assert_close(cda_loss(p[order], subjects[order], scale), loss)
    torch.testing.assert_close(cda_loss(p, 7 - 3 * subjects, scale), loss)


def test_only_scale_trace_is_free_of_the_scale():
    p, subjects = randn(4, 2, 3, 20), [0, 0, 1, 1]
    torch.testing.assert_close(cda_loss(0.01 * p, subjects), cda_loss(p, subjects))
    shrunk = cda_loss(0.01 * p, subjects, "none")
    assert shrunk < 1e-4 * cda_loss(p, subjects, "none")


def test_scale_trace_gives_no_gradient_along_the_scale():
    p = randn(4, 2, 3, 20).requires_grad_()
    [gradient] = torch.autograd.grad(cda_loss(p, [0, 0, 1, 1]), p)
    assert gradient.norm() > 1e-3
    assert abs((gradient * p).sum()) < 1e-12


@pytest.mark.parametrize("scale", ["trace", "none"])
@pytest.mark.parametrize("n_times", [1, 5])
def test_constant_signals_give_zero_and_no_nan(scale, n_times):
    p = torch.ones(4, 2, 3, n_times, requires_grad=True)
    loss = cda_loss(p, [0, 0, 1, 1], scale)
    loss.backward()
    assert loss == 0
    assert (p.grad == 0).all()


def test_windows_of_different_length_share_one_dispersion():
    p = randn(4, 2, 3, 20)
    whole = cda_loss(p, [0, 0, 1, 1])
    parts = [covariance_centroids(p[:2], [0, 0]), covariance_centroids(p[2:], [5, 5])]
    torch.testing.assert_close(centroid_dispersion(torch.cat(parts)), whole)
    parts[1] = covariance_centroids(p[2:, ..., :15], [1, 1])
    assert centroid_dispersion(torch.cat(parts)).isfinite()
    assert centroid_dispersion(parts[0]) == 0


def test_dispersion_is_accurate_for_centroids_that_nearly_agree():
    common = 1e3 * torch.ones(1, 1, 3, 3)
    gap = 1e-2 * randn(4, 1, 3, 3).float()
    expected = centroid_dispersion((common + gap).double(), "none")
    found = centroid_dispersion(common + gap, "none").double()
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: isa_loss(randn(3, 4), randn(2, 4)), r"got \(3, 4\) and \(2, 4\)"),
        (lambda: isa_loss(randn(0, 4), randn(0, 4)), "n_pairs >= 1"),
        (lambda: isa_loss(randn(3), randn(3)), "shape"),
        (lambda: isa_loss(randn(3, 4), randn(3, 4), reduction="max"), "'max'"),
        (lambda: isa_loss(randn(3, 4), randn(3, 4), 0), "temperature.*got 0"),
        (lambda: label_isa_loss(randn(3), [0, 1, 1], [0, 0, 0]), "z must have"),
        (lambda: label_isa_loss(randn(2, 3), [0, 1], [0]), r"labels .*\(2,\)"),
        (lambda: label_isa_loss(randn(2, 3), [0], [0, 0]), r"subjects .*\(2,\)"),
        (
            lambda: label_isa_loss(randn(2, 3), [0, 0], [0, 1]),
            "two subjects or more, got 1",
        ),
        (lambda: group_isa_loss(randn(2, 3), [0, 1], [0]), r"moments .*\(2,\)"),
        (lambda: group_isa_loss(randn(2, 3), [0, 1], [0, 1]), "two .* a moment"),
        (
            lambda: label_isa_loss(randn(2, 3), [0, 1], [0, 1]),
            "No two subjects .* label",
        ),
        (lambda: cda_loss(randn(3, 2, 5), [0, 1, 1]), r"got \(3, 2, 5\)"),
        (lambda: cda_loss(randn(3, 2, 5, 0), [0, 1, 1]), r"got \(3, 2, 5, 0\)"),
        (lambda: cda_loss(randn(3, 2, 4, 5), [0, 1]), r"subjects .*got \(2,\)"),
        (lambda: cda_loss(randn(2, 2, 4, 5), [0.0, 1.0]), "must be integers"),
        (lambda: cda_loss(randn(2, 2, 4, 5), [0, 1], "max"), "'max'"),
        (lambda: centroid_dispersion(randn(2, 2, 4, 5)), r"got \(2, 2, 4, 5\)"),
    ],
)
def test_errors(call, message):
    with pytest.raises(ValueError, match=message):
        call()
