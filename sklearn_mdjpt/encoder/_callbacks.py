"""Callbacks as a parameter: each training gets copies as far as they can be made.

Callbacks have a state (patience, counts), which must not go from one training into the
next: each clone and each fit has copies.  Loggers hold what cannot be copied, such as
an open file or a connection.  That alone is shared: a copied
``TensorBoard(writer)`` writes to the same writer.  Loggers of skorch that are open are
left out of pickles of what is fitted.
"""

import copy
import pickle

import numpy as np
from joblib import wrap_non_picklable_objects
from skorch.callbacks import WandbLogger

from .._io._pickles import VersionedPickle
from .._validation import warn
from ._checkpoints import can_hold

_LOGGERS = "skorch.callbacks.logging"


def copy_callbacks(callbacks):
    """Return copies for a training; raise if one of them is no callback.

    Parameters
    ----------
    callbacks : list or None
        Of skorch callbacks, or of pairs of name and callback.

    Returns
    -------
    list
        Their attributes are copied as well; one that cannot be is the same object in
        the copy.
    """
    if callbacks is None:
        return []
    if isinstance(callbacks, str) or not np.iterable(callbacks):
        raise TypeError(
            f"callbacks must be a list of skorch callbacks, got {callbacks!r}."
        )
    callbacks = list(callbacks)
    for callback in callbacks:
        if not hasattr(bare(callback), "on_train_begin"):
            raise TypeError(
                f"callbacks must be a list of skorch callbacks, got "
                f"{bare(callback)!r} in it."
            )
    return _copied(callbacks, {})


class SharesLoggers(VersionedPickle):
    """Estimator that may have callbacks that cannot be copied."""

    def __sklearn_clone__(self):
        # scikit-learn copies parameters as a whole, or fails.
        alone = object.__new__(type(self))
        alone.__dict__.update(vars(self), callbacks=None)
        twin = super(SharesLoggers, alone).__sklearn_clone__()
        twin.callbacks = _copied(self.callbacks, {})
        return twin

    def __getstate__(self):
        state = super().__getstate__()
        fitted = hasattr(self, "module_")
        lost = _unpicklable(self.callbacks, fitted)
        if not lost:
            return state
        if not fitted:  # on its way to be fitted elsewhere
            raise TypeError(
                "These callbacks cannot go to another process or into a pickle: "
                f"{'; '.join(lost.values())}. Let them open files and connections in "
                "on_train_begin, or take n_jobs=1."
            )
        warn(
            f"These callbacks are left out of the copy or pickle of a fitted "
            f"{type(self).__name__}: {'; '.join(lost.values())}.",
        )
        return state | {"callbacks": _without(self.callbacks, lost)}


class LeavesLoggersOut:
    """skorch net with callbacks that log; its pickles leave them out."""

    def initialize_callbacks(self):
        """Make the callbacks ready; a logger saves no best model without a loss."""
        super().initialize_callbacks()
        if self.train_split is not None:
            return self
        for _, callback in self.callbacks_:
            # It would look for the loss on a validation set.
            if isinstance(callback, WandbLogger) and callback.save_model:
                callback.save_model = False
                warn(
                    "WandbLogger saves no best model: there is no validation set that "
                    "says which one is best. Pass save_model=False, and log what is "
                    "saved after fit as an artifact."
                )
        return self

    def __getstate__(self):
        # The estimator that owns the net warns of them.
        state = super().__getstate__()
        for name in ("callbacks", "callbacks_"):
            lost = _unpicklable(state.get(name), fitted=True)
            if lost:
                state[name] = _without(state[name], lost)
        return state


def bare(callback):
    """Return a callback without its name."""
    return callback[-1] if isinstance(callback, tuple) and callback else callback


def _copied(value, memo):
    """Return a copy that shares the parts that cannot be copied.

    Lists, tuples and callbacks are taken apart.  ``memo`` holds what was copied, as in
    `copy.deepcopy`: what two callbacks share, their copies share.
    """
    trial = dict(memo)  # a failure would leave halves of copies in it
    try:
        copied = copy.deepcopy(value, trial)
    except Exception:
        return _copied_in_parts(value, memo)
    memo.update(trial)
    return copied


def _copied_in_parts(value, memo):
    if type(value) in (list, tuple):
        return type(value)([_copied(part, memo) for part in value])
    if id(value) in memo:
        return memo[id(value)]
    twin = value
    if hasattr(value, "on_train_begin"):
        try:
            twin = copy.copy(value)
        except Exception:
            twin = value  # shared, with its state
    memo[id(value)] = twin
    if twin is not value:
        for name, part in getattr(value, "__dict__", {}).items():
            vars(twin)[name] = _copied(part, memo)
    return twin


def is_logger(callback):
    """Whether a callback, perhaps with its name, is one of skorch's that only log."""
    return type(bare(callback)).__module__ == _LOGGERS


def _unpicklable(callbacks, fitted):
    """Return the callbacks that a pickle cannot hold, by place, and why.

    Parameters
    ----------
    callbacks : list or None
        Of callbacks.
    fitted : bool
        Whether the training is over.  What a logger writes to, such as a run of
        Weights & Biases, is then of no use in a pickle, and may not be found again by
        the process that loads it.
    """
    found = {}
    for k, callback in enumerate(callbacks if isinstance(callbacks, list) else ()):
        reason = None
        try:
            # joblib sends functions, too, that pickle does not.
            pickle.dumps(wrap_non_picklable_objects(callback))
        except Exception as error:
            reason = str(error)
        if reason is None and fitted:
            held = _open_in(bare(callback))
            if held:
                reason = f"its {held} belongs to the process that opened it"
        if reason is not None:
            found[k] = f"{type(bare(callback)).__name__} ({reason})"
    return found


def _open_in(callback):
    """Return the name of what a logger of skorch writes to; None if there is none."""
    if not any(base.__module__ == _LOGGERS for base in type(callback).__mro__):
        return None
    state = callback.__getstate__()
    for name, value in state.items() if isinstance(state, dict) else ():
        if not (can_hold(value) or callable(value)):
            return name
    return None


def _without(callbacks, lost):
    return [callback for k, callback in enumerate(callbacks) if k not in lost]
