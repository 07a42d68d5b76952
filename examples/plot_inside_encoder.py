"""
What has an encoder learnt?
===========================

Four looks inside: how its losses fell, whether its features sort windows by emotion or
by person, how far the datasets lie apart in it, and which electrodes a classifier
behind it goes by.
"""

# %%
# An encoder, and people it has not seen
# --------------------------------------
# Two simulated datasets with other caps; two people of each are kept out.

import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import LDSSmoother, MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.inspection import (
    covariance_distances,
    embed,
    integrated_gradients,
    isa_of_guessing,
)
from sklearn_mdjpt.plotting import (
    plot_covariance_distances,
    plot_embedding,
    plot_history,
    plot_topographies,
)

X = make_emotion_windows(
    2,
    n_subjects=8,
    n_stimuli=6,
    montages=("faced30", "deap32"),
    sfreqs=(250.0, 128.0),
    emotion_strength=1.2,
    random_state=0,
)
new = np.isin(X.metadata["subject"], ["07", "08"])
encoder = MDJPTEncoder.small(max_epochs=3, random_state=0)
model = make_pipeline(encoder, LogisticRegression(C=0.1, max_iter=1000))
model.fit(X[~new], X[~new].y)

# %%
# Losses
# ------
# The line of guessing is the ISA loss of an encoder that knows nothing of who saw what.

axes = plot_history(encoder, guessing=isa_of_guessing(X[~new]))
axes[0].figure.savefig("plot_inside_encoder_losses.png", dpi=150)

# %%
# What do the features sort by?
# -----------------------------
# Features of the four people that were kept out, smoothed along each trial, in two
# principal components.  The silhouette score, over all features, says how well each
# kind of group is apart: 1 is perfectly, 0 not at all.  Good features have it high for
# emotions, and low for people.

features = LDSSmoother().fit_transform(
    encoder.transform(X[new]),
    trials=X[new].groups("trial"),
    onsets=X[new].metadata["onset"],
)
axes = plot_embedding(embed(features, X[new]))
axes[0].figure.savefig("plot_inside_encoder_features.png", dpi=150)
plt.show()

# %%
# How far are the datasets apart?
# -------------------------------
# The distance of their mean covariances inside the network, before training and after.
# Covariance alignment pulls at this, with a weight of 0.02 by default.

untrained = MDJPTEncoder.small(max_epochs=0, random_state=0).fit(X[~new])
distances = {
    "before training": covariance_distances(untrained, X[new], by="subject"),
    "after": covariance_distances(encoder, X[new], by="subject"),
}
axes = plot_covariance_distances(distances)
axes[0].figure.savefig("plot_inside_encoder_distances.png", dpi=150)
plt.show()

# %%
# Which electrodes decide?
# ------------------------
# Integrated gradients divide the score of each window's emotion among the electrodes.
# What is drawn is the mean over windows of the people that were kept out.  In the
# simulation valence is in alpha, beta and gamma of left and right frontal and temporal
# sites, arousal in occipital alpha and temporal gamma.

attributions = integrated_gradients(model, X[new], n_steps=8)
axes = plot_topographies(attributions.mean(by=None), label="contribution (log odds)")
axes[0].figure.savefig("plot_inside_encoder.png", dpi=150)
plt.show()
