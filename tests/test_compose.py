"""WindowFeatures: every step gets the metadata of X, in training and in testing."""

import inspect
import warnings

import mne
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.decomposition import PCA
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    WindowAlignment,
)
from sklearn_mdjpt.compose import WindowFeatures
from sklearn_mdjpt.smoothing import LDSSmoother, SubjectScaler

NAMES = ("subjects", "datasets", "sessions", "trials", "stimuli", "onsets")
BANDS = {"alpha": (8.0, 14.0), "beta": (14.0, 30.0)}


def log_power(X):
    """Read arrays, and windows that make one."""
    return np.log(np.var(np.asarray(X), axis=2))


def power():
    return FunctionTransformer(log_power)


class Witness(TransformerMixin, BaseEstimator):
    """Keeps what it was given."""

    def fit(
        self, X, y=None, *, subjects=None, datasets=None, sessions=None, trials=None,
        stimuli=None, onsets=None, domains=None,
    ):  # fmt: skip
        self.in_fit_ = {k: v for k, v in locals().items() if k not in ("self", "X")}
        return self

    def transform(
        self, X, *, subjects=None, datasets=None, sessions=None, trials=None,
        stimuli=None, onsets=None, domains=None,
    ):  # fmt: skip
        self.in_transform_ = {
            k: v for k, v in locals().items() if k not in ("self", "X")
        }
        return X


class BySubject(TransformerMixin, BaseEstimator):
    """Centres each subject; it takes nothing but subjects."""

    def fit(self, X, y=None, *, subjects=None):
        self.fitted_ = True
        return self

    def transform(self, X, *, subjects=None):
        assert type(X) is np.ndarray
        groups = np.zeros(len(X)) if subjects is None else np.asarray(subjects)
        X = X.copy()
        for group in np.unique(groups):
            X[groups == group] -= X[groups == group].mean(axis=0)
        return X


class StimuliInFit(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None, *, stimuli=None):
        self.stimuli_ = stimuli
        return self

    def transform(self, X):
        return X


class Bent(TransformerMixin, BaseEstimator):
    """Applies a function to what it gets."""

    def __init__(self, function):
        self.function = function

    def fit(self, X, y=None):
        self.fitted_ = True
        return self

    def transform(self, X):
        return self.function(X)


class OtherFitTransform(BySubject):
    def fit_transform(self, X, y=None, **params):
        raise AssertionError("steps are fitted and transform, as in testing")


class ArrayExtractor(TransformerMixin, BaseEstimator):
    """Takes subjects in fit and transform, and inherits its fit_transform."""

    def fit(self, X, y=None, *, subjects=None):
        self.in_fit_ = subjects
        return self

    def transform(self, X, *, subjects=None):
        self.in_transform_ = subjects
        return log_power(X)


@pytest.fixture
def arrays():
    """24 windows of 3 subjects, with labels and trials that repeat across subjects."""
    rng = np.random.default_rng(0)
    subjects = np.repeat(["a", "b", "c"], 8)
    X = rng.standard_normal((24, 2, 50)) * np.repeat([1.0, 5.0, 20.0], 8)[:, None, None]
    y = np.tile(["low", "high"], 12)
    X[y == "high"] *= 2
    return X, y, subjects, np.tile(np.repeat([1, 2], 4), 3)


@pytest.fixture
def windows(make_windows):
    return make_windows(("A", "B"))


# What steps get ---------------------------------------------------------------------


@pytest.mark.parametrize("domain", ["subject", "session", "dataset"])
def test_steps_get_the_metadata_of_windows_in_fit_and_transform(windows, domain):
    X = windows
    features = WindowFeatures(DifferentialEntropy(BANDS), [Witness()], domain=domain)
    features.fit(X, X.y)
    part = X[X.groups("subject") == "B/02"]
    features.transform(part)
    witness = features.steps_[0][1]
    np.testing.assert_array_equal(witness.in_fit_.pop("y"), X.y)
    for seen, of in ((witness.in_fit_, X), (witness.in_transform_, part)):
        expected = {
            "subjects": of.groups("subject"),
            "datasets": of.groups("dataset"),
            "sessions": of.groups("session"),
            "trials": of.groups("trial"),
            "stimuli": of.groups("stimulus"),
            "onsets": of.metadata["onset"].to_numpy(),
            "domains": of.groups(domain),
        }
        assert seen.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(seen[name], expected[name])
        assert seen["onsets"].dtype == float
    assert witness.in_transform_["subjects"][0] == "B/02"
    assert witness.in_transform_["trials"][0] == "B/02/1/1"


def test_steps_are_applied_in_order_and_equal_the_same_by_hand(windows):
    X = windows
    features = WindowFeatures(
        DifferentialEntropy(BANDS, channels="canonical"),
        [SubjectScaler(), PCA(2), LDSSmoother()],
    )
    Z = features.fit_transform(X, X.y)
    by_hand = features.extractor_.transform(X)
    by_hand = SubjectScaler().fit_transform(by_hand, subjects=X.groups("subject"))
    by_hand = LDSSmoother().fit_transform(
        PCA(2).fit_transform(by_hand),
        trials=X.groups("trial"),
        onsets=X.metadata["onset"],
    )
    np.testing.assert_allclose(Z, by_hand, atol=1e-10)
    assert features.n_features_out_ == 2
    np.testing.assert_array_equal(features.fit(X, X.y).transform(X), Z)
    # Rows may come in any order: who belongs together is in X.
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(features.transform(X[order]), Z[order], atol=1e-10)


def test_steps_are_fitted_and_then_transform_as_in_testing(arrays):
    X, y, subjects, _ = arrays
    features = WindowFeatures(power(), [OtherFitTransform()])
    Z = features.fit_transform(X, subjects=subjects)
    np.testing.assert_array_equal(features.transform(X, subjects=subjects), Z)


def test_the_extractor_runs_once_in_fit_transform(windows):
    calls = []

    class Counting(DifferentialEntropy):
        def transform(self, X):
            calls.append(len(X))
            return super().transform(X)

    windows = windows[windows.groups("dataset") == "A"]
    WindowFeatures(Counting(BANDS), [SubjectScaler()]).fit_transform(windows)
    assert calls == [len(windows)]


def test_extractor_of_arrays_gets_keywords_that_an_inherited_fit_transform_drops(
    arrays,
):
    X, _, subjects, _ = arrays
    features = WindowFeatures(ArrayExtractor())
    features.fit_transform(X, subjects=subjects, trials=subjects)
    assert features.extractor_.in_fit_ is subjects
    assert features.extractor_.in_transform_ is subjects
    with pytest.raises(ValueError, match="had subjects in fit and not now"):
        features.transform(X)


def test_encoder_on_arrays_gets_stimuli_to_pair_and_transform_needs_none(arrays):
    X, y, subjects, trials = arrays
    encoder = MDJPTEncoder.small(
        latent_dim=2, max_epochs=1, batches_per_epoch=2, random_state=0,
        torch_threads=1, ch_names=["Fz", "Cz"], sfreq=50.0,
    )  # fmt: skip
    given = {"subjects": subjects, "stimuli": np.tile(np.arange(8), 3)}
    features = WindowFeatures(encoder).fit(X, y, **given)
    alone = clone(encoder).fit(X, y, **given)
    np.testing.assert_array_equal(features.transform(X), alone.transform(X))
    # One encoder in another WindowFeatures: stimuli are still for fit alone.
    twice = WindowFeatures(WindowFeatures(encoder, [BySubject()])).fit(X, y, **given)
    assert len(twice.transform(X, subjects=subjects)) == len(X)


def test_array_ids_are_handed_on_as_given_and_domains_name_what_is_known(arrays):
    X, _, subjects, trials = arrays
    given = {"subjects": subjects, "trials": trials, "sessions": trials}
    features = WindowFeatures(power(), [Witness()], domain="session")
    features.fit(X, **given).transform(X, **given)
    seen = features.steps_[0][1].in_transform_
    assert seen["subjects"] is subjects and seen["trials"] is trials
    assert seen["datasets"] is None and seen["onsets"] is None
    # Session 1 of two subjects is not one domain.
    assert sorted(set(seen["domains"])) == ["a/1", "a/2", "b/1", "b/2", "c/1", "c/2"]
    seen = WindowFeatures(power(), [Witness()]).fit(X, subjects=subjects).steps_[0][1]
    assert seen.in_fit_["domains"] is subjects


def test_keywords_beside_windows_must_say_the_same(windows):
    features = WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()])
    expected = features.fit_transform(windows)
    for subjects in (windows.groups("subject"), windows.metadata["subject"]):
        again = features.fit_transform(windows, subjects=subjects)
        np.testing.assert_array_equal(again, expected)
    wrong = windows.groups("subject")[::-1]
    with pytest.raises(ValueError, match="EEGWindows brings its own .* the subjects"):
        features.fit(windows, subjects=wrong)
    with pytest.raises(ValueError, match="the trials passed beside it say otherwise"):
        features.transform(windows, trials=windows.groups("subject"))


def test_one_name_serves_splitter_and_steps_with_routing(windows):
    model = make_pipeline(
        WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()]),
        LogisticRegression(),
    )
    with config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            model,
            windows,
            windows.y,
            cv=LeaveOneGroupOut().set_split_request(groups="subjects"),
            params={"subjects": windows.groups("subject")},
        )
    assert np.isfinite(scores).all()


# Missing metadata -------------------------------------------------------------------


def some_windows(n=8, **metadata):
    X = np.random.default_rng(0).standard_normal((n, 2, 100))
    return EEGWindows.from_arrays(
        X, ch_names=["Fz", "Cz"], sfreq=100.0, dataset="d", **metadata
    )


def test_a_column_missing_in_all_rows_is_none():
    features = WindowFeatures(power(), [Witness()], domain="dataset")
    seen = features.fit(some_windows()).steps_[0][1].in_fit_
    assert [n for n in NAMES if seen[n] is not None] == ["datasets"]


def test_domains_must_be_known_where_a_step_takes_them(arrays):
    # CovarianceAlignment without domains would move nothing, or read them from y.
    with pytest.raises(
        ValueError, match="takes domains, and the subjects .* not known"
    ):
        WindowFeatures(power(), [Witness()]).fit(some_windows())
    X, y, _, _ = arrays
    with pytest.raises(ValueError, match="pass subjects= with an array"):
        WindowFeatures(power(), [Witness()]).fit(X, np.char.add("a/", y.astype(str)))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda step: make_pipeline(step, PCA(2)),
        lambda step: make_union(StandardScaler(), step),
        lambda step: make_pipeline(make_pipeline(step)),
    ],
)
def test_steps_hidden_in_other_estimators_are_refused(wrap, make_windows):
    # A pipeline would pass no subjects on: scaled all at once, without an error.
    X = make_windows()
    hidden = wrap(SubjectScaler())
    with pytest.raises(TypeError, match="SubjectScaler inside .* takes subjects"):
        WindowFeatures(DifferentialEntropy(BANDS), [hidden]).fit(X)
    with pytest.raises(TypeError, match="SubjectScaler inside 'extractor'"):
        WindowFeatures(make_pipeline(DifferentialEntropy(BANDS), hidden)).fit(X)
    inside = WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()])
    WindowFeatures(make_pipeline(WindowAlignment(), inside)).fit(X)  # reads X


def test_a_column_missing_in_some_rows_raises_only_if_a_step_uses_it():
    X = some_windows(subject="s", trial=[1, 1, 1, None, 1, 1, None, 1])
    WindowFeatures(power(), [SubjectScaler()]).fit(X)
    with pytest.raises(ValueError, match=r"2 of 8 windows have no trial.* window 3"):
        WindowFeatures(power(), [LDSSmoother()]).fit(X)
    X = some_windows(subject="s", onset=[0, 1, None, 3, 4, 5, 6, 7])
    with pytest.raises(ValueError, match="have no onset, the first is window 2"):
        WindowFeatures(power(), [Witness()]).fit(X)
    # Sessions that lack a name are sessions; those that lack a subject are not.
    X = some_windows(subject=["a"] * 7 + [None], session=1)
    with pytest.raises(ValueError, match="have no subject, the first is window 7"):
        WindowFeatures(power(), [Witness()]).fit(X)


def test_windows_without_session_names_are_no_difference():
    train = some_windows(subject=list("aaaabbbb"), session=[1, 1, 2, 2] * 2)
    test = some_windows(subject=list("ccccdddd"), session=[None] * 4 + [1] * 4)
    features = WindowFeatures(power(), [Witness()]).fit(train)
    features.transform(test)
    witness = features.steps_[0][1]
    assert list(witness.in_fit_["sessions"][[0, 2]]) == ["d/a/1", "d/a/2"]
    assert list(witness.in_transform_["sessions"][[0, 7]]) == ["d/c", "d/d/1"]
    # Without subjects, the sessions are those of the dataset.
    features.set_params(domain="dataset").fit(some_windows(session=1))
    assert set(features.steps_[0][1].in_fit_["sessions"]) == {"d/1"}


def test_train_and_test_with_different_metadata_raise(arrays):
    X, y, subjects, trials = arrays
    features = WindowFeatures(power(), [BySubject(), StimuliInFit()])
    features.fit(X, subjects=subjects, stimuli=trials, trials=trials)
    # No step's transform uses stimuli or trials.
    features.transform(X, subjects=subjects)
    with pytest.raises(ValueError) as error:
        features.transform(X)
    for part in ("had subjects in fit", "scorer", "EEGWindows.from_arrays"):
        assert part in str(error.value)
    features.fit(X)
    with pytest.raises(ValueError, match="have subjects now and had not in fit"):
        features.transform(X, subjects=subjects)
    # The same for windows.
    features.fit(some_windows(subject="s"))
    with pytest.raises(ValueError, match="had subjects in fit and not now"):
        features.transform(some_windows())


@pytest.mark.parametrize("routing", [False, True])
def test_scikit_learn_dropping_keywords_raises_and_does_not_pass(arrays, routing):
    X, y, subjects, _ = arrays
    model = Pipeline(
        [
            ("features", WindowFeatures(power(), [BySubject()])),
            ("clf", LogisticRegression()),
        ]
    )
    with config_context(enable_metadata_routing=routing):
        key = "subjects" if routing else "features__subjects"
        common = {"cv": 3, "error_score": "raise", "params": {key: subjects}}
        with pytest.raises(ValueError, match="had subjects in fit"):
            cross_val_score(model, X, y, scoring="accuracy", **common)
        if routing:
            fitted = model.fit(X, y, subjects=subjects)
            assert 0 <= fitted.score(X, y, subjects=subjects) <= 1
        with pytest.raises(ValueError, match="had subjects in fit"):
            model.fit(X, y, **{key: subjects}).predict(X)


# Within scikit-learn -----------------------------------------------------------------


@pytest.mark.parametrize("routing", [False, True])
def test_cross_validation_treats_test_windows_as_training_windows(
    make_windows, routing
):
    X = make_windows(n_stimuli=6)
    y, groups = X.y, X.groups("subject")
    model = Pipeline(
        [
            ("features", WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()])),
            ("clf", LogisticRegression(max_iter=1000)),
        ]
    )
    given = {"params": {"groups": groups}} if routing else {"groups": groups}
    # Test folds of several subjects: scaled all at once they would come out otherwise.
    given |= {"cv": GroupKFold(2)}
    with config_context(enable_metadata_routing=routing):
        scores = cross_val_score(model, X, y, scoring="accuracy", **given)
        predicted = cross_val_predict(model, X, y, **given)
    Z = SubjectScaler().fit_transform(
        DifferentialEntropy(BANDS).fit_transform(X), subjects=groups
    )
    expected = cross_val_predict(
        LogisticRegression(max_iter=1000), Z, y, groups=groups, cv=GroupKFold(2)
    )
    np.testing.assert_array_equal(predicted, expected)
    folds = GroupKFold(2).split(X, y, groups)
    assert list(scores) == [np.mean(expected[i] == y[i]) for _, i in folds]


def test_grid_search_over_nested_parameters_and_whole_steps(make_windows):
    X = make_windows()
    features = WindowFeatures(
        DifferentialEntropy(BANDS), [SubjectScaler(), LDSSmoother()]
    )
    model = Pipeline([("features", features), ("clf", RidgeClassifier())])
    grid = {
        "features__extractor__bands": [BANDS, {"alpha": (8, 14)}],
        "features__ldssmoother__transition_noise": [1e-2],
        "features__subjectscaler": ["passthrough", StandardScaler()],
    }
    search = GridSearchCV(model, grid, cv=LeaveOneGroupOut(), scoring="accuracy")
    search.fit(X, X.y, groups=X.groups("subject"))
    assert len(search.cv_results_["params"]) == 4
    assert not np.isnan(search.cv_results_["mean_test_score"]).any()
    best = search.best_estimator_["features"]
    chosen = search.best_params_["features__subjectscaler"]
    assert [type(step).__name__ for _, step in best.steps_] == (
        ["LDSSmoother"]
        if chosen == "passthrough"
        else ["StandardScaler", "LDSSmoother"]
    )
    assert best.steps_[-1][1].transition_noise == 1e-2
    # The one that was handed in is as it was.
    assert features.steps[1].transition_noise == LDSSmoother().transition_noise


def epochs(subject, n=6, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"subject": [subject] * n, "trial": np.arange(n) // 2})
    info = mne.create_info(["Fz", "Cz", "Pz"], 125.0, "eeg")
    scale = np.logspace(0, 1, n)[:, None, None]
    data = 1e-5 * scale * rng.standard_normal((n, 3, 125))
    return mne.EpochsArray(data, info, metadata=table, verbose="error")


@pytest.mark.parametrize("as_list", [False, True])
def test_epochs_bring_their_metadata(as_list):
    a, b = epochs("01"), epochs("02", seed=1)
    X = [a, b] if as_list else mne.concatenate_epochs([a, b], verbose="error")
    features = WindowFeatures(DifferentialEntropy(BANDS), [Witness(), SubjectScaler()])
    Z = features.fit_transform(X)
    assert Z.shape == (12, 6)
    seen = features.steps_[0][1].in_fit_
    assert [name.split("/")[1] for name in seen["subjects"]] == ["01"] * 6 + ["02"] * 6
    assert seen["stimuli"] is None
    np.testing.assert_allclose(Z[:6].mean(axis=0), 0, atol=1e-10)
    with pytest.raises(ValueError, match="(list|EpochsArray) brings its own"):
        features.fit(X, subjects=np.repeat([1, 2], 6))


@pytest.mark.parametrize("subject_norm", ["subject", "train"])
def test_epochs_get_the_features_that_the_encoder_alone_would_give(subject_norm):
    X = epochs("01")
    encoder = MDJPTEncoder.small(
        latent_dim=2, max_epochs=0, subject_norm=subject_norm, torch_threads=1
    ).fit(X)
    frozen = make_pipeline(FrozenEstimator(encoder), StandardScaler())
    features = WindowFeatures(frozen).fit(X)
    expected = StandardScaler().fit_transform(encoder.transform(X))
    np.testing.assert_allclose(features.transform(X), expected, atol=1e-5)


def test_covariances_aligned_by_subject_end_in_the_tangent_space(make_windows):
    tangentspace = pytest.importorskip("pyriemann.tangentspace")
    from sklearn_mdjpt.alignment import CovarianceAlignment, WindowCovariances

    X = make_windows(window_seconds=0.5, stride_seconds=0.5)
    steps = [CovarianceAlignment("euclid", target="identity")]
    with pytest.raises(ValueError) as error:
        WindowFeatures(WindowCovariances(), steps).fit(X)
    assert "'covariancealignment' comes last" in str(error.value)
    assert "TangentSpace" in str(error.value)
    steps.append(tangentspace.TangentSpace(metric="logeuclid"))
    features = WindowFeatures(WindowCovariances(), steps).fit(X)
    assert set(features.steps_[0][1].means_) == set(X.groups("subject"))
    assert features.transform(X[:5]).shape == (5, 36)
    assert features.get_feature_names_out()[35] == "tangentspace35"


# Parameters --------------------------------------------------------------------------


def test_steps_have_names_in_get_params_and_set_params():
    features = WindowFeatures(
        DifferentialEntropy(),
        [LDSSmoother(), ("pca", PCA(2)), LDSSmoother(), SubjectScaler()],
    )
    params = features.get_params()
    assert [params[n] for n in ("ldssmoother-1", "pca", "ldssmoother-2")] == [
        features.steps[0], features.steps[1][1], features.steps[2],
    ]  # fmt: skip
    assert params["pca__n_components"] == 2 and "subjectscaler__unseen" in params
    features.set_params(
        pca__n_components=3, extractor__bands=BANDS, domain="session",
        **{"ldssmoother-2__observation_noise": 0.5},
    )  # fmt: skip
    assert features.steps[1][1].n_components == 3
    assert features.steps[2].observation_noise == 0.5
    assert features.extractor.bands is BANDS and features.domain == "session"
    # A new step answers to the name of the one in whose place it is.
    features.set_params(subjectscaler=PCA(4)).set_params(subjectscaler__n_components=5)
    assert features.get_params()["subjectscaler"].n_components == 5
    features.set_params(steps=[PCA(1)], pca__n_components=6)
    assert features.steps[0].n_components == 6
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        features.set_params(nothing=1)


def test_passthrough_leaves_a_step_out(arrays):
    X, _, subjects, _ = arrays
    features = WindowFeatures(power(), [BySubject()]).set_params(
        bysubject="passthrough"
    )
    np.testing.assert_array_equal(features.fit_transform(X), log_power(X))
    assert features.steps_ == []


def test_numbers_follow_the_type_of_steps_without_names():
    names = list(WindowFeatures(power(), [PCA(), PCA(), PCA()]).get_params())
    assert {"pca-1", "pca-2", "pca-3"} <= set(names) and "pca" not in names


@pytest.mark.parametrize(
    "arguments, error, match",
    [
        ({"steps": StandardScaler()}, TypeError, "a list of .* got StandardScaler"),
        ({"steps": [StandardScaler]}, TypeError, "must be a transformer"),
        ({"steps": [LogisticRegression()]}, TypeError, "'logisticregression' must be"),
        ({"steps": [("a", PCA(), 3)]}, TypeError, "must be a transformer"),
        ({"steps": [("a", PCA()), ("a", PCA())]}, ValueError, "differ .* got a, a"),
        ({"steps": [("domain", PCA())]}, ValueError, "parameters .* got domain"),
        ({"steps": [("a__b", PCA())]}, ValueError, "without '__'; got a__b"),
        ({"extractor": "passthrough"}, TypeError, "'extractor' must be a transformer"),
        ({"domain": "trial"}, ValueError, "domain must be one of"),
    ],
)
def test_bad_parameters_raise_in_fit(arrays, arguments, error, match):
    features = WindowFeatures(**{"extractor": power()} | arguments)
    repr(features)
    with pytest.raises(error, match=match):
        features.fit(arrays[0])


@pytest.mark.parametrize(
    "function, match",
    [
        (lambda X: X[:3], r"'bent' .* shape \(3, 2\) of 24 windows"),
        (lambda X: X.mean(axis=1), r"of shape \(24,\)"),
        (lambda X: X[:, :, None], r"'bent' .* last .* shape \(24, 2, 1\).*Tangent"),
    ],
)
def test_outputs_must_keep_rows_and_end_2d(arrays, function, match):
    X, *_ = arrays
    features = WindowFeatures(power(), [StandardScaler()]).fit(X)
    before = vars(features).copy()
    features.steps = [Bent(function)]
    with pytest.raises(ValueError, match=match):
        features.fit(X)
    # What was fitted before is still there.
    assert all(
        vars(features)[name] is before[name] for name in before if name[-1] == "_"
    )
    Z = features.transform(X)
    np.testing.assert_allclose(Z.std(axis=0), 1)
    features = WindowFeatures(Bent(lambda X: X[:, :, :, None]))
    with pytest.raises(ValueError, match="'extractor' comes last"):
        features.fit(X)


# The rest of the contract ----------------------------------------------------------


def test_feature_names_and_pandas_output(windows):
    X = windows[windows.groups("dataset") == "A"]
    features = WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()])
    features.fit(X)
    names = DifferentialEntropy(BANDS).fit(X).get_feature_names_out()
    assert list(features.get_feature_names_out()) == list(names)
    with config_context(transform_output="pandas"), warnings.catch_warnings():
        # The setting is not for what is inside: a function that returns arrays would
        # warn of it, and BySubject insists on arrays.
        warnings.simplefilter("error")
        assert WindowFeatures(power()).fit_transform(X).shape == (len(X), 8)
        features = WindowFeatures(DifferentialEntropy(BANDS), [BySubject(), PCA(2)])
        frame = features.fit(X).transform(X)
    assert list(frame.columns) == ["pca0", "pca1"]
    features = WindowFeatures(DifferentialEntropy(BANDS), [BySubject()]).fit(X)
    assert features.get_feature_names_out()[1] == "bysubject1"


def test_requests_and_signatures_name_the_same_keywords():
    for method in ("fit", "fit_transform", "transform"):
        parameters = inspect.signature(getattr(WindowFeatures, method)).parameters
        only = [p.name for p in parameters.values() if p.kind is p.KEYWORD_ONLY]
        assert tuple(only) == NAMES
    with config_context(enable_metadata_routing=True):
        requests = WindowFeatures(power()).get_metadata_routing()
    for method in ("fit", "transform"):
        assert getattr(requests, method).requests == dict.fromkeys(NAMES, True)
