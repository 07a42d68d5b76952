"""The private skorch net behind MDJPTEncoder, and its callbacks."""

import copy
import sys
import time
import warnings

import pandas as pd
import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, PassthroughScoring

from .nn.pretraining import JointLoss, JointPretraining

_WARMUP_BATCHES = 3
_LONG_SECONDS = 3600.0


class RemembersInterruption:
    """skorch net that can tell Ctrl-C, which skorch swallows, from a regular end."""

    def fit_loop(self, *args, **kwargs):
        """Train; note whether the training was interrupted."""
        self.interrupted_ = False
        try:
            return super().fit_loop(*args, **kwargs)
        except KeyboardInterrupt:
            # EarlyStopping ends a training by the same exception.
            self.interrupted_ = not any(
                isinstance(callback, EarlyStopping)
                and callback.misses_ >= callback.patience
                for _, callback in self.callbacks_
            )
            raise


class PretrainingNet(RemembersInterruption, NeuralNet):
    """skorch net whose batches are pairs of subjects from several datasets."""

    def get_iterator(self, dataset, training=False):
        """Return the dataset: it makes its own batches."""
        return dataset

    def infer(self, x, **fit_params):
        """Encode the parts of a batch."""
        return self.module_(x.to(self.device).parts)

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the joint loss; its terms are written into the history."""
        losses = self.criterion_(y_pred, X.to(self.device).parts)
        if not torch.isfinite(losses.total):
            raise FloatingPointError(
                f"The pre-training loss became {losses.total.item()} in epoch "
                f"{len(self.history)} (ISA {losses.isa.item():.4g}, CDA "
                f"{losses.cda.item():.4g}); try a lower lr."
            )
        self.history.record_batch("isa", losses.isa.item())
        self.history.record_batch("cda", losses.cda.item())
        return losses.total


def make_net(
    encoder,
    *,
    temperature,
    isa_weight,
    cda_weight,
    cda_scale,
    lr,
    weight_decay,
    max_epochs,
    device,
    callbacks,
    verbose,
):
    """Build the net that trains ``encoder`` with Adam under the joint loss."""
    return PretrainingNet(
        JointPretraining,
        module__encoder=encoder,
        criterion=JointLoss,
        criterion__temperature=temperature,
        criterion__isa_weight=isa_weight,
        criterion__cda_weight=cda_weight,
        criterion__cda_scale=cda_scale,
        optimizer=torch.optim.Adam,
        optimizer__weight_decay=weight_decay,
        lr=lr,
        max_epochs=max_epochs,
        train_split=None,
        device=device,
        verbose=0,
        callbacks=[
            ("isa", PassthroughScoring("isa", on_train=True)),
            ("cda", PassthroughScoring("cda", on_train=True)),
            ("mdjpt_spatial_norm", SpatialNorm()),
            ("mdjpt_progress", Progress(verbose)),
            # Copies: a fold's training leaves nothing behind in the next one's.
            *copy.deepcopy(list(callbacks or ())),
        ],
        callbacks__valid_loss=None,
        callbacks__print_log=None,
    )


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


class SpatialNorm(Callback):
    """Keep log ||W_s|| in the history: a CDA that falls with it shows nothing."""

    def on_epoch_end(self, net, **kwargs):
        """Record the norm of the mixing's weight."""
        weight = net.module_.encoder.spatial.weight.detach()
        net.history.record("log_spatial_norm", weight.norm().log().item())


class Progress(Callback):
    """A line of progress with the expected time; a warning if it is long.

    Parameters
    ----------
    verbose : int
        0 prints nothing.  On a terminal the line is drawn anew, elsewhere there is a
        line for each epoch.
    """

    def __init__(self, verbose):
        self.verbose = verbose

    def on_train_begin(self, net, X=None, **kwargs):
        """Start the clock."""
        self._n_epochs, self._n_batches = net.max_epochs, len(X)
        self._done, self._first_epoch = 0, len(net.history)
        self._start = self._last_draw = time.perf_counter()
        self._announced = False

    def on_batch_end(self, net, training=True, **kwargs):
        """Count the batch, announce the expected time once, redraw the line."""
        self._done += 1
        now = time.perf_counter()
        if self._done == 1:
            # The first batch resamples recordings and warms caches up.
            self._second = now
        total = self._n_epochs * self._n_batches
        if not self._announced and self._done > min(_WARMUP_BATCHES, total - 1):
            self._announced = True
            expected = self._per_batch(now) * total
            self._say(
                f"Pre-training: {self._n_epochs} epochs of {self._n_batches} batches, "
                f"expected time {_clock(expected)}."
            )
            if expected > _LONG_SECONDS and net.device == "cpu":
                warnings.warn(
                    f"Pre-training will take about {_clock(expected)} on this CPU. "
                    "MDJPTEncoder.small() is a preset for minutes; a GPU is used when "
                    "there is one.",
                    stacklevel=2,
                )
        if self.verbose and sys.stdout.isatty() and now - self._last_draw > 0.1:
            self._last_draw = now
            self._draw(net, now, total)

    def on_epoch_end(self, net, **kwargs):
        """Print the epoch's losses."""
        epoch = net.history[-1]
        now = time.perf_counter()
        left = self._per_batch(now) * (self._n_epochs * self._n_batches - self._done)
        self._say(
            f"  epoch {len(net.history) - self._first_epoch:>3}/{self._n_epochs}  "
            f"isa {epoch['isa']:.4f}  cda {epoch['cda']:.4f}  {_clock(left)} left"
        )

    def _per_batch(self, now):
        if self._done < 2:
            return now - self._start
        return (now - self._second) / (self._done - 1)

    def _draw(self, net, now, total):
        share = self._done / total
        bar = ("#" * int(24 * share)).ljust(24, ".")
        batch = net.history[-1, "batches", -1]
        left = _clock(self._per_batch(now) * (total - self._done))
        print(
            f"\r  [{bar}] {share:4.0%}  isa {batch['isa']:.3f}  "
            f"cda {batch['cda']:.3f}  {left} left ",
            end="",
            flush=True,
        )

    def _say(self, text):
        if self.verbose:
            clear = "\r\x1b[K" if sys.stdout.isatty() else ""
            print(clear + text, flush=True)


def _clock(seconds):
    """Show seconds as "1 h 05 min", "3 min 20 s" or "12 s"."""
    seconds = int(seconds + 0.5)
    hours, rest = divmod(seconds, 3600)
    minutes, seconds = divmod(rest, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {seconds:02d} s" if minutes else f"{seconds} s"
