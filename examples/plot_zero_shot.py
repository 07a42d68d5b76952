"""
Does the nearest window of another person show the same emotion?
================================================================

Zero-shot transfer trains no classifier at all: a window of the new dataset takes the
label of the window whose features are most like its own.  That is a question to the
features alone - and the answer depends on which windows may be neighbours.
"""

# %%
# A new dataset
# -------------
# The encoder is pre-trained on two simulated datasets; the third has another cap.

import tempfile

import matplotlib.pyplot as plt
import pandas as pd

from sklearn_mdjpt import (
    DifferentialEntropy,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import plot, summary, zero_shot

X = make_emotion_windows(
    3,
    n_subjects=8,
    n_stimuli=6,
    montages=("faced30", "deap32", "canonical60"),
    emotion_strength=1.2,
    random_state=0,
)
new = X.groups("dataset") == "SimC"
models = {
    "mdJPT": MDJPTEncoder.small(max_epochs=3, random_state=0),
    "differential entropy": WindowFeatures(DifferentialEntropy(), [SubjectScaler()]),
}

# %%
# Three kinds of neighbours
# -------------------------
# Windows overlap: one that starts two seconds later shares three of its five seconds.
# If only the window itself is left out, the nearest neighbour is such a twin, and
# carries the same label because it is the same moment.  If the trial is left out, it is
# likely another trial of the same person.  The default asks for another person.

tables = []
with tempfile.TemporaryDirectory() as cache:  # the encoder is pre-trained once
    for exclude in ("subject", "trial", "window"):
        tables.append(
            zero_shot(models, X[new], source=X[~new], exclude=exclude, cache_dir=cache)
        )
table = pd.concat(tables)
columns = ["method", "exclude", "mean", "low", "high", "leak"]
print(summary(table)[columns].round(3).to_string(index=False))

# %%
# The picture
# -----------
# Orange: neighbours share the person (and the trial), so that the score is none of
# transfer.

ax = plot(table)
ax.figure.suptitle("Nearest neighbour, by what is left out (simulated EEG)")
ax.figure.savefig("plot_zero_shot.png", dpi=150)
plt.show()
