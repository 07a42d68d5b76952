import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_mdjpt._grouping import (
    combine_groups,
    natural_codes,
    rows_of_groups,
)
from sklearn_mdjpt.smoothing import LDSSmoother, RunningNormalizer, SubjectScaler

PARITY = Path(__file__).parent / "data" / "reference_parity.npz"
STEPS = [SubjectScaler, RunningNormalizer, LDSSmoother]
TIMED = [RunningNormalizer, LDSSmoother]

CHECKS_OF_SINGLE_ROWS = {
    name: "without keywords all rows are one sequence in time, in their order"
    for name in (
        "check_methods_sample_order_invariance",
        "check_methods_subset_invariance",
    )
}


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def parity():
    with np.load(PARITY) as file:
        return {k.removeprefix("postproc."): file[k] for k in file if "postproc" in k}


def make_metadata(n_subjects=2, n_sessions=2, lengths=(5, 1, 8)):
    """Return subjects, sessions, trials and onsets of windows in the order of time."""
    rows = [
        (f"s{subject}", session, 9 + trial, 2.0 * window)
        for subject in range(n_subjects)
        for session in range(n_sessions)
        for trial, length in enumerate(lengths)
        for window in range(length)
    ]
    names = ("subjects", "sessions", "trials", "onsets")
    columns = zip(*rows, strict=True)
    return {k: np.array(column) for k, column in zip(names, columns, strict=True)}


def keywords_of(step, metadata):
    names = ("subjects",) if isinstance(step, SubjectScaler) else tuple(metadata)
    return {name: metadata[name] for name in names}


def pick(metadata, rows):
    return {name: column[rows] for name, column in metadata.items()}


def kalman_rts(x, transition_noise, observation_noise, initial_variance):
    """Filter and smooth one trial, state by state: (n_windows, n_features)."""
    means, variances = [], []
    for t, row in enumerate(np.asarray(x, dtype=np.longdouble)):
        mean = means[-1] if t else x.mean(axis=0, dtype=np.longdouble)
        variance = variances[-1] + transition_noise if t else initial_variance
        gain = np.longdouble(variance) / (variance + observation_noise)
        means.append(mean + gain * (row - mean))
        variances.append((1 - gain) * variance)
    smooth = [means[-1]]
    for mean, variance in zip(means[-2::-1], variances[-2::-1], strict=True):
        gain = variance / (variance + transition_noise)
        smooth.append(mean + gain * (smooth[-1] - mean))
    return np.array(smooth[::-1], dtype=float)


def running_loop(x, mean, var, decay=0.99):
    """Normalise one session, each window from all before it."""
    out = []
    for t in range(len(x)):
        w, past = decay**t, x[: t + 1].astype(np.longdouble)
        m = w * mean + (1 - w) * past.mean(axis=0)
        v = w * var + (1 - w) * past.var(axis=0)
        out.append((x[t] - m) / np.sqrt(v + 1e-10))
    return np.array(out, dtype=float)


# Parity and oracles


def test_lds_equals_the_reference(parity):
    smoother = LDSSmoother()
    got = smoother.fit_transform(parity["x"], trials="1")
    assert np.abs(got - parity["lds"]).max() < 1e-9


def test_running_normalisation_equals_the_reference(parity):
    spread = np.sqrt(parity["var"])
    train = np.stack([parity["mean"] - spread, parity["mean"] + spread])
    got = RunningNormalizer().fit(train).transform(parity["x"])
    assert np.abs(got - parity["running_norm"]).max() < 1e-9


@pytest.mark.parametrize(
    "noises", [(1e-4, 1.0, 0.01), (0.5, 0.2, 3.0), (1e-3, 100.0, 1e-4), (10, 1, 1)]
)
def test_lds_equals_kalman_and_rts_on_interleaved_shuffled_trials(rng, noises):
    lengths = (5, 1, 40, 2, 13)
    trials = np.repeat(["t1", "t2", "t3", "t4", "t5"], lengths)
    onsets = np.concatenate([np.arange(n) for n in lengths])
    X = rng.standard_normal((len(trials), 3)).cumsum(axis=0)
    wanted = np.concatenate(
        [kalman_rts(X[trials == t], *noises) for t in np.unique(trials)]
    )
    smoother = LDSSmoother(*noises)
    rows = rng.permutation(len(X))
    got = smoother.fit_transform(X[rows], trials=trials[rows], onsets=onsets[rows])
    np.testing.assert_allclose(got, wanted[rows], rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("unit", [1.0, 2.0, 1 / 3])
def test_lds_sees_windows_that_were_dropped(rng, unit):
    """A hole of g steps is a random walk of g steps; rounded onsets make no hole."""
    noises = (0.5, 0.2, 3.0)
    kept = np.array([0, 1, 2, 6, 7, 9, 10, 11])
    X = rng.standard_normal((len(kept), 2)).cumsum(axis=0)
    # The joint Gaussian of states and observations, in full.
    q, r, v = noises
    covariance = v + q * np.minimum.outer(kept, kept)
    gain = covariance @ np.linalg.inv(covariance + r * np.eye(len(kept)))
    wanted = X.mean(axis=0) + gain @ (X - X.mean(axis=0))
    smoother = LDSSmoother(*noises)
    got = smoother.fit_transform(X, trials="1", onsets=np.round(unit * kept, 3))
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=1e-9)
    # Of the other trials nothing changes, to the bit, nor where no onset is known.
    whole = rng.standard_normal((5, 2))
    both = smoother.transform(
        np.concatenate([whole, X]), trials=np.repeat([1, 2], [5, 8]),
        onsets=unit * np.concatenate([np.arange(5), kept]),
    )  # fmt: skip
    np.testing.assert_array_equal(both[:5], smoother.transform(whole, trials="1"))
    even = smoother.transform(X, trials="1", onsets=unit * np.arange(8))
    np.testing.assert_array_equal(smoother.transform(X, trials="1"), even)
    assert np.abs(even - got).max() > 0.01


def test_lds_far_apart_variances_stay_accurate(rng):
    X = rng.standard_normal((300, 2)).cumsum(axis=0)
    for noises in [(1e-10, 1.0, 1.0), (1.0, 1e-10, 1e-10), (1.0, 1e-5, 1e5)]:
        got = LDSSmoother(*noises).fit_transform(X, trials=1)
        assert np.abs(got - kalman_rts(X, *noises)).max() < 1e-9 * X.std()


def test_lds_of_one_window_and_of_constant_trials_changes_nothing(rng):
    X = np.repeat(1e6 + rng.standard_normal((3, 4)), (1, 7, 4), axis=0)
    trials = np.repeat([1, 2, 3], (1, 7, 4))
    np.testing.assert_array_equal(LDSSmoother().fit_transform(X, trials=trials), X)
    one = LDSSmoother().fit(X).transform(X[:1])
    np.testing.assert_array_equal(one, X[:1])


def test_lds_keeps_the_digits_of_features_with_a_large_offset(rng):
    X = rng.standard_normal((30, 2))
    small = LDSSmoother(0.1).fit_transform(X, trials=1)
    large = LDSSmoother(0.1).fit_transform(X + 1e6, trials=1)
    np.testing.assert_allclose(large - 1e6, small, atol=1e-9)


def test_lds_defaults_leave_next_to_no_spread_within_a_trial(rng):
    X = rng.standard_normal((40, 20))
    smooth = LDSSmoother().fit_transform(X, trials=1)
    assert (smooth.std(axis=0) < 0.06 * X.std(axis=0)).all()
    np.testing.assert_allclose(smooth.mean(axis=0), X.mean(axis=0), atol=0.05)


def test_lds_trials_do_not_touch_each_other(rng):
    metadata = make_metadata()
    X = rng.standard_normal((len(metadata["trials"]), 3))
    changed = X.copy()
    inside = (metadata["subjects"] == "s1") & (metadata["sessions"] == 0)
    inside &= metadata["trials"] == 11
    changed[inside] = 1e3 * rng.standard_normal((inside.sum(), 3))
    before = LDSSmoother().fit_transform(X, **metadata)
    after = LDSSmoother().fit_transform(changed, **metadata)
    np.testing.assert_array_equal(before[~inside], after[~inside])
    assert (before[inside] != after[inside]).all()


def test_lds_trial_is_a_combination_of_the_ids_that_are_given(rng):
    metadata = make_metadata(lengths=(4, 3))
    X = rng.standard_normal((len(metadata["trials"]), 2))
    got = LDSSmoother().fit_transform(X, **metadata)
    of_subject = metadata["subjects"] == "s0"
    for session in (0, 1):
        for trial in (9, 10):
            one = of_subject & (metadata["sessions"] == session)
            one &= metadata["trials"] == trial
            wanted = kalman_rts(X[one], 1e-4, 1.0, 0.01)
            np.testing.assert_allclose(got[one], wanted, atol=1e-10)


def test_lds_warns_once_without_trials_and_takes_a_subject_for_one_trial(rng):
    X = rng.standard_normal((9, 2))
    subjects = np.array(["a", "b", "a"] * 3)
    with pytest.warns(UserWarning, match="No trials were given.*across clips") as log:
        got = LDSSmoother().fit_transform(X, subjects=subjects)
    assert len(log) == 1
    for name in "ab":
        wanted = kalman_rts(X[subjects == name], 1e-4, 1.0, 0.01)
        np.testing.assert_allclose(got[subjects == name], wanted, atol=1e-10)


def test_lds_does_not_warn_of_single_windows_or_with_trials(rng):
    X = rng.standard_normal((3, 2))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        LDSSmoother().fit(X).transform(X[:1])
        LDSSmoother().fit_transform(X, subjects=["a", "b", "c"])
        LDSSmoother().fit_transform(X, trials=[1, 1, 1], onsets=[0, 2, 4])


@pytest.mark.parametrize("name", ["observation_noise", "initial_variance"])
@pytest.mark.parametrize("value", [0, -1.0, np.nan, np.inf, "1", None, True])
def test_lds_parameters_must_be_positive_and_finite(name, value):
    smoother = LDSSmoother(**{name: value})
    with pytest.raises(ValueError, match=f"^{name} must be a finite number > 0, got"):
        smoother.fit([[1.0]])
    assert not hasattr(smoother, "n_features_in_")


def test_lds_refuses_variances_that_float64_cannot_solve():
    with pytest.raises(ValueError, match="within a factor of 1e10"):
        LDSSmoother(transition_noise=1e-12).fit([[1.0]])


# Running normalisation


def test_running_normaliser_starts_anew_for_each_subject_and_session(rng):
    metadata = make_metadata()
    train = rng.standard_normal((50, 3))
    X = 3 + 2 * rng.standard_normal((len(metadata["trials"]), 3))
    normalizer = RunningNormalizer().fit(train)
    got = normalizer.transform(X, **metadata)
    for subject in ("s0", "s1"):
        for session in (0, 1):
            one = (metadata["subjects"] == subject) & (metadata["sessions"] == session)
            wanted = running_loop(X[one], train.mean(axis=0), train.var(axis=0))
            np.testing.assert_allclose(got[one], wanted, rtol=1e-10, atol=1e-12)


def test_running_normaliser_takes_trials_in_natural_order_and_onsets_inside(rng):
    X = rng.standard_normal((6, 2))
    trials = ["10", "9", "10", "9", "2", "10"]
    onsets = [4.0, 2.0, 0.0, 0.0, 8.0, 2.5]
    in_time = [4, 3, 1, 2, 5, 0]
    normalizer = RunningNormalizer().fit(rng.standard_normal((9, 2)))
    got = normalizer.transform(X, trials=trials, onsets=onsets)
    wanted = normalizer.transform(X[in_time])
    np.testing.assert_array_equal(got[in_time], wanted)
    by_rows = normalizer.transform(X, trials=trials)
    rows = [4, 1, 3, 0, 2, 5]
    np.testing.assert_array_equal(by_rows[rows], normalizer.transform(X[rows]))


def test_running_normaliser_is_causal(rng):
    normalizer = RunningNormalizer().fit(rng.standard_normal((9, 2)))
    X = rng.standard_normal((30, 2))
    changed = X.copy()
    changed[20:] = 1e4 * rng.standard_normal((10, 2))
    got, other = normalizer.transform(X), normalizer.transform(changed)
    np.testing.assert_array_equal(got[:20], other[:20])
    assert (got[20:] != other[20:]).all()
    online = [normalizer.transform(X[: t + 1])[-1] for t in range(len(X))]
    np.testing.assert_allclose(online, got, rtol=1e-12, atol=1e-12)


def test_running_normaliser_loses_no_digits_to_a_large_offset(rng):
    X = rng.standard_normal((200, 2)) + 1e6
    X[0] += 1e3  # an odd first window must not spoil the sums
    train = rng.standard_normal((50, 2)) + 1e6
    normalizer = RunningNormalizer().fit(train)
    careful = (train - 1e6).var(axis=0)
    np.testing.assert_allclose(normalizer.var_, careful, rtol=1e-12)
    wanted = running_loop(X, normalizer.mean_, normalizer.var_)
    np.testing.assert_allclose(normalizer.transform(X), wanted, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("decay", [0, 0.5, 1])
def test_running_normaliser_decay_goes_from_running_to_training_statistics(rng, decay):
    train, X = rng.standard_normal((9, 2)), 5 + rng.standard_normal((7, 2))
    got = RunningNormalizer(decay).fit(train).transform(X)
    wanted = running_loop(X, train.mean(axis=0), train.var(axis=0), decay)
    np.testing.assert_allclose(got, wanted, rtol=1e-9)
    if decay == 1:
        wanted = StandardScaler().fit(train).transform(X)
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


@pytest.mark.parametrize("decay", [-0.1, 1.1, np.nan, "0.9", None, True])
def test_running_normaliser_decay_must_lie_between_0_and_1(decay):
    with pytest.raises(ValueError, match="^decay must be .* >= 0 and <= 1, got"):
        RunningNormalizer(decay).fit([[1.0]])


# Both that know time


@pytest.mark.parametrize("Step", TIMED)
def test_output_follows_any_order_of_the_rows(rng, Step):
    metadata = make_metadata()
    X = rng.standard_normal((len(metadata["trials"]), 3))
    step = Step().fit(X)
    wanted = step.transform(X, **metadata)
    rows = rng.permutation(len(X))
    got = step.transform(X[rows], **pick(metadata, rows))
    np.testing.assert_array_equal(got, wanted[rows])


@pytest.mark.parametrize("Step", TIMED)
def test_windows_at_one_onset_of_a_trial_are_warned_of(rng, Step):
    metadata = make_metadata()
    X = rng.standard_normal((len(metadata["trials"]), 2))
    metadata.pop("sessions")  # two sessions fall into one
    with pytest.warns(UserWarning, match="28 of 56 windows repeat the subject") as log:
        Step().fit_transform(X, **metadata)
    assert len(log) == 1


@pytest.mark.parametrize("Step", TIMED)
def test_onsets_are_all_known_or_none(rng, Step):
    X = rng.standard_normal((4, 2))
    wanted = Step().fit_transform(X, trials=[1, 1, 2, 2])
    got = Step().fit_transform(X, trials=[1, 1, 2, 2], onsets=[np.nan] * 4)
    np.testing.assert_array_equal(got, wanted)
    with pytest.raises(ValueError, match="onsets are missing for 1 of 4 rows"):
        Step().fit(X, trials=[1, 1, 2, 2], onsets=[0, 1, None, 1])
    with pytest.raises(TypeError, match="onsets of row 0: expected seconds"):
        Step().fit(X, trials=[1, 1, 2, 2], onsets=["a", "b", "c", "d"])


# Subjects


@pytest.fixture
def two_subjects(rng):
    """Return features of subjects "a" and "b", interleaved."""
    subjects = np.array(["a", "b", "a", "b", "b", "a", "b"])
    X = rng.standard_normal((7, 3))
    X[subjects == "b"] = 50 + 10 * X[subjects == "b"]
    return X, subjects


def z_score(x):
    return (x - x.mean(axis=0)) / x.std(axis=0)


def test_scaler_gives_each_subject_mean_zero_and_sd_one(two_subjects):
    X, subjects = two_subjects
    scaler = SubjectScaler()
    got = scaler.fit_transform(X, subjects=subjects)
    for name in "ab":
        own = X[subjects == name]
        np.testing.assert_allclose(got[subjects == name], z_score(own), rtol=1e-10)
        np.testing.assert_allclose(scaler.means_[name], own.mean(axis=0))
        np.testing.assert_allclose(scaler.scales_[name], own.std(axis=0))
    assert scaler.n_windows_ == {"a": 3, "b": 4}
    np.testing.assert_allclose(scaler.mean_, X.mean(axis=0))
    np.testing.assert_allclose(scaler.scale_, X.std(axis=0))


@pytest.mark.parametrize("unseen", ["transductive", "pooled", "error"])
def test_scaler_gives_known_subjects_their_fitted_statistics(two_subjects, unseen):
    X, subjects = two_subjects
    scaler = SubjectScaler(unseen).fit(X, subjects=subjects)
    new = X[:3] + 7.0
    got = scaler.transform(new, subjects=["b", "a", "b"])
    for row, name in enumerate("bab"):
        wanted = (new[row] - scaler.means_[name]) / scaler.scales_[name]
        np.testing.assert_array_equal(got[row], wanted)


def test_scaler_transductive_uses_the_unseen_subjects_own_windows(two_subjects):
    X, subjects = two_subjects
    scaler = SubjectScaler().fit(X, subjects=subjects)
    new, names = 3 * X + 1, np.where(subjects == "a", "c", "a")
    got = scaler.transform(new, subjects=names)
    np.testing.assert_allclose(got[names == "c"], z_score(new[names == "c"]), rtol=1e-9)
    wanted = (new[names == "a"] - scaler.means_["a"]) / scaler.scales_["a"]
    np.testing.assert_array_equal(got[names == "a"], wanted)


def test_scaler_pooled_uses_all_training_windows(two_subjects):
    X, subjects = two_subjects
    scaler = SubjectScaler("pooled").fit(X, subjects=subjects)
    wanted = StandardScaler().fit(X).transform(X + 2)
    for names in ("c", list("cdcdcdc"), None):
        np.testing.assert_allclose(scaler.transform(X + 2, subjects=names), wanted)


def test_scaler_error_names_the_unseen_subjects(two_subjects):
    X, subjects = two_subjects
    scaler = SubjectScaler("error").fit(X, subjects=subjects)
    with pytest.raises(ValueError, match=r"not seen in fit: c, d \(fitted to a, b\)"):
        scaler.transform(X, subjects=list("acbdcda"))
    with pytest.raises(ValueError, match="transform got no subjects.*WindowFeatures"):
        scaler.transform(X)
    alone = SubjectScaler("error").fit(X)
    with pytest.raises(ValueError, match="not seen in fit: a, b .fitted to X without"):
        alone.transform(X, subjects=subjects)
    alone.transform(X)


def test_scaler_without_subjects_is_a_standard_scaler(two_subjects):
    X, _ = two_subjects
    wanted = StandardScaler().fit(X)
    scaler = SubjectScaler().fit(X)
    np.testing.assert_allclose(scaler.transform(X[:1]), wanted.transform(X[:1]))
    assert list(scaler.means_) == [None]


def test_scaler_fitted_by_subject_takes_x_without_subjects_for_an_unseen_one(
    two_subjects,
):
    X, subjects = two_subjects
    got = SubjectScaler().fit(X, subjects=subjects).transform(X)
    np.testing.assert_allclose(got, z_score(X), rtol=1e-10)


def test_scaler_fitted_without_subjects_knows_no_subject(two_subjects):
    X, subjects = two_subjects
    got = SubjectScaler().fit(X).transform(X, subjects=subjects)
    wanted = SubjectScaler().fit_transform(X, subjects=subjects)
    np.testing.assert_array_equal(got, wanted)


def test_scaler_takes_3_and_its_spellings_for_one_subject(two_subjects):
    X, _ = two_subjects
    scaler = SubjectScaler("error").fit(X, subjects=3)
    wanted = scaler.transform(X, subjects=[3] * 7)
    np.testing.assert_array_equal(scaler.transform(X, subjects=["3"] * 7), wanted)
    np.testing.assert_array_equal(scaler.transform(X, subjects=3.0), wanted)
    assert list(scaler.means_) == ["3"] and type(next(iter(scaler.means_))) is str


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("value", [0.0, 0.1, -1e6, 1e-9])
def test_scaler_does_not_blow_up_a_feature_that_is_constant_to_rounding(
    rng, dtype, value
):
    noise = rng.integers(-2, 3, size=500) * np.finfo(dtype).eps
    X = (value * (1 + noise)).astype(dtype)[:, None]
    scaler = SubjectScaler()
    got = scaler.fit_transform(X, subjects=np.repeat(["a", "b"], 250))
    assert scaler.scales_["a"] == scaler.scales_["b"] == scaler.scale_ == 1
    assert np.abs(got).max() <= 1e-5 * abs(value)
    transduced = SubjectScaler().fit(X).transform(X, subjects="c")
    assert np.abs(transduced).max() <= 1e-5 * abs(value)


def test_statistics_of_a_constant_feature_are_exact():
    X = np.full((1000, 1), 0.1)
    scaler, normalizer = SubjectScaler().fit(X), RunningNormalizer().fit(X)
    assert scaler.mean_ == normalizer.mean_ == 0.1
    assert normalizer.var_ == 0
    assert (normalizer.transform(X) == 0).all()


@pytest.mark.parametrize("scale", [1e-9, 1e-3])
def test_scaler_does_scale_small_features_on_a_large_offset(rng, scale):
    X = 1.0 + scale * rng.standard_normal((100, 1))
    np.testing.assert_allclose(SubjectScaler().fit_transform(X).std(), 1, rtol=1e-6)


def test_scaler_warns_of_single_windows(two_subjects):
    X, subjects = two_subjects
    scaler = SubjectScaler()
    single = np.where(np.arange(7) == 5, "lone", subjects)
    with pytest.warns(
        UserWarning, match="single window is all there is of lone"
    ) as log:
        got = scaler.fit_transform(X, subjects=single)
    assert len(log) == 1
    assert (got[5] == 0).all() and (got[0] != 0).all()
    with pytest.warns(UserWarning, match="single window is all there is of c"):
        scaler.transform(X[:3], subjects=["c", "d", "d"])
    with pytest.warns(UserWarning, match="all there is of X, one subject"):
        scaler.transform(X[:1])
    with pytest.warns(UserWarning, match="all there is of X, one subject"):
        SubjectScaler().fit(X[:1])


def test_scaler_does_not_warn_where_a_single_window_keeps_its_information(two_subjects):
    X, subjects = two_subjects
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SubjectScaler("pooled").fit(X, subjects=subjects).transform(X[:1], subjects="c")
        SubjectScaler().fit(X, subjects=subjects).transform(X[:1], subjects="a")
        SubjectScaler(with_mean=False).fit(X).transform(X[:1], subjects="c")


def test_scaler_with_mean_and_with_std(two_subjects):
    X, subjects = two_subjects
    a = subjects == "a"

    def scale(**kwargs):
        return SubjectScaler(**kwargs).fit_transform(X, subjects=subjects)[a]

    np.testing.assert_allclose(scale(with_std=False), X[a] - X[a].mean(axis=0))
    np.testing.assert_allclose(scale(with_mean=False), X[a] / X[a].std(axis=0))
    np.testing.assert_array_equal(scale(with_mean=False, with_std=False), X[a])


def test_scaler_refuses_an_unknown_policy(two_subjects):
    X, _ = two_subjects
    with pytest.raises(ValueError, match="unseen must be one of 'transductive'"):
        SubjectScaler("ignore").fit(X)
    scaler = SubjectScaler().fit(X).set_params(unseen="ignore")
    with pytest.raises(ValueError, match="unseen must be one of"):
        scaler.transform(X, subjects="c")


# All three


def state_of(step):
    return pickle.dumps(step.__dict__)


@pytest.fixture
def data(rng):
    """Return features and metadata of 56 windows, not in the order of time."""
    metadata = make_metadata()
    rows = rng.permutation(len(metadata["trials"]))
    return 2 + rng.standard_normal((len(rows), 4)), pick(metadata, rows)


@pytest.mark.parametrize("Step", STEPS)
def test_keywords_make_a_difference_and_an_index_is_kept(data, Step):
    X, metadata = data
    keywords = keywords_of(Step(), metadata)
    frame = pd.DataFrame(X, columns=list("pqrs"), index=np.arange(len(X)) + 100)
    step = Step().set_output(transform="pandas")
    found = step.fit_transform(frame, **keywords)
    assert list(found.index) == list(frame.index)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of keywords that are not there
        assert not np.allclose(found, step.transform(frame))


@pytest.mark.parametrize("unseen", ["transductive", "pooled"])
def test_scaler_learns_nothing_from_test_subjects(two_subjects, unseen):
    X, subjects = two_subjects
    scaler = SubjectScaler(unseen).fit(X, subjects=subjects)
    before, wanted = state_of(scaler), scaler.transform(X, subjects=subjects)
    for factor in (1.0, 1e6):
        scaler.transform(factor * X, subjects=np.where(subjects == "a", "c", "b"))
        scaler.transform(factor * X)
    assert state_of(scaler) == before
    np.testing.assert_array_equal(scaler.transform(X, subjects=subjects), wanted)


@pytest.mark.parametrize("Step", STEPS)
def test_keywords_change_no_row_count_and_keep_float32(data, Step):
    X, metadata = data
    keywords = keywords_of(Step(), metadata)
    wide = Step().fit_transform(X, **keywords)
    narrow = Step().fit_transform(X.astype(np.float32), **keywords)
    assert wide.dtype == np.float64 and narrow.dtype == np.float32
    assert wide.shape == narrow.shape == X.shape
    np.testing.assert_allclose(narrow, wide, rtol=1e-4, atol=1e-5)
    assert get_tags(Step()).transformer_tags.preserves_dtype == ["float64", "float32"]
    integers = Step().fit_transform((10 * X).astype(int), **keywords)
    assert integers.dtype == np.float64


def test_float32_is_computed_in_float64(rng):
    X = (1e4 + rng.standard_normal((2000, 1))).astype(np.float32)
    for Step in STEPS:
        keywords = {"subjects": 1} if Step is SubjectScaler else {"trials": 1}
        got = Step().fit_transform(X, **keywords)
        wanted = Step().fit_transform(X.astype(float), **keywords)
        np.testing.assert_array_equal(got, wanted.astype(np.float32))


# In a Pipeline


@pytest.fixture
def train_and_test(data):
    X, metadata = data
    y = (X[:, 0] + metadata["sessions"] > 2).astype(int)
    train = slice(40), slice(40, None)
    return [(X[rows], y[rows], pick(metadata, rows)) for rows in train]


@pytest.mark.parametrize("Step", STEPS)
def test_routed_keywords_reach_fit_and_transform(train_and_test, Step):
    (X, y, metadata), (X_test, _, test_metadata) = train_and_test
    metadata = keywords_of(Step(), metadata)
    test_metadata = keywords_of(Step(), test_metadata)
    step, head = Step(), LogisticRegression()
    head.fit(step.fit_transform(X, **metadata), y)
    wanted = head.decision_function(step.transform(X_test, **test_metadata))
    with sklearn.config_context(enable_metadata_routing=True):
        pipe = make_pipeline(Step(), LogisticRegression())
        pipe.fit(X, y, **metadata)
        got = pipe.decision_function(X_test, **test_metadata)
        predicted = pipe.predict(X_test, **test_metadata)
    np.testing.assert_array_equal(got, wanted)
    np.testing.assert_array_equal(predicted, wanted > 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert not np.allclose(got, pipe.decision_function(X_test))


@pytest.mark.parametrize("Step", STEPS)
def test_without_routing_keywords_reach_the_training_features(train_and_test, Step):
    X, y, metadata = train_and_test[0]
    metadata = keywords_of(Step(), metadata)
    pipe = make_pipeline(Step(), LogisticRegression())
    pipe.fit(X, y, **{f"{Step.__name__.lower()}__{k}": v for k, v in metadata.items()})
    head = LogisticRegression().fit(Step().fit_transform(X, **metadata), y)
    np.testing.assert_array_equal(pipe[-1].coef_, head.coef_)


@pytest.mark.parametrize("Step", STEPS)
def test_keywords_are_requested_by_default(Step):
    names = set(keywords_of(Step(), make_metadata()))
    requests = Step().get_metadata_routing()
    for method in ("fit", "transform", "fit_transform"):
        asked = getattr(requests, method).requests
        assert asked == dict.fromkeys(names, True), method


@pytest.mark.filterwarnings("ignore:No trials were given:UserWarning")
@pytest.mark.filterwarnings("ignore:A single window:UserWarning")
@parametrize_with_checks(
    [Step() for Step in STEPS],
    expected_failed_checks=lambda step: (
        CHECKS_OF_SINGLE_ROWS if isinstance(step, tuple(TIMED)) else {}
    ),
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_natural_order_of_ids_with_missing_and_mixed_ones():
    def ranks(values):
        return natural_codes(np.array(values, dtype=object)).tolist()

    assert ranks(["10", "9", "1"]) == [2, 1, 0]
    assert ranks(["1", None, "2"]) == [1, 0, 2]
    assert ranks(["1", np.nan, "2"]) == [1, 0, 2]
    assert ranks(["b2", "b10", "a3", None, "b2"]) == [2, 3, 1, 0, 2]
    assert natural_codes(np.array([2.5, np.nan, -1.0])).tolist() == [2, 0, 1]


def test_rows_of_groups():
    rng = np.random.default_rng(0)
    codes = combine_groups(50, rng.integers(0, 4, 50), rng.choice(["a", "b"], 50))
    assert codes[0] == 0 and (np.diff(np.unique(codes)) == 1).all()
    rows = rows_of_groups(codes)
    assert [set(codes[some]) for some in rows] == [{k} for k in range(len(rows))]
    assert all((np.diff(some) > 0).all() for some in rows)
    assert sorted(np.concatenate(rows)) == list(range(50))
    assert rows_of_groups(codes[:0]) == []


def test_ids_of_integers_are_spelled_out(rng):
    X = rng.standard_normal((8, 2))
    one = SubjectScaler().fit(X, subjects=np.array([3, 10, 3, -1] * 2))
    assert set(one.means_) == {"3", "10", "-1"}
    other = SubjectScaler().fit(X, subjects=[3.0, 10, "3", -1] * 2)
    assert set(other.means_) == set(one.means_)
    for name, mean in one.means_.items():
        np.testing.assert_array_equal(other.means_[name], mean)
