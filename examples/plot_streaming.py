"""
Decode while the EEG comes in
=============================

A new person sits down.  The first minute calibrates the decoder, without labels; from
then on it says every second what it thinks, from the past alone.  The recording is
played in chunks of 40 ms here, as an amplifier would send it, and on the way a cable
breaks and some samples are lost.

The same with a real stream of the Lab Streaming Layer is in
:ref:`another example <sphx_glr_auto_examples_stream_lsl.py>`.
"""

# %%
# The decoder is trained on nine people, offline.  Its smoother looks back only, and
# forgets within seconds.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    LDSSmoother,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.streaming import StreamingDecoder

X = make_emotion_windows(1, n_subjects=10, n_stimuli=12, random_state=0)
is_new = X.groups("subject") == "SimA/10"
steps = [
    SubjectScaler(),
    CorrelatedComponents(),
    LDSSmoother(transition_noise=0.05, causal=True),
]
model = make_pipeline(
    WindowFeatures(DifferentialEntropy(), steps),
    LogisticRegression(C=0.1, max_iter=5000),
)
model.fit(X[~is_new], X[~is_new].y)

# %%
# The recording of the new person, with a dead channel from 120 to 140 s, and half a
# second lost at 100 s.

somebody = X[is_new].recordings[0]
signal, sfreq = np.array(somebody.signal), somebody.sfreq
broken = somebody.ch_names.index("FZ")
signal[broken, int(120 * sfreq) : int(140 * sfreq)] = 0.0
lost = slice(int(100 * sfreq), int(100.5 * sfreq))
signal[:, lost] = np.nan

decoder = StreamingDecoder(
    model,
    ch_names=somebody.ch_names,
    sfreq=sfreq,
    stride_seconds=1.0,
    calibration_seconds=60.0,
    subject="SimA/10",
)

# %%
# Chunks go in, and probabilities with their times come out.

times, probabilities = [], []
chunk = int(0.04 * sfreq)
for start in range(0, signal.shape[1], chunk):
    for time, values in decoder.push(signal[:, start : start + chunk]):
        times.append(time)
        probabilities.append(values)
times, probabilities = np.array(times), np.array(probabilities)
print(f"{len(times)} outputs, the first at {times[0]:.1f} s")
for event in decoder.events_:
    print(f"{event.kind}: {event.text}")

# %%
# What was decoded.  Clips have the colour of their emotion; the decoder knows nothing
# of where they begin.  The dotted lines enclose the dead channel and the lost samples.

colors = dict(zip(decoder.classes_, ("C3", "0.6", "C2"), strict=True))
figure, ax = plt.subplots(figsize=(10, 4), layout="constrained")
for trial in somebody.trials.itertuples():
    color = colors[trial.label]
    ax.axvspan(trial.start, trial.stop, color=color, alpha=0.15, linewidth=0)
for name, column in zip(decoder.classes_, probabilities.T, strict=True):
    ax.plot(times, 100 * column, color=colors[name], label=name)
ax.axvspan(0, 60, color="k", alpha=0.06, hatch="//", linewidth=0)
ax.text(30, 95, "calibration", ha="center", va="top")
for moment in (100.0, 100.5, 120.0, 140.0):
    ax.axvline(moment, color="k", linestyle=":", linewidth=1)
ax.set_xlim(0, signal.shape[1] / sfreq)
ax.set_xlabel("time (s)")
ax.set_ylabel("probability (%)")
ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)
plt.show()
