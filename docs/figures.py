"""Draw the figures of the user guide: ``python docs/figures.py`` writes the SVG files.

They are committed, so that building the pages and reading them on a code host need no
drawing.
"""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import FancyBboxPatch
from sklearn.model_selection import GroupKFold, KFold

from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.model_selection import LeaveSubjectsAndStimuliOut, LeaveSubjectsOut

FOLDER = Path(__file__).parent / "_static"
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#d9d9d9"


def draw_network():
    """Draw the path of a window through the encoder, with shapes at each stage."""
    figure, ax = plt.subplots(figsize=(9, 3.4), layout="constrained")
    ax.set(xlim=(-0.1, 14.6), ylim=(-0.2, 4.7))
    ax.axis("off")
    stages = [
        (0.0, 2.6, "any cap, any rate", "windows\nof 5 s", GREY),
        (2.5, 2.6, "60 × 625", "60 canonical\nchannels, 125 Hz", GREY),
        (5.0, 2.6, "32 × 60 × 99", "channel\nencoder", BLUE),
        (7.5, 2.6, "32 × 60 × 99", "spatial\nmixing", BLUE),
        (10.0, 2.6, "512 × 99", "dynamics with\nattention", BLUE),
        (12.5, 2.6, "512", "mean\nover time", BLUE),
        (12.5, 0.2, "1024", "projector", ORANGE),
    ]
    for x, y, shape, name, colour in stages:
        ax.add_patch(
            FancyBboxPatch(
                (x, y), 1.9, 1.0, boxstyle="round,pad=0.05", fc=colour, ec="none",
                alpha=1 if colour == GREY else 0.25,
            )
        )  # fmt: skip
        ax.text(x + 0.95, y + 0.5, name, ha="center", va="center", fontsize=9)
        ax.text(x + 0.95, y - 0.12, shape, ha="center", va="top", fontsize=8)
    arrow = {"arrowstyle": "->", "color": "0.3", "shrinkA": 0, "shrinkB": 0}
    for x in (1.97, 4.47, 6.97, 9.47, 11.97):
        ax.annotate("", (x + 0.46, 3.1), (x, 3.1), arrowprops=arrow)
    ax.annotate("", (12.42, 0.7), (11.0, 2.0), arrowprops=arrow)
    ax.text(13.45, 4.4, "features", ha="center", color=BLUE, fontsize=10)
    ax.annotate("", (13.45, 4.3), (13.45, 3.72), arrowprops=arrow | {"color": BLUE})
    ax.text(8.45, 0.55, "CDA: covariances of all subjects agree", ha="center",
            color=ORANGE, fontsize=9)  # fmt: skip
    ax.annotate("", (8.45, 0.85), (8.45, 2.0), arrowprops=arrow | {"color": ORANGE})
    ax.text(12.3, 0.35, "ISA: two people,\none moment of one clip", ha="right",
            va="top", color=ORANGE, fontsize=9)  # fmt: skip
    figure.savefig(FOLDER / "network.svg")


def draw_losses():
    """Draw which windows attract each other, and what CDA measures."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    v = 5
    cells = np.zeros((2 * v, 2 * v))
    cells[np.arange(v), np.arange(v) + v] = cells[np.arange(v) + v, np.arange(v)] = 1
    np.fill_diagonal(cells, np.nan)
    colours = plt.matplotlib.colors.ListedColormap([GREY, BLUE])
    left.imshow(cells, cmap=colours, vmin=0, vmax=1)
    left.set(
        xticks=np.arange(-0.5, 2 * v), yticks=np.arange(-0.5, 2 * v), xticklabels=[],
        yticklabels=[],
        title="ISA: one dataset, two subjects, five clips",
    )  # fmt: skip
    left.grid(color="w", linewidth=2)
    left.tick_params(length=0)
    left.spines[:].set_visible(False)
    for k in range(2 * v):
        name = f"clip {k % v + 1}"
        left.text(-0.7, k, name, ha="right", va="center", fontsize=8)
    for place, who in ((v / 2 - 0.5, "subject A"), (1.5 * v - 0.5, "subject B")):
        left.text(place, 2 * v - 0.3, who, ha="center", va="top", fontsize=9)
        left.text(-3.1, place, who, rotation=90, ha="center", va="center", fontsize=9)
    left.text(2 * v, 1.0, "drawn together", color=BLUE, fontsize=9, va="center")
    left.text(2 * v, 2.2, "pushed apart", color="0.5", fontsize=9, va="center")

    rng = np.random.default_rng(3)
    middle = np.zeros(2)
    for k, (colour, marker) in enumerate(
        zip((BLUE, ORANGE, "#009e73"), "osD", strict=True)
    ):
        angle = 2 * np.pi * k / 3 + 0.5
        centre = 2.2 * np.array([np.cos(angle), np.sin(angle)])
        for j, point in enumerate(centre + 0.5 * rng.standard_normal((2, 2))):
            label = f"dataset {k + 1}" if j == 0 else None
            right.plot(*point, marker, color=colour, label=label, markersize=9)
            right.annotate(
                "", point + 0.42 * (middle - point), point,
                arrowprops={"arrowstyle": "->", "color": colour, "alpha": 0.6},
            )  # fmt: skip
    right.plot(*middle, "k+", markersize=12, label="their mean")
    right.set(
        xticks=[], yticks=[], aspect="equal", xlim=(-3.6, 3.6), ylim=(-3.4, 3.4),
        title="CDA: a point is a subject's mean covariance",
    )  # fmt: skip
    right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize=9)
    figure.savefig(FOLDER / "losses.svg")


def draw_splits():
    """Draw which windows four splits train on and test on, one fold of each."""
    X = make_emotion_windows(
        1, n_subjects=4, n_stimuli=6, montages=("deap32",), trial_seconds=15.0,
        stride_seconds=2.0, random_state=0,
    )  # fmt: skip
    subjects, trials = X.groups("subject"), X.groups("trial")
    splits = {
        "windows shuffled": KFold(4, shuffle=True, random_state=0).split(X),
        "trials apart": GroupKFold(4, shuffle=True, random_state=0).split(
            X, groups=trials
        ),
        "subjects apart": LeaveSubjectsOut().split(X, X.y),
        "subjects and clips apart": LeaveSubjectsAndStimuliOut(
            n_stimulus_splits=3, random_state=0
        ).split(X, X.y),
    }
    names, who = np.unique(subjects, return_inverse=True)
    clips = np.unique(X.groups("stimulus"), return_inverse=True)[1]
    # One column for each window of a clip, the same clip at the same place for all.
    within = np.round(X.metadata["onset"].to_numpy(float) / 2).astype(int)
    place = clips * (within.max() + 2) + within
    figure, axes = plt.subplots(2, 2, figsize=(9, 3.6), layout="constrained")
    for ax, (title, split) in zip(axes.flat, splits.items(), strict=True):
        train, test = next(iter(split))
        shown = np.full(len(X), "#eeeeee", dtype=object)
        shown[train], shown[test] = BLUE, ORANGE
        ax.scatter(place, who, marker="s", s=22, c=list(shown), linewidths=0)
        ax.set(title=title, yticks=range(len(names)), ylim=(len(names) - 0.5, -0.5))
        ax.set_yticklabels([f"subject {k + 1}" for k in range(len(names))])
        centres = [place[clips == c].mean() for c in np.unique(clips)]
        ax.set_xticks(centres, [f"clip {k + 1}" for k in range(len(centres))])
        ax.tick_params(length=0, labelsize=8)
        ax.spines[:].set_visible(False)
    handles = [
        plt.Line2D([], [], color=colour, marker="s", linestyle="", label=label)
        for colour, label in ((BLUE, "train"), (ORANGE, "test"), ("#dddddd", "unused"))
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    figure.savefig(FOLDER / "splits.svg")


if __name__ == "__main__":
    # Text stays text, and the same script gives the same file.
    plt.rcParams.update({"svg.hashsalt": "sklearn_mdjpt", "font.size": 9})
    for draw in (draw_network, draw_losses, draw_splits):
        draw()
        plt.close("all")
