"""
Ratings: valence as a number
============================

People who watch the same clip do not feel the same.  Where each has rated valence or
arousal, a regressor can be asked for that person's rating rather than for the clip's
label.  This example predicts simulated ratings of valence in people who are left out:

- *mean*, the mean rating of the training people, is always in the table,
- *ridge* is linear regression with a penalty, on differential entropy scaled by
  subject, and on what people of another dataset have in common of it (*shared*),
- *MDJPTRegressor* is the paper's head with a number as its output, on the latter.
"""

# %%
# Nine emotions; each trial has what its person rated, 1 to 9.  The people of SimA tell
# what people have in common, without labels; those of SimB are to be decoded.

import matplotlib.pyplot as plt
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    DifferentialEntropy,
    LDSSmoother,
    MDJPTRegressor,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import shared_features
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import compare, leave_subjects_out, summary
from sklearn_mdjpt.plotting import plot_scores

X = make_emotion_windows(
    2,
    n_subjects=10,
    n_stimuli=18,
    n_emotions=9,
    stride_seconds=5.0,
    artifacts={"missing_ratings": 0.05},
    random_state=0,
)
is_source = X.groups("dataset") == "SimA"
source, X = X[is_source], X[~is_source]
valence = X.metadata["valence"].astype(float)
print(X.metadata[["subject", "label", "valence"]].drop_duplicates().head(4))

# %%
# Some people forgot to rate: these windows are left out.

rated = valence.notna().to_numpy()
X, valence = X[rated], valence[rated].to_numpy()
print(f"{(~rated).sum()} of {len(rated)} windows have no rating.")

# %%
# Each person is left out once.  `LDSSmoother` smooths the features along a trial: a
# rating is about the whole clip.

entropy = WindowFeatures(DifferentialEntropy(), [SubjectScaler(), LDSSmoother()])
shared = shared_features(source, parts="entropy", smoothing="lds")
models = {
    "ridge": make_pipeline(entropy, Ridge(100.0)),
    "ridge, shared": make_pipeline(shared, Ridge(1.0)),
    "MDJPTRegressor, shared": MDJPTRegressor(shared, random_state=0),
}
table, predictions = leave_subjects_out(
    models, X, valence, cv=4, return_predictions=True
)
columns = ["method", "mean", "low", "high", "n_subjects"]
for metric in ("pearson", "concordance", "mae"):
    print(metric)
    print(summary(table, metric=metric)[columns].round(2).to_string(index=False))

# %%
# The mean has no correlation, and yet no large error: look at both.  Differences are
# taken person by person.

differences = compare(table, "ridge", metric="pearson")
columns = ["method", "difference", "low", "high", "n_better", "n_worse"]
print(differences[columns].round(2).to_string(index=False))

figure, axes = plt.subplots(1, 2, figsize=(10, 4.2), layout="constrained")
plot_scores(table, metric="pearson", unit="trial", ax=axes[0])
trials = predictions[predictions["method"] == "ridge"]
trials = trials.groupby(["subject", "trial"])[["label", "predicted"]].mean()
axes[1].plot(trials["label"], trials["predicted"], "o", color="C0", alpha=0.4, mew=0)
axes[1].plot([1, 9], [1, 9], "k--", linewidth=1)
axes[1].set_xlabel("what the person rated")
axes[1].set_ylabel("what ridge predicts, mean of the trial")
axes[1].spines[["top", "right"]].set_visible(False)
plt.show()
