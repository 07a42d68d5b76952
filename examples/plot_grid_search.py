"""
How are settings chosen without looking at the test subjects?
=============================================================

A grid search inside each training fold, over the settings of features and classifier,
with subjects left out inside as well as outside.  Encoding windows costs far more than
the classifier: a cache encodes each fold once for all settings that share it.
"""

# %%
# A pipeline with a memory
# ------------------------
# An encoder with ``weights`` does not train in ``fit``, and is cheap to clone.  These
# weights were trained on one simulated dataset; the search is run on another one.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut
from sklearn.pipeline import Pipeline

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows

X = make_emotion_windows(
    2,
    n_subjects=6,
    n_stimuli=6,
    montages=("faced30", "deap32"),
    sfreqs=(250.0, 128.0),
    emotion_strength=1.2,
    random_state=0,
)
source, X = X[X.groups("dataset") == "SimA"], X[X.groups("dataset") == "SimB"]
folder = tempfile.TemporaryDirectory()
weights = Path(folder.name) / "encoder.safetensors"
encoder = MDJPTEncoder.small(max_epochs=2, random_state=0)
encoder.fit(source).save(weights)

# %%
# Four people to choose on, two to score
# --------------------------------------
# ``feature`` belongs to the encoder and ``C`` to the classifier.  In a fold the four
# values of C share what the encoder did, which is kept in ``memory``.

train = np.isin(X.metadata["subject"], ["01", "02", "03", "04"])
model = Pipeline(
    [
        ("enc", MDJPTEncoder(weights=weights)),
        ("clf", LogisticRegression(max_iter=2000)),
    ],
    memory=str(Path(folder.name) / "cache"),
)
grid = {"enc__feature": ["mean", "de"], "clf__C": [0.001, 0.01, 0.1, 1.0]}
search = GridSearchCV(model, grid, cv=LeaveOneGroupOut())
search.fit(X[train], X[train].y, groups=X[train].groups("subject"))
results = pd.DataFrame(search.cv_results_)
print("chosen:", search.best_params_)

# %%
# The first value of C encodes, the others find it done: time to fit, in seconds.

print(
    results.pivot_table("mean_fit_time", "param_clf__C", "param_enc__feature").round(2)
)

# %%
# Two people that the search has not seen, with what it chose.

score = search.score(X[~train], X[~train].y)
print(f"accuracy {score:.1%} on the other two subjects (chance 33.3 %)")

# %%
# The picture
# -----------
# A point is the mean over the four people left out inside the search, a bar their
# spread.  With so few people the best point is best by luck in part, which is why its
# own score is not the one to report.

figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
for shift, (name, rows) in zip(
    (0.95, 1.05), results.groupby("param_enc__feature"), strict=True
):
    ax.errorbar(
        rows["param_clf__C"].astype(float) * shift,
        100 * rows["mean_test_score"],
        100 * rows["std_test_score"],
        fmt="o-",
        capsize=3,
        label=f"feature={name!r}",
    )
ax.axhline(100 / 3, color="k", linestyle="--", linewidth=1, label="chance")
ax.set(
    xscale="log",
    xlabel="C of the logistic regression",
    ylabel="accuracy (%)",
    title="Inner folds of the search (simulated EEG)",
)
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=3, frameon=False)
figure.savefig("plot_grid_search.png", dpi=150)
plt.show()

# %%
# To score every subject, put the search itself into a cross-validation: pass it to
# `sklearn_mdjpt.evaluation.leave_subjects_out`, which searches anew on the training
# subjects of each split.
