"""Numbers from fitted encoders, against what is known of them."""

import functools

import numpy as np
import pandas as pd
import pytest
import torch
from settings import tiny_encoder
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score, silhouette_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from sklearn_mdjpt import (
    EEGWindows,
    MDJPTClassifier,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.channels import CANONICAL_CHANNELS
from sklearn_mdjpt.inspection import (
    channel_importance,
    confusion_matrices,
    covariance_distances,
    embed,
    integrated_gradients,
    isa_of_guessing,
    map_correlations,
    spatial_filters,
)
from sklearn_mdjpt.nn import centroid_distances

untrained = functools.partial(tiny_encoder, n_filters=2, max_epochs=0)
CH_NAMES = ["Fz", "C3", "Cz", "Pz"]


def make_windows(silent=None, n_labels=3):
    """Windows of two datasets of two subjects, six of each."""
    rng = np.random.default_rng(0)
    signal = 1e-5 * np.cumsum(rng.standard_normal((24, len(CH_NAMES), 60)), axis=2)
    if silent is not None:
        signal[:, CH_NAMES.index(silent)] = 0.0
    return EEGWindows.from_arrays(
        signal, ch_names=CH_NAMES, sfreq=100.0, dataset=np.repeat(["A", "B"], 12),
        subject=np.tile(np.repeat([1, 2], 6), 2), stimulus=np.tile(list("abc"), 8),
        trial=np.tile(np.arange(6), 4), onset=0.0,
        y=np.tile(["fear", "joy", "sad"][:n_labels], 24 // n_labels),
    )  # fmt: skip


@pytest.fixture(scope="module")
def X():
    return make_windows()


@pytest.fixture(scope="module")
def encoder(X):
    return untrained().fit(X)


@pytest.fixture(scope="module")
def model(X):
    encoder = untrained()
    return make_pipeline(encoder, StandardScaler(), LogisticRegression()).fit(X, X.y)


@pytest.fixture
def smooth(monkeypatch):
    """Networks without kinks, whose integrals converge at once."""

    def softplus(x, inplace=False):
        return torch.nn.functional.softplus(x)

    monkeypatch.setattr(torch.nn.functional, "relu", softplus)


# Integrated gradients ---------------------------------------------------------


def own_scores(model, X):
    return model.decision_function(X)[
        np.arange(len(X)), np.searchsorted(model.classes_, X.y)
    ]


@pytest.mark.parametrize("subject_norm", ["subject", "train", None])
def test_contributions_add_up_to_the_difference_of_scores(smooth, X, subject_norm):
    encoder = untrained(subject_norm=subject_norm)
    model = make_pipeline(encoder, LogisticRegression()).fit(X, X.y)
    result = integrated_gradients(model, X[:8], n_steps=24)
    gap = result.scores - result.baseline_scores
    np.testing.assert_allclose(result.values.sum(axis=1), gap, rtol=1e-5, atol=1e-5)
    assert np.abs(gap).mean() > 0.1
    np.testing.assert_allclose(result.scores, own_scores(model, X[:8]), atol=1e-4)


@pytest.mark.filterwarnings("ignore:Contributions miss")
def test_with_kinks_more_steps_come_closer(model, X):
    part = X[:6]
    few, many = (integrated_gradients(model, part, n_steps=n) for n in (6, 64))
    gap = np.abs(many.scores - many.baseline_scores).sum()
    assert np.abs(many.residuals).sum() < 0.02 * gap
    assert np.abs(many.residuals).sum() < 0.5 * np.abs(few.residuals).sum()
    np.testing.assert_allclose(many.scores, own_scores(model, part), atol=1e-4)


def test_too_few_steps_are_reported(model, X):
    with pytest.warns(UserWarning, match="miss the difference.*n_steps=1"):
        integrated_gradients(model, X[:6], n_steps=1)


@pytest.mark.filterwarnings("ignore:Contributions miss")
def test_contributions_do_not_depend_on_the_batch(model, X):
    together = integrated_gradients(model, X[:6], n_steps=8)
    apart = integrated_gradients(model, X[:6], n_steps=8, batch_size=4)
    np.testing.assert_allclose(together.values, apart.values, rtol=1e-3, atol=1e-5)


def test_of_two_classes_the_first_has_the_opposite_score(smooth):
    X = make_windows(n_labels=2)[:6]
    encoder = untrained()
    model = make_pipeline(encoder, PCA(2), LinearDiscriminantAnalysis()).fit(X, X.y)
    fear = integrated_gradients(model, X, np.full(6, "fear"), n_steps=4)
    joy = integrated_gradients(model, X, np.full(6, "joy"), n_steps=4)
    np.testing.assert_allclose(fear.values, -joy.values, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(joy.scores, model.decision_function(X), atol=1e-4)


def test_the_head_of_the_classifier_is_explained_by_its_logits(smooth, X):
    encoder = untrained()
    model = MDJPTClassifier(encoder, max_epochs=2).fit(X, X.y)
    each = [
        integrated_gradients(model, X[:6], np.full(6, name), n_steps=2).scores
        for name in model.classes_
    ]
    odds = np.exp(np.transpose(each))
    np.testing.assert_allclose(
        odds / odds.sum(axis=1, keepdims=True), model.predict_proba(X[:6]), rtol=1e-4
    )


@pytest.mark.filterwarnings("ignore:Flat channels")
@pytest.mark.filterwarnings("ignore:Contributions miss")
def test_a_silent_channel_contributes_nothing_and_is_not_important():
    X = make_windows(silent="Pz")
    encoder = untrained()
    model = make_pipeline(encoder, LogisticRegression()).fit(X, X.y)
    result = integrated_gradients(model, X[:4], n_steps=4)
    column = CANONICAL_CHANNELS.index("PZ")
    assert np.abs(result.values[:, column]).max() < 1e-12
    assert np.abs(result.values).max() > 0.01
    importance = channel_importance(model, X)
    assert (importance["PZ"] < 1e-5).all() and (importance["CZ"] > 1e-2).all()


@pytest.mark.filterwarnings("ignore:Contributions miss")
def test_maps_count_each_subject_alike(model, X):
    result = integrated_gradients(model, X[3:18], n_steps=4)
    maps = result.mean()
    who = X[3:18].groups("subject")
    mine = [
        result.values[(who == f"A/{s}") & (result.labels == "joy")].mean(axis=0)
        for s in (1, 2)
    ]
    np.testing.assert_allclose(maps.loc[("joy", "A")], np.mean(mine, axis=0))
    assert maps.index.names == ["label", "dataset"] and len(maps) == 6
    assert len(result.mean(by="subject")) == 9
    assert result.mean(by=None).index.tolist() == ["fear", "joy", "sad"]
    correlations = map_correlations(maps)
    expected = np.corrcoef(maps.loc[("joy", "A")], maps.loc[("joy", "B")])[0, 1]
    assert np.isclose(correlations.loc[("joy", "A"), ("joy", "B")], expected)


@pytest.mark.filterwarnings("ignore:Artefacts")
def test_what_cannot_be_attributed_is_refused(encoder, X, model):
    tiny = untrained()
    scaled = make_pipeline(
        WindowFeatures(tiny, [SubjectScaler()]), LogisticRegression()
    )
    with pytest.raises(ValueError, match="SubjectScaler.*depend on others.*subjects"):
        integrated_gradients(scaled.fit(X, X.y), X)
    smoothed = MDJPTClassifier(tiny, "lds", max_epochs=1).fit(X, X.y)
    with pytest.raises(ValueError, match="LDSSmoother.*depend on others.*trials"):
        integrated_gradients(smoothed, X)
    curved = make_pipeline(tiny, SVC()).fit(X, X.y)
    with pytest.raises(ValueError, match="not affine.*SVC"):
        integrated_gradients(curved, X)
    with pytest.raises(TypeError, match="decision_function.*KNeighbors"):
        integrated_gradients(make_pipeline(tiny, KNeighborsClassifier()).fit(X, X.y), X)
    with pytest.raises(TypeError, match="decision_function.*nothing"):
        integrated_gradients(encoder, X, X.y)
    with pytest.raises(TypeError, match="Expected a fitted MDJPTEncoder.*Logistic"):
        integrated_gradients(LogisticRegression(), X)
    with pytest.raises(ValueError, match="does not know the classes rage"):
        integrated_gradients(model, X, np.full(24, "rage"))
    with pytest.raises(ValueError, match="y has shape"):
        integrated_gradients(model, X, X.y[:3])
    with pytest.raises(ValueError, match="n_steps .*got 0"):
        integrated_gradients(model, X, n_steps=0)


# Channels ---------------------------------------------------------------------


def test_filters_are_rows_of_the_mixing_the_largest_first(encoder):
    filters = spatial_filters(encoder)
    weight = encoder.module_.spatial.weight.detach().numpy()
    np.testing.assert_allclose(filters.to_numpy(), weight[filters.index])
    norms = np.linalg.norm(filters, axis=1)
    assert (np.diff(norms) <= 0).all() and sorted(filters.index) == list(range(60))
    assert list(filters.columns) == list(CANONICAL_CHANNELS)
    assert spatial_filters(encoder, 3).equals(filters.iloc[:3])
    with pytest.raises(ValueError, match="n_filters .*60.*got 61"):
        spatial_filters(encoder, 61)


@pytest.mark.filterwarnings("ignore:Flat channels")
def test_importance_is_the_change_when_a_channel_is_left_out(X):
    encoder = untrained(subject_norm=None, window_norm=None, sfreq=125.0)
    signal = np.random.default_rng(1).standard_normal((10, 60, 50))
    encoder.fit(signal)
    without = signal.copy()
    without[:, 7] = 0.0
    Z, changed = encoder.transform(signal), encoder.transform(without)
    expected = np.sqrt(((Z - changed) ** 2).sum(1).mean() / Z.var(axis=0).sum())
    importance = channel_importance(encoder, signal, by=None)
    assert np.isclose(importance.iloc[0, 7], expected, rtol=1e-4)
    # A channel that the mixing does not take makes no difference.
    with torch.no_grad():
        encoder.module_.spatial.weight[:, 7] = 0.0
    importance = channel_importance(encoder, signal, by=None).iloc[0]
    assert importance.iloc[7] < 1e-6 < 1e-2 < importance.drop("F3").min()


def test_importance_by_group(encoder, X):
    assert list(channel_importance(encoder, X).index) == ["A", "B"]
    part = X[X.groups("dataset") == "B"]
    np.testing.assert_allclose(
        channel_importance(encoder, X).loc["B"],
        channel_importance(encoder, part).loc["B"],
        rtol=1e-4,
    )  # fmt: skip


# Covariances ------------------------------------------------------------------


def test_distances_are_those_of_the_losses_centroids(encoder, X):
    distances = covariance_distances(encoder, X, batch_size=4)
    windows, reader = encoder._read(X, encoder.module_, encoder._fitted_parameters)
    subjects = torch.from_numpy(pd.factorize(X.groups("subject"))[0])
    with torch.no_grad():
        out = encoder.module_(torch.from_numpy(reader.read(np.arange(24))), subjects)
    p = out.spatial.double() - out.spatial.double().mean(-1, keepdim=True)
    covariances = (p @ p.mT).reshape(2, 12, *p.shape[1:3], p.shape[2]).mean(1)
    shapes = [[C / torch.trace(C) for C in of_dataset] for of_dataset in covariances]
    gaps = [torch.linalg.norm(a - b) for a, b in zip(*shapes, strict=True)]
    expected = float(torch.stack(gaps).mean())
    assert np.isclose(distances.loc["A", "B"], expected, rtol=1e-4)
    assert distances.loc["A", "A"] == distances.loc["B", "B"] == 0
    by_subject = covariance_distances(encoder, X, by="subject")
    assert list(by_subject.index) == ["A/1", "A/2", "B/1", "B/2"]
    with pytest.raises(ValueError, match="need two datasets, got A"):
        covariance_distances(encoder, X[:12])


def test_the_same_signals_in_two_datasets_have_distance_zero(encoder, X):
    signal = np.asarray(X[:12])
    twice = EEGWindows.from_arrays(
        np.concatenate([signal, signal]), ch_names=CH_NAMES, sfreq=100.0,
        dataset=np.repeat(["A", "B"], 12), subject=1,
    )  # fmt: skip
    assert covariance_distances(encoder, twice).to_numpy().max() < 1e-6
    # Amplitude is taken out by the norm, and scale by the distance.
    centroids = torch.randn(1, 2, 4, 9).double()
    centroids = centroids @ centroids.mT
    both = torch.cat([centroids, 3 * centroids])
    assert centroid_distances(both).max() < 1e-12
    with pytest.raises(ValueError, match="centroids must have shape"):
        centroid_distances(torch.zeros(2, 3, 4))


# Embedding --------------------------------------------------------------------


def test_silhouettes_are_those_of_scikit_learn(encoder, X):
    Z = encoder.transform(X)
    result = embed(Z, X)
    for name in ("dataset", "subject"):
        expected = silhouette_score(Z.astype(float), X.groups(name))
        assert np.isclose(result.silhouettes[name], expected)
    assert np.isclose(
        result.silhouettes["label"], silhouette_score(Z.astype(float), X.y)
    )
    pca = PCA(2, svd_solver="full").fit(Z.astype(float))
    np.testing.assert_allclose(
        result.table[["x", "y"]], pca.transform(Z.astype(float)), atol=1e-8
    )
    np.testing.assert_allclose(result.explained, pca.explained_variance_ratio_)
    assert embed(encoder, X).table.equals(result.table)


def test_embedding_draws_windows_and_knows_one_group(X):
    Z = np.random.default_rng(0).standard_normal((24, 5))
    Z[:12, 0] += 100
    result = embed(Z, X, method="tsne", max_windows=15)
    assert len(result.table) == 15 and result.explained is None
    assert result.silhouettes["dataset"] > 0.9
    rows = result.table["window"]
    assert (result.table["label"] == X.y[rows]).all()
    assert np.isnan(embed(Z[:12], X[:12]).silhouettes["dataset"])
    again = embed(Z, X, method="tsne", max_windows=15)
    assert again.table.equals(result.table)
    for wrong, message in ((Z[:5], "one row for each"), (Z * np.nan, "NaN")):
        with pytest.raises(ValueError, match=message):
            embed(wrong, X)
    for wrong in (2, 2.5, "all"):
        with pytest.raises(ValueError, match=f"max_windows must be .*got {wrong!r}"):
            embed(Z, X, max_windows=wrong)


# Losses and confusions --------------------------------------------------------


def test_guessing_is_log_of_the_other_windows(X):
    # Each dataset: two subjects share three stimuli.
    assert np.isclose(isa_of_guessing(X), 2 * np.log(5))
    assert np.isclose(isa_of_guessing(X[:12], pairing="stimulus-any-onset"), np.log(5))
    # By label: two windows of each label of each subject; of the other subject's six
    # and its own four of other labels, one of two positives is guessed.
    assert np.isclose(isa_of_guessing(X[:12], pairing="label"), np.log(10))


def test_confusion_of_subjects_agrees_with_balanced_accuracy():
    rng = np.random.default_rng(0)
    n = 200
    label = rng.choice(list("abc"), n)
    table = pd.DataFrame(
        {
            "method": np.repeat(["m1", "m2"], n // 2),
            "dataset": "A",
            "subject": rng.choice(["A/1", "A/2"], n, p=[0.7, 0.3]),
            "label": label,
            "predicted": np.where(rng.random(n) < 0.5, label, "a"),
        }
    )
    matrices = confusion_matrices(table)
    assert list(matrices) == ["m1", "m2"]
    mine = table[table["method"] == "m1"]
    expected = [
        recall_score(some["label"], some["predicted"], labels=list("abc"), average=None)
        for _, some in mine.groupby("subject")
    ]
    np.testing.assert_allclose(np.diag(matrices["m1"]), np.mean(expected, axis=0))
    np.testing.assert_allclose(matrices["m1"].sum(axis=1), 1)
    pooled = confusion_matrices(table, average="pooled")["m1"]
    expected = recall_score(mine["label"], mine["predicted"], average=None)
    np.testing.assert_allclose(np.diag(pooled), expected)


def test_confusion_of_a_class_that_a_subject_lacks():
    table = pd.DataFrame(
        {
            "method": "m",
            "subject": ["1", "1", "2"],
            "label": ["a", "b", "a"],
            "predicted": ["a", "c", "b"],
        }
    )
    matrix = confusion_matrices(table)["m"].to_numpy()
    np.testing.assert_allclose(
        matrix, [[0.5, 0.5, 0], [0, 0, 1], [np.nan, np.nan, np.nan]]
    )
    two = pd.concat([table.assign(dataset="A"), table.assign(dataset="B")])
    with pytest.raises(ValueError, match=r"several datasets.*\['A', 'B'\]"):
        confusion_matrices(two)
    with pytest.raises(TypeError, match="return_predictions=True"):
        confusion_matrices(table.drop(columns="predicted"))
