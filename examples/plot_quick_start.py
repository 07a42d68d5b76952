"""
Quick start: pre-train on two datasets, decode a third person's emotions
========================================================================

The whole of it in four steps: windows of several datasets in one ``X``, an encoder that
is pre-trained on them without emotion labels, a classifier on its features, and people
who were in neither.
"""

# %%
# Recordings of two datasets
# --------------------------
# Simulated here: two datasets, with caps of 30 and 32 channels and sampling rates of
# 250 and 128 Hz.  ``X`` is a sequence of windows of five seconds; subject, trial, clip
# and label of each go with it wherever scikit-learn cuts it.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import LDSSmoother, MDJPTEncoder, WindowFeatures
from sklearn_mdjpt.datasets import make_emotion_windows

X = make_emotion_windows(
    n_datasets=2,
    n_subjects=8,
    n_stimuli=6,
    montages=("faced30", "deap32"),
    sfreqs=(250.0, 128.0),
    emotion_strength=1.2,
    random_state=0,
)
print(X)
print(X.metadata.head(3))

# %%
# Who is kept out
# ---------------
# Two people of each dataset.  Whole people, never windows: windows of one person are
# alike, whatever that person feels.

new = np.isin(X.metadata["subject"], ["07", "08"])

# %%
# A pipeline
# ----------
# The encoder pairs people who watched the same moment of the same clip.  Its features
# are smoothed along each trial, and a logistic regression learns the labels.
# ``MDJPTEncoder()`` has the paper's size; ``small`` is for two cores and a minute.

encoder = MDJPTEncoder.small(max_epochs=3, random_state=0)
model = make_pipeline(
    WindowFeatures(encoder, [LDSSmoother()]),
    StandardScaler(),
    LogisticRegression(C=0.1, max_iter=1000),
)
model.fit(X[~new], X[~new].y)

# %%
# People never seen
# -----------------

y, predicted = X[new].y, model.predict(X[new])
for who in np.unique(X[new].groups("subject")):
    rows = X[new].groups("subject") == who
    score = balanced_accuracy_score(y[rows], predicted[rows])
    print(f"{who}: balanced accuracy {score:.0%} (chance 33 %)")

# %%
# The picture
# -----------

figure, ax = plt.subplots(figsize=(5, 4), layout="constrained")
ConfusionMatrixDisplay.from_predictions(
    y, predicted, normalize="true", values_format=".0%", cmap="Blues", ax=ax
)
ax.set_title("Four people never seen (simulated EEG)")
figure.savefig("plot_quick_start.png", dpi=150)
plt.show()

# %%
# Keep it
# -------
# The fitted encoder goes into one file that runs no code when it is opened, and comes
# back with ``MDJPTEncoder.load("encoder.safetensors")``, or, as a step of a pipeline
# that is not trained again, as ``MDJPTEncoder(weights="encoder.safetensors")``.

model[0].extractor_.save("encoder.safetensors")
