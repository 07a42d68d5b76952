"""
A new person: how many minutes of calibration?
==============================================

A decoder is trained on some people.  Then a new one sits down, and a few minutes of EEG
come in before anything is to be decoded.  What is standardised by person (here the
power of each band and channel) can be taken from these minutes, without labels:
`sklearn_mdjpt.compose.calibrate` fixes it, and each later window stands alone.

Three ways to treat the new person are compared on simulated EEG:

- by the statistics of the training people (*pooled*): nothing of the new person counts,
- by those of a quarter of a minute to two minutes of calibration,
- by all of the windows that are tested (*transductive*), which cannot be done live.
"""

# %%
# Eight people saw 24 clips each.  Another dataset, of people with another cap who saw
# clips of their own, tells which features people have in common.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import DifferentialEntropy, SubjectScaler, WindowFeatures
from sklearn_mdjpt.baselines import shared_features
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import calibration, summary
from sklearn_mdjpt.plotting import plot_calibration

X = make_emotion_windows(
    2, n_subjects=8, n_stimuli=24, stride_seconds=5.0, random_state=0
)
new = X.groups("dataset") == "SimB"
source, X = X[~new], X[new]
print(X)

# %%
# Two decoders: differential entropy scaled by subject, and what the people of the other
# dataset have in common of it.  With ``unseen="pooled"`` people who were not in the
# training are scaled by the statistics of those who were, until they are calibrated.


def by_subject(unseen):
    """Differential entropy, scaled by subject, and a linear classifier."""
    features = WindowFeatures(DifferentialEntropy(), [SubjectScaler(unseen)])
    return make_pipeline(features, LogisticRegression(C=0.1, max_iter=5000))


shared = make_pipeline(
    shared_features(source, parts="entropy"), LogisticRegression(C=0.1, max_iter=5000)
)

# %%
# One person after another is left out.  The first half of its clips is there to be
# calibrated to, the other half is tested, whatever the minutes.  With 0 minutes nothing
# is calibrated.

models = {"entropy": by_subject("pooled"), "shared": shared}
table = calibration(models, X, minutes=(0, 0.25, 0.5, 1, 2))
means = summary(table).set_index(["method", "minutes"])["mean"].unstack()
print(means.round(3).to_string())

# %%
# The shared features are not pooled: with 0 minutes they are transductive, and so is
# the entropy of `both`.  That is what the calibration is compared with.

both = {"entropy": by_subject("transductive"), "shared": shared}
transductive = summary(calibration(both, X, minutes=(0,))).set_index("method")["mean"]
print(transductive.round(3).to_string())
table = table[(table["method"] != "shared") | (table["minutes"] > 0)]

figure, ax = plt.subplots(figsize=(7, 4), layout="constrained")
plot_calibration(table, ax=ax)
for name, color in (("entropy", "C0"), ("shared", "C1")):
    ax.axhline(100 * transductive[name], color=color, linestyle=":")
ax.text(0, 100 * transductive.max() + 0.5, "transductive", va="bottom")
plt.show()

# %%
# A model in use: it is fitted, calibrated to the first minute of somebody, and each
# later window then has one answer, alone or among others.

is_new = X.groups("subject") == "SimB/08"
model = by_subject("pooled").fit(X[~is_new], X[~is_new].y)
somebody = X[is_new]
ready = calibrate(model, somebody[:12])  # 12 windows of 5 s
one, all_together = ready.predict(somebody[20:21]), ready.predict(somebody)
print(ready[0].calibrated_subjects_, one, all_together[20:21])
assert np.array_equal(one, all_together[20:21])
