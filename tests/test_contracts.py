"""What holds for every estimator of the package, whatever it computes.

scikit-learn's own checks say little of estimators that take windows: they run one
single check on those.
"""

import copy
import inspect
import pickle
from functools import partial

import numpy as np
import pandas as pd
import pytest
import sklearn
import torch
from numpy.testing import assert_allclose, assert_array_equal
from pyriemann.tangentspace import TangentSpace
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_html_repr, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import sklearn_mdjpt
from sklearn_mdjpt import (
    CorrelatedComponents,
    CovarianceAlignment,
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTClassifier,
    MDJPTEncoder,
    RunningNormalizer,
    SubjectScaler,
    WindowAlignment,
    WindowCovariances,
    WindowFeatures,
    baselines,
)
from sklearn_mdjpt.baselines import BraindecodeClassifier

SUBJECTS = np.repeat(["1", "2", "3", "4"], 12)
TRIALS = np.tile(np.repeat(["1", "2", "3"], 4), 4)
ONSETS = np.tile(np.arange(4.0), 12)
LABELS = np.where(TRIALS == "2", "sad", "joy")


def windows(seed):
    """Windows of four subjects, three trials each."""
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal((48, 4, 150))
    signal[LABELS == "sad", 0] *= 3.0
    mixing = {who: np.eye(4) + 0.3 * rng.standard_normal((4, 4)) for who in "1234"}
    signal = np.stack([mixing[w] @ x for w, x in zip(SUBJECTS, signal, strict=True)])
    return EEGWindows.from_arrays(
        (1e-5 * signal).astype(np.float32),
        ch_names=["Fz", "Cz", "Pz", "Oz"],
        sfreq=125.0,
        dataset="A",
        subject=SUBJECTS,
        trial=TRIALS,
        stimulus=TRIALS,
        onset=ONSETS,
        y=LABELS,
    )


def matrices(seed):
    return WindowCovariances().fit_transform(windows(seed))


def features(seed):
    return DifferentialEntropy(bands={"all": (4, 40)}).fit_transform(windows(seed))


def spoilt_windows(value):
    array = np.array(windows(0))
    array[5, 2, 7] = value
    return EEGWindows.from_arrays(
        array, ch_names=["Fz", "Cz", "Pz", "Oz"], sfreq=125.0, dataset="A",
        subject=SUBJECTS, trial=TRIALS, stimulus=TRIALS, onset=ONSETS,
    )  # fmt: skip


def spoilt_array(make, value):
    array = make(0).copy()
    array[(5, *(1,) * (array.ndim - 1))] = value
    return array


def fewer_channels(X):
    if not isinstance(X, EEGWindows):
        return X[:, :3, :3] if X.ndim == 3 else X[:, :3]
    return EEGWindows.from_arrays(
        np.asarray(X)[:, :3], ch_names=["Fz", "Cz", "Pz"], sfreq=125.0, dataset="A",
        subject=SUBJECTS, trial=TRIALS, onset=ONSETS,
    )  # fmt: skip


TIMED = {"subjects": SUBJECTS, "trials": TRIALS, "onsets": ONSETS}
BANDS = {"low": (4, 12), "high": (12, 40)}
# Each estimator, its input for a seed, the input with one bad value, its keywords.
CASES = {
    "MDJPTEncoder": (
        MDJPTEncoder.small(
            hidden_dim=8, latent_dim=2, n_heads=1, max_epochs=1, batches_per_epoch=2,
            random_state=0,
        ),
        windows,
        spoilt_windows,
        {},
    ),
    "DifferentialEntropy": (DifferentialEntropy(BANDS), windows, spoilt_windows, {}),
    "WindowCovariances": (WindowCovariances(), windows, spoilt_windows, {}),
    "WindowAlignment": (WindowAlignment(), windows, spoilt_windows, {}),
    "CovarianceAlignment": (
        CovarianceAlignment(),
        matrices,
        partial(spoilt_array, matrices),
        {"domains": SUBJECTS},
    ),
    "SubjectScaler": (
        SubjectScaler(),
        features,
        partial(spoilt_array, features),
        {"subjects": SUBJECTS},
    ),
    "CorrelatedComponents": (
        CorrelatedComponents(),
        features,
        partial(spoilt_array, features),
        {"subjects": SUBJECTS, "stimuli": TRIALS, "onsets": ONSETS},
    ),
    "RunningNormalizer": (
        RunningNormalizer(),
        features,
        partial(spoilt_array, features),
        TIMED,
    ),
    "LDSSmoother": (LDSSmoother(), features, partial(spoilt_array, features), TIMED),
    "WindowFeatures": (
        WindowFeatures(
            WindowCovariances(), [CovarianceAlignment(), TangentSpace(), LDSSmoother()]
        ),
        windows,
        spoilt_windows,
        {},
    ),
    "MDJPTClassifier": (
        MDJPTClassifier(
            DifferentialEntropy(BANDS), "lds", max_epochs=2, random_state=0
        ),
        windows,
        spoilt_windows,
        {},
    ),
    "BraindecodeClassifier": (
        BraindecodeClassifier(
            module_params={"F1": 2, "D": 1, "F2": 2, "kernel_length": 8},
            max_epochs=1, random_state=0,
        ),
        windows,
        spoilt_windows,
        {},
    ),
}  # fmt: skip
NAMES = list(CASES)
CLASSIFIERS = ["MDJPTClassifier", "BraindecodeClassifier"]
TRANSFORMERS = [name for name in NAMES if name not in CLASSIFIERS]
NAMED = [name for name in NAMES if hasattr(CASES[name][0], "get_feature_names_out")]


def taken(method, kwargs):
    """Those keywords that a method takes."""
    names = inspect.signature(method).parameters
    variadic = any(p.kind is p.VAR_KEYWORD for p in names.values())
    return {k: v for k, v in kwargs.items() if variadic or k in names}


def run(estimator, X, kwargs):
    """What a fitted estimator makes of X."""
    if hasattr(estimator, "predict_proba"):
        return estimator.predict_proba(X, **kwargs)
    kwargs = taken(estimator.transform, kwargs)
    return np.asarray(estimator.transform(X, **kwargs))


def fitted(name, seed=0, y=LABELS):
    estimator, make, _, kwargs = CASES[name]
    return clone(estimator).fit(make(seed), y, **kwargs)


def state(estimator):
    return pickle.dumps(estimator)


def test_every_public_estimator_is_here():
    public = {
        name
        for module in (sklearn_mdjpt, baselines)
        for name in module.__all__
        if hasattr(getattr(module, name), "get_params")
    }
    # One is an ensemble of scikit-learn's, which takes what its models take; one has
    # numbers for targets (test_ratings.py), and all else of MDJPTClassifier; and one
    # learns nothing (test_foundation.py).
    others = {"PooledClassifier", "MDJPTRegressor", "BraindecodeFeatures"}
    assert public == {*CASES} | others


@pytest.mark.parametrize("name", NAMES)
def test_the_constructor_stores_and_does_nothing_else(name):
    estimator = CASES[name][0]
    assert set(vars(estimator)) == set(estimator.get_params(deep=False))
    twin = clone(estimator)
    values = estimator.get_params(deep=False)
    again = type(estimator)(**values)
    for key, value in values.items():
        assert getattr(again, key) is value
    again = clone(estimator).set_params(**values)
    assert again.get_params().keys() == estimator.get_params().keys()
    assert all(getattr(again, key) is value for key, value in values.items())
    assert repr(twin) == repr(estimator)
    assert estimator_html_repr(estimator)


@pytest.mark.parametrize("name", NAMES)
def test_fit_returns_self_and_keeps_parameters(name):
    estimator, make, _, kwargs = CASES[name]
    estimator = clone(estimator)
    before = estimator.get_params(deep=False)
    X = make(0)
    if isinstance(X, np.ndarray):
        X.flags.writeable = False
    bytes_before = pickle.dumps(X)
    assert estimator.fit(X, LABELS, **kwargs) is estimator
    after = estimator.get_params(deep=False)
    assert all(after[key] is value for key, value in before.items())
    run(estimator, X, kwargs)
    assert estimator.get_params(deep=False).keys() == before.keys()
    if isinstance(X, np.ndarray):
        assert pickle.dumps(X) == bytes_before
    else:
        assert_array_equal(np.asarray(X), np.asarray(pickle.loads(bytes_before)))
        assert X.metadata.equals(pickle.loads(bytes_before).metadata)


@pytest.mark.parametrize("name", NAMES)
def test_not_fitted(name):
    estimator, make, _, kwargs = CASES[name]
    with pytest.raises(NotFittedError):
        run(clone(estimator), make(0), kwargs)
    if name in NAMED:
        with pytest.raises(NotFittedError):
            clone(estimator).get_feature_names_out()


@pytest.mark.parametrize("name", NAMES)
def test_tags_say_what_comes_in(name):
    estimator, make, _, _ = CASES[name]
    is_2d = np.asarray(make(0)).ndim == 2
    tags = get_tags(estimator).input_tags
    assert (tags.two_d_array, tags.three_d_array) == (is_2d, not is_2d)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_fit_gives_the_same_numbers_and_draws_no_others(name):
    kwargs = CASES[name][3]
    X = CASES[name][1](0)
    first = run(fitted(name), X, kwargs)
    torch.manual_seed(3)
    # The global state is what is tested: numpy's old functions are the way to it.
    np.random.seed(3)  # noqa: NPY002
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    assert_array_equal(run(fitted(name), X, kwargs), first)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    if "random_state" in CASES[name][0].get_params():
        other = clone(CASES[name][0]).set_params(random_state=1).fit(X, LABELS)
        assert not np.allclose(run(other, X, kwargs), first, atol=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_a_second_fit_forgets_the_first(name):
    estimator, make, _, kwargs = CASES[name]
    twice = fitted(name, 0).fit(make(1), LABELS, **kwargs)
    assert_array_equal(
        run(twice, make(2), kwargs), run(fitted(name, 1), make(2), kwargs)
    )


@pytest.mark.parametrize("name", NAMES)
def test_pickling_changes_nothing(name):
    estimator = fitted(name)
    X, kwargs = CASES[name][1](1), CASES[name][3]
    expected = run(estimator, X, kwargs)
    for twin in (pickle.loads(pickle.dumps(estimator)), copy.deepcopy(estimator)):
        assert_array_equal(run(twin, X, kwargs), expected)
    forgetful = pickle.loads(pickle.dumps(clone(estimator)))
    assert repr(forgetful) == repr(estimator)
    assert vars(forgetful).keys() == estimator.get_params(deep=False).keys()


@pytest.mark.parametrize("name", NAMES)
def test_pickles_of_another_version_are_refused(name):
    estimator = clone(CASES[name][0])
    for state in (dict(vars(estimator)), {**estimator.__getstate__()}):
        state["_pickle_format"] = state.get("_pickle_format", 0) - 1
        with pytest.raises(ValueError, match=rf"{type(estimator).__name__}.*expected"):
            clone(estimator).__setstate__(state)
    with pytest.raises(ValueError, match="its format is None"):
        clone(estimator).__setstate__(dict(vars(estimator)))


@pytest.mark.parametrize("name", ["Alone", "Together"])
def test_pickles_that_name_classes_of_earlier_versions_come_as_far_as_that(name):
    """What is inside an encoder is unpickled before the encoder can refuse."""
    text = f"csklearn_mdjpt.encoder._processes\n{name}\n."
    assert isinstance(pickle.loads(text.encode()), type)
    with pytest.raises(AttributeError, match="Nobody"):
        pickle.loads(text.replace(name, "Nobody").encode())


@pytest.mark.parametrize("name", NAMES)
def test_use_leaves_the_fitted_state_as_it_was(name):
    estimator = fitted(name)
    first = run(estimator, CASES[name][1](1), CASES[name][3])
    before = state(estimator)
    run(estimator, CASES[name][1](2), CASES[name][3])
    assert state(estimator) == before
    assert_array_equal(run(estimator, CASES[name][1](1), CASES[name][3]), first)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_fit_transform_is_fit_then_transform(name):
    estimator, make, _, kwargs = CASES[name]
    X = make(0)
    together = np.asarray(clone(estimator).fit_transform(X, LABELS, **kwargs))
    assert_allclose(together, run(fitted(name), X, kwargs), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_labels_make_no_difference_to_transformers(name):
    X, kwargs = CASES[name][1](1), CASES[name][3]
    other = np.random.default_rng(0).permutation(LABELS)
    assert_array_equal(
        run(fitted(name), X, kwargs), run(fitted(name, y=other), X, kwargs)
    )
    assert_array_equal(
        run(fitted(name), X, kwargs), run(fitted(name, y=None), X, kwargs)
    )


@pytest.mark.parametrize("name", NAMES)
def test_rows_come_out_in_the_order_that_they_went_in(name):
    estimator, X, kwargs = fitted(name), CASES[name][1](1), CASES[name][3]
    order = np.random.default_rng(0).permutation(len(X))
    shuffled = run(estimator, X[order], {k: v[order] for k, v in kwargs.items()})
    assert_allclose(shuffled, run(estimator, X, kwargs)[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_nan_and_inf_are_refused_and_a_failed_fit_changes_nothing(name, value):
    estimator, make, spoil, kwargs = CASES[name]
    estimator = fitted(name)
    before = state(estimator)
    fresh = clone(estimator)
    for one in (estimator, fresh):
        with pytest.raises(ValueError, match="(?i)nan|inf"):
            one.fit(spoil(value), LABELS, **kwargs)
    assert state(estimator) == before
    assert vars(fresh).keys() == estimator.get_params(deep=False).keys()
    with pytest.raises(ValueError, match="(?i)nan|inf"):
        run(estimator, spoil(value), kwargs)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "MDJPTEncoder"])
def test_other_channels_or_features_are_refused(name):
    # MDJPTEncoder fills missing channels in.
    X, kwargs = CASES[name][1](0), CASES[name][3]
    with pytest.raises(ValueError, match="(?i)channels|features"):
        run(fitted(name), fewer_channels(X), kwargs)


@pytest.mark.parametrize("method", ["fit", "transform", "fit_transform"])
@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n][3]])
def test_keywords_must_fit_the_rows(name, method):
    X, kwargs = CASES[name][1](0), CASES[name][3]
    call = getattr(fitted(name), method)
    kwargs = taken(call, kwargs)
    for key, values in kwargs.items():
        with pytest.raises(ValueError, match=f"{key} has 47 entries.* 48"):
            call(X, **kwargs | {key: values[1:]})
        missing = values.astype(object)
        missing[[4, 9]] = None
        with pytest.raises(ValueError, match=f"{key} .* missing for 2 of 48 .* row 4"):
            call(X, **kwargs | {key: missing})
    with pytest.raises(TypeError, match="unexpected keyword argument 'groups'"):
        call(X, groups=SUBJECTS)
    with pytest.raises(TypeError, match="positional argument"):
        call(X, None, SUBJECTS)


@pytest.mark.parametrize("name", [n for n in NAMES if CASES[n][3]])
def test_keywords_are_columns_of_any_kind(name):
    X, kwargs = CASES[name][1](0), CASES[name][3]
    expected = run(fitted(name), X, kwargs)
    for kind in (list, pd.Series):
        found = run(fitted(name), X, {key: kind(v) for key, v in kwargs.items()})
        assert_array_equal(found, expected)


def pipeline(name):
    estimator = clone(CASES[name][0])
    if name in CLASSIFIERS:
        return make_pipeline(FunctionTransformer(), estimator)
    if name in ("WindowCovariances", "CovarianceAlignment"):
        return make_pipeline(estimator, TangentSpace(), LogisticRegression())
    if name == "WindowAlignment":
        return make_pipeline(estimator, DifferentialEntropy(), LogisticRegression())
    return make_pipeline(estimator, LogisticRegression(max_iter=1000))


@pytest.mark.filterwarnings("ignore:No trials were given")
@pytest.mark.filterwarnings("ignore:Domains of one matrix")
@pytest.mark.parametrize("routing", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_cross_validation_by_subject(name, routing):
    X, kwargs = CASES[name][1](0), CASES[name][3]
    groups = SUBJECTS
    with sklearn.config_context(enable_metadata_routing=routing):
        if routing:
            passed = {"params": {"groups": groups, **kwargs}}
        else:
            step = type(CASES[name][0]).__name__.lower()
            passed = {
                "groups": groups,
                "params": {f"{step}__{key}": v for key, v in kwargs.items()},
            }
        scores = cross_val_score(
            pipeline(name), X, LABELS, cv=LeaveOneGroupOut(), scoring="accuracy",
            error_score="raise", **passed,
        )  # fmt: skip
    assert scores.shape == (4,) and (scores >= 0).all()


# Steps of windows: of all that make features, and both classifiers.
@pytest.mark.slow  # by default, test_evaluation.py has jobs that score alike
@pytest.mark.parametrize("name", ["MDJPTEncoder", "WindowFeatures", *CLASSIFIERS])
def test_two_processes_give_the_same_folds(name):
    X = windows(0)
    one, two = (
        cross_validate(
            pipeline(name), X, LABELS, groups=SUBJECTS, cv=LeaveOneGroupOut(),
            n_jobs=n_jobs, return_estimator=True, error_score="raise",
        )
        for n_jobs in (1, 2)
    )  # fmt: skip
    assert_array_equal(one["test_score"], two["test_score"])
    for a, b in zip(one["estimator"], two["estimator"], strict=True):
        assert_allclose(a.predict_proba(X), b.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_of_the_test_subject_reaches_the_training(name):
    estimator, make, _, kwargs = CASES[name]
    train = SUBJECTS != "4"
    X, changed = make(0), make(0)
    # The same training windows, cut from an X with other data of the test subject.
    if isinstance(X, EEGWindows):
        array = np.array(X)
        array[~train] = array[~train][::-1] * 5.0
        changed = EEGWindows.from_arrays(
            array, ch_names=X.ch_names, sfreq=X.sfreq, dataset="A",
            **{k: X.metadata[k] for k in ("subject", "trial", "stimulus", "onset")},
            y=np.where(train, LABELS, "unknown"),
        )  # fmt: skip
    else:
        changed[~train] = changed[~train][::-1] * 5.0
    part = {key: values[train] for key, values in kwargs.items()}
    one = clone(estimator).fit(X[train], LABELS[train], **part)
    other = clone(estimator).fit(changed[train], LABELS[train], **part)
    assert_array_equal(run(one, X[train], part), run(other, X[train], part))
    assert_array_equal(run(one, X, kwargs), run(other, X, kwargs))


@pytest.mark.parametrize("name", NAMED)
def test_feature_names_and_pandas_output(name):
    estimator, make, _, kwargs = CASES[name]
    X = make(0)
    expected = run(clone(estimator).fit(X, **kwargs), X, kwargs)
    estimator = clone(estimator).set_output(transform="pandas")
    estimator.fit(X, **kwargs)
    table = estimator.transform(X, **taken(estimator.transform, kwargs))
    assert list(table.columns) == list(estimator.get_feature_names_out())
    assert_array_equal(table.to_numpy(), expected)


@parametrize_with_checks([clone(case[0]) for case in CASES.values() if not case[3]])
def test_scikit_learns_checks_of_3d_estimators(estimator, check):
    check(estimator)
