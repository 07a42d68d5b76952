"""
Does joint pre-training decode emotions in a person never seen?
===============================================================

A decoder of emotions is useful when it works for someone whose EEG it has not been
trained on.  This example leaves one subject out at a time: an encoder is pre-trained
on the other subjects, a logistic regression on its features is trained on the same
ones, and both are scored on the subject left out.  Differential entropy, the classical
feature of this field, stands beside it, and so do both together.

By default the EEG is simulated.  With the environment variable ``SKLEARN_MDJPT_DATA``
set to a folder that holds *eegmat* (36 people at rest and doing mental arithmetic
[1]_), the same is done on these recordings.
"""

# %%
# The data
# --------
# Every window in ``X`` comes with its subject, trial, stimulus and label.  In the
# simulation everyone has seen the same clips, so pre-training pairs people by clip and
# needs no labels.  In eegmat there is no shared clip: people are paired by condition,
# which makes the pre-training supervised.

import os
import time

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import differential_entropy
from sklearn_mdjpt.datasets import fetch_eegmat, make_emotion_windows

real = "SKLEARN_MDJPT_DATA" in os.environ
if real:
    X, pairing = fetch_eegmat(download=False), "label"
else:
    pairing = "stimulus"
    X = make_emotion_windows(
        n_datasets=1,
        n_subjects=6,
        n_stimuli=6,
        montages=("deap32",),
        sfreqs=(128.0,),
        random_state=0,
    )
y, subjects = X.y, X.groups("subject")
print(X)

# %%
# Three pipelines
# ---------------
# The encoder is a step like any other: in each fold it is pre-trained on the training
# subjects and sees nothing of the one left out.  (Its full size and schedule are
# ``MDJPTEncoder()``; ``small`` and two epochs keep this example short.)  Entropy is
# scaled by subject, without labels, as the features of the encoder are.

encoder = MDJPTEncoder.small(pairing=pairing, max_epochs=2, random_state=0)
mdjpt = Pipeline([("enc", encoder), ("clf", LogisticRegression(max_iter=1000))])
entropy = differential_entropy("subject", channels="canonical")

# %%
# Both stand side by side in the third.  Where people saw the same clips, the features
# are projected on what the training subjects have in common at the same moment.

steps = [SubjectScaler()] if real else [SubjectScaler(), CorrelatedComponents()]
both = FeatureUnion(
    [("mdjpt", encoder), ("entropy", DifferentialEntropy(channels="canonical"))]
)
together = make_pipeline(
    WindowFeatures(both, steps), LogisticRegression(C=0.1, max_iter=1000)
)

# %%
# Scores of each subject
# ----------------------
# Windows of one person are no independent samples: the score is one number for each
# subject, and the spread is that over subjects.  Six people are few: an encoder that is
# trained on five of them hardly finds out what they share.  With people of other
# datasets to learn from it does: :ref:`sphx_glr_auto_examples_plot_few_shot.py`.

names = np.unique(subjects)
chance = 1 / len(np.unique(y))
scores = {}
models = {"differential entropy": entropy, "mdJPT": mdjpt, "both": together}
for name, model in models.items():
    start = time.perf_counter()
    predicted = cross_val_predict(model, X, y, groups=subjects, cv=LeaveOneGroupOut())
    scores[name] = np.array(
        [
            balanced_accuracy_score(y[subjects == who], predicted[subjects == who])
            for who in names
        ]
    )
    print(
        f"{name:>20}: balanced accuracy {scores[name].mean():.1%} "
        f"+- {scores[name].std(ddof=1):.1%} (SD over {len(names)} subjects), "
        f"chance {chance:.1%}, {time.perf_counter() - start:.0f} s"
    )

# %%
# The picture
# -----------
# Each line is a subject.  All three use the statistics of a subject's own windows,
# without labels.

figure, axis = plt.subplots(figsize=(6, 4.5), layout="constrained")
pairs = np.array(list(scores.values()))
axis.plot(
    range(len(models)), 100 * pairs, "o-", color="0.75", markersize=5, linewidth=1
)
for place, (name, values) in enumerate(scores.items()):
    axis.errorbar(
        place + 0.08,
        100 * values.mean(),
        100 * values.std(ddof=1),
        fmt="s",
        color=f"C{place}",
        capsize=4,
        label=f"{name}: {values.mean():.1%} ± {values.std(ddof=1):.1%}",
    )
axis.axhline(100 * chance, color="k", linestyle="--", linewidth=1, label="chance")
axis.set(
    xlim=(-0.4, len(models) - 0.6),
    xticks=range(len(models)),
    xticklabels=list(scores),
    ylabel="balanced accuracy (%)",
    title=f"Leave one subject out, {'eegmat' if real else 'simulated EEG'}: "
    "a line is a subject",
)
axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=2, fontsize="small")
figure.savefig("plot_leave_one_subject_out.png", dpi=150)
plt.show()

# %%
# References
# ----------
# .. [1] Zyma et al. (2019). Electroencephalograms during mental arithmetic task
#    performance. Data 4(1), 14. doi:10.3390/data4010014
