"""
How sure is the decoder, and can it be trusted?
===============================================

A decoder that is right in two windows of three is of use only if it says in which.
This example looks at the probabilities of a decoder in people whom it has never seen:

- are they right (*reliability*), and does a temperature that was learnt on other people
  make them so?
- how many errors remain if it may *reject* what it is not sure of?
- which *set* of emotions holds the true one in 90 % of the windows?

It needs MAPIE for the sets: ``pip install "sklearn_mdjpt[trust]"``.
"""

# %%
# Simulated EEG of 40 people who saw nine clips each.  Eight train the decoder, 20 stand
# by for the sets, and twelve are the new people.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import leave_subjects_out, summary
from sklearn_mdjpt.model_selection import LeaveSubjectsOut
from sklearn_mdjpt.plotting import plot_reliability, plot_risk_coverage
from sklearn_mdjpt.trust import ConformalClassifier, SelectiveClassifier

X = make_emotion_windows(
    1, n_subjects=40, n_stimuli=9, stride_seconds=5.0, random_state=0
)
number = X.metadata["subject"].astype(int).to_numpy()
is_train, is_new = number <= 8, number > 28
train, others, new = X[is_train], X[~is_train & ~is_new], X[is_new]
print(X)

# %%
# The decoder, and the same one with its probabilities scaled by a temperature.  The
# temperature is learnt from the training people: each in turn is left out.  With
# scikit-learn's default folds windows of one person would be on both sides, and the
# decoder would look as sure as it is of people whom it knows.

features = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
plain = make_pipeline(features, LogisticRegression(max_iter=5000))
scaled = CalibratedClassifierCV(
    plain, method="temperature", cv=LeaveSubjectsOut(), ensemble=False
)
both = X[is_train | is_new]
is_tested = both.metadata["subject"].astype(int).to_numpy() > 28
table, predictions = leave_subjects_out(
    {"plain": plain, "with a temperature": scaled},
    both,
    cv=[(np.flatnonzero(~is_tested), np.flatnonzero(is_tested))],
    return_predictions=True,
)
for metric in ("accuracy", "log_loss", "brier_score"):
    means = summary(table, metric=metric).set_index("method")["mean"]
    print(metric, means.round(3).to_dict())

# %%
# Left: on the dashed line, the decoder is right as often as it says.  Right: errors
# among the windows that are answered, if it answers those only of which it is most
# sure.  A temperature changes how sure the decoder is, and hardly in which windows.

figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.8), layout="constrained")
plot_reliability(predictions, ax=axes[0])
plot_risk_coverage(predictions, ax=axes[1])
plt.show()

# %%
# To use it: `SelectiveClassifier` chooses the threshold on the training people.

selective = SelectiveClassifier(scaled, reject=0.4).fit(train)
rejected = selective.rejects(new)
wrong = selective.predict(new) != new.y
print(f"below {selective.threshold_:.2f}: {rejected.mean():.0%} of the windows")
print(f"errors: {wrong.mean():.0%} in all, {wrong[~rejected].mean():.0%} in the rest")

# %%
# Or sets of emotions.  They are learnt from 20 people whom the decoder has not seen,
# each counting as one, since the windows of a person are alike.  In a new person
# they hold the true emotion in 90 % of the windows or more, on average over people.

sets = ConformalClassifier(FrozenEstimator(selective.estimator_)).conformalize(others)
people = sets.coverage(new)
print(people.round(2).to_string(index=False))
print(f"On average {people['coverage'].mean():.0%}, {people['size'].mean():.1f} of 3.")

# %%
# A guarantee on average is not one for each person: see the lowest rows.

order = people.sort_values("coverage").reset_index(drop=True)
figure, ax = plt.subplots(figsize=(7, 3.2), layout="constrained")
ax.bar(order.index, 100 * order["coverage"], color="0.75")
ax.axhline(90, color="k", linestyle="--", linewidth=1)
ax.set_xticks(order.index, order["subject"].str.removeprefix("SimA/"))
ax.set_xlabel("new person")
ax.set_ylabel("windows whose set holds\nthe true emotion (%)")
ax.set_ylim(0, 105)
ax.spines[["top", "right"]].set_visible(False)
plt.show()
