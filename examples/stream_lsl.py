"""
Decode a live stream of the Lab Streaming Layer
===============================================

The recording of a new person is played through an outlet of the Lab Streaming Layer
(LSL) on this machine, as an amplifier would send it.  A decoder that was trained on
others finds the stream, calibrates itself to its beginning, and says every second what
it thinks, while samples come in.

It needs mne-lsl (``pip install "sklearn_mdjpt[stream]"``) and takes less than a minute;
it is not run when the documentation is built.  ``--speed 1`` plays at the pace of life.
"""

# %%
# The decoder: differential entropy, scaled by subject, on what people who see the same
# moment have in common, and smoothed along a trial.

import argparse
import threading
import time

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
from sklearn_mdjpt.streaming import StreamingDecoder, decode_lsl

STREAM = "sklearn-mdjpt-example"
N_CALIBRATION = 60.0  # s
CHUNK = 0.1  # s


def train():
    """Return a fitted decoder, and the recording of somebody it has not seen."""
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
    return model.fit(X[~is_new], X[~is_new].y), X[is_new].recordings[0]


# %%
# The outlet: it sends the recording in chunks, each sample with its time.


def play(recording, speed, stop):
    """Send a recording through LSL, ``speed`` times as fast as life."""
    from mne_lsl.lsl import StreamInfo, StreamOutlet, local_clock

    n_channels = len(recording.ch_names)
    info = StreamInfo("EEG", "EEG", n_channels, recording.sfreq, "float32", STREAM)
    info.set_channel_names(list(recording.ch_names))
    outlet = StreamOutlet(info)
    outlet.wait_for_consumers(timeout=30)
    begin, n = local_clock(), round(CHUNK * recording.sfreq)
    for start in range(0, recording.signal.shape[1], n):
        if stop.is_set():
            break
        chunk = np.ascontiguousarray(recording.signal[:, start : start + n].T)
        last = begin + (start + len(chunk) - 1) / recording.sfreq
        outlet.push_chunk(chunk, timestamp=last)
        time.sleep(
            max(begin + (start + n) / recording.sfreq / speed - local_clock(), 0)
        )


# %%
# The course of the probabilities, and what the person saw.  With a window on the screen
# it is drawn while it comes.


def draw(ax, outputs, classes, recording):
    """Draw probabilities over time; clips have the colour of their emotion."""
    colors = dict(zip(classes, ("C3", "0.6", "C2"), strict=True))
    begin = outputs[0][0] - N_CALIBRATION - 1.0
    times = np.array([moment for moment, _ in outputs]) - begin
    found = np.array([probabilities for _, probabilities in outputs])
    ax.clear()
    for trial in recording.trials.itertuples():
        color = colors[trial.label]
        ax.axvspan(trial.start, trial.stop, color=color, alpha=0.15, linewidth=0)
    for name, line in zip(classes, found.T, strict=True):
        ax.plot(times, line, color=colors[name], label=name)
    ax.axvspan(0, N_CALIBRATION, color="k", alpha=0.06, hatch="//", linewidth=0)
    ax.text(N_CALIBRATION / 2, 0.95, "calibration", ha="center", va="top")
    ax.set_xlim(0, recording.signal.shape[1] / recording.sfreq)
    ax.set_ylim(0, 1)
    ax.set_xlabel("seconds of the recording")
    ax.set_ylabel("probability")
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False)


def main():
    """Train, play, decode, draw."""
    parser = argparse.ArgumentParser(description="Decode a live stream of LSL.")
    parser.add_argument("--speed", type=float, default=10.0)
    speed = parser.parse_args().speed
    model, recording = train()
    decoder = StreamingDecoder(
        model,
        ch_names=recording.ch_names,
        sfreq=recording.sfreq,
        calibration_seconds=N_CALIBRATION,
    )
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    shown = plt.get_backend().lower() not in ("agg", "pdf", "svg", "ps")
    stop = threading.Event()
    player = threading.Thread(target=play, args=(recording, speed, stop))
    player.start()
    outputs = []
    n_expected = int(recording.signal.shape[1] / recording.sfreq - N_CALIBRATION) - 1
    try:
        for output in decode_lsl(decoder, source_id=STREAM, timeout=20):
            outputs.append(output)
            if shown and len(outputs) % 5 == 0:
                draw(ax, outputs, decoder.classes_, recording)
                plt.pause(0.01)
            if len(outputs) == n_expected:
                break
    finally:
        stop.set()
        player.join()
    for event in decoder.events_:
        print(event.kind, event.text)
    draw(ax, outputs, decoder.classes_, recording)
    figure.savefig("stream_lsl.png", dpi=100)
    print(f"{len(outputs)} outputs; stream_lsl.png written.")


if __name__ == "__main__":
    main()
