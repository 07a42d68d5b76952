"""The private skorch net that trains the head of MDJPTClassifier."""

import numpy as np
import pandas as pd
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from skorch.dataset import Dataset
from skorch.helper import predefined_split

from ..encoder._callbacks import LeavesLoggersOut, copy_callbacks
from ..encoder._net import RemembersInterruption
from ..nn import MLPHead


class HeadNet(LeavesLoggersOut, RemembersInterruption, NeuralNetClassifier):
    """skorch classifier that remembers whether its training was interrupted."""


class Batches:
    """Batches of a skorch dataset, cut out at once and not row by row.

    Parameters
    ----------
    dataset : skorch.dataset.Dataset
        Features and classes.
    batch_size : int
        Rows in a batch.
    seed : int, default=None
        Shuffles the rows, anew in each epoch; None keeps their order.
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
            # Batch norm cannot train on one row: where one is left over, it waits for
            # the next epoch, which shuffles anew.
            if self.generator is None or len(rows) > 1:
                yield self.dataset[rows.numpy()]


def make_head_net(
    n_features,
    n_classes,
    *,
    hidden_dim,
    class_weights,
    lr,
    weight_decay,
    max_epochs,
    batch_size,
    validation,
    patience,
    seed,
    device,
    callbacks,
    verbose,
):
    """Build the net; with ``validation``, a pair of X and y, it stops early."""
    callbacks, split = copy_callbacks(callbacks), None
    if validation is not None:
        callbacks.append(EarlyStopping(patience=patience, load_best=True))
        split = predefined_split(Dataset(*validation))
    return HeadNet(
        MLPHead,
        module__n_features=n_features,
        module__n_outputs=n_classes,
        module__hidden_dim=hidden_dim,
        criterion=torch.nn.CrossEntropyLoss,
        criterion__weight=class_weights,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=weight_decay,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        iterator_train=Batches,
        iterator_train__seed=seed,
        iterator_valid=Batches,
        train_split=split,
        classes=np.arange(n_classes),
        device=device.type if device.index is None else str(device),
        callbacks=callbacks,
        callbacks__valid_acc=None,
        verbose=verbose,
    )


def head_history(net):
    """One row for each epoch: train_loss, valid_loss (if there is one), seconds."""
    columns = {"train_loss": "train_loss", "valid_loss": "valid_loss", "dur": "seconds"}
    table = pd.DataFrame(net.history.to_list())
    table = table[[name for name in columns if name in table]].rename(columns=columns)
    table.index = pd.RangeIndex(1, len(table) + 1, name="epoch")
    return table
