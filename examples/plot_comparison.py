"""
mdJPT, pyriemann and braindecode in one table
=============================================

A new method is worth what it gains over simple ones, on the same people and the same
splits.  One call scores an encoder beside differential entropy, Riemannian tangent
space and a convolutional network, with each subject left out in turn.
"""

# %%
# One dataset, six people
# -----------------------
# Simulated, 32 channels at 128 Hz.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.baselines import make_baselines
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import compare, leave_subjects_out, plot, summary
from sklearn_mdjpt.model_selection import LeaveSubjectsOut

X = make_emotion_windows(
    1,
    n_subjects=6,
    n_stimuli=6,
    montages=("deap32",),
    sfreqs=(128.0,),
    emotion_strength=1.2,
    random_state=0,
)
print(X)

# %%
# Which methods
# -------------
# ``make_baselines`` names each by what it may use.  *Inductive* classifies every test
# window by itself; *transductive* also uses what the other windows of the test subject
# look like, without their labels.  Compare within a kind.

models = make_baselines(networks=["ShallowFBCSPNet"], max_epochs=10, random_state=0)
models["mdJPT (transductive)"] = make_pipeline(
    MDJPTEncoder.small(max_epochs=1, random_state=0),
    LogisticRegression(C=0.1, max_iter=1000),
)

# %%
# Three splits, two people left out in each
# -----------------------------------------
# Everything is trained anew in each split: the encoder, too.

table = leave_subjects_out(models, X, cv=LeaveSubjectsOut(n_splits=3))
columns = ["method", "mean", "sd", "low", "high", "n_subjects", "seconds"]
print(summary(table)[columns].round(3).to_string(index=False))

# %%
# Differences by person, with Holm's correction for five comparisons
# -------------------------------------------------------------------

columns = ["method", "difference", "low", "high", "n_better", "n_worse", "p_holm"]
print(compare(table, "mdJPT (transductive)")[columns].round(3).to_string(index=False))

# %%
# The picture
# -----------
# A dot is a person, a square the mean with its 95 % interval over persons.  The
# convolutional network and the encoder had some seconds of training in each split here,
# and would gain by more.

ax = plot(table)
ax.figure.suptitle("Subjects left out, six people (simulated EEG)")
ax.figure.savefig("plot_comparison.png", dpi=150)
plt.show()
