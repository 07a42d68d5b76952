"""
What can be shown on open data: four ways to leave something out
================================================================

FACED, EmoEEG-MC and DENS may be downloaded by anybody.  This page asks four questions
of them: does a decoder work for other people, for other people and other clips, for a
dataset that it has never seen, and for what people imagine instead of watch?

The page itself runs on stand-ins: simulated windows of the same form, small enough to
be made here.  With the real data everything below ``X`` stays as it is.
"""

# %%
# The data
# --------
# ``fetch_open_emotion(context="both")`` gives the real ones, 46 GB.  Here are three
# simulated datasets with FACED's 30 channels, EmoEEG-MC's two contexts and DENS's rate.
# What a person imagines has no moment in common with anybody, so imagery windows have
# no stimulus, and no pair for pre-training holds one.

import matplotlib.pyplot as plt
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTEncoder,
    Recording,
    SubjectScaler,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import few_shot, leave_subjects_out, plot, summary
from sklearn_mdjpt.model_selection import CrossContext, LeaveSubjectsAndStimuliOut


def two_contexts(windows):
    """Take every second stimulus for something imagined, in a session of its own."""
    recordings = []
    for one in windows.recordings:
        trials = one.trials
        imagined = trials["stimulus"].rank(method="dense") % 2 == 0
        for session, rows in (("vid", ~imagined), ("ima", imagined)):
            part = trials[rows].assign(scenario=trials["stimulus"][rows])
            if session == "ima":
                part["stimulus"] = None
            recordings.append(
                Recording(
                    one.signal, one.ch_names, one.sfreq, "EmoEEG-MC", one.subject,
                    session, part,
                )
            )  # fmt: skip
    return EEGWindows.from_recordings(recordings)


def stand_in():
    """Return simulated windows of the form of the three datasets."""
    simulated = make_emotion_windows(
        3,
        n_subjects=(8, 8, 6),
        n_stimuli=(9, 18, 9),
        montages=("faced30", "canonical60", "canonical60"),
        sfreqs=(250.0, 200.0, 250.0),
        references=("mastoids", "average", "average"),
        emotion_strength=1.2,
        random_state=0,
    )
    names = simulated.groups("dataset")
    faced, emoeeg, dens = (
        simulated[names == name] for name in ("SimA", "SimB", "SimC")
    )
    return concat_windows(
        {"FACED": faced, "EmoEEG-MC": two_contexts(emoeeg), "DENS": dens}
    )


X = stand_in()  # the real ones: fetch_open_emotion(context="both")
table = X.metadata.groupby(["dataset", "session"]).agg(
    people=("subject", "nunique"),
    stimuli=("stimulus", "nunique"),
    windows=("onset", "size"),
)
print(table)

# %%
# People out, people and clips out, and clips to imagination
# ----------------------------------------------------------
# Within EmoEEG-MC.  Everybody has seen the same clips, each with one label: a model can
# score in new people by knowing the clip.  So the second split leaves out clips, too.
# The third trains on the clips of some people and tests on what others imagine.  Here
# the model is differential entropy, scaled by person: two lines, and hard to beat.

emoeeg = X[X.groups("dataset") == "EmoEEG-MC"]
clips = emoeeg[(emoeeg.metadata["session"] == "vid").to_numpy()]
entropy = make_pipeline(
    WindowFeatures(DifferentialEntropy(), [SubjectScaler()]),
    LogisticRegression(max_iter=5000),
)
questions = {
    "other people": (clips, 4),
    "other people and clips": (clips, LeaveSubjectsAndStimuliOut(4, 3, random_state=0)),
    "clips to imagination": (
        emoeeg,
        CrossContext("vid", "ima", n_splits=4, random_state=0),
    ),
}
tables = [
    leave_subjects_out({"differential entropy": entropy}, windows, cv=cv).assign(
        protocol=question
    )
    for question, (windows, cv) in questions.items()
]

# %%
# A dataset left out
# ------------------
# The encoder is pre-trained on two datasets without labels; a head is then trained on a
# quarter of the people of the third.  DENS's electrodes have numbers instead of names:
# with the real data add ``unknown_channels="position"``.

new = X.groups("dataset") == "FACED"
encoder = MDJPTEncoder.small(max_epochs=3, random_state=0)
models = {
    "mdJPT": make_pipeline(encoder, LogisticRegression(max_iter=1000)),
    "differential entropy": entropy,
}
tables.append(few_shot(models, X[new], source=X[~new]).assign(protocol="new dataset"))

# %%
# The answers
# -----------
# Intervals are over people; the dashed line is chance.  These numbers are about the
# simulation and say nothing of brains.  For the real imagination the authors of
# EmoEEG-MC report 66.7 % for positive against negative, 28.9 % for seven emotions.

answers = summary(pd.concat(tables, ignore_index=True))
columns = ["protocol", "method", "mean", "low", "high", "n_subjects"]
print(answers[[c for c in columns if c in answers]].round(3).to_string(index=False))

ax = plot(pd.concat(tables, ignore_index=True))
ax.figure.suptitle("Four questions to open data (simulated stand-ins)")
ax.figure.savefig("plot_open_emotion.png", dpi=150)
plt.show()
