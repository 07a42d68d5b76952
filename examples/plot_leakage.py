"""
How much does a leak inflate a score?
=====================================

Windows of the same person, the same trial and the same clip have much in common that
has nothing to do with emotion.  If they are on both sides of a split, a classifier that
has learnt nothing but that looks good.  Here the labels have no effect at all on the
(simulated) EEG: whatever is above chance is a leak.
"""

# %%
# Data in which there is nothing to be found
# ------------------------------------------
# With ``emotion_strength=0`` the label changes nothing in the signals.  People still
# differ, trials still differ, and clips still drive the EEG of all who watch them, as
# in real recordings.  A second set has the effect of emotions, for comparison.

import warnings

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold, KFold
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC

from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import leave_subjects_out, summary
from sklearn_mdjpt.model_selection import LeakageWarning, LeaveSubjectsAndStimuliOut

sets = {
    name: make_emotion_windows(
        1,
        n_subjects=10,
        montages=("deap32",),
        sfreqs=(128.0,),
        emotion_strength=strength,
        stimulus_strength=1.5,
        random_state=0,
    )
    for name, strength in (("no emotion in the EEG", 0.0), ("emotion in the EEG", 0.6))
}
print(sets["no emotion in the EEG"])

# %%
# One model, four ways to split
# -----------------------------
# The evaluation functions refuse the first two splits; ``on_leak="warn"`` lets them
# pass and writes into the table what is on both sides.


def splits(X):
    """Return the four ways to split, from the loosest to the strictest."""
    trials = X.groups("trial")
    return {
        "windows shuffled": KFold(5, shuffle=True, random_state=0),
        "trials apart": list(GroupKFold(5).split(X, X.y, trials)),
        "subjects apart": None,  # one subject left out at a time
        "subjects and clips apart": LeaveSubjectsAndStimuliOut(random_state=0),
    }


# What the warnings say is in the table's column "leak".
warnings.simplefilter("ignore", LeakageWarning)
warnings.filterwarnings("ignore", ".*windows of one class only")
model = make_pipeline(
    WindowFeatures(DifferentialEntropy(), [SubjectScaler()]),
    SVC(),
)
tables = []
for data, X in sets.items():
    for name, cv in splits(X).items():
        table = leave_subjects_out({"DE": model}, X, cv=cv, on_leak="warn")
        tables.append(table.assign(data=data, splits=name))
table = pd.concat(tables)

# %%
# What the splits say
# -------------------
# The mean over subjects, and its 95 % interval by resampling subjects.

means = summary(table)
means = means[means["method"] == "DE"]
for row in means.itertuples():
    print(
        f"{row.data:>22}, {row.splits:<25} {row.mean:.1%}  [{row.low:.1%}, "
        f"{row.high:.1%}]  shared: {row.leak or 'nothing'}"
    )

# %%
# The picture
# -----------
# Orange splits leak.  Where the EEG holds no emotion, shuffled windows (which overlap
# in time) score far above chance, with nothing to be found.  Where it does, they
# promise what no new person will get.  With subjects apart, what is left above chance
# on the left is clips that are recognised, as each has one label; it goes when clips
# are apart as well.  (Intervals are over people.  All of them saw the same nine clips:
# with other clips each mean would move by some points.)

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
for ax, (data, rows) in zip(axes, means.groupby("data", sort=False), strict=True):
    for place, row in enumerate(rows.itertuples()):
        ax.errorbar(
            100 * row.mean,
            place,
            xerr=100 * np.array([[row.mean - row.low], [row.high - row.mean]]),
            fmt="s",
            color="#d55e00" if row.leak else "#0072b2",
            capsize=4,
        )
        ax.annotate(
            f"{row.mean:.0%}",
            (100 * row.mean, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            bbox={"facecolor": "w", "edgecolor": "none", "pad": 0.5},
        )
    ax.axvline(100 / 3, color="k", linestyle="--", linewidth=1)
    ax.set(title=data, xlabel="balanced accuracy (%)", xlim=(15, 100))
    ax.set_yticks(range(len(rows)), rows["splits"])
    ax.set_ylim(len(rows) - 0.4, -0.6)
axes[0].annotate("chance", (100 / 3, 3.45), xytext=(4, 0), textcoords="offset points")
figure.savefig("plot_leakage.png", dpi=150)
plt.show()
