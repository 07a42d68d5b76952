"""MDJPTClassifier: labels, training of the head, splits by subject, leakage, errors."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import make_blobs
from sklearn.model_selection import (
    GridSearchCV,
    LeaveOneGroupOut,
    cross_val_predict,
    cross_val_score,
    cross_validate,
)
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback, EarlyStopping

from sklearn_mdjpt import DifferentialEntropy, MDJPTEncoder, concat_windows
from sklearn_mdjpt.classifier import MDJPTClassifier
from sklearn_mdjpt.compose import WindowFeatures
from sklearn_mdjpt.nn.head import MLPHead
from sklearn_mdjpt.smoothing import LDSSmoother, RunningNormalizer, SubjectScaler

# Two threads that wait for each other are slow where others compute too.
TINY = {"hidden_dim": 16, "lr": 0.02, "torch_threads": 1, "random_state": 0}
KEYWORDS = ("subjects", "datasets", "sessions", "trials", "stimuli", "onsets")
BANDS = {"alpha": (8.0, 14.0), "beta": (14.0, 30.0)}


def on_features(**overrides):
    return MDJPTClassifier("passthrough", **TINY | {"batch_size": 32} | overrides)


def on_windows(**overrides):
    return MDJPTClassifier(**{"encoder": DifferentialEntropy(BANDS)} | TINY | overrides)


def tiny_encoder(**overrides):
    return MDJPTEncoder.small(
        **{"latent_dim": 2, "max_epochs": 0, "torch_threads": 1, "random_state": 0}
        | overrides
    )


@pytest.fixture(scope="module")
def blobs():
    X, codes = make_blobs(120, n_features=5, centers=3, random_state=1)
    return StandardScaler().fit_transform(X), np.array(["c", "a", "b"])[codes]


@pytest.fixture(scope="module")
def overlapping():
    """200 windows of 10 subjects, two classes that cannot be told apart well."""
    rng = np.random.default_rng(0)
    y = np.repeat([0, 1], [160, 40])
    X = rng.standard_normal((200, 4)) + 0.7 * y[:, None]
    order = rng.permutation(200)
    return X[order], y[order], np.arange(200) % 10


def parameters_of(model):
    return torch.cat([p.detach().ravel() for p in model.module_.state_dict().values()])


@parametrize_with_checks(
    [
        MDJPTClassifier(
            "passthrough", hidden_dim=16, max_epochs=10, lr=0.05, batch_size=32,
            torch_threads=1,
        )
    ]
)  # fmt: skip
def test_scikit_learns_checks(estimator, check):
    check(estimator)  # none of them is expected to fail


# Labels and predictions -----------------------------------------------------------


def test_learns_blobs_and_gives_their_labels_back(blobs):
    X, y = blobs
    model = on_features().fit(X[:80], y[:80])
    assert list(model.classes_) == ["a", "b", "c"]
    assert model.score(X[80:], y[80:]) > 0.95
    proba = model.predict_proba(X)
    assert proba.shape == (120, 3) and proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    np.testing.assert_array_equal(
        model.classes_[proba.argmax(axis=1)], model.predict(X)
    )


def test_fitted_attributes(blobs):
    X, y = blobs
    model = on_features(max_epochs=3)
    model.fit(pd.DataFrame(X, columns=list("vwxyz")), pd.Series(y))
    assert model.n_features_in_ == 5 and list(model.feature_names_in_) == list("vwxyz")
    assert isinstance(model.module_, MLPHead) and not model.module_.training
    assert model.net_.module_ is model.module_
    assert isinstance(model.features_, WindowFeatures)
    assert list(model.history_.columns) == ["train_loss", "seconds"]
    assert list(model.history_.index) == [1, 2, 3]
    assert model.validation_subjects_ is None
    # A fit on windows forgets what was noted of features.
    windows = np.random.default_rng(0).standard_normal((20, 2, 200))
    model.set_params(encoder=DifferentialEntropy(BANDS, sfreq=100.0))
    model.fit(windows, np.arange(20) % 2)
    assert not hasattr(model, "n_features_in_") and len(model.classes_) == 2
    assert not hasattr(model, "feature_names_in_")


def test_defaults_are_the_papers():
    defaults = {
        name: p.default
        for name, p in inspect.signature(MDJPTClassifier).parameters.items()
    }
    expected = {
        "encoder": None, "smoothing": None, "hidden_dim": 128, "max_epochs": 25,
        "lr": 5e-4, "weight_decay": 0.0022, "batch_size": 256, "early_stopping": False,
    }  # fmt: skip
    assert expected.items() <= defaults.items()
    assert vars(MDJPTClassifier()) == defaults
    encoder = MDJPTClassifier()._make_features(3).extractor
    assert encoder.get_params() == MDJPTEncoder(random_state=3).get_params()


def test_head_has_the_papers_layers_and_all_of_them_learn():
    head = MLPHead(6, 3, hidden_dim=8)
    kinds = [type(layer).__name__ for layer in head]
    assert kinds == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert head(torch.randn(5, 6)).shape == (5, 3)
    torch.nn.functional.cross_entropy(
        head(torch.randn(9, 6)), torch.arange(9) % 3
    ).backward()
    assert all(p.grad.abs().sum() > 1e-6 for p in head.parameters())


def test_predictions_depend_on_neither_order_nor_number_of_rows(blobs, monkeypatch):
    X, y = blobs
    model = on_features(max_epochs=2).fit(X, y)
    expected = model.predict_proba(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(
        model.predict_proba(X[order]), expected[order], atol=1e-12
    )
    np.testing.assert_allclose(model.predict_proba(X[:1]), expected[:1], atol=1e-12)
    monkeypatch.setattr("sklearn_mdjpt.classifier._head._BLOCK_ROWS", 7)
    np.testing.assert_allclose(model.predict_proba(X), expected, atol=1e-12)


def test_class_weights_shift_decisions_to_the_rare_class(overlapping):
    X, y, _ = overlapping
    shares = {
        name: np.mean(on_features(class_weight=weight).fit(X, y).predict(X) == 1)
        for name, weight in (
            ("none", None), ("balanced", "balanced"), ("dict", {1: 50.0}),
        )
    }  # fmt: skip
    assert shares["none"] < 0.25 < shares["balanced"] < shares["dict"]
    # "balanced" is 200 / (2 * 160) and 200 / (2 * 40).
    equal = [
        on_features(class_weight=weight, max_epochs=2).fit(X, y)
        for weight in ("balanced", {0: 0.625, 1: 2.5})
    ]
    assert torch.equal(*map(parameters_of, equal))


def test_optimiser_gets_its_parameters(blobs):
    X, y = blobs

    def size(**overrides):
        model = on_features(max_epochs=10, **overrides).fit(X, y)
        return model.module_[0].weight.norm().item(), parameters_of(model)

    assert size(weight_decay=1.0)[0] < 0.5 * size(weight_decay=0.0)[0]
    for overrides in ({"lr": 0.01}, {"batch_size": 16}, {"max_epochs": 9}):
        changed = on_features(**{"max_epochs": 10} | overrides).fit(X, y)
        assert not torch.equal(parameters_of(changed), size()[1])
    assert on_features(hidden_dim=7).fit(X, y).module_[0].weight.shape == (7, 5)


# Training -------------------------------------------------------------------------


@pytest.mark.parametrize("n", [33, 65])
def test_a_last_batch_of_one_sits_out_its_epoch(blobs, n):
    X, y = blobs
    sizes = []

    class Sizes(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            assert training
            sizes.append(len(batch[0]))

        def __deepcopy__(self, memo):
            return self

    model = on_features(max_epochs=2, callbacks=[Sizes()]).fit(X[:n], y[:n])
    assert sizes == [32] * (n // 32) * 2
    assert np.isfinite(model.predict_proba(X)).all()


def test_batches_hold_each_row_once_and_are_shuffled_in_each_epoch():
    seen = {True: [], False: []}

    class Rows(Callback):
        def on_epoch_begin(self, net, **kwargs):
            for epochs in seen.values():
                epochs.append([])

        def on_batch_begin(self, net, batch, training, **kwargs):
            seen[training][-1].append(batch[0].ravel().tolist())

        def __deepcopy__(self, memo):
            return self

    X, subjects = np.arange(15.0)[:, None], np.repeat(["a", "b"], [8, 7])
    on_features(
        early_stopping=True, validation_fraction=0.5, patience=2, max_epochs=2,
        batch_size=3, callbacks=[Rows()],
    ).fit(X, np.arange(15) % 2, subjects=subjects)  # fmt: skip
    train, valid = ([sum(e, []) for e in seen[key]] for key in (True, False))
    assert sorted(train[0] + valid[0]) == list(range(15))
    assert sorted(train[0]) == sorted(train[1]) and train[0] != train[1]
    assert [len(rows) for rows in seen[True][0]] == [3, 3, 2]
    # Those that are only predicted keep their order; a single one is not left out.
    assert valid[0] == valid[1] == sorted(valid[0])
    assert [len(rows) for rows in seen[False][0]] == [3, 3, 1]


def test_early_stopping_sets_whole_subjects_aside(overlapping):
    X, y, subjects = overlapping
    seen = {}

    class Spy(Callback):
        def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
            seen["train"], seen["valid"] = dataset_train.X, dataset_valid.X

        def __deepcopy__(self, memo):
            return self

    # The first feature tells whose window it is.
    X = np.column_stack([subjects, X])
    model = on_features(
        early_stopping=True, validation_fraction=0.3, max_epochs=40, patience=2,
        callbacks=[Spy()],
    ).fit(X, y, subjects=subjects)  # fmt: skip
    train, valid = set(seen["train"][:, 0]), set(seen["valid"][:, 0])
    assert not train & valid and train | valid == set(range(10)) and len(valid) == 3
    assert len(seen["train"]) == 140 and len(seen["valid"]) == 60
    assert set(model.validation_subjects_) == {str(int(s)) for s in valid}

    losses = model.history_["valid_loss"]
    assert list(model.history_) == ["train_loss", "valid_loss", "seconds"]
    assert len(losses) < 40 and losses.idxmin() == len(losses) - 2
    # The weights are those of the best epoch, and no windows are kept.
    held_out = np.isin(subjects, sorted(valid))
    proba = model.predict_proba(X[held_out])[np.arange(60), y[held_out]]
    assert -np.log(proba).mean() == pytest.approx(losses.min(), abs=1e-5)
    assert model.net_.train_split is None

    again = clone(model).fit(X, y, subjects=subjects)
    assert torch.equal(parameters_of(model), parameters_of(again))
    other = clone(model).set_params(random_state=2).fit(X, y, subjects=subjects)
    assert set(other.validation_subjects_) != set(model.validation_subjects_)


def test_early_stopping_takes_subjects_from_windows(make_windows):
    X = make_windows(("A", "B"), n_subjects=2)
    encoder = DifferentialEntropy(BANDS, channels="canonical")
    model = on_windows(encoder=encoder, early_stopping=True, validation_fraction=0.5)
    model.set_params(max_epochs=3).fit(X, X.y)
    assert len(model.validation_subjects_) == 2
    assert set(model.validation_subjects_) < set(X.groups("subject"))


def test_early_stopping_keeps_subjects_of_several_datasets_apart(overlapping):
    X, y, subjects = overlapping
    model = on_features(early_stopping=True, max_epochs=1)
    model.fit(X, y, subjects=subjects % 2, datasets=subjects // 2)
    assert all(name in {f"{s // 2}/{s % 2}" for s in range(10)}
               for name in model.validation_subjects_)  # fmt: skip


def test_a_loss_that_overflows_raises_and_leaves_no_model(blobs):
    model = on_features(lr=1e30)
    with pytest.raises(FloatingPointError, match="try a lower lr"):
        model.fit(*blobs)
    assert not hasattr(model, "module_") and not hasattr(model, "n_features_in_")


class Interrupt(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def test_an_interruption_is_raised_and_leaves_the_model_as_it_was(blobs):
    X, y = blobs
    model = on_features(max_epochs=2).fit(X, y)
    before = vars(model).copy()
    with pytest.raises(KeyboardInterrupt, match="interrupted"):
        model.set_params(callbacks=[Interrupt()]).fit(X[:, :3], np.roll(y, 1))
    assert {k: v for k, v in vars(model).items() if k != "callbacks"} == {
        k: v for k, v in before.items() if k != "callbacks"
    }
    # skorch's own early stopping is no interruption, though it uses the same exception.
    stop = EarlyStopping("train_loss", patience=1, threshold=0.9)
    model = on_features(max_epochs=20, callbacks=[stop]).fit(X, y)
    assert len(model.history_) == 2
    assert stop.misses_ == 0


def test_verbose_says_something_and_silence_is_silent(blobs, capsys):
    X, y = blobs
    subjects = np.arange(len(y)) % 4
    on_features(early_stopping=True, patience=1).fit(X, y, subjects=subjects)
    assert capsys.readouterr().out == ""
    on_features(max_epochs=2, verbose=1).fit(X, y)
    assert "train_loss" in capsys.readouterr().out


# Windows, encoders and smoothing --------------------------------------------------


@pytest.mark.parametrize("routing", [False, True])
def test_leave_one_subject_out_with_an_encoder_inside(make_windows, routing):
    X = make_windows(n_stimuli=6)
    y, groups = X.y, X.groups("subject")
    model = MDJPTClassifier(tiny_encoder(), "lds", max_epochs=2, **TINY)
    given = {"params": {"groups": groups}} if routing else {"groups": groups}
    given["cv"] = LeaveOneGroupOut()
    with config_context(enable_metadata_routing=routing):
        scores = cross_val_score(model, X, y, scoring="accuracy", **given)
        predicted = cross_val_predict(model, X, y, **given)
    expected = [np.mean(predicted[groups == g] == y[groups == g]) for g in set(groups)]
    assert sorted(scores) == sorted(expected)


@pytest.mark.parametrize("what", ["labels", "signals"])
def test_nothing_of_a_test_subject_reaches_the_training(make_windows, what):
    X = make_windows()
    test = X.groups("subject") == "A/03"
    if what == "labels":
        other, y = X, X.y
        y[test] = np.roll(y[test], 5)
        other._metadata["label"] = y
    else:
        # Rows come in the order of subjects, of whom A/03 is the last.
        fresh = make_windows(random_state=1)
        other = concat_windows([X[~test], fresh[test]])
    X = make_windows()
    model = on_windows(smoothing="lds", early_stopping=True, validation_fraction=0.5)
    model.set_params(encoder=tiny_encoder(max_epochs=1, batches_per_epoch=2))
    folds = [
        cross_validate(
            model.set_params(max_epochs=3), data, data.y, cv=LeaveOneGroupOut(),
            groups=X.groups("subject"), return_estimator=True,
        )["estimator"]
        for data in (X, other)
    ]  # fmt: skip
    heads, encoders = (
        [[parameters_of(get(model)) for model in fold] for fold in folds]
        for get in (lambda m: m, lambda m: m.features_.extractor_)
    )
    assert torch.equal(heads[0][2], heads[1][2])
    assert torch.equal(encoders[0][2], encoders[1][2])
    # ... and it does reach it in the other folds.
    assert not torch.equal(heads[0][0], heads[1][0])
    probas = [fold[2].predict_proba(X[test]) for fold in folds]
    np.testing.assert_array_equal(*probas)
    if what == "signals":
        assert not torch.equal(encoders[0][0], encoders[1][0])
        assert not np.allclose(folds[0][2].predict_proba(other[test]), probas[0])


@pytest.mark.parametrize(
    "smoothing, steps",
    [
        ("lds", [LDSSmoother()]),
        ("running+lds", [RunningNormalizer(), LDSSmoother()]),
        (
            [SubjectScaler(), ("pca", StandardScaler())],
            [SubjectScaler(), StandardScaler()],
        ),
    ],
)
def test_smoothing_goes_by_the_metadata_of_windows(make_windows, smoothing, steps):
    X = make_windows()
    model = on_windows(smoothing=smoothing, max_epochs=2).fit(X, X.y)
    kinds = [type(step) for _, step in model.features_.steps_]
    assert kinds == [type(step) for step in steps]
    expected = WindowFeatures(DifferentialEntropy(BANDS), steps).fit_transform(X)
    np.testing.assert_array_equal(model.features_.transform(X), expected)
    # The head got just these: another head on them is the same.
    head = on_features(max_epochs=2, batch_size=256).fit(expected, X.y)
    assert torch.equal(parameters_of(model), parameters_of(head))
    np.testing.assert_array_equal(model.predict_proba(X), head.predict_proba(expected))


def test_smoothing_of_features_goes_by_keywords(blobs):
    X, y = blobs
    trials = np.arange(len(X)) // 6
    model = on_features(smoothing="lds", max_epochs=2).fit(X, y, trials=trials)
    smooth = LDSSmoother().fit_transform(X, trials=trials)
    bare = on_features(max_epochs=2).fit(smooth, y)
    proba = model.predict_proba(X, trials=trials)
    np.testing.assert_array_equal(proba, bare.predict_proba(smooth))
    labels = model.classes_[proba.argmax(axis=1)]
    np.testing.assert_array_equal(model.predict(X, trials=trials), labels)
    with pytest.raises(ValueError, match="had trials in fit and not now"):
        model.predict(X)


def test_encoders_of_other_kinds(make_windows):
    X = make_windows()
    plain = on_windows(smoothing=[SubjectScaler()], max_epochs=2).fit(X, X.y)
    features = WindowFeatures(DifferentialEntropy(BANDS), [SubjectScaler()])
    nested = on_windows(encoder=features, max_epochs=2).fit(X, X.y)
    np.testing.assert_array_equal(plain.predict_proba(X), nested.predict_proba(X))
    # y reaches an encoder that pairs by label.
    encoder = tiny_encoder(max_epochs=1, batches_per_epoch=1, pairing="label")
    model = MDJPTClassifier(encoder, max_epochs=1, **TINY).fit(X, X.y)
    assert model.features_.extractor_.net_ is not None


def test_keywords_of_arrays_reach_an_encoder_and_predict_needs_none():
    X = np.random.default_rng(0).standard_normal((18, 2, 50))
    given = {"subjects": np.repeat(list("abc"), 6), "stimuli": np.tile(np.arange(6), 3)}
    encoder = tiny_encoder(
        max_epochs=1, batches_per_epoch=1, ch_names=["Fz", "Cz"], sfreq=50.0
    )
    y = np.arange(18) % 2
    model = MDJPTClassifier(encoder, max_epochs=1, **TINY).fit(X, y, **given)
    assert model.features_.extractor_.net_ is not None
    assert model.predict(X).shape == (18,)


def test_nested_parameters(make_windows):
    X = make_windows()
    model = on_windows(smoothing="lds", early_stopping=True, max_epochs=3)
    # fit holds on to no data.
    assert len(pickle.dumps(model.fit(X, X.y).net_)) < 100_000
    grid = {"encoder__bands": [BANDS, {"alpha": (8, 14)}], "max_epochs": [1]}
    search = GridSearchCV(model, grid, cv=LeaveOneGroupOut(), error_score="raise")
    search.fit(X, X.y, groups=X.groups("subject"))
    assert search.best_estimator_.features_.extractor_.bands in grid["encoder__bands"]


def test_tags_follow_the_encoder_and_requests_name_the_keywords():
    for model, is_2d in ((on_features(), True), (on_windows(), False)):
        tags = get_tags(model).input_tags
        assert tags.two_d_array is is_2d and tags.three_d_array is not is_2d
    with config_context(enable_metadata_routing=True):
        requests = on_features().get_metadata_routing()
    for method in ("fit", "predict", "predict_proba"):
        assert getattr(requests, method).requests == dict.fromkeys(KEYWORDS, True)


def test_unknown_keywords_raise(blobs):
    X, y = blobs
    model = on_features(max_epochs=1)
    with pytest.raises(TypeError, match="argument 'subject'; it takes subjects,"):
        model.fit(X, y, subject=y)
    model.fit(X, y)
    for method in (model.predict, model.predict_proba):
        with pytest.raises(TypeError, match="keyword argument 'trial';"):
            method(X, trial=y)


# Errors ---------------------------------------------------------------------------


class Untouchable(DifferentialEntropy):
    """An encoder that must not be fitted: what is wrong shall be found before."""

    def fit(self, X, y=None):
        raise AssertionError("bad input must be found before the encoder is fitted")


@pytest.mark.parametrize(
    "parameters, match",
    [
        ({"encoder": "none"}, "encoder must be .*'passthrough'; got 'none'"),
        ({"smoothing": "kalman"}, "smoothing must be one of"),
        ({"hidden_dim": 0}, "hidden_dim must be an int >= 1, got 0"),
        ({"max_epochs": 2.5}, "max_epochs must be an int >= 1, got 2.5"),
        ({"batch_size": 1}, "batch_size must be an int >= 2, got 1"),
        ({"patience": True}, "patience must be an int"),
        ({"torch_threads": 0}, "torch_threads must be an int >= 1"),
        ({"lr": 0.0}, "lr must be a finite number > 0, got 0.0"),
        ({"lr": "fast"}, "lr must be a finite number > 0, got 'fast'"),
        ({"weight_decay": -1e-9}, "weight_decay must be a finite number >= 0"),
        (
            {"weight_decay": np.inf},
            "weight_decay must be .* >= 0, got inf",
        ),
        (
            {"validation_fraction": 1.0},
            "validation_fraction .* > 0 and < 1, got 1.0",
        ),
        ({"early_stopping": "yes"}, "early_stopping must be one of"),
        ({"device": "abacus"}, "device must be 'auto' or"),
        ({"class_weight": {"positive": 2, "bored": 1}}, "not in y: bored; y has neg"),
        ({"class_weight": "even"}, "class_weight must .*None, got 'even'"),
        ({"class_weight": {"neutral": 0.0}}, "Class weights must be positive"),
        ({"early_stopping": True}, "needs two or more, but 1 are known"),
    ],
)
def test_bad_parameters_raise_before_anything_is_fitted(
    make_windows, parameters, match
):
    X = make_windows(n_subjects=1)
    model = MDJPTClassifier(Untouchable()).set_params(**parameters)
    with pytest.raises(ValueError, match=match):
        model.fit(X, X.y)
    assert vars(model).keys() == vars(MDJPTClassifier()).keys()


def test_no_weight_decay_is_allowed(blobs):
    on_features(weight_decay=0, max_epochs=1).fit(*blobs)


def test_bad_labels_raise_before_anything_is_fitted(make_windows):
    X = make_windows()
    model = MDJPTClassifier(Untouchable())
    y = X.y.astype(object)
    y[[1, 5]] = None
    for bad, match in (
        (None, r"requires y .* EEGWindows are X\.y"),
        (y, "for 2 of 36 windows"),
        (["a", float("nan")] * 18, "for 18 of 36 windows"),
        (X.y[:-1], "35 labels for 36 windows"),
        (["same"] * 36, "y has one class: same"),
        (np.linspace(0, 1, 36), "Unknown label type"),
        (np.array([np.inf, 1.0] * 18), "infinity"),
    ):
        with pytest.raises(ValueError, match=match):
            model.fit(X, bad)


def test_unknown_subjects_and_trials_raise_before_anything_is_fitted(blobs):
    X, y = blobs
    windows = np.random.default_rng(0).standard_normal((120, 2, 50))
    model = MDJPTClassifier(Untouchable(BANDS, sfreq=100.0), early_stopping=True)
    with pytest.raises(ValueError, match="two or more, but none are known"):
        model.fit(windows, y)
    with pytest.raises(ValueError, match="subjects is missing for 60 of 120 rows"):
        model.fit(windows, y, subjects=["a", None] * 60)
    # One class is seen in subject "c" only.
    subjects = y if y[0] == "c" else np.char.add("", y)
    with pytest.raises(
        ValueError, match="set aside, 1 of the classes have no training"
    ):
        model.fit(windows, y, subjects=subjects)
    model.set_params(early_stopping=False, smoothing="lds")
    with pytest.raises(ValueError, match="the trials are not known: .* trials="):
        model.fit(windows, y, subjects=y)


def test_features_that_are_none_raise(blobs, make_windows):
    X, y = blobs
    windows = make_windows()
    with pytest.raises(ValueError, match="takes 2-D features, got EEGWindows"):
        on_features().fit(windows, windows.y)
    with pytest.raises(ValueError, match="too large for float32: windows 3"):
        with np.errstate(over="ignore"):
            on_features().fit(np.vstack([X[:3], [[1e300] * 5], X[4:]]), y)
    model = on_features(max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="5 features"):
        model.predict(X[:, :4])
    with pytest.raises(ValueError, match="brings its own metadata"):
        on_windows().fit(windows, windows.y, subjects=windows.groups("subject")[::-1])
