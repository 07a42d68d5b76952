"""
What does covariance alignment gain, and what if the domains are forgotten?
===========================================================================

The covariance of EEG channels differs more between people than between emotions: caps
sit elsewhere, skulls conduct differently.  Covariance alignment moves each person's
matrices, as a whole and without labels, so that all people have one mean.  This example
shows the people's mean matrices before and after, and what that does to the decoding of
people never seen.  It needs to know whose window is whose; the last pipeline forgets
that when it predicts.

The EEG is simulated.  With the environment variable ``SKLEARN_MDJPT_DATA`` set to a
folder that holds *eegmat* (people at rest and doing mental arithmetic [1]_), the same
is done on these recordings beside it.
"""

# %%
# The data
# --------
# Eight simulated people see six clips of three emotions, through caps of 32 channels.
# The effect of emotions is set to be strong (``emotion_strength=1.5``): covariances
# over all frequencies at once see little of it.

import os
import warnings

import matplotlib.pyplot as plt
import numpy as np
from pyriemann.tangentspace import TangentSpace
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CovarianceAlignment,
    WindowCovariances,
    WindowFeatures,
    covariance_distance,
)
from sklearn_mdjpt.datasets import fetch_eegmat, make_emotion_windows

data = {
    "simulated": make_emotion_windows(
        n_datasets=1,
        n_subjects=8,
        n_stimuli=6,
        montages=("deap32",),
        sfreqs=(128.0,),
        emotion_strength=1.5,
        stride_seconds=5.0,
        random_state=0,
    )
}
if "SKLEARN_MDJPT_DATA" in os.environ:
    data["eegmat"] = fetch_eegmat(download=False)
for X in data.values():
    print(X)

# %%
# The gap between people
# ----------------------
# ``covariance_distance`` compares the distance between people's mean matrices with that
# of windows from the mean of their own.  Alignment takes the first to zero and leaves
# the second as it was.

X = data["simulated"]
subjects = X.groups("subject")
before = WindowCovariances("oas").fit_transform(X)
after = CovarianceAlignment().fit_transform(before, domains=subjects)
print("before:", covariance_distance(before, subjects))
print("after: ", covariance_distance(after, subjects))

# %%
# Three pipelines
# ---------------
# All classify in the tangent space of the matrices, and test on a quarter of the people
# at a time.  The first does not align.  The second aligns inside ``WindowFeatures``,
# which hands each step the subjects of the very windows that it is given: the training
# people in ``fit``, the unseen ones in ``predict``.  The third is a plain pipeline
# whose ``fit`` gets the subjects by keyword.  scikit-learn drops keywords when it
# predicts, so the test people are taken for one domain: their common mean is moved to
# the target, and each of them stays where they were around it.  (The step warns of it;
# without subjects in ``fit`` either, nothing at all would be aligned.)

pipelines = {
    "not aligned": make_pipeline(
        WindowCovariances("oas"), TangentSpace(), LogisticRegression(max_iter=5000)
    ),
    "aligned": make_pipeline(
        WindowFeatures(
            WindowCovariances("oas"), [CovarianceAlignment(), TangentSpace()]
        ),
        LogisticRegression(max_iter=5000),
    ),
    "forgotten in predict": make_pipeline(
        WindowCovariances("oas"),
        CovarianceAlignment(),
        TangentSpace(),
        LogisticRegression(max_iter=5000),
    ),
}
warnings.filterwarnings("ignore", "fit was given domains")

scores = {}
for dataset, X in data.items():
    y, subjects = X.y, X.groups("subject")
    chance = 1 / len(np.unique(y))
    for name, model in pipelines.items():
        params = None
        if name == "forgotten in predict":
            params = {"covariancealignment__domains": subjects}
        predicted = cross_val_predict(
            model, X, y, groups=subjects, cv=GroupKFold(4), params=params
        )
        scores[dataset, name] = values = np.array(
            [
                balanced_accuracy_score(y[subjects == who], predicted[subjects == who])
                for who in np.unique(subjects)
            ]
        )
        print(
            f"{dataset:>10}, {name:>20}: balanced accuracy {values.mean():.1%} +- "
            f"{values.std(ddof=1):.1%} (SD over {len(values)} subjects), "
            f"chance {chance:.1%}"
        )

# %%
# The picture
# -----------
# Left: windows (dots) and people's means (crosses) in the plane of the tangent space
# that shows most of the matrices before alignment.  Right: one dot is one person.
# The aligned pipeline uses an unseen person's windows all at once, without labels.

tangent = TangentSpace().fit(before)
plane = PCA(2).fit(tangent.transform(before))

figure, axes = plt.subplots(
    1,
    2 + len(data),
    figsize=(8 + 3 * len(data), 4),
    layout="constrained",
    width_ratios=[3, 3] + [2.2] * len(data),
)
subjects = data["simulated"].groups("subject")
people = np.unique(subjects)
for axis, matrices, title in zip(
    axes, (before, after), ("not aligned", "aligned"), strict=False
):
    points = plane.transform(tangent.transform(matrices))
    for k, who in enumerate(people):
        own = points[subjects == who]
        axis.plot(*own.T, ".", color=f"C{k}", alpha=0.5, markersize=5)
    for k, who in enumerate(people):
        mean = points[subjects == who].mean(axis=0)
        axis.plot(*mean, "P", color=f"C{k}", markeredgecolor="k", markersize=10)
    axis.set(title=f"{title}: a colour is a person", xlabel="first component")
axes[0].set_ylabel("second component")
limits = np.array([[*axis.get_xlim(), *axis.get_ylim()] for axis in axes[:2]])
for axis in axes[:2]:
    axis.set(
        xlim=(limits[:, 0].min(), limits[:, 1].max()),
        ylim=(limits[:, 2].min(), limits[:, 3].max()),
    )

for axis, (dataset, X) in zip(axes[2:], data.items(), strict=True):
    values = 100 * np.array([scores[dataset, name] for name in pipelines])
    axis.plot(values, "o-", color="0.8", markersize=4, linewidth=0.8)
    axis.errorbar(
        range(len(pipelines)),
        values.mean(axis=1),
        values.std(axis=1, ddof=1),
        fmt="s",
        color="k",
        capsize=4,
        label="mean ± SD",
    )
    chance = 100 / len(np.unique(X.y))
    axis.axhline(chance, color="k", linestyle="--", linewidth=1, label="chance")
    axis.set(
        xlim=(-0.4, len(pipelines) - 0.6),
        ylim=(0, 105),
        xticks=range(len(pipelines)),
        xticklabels=[name.replace(" ", "\n") for name in pipelines],
        ylabel="balanced accuracy (%)",
        title=f"{dataset}, unseen people",
    )
    axis.legend(loc="lower right", fontsize="small")
figure.savefig("plot_covariance_alignment.png", dpi=150)
plt.show()

# %%
# References
# ----------
# .. [1] Zyma et al. (2019). Electroencephalograms during mental arithmetic task
#    performance. Data 4(1), 14. doi:10.3390/data4010014
