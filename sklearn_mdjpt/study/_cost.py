"""What a study would take: hours, memory and disk, before anything is read."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from sklearn.base import clone

from .._torch import resolve_device
from ..channels import CANONICAL_SFREQ
from ..datasets import make_emotion_windows
from ..nn import encoder_cost
from ._data import stored_bytes
from ._evaluation import (
    make_jobs,
    make_transfers,
    methods_of,
    protocols_of,
    uses_encoder,
)
from ._look import describe_people, look_at_all, look_at_sources
from ._methods import METHODS, make_method
from ._noticed import Notices
from ._splits import make_splits
from ._training import Weights, main_weights, make_encoder

if TYPE_CHECKING:
    from .._typing import PathLike
    from ._settings import Study

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


def estimate_study(study: Study | PathLike, *, evaluation: bool = True) -> pd.DataFrame:
    """Estimate what is left to do of a study, for this machine and for a GPU.

    Nothing is downloaded, trained or written.  What a study would refuse is found: the
    settings are checked, local datasets are opened, as far as their headers and tables
    go, and people are counted; of open datasets that are not here, what is published is
    assumed.  The speed of this machine is measured with two batches of simulated EEG.

    Parameters
    ----------
    study : Study or path-like
        The settings, or their file.
    evaluation : bool, default=True
        Whether the evaluation counts; False: `pretrain_study` alone.

    Returns
    -------
    DataFrame
        One row for each step, indexed by its name: ``hours``, ``hours_gpu`` (the same
        with a GPU for the encoder), ``memory`` and ``disk`` in gigabytes.  What is done
        has no row.  ``attrs["notes"]`` is a list of what the figures rest on, and
        ``attrs["trainings"]`` the number of encoders that are to be trained.

    Raises
    ------
    ValueError
        If settings or data are wrong; the message names all that is.
    """
    look = look_at_all if evaluation else look_at_sources
    study, looked = look(study, Notices())
    sizes = [size for one in looked for size in _sizes(study, one)]
    speed = _measure(study)
    n_jobs = max(study.cleaning.get("n_jobs", 1), 1)
    rows = [_reading(size, n_jobs) for size in sizes if not size.done]
    todo = _to_do(study, looked, sizes, evaluation)
    if todo.trainings:
        rows.append(_training(study, todo.trainings, speed))
    if todo.runs:
        rows.append(_testing(study, sizes, todo.runs, speed))
    columns = ["step", "hours", "hours_gpu", "memory", "disk"]
    table = pd.DataFrame(rows, columns=columns).set_index("step")
    notes = _done(sizes, todo, looked)
    notes += _notes(sizes, speed, len(todo.trainings))
    table.attrs |= {"notes": notes, "trainings": len(todo.trainings)}
    return table


# What is left -----------------------------------------------------------------------


class Training(NamedTuple):
    """A training that is not finished.

    Attributes
    ----------
    sizes : list of Size
        What it is trained on.
    share : float
        The part of the people, 1 or less.
    left : float
        The part of the batches that is still to be trained.
    """

    sizes: list
    share: float
    left: float


class ToDo(NamedTuple):
    """What is left of trainings and tests.

    Attributes
    ----------
    trainings : list of Training
        Trainings that are not finished.
    runs : list of (str, str, str, int)
        Dataset, protocol, method, and number of fits of each test that is not done.
    n_done : int
        Trainings and tests that are done.
    """

    trainings: list
    runs: list
    n_done: int


def _to_do(study, looked, sizes, evaluation):
    """Return what is left of trainings and tests."""
    keys = {one.key: one.entry for one in looked}
    sources = [size for size in sizes if size.role == "source"]
    alone = len(sizes) == 1
    trainings, n_done = {}, 0
    main = main_weights(study, keys)
    if not evaluation or uses_encoder(study, alone):
        trainings[main.path] = Training(sources, 1.0, main.share_left())
    if not evaluation:
        left = [one for one in trainings.values() if one.left]
        return ToDo(left, [], len(trainings) - len(left))
    transfers = None
    if all(one.windows is not None for one in looked):
        transfers = make_transfers(study, looked)
    runs = []
    for name, protocol, method, n_fits, job in _tests(study, looked, sizes, transfers):
        if job is not None and job.path.exists():
            n_done += 1
            continue
        runs.append((name, protocol, method, n_fits))
        fits_encoder = protocol == "leave_subjects_out" and method in METHODS
        if alone and fits_encoder and METHODS[method].encoder:
            # In each fold one is trained by other people; methods share it.
            for k in range(n_fits):
                trainings[name, k] = Training(sources, 1 - 1 / n_fits, 1.0)
    if not study.targets and not alone and main.path in trainings:
        for size in sizes:
            weights = Weights(study, list(keys), size.name)
            others = [other for other in sizes if other.name != size.name]
            trainings[weights.path] = Training(others, 1.0, weights.share_left())
    left = [one for one in trainings.values() if one.left]
    return ToDo(left, runs, n_done + len(trainings) - len(left))


def _tests(study, looked, sizes, transfers):
    """Yield dataset, protocol, method, number of fits, and job where it is known."""
    if transfers is not None:
        for job in make_jobs(study, transfers):
            splits = job.transfer.splits
            n_fits = _n_fits(job.protocol, splits)
            yield job.transfer.name, job.protocol, job.name, n_fits, job
        return
    alone = len(sizes) == 1
    for size in [size for size in sizes if size.role == "target"] or sizes:
        splits = make_splits(study, np.arange(size.people))
        for protocol in protocols_of(study, alone):
            for method in [*methods_of(study, alone), *study.evaluation.networks]:
                yield size.name, protocol, method, _n_fits(protocol, splits), None


def _n_fits(protocol, splits):
    numbers = {"few_shot": splits.n_splits, "leave_subjects_out": splits.n_folds}
    return numbers.get(protocol, 1)


# Datasets ---------------------------------------------------------------------------


def _sizes(study, one):
    """Return the size of each dataset of an entry."""
    entry, X = one.entry, one.windows
    if X is None:
        return [_published_size(study, one)]
    sizes = []
    for name in dict.fromkeys(X.groups("dataset")):
        part = X[X.groups("dataset") == name]
        hours = sum(_hours(source) for source in part.recordings)
        sizes.append(
            Size(
                str(name),
                entry.role,
                len(set(part.groups("subject"))),
                len(part),
                part.metadata["stimulus"].nunique(),
                stored_bytes(part),
                0,
                hours if entry.clean and not one.done else 0.0,
                one.done,
                False,
            )  # fmt: skip
        )
    return sizes


def _published_size(study, one):
    entry, published = one.entry, _PUBLISHED[one.entry.reader_name]
    # Some who were published have no whole trial.
    people = min(one.n_people, published.people)
    length, stride = study.windows.seconds, study.windows.stride
    of_trial = max(int((published.seconds - length) / stride) + 1, 0)
    return Size(
        entry.name, entry.role, people, int(people * published.trials * of_trial),
        published.stimuli, people * published.store,
        float(sum(one.local.to_fetch.values())),
        people * published.hours if entry.clean else 0.0, False, True,
    )  # fmt: skip


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


def _training(study, trainings, speed):
    encoder = make_encoder(study)
    n = n_batches = encoded = most = 0
    for one in trainings:
        batch = sum(
            min(encoder.subjects_per_batch, size.people) * max(size.stimuli, 1)
            for size in one.sizes
        )
        batches = one.left * encoder.max_epochs * encoder.batches_per_epoch
        if encoder.weights is not None and not encoder.finetune:
            batches = 0
        n, n_batches, most = n + batches * batch, n_batches + batches, max(most, batch)
        # At the end all windows are encoded for the scale of the features.
        encoded += one.share * sum(size.windows for size in one.sizes)
    hours = (n * speed.training + encoded * speed.encoding) / 3600
    passes = _TRAINING_PASSES[encoder.chunk_size is not None]
    flops = speed.flops * (passes * n + encoded)
    scale = study.windows.seconds / 5.0
    held = most if encoder.chunk_size is None else min(encoder.chunk_size, most)
    size = encoder.hidden_dim * encoder.depth / 256
    memory = scale * (most * _LATENT + held * _ACTIVATIONS * size)
    encoders = len(trainings)
    name = "pre-train" if encoders == 1 else f"pre-train {encoders} encoders"
    gpu = _gpu(flops, n_batches, n + encoded)
    return name, hours, gpu, (_LIBRARIES + memory) / _GB, 0.1 * encoders


def _testing(study, sizes, runs, speed):
    windows = {size.name: size.windows for size in sizes}
    total = sum(windows.values())
    own, others, plain = {}, {}, 0.0
    for name, _, method, n_fits in runs:
        # A frozen encoder encodes each window once, whatever the protocols.
        if method in METHODS and METHODS[method].encoder:
            own[name, method] = windows[name]
        if method in METHODS and METHODS[method].source:
            others[name, method] = total - windows[name]
        plain += speed.methods.get(method, 0.0) * windows[name] * n_fits
    encoded = sum(own.values()) + sum(others.values())
    hours = (encoded * speed.encoding + plain) / 3600
    gpu = _gpu(encoded * speed.flops, 0, encoded) + plain / 3600
    width = 1830 if any(run[2].startswith("tangent") for run in runs) else 600
    memory = _LIBRARIES + 4 * 8 * width * max(windows[run[0]] for run in runs)
    disk = encoded * 4 * speed.n_features / _GB
    return "evaluate", hours, gpu, memory / _GB, disk


def _gpu(flops, n_batches, n_windows):
    """Return hours on a GPU."""
    least = n_batches * _GPU_BATCH + n_windows * _GPU_WINDOW
    return max(flops / (_GPU_FLOPS * _GPU_SHARE), least) / 3600


def _done(sizes, todo, looked):
    """Return what is there already, and who."""
    notes = []
    read = [size.name for size in sizes if size.done]
    if read:
        notes.append(f"Read before: {', '.join(read)}.")
    if todo.n_done:
        notes.append(f"{todo.n_done} trainings and tests are done before.")
    if any(one.left < 1 for one in todo.trainings):
        notes.append("A training goes on from its last checkpoint.")
    for text in describe_people(looked):
        notes.append(f"Of these people all files are here: {text}.")
    return notes


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
            "No dataset has role = 'target': one encoder is trained for all, and one "
            "for each dataset, or group of people, that is left out."
        )
    return notes
