"""
How far do a few labelled people get in a new dataset?
======================================================

A new study has labels for two of its eight people only, and a cap that no other dataset
has.  An encoder is pre-trained on two other datasets, without labels, and frozen; a
logistic regression on its features is trained on the two, and tested on the other six.
Differential entropy, with and without normalisation by subject, stands beside it, and
so do both together, projected on what the people of the two datasets have in common.
All features are smoothed along each trial in the same way.
"""

# %%
# Three simulated datasets
# ------------------------
# They differ in cap, rate and reference; nobody is in two of them, and each has its own
# clips.  The last is the new one, with nineteen channels.

import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import LDSSmoother, MDJPTEncoder, SubjectScaler, WindowFeatures
from sklearn_mdjpt.baselines import differential_entropy, shared_features
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import compare, few_shot, plot, summary

TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()
X = make_emotion_windows(
    3,
    n_subjects=8,
    n_stimuli=6,
    montages=("faced30", "deap32", TEN_TWENTY),
    sfreqs=(250.0, 128.0, 200.0),
    emotion_strength=0.9,
    random_state=0,
)
new = X.groups("dataset") == "SimC"
print(X[new])

# %%
# What the other datasets teach
# -----------------------------
# The encoder learns from the people of the two datasets who watched the same clips.
# ``shared_features`` then joins its features with differential entropy, and finds,
# without labels as well, the directions in which these people agree.

encoder = MDJPTEncoder.small(max_epochs=3, random_state=0).fit(X[~new])
shared = shared_features(X[~new], encoder, smoothing="lds")

# %%
# One call
# --------
# ``few_shot`` checks that nobody of the new dataset was trained on, and draws the
# labelled people six times at random.

head = LogisticRegression(C=0.1, max_iter=1000)
steps = [SubjectScaler(), LDSSmoother()]
models = {
    "mdJPT": make_pipeline(WindowFeatures(encoder, steps), StandardScaler(), head),
    "mdJPT and DE, shared": make_pipeline(shared, head),
    "differential entropy, by subject": differential_entropy("subject", "lds"),
    "differential entropy": differential_entropy(None, "lds"),
}
table = few_shot(models, X[new], train_size=2, verbose=1)
columns = ["method", "mean", "sd", "low", "high", "n_subjects"]
print(summary(table)[columns].round(3).to_string(index=False))

# %%
# Subject by subject
# ------------------
# Each person is compared with herself; p-values are corrected for three comparisons.

columns = ["method", "difference", "low", "high", "n_better", "n_worse", "p_holm"]
print(compare(table, "mdJPT")[columns].round(3).to_string(index=False))

# %%
# The picture
# -----------
# A dot is a person, a square the mean with its 95 % interval over persons.

ax = plot(table)
ax.figure.suptitle("Two labelled people, six others tested (simulated EEG)")
ax.figure.savefig("plot_few_shot.png", dpi=150)
plt.show()

# %%
# What to make of it
# ------------------
# Without its subjects' statistics, differential entropy does not get from one person to
# another.  With them it is hard to beat: here the emotion *is* a change of band power.
# The encoder had half a minute of training on sixteen people, and has to find that out
# from what people share who watch the same clip.  Both together gain by dropping what
# these people do not share.  With more people and five minutes of training mdJPT alone
# is above differential entropy as well; the project's benchmarks have intervals.
