"""
How is a checkpoint of the paper's authors used?
================================================

The authors' code saves PyTorch Lightning checkpoints.  ``MDJPTEncoder`` takes such a
file as ``weights``: it finds the architecture in the tensors, runs nothing that the
file holds, and refuses one that lacks a tensor or has one too many.

Set the environment variable ``MDJPT_CHECKPOINT`` to a file of yours, such as
``epoch=19.ckpt``.  Without it this example writes a file of the same form with random
weights, so that its scores mean nothing.
"""

# %%
# The file
# --------
# Lightning puts more into it than the weights; only tensors and plain values are read.

import os
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import MDJPTEncoder
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import leave_subjects_out, plot, summary
from sklearn_mdjpt.nn import released_shapes

folder = tempfile.TemporaryDirectory()
checkpoint = os.environ.get("MDJPT_CHECKPOINT")
if checkpoint is None:
    checkpoint = Path(folder.name) / "epoch=19.ckpt"
    generator = torch.Generator().manual_seed(0)
    tensors = {
        name: 0.1 * torch.randn(shape, generator=generator)
        for name, shape in released_shapes().items()
    }
    torch.save({"epoch": 19, "state_dict": tensors}, checkpoint)

# %%
# Frozen features
# ---------------
# ``fit`` loads the weights, and learns the scale of the features.  The file does not
# say whether a ReLU follows the spatial mixing: ``released_activation`` is "relu" or
# None, and the two give different features.

X = make_emotion_windows(
    1, n_subjects=6, n_stimuli=6, montages=("canonical60",), random_state=0
)
models = {
    f"released_activation={activation!r}": make_pipeline(
        MDJPTEncoder(weights=checkpoint, released_activation=activation),
        LogisticRegression(C=0.01, max_iter=1000),
    )
    for activation in ("relu", None)
}
encoder = models["released_activation='relu'"][0].fit(X)
print(encoder.module_.config)
print(encoder.transform(X[:36]).shape, "(windows, features)")

# %%
# Whom has it seen?
# -----------------
# The file does not say either.  Testing on people of the authors' training datasets
# would be a leak that nobody can detect from the file, so that scores are flagged.

print("training subjects:", encoder.training_subjects_)
table = leave_subjects_out(models, X, on_leak="warn")
print(summary(table)[["method", "mean", "sd", "leak"]].round(3).to_string(index=False))

# %%
# The picture
# -----------

ax = plot(table)
ax.figure.suptitle("Features of a checkpoint, subjects left out (simulated EEG)")
ax.figure.savefig("plot_released_checkpoint.png", dpi=150)
plt.show()

# %%
# A file of our own
# -----------------
# ``save`` writes the same weights in our format, with what has been learnt since.

encoder.save(Path(folder.name) / "converted.safetensors")
again = MDJPTEncoder.load(Path(folder.name) / "converted.safetensors")
print((again.transform(X[:36]) == encoder.transform(X[:36])).all())
