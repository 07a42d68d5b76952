"""Errors and warnings about recordings: each is given with the recording's name."""

import contextlib
import warnings

from .._validation import warn


class Problems:
    """Ends the command at the first problem, or collects all problems.

    Parameters
    ----------
    on_error : {"stop", "skip"}
        What to do with a problem.

    Attributes
    ----------
    reasons : dict of str to str
        The problem of each recording that is left out.
    """

    def __init__(self, on_error):
        self.on_error = on_error
        self.reasons = {}

    def add(self, name, error):
        """Collect an error (or a reason), or raise ValueError with the name."""
        # Errors of other libraries may have any type, and no message.
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            reason = f"there is not enough memory ({reason})"
        reason = f"{reason.removesuffix('.')}."
        if self.on_error == "skip":
            self.reasons[name] = reason
            return
        text = reason if name in reason else f"{name}: {reason}"
        cause = error if isinstance(error, BaseException) else None
        raise ValueError(f"{text} --on-error skip leaves it out.") from cause

    @contextlib.contextmanager
    def catch(self, name):
        """Add an error from inside, and put the name before warnings."""
        try:
            with named_warnings(name):
                yield
        except Exception as error:
            self.add(name, error)


@contextlib.contextmanager
def named_warnings(name):
    """Put a name before the warnings from inside that do not have it."""
    with warnings.catch_warnings(record=True) as caught:
        try:
            yield
        finally:
            texts = [(str(warning.message), warning.category) for warning in caught]
    for text, category in texts:
        warn(text if name in text else f"{name}: {text}", category)
