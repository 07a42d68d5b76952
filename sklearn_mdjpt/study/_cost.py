"""What a study would take: hours, memory and disk, before anything is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from sklearn.base import clone

from .._torch import resolve_device
from ..channels import CANONICAL_SFREQ
from ..datasets import make_emotion_windows
from ..datasets._download import PUBLIC_DATASETS
from ..nn import encoder_cost
from ..windows._windows import EEGWindows
from ._data import dataset_key, place_of, read_entry, stored_bytes
from ._evaluation import methods_of, protocols_of
from ._methods import METHODS, make_method
from ._readers import READERS
from ._settings import Study, read_study
from ._training import make_encoder

if TYPE_CHECKING:
    from .._typing import PathLike

_GB = 1e9
_NETWORK = 10e6  # bytes a second, of a download
_DISK = 100e6  # bytes a second, decoded and written
_GPU_FLOPS, _GPU_SHARE = 20e12, 0.25
# What a GPU waits for at least, in seconds: for a batch, and for a window's signal.
_GPU_BATCH, _GPU_WINDOW = 0.05, 0.001
_LIBRARIES = 1.5e9  # bytes of memory
# Of a training step: the gradient takes twice the arithmetic of the forward pass, and
# with chunks activations are computed again.
_TRAINING_PASSES = {True: 4, False: 3}
# Bytes of a window of 625 samples in a batch, for latent signals and for activations.
_LATENT, _ACTIVATIONS = 9e6, 150e6
_CLEANING = 1.0  # hours for an hour of recording, with ICA


class Published(NamedTuple):
    """What is known of an open dataset without its files."""

    people: int
    trials: float  # of a person, that are whole
    seconds: float  # of a trial
    stimuli: int
    store: float  # bytes of a person in a store
    hours: float  # of a person's recording, about


# The counts and sizes are those of the datasets' page in the user guide.
_PUBLISHED = {
    "fetch_faced": Published(123, 28, 65.0, 28, 390e6, 1.2),
    "fetch_emoeeg_mc": Published(59, 20.6, 30.0, 21, 32e6, 0.18),
    "fetch_dens": Published(31, 6.3, 60.0, 20, 258e6, 0.6),
    "fetch_eegmat": Published(36, 2.0, 120.0, 0, 9e6, 0.07),
}


class Size(NamedTuple):
    """How large a dataset is.

    Attributes
    ----------
    name : str
        Its name.
    role : str
        "source" or "target".
    people, windows, stimuli : int
        How many.
    store, download : float
        Bytes on the disk, and of what is still to be fetched.
    cleaning : float
        Hours of recordings that are to be cleaned.
    done : bool
        Whether its store is there.
    assumed : bool
        Whether it was not looked at.
    """

    name: str
    role: str
    people: int
    windows: int
    stimuli: int
    store: float
    download: float
    cleaning: float
    done: bool
    assumed: bool


def estimate_study(study: Study | PathLike) -> pd.DataFrame:
    """Estimate what a study takes, for this machine and for a GPU.

    Nothing is downloaded or trained.  Local datasets are opened, as far as their
    headers go; of open ones that are not here, what is published is assumed.  The speed
    of this machine is measured with two batches of simulated EEG.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.

    Returns
    -------
    DataFrame
        One row for each step, indexed by its name: ``hours``, ``hours_gpu`` (the same
        with a GPU for the encoder), ``memory`` and ``disk`` in gigabytes.
        ``attrs["notes"]`` is a list of what the figures rest on.
    """
    study = study if isinstance(study, Study) else read_study(study)
    sizes = [size for entry in study.datasets for size in _sizes(study, entry)]
    speed = _measure(study)
    sources = [size for size in sizes if size.role == "source"]
    n_jobs = max(study.cleaning.get("n_jobs", 1), 1)
    rows = [_reading(size, n_jobs) for size in sizes if not size.done]
    encoders = 1 if study.targets or len(sizes) == 1 else 1 + len(sizes)
    rows += [_training(study, sources, encoders, speed)]
    rows += [_testing(study, sizes, speed)]
    columns = ["step", "hours", "hours_gpu", "memory", "disk"]
    table = pd.DataFrame(rows, columns=columns).set_index("step")
    table.attrs["notes"] = _notes(sizes, speed, encoders)
    return table


# Datasets ---------------------------------------------------------------------------


def _sizes(study, entry):
    """Return the size of each dataset of an entry."""
    place = place_of(study, entry, dataset_key(study, entry))
    published = _PUBLISHED.get(entry.reader_name)
    if not place.exists() and published is not None:
        return [_published_size(study, entry, published)]
    done = place.exists()
    X = EEGWindows.open(place) if done else read_entry(study, entry)
    sizes = []
    for name in dict.fromkeys(X.groups("dataset")):
        part = X[X.groups("dataset") == name]
        sources = part.recordings
        hours = sum(_hours(source) for source in sources)
        n_stimuli = part.metadata["stimulus"].nunique()
        people = len(set(part.groups("subject")))
        sizes.append(
            Size(
                str(name),
                entry.role,
                people,
                len(part),
                n_stimuli,
                stored_bytes(part),
                0,
                hours if entry.clean and not done else 0.0,
                done,
                False,
            )  # fmt: skip
        )
    return sizes


def _published_size(study, entry, published):
    people = published.people
    if entry.subjects is not None:
        people = min(len(entry.subjects), people)
    length, stride = study.windows.seconds, study.windows.stride
    of_trial = max(int((published.seconds - length) / stride) + 1, 0)
    share = people / published.people
    return Size(
        entry.name, entry.role, people, int(people * published.trials * of_trial),
        published.stimuli, people * published.store, share * _to_fetch(study, entry),
        people * published.hours if entry.clean else 0.0, False, True,
    )  # fmt: skip


def _to_fetch(study, entry):
    """Return the bytes of a published dataset that are not in any of its folders."""
    names = {reader: name for name, reader in READERS.items()}
    dataset = PUBLIC_DATASETS.get(names[entry.reader_name])
    if dataset is None:  # eegmat is small
        return 0.0
    home = entry.path or study.general.data_home
    places = dataset.places(None if home is None else study.resolve(home))
    return float(
        sum(
            file.n_bytes
            for path, file in dataset.manifest.items()
            if not any((place / path).exists() for place in places)
        )
    )


def _hours(source):
    return source.n_times / source.sfreq / 3600 if source.is_continuous else 0.0


# This machine -----------------------------------------------------------------------


class Speed(NamedTuple):
    """What was measured: seconds for a window.

    Attributes
    ----------
    training, encoding : float
        Of the encoder.
    methods : dict of str to float
        Of the methods without an encoder, fitted and predicted.
    flops : float
        Arithmetic of a window, forward.
    n_features : int
        Of the encoder.
    device : str
        What the encoder ran on.
    """

    training: float
    encoding: float
    methods: dict[str, float]
    flops: float
    n_features: int
    device: str


def _measure(study):
    seconds = study.windows.seconds
    X = make_emotion_windows(
        1, n_subjects=6, n_stimuli=6, trial_seconds=seconds + 2.0,
        window_seconds=seconds, stride_seconds=1.0, random_state=0,
    )  # fmt: skip
    X = X[X.metadata["onset"].to_numpy() < 2]
    changes = {
        "max_epochs": 2, "batches_per_epoch": 1, "verbose": 0, "weights": None,
        "finetune": False,
    }  # fmt: skip
    encoder = make_encoder(study).set_params(**changes).fit(X)
    # The first batch warms caches up; a batch has a window of each person and clip.
    batch = 6 * min(encoder.subjects_per_batch, 6)
    training = encoder.history_["seconds"].iloc[1] / batch
    encoding = _time(lambda: encoder.transform(X)) / len(X)
    methods = {}
    for name in study.evaluation.methods:
        if not METHODS[name].encoder and not METHODS[name].source:
            model = make_method(name, encoder=None, source=None, smoothing=None)
            used = _time(lambda model=model: clone(model).fit(X, X.y).predict(X))
            methods[name] = used / (2 * len(X))
    n_times = int(seconds * CANONICAL_SFREQ)
    flops = float(encoder_cost(encoder.module_, n_times)["flops"].sum())
    return Speed(
        float(training), encoding, methods, flops, encoder.n_features_out_,
        str(resolve_device(encoder.device)),
    )  # fmt: skip


def _time(function):
    function()  # what is imported at the first call is not part of it
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


# Steps ------------------------------------------------------------------------------


def _reading(size, n_jobs):
    seconds = size.download / _NETWORK + size.store / _DISK
    hours = seconds / 3600 + size.cleaning * _CLEANING / n_jobs
    what = "fetch, read" if size.download else "read"
    step = f"{what}{', clean' * bool(size.cleaning)} {size.name}"
    memory = (_LIBRARIES + 2e9 + 2e9 * bool(size.cleaning)) / _GB
    # What is cleaned is kept by recording beside the store.
    disk = size.download + size.store * (1 + bool(size.cleaning))
    return step, hours, hours, memory, disk / _GB


def _training(study, sources, encoders, speed):
    encoder = make_encoder(study)
    batch = sum(
        min(encoder.subjects_per_batch, size.people) * max(size.stimuli, 1)
        for size in sources
    )
    n_batches = encoders * encoder.max_epochs * encoder.batches_per_epoch
    if encoder.weights is not None and not encoder.finetune:
        n_batches = 0
    n = n_batches * batch
    # At the end all windows are encoded for the scale of the features.
    encoded = encoders * sum(size.windows for size in sources)
    hours = (n * speed.training + encoded * speed.encoding) / 3600
    passes = _TRAINING_PASSES[encoder.chunk_size is not None]
    flops = speed.flops * (passes * n + encoded)
    scale = study.windows.seconds / 5.0
    held = batch if encoder.chunk_size is None else min(encoder.chunk_size, batch)
    size = encoder.hidden_dim * encoder.depth / 256
    memory = scale * (batch * _LATENT + held * _ACTIVATIONS * size)
    name = "pre-train" if encoders == 1 else f"pre-train {encoders} encoders"
    gpu = _gpu(flops, n_batches, n + encoded)
    return name, hours, gpu, (_LIBRARIES + memory) / _GB, 0.1 * encoders


def _testing(study, sizes, speed):
    evaluation = study.evaluation
    targets = [size for size in sizes if size.role == "target"] or sizes
    n_windows = sum(size.windows for size in targets)
    alone = len(sizes) == 1
    fits = {
        "few_shot": evaluation.n_splits,
        "zero_shot": 1,
        "leave_subjects_out": evaluation.n_folds,
    }
    runs = sum(fits[name] for name in protocols_of(study, alone))
    encoded = 0
    for name in methods_of(study, alone):
        if METHODS[name].encoder:
            encoded += n_windows
        if METHODS[name].source:
            others = sum(size.windows for size in sizes) * len(targets) - n_windows
            encoded += others
    plain = sum(speed.methods.values()) * n_windows * runs
    hours = (encoded * speed.encoding + plain) / 3600
    gpu = _gpu(encoded * speed.flops, 0, encoded) + plain / 3600
    width = 1830 if any(name.startswith("tangent") for name in speed.methods) else 600
    largest = max(size.windows for size in targets)
    memory = _LIBRARIES + 4 * 8 * width * largest
    disk = encoded * 4 * speed.n_features / _GB
    return "evaluate", hours, gpu, memory / _GB, disk


def _gpu(flops, n_batches, n_windows):
    """Return hours on a GPU."""
    least = n_batches * _GPU_BATCH + n_windows * _GPU_WINDOW
    return max(flops / (_GPU_FLOPS * _GPU_SHARE), least) / 3600


def _notes(sizes, speed, encoders):
    notes = []
    assumed = [size for size in sizes if size.assumed]
    if assumed:
        what = "; ".join(
            f"{size.name} {size.people} people, {size.windows:,} windows"
            for size in assumed
        )
        notes.append(f"Not looked at, as published: {what}.")
    if any(size.download for size in sizes):
        n_bytes = sum(size.download for size in sizes)
        notes.append(
            f"{n_bytes / _GB:.1f} GB are to be downloaded, at {_NETWORK / 1e6:.0f} "
            "MB/s."
        )
    notes.append(
        f"Recordings are decoded and written at {_DISK / 1e6:.0f} MB/s (assumed)."
    )
    if any(size.cleaning for size in sizes):
        notes.append(
            f"Cleaning takes {60 * _CLEANING:.0f} minutes for an hour of recording "
            "(assumed; more with many channels, a few without ICA), over n_jobs."
        )
    notes.append(
        f"Measured here ({speed.device}): {1 / speed.training:.3g} windows a second in "
        f"training, {1 / speed.encoding:.3g} in encoding."
    )
    notes.append(
        f"GPU: {speed.flops / 1e9:.2g} GFLOP for a window forward, at "
        f"{100 * _GPU_SHARE:.0f} % of {_GPU_FLOPS / 1e12:.0f} TFLOP/s in float32 "
        f"(assumed, not measured), at least {1000 * _GPU_BATCH:.0f} ms for a batch and "
        f"{1000 * _GPU_WINDOW:.0f} ms for a window's signal; all but the encoder runs "
        "on the CPU."
    )
    if encoders > 1:
        notes.append(
            "No dataset has role = 'target': one encoder for all, and one for each "
            "dataset that is left out."
        )
    return notes
