"""The skorch net of both classifiers of windows, and what their training shares."""

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNetClassifier, NeuralNetRegressor

from .._validation import check_number
from ..encoder._callbacks import LeavesLoggersOut, copy_callbacks
from ..encoder._training import RemembersInterruption


class ClassifierNet(LeavesLoggersOut, RemembersInterruption, NeuralNetClassifier):
    """skorch classifier that remembers whether its training was interrupted."""


class RegressorNet(LeavesLoggersOut, RemembersInterruption, NeuralNetRegressor):
    """skorch regressor that remembers whether its training was interrupted."""


class RowBatches:
    """Batches of rows of a skorch dataset; all rows of a batch are read at once.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Features and classes.
    batch_size : int
        Rows in a batch.
    seed : int, default=None
        Seed of the order, which differs between epochs; None keeps the order.
    """

    def __init__(self, dataset, batch_size, seed=None):
        self.dataset, self.batch_size = dataset, batch_size
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)

    def __iter__(self):
        if self.generator is None:
            order = torch.arange(len(self.dataset))
        else:
            order = torch.randperm(len(self.dataset), generator=self.generator)
        for rows in order.split(self.batch_size):
            # Batch norm cannot train on one row.  A single row at the end is left out
            # of this epoch; the next epoch has another order.
            if self.generator is None or len(rows) > 1:
                yield self.dataset[rows.numpy()]


def check_training_parameters(estimator):
    """Raise if a parameter that both classifiers have is out of range."""
    check_number(estimator.max_epochs, "max_epochs", whole=True, least=1)
    check_number(estimator.batch_size, "batch_size", whole=True, least=2)
    threads = estimator.torch_threads
    check_number(threads, "torch_threads", whole=True, least=1, none=True)
    check_number(estimator.lr, "lr", above=0)
    check_number(estimator.weight_decay, "weight_decay", least=0)
    copy_callbacks(estimator.callbacks)


def net_settings(estimator, weights, n_classes, seed, device):
    """Return the arguments of `ClassifierNet` that both classifiers share.

    Parameters
    ----------
    estimator : MDJPTClassifier or BraindecodeClassifier
        Has the parameters of the training.
    weights : ndarray of float32, shape (n_classes,), or None
        Weights of the classes in the loss.
    n_classes : int
        Number of classes.
    seed : int
        Seed of the order of the rows.
    device : torch.device
        Where the net is trained.

    Returns
    -------
    dict of str to object
        There is no validation set; callbacks are copies.
    """
    return common_settings(estimator, seed, device) | {
        "criterion": torch.nn.CrossEntropyLoss,
        "criterion__weight": None if weights is None else torch.from_numpy(weights),
        "classes": np.arange(n_classes),
        "callbacks__valid_acc": None,
    }


def common_settings(estimator, seed, device):
    """Return the arguments of a net that classifiers and the regressor share.

    Parameters
    ----------
    estimator : MDJPTClassifier, MDJPTRegressor or BraindecodeClassifier
        Has the parameters of the training.
    seed : int
        Seed of the order of the rows.
    device : torch.device
        Where the net is trained.

    Returns
    -------
    dict of str to object
        There is no validation set; callbacks are copies.
    """
    return {
        "optimizer__weight_decay": estimator.weight_decay,
        "lr": estimator.lr,
        "max_epochs": estimator.max_epochs,
        "batch_size": estimator.batch_size,
        "iterator_train": RowBatches,
        "iterator_train__seed": seed,
        "iterator_valid": RowBatches,
        "train_split": None,
        "device": device.type if device.index is None else str(device),
        "callbacks": copy_callbacks(estimator.callbacks),
        "verbose": estimator.verbose,
    }


def finish_training(net, what):
    """Return the history of a training; raise if it was interrupted or diverged.

    Parameters
    ----------
    net : ClassifierNet
        The trained net.
    what : str
        What was trained, for the messages.

    Returns
    -------
    DataFrame
        One row for each epoch: train_loss, valid_loss (if there is one), seconds.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C ended the training.
    FloatingPointError
        If a loss is infinite or NaN.
    """
    if net.interrupted_:
        raise KeyboardInterrupt(f"The training of the {what} was interrupted.")
    columns = {"train_loss": "train_loss", "valid_loss": "valid_loss", "dur": "seconds"}
    table = pd.DataFrame(net.history.to_list())
    table = table[[name for name in columns if name in table]].rename(columns=columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="epoch")
    if not np.isfinite(table).all(axis=None):
        raise FloatingPointError(
            f"The loss of the {what} became infinite or NaN; try a lower lr."
        )
    return table
