"""What the figures show: labels, artists, and that lines are the tables' numbers."""

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

pytest.importorskip("matplotlib")
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from sklearn_mdjpt import MDJPTEncoder, evaluation
from sklearn_mdjpt.channels import CANONICAL_CHANNELS
from sklearn_mdjpt.inspection import Embedding, spatial_filters
from sklearn_mdjpt.plotting import (
    plot_ablation,
    plot_confusion,
    plot_covariance_distances,
    plot_embedding,
    plot_history,
    plot_map_correlations,
    plot_scaling,
    plot_scores,
    plot_topographies,
)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def texts(ax):
    return [text.get_text() for text in ax.texts]


def scores(**columns):
    """Scores of six subjects for each combination of what is given."""
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product(
        [*columns.values(), [f"A/{k}" for k in range(6)]],
        names=[*columns, "subject"],
    )
    table = index.to_frame(index=False)
    table["value"] = rng.uniform(0.4, 0.9, len(table))
    table.loc[table["method"] == "chance", "value"] = 1 / 3
    return table.assign(
        protocol="few_shot", dataset="A", split=0, unit="window",
        metric="balanced_accuracy", leak="", seconds=1.0,
    )  # fmt: skip


def error_bars(ax):
    """Return position and length of each bar of an errorbar plot, in data units."""
    segments = [
        segment
        for bars in ax.containers
        for c in bars[2]
        for segment in c.get_segments()
    ]
    return np.array(segments)


# Histories --------------------------------------------------------------------


HISTORY = pd.DataFrame(
    {"isa": [4.0, 3.5, 3.2], "cda": [2.0, 1.5, 1.0], "total": [4.1, 3.6, 3.3]},
    index=pd.RangeIndex(1, 4, name="epoch"),
)


def test_history_shows_three_losses_and_guessing():
    axes = plot_history(HISTORY, guessing=4.4)
    assert len(axes) == 3
    for ax, name in zip(axes, HISTORY, strict=True):
        assert_allclose(ax.lines[0].get_xydata(), np.c_[[1, 2, 3], HISTORY[name]])
        assert name.upper() in ax.get_ylabel().upper() and ax.get_xlabel() == "epoch"
    assert axes[0].lines[1].get_linestyle() == "--"
    assert_allclose(axes[0].lines[1].get_ydata(), 4.4)
    assert axes[0].get_ylim()[1] > 4.4 and texts(axes[0]) == ["guessing"]
    _, mine = plt.subplots(1, 3)
    assert list(plot_history(HISTORY, axes=mine)) == list(mine)
    assert len(mine[0].lines) == 1


def test_history_of_an_encoder(make_windows):
    encoder = MDJPTEncoder.small(
        hidden_dim=4, latent_dim=2, max_epochs=2, batches_per_epoch=1, random_state=0
    ).fit(make_windows(n_subjects=2))
    axes = plot_history(encoder)
    assert_allclose(axes[1].lines[0].get_ydata(), encoder.history_["cda"])
    with pytest.raises(ValueError, match="no epoch.*not trained"):
        plot_history(HISTORY.iloc[:0])
    with pytest.raises(TypeError, match="must be a fitted MDJPTEncoder"):
        plot_history([1, 2])
    with pytest.raises(ValueError, match="axes must be 3, one for each panel, got 2"):
        plot_history(HISTORY, axes=plt.subplots(1, 2)[1])


# Scores -----------------------------------------------------------------------


def test_scores_are_the_summarys():
    table = scores(method=["chance", "majority", "a", "b"])
    ax = plot_scores(table)
    assert ticks(ax.yaxis) == ["a", "b"]
    means = evaluation.summary(table).set_index("method").loc[["a", "b"]]
    assert_allclose(error_bars(ax)[:, :, 0], 100 * means[["low", "high"]].to_numpy())
    dots = [line for line in ax.lines if line.get_markersize() == 4]
    values = table.loc[table["method"] == "a", "value"]
    assert_allclose(dots[0].get_xdata(), 100 * values)
    assert texts(ax) == ["chance"] and "(%)" in ax.get_xlabel()
    # The public name in evaluation draws the same.
    _, mine = plt.subplots()
    assert evaluation.plot(table, ax=mine) is mine
    assert_allclose(error_bars(mine), error_bars(ax))


def test_ablation_shows_differences_from_the_reference():
    table = scores(method=["chance", "majority", "full", "no CDA", "untrained"])
    ax = plot_ablation(table)
    assert ticks(ax.yaxis) == ["no CDA", "untrained"]
    rows = evaluation.compare(table, "full").set_index("method")
    rows = rows.loc[["no CDA", "untrained"]]
    assert_allclose(error_bars(ax)[:, :, 0], 100 * rows[["low", "high"]].to_numpy())
    squares = [bars[0].get_xdata()[0] for bars in ax.containers]
    assert_allclose(squares, 100 * rows["difference"])
    own = table.loc[table["method"] == "full", "value"].mean()
    assert f"{100 * own:.1f} %" in ax.get_title() and "6 subjects" in ax.get_title()
    assert "percentage points" in ax.get_xlabel()
    with pytest.raises(ValueError, match="no method to compare with 'full'"):
        plot_ablation(scores(method=["chance", "full"]))
    two = scores(method=["full", "no CDA"], exclude=["subject", "trial"])
    assert ticks(plot_ablation(two).yaxis) == [
        "no CDA, exclude subject", "no CDA, exclude trial",
    ]  # fmt: skip


def test_scaling_has_a_line_for_each_method():
    table = scores(method=["chance", "a", "b"], n_sources=[1, 2, 4])
    ax = plot_scaling(table)
    means = evaluation.summary(table)
    for bars, name in zip(ax.containers, "ab", strict=True):
        rows = means[means["method"] == name]
        assert bars.get_label() == name
        assert_allclose(bars[0].get_ydata().astype(float), 100 * rows["mean"])
        assert_allclose(bars[0].get_xdata().astype(float), rows["n_sources"], atol=0.05)
    assert ticks(ax.xaxis) == ["1", "2", "4"] and ax.get_xlabel() == "source datasets"
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert sorted(legend) == ["a", "b", "chance"]
    dashed = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert_allclose(dashed[0].get_ydata(), 100 / 3)
    with pytest.raises(ValueError, match="no column n_sources"):
        plot_scaling(scores(method=["a", "b"]))


# Matrices ---------------------------------------------------------------------


def test_confusion_says_how_it_is_averaged():
    table = pd.DataFrame(
        {
            "method": ["m1"] * 4 + ["m2"] * 4,
            "subject": ["1", "1", "1", "2"] * 2,
            "label": ["joy", "joy", "sad", "joy"] * 2,
            "predicted": ["joy", "sad", "sad", "joy"] * 2,
        }
    )
    axes = plot_confusion((None, table))
    assert [ax.get_title().split("\n")[0] for ax in axes] == ["m1", "m2"]
    assert "mean of subjects" in axes[0].get_title()
    assert texts(axes[0]) == ["75", "25", "0", "100"]
    assert ticks(axes[0].yaxis) == ["joy", "sad"]
    pooled = plot_confusion(table, average="pooled")[0]
    assert "pooled" in pooled.get_title() and texts(pooled)[0] == "67"


def test_distances_share_one_scale():
    pairs = pd.DataFrame([[0, 0.3], [0.3, 0]], list("AB"), list("AB"))
    axes = plot_covariance_distances({"before": pairs, "after": pairs / 3})
    assert [ax.get_title() for ax in axes] == ["before (mean 0.3)", "after (mean 0.1)"]
    images = [ax.images[0] for ax in axes]
    assert_allclose(images[1].get_array(), pairs / 3)
    assert {image.get_clim() for image in images} == {(0, 0.3)}
    assert texts(axes[1]) == ["0.00", "0.10", "0.10", "0.00"]
    assert axes[0].figure.axes[-1].get_ylabel() == "distance of covariances"
    many = pd.DataFrame(np.zeros((40, 40)))
    ax = plot_covariance_distances(many)[0]
    assert len(ticks(ax.xaxis)) <= 25 and not ax.texts
    with pytest.raises(TypeError, match="square DataFrame"):
        plot_covariance_distances(np.zeros((2, 2)))


def test_correlations_stand_in_blocks_of_an_emotion():
    index = pd.MultiIndex.from_tuples([("joy", "A"), ("sad", "A"), ("joy", "B")])
    maps = pd.DataFrame(np.random.default_rng(0).random((3, 9)), index=index)
    ax = plot_map_correlations(maps)
    assert ticks(ax.yaxis) == ["joy, A", "joy, B", "sad, A"]
    expected = np.corrcoef(maps.iloc[[0, 2, 1]])
    assert_allclose(ax.images[0].get_array(), expected)
    assert ax.images[0].get_clim() == (-1, 1)
    assert {line.get_ydata()[0] for line in ax.lines} >= {1.5}


# Embeddings -------------------------------------------------------------------


def made_embedding(n_subjects):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.random((60, 2)), columns=["x", "y"])
    table["dataset"] = np.repeat(["A", "B"], 30)
    table["subject"] = [f"{k % n_subjects}" for k in range(60)]
    table["label"] = None
    silhouettes = {"dataset": 0.25, "subject": -0.1, "label": np.nan}
    return Embedding(table, silhouettes, "pca", np.array([0.5, 0.2]))


def test_embedding_has_a_panel_for_each_kind_of_group():
    axes = plot_embedding(made_embedding(3))
    assert [ax.get_title() for ax in axes] == [
        "dataset (silhouette 0.25)", "subject (silhouette -0.10)", "label (not known)",
    ]  # fmt: skip
    assert axes[0].get_xlabel() == "component 1 (50 % of variance)"
    shown = np.concatenate([c.get_offsets() for c in axes[0].collections])
    table = made_embedding(3).table[["x", "y"]].to_numpy()
    assert_allclose(np.sort(shown, axis=0), np.sort(table, axis=0))
    legend = [text.get_text() for text in axes[1].get_legend().get_texts()]
    assert legend == ["0", "1", "2"]
    [ax] = plot_embedding(made_embedding(11), by="subject")
    looks = {
        (*c.get_facecolors()[0, :3], c.get_paths()[0].vertices.tobytes())
        for c in ax.collections[:11]
    }
    assert len(looks) == len(ax.get_legend().get_texts()) == 11
    [ax] = plot_embedding(made_embedding(20), by="subject")
    assert ax.get_legend() is None and texts(ax) == ["20 subjects"]
    colors = np.concatenate([c.get_facecolors() for c in ax.collections])
    assert len(np.unique(colors[:, :3], axis=0)) == 20
    with pytest.raises(TypeError, match="inspection.embed"):
        plot_embedding(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="by must be one of"):
        plot_embedding(made_embedding(3), by="trial")


# Topographies -----------------------------------------------------------------


def test_topographies_share_a_scale_around_zero():
    rng = np.random.default_rng(0)
    index = pd.MultiIndex.from_product([["joy", "sad", "fear"], ["A", "B"]])
    maps = pd.DataFrame(
        rng.standard_normal((6, 60)), index=index, columns=list(CANONICAL_CHANNELS)
    )
    axes = plot_topographies(maps, label="attribution (logits)")
    assert [ax.get_title() for ax in axes[:2]] == ["joy, A", "joy, B"]
    # Emotions across, datasets down.
    first, below, beside = (axes[k].get_position() for k in (0, 1, 2))
    assert below.y0 < first.y0 and beside.x0 > first.x0
    largest = np.abs(maps.to_numpy()).max()
    assert_allclose(axes[0].images[0].get_clim(), (-largest, largest))
    assert axes[0].figure.axes[-1].get_ylabel() == "attribution (logits)"
    [ax] = plot_topographies(maps.abs().iloc[:1])
    assert_allclose(ax.images[0].get_clim(), (0, maps.iloc[0].abs().max()))
    _, mine = plt.subplots(1, 2)
    assert list(plot_topographies(maps.iloc[:2], axes=mine)) == list(mine)
    with pytest.raises(ValueError, match="without a known place: nowhere"):
        plot_topographies(maps.rename(columns={"CZ": "nowhere"}))
    with pytest.raises(ValueError, match="NaN"):
        plot_topographies(maps * np.nan)


def test_topographies_of_filters(make_windows):
    encoder = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(make_windows())
    filters = spatial_filters(encoder, 7)
    axes = plot_topographies(filters)
    assert [ax.get_title() for ax in axes] == [f"filter {k}" for k in filters.index]
    # Five in a row; what is left of the grid is empty.
    grid = axes[0].figure.axes
    assert sum(not ax.axison for ax in grid if ax not in set(axes)) == 3


@pytest.mark.parametrize(
    "draw",
    [
        lambda: plot_history(HISTORY),
        lambda: plot_scores(scores(method=["a"])),
        lambda: plot_scaling(scores(method=["a"], n_sources=[1, 2])),
        lambda: plot_embedding(made_embedding(2)),
        lambda: plot_topographies(
            pd.DataFrame([[1.0, 2, 3]], columns=["Fz", "C3", "Pz"])
        ),
    ],
)
def test_without_matplotlib_the_extra_is_named(draw, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r"pip install 'sklearn_mdjpt\[plot\]'"):
        draw()
