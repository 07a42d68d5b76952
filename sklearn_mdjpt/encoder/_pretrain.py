"""Pre-training: from windows to a trained network, from the last checkpoint on."""

from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from skorch.callbacks import PassthroughScoring

from .._io._fingerprint import NotKnown, fingerprint
from .._validation import warn
from ..nn.pretraining import JointLoss, JointPretraining
from ..windows._content import signals, without_made_up_names
from ._about import About
from ._callbacks import copy_callbacks, is_logger
from ._checkpoints import FORMAT_VERSION as CHECKPOINT_FORMAT
from ._checkpoints import Run
from ._files import read_stored
from ._pairs import PairDataset, pair_columns, uses_labels
from ._parameters import parameters_of
from ._processes import AcceleratedProcesses, SingleProcess
from ._progress import LearningRate, Progress, Seconds, SpatialNorm
from ._saved import NOTHING_SEEN, Seen, merge_seen, no_history, seen_in
from ._training import PretrainingNet
from ._weights import WeightsFile


class Pretrained(NamedTuple):
    """The results of a training beside the weights.

    Attributes
    ----------
    history : DataFrame
        One row for each epoch.
    seen : Seen
        The datasets and subjects that the weights were trained on.
    net : PretrainingNet or None
        The net; None if there was no training.
    run : Run or None
        Where its checkpoints are.
    error : FloatingPointError or None
        Why it ended early, with the last good weights.
    stored : WeightsFile or None
        The end of the same fit, as an earlier one stored it.
    """

    history: pd.DataFrame
    seen: Seen
    net: PretrainingNet | None = None
    run: Run | None = None
    error: FloatingPointError | None = None
    stored: WeightsFile | None = None

    @classmethod
    def from_file(cls, file):
        """Return what a weights file knows of its training; None knows of none."""
        if file is None:
            return cls(no_history(), NOTHING_SEEN)
        return cls(file.history, file.seen)


def pretrain(
    encoder, module, file, reader, windows, y, metadata, *,
    seeds, random_state, device, processes, lock,
):  # fmt: skip
    """Train a network in place, if the encoder's parameters ask for a training.

    Parameters
    ----------
    encoder : MDJPTEncoder
        Holds the parameters of the training; it is not changed.
    module : HybridEncoder
        The network, on ``device``.
    file : WeightsFile or None
        The file of the network's weights; None for initial weights.
    reader : CanonicalReader
        Reads the windows.
    windows : EEGWindows
        The windows.
    y : ndarray or None
        Labels given to fit.
    metadata : dict
        Keywords of `pair_columns`, as they were given to fit.
    seeds : list of int
        The second one seeds the pairs.
    random_state : int or RandomState
        Gives the seeds of this training again.
    device : torch.device
        Where to compute.
    processes : SingleProcess or AcceleratedProcesses
        The processes that train together.
    lock : contextlib.ExitStack
        Keeps other processes out of the folder of checkpoints until it is closed.

    Returns
    -------
    Pretrained
        The results of this training, or without one of an earlier training.
    """
    before = Pretrained.from_file(file)
    if encoder.max_epochs == 0 or (file is not None and not encoder.finetune):
        return before
    columns = pair_columns(windows, **metadata)
    labels = None
    if uses_labels(columns, encoder.pairing):
        labels = pd.Series(windows.y if y is None else y, dtype=object)
    run = _find_run(encoder, module, file, windows, columns, labels, seeds, processes)
    about = None
    if run is not None and processes.is_main_process:
        about = About(
            encoder, windows, columns, labels,
            random_state=random_state, device=device, processes=processes,
        )  # fmt: skip
        lock.enter_context(run.locked(lambda: _say_waiting(encoder)))
    made = _train(
        encoder, module, reader, windows, columns, y,
        seed=seeds[1], device=device, run=run, about=about, processes=processes,
    )  # fmt: skip
    return made._replace(seen=merge_seen(before.seen, made.seen))


def _say_waiting(encoder):
    if encoder.verbose:
        print("Pre-training: another process does the same; waiting for its end.")


def _train(
    encoder, module, reader, windows, columns, y, *,
    seed, device, run, about, processes,
):  # fmt: skip
    """Train a network in place; go on from the last checkpoint if the run has one."""
    # All windows are checked: a short one need not be in the first batch.
    module.check_projectable(int(reader.n_times.min()))
    state, finished = None, False
    if run is not None:
        found = run.latest() if processes.is_main_process else None
        state, finished = processes.broadcast(found)
    if about is not None and not finished:
        about.write(run.folder, goes_on=state is not None)
        if encoder.verbose and state is None and (others := about.others(run.folder)):
            print(f"Pre-training: {others}", flush=True)
    if state is not None:
        seed = state["seed"]
    # Each process reads a finished training again for itself.
    trainers = SingleProcess() if finished else processes
    batches = PairDataset.of_windows(
        reader, windows, columns, y, pairing=encoder.pairing,
        rng=np.random.default_rng(seed), n_batches=encoder.batches_per_epoch,
        n_subjects=encoder.subjects_per_batch,
    )  # fmt: skip
    batches.shard(
        trainers.process_index,
        trainers.num_processes,
        by_subject=module.subject_norm != "train",
    )
    net = _make_net(
        encoder, module, device=device, run=run, seed=seed, processes=trainers
    )
    error = None
    if finished:
        net.restore_finished(state)
    else:
        error = net.train(batches, state)
    if net.interrupted_ and error is None:
        n_batches = encoder.max_epochs * encoder.batches_per_epoch
        warn(
            f"Pre-training was interrupted after {net.n_batches} of {n_batches} "
            "batches; the encoder has the weights so far."
            + (" The same fit goes on from there." if run is not None else "")
        )
    used = columns[np.isin(batches.datasets, batches.sampler.datasets)]
    stored = None
    if run is not None and not net.interrupted_:
        found = read_stored(encoder, run) if processes.is_main_process else None
        stored = processes.broadcast(found)
    return Pretrained(history_table(net), seen_in(used), net, run, error, stored)


def _make_net(encoder, module, *, device, run, seed, processes):
    """Return the net that trains ``module`` with Adam under the joint loss."""
    if isinstance(processes, AcceleratedProcesses):
        # Accelerate is an extra, and slow to import.
        from ._accelerated import AcceleratedPretrainingNet as Net

        # skorch's mixin sets the log's sink, so the log stays; print is silent here.
        engine = {
            "accelerator": processes.accelerator,
            "callbacks__print_log__sink": print,
        }
    else:
        Net = PretrainingNet
        name = device.type if device.index is None else str(device)
        engine = {"device": name, "callbacks__print_log": None}
    return Net(
        JointPretraining,
        module__encoder=module,
        criterion=JointLoss,
        criterion__temperature=encoder.temperature,
        criterion__isa_weight=encoder.isa_weight,
        criterion__cda_weight=encoder.cda_weight,
        criterion__cda_scale=encoder.cda_scale,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=encoder.weight_decay,
        lr=encoder.lr,
        max_epochs=encoder.max_epochs,
        train_split=None,
        verbose=0,
        callbacks=[
            ("isa", PassthroughScoring("isa", on_train=True)),
            ("cda", PassthroughScoring("cda", on_train=True)),
            ("mdjpt_spatial_norm", SpatialNorm()),
            ("mdjpt_seconds", Seconds()),
            ("mdjpt_lr", LearningRate()),
            (
                "mdjpt_progress",
                Progress(encoder.verbose if processes.is_main_process else 0),
            ),
            *copy_callbacks(encoder.callbacks),
        ],
        callbacks__epoch_timer=None,
        callbacks__valid_loss=None,
        run=run,
        checkpoint_every=encoder.checkpoint_every,
        seed=seed,
        processes=processes,
        **engine,
    )


def _find_run(encoder, module, file, windows, columns, labels, seeds, processes):
    """Return the `Run` of this training; None without ``checkpoint_dir``."""
    if encoder.checkpoint_dir is None and processes.num_processes == 1:
        return None
    parameters = {name: getattr(encoder, name) for name in parameters_of("training")}
    parameters |= module.config | {
        "checkpoint_format": CHECKPOINT_FORMAT,
        # It changes more than rounding, unlike the number of processes.
        "mixed_precision": processes.mixed_precision,
        "seeds": None if encoder.random_state is None else seeds,
    }
    if file is not None:
        parameters["weights"] = dict(module.named_parameters())
    name = fingerprint(
        parameters, without_made_up_names(columns), labels, signals(windows)
    )
    if processes.any_process(name != processes.broadcast(name)):
        raise ValueError(
            "The processes have other parameters or data than the first one: each "
            "has to call fit with the same."
        )
    if encoder.checkpoint_dir is None:
        return None
    return Run(encoder.checkpoint_dir, _with_callbacks(encoder, name, processes))


def _with_callbacks(encoder, name, processes):
    """Return a fingerprint that adds the callbacks to that of a training."""
    callbacks = SimpleNamespace(callbacks=without_loggers(encoder.callbacks))
    whole = reason = None
    try:
        whole = fingerprint(name, callbacks)
    except NotKnown as error:
        reason = str(error)
    # The callbacks may differ between processes: the main process decides.
    whole, reason = processes.broadcast((whole, reason))
    if whole is None:
        raise ValueError(
            f"checkpoint_dir={str(encoder.checkpoint_dir)!r} cannot be used: "
            f"{reason}, "
            "so that it cannot be told which checkpoints are of this training. "
            "Leave it out of the pickle (__getstate__ of its class) if it makes no "
            "difference, or train with checkpoint_dir=None."
        )
    return whole


def without_loggers(callbacks):
    """Return callbacks but those of skorch that only log: no weight depends on them."""
    return [callback for callback in callbacks or () if not is_logger(callback)]


def history_table(net):
    """One row for each epoch: isa, cda, total, seconds, log_spatial_norm."""
    columns = {
        "isa": "isa",
        "cda": "cda",
        "total": "train_loss",
        "seconds": "dur",
        "log_spatial_norm": "log_spatial_norm",
    }
    rows = [
        {ours: epoch.get(theirs) for ours, theirs in columns.items()}
        for epoch in net.history
    ]
    table = pd.DataFrame(rows, columns=list(columns), dtype=float)
    table.index = pd.RangeIndex(1, len(table) + 1, name="epoch")
    return table
