"""The encoders of a study: trained with checkpoints, and written for others."""

from __future__ import annotations

import importlib.util
import re

from .. import __version__
from .._io._fingerprint import fingerprint
from ..encoder import MDJPTEncoder
from ..encoder._hub import write_folder
from ..evaluation._models import pretrain_encoder, with_weights
from ._noticed import notices_path
from ._readers import OPEN

HUB = "hub"


def make_encoder(study):
    """Return the encoder of [encoder], not fitted."""
    parameters = dict(study.encoder)
    preset = parameters.pop("preset", "small")
    if parameters.get("weights") is not None:
        parameters["weights"] = str(study.resolve(parameters["weights"]))
    # Nets without names of the 10-20 system are among the open datasets.
    defaults = {"unknown_channels": "position", "verbose": 1}
    defaults["random_state"] = study.general.random_state
    make = MDJPTEncoder.small if preset == "small" else MDJPTEncoder
    return make(**defaults | parameters)


class Weights:
    """The weights of one training.

    Parameters
    ----------
    study : Study
        The settings.
    keys : list of str
        Fingerprints of the datasets to train on.
    without : str, default=None
        A dataset that is left out of them.

    Attributes
    ----------
    key : str
        Fingerprint of all that the weights depend on.
    path : Path
        The file of the weights; it exists when the training is done.
    """

    def __init__(self, study, keys, without=None):
        self.study, self.encoder = study, make_encoder(study)
        self.key = fingerprint(__version__, self.encoder, sorted(keys), without)
        self.path = study.folder / "encoders" / f"{self.key}.safetensors"

    @property
    def checkpoints(self):
        """The folder of the checkpoints of this training."""
        return self.study.folder / "checkpoints" / self.key[:12]

    def train(self, source, progress, notices, what):
        """Train the encoder on windows unless that is done; go on where it was."""
        names = ", ".join(dict.fromkeys(source.groups("dataset")))
        note = notices_path(self.path)
        if self.path.exists():
            notices.recall(note)
            progress.say(f"{what} {names}: done before.")
            return
        self.path.parent.mkdir(exist_ok=True)
        self.encoder.set_params(verbose=progress.verbose)
        with (
            progress.step(f"{what} {names}"),
            notices.during(note, names, "pre-training"),
        ):
            pretrain_encoder(self.encoder, source, self.path, self.checkpoints)

    def share_left(self):
        """Return the share of the training that is still to be done, about."""
        if self.path.exists():
            return 0.0
        total = self.encoder.max_epochs * self.encoder.batches_per_epoch
        done = [
            int(number[1])
            for path in self.checkpoints.glob("*/*.pt")
            if (number := re.fullmatch(r"batch-(\d+)", path.stem))
        ]
        if any(self.checkpoints.glob("*/finished.pt")):
            return 0.0
        return 1 - min(max(done, default=0) / total, 1)

    def frozen(self):
        """Return an encoder, not fitted, that has the weights."""
        return with_weights(self.encoder, self.path)

    def load(self):
        """Return the fitted encoder."""
        return MDJPTEncoder.load(self.path)


def main_weights(study, keys):
    """Return the weights that are trained on all sources.

    Parameters
    ----------
    study : Study
        The settings.
    keys : dict of str to Dataset
        The datasets by their fingerprints.
    """
    return Weights(study, [k for k, entry in keys.items() if entry.role == "source"])


def publish(study, weights, progress, *, eval_results=None, further=""):
    """Write weights and card as a repository of the Hub holds them.

    Returns
    -------
    Path or None
        The folder; None, with a line that says so, without ``huggingface_hub``.
    """
    if importlib.util.find_spec("huggingface_hub") is None:
        progress.say("No card is written: pip install 'sklearn_mdjpt[hub]'.")
        return None
    folder = study.folder / HUB
    folder.mkdir(exist_ok=True)
    write_folder(
        weights.load(),
        folder,
        repo_id=study.card.repo_id,
        title=study.title,
        license=study.card.license,
        anonymous=is_anonymous(study),
        eval_results=eval_results,
        further=further,
    )
    progress.say(
        f"Weights and card are in {folder}; 'hf upload "
        f"{study.card.repo_id or 'USER/NAME'} {folder}' publishes them."
    )
    return folder


def is_anonymous(study, entries=None):
    """Whether people of datasets stay unnamed.

    Parameters
    ----------
    study : Study
        The settings.
    entries : sequence of Dataset, default=None
        The datasets; None: those that the published weights are trained on.
    """
    if study.card.anonymous is not None:
        return study.card.anonymous
    return any(
        entry.reader_name not in OPEN | {"make_emotion_windows"}
        for entry in (study.sources if entries is None else entries)
    )
