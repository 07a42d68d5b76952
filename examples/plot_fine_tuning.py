"""
Is an encoder from other datasets worth fine-tuning?
====================================================

A lab has EEG of six people and no labels yet.  It can take an encoder from elsewhere as
it is, let it train on with the new recordings, or train one of its own.  None of it
needs a label; four more people, whom nobody trained on, show which features are best.
"""

# %%
# Two datasets from elsewhere, one of our own
# -------------------------------------------

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import plot, summary, zero_shot

X = make_emotion_windows(
    3,
    n_subjects=(8, 8, 10),
    n_stimuli=6,
    montages=("faced30", "deap32", "canonical60"),
    sfreqs=(250.0, 128.0, 200.0),
    emotion_strength=1.2,
    random_state=0,
)
own = X.groups("dataset") == "SimC"
test = own & np.isin(X.metadata["subject"], ["07", "08", "09", "10"])
train = own & ~test

# %%
# Three encoders
# --------------
# ``weights`` names a file, so that the parameter survives ``clone``; with
# ``finetune=True`` ``fit`` goes on from there, at a learning rate that is best chosen
# below that of the pre-training.

SIZE = {"patch_size": 64, "patch_stride": 12, "random_state": 0}
folder = tempfile.TemporaryDirectory()
weights = Path(folder.name) / "elsewhere.safetensors"
elsewhere = MDJPTEncoder.small(max_epochs=3, **SIZE).fit(X[~own])
elsewhere.save(weights)
tuned = MDJPTEncoder(
    weights=weights,
    finetune=True,
    lr=1e-3,
    temperature=elsewhere.temperature,
    max_epochs=1,
    batches_per_epoch=32,
    random_state=0,
).fit(X[train])
ours = MDJPTEncoder.small(max_epochs=1, **SIZE).fit(X[train])
encoders = {
    "from elsewhere, as it is": elsewhere,
    "from elsewhere, fine-tuned": tuned,
    "only our own six people": ours,
}
print("fine-tuned on", tuned.n_training_subjects_, "subjects in all")

# %%
# The four others
# ---------------
# Each window takes the label of the most similar window of another person, so that
# nothing but the features counts.  Fitted encoders are used as they are, after a check
# that they have seen none of these people.

table = zero_shot(encoders, X[test])
columns = ["method", "mean", "sd", "low", "high", "n_subjects"]
print(summary(table)[columns].round(3).to_string(index=False))

# %%
# The picture
# -----------
# Sixteen people are in the encoder from elsewhere, 22 in the fine-tuned one, six
# in our own.  Fine-tuning adds the new cap and the new clips; with six people and half
# a minute of training that gains nothing here.

ax = plot(table)
ax.figure.suptitle("Nearest neighbour among four new people (simulated EEG)")
ax.figure.savefig("plot_fine_tuning.png", dpi=150)
plt.show()
