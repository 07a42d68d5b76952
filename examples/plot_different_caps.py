"""
How do recordings with different caps get into one encoder?
===========================================================

Datasets differ in electrodes, sampling rate and reference.  Nothing has to be cut down
to what they share: each recording is mapped by channel name onto the same 60 sites, at
125 Hz.  A site that a cap lacks becomes the mean of its three nearest electrodes.  How
much is lost by that?
"""

# %%
# Three datasets, one X
# ---------------------
# A cap of 60 channels at 200 Hz, one of 30 at 250 Hz, and a headband of four at 256 Hz.
# Their windows stand in one ``EEGWindows``, each with its own channels and rate.  None
# of the headband's names is among the 60 sites, so that a warning says that it is
# mapped by position.

import matplotlib.pyplot as plt
import mne
import numpy as np

from sklearn_mdjpt.channels import (
    CANONICAL_CHANNELS,
    channel_matrix,
    electrode_positions,
)
from sklearn_mdjpt.datasets import make_emotion_windows

X = make_emotion_windows(
    3,
    n_subjects=2,
    n_stimuli=3,
    montages=("canonical60", "faced30", ["TP9", "AF7", "AF8", "TP10"]),
    sfreqs=(200.0, 250.0, 256.0),
    references=("average", "average", "Fpz"),
    random_state=0,
)
for name in np.unique(X.groups("dataset")):
    windows = X[X.groups("dataset") == name]
    print(f"{name}: {len(windows.ch_names)} channels at {windows.sfreq:g} Hz")
print("mapped:", X.to_canonical().shape, "(windows, channels, samples at 125 Hz)")

# %%
# How good is what was filled in?
# -------------------------------
# The recordings of 60 channels know the truth.  Take away what a smaller cap lacks,
# fill it in with ``channel_matrix``, whose rows are the weights of the electrodes, and
# correlate with what was there.

caps = {
    "30 channels": X[X.groups("dataset") == "SimB"].ch_names,
    "19 channels": "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split(),
    "8 channels": "Fp1 Fp2 C3 C4 P7 P8 O1 O2".split(),
}
truth = X[X.groups("dataset") == "SimA"].to_canonical()
truth = truth.transpose(1, 0, 2).reshape(60, -1)
correlations = {}
for name, ch_names in caps.items():
    rows = [CANONICAL_CHANNELS.index(channel.upper()) for channel in ch_names]
    filled = channel_matrix(ch_names) @ truth[rows]
    found = [np.corrcoef(a, b)[0, 1] for a, b in zip(truth, filled, strict=True)]
    correlations[name] = np.array(found)
    missing = np.delete(correlations[name], rows)
    print(
        f"{name}: {len(missing)} sites filled in, correlation with the truth "
        f"{np.median(missing):.2f} (median; lowest {missing.min():.2f})"
    )

# %%
# The picture
# -----------
# White dots are electrodes, which are copied.  Between close neighbours little is lost;
# at the rim of a small cap a site is made of electrodes far away, and not what its name
# says.  The encoder learns with what it gets: caps of a few channels add people, not
# sites.  The signals are simulated, with the smearing of a skull.

sites = electrode_positions(CANONICAL_CHANNELS)
montage = mne.channels.make_dig_montage(
    dict(zip(CANONICAL_CHANNELS, sites, strict=True)), coord_frame="head"
)
info = mne.create_info(list(CANONICAL_CHANNELS), 125.0, "eeg").set_montage(montage)
figure, axes = plt.subplots(1, len(caps), figsize=(9, 3.4), layout="constrained")
for ax, (name, values) in zip(axes, correlations.items(), strict=True):
    image, _ = mne.viz.plot_topomap(
        values,
        info,
        axes=ax,
        vlim=(0, 1),
        cmap="viridis",
        contours=0,
        mask=np.isclose(values, 1),
        mask_params={"markerfacecolor": "w", "markersize": 5},
        show=False,
    )
    ax.set_title(name)
figure.colorbar(image, ax=axes, label="correlation with the true signal", shrink=0.8)
figure.savefig("plot_different_caps.png", dpi=150)
plt.show()
