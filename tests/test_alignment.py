"""Covariance alignment: of matrices, of signals, and the gap that it closes."""

import pickle
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from pyriemann.estimation import Covariances
from pyriemann.tangentspace import TangentSpace
from pyriemann.transfer import (
    TLCenter,
    TLClassifier,
    TLRegressor,
    TLScale,
    TLSplitter,
    encode_domains,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import (
    LeaveOneGroupOut,
    StratifiedKFold,
    cross_val_score,
)
from sklearn.pipeline import make_pipeline
from threadpoolctl import ThreadpoolController

from sklearn_mdjpt import (
    CovarianceAlignment,
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    WindowAlignment,
    WindowCovariances,
    covariance_distance,
)
from sklearn_mdjpt.alignment._spd import window_covariances
from sklearn_mdjpt.channels import template_positions

METRICS = ("riemann", "logeuclid", "euclid")


def make_matrices(n_domains=3, n=12, n_channels=5, seed=0, spread=1.0):
    """SPD matrices whose domains have mixings of their own, and the domains."""
    rng = np.random.default_rng(seed)
    X = []
    for _ in range(n_domains):
        mixing = np.eye(n_channels) + 0.2 * rng.standard_normal((n_channels,) * 2)
        gains = np.exp(spread * 0.5 * rng.standard_normal((n, n_channels)))
        rotation, _ = np.linalg.qr(rng.standard_normal((n, n_channels, n_channels)))
        inner = (rotation * gains[:, None]) @ rotation.transpose(0, 2, 1)
        X.append(mixing @ inner @ mixing.T)
    names = np.repeat([f"s{i}" for i in range(n_domains)], n)
    return np.concatenate(X), names


def mean_of(X, metric="riemann"):
    """Mean of matrices, as that of a domain which is all of them."""
    alignment = CovarianceAlignment(metric, eigenvalue_floor=0)
    return alignment.fit(X, domains=np.full(len(X), "all")).means_["all"]


def raised(X, floor):
    """Matrices with eigenvalues raised to the floor, as domains of one each."""
    alignment = CovarianceAlignment(eigenvalue_floor=floor)
    with pytest.warns(UserWarning, match="Domains of one matrix"):
        means = alignment.fit(X, domains=np.arange(len(X))).means_
    return np.stack([means[str(i)] for i in range(len(X))])


def relative(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


def gradient_norm(X, M):
    """Norm of the Riemannian gradient, in units of that of the identity."""
    values, vectors = np.linalg.eigh(M)
    W = (vectors / np.sqrt(values)).T
    logs, vectors = np.linalg.eigh(W @ X @ W.T)
    logs = np.log(logs)[:, None]
    mean = ((vectors * logs) @ vectors.transpose(0, 2, 1)).mean(axis=0)
    return np.linalg.norm(mean) / np.sqrt(len(M))


# The means ----------------------------------------------------------------------------


def test_riemannian_mean_is_that_of_pyriemann_where_it_converges():
    pyriemann_mean = pytest.importorskip("pyriemann.geometry.mean").mean_riemann
    X, _ = make_matrices(1, n=20)
    assert relative(mean_of(X), pyriemann_mean(X, tol=1e-12)) < 1e-9


@pytest.mark.parametrize("n_channels", [3, 40])
def test_riemannian_mean_converges_on_nearly_singular_matrices(n_channels):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((30, n_channels, n_channels + 1))
    scale = np.logspace(0, -2, n_channels)
    X = scale[:, None] * (X @ X.transpose(0, 2, 1)) * scale
    assert np.linalg.cond(X).max() > 1e5
    assert gradient_norm(X, mean_of(X)) < 1e-8


def test_riemannian_mean_of_commuting_matrices_is_geometric():
    values = np.exp(np.random.default_rng(0).standard_normal((7, 4)))
    X = np.stack([np.diag(v) for v in values])
    assert_allclose(mean_of(X), np.diag(np.exp(np.log(values).mean(axis=0))), atol=1e-9)


# Recentring ---------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["riemann", "euclid"])
@pytest.mark.parametrize("target", ["mean", "identity", "s1"])
def test_the_mean_of_each_aligned_domain_is_the_target(metric, target):
    X, names = make_matrices()
    alignment = CovarianceAlignment(metric, target)
    aligned = alignment.fit_transform(X, domains=names)
    for name in np.unique(names):
        mean = mean_of(aligned[names == name], metric)
        assert relative(mean, alignment.target_) < 1e-8
    if target == "identity":
        assert_array_equal(alignment.target_, np.eye(5))
    if target == "s1":
        assert_allclose(aligned[names == "s1"], X[names == "s1"], rtol=1e-9)


def test_with_logeuclid_the_mean_is_the_target_approximately():
    gaps = {}
    for spread in (0.2, 1.0):
        X, names = make_matrices(spread=spread)
        aligned = CovarianceAlignment("logeuclid", "identity").fit_transform(
            X, domains=names
        )
        gaps[spread] = max(
            relative(mean_of(aligned[names == name], "logeuclid"), np.eye(5))
            for name in np.unique(names)
        )
    assert 1e-6 < gaps[0.2] < 0.02
    assert gaps[0.2] < gaps[1.0] < 0.3


@pytest.mark.parametrize("metric", METRICS)
def test_recentring_to_the_identity_is_that_of_pyriemann(metric):
    X, names = make_matrices()
    X_enc, y_enc = encode_domains(X, np.tile(["a", "b"], len(X) // 2), names)
    theirs = TLCenter(target_domain="s0", metric=metric).fit_transform(X_enc, y_enc)
    ours = CovarianceAlignment(metric, "identity").fit_transform(X, domains=names)
    assert relative(ours, theirs) < 1e-7


def test_rescaling_is_that_of_pyriemann_and_keeps_the_mean():
    X, names = make_matrices()
    alignment = CovarianceAlignment(target="identity", dispersion=1.0)
    ours = alignment.fit_transform(X, domains=names)
    _, y_enc = encode_domains(X, np.zeros(len(X), int), names)
    centred = TLCenter(target_domain="s0").fit_transform(X, y_enc)
    theirs = TLScale(target_domain="s0", centered_data=True).fit_transform(
        centred, y_enc
    )
    assert relative(ours, theirs) < 1e-7
    for metric_target in ("mean", "identity"):
        alignment = CovarianceAlignment(target=metric_target, dispersion="mean")
        aligned = alignment.fit_transform(X, domains=names)
        found = covariance_distance(aligned, names)
        assert found.between < 1e-7
        spreads = [
            np.mean(
                [
                    (np.log(np.linalg.eigvals(np.linalg.solve(alignment.target_, x))))
                    .real.__pow__(2)
                    .sum()
                    for x in aligned[names == name]
                ]
            )
            for name in np.unique(names)
        ]
        assert_allclose(spreads, np.mean(list(alignment.dispersions_.values())))


def test_affine_distances_within_a_domain_do_not_change():
    X, names = make_matrices()
    aligned = CovarianceAlignment().fit_transform(X, domains=names)
    before, after = (covariance_distance(Z, names) for Z in (X, aligned))
    assert_allclose(after.table["within"], before.table["within"], rtol=1e-8)
    assert after.between < 1e-7 < before.between


def test_a_domains_own_mixing_does_not_matter():
    # What an aligned domain looks like to an affine-invariant method is the same
    # whatever linear mixing its electrodes add.
    X, names = make_matrices()
    mixed = X.copy()
    W = np.eye(5) + 0.3 * np.random.default_rng(1).standard_normal((5, 5))
    mixed[names == "s2"] = W @ X[names == "s2"] @ W.T
    one, other = (
        CovarianceAlignment(target="identity").fit_transform(Z, domains=names)
        for Z in (X, mixed)
    )
    assert_allclose(one[names != "s2"], other[names != "s2"])
    assert_allclose(
        np.linalg.eigvalsh(one[names == "s2"]), np.linalg.eigvalsh(other[names == "s2"])
    )


@pytest.mark.parametrize("metric", METRICS)
def test_spd_stays_spd_and_symmetric(metric):
    X, names = make_matrices(spread=3.0)
    for target in ("mean", "identity", "s0"):
        aligned = CovarianceAlignment(metric, target).fit_transform(X, domains=names)
        assert_array_equal(aligned, aligned.transpose(0, 2, 1))
        assert (np.linalg.eigvalsh(aligned) > 0).all()


def test_single_precision_is_accepted():
    X, names = make_matrices()
    double = CovarianceAlignment().fit_transform(X, domains=names)
    single = CovarianceAlignment().fit_transform(X.astype(np.float32), domains=names)
    assert single.dtype == np.float64
    assert relative(single, double) < 1e-5


def test_one_matrix_in_a_domain_becomes_the_target_with_a_warning():
    X, names = make_matrices(2)
    with pytest.warns(UserWarning, match="one matrix: s1"):
        alignment = CovarianceAlignment().fit(X[:13], domains=names[:13])
    aligned = alignment.transform(X[:13], domains=names[:13])
    assert relative(aligned[12], alignment.target_) < 1e-12
    with pytest.warns(UserWarning, match="one matrix: new"):
        aligned = alignment.transform(X[:1], domains=["new"])
    assert relative(aligned[0], alignment.target_) < 1e-12


def test_matrices_of_60_channels_take_few_iterations(monkeypatch):
    sizes, eigh = [], np.linalg.eigh
    monkeypatch.setattr(np.linalg, "eigh", lambda X: sizes.append(len(X)) or eigh(X))
    rng = np.random.default_rng(0)
    signals = rng.standard_normal((280, 60, 125)).astype(np.float32)
    X = signals @ signals.transpose(0, 2, 1) / 125
    names = np.repeat(["a", "b", "c", "d"], 70)
    alignment = CovarianceAlignment()
    aligned = alignment.fit_transform(X, domains=names)
    # Each step of a mean decomposes the matrices of its domain once.
    assert 4 <= sizes.count(70) <= 4 * 12
    assert relative(mean_of(aligned[:70]), alignment.target_) < 1e-8


# Singular and bad matrices ------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_common_average_reference_is_the_normal_case(metric):
    X, names = make_matrices(n_channels=6)
    reference = np.eye(6) - 1 / 6
    X = reference @ X @ reference
    assert (np.linalg.matrix_rank(X) == 5).all()
    alignment = CovarianceAlignment(metric)
    aligned = alignment.fit_transform(X, domains=names)
    assert np.isfinite(aligned).all() and (np.linalg.eigvalsh(aligned) > 0).all()
    if metric != "logeuclid":
        for name in np.unique(names):
            mean = mean_of(aligned[names == name], metric)
            assert relative(mean, alignment.target_) < 1e-8


def test_interpolated_channels_of_one_domain_only():
    X, names = make_matrices()
    combine = np.eye(5)
    combine[4] = [0.5, 0.5, 0, 0, 0]
    X[names == "s1"] = combine @ X[names == "s1"] @ combine.T
    aligned = CovarianceAlignment().fit_transform(X, domains=names)
    assert (np.linalg.eigvalsh(aligned) > 0).all()
    assert covariance_distance(aligned, names).between < 1e-6


def test_a_constant_channel_leaves_the_others_finite():
    X, names = make_matrices()
    X[names == "s1", 2, :] = X[names == "s1", :, 2] = 0.0
    aligned = CovarianceAlignment().fit_transform(X, domains=names)
    assert np.isfinite(aligned).all() and (np.linalg.eigvalsh(aligned) > 0).all()


def test_the_floor_leaves_positive_definite_matrices_alone():
    X, names = make_matrices()
    a, b = (
        CovarianceAlignment(eigenvalue_floor=floor).fit_transform(X, domains=names)
        for floor in (0, 1e-5)
    )
    assert_array_equal(a, b)


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda X: X[0], r"square matrices, shape .* got \(5, 5\)"),
        (lambda X: X[:, :3], "square matrices"),
        (lambda X: X[:0], "holds no matrices"),
        (lambda X: X.astype(complex), "real numbers, got dtype complex128"),
        (lambda X: with_entry(X, 3, (1, 2), np.nan), "1 of 36 .* NaN or inf: .* 3"),
        (lambda X: with_entry(X, 3, (1, 2), 9.0), "not symmetric: matrices 3"),
        (lambda X: with_entry(X, 4, (1, 1), -9.0), "negative eigenvalues.*: matr.* 4"),
        (lambda X: X * (np.arange(36) != 5)[:, None, None], "zero or have.* 5"),
    ],
)
def test_bad_matrices_are_named(method, spoil, message):
    X, names = make_matrices()
    alignment = CovarianceAlignment().fit(X, domains=names)
    with pytest.raises((ValueError, TypeError), match=message):
        getattr(alignment, method)(spoil(X))


def with_entry(X, i, place, value):
    X = X.copy()
    X[(i, *place)] = value
    return X


def test_singular_matrices_are_refused_without_a_floor():
    X, _ = make_matrices()
    X[3, 2, :] = X[3, :, 2] = 0.0
    with pytest.raises(ValueError, match="singular .*eigenvalue_floor.*: matrices 3"):
        CovarianceAlignment(eigenvalue_floor=0).fit(X)


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"metric": "wasserstein"}, "metric must be one of 'riemann', 'logeuclid'"),
        ({"unseen": "skip"}, "unseen must be one of"),
        ({"target": "s9"}, r"a domain of X \(s0, s1, s2\); got 's9'"),
        ({"target": np.eye(5)}, "the name of a domain, got ndarray"),
        ({"dispersion": -1}, "dispersion.* > 0 or None, got -1"),
        ({"dispersion": True}, "dispersion.* > 0 or None, got True"),
        ({"dispersion": np.inf}, "dispersion.* > 0 or None, got inf"),
        ({"dispersion": 1.0, "metric": "euclid"}, "needs metric='riemann'"),
        ({"eigenvalue_floor": 1.0}, r"eigenvalue_floor must be .* < 1, got 1"),
    ],
)
def test_bad_parameters(parameters, message):
    X, names = make_matrices()
    with pytest.raises(ValueError, match=message):
        CovarianceAlignment(**parameters).fit(X, domains=names)


def test_low_eigenvalues_are_raised_to_the_floor_and_nothing_else():
    vectors, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((4, 4)))
    values = np.array([1e-9, 0.1, 1.0, 2.9])  # of mean 1
    X = np.stack([(vectors * values) @ vectors.T, np.diag([1.0, 2.0, 3.0, 4.0])])
    found = raised(X, 0.01)
    assert_allclose(np.linalg.eigvalsh(found[0]), [0.01, 0.1, 1.0, 2.9], rtol=1e-9)
    assert_allclose(
        vectors.T @ found[0] @ vectors, np.diag([0.01, 0.1, 1, 2.9]), atol=1e-12
    )
    assert_array_equal(found[1], X[1])
    assert CovarianceAlignment().eigenvalue_floor == 1e-5


def test_the_floor_holds_in_transform_and_for_unseen_domains():
    X, names = make_matrices()
    singular = X.copy()
    singular[:, 2, :] = singular[:, :, 2] = 0.0
    for floor in (1e-2, 1e-4):
        alignment = CovarianceAlignment(target="identity", eigenvalue_floor=floor)
        alignment.fit(X, domains=names)
        aligned = alignment.transform(singular, domains=names)
        expected = alignment.transform(raised(singular, floor), domains=names)
        # (Raising eigenvalues raises the mean that the floor is a share of.)
        assert relative(aligned, expected) < 0.1 * floor
        new = alignment.transform(singular, domains=np.full(36, "new"))
        assert relative(mean_of(new), np.eye(5)) < 1e-8


def test_matrices_beyond_what_can_be_computed_are_an_error_not_nan():
    rng = np.random.default_rng(0)
    scale = np.logspace(0, -9, 6)
    X = rng.standard_normal((20, 6, 60))
    X = scale[:, None] * (X @ X.transpose(0, 2, 1)) * scale
    rotation, _ = np.linalg.qr(rng.standard_normal((20, 6, 6)))
    X = rotation @ X @ rotation.transpose(0, 2, 1)
    for floor in (0, 1e-20):
        with pytest.raises(ValueError, match="eigenvalue_floor|negative"):
            CovarianceAlignment(eigenvalue_floor=floor).fit(X, domains=["a"] * 20)


def test_the_target_counts_domains_and_not_matrices():
    X, names = make_matrices()
    few = np.r_[0:3, 12:36]
    alignment = CovarianceAlignment("euclid").fit(X[few], domains=names[few])
    parts = [X[:3].mean(axis=0), X[12:24].mean(axis=0), X[24:].mean(axis=0)]
    assert_allclose(alignment.target_, np.mean(parts, axis=0))


@pytest.mark.filterwarnings("ignore:Domains of one matrix")
def test_a_domain_without_spread_is_given_none():
    X, names = make_matrices(2)
    alignment = CovarianceAlignment(target="identity", dispersion=1.0)
    alignment.fit(X, domains=names)
    for x in X:
        assert_allclose(
            alignment.transform(x[None], domains=["new"])[0], np.eye(5), atol=1e-9
        )
    same = np.concatenate([np.repeat(X[:1], 3, axis=0), X[12:]])
    alignment.fit(same, domains=["one"] * 3 + ["two"] * 12)
    assert alignment.dispersions_["one"] == 0.0
    assert_allclose(
        alignment.transform(same, domains=["one"] * 3 + ["two"] * 12)[:3],
        np.stack([np.eye(5)] * 3),
        atol=1e-7,
    )


@pytest.mark.filterwarnings("ignore:Domains of one matrix")
def test_dispersions_of_known_domains_are_those_of_fit():
    X, names = make_matrices(2)
    part = np.r_[0:1, 12:24]  # "s0" has one matrix, and no dispersion
    alignment = CovarianceAlignment(dispersion="mean").fit(X[part], names[part])
    alignment.fit(X[part], domains=names[part])
    together = alignment.transform(X, domains=names)
    for i in (0, 5, 20):
        one = alignment.transform(X[i : i + 1], domains=names[i : i + 1])
        assert_allclose(one[0], together[i], rtol=1e-9)


# Domains ------------------------------------------------------------------------------


def test_domains_by_keyword_by_label_and_by_their_other_name():
    X, names = make_matrices()
    expected = CovarianceAlignment().fit_transform(X, domains=names)
    _, y_enc = encode_domains(X, np.tile(["a", "b"], 18), names)
    by_label = CovarianceAlignment().fit_transform(X, y_enc)
    by_other = CovarianceAlignment().fit_transform(X, sample_domain=names)
    assert_array_equal(by_label, expected)
    assert_array_equal(by_other, expected)
    with pytest.raises(ValueError, match="two names of one thing"):
        CovarianceAlignment().fit(X, domains=names, sample_domain=names)


def test_without_domains_nothing_moves_and_a_warning_says_so():
    X, _ = make_matrices()
    with pytest.warns(UserWarning, match="nothing is moved. Pass domains="):
        aligned = CovarianceAlignment().fit_transform(X)
    assert_allclose(aligned, X, rtol=1e-7)


def test_domains_as_a_table_or_something_else():
    X, names = make_matrices()
    expected = CovarianceAlignment().fit_transform(X, domains=names)
    column = pd.DataFrame({"subject": names})
    for domains in (column, names[:, None], column["subject"], list(names)):
        assert_array_equal(
            CovarianceAlignment().fit_transform(X, domains=domains), expected
        )
    with pytest.raises(ValueError, match=r"one entry for each window, got .*36, 2"):
        CovarianceAlignment().fit(X, domains=np.stack([names, names], axis=1))
    with pytest.raises(TypeError, match="got dict"):
        CovarianceAlignment().fit(X, domains=dict(enumerate(names)))


def test_ids_may_be_numbers_and_names_may_hold_slashes():
    X, names = make_matrices()
    number = np.array([int(name[1]) for name in names])
    a = CovarianceAlignment().fit(X, domains=number)
    b = a.transform(X, domains=number.astype(float))
    assert_array_equal(b, CovarianceAlignment().fit_transform(X, domains=names))
    y_enc = [
        f"SEED/{name}/{label}" for name, label in zip(names, "ab" * 18, strict=True)
    ]
    fitted = CovarianceAlignment().fit(X, y_enc)
    assert set(fitted.means_) == {"SEED/s0", "SEED/s1", "SEED/s2"}


def test_labels_must_fit_the_matrices():
    X, _ = make_matrices()
    with pytest.raises(ValueError, match="y has 3 labels for 36 matrices"):
        CovarianceAlignment().fit(X, ["a", "b", "c"])


def test_plain_labels_are_ignored_and_labels_with_a_slash_warned_of():
    X, _ = make_matrices()
    plain = CovarianceAlignment().fit(X, np.tile(["sad", "joy/calm"], 18))
    assert len(plain.means_) == 1
    # Quadrants of valence and arousal cross like domains and labels do.
    quadrants = np.tile(["HV/HA", "HV/LA", "LV/HA", "LV/LA"], 9)
    with pytest.warns(UserWarning, match="taken for 'domain/label', with domains HV"):
        CovarianceAlignment().fit(X, quadrants)


def test_without_domains_all_of_x_is_one_and_transform_uses_its_mean():
    X, _ = make_matrices()
    alignment = CovarianceAlignment(target="identity").fit(X[:24])
    W = np.linalg.cholesky(np.linalg.inv(mean_of(X[:24])))
    assert_allclose(
        np.linalg.eigvalsh(alignment.transform(X[24:])),
        np.linalg.eigvalsh(W.T @ X[24:] @ W),
    )


def test_unseen_domains_are_aligned_by_their_own_mean_or_refused():
    X, names = make_matrices()
    seen = names != "s2"
    alignment = CovarianceAlignment().fit(X[seen], domains=names[seen])
    aligned = alignment.transform(X, domains=names)
    assert relative(mean_of(aligned[~seen]), alignment.target_) < 1e-8
    # A fold of one unseen subject needs no keyword; of several it does.
    with pytest.warns(UserWarning, match="X is taken for one new domain"):
        alone = alignment.transform(X[~seen])
    assert_array_equal(alone, aligned[~seen])
    strict = CovarianceAlignment(unseen="error").fit(X[seen], domains=names[seen])
    assert_array_equal(strict.transform(X[seen], domains=names[seen]), aligned[seen])
    with pytest.raises(ValueError, match="Domains s2 were not seen in fit.* s0, s1"):
        strict.transform(X, domains=names)
    with pytest.raises(ValueError, match="fit was given domains, and transform is not"):
        strict.transform(X[~seen])


def test_known_domains_use_what_was_learnt_in_fit():
    X, names = make_matrices(n=20)
    half = np.tile([True, False], 30)
    alignment = CovarianceAlignment().fit(X[half], domains=names[half])
    together = alignment.transform(X[~half], domains=names[~half])
    for i in (0, 15, 29):
        one = alignment.transform(X[~half][i : i + 1], domains=names[~half][i : i + 1])
        assert_allclose(one[0], together[i], rtol=1e-10)


def test_nothing_of_what_is_transformed_reaches_the_fitted_state():
    X, names = make_matrices()
    seen = names != "s2"
    alignment = CovarianceAlignment(dispersion="mean").fit(X[seen], domains=names[seen])
    before = pickle.dumps(alignment)
    first = alignment.transform(X, domains=names)
    changed = X.copy()
    changed[~seen] *= 7.0
    second = alignment.transform(changed, domains=names)
    assert pickle.dumps(alignment) == before
    assert_array_equal(first[seen], second[seen])


# In a pipeline ------------------------------------------------------------------------


def shifted_signals(n_subjects=6, n=20, seed=3):
    """Two classes that differ in one source, behind each subject's own mixing."""
    rng = np.random.default_rng(seed)
    X, y, names = [], [], []
    for s in range(n_subjects):
        mixing = np.eye(4) + 0.8 * rng.standard_normal((4, 4))
        for k in range(n):
            power = np.ones(4)
            power[0] = 3.0 if k % 2 else 1 / 3
            X.append(mixing @ (np.sqrt(power)[:, None] * rng.standard_normal((4, 200))))
            y.append("high" if k % 2 else "low")
            names.append(f"s{s}")
    return np.stack(X), np.array(y), np.array(names)


def shifted_classes(n_subjects=6):
    """Matrices of these signals, with labels and subjects."""
    X, y, names = shifted_signals(n_subjects)
    return X @ X.transpose(0, 2, 1) / X.shape[2], y, names


@pytest.mark.parametrize("routing", [False, True])
def test_alignment_helps_in_cross_validation_and_forgotten_domains_do_not(routing):
    X, y, names = shifted_classes()
    align = CovarianceAlignment(target="identity")
    model = make_pipeline(align, TangentSpace(), LogisticRegression())
    cv = LeaveOneGroupOut()
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            groups = {"params": {"groups": names, "domains": names}}
            forgot = {"params": {"groups": names}}
        else:
            groups = {
                "groups": names,
                "params": {"covariancealignment__domains": names},
            }
            forgot = {"groups": names}
        with_domains = cross_val_score(model, X, y, cv=cv, **groups).mean()
        without = cross_val_score(model, X, y, cv=cv, **forgot).mean()
    assert with_domains > 0.9
    assert with_domains > without + 0.1


# In pipelines of pyriemann ------------------------------------------------------------


def decoder(align, last):
    """Return signals to decisions, by way of matrices that are aligned."""
    steps = [Covariances("oas"), align, TangentSpace(), last]
    return make_pipeline(*[step for step in steps if step is not None])


@pytest.mark.parametrize("routing", [False, True])
def test_between_covariances_and_tangent_space(routing):
    X, y, names = shifted_signals()
    folds = list(LeaveOneGroupOut().split(X, y, names))
    params = {"domains" if routing else "covariancealignment__domains": names}
    model = decoder(CovarianceAlignment("euclid", "identity"), LogisticRegression())
    with sklearn.config_context(enable_metadata_routing=routing):
        aligned = cross_val_score(model, X, y, cv=folds, params=params).mean()
    plain = cross_val_score(decoder(None, LogisticRegression()), X, y, cv=folds).mean()
    assert aligned > 0.9
    assert aligned > plain + 0.1


@pytest.mark.filterwarnings("ignore:The labels in y are taken for")
@pytest.mark.filterwarnings("ignore:fit was given domains, and transform is not")
def test_a_test_fold_of_the_target_domain_is_recentred_by_its_own_mean():
    X, y, names = shifted_classes(3)
    X, y_enc = encode_domains(X, y, names)
    model = make_pipeline(
        CovarianceAlignment(target="identity"),
        TLClassifier("s2", make_pipeline(TangentSpace(), LogisticRegression())),
    )
    train, test = next(TLSplitter("s2", StratifiedKFold(2)).split(X, y_enc))
    model.fit(X[train], y_enc[train])
    assert set(model[0].means_) == {"s0", "s1", "s2"}
    assert list(model[1].estimator.classes_) == ["high", "low"]
    centred = model[0].transform(X[test])
    assert relative(mean_of(centred), np.eye(4)) < 1e-8
    assert_array_equal(model.predict(X[test]), model[1].predict(centred))


@pytest.mark.filterwarnings("ignore:The labels in y are taken for")
@pytest.mark.filterwarnings("ignore:fit was given domains, and transform is not")
def test_numbers_as_labels_of_domains_reach_a_regressor():
    X, y, names = shifted_signals(3)
    X, y_enc = encode_domains(X, (y == "high") * 1.5, names)
    model = decoder(CovarianceAlignment(), TLRegressor("s1", Ridge()))
    folds = list(TLSplitter("s1", StratifiedKFold(2)).split(X, y_enc))
    test = np.concatenate([rows for _, rows in folds])
    predicted = np.empty(len(X))
    for train, rows in folds:
        predicted[rows] = model.fit(X[train], y_enc[train]).predict(X[rows])
    high = y[test] == "high"
    assert predicted[test][high].min() > predicted[test][~high].max()


def test_inside_the_wrapper_no_domains_are_left():
    X, y, names = shifted_classes(3)
    X, y_enc = encode_domains(X, y, names)
    inside = make_pipeline(CovarianceAlignment(), TangentSpace(), LogisticRegression())
    with pytest.warns(UserWarning, match="No domains were given"):
        TLClassifier("s2", inside).fit(X, y_enc)


# The measure --------------------------------------------------------------------------


def test_distance_of_scaled_matrices_is_known():
    X = np.stack([np.eye(4)] * 3 + [np.e * np.eye(4)] * 2)
    found = covariance_distance(X, ["a"] * 3 + ["b"] * 2)
    assert found.between == pytest.approx(2.0)  # sqrt(4) * log(e)
    assert found.within == pytest.approx(0.0, abs=1e-9)
    assert list(found.table["n_matrices"]) == [3, 2]
    assert_allclose(found.pairs, [[0, 2], [2, 0]])
    euclid = covariance_distance(X, [1, 1, 1, 2, 2], metric="euclid")
    assert euclid.between == pytest.approx(2 * (np.e - 1))


def test_distance_tables_add_up():
    X, names = make_matrices()
    found = covariance_distance(X, names)
    pairs = found.pairs.to_numpy()
    assert found.between == pytest.approx(pairs[np.triu_indices(3, 1)].mean())
    assert found.ratio == pytest.approx(found.between / found.within)
    assert "3 domains" in repr(found)
    assert_allclose(pairs, pairs.T)


def test_distance_of_windows(make_windows):
    X = make_windows(("A", "B"), n_subjects=2)
    by_subject = covariance_distance(X)
    assert list(by_subject.table.index) == ["A/01", "A/02", "B/01", "B/02"]
    by_dataset = covariance_distance(X, "dataset")
    assert list(by_dataset.table.index) == ["A", "B"]
    one = X[X.groups("dataset") == "A"]
    matrices = WindowCovariances().fit_transform(one)
    again = covariance_distance(matrices, one.groups("subject"))
    assert again.between == pytest.approx(covariance_distance(one).between)


def test_distance_needs_two_domains():
    X, names = make_matrices()
    with pytest.raises(ValueError, match="need two of them, got s0"):
        covariance_distance(X[:12], names[:12])
    with pytest.raises(ValueError, match="domains= is needed"):
        covariance_distance(X)
    with pytest.raises(ValueError, match="metric must be one of"):
        covariance_distance(X, names, metric="manhattan")
    with pytest.raises(ValueError, match="domains= is needed.*got 'subject'"):
        covariance_distance(X, "subject")


def test_several_montages_are_compared_on_the_channels_that_all_have(mixed_windows):
    found = covariance_distance(mixed_windows, "dataset")
    parts = []
    for name in "ABC":
        part = mixed_windows[mixed_windows.groups("dataset") == name]
        place = [c.upper() for c in part.ch_names].index("CZ")
        parts.append(np.asarray(part)[:, [place]].var(axis=2)[:, :, None])
    again = covariance_distance(np.concatenate(parts), np.repeat(list("ABC"), 36))
    assert_allclose(found.pairs, again.pairs, rtol=1e-6)


# Covariances of windows ---------------------------------------------------------------


def test_covariances_are_centred_and_biased(make_windows):
    X = make_windows()
    expected = [np.cov(np.asarray(X[i], float), bias=True) for i in range(len(X))]
    assert_allclose(WindowCovariances().fit_transform(X), expected, rtol=1e-7)
    array = np.asarray(X)
    assert_allclose(WindowCovariances().fit_transform(array), expected, rtol=1e-7)
    oas = WindowCovariances("oas").fit_transform(array)
    assert (np.linalg.cond(oas) < np.linalg.cond(np.array(expected))).all()


@pytest.mark.parametrize("estimator", ["scm", "oas", "lwf"])
@pytest.mark.parametrize("shape", [(5, 6, 80), (5, 6, 4), (5, 1, 80), (5, 6, 1)])
def test_covariances_of_all_windows_at_once_are_those_of_pyriemann(estimator, shape):
    X = 3.0 + np.random.default_rng(0).standard_normal(shape)
    X[3] = 1.0  # constant
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn tells of a single sample
        expected = [Covariances(estimator).transform(x[None])[0] for x in X]
    found = window_covariances(X, estimator)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_covariances_go_by_channel_name(make_windows):
    X = make_windows()
    order = [3, 0, 7, 1, 2, 6, 5, 4]
    shuffled = EEGWindows.from_arrays(
        np.asarray(X)[:, order],
        ch_names=[X.ch_names[i].upper() for i in order],
        sfreq=X.sfreq,
    )
    covariances = WindowCovariances().fit(X)
    assert_allclose(covariances.transform(shuffled), covariances.transform(X))
    with pytest.raises(ValueError, match="Missing: O2"):
        covariances.transform(
            EEGWindows.from_arrays(
                np.asarray(X)[:, :7], ch_names=X.ch_names[:7], sfreq=X.sfreq
            )
        )


def test_covariances_of_several_montages_are_canonical(mixed_windows):
    covariances = WindowCovariances().fit(mixed_windows)
    X = covariances.transform(mixed_windows)
    assert X.shape == (len(mixed_windows), 60, 60) and covariances.n_channels_ == 60
    one = mixed_windows[mixed_windows.groups("dataset") == "B"]
    # Not resampled: the covariance of 250 Hz is nearly that of 125 Hz, not the same.
    canonical = one.to_canonical(sfreq=one.sfreq).astype(float)
    expected = np.stack([np.cov(x, bias=True) for x in canonical])
    assert_allclose(covariances.transform(one), expected, rtol=1e-5, atol=1e-16)


def test_bad_windows_for_covariances(make_windows):
    X = np.array(make_windows())
    with pytest.raises(ValueError, match="needs channel names"):
        WindowCovariances(channels="canonical").fit(X)
    with pytest.raises(ValueError, match="got 2 dimensions"):
        WindowCovariances().fit(X[0])
    with pytest.raises(ValueError, match="X has no windows"):
        WindowAlignment().fit(X[:0])
    with pytest.raises(ValueError, match="estimator must be one of 'scm'"):
        WindowCovariances("nonsense").fit(X)
    flat = X.copy()
    flat[:, 2] = 0.0
    with pytest.raises(ValueError, match="no finite covariance for windows 0"):
        WindowCovariances("corr").fit_transform(flat)
    twice = EEGWindows.from_arrays(X[:, :2], ch_names=["T3", "T7"], sfreq=200.0)
    for estimator in (WindowCovariances(), WindowAlignment(domain="dataset")):
        with pytest.raises(ValueError, match="T3, T7 name one site twice"):
            estimator.fit(twice)
    for value in (0.0, 0.1, 1 / 3, 7e-6):
        still = X.copy()
        still[3] = value
        for estimator in (WindowCovariances(), WindowAlignment()):
            with pytest.raises(ValueError, match="1 of 36 windows are constant"):
                estimator.fit(still)
    with pytest.raises(ValueError, match="no channels or no samples"):
        WindowAlignment().fit(X[:, :, :0])
    with pytest.raises(ValueError, match="8 channels, .* fitted with 3"):
        WindowCovariances().fit(X[:, :3]).transform(X)
    X[4, 1, 5] = np.nan
    with pytest.raises(ValueError, match="1 of 36 windows hold NaN or inf: windows 4"):
        WindowCovariances().fit(X)


# Alignment of signals -----------------------------------------------------------------


@pytest.mark.parametrize("metric", ["riemann", "euclid"])
def test_aligned_windows_have_the_target_as_mean_covariance(make_windows, metric):
    X = make_windows()
    alignment = WindowAlignment(metric)
    aligned = alignment.fit_transform(X)
    assert isinstance(aligned, EEGWindows) and aligned.ch_names == X.ch_names
    assert aligned.metadata.equals(X.metadata)
    covariances = WindowCovariances().fit_transform(aligned)
    for who in np.unique(X.groups("subject")):
        mean = mean_of(covariances[X.groups("subject") == who], metric)
        assert relative(mean, np.eye(8)) < 1e-5  # signals are single precision


def test_signals_and_matrices_are_aligned_alike(make_windows):
    X = make_windows()
    for target in ("mean", "A/02"):
        aligned = WindowAlignment("riemann", target).fit_transform(X)
        expected = CovarianceAlignment(target=target).fit_transform(
            WindowCovariances().fit_transform(X), domains=X.groups("subject")
        )
        found = WindowCovariances().fit_transform(aligned)
        assert relative(found, expected) < 1e-5


def test_several_montages_are_aligned_each_in_its_own_channels(mixed_windows):
    alignment = WindowAlignment().fit(mixed_windows)
    assert sorted(map(len, alignment.alignments_)) == [5, 6, 8]
    aligned = alignment.transform(mixed_windows)
    assert len(aligned.ch_names) == 60 and len(aligned) == len(mixed_windows)
    assert aligned.metadata.equals(mixed_windows.metadata)
    # On the channels that a cap has, each subject's mean covariance is the identity.
    one = mixed_windows.groups("dataset") == "C"
    assert not aligned.recordings[0].positions
    columns = [aligned.ch_names.index(c) for c in ("AF3", "AF4", "CZ", "PO3", "PO4")]
    covariances = WindowCovariances().fit_transform(aligned[one])
    covariances = covariances[:, columns][:, :, columns]
    who = aligned[one].groups("subject")
    for name in np.unique(who):
        mean = covariances[who == name].mean(axis=0)
        assert relative(mean, np.eye(5)) < 1e-4


def test_unseen_subjects_and_montages(make_windows, mixed_windows):
    X = make_windows()
    who = X.groups("subject")
    alignment = WindowAlignment().fit(X[who != "A/03"])
    state = pickle.dumps(alignment)
    both = alignment.transform(X)
    assert pickle.dumps(alignment) == state
    alone = alignment.transform(X[who == "A/03"])
    assert_allclose(np.asarray(both[who == "A/03"]), np.asarray(alone), rtol=1e-5)
    strict = WindowAlignment(unseen="error").fit(X[who != "A/03"])
    with pytest.raises(ValueError, match="Domains A/03 were not seen in fit"):
        strict.transform(X)
    seen = mixed_windows.groups("dataset") != "C"
    new_cap = WindowAlignment().fit(mixed_windows[seen]).transform(mixed_windows[~seen])
    assert len(new_cap.ch_names) == 60
    with pytest.raises(ValueError, match="2 montages, which cannot share .* 'A/01'"):
        WindowAlignment(target="A/01").fit(mixed_windows[seen])
    mean = WindowAlignment(target="mean").fit(mixed_windows[seen])
    with pytest.raises(ValueError, match="AF3, AF4, CZ, PO3, PO4 was seen in fit"):
        mean.transform(mixed_windows[~seen])
    strict = WindowAlignment(unseen="error").fit(mixed_windows[seen])
    with pytest.raises(ValueError, match="unseen='error'"):
        strict.transform(mixed_windows[~seen])


def test_channel_order_does_not_matter_to_alignment(make_windows):
    X = make_windows()
    train, test = np.arange(0, 36, 2), np.arange(1, 36, 2)
    order = [3, 0, 7, 1, 2, 6, 5, 4]
    shuffled = EEGWindows.from_arrays(
        np.asarray(X)[test][:, order],
        ch_names=[X.ch_names[i].upper() for i in order],
        sfreq=X.sfreq,
        dataset="A",
        subject=X.metadata["subject"][test],
    )
    # Known domains, other windows: what was learnt must find its channels again.
    alignment = WindowAlignment().fit(X[train])
    a, b = (np.asarray(alignment.transform(Z)) for Z in (X[test], shuffled))
    assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_rows_of_several_subjects_in_any_order_in_one_array(make_windows):
    X = make_windows()
    order = np.random.default_rng(0).permutation(len(X))
    mixed = EEGWindows.from_arrays(
        np.asarray(X)[order], ch_names=X.ch_names, sfreq=X.sfreq, dataset="A",
        subject=X.metadata["subject"][order],
    )  # fmt: skip
    expected = np.asarray(WindowAlignment().fit_transform(X))[order]
    aligned = WindowAlignment().fit_transform(mixed)
    assert_allclose(np.asarray(aligned), expected, rtol=1e-4, atol=1e-5)
    # Statistics of the amplitude are those of the aligned signal.
    _, scale = aligned.recordings[0].robust_statistics(range(8))
    assert 0.5 < scale < 5


def test_digitised_positions_stay_with_their_channels(make_windows):
    X = make_windows()
    names = [f"E{i}" for i in range(1, 9)]
    template = template_positions()
    positions = np.array([template[name.upper()] for name in X.ch_names])

    def windows(order):
        return EEGWindows.from_arrays(
            np.asarray(X)[:, order], ch_names=[names[i] for i in order],
            sfreq=X.sfreq, subject=X.metadata["subject"], dataset="A",
            positions=positions[order],
        )  # fmt: skip

    order = [3, 0, 7, 1, 2, 6, 5, 4]
    alignment = WindowAlignment().fit(windows(list(range(8))))
    aligned = alignment.transform(windows(order))
    assert aligned.ch_names == tuple(names)
    assert_allclose(aligned.recordings[0].positions, positions)
    assert aligned.to_canonical().shape[1] == 60


def test_arrays_stay_arrays(make_windows):
    windows = make_windows()
    X, who = np.asarray(windows), windows.groups("subject")
    aligned = WindowAlignment().fit_transform(X, domains=who)
    assert isinstance(aligned, np.ndarray) and aligned.dtype == np.float32
    expected = np.asarray(WindowAlignment().fit_transform(windows))
    # The channels' order of an array is its own; the whitening is the same.
    assert_allclose(aligned, expected, rtol=1e-4, atol=1e-5)
    one = WindowAlignment().fit(X)
    assert_allclose(one.transform(X), one.fit_transform(X))
    fold = WindowAlignment().fit(X[who != "A/01"], domains=who[who != "A/01"])
    assert_allclose(fold.transform(X[who == "A/01"]), aligned[who == "A/01"], rtol=1e-4)
    by_other_name = WindowAlignment().fit(X, sample_domain=who)
    assert_array_equal(by_other_name.transform(X, sample_domain=who), aligned)
    with pytest.raises(ValueError, match="two names of one thing"):
        one.transform(X, domains=who, sample_domain=who)
    with pytest.raises(ValueError, match="fit was given an array, .* given EEGWindows"):
        one.transform(windows)
    with pytest.raises(ValueError, match="fit was given EEGWindows, .* an array"):
        WindowAlignment().fit(windows).transform(X)
    stimuli = windows.groups("stimulus")
    with pytest.raises(ValueError, match="fit was given domains, and transform none"):
        WindowAlignment().fit(windows, domains=stimuli).transform(windows)
    with pytest.raises(ValueError, match="given no domains, and transform some"):
        WindowAlignment().fit(windows).transform(windows, domains=stimuli)


def test_domains_other_than_subjects(make_windows):
    X = make_windows(("A",))
    by_dataset = WindowAlignment("euclid", domain="dataset").fit_transform(X)
    mean = WindowCovariances().fit_transform(by_dataset).mean(axis=0)
    assert relative(mean, np.eye(8)) < 1e-5
    by_stimulus = WindowAlignment("euclid").fit_transform(
        X, domains=X.groups("stimulus")
    )
    covariances = WindowCovariances().fit_transform(by_stimulus)
    mean = covariances[X.groups("stimulus") == "A/clip1"].mean(axis=0)
    assert relative(mean, np.eye(8)) < 1e-5


def test_singular_signals_give_finite_windows(make_windows):
    array = np.array(make_windows())
    array -= array.mean(axis=1, keepdims=True)  # common average
    array[:, 3] = 1e-3  # a channel that is constant
    for metric in METRICS:
        aligned = WindowAlignment(metric).fit_transform(array)
        assert np.isfinite(aligned).all() and aligned.std(axis=2).max() < 10
    mean = (
        WindowCovariances()
        .fit_transform(WindowAlignment().fit_transform(array))
        .mean(axis=0)
    )
    # The target, but for the direction in which there is no signal.
    values = np.linalg.eigvalsh(mean)
    assert_allclose(values, [0, 1, 1, 1, 1, 1, 1, 1], atol=1e-3)
    array[7] = 0.0
    with pytest.raises(ValueError, match="1 of 36 windows are constant .* 7"):
        WindowAlignment().fit(array)
    array[7] = np.nan
    with pytest.raises(ValueError, match="windows 7"):
        WindowAlignment().fit(array)


def test_subjects_must_be_known():
    signal = np.random.default_rng(0).standard_normal((4, 2, 50))
    X = EEGWindows.from_arrays(signal, ch_names=["Cz", "Pz"], sfreq=50.0)
    with pytest.raises(ValueError, match="4 of 4 windows have no subject"):
        WindowAlignment().fit(X)


def test_aligned_windows_go_into_the_other_transformers(make_windows):
    X = make_windows(window_seconds=3.0)
    model = make_pipeline(
        WindowAlignment(), DifferentialEntropy(), LogisticRegression(max_iter=2000)
    )
    scores = cross_val_score(
        model, X, X.y, groups=X.groups("subject"), cv=LeaveOneGroupOut()
    )
    assert scores.shape == (3,) and np.isfinite(scores).all()
    encoder = MDJPTEncoder.small(max_epochs=0, random_state=0)
    aligned = WindowAlignment().fit_transform(X)
    features = encoder.fit(aligned).transform(aligned)
    again = pickle.loads(pickle.dumps(aligned[:4]))
    assert_array_equal(np.asarray(again), np.asarray(aligned[:4]))
    assert features.shape[0] == len(X) and np.isfinite(features).all()


def test_windows_of_a_memory_map_are_aligned(tmp_path, make_windows):
    array = np.asarray(make_windows())
    np.save(tmp_path / "x.npy", array)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    kwargs = {"ch_names": list("ABCDEFGH"), "sfreq": 200.0, "subject": "1"}
    kwargs["ch_names"] = make_windows().ch_names
    a, b = (
        np.asarray(WindowAlignment().fit_transform(EEGWindows.from_arrays(Z, **kwargs)))
        for Z in (array, mapped)
    )
    assert_array_equal(a, b)
    assert_array_equal(mapped, array)


def test_threads_of_blas_are_restored_whoever_leaves_last():
    X, names = make_matrices()
    controller = ThreadpoolController().select(user_api="blas")

    def threads():
        return [library["num_threads"] for library in controller.info()]

    with controller.limit(limits=2):
        before = threads()
        pool = ThreadPoolExecutor(4)
        for _ in range(5):
            jobs = [
                pool.submit(CovarianceAlignment().fit_transform, X, domains=names)
                for _ in range(8)
            ]
            for job in jobs:
                job.result()
        assert threads() == before
