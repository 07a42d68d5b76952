"""
What does cleaning remove, and what does it leave?
==================================================

Blinks are ten times as large as the EEG around them, and a single dead or noisy
electrode spoils a common average.  mdJPT [1]_ was trained on recordings that had gone
through one cleaning: bad channels are interpolated trial by trial, components of an ICA
that ICLabel [2]_ takes for eyes or muscles are removed, the rest gets a common average.
On simulated EEG the truth is known, so that this example can say how much of the
artefacts goes, and how much of the EEG goes with them.
"""

# %%
# A recording with three kinds of artefacts
# -----------------------------------------
# Simulated EEG of 32 channels and three trials.  Blinks are added to it, with a
# topography that falls off from the eyes; CP1 is dead throughout, and P4 is noisy in
# the second trial only.

import matplotlib.pyplot as plt
import mne
import numpy as np

from sklearn_mdjpt.channels import template_positions
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.preprocessing import clean_recording

X = make_emotion_windows(
    1,
    n_subjects=1,
    n_stimuli=3,
    trial_seconds=20.0,
    break_seconds=2.0,
    montages=("deap32",),
    sfreqs=(250.0,),
    references=("average",),
    subject_variability=0.3,
    dataset_shift=0.0,
    random_state=0,
)
recording = X.recordings[0]
raw = recording.to_raw()
truth = raw.copy()
names, sfreq = raw.ch_names, raw.info["sfreq"]

rng = np.random.default_rng(0)
eyes = [[-0.03, 0.11, 0.0], [0.03, 0.11, 0.0]]
sites = np.array([template_positions()[name.upper()] for name in names])
places = np.concatenate([sites, eyes]) - [0.0, 0.01, 0.045]
places /= np.linalg.norm(places, axis=1, keepdims=True)
topography = ((1 + places[:-2] @ places[-2:].T) ** 6).sum(axis=1)
topography /= topography.max()
blinks = np.zeros(raw.n_times)
shape = 150e-6 * np.hanning(int(0.35 * sfreq))
start = 0.5
while start < raw.times[-1] - 1:
    place = int(start * sfreq)
    blinks[place : place + len(shape)] += rng.uniform(0.7, 1.3) * shape
    start += 0.8 + rng.exponential(2.0)
signal = raw.get_data() + topography[:, None] * blinks
signal[names.index("CP1")] = 0.0
second = recording.trials.loc[1]
noisy = slice(round(second["start"] * sfreq), round(second["stop"] * sfreq))
signal[names.index("P4"), noisy] += 1e-4 * rng.standard_normal(noisy.stop - noisy.start)
raw[:] = signal

# %%
# Cleaning
# --------
# ``clean_recording`` returns a new Raw and a report.  The rate is left as it is here;
# by default the result has 125 Hz.

clean, report = clean_recording(raw, sfreq=None)
print(report)
print(report.to_frame().to_string(index=False))

# %%
# The report as a figure: which channel was interpolated in which trial, and what the
# components look like.  ICLabel also calls some of the simulated sources "other": they
# are no components of a real head, and stay.

report.plot()

# %%
# Before and after
# ----------------
# For comparison, the same band-pass and reference without artefacts ("truth") and with
# them but without anything removed ("before").

plain = {"ica": None, "amplitude_rules": (), "flat": None, "sfreq": None}
signals = {
    "before": clean_recording(raw, **plain)[0],
    "after": clean,
    "truth": clean_recording(truth, **plain)[0],
}
colors = {"before": "#d55e00", "after": "#0072b2", "truth": "#999999"}
shown = ["Fp1", "Fp2", "F3", "Cz", "CP1", "P4", "O1"]
first = noisy.start
piece = slice(first, first + int(6 * sfreq))
seconds = np.arange(piece.stop - piece.start) / sfreq

fig, axes = plt.subplots(1, 2, figsize=(11, 5), sharey=True, layout="constrained")
for ax, name in zip(axes, ("before", "after"), strict=True):
    for k, channel in enumerate(shown):
        offset = -120 * k
        for version, width in (("truth", 2.5), (name, 0.8)):
            line = 1e6 * signals[version].get_data(picks=channel)[0, piece]
            line = np.clip(line, -200, 200)
            label = version if k == 0 else None
            ax.plot(
                seconds, line + offset, color=colors[version], lw=width, label=label
            )
    ax.set(title=name, xlabel="seconds of the second trial")
    ax.set_yticks([-120 * k for k in range(len(shown))], shown)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    ax.legend(loc="upper right", frameon=False, ncols=2)
axes[0].plot([-0.15, -0.15], [-720, -620], color="black", lw=2)
axes[0].text(-0.25, -670, "100 µV", rotation=90, ha="right", va="center", fontsize=8)

# %%
# Where the blinks were
# ---------------------
# The mean amplitude at the blinks' peaks, as topographies on one scale: what is left
# there after cleaning is the EEG that happens to be there.

inside = np.zeros(raw.n_times, bool)
for trial in recording.trials.itertuples():
    inside[round(trial.start * sfreq) : round(trial.stop * sfreq)] = True
at_blinks = inside & (blinks > 100e-6)
fig, axes = plt.subplots(1, 3, figsize=(9, 3.2), layout="constrained")
for ax, (version, data) in zip(axes, signals.items(), strict=True):
    values = 1e6 * data.get_data()[:, at_blinks].mean(axis=1)
    image, _ = mne.viz.plot_topomap(
        values, clean.info, axes=ax, show=False, contours=0, vlim=(-60, 60)
    )
    ax.set_title(f"{version}\n{values[names.index('Fp1')]:z.0f} µV at Fp1")
fig.colorbar(image, ax=axes, label="µV at blinks", shrink=0.8)

# %%
# How much is removed, and how much is lost
# -----------------------------------------
# The correlation with the blinks falls to that of the truth, and channels far from the
# eyes keep most of their variance: "relative error" is the SD of the difference from
# the truth, relative to the truth's own SD.

print(f"{'channel':8s} {'r before':>9s} {'r after':>9s} {'r truth':>9s} {'error':>7s}")
for channel in shown:
    k = names.index(channel)
    lines = {v: data.get_data()[k, inside] for v, data in signals.items()}
    r = {v: np.corrcoef(line, blinks[inside])[0, 1] for v, line in lines.items()}
    error = (lines["after"] - lines["truth"]).std() / lines["truth"].std()
    print(
        f"{channel:8s} {r['before']:9.2f} {r['after']:9.2f} {r['truth']:9.2f} "
        f"{error:7.2f}"
    )
plt.show()

# %%
# All recordings of a dataset go through ``clean_dataset(X, cache_dir)``, which keeps
# each result on the disk, and goes on where it was after an interruption.
#
# References
# ----------
# .. [1] Zhang et al., Multi-dataset joint pre-training of emotional EEG enables
#    generalizable affective computing. NeurIPS 2025, arXiv:2510.22197.
# .. [2] Pion-Tonachini L, Kreutz-Delgado K, Makeig S. ICLabel: an automated
#    electroencephalographic independent component classifier, dataset, and website.
#    NeuroImage 2019;198:181-197, doi:10.1016/j.neuroimage.2019.05.026.
