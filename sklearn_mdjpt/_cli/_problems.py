"""What is wrong with recordings of a batch: always said with the recording's name."""

import contextlib
import warnings

from .._validation import warn


class Problems:
    """Ends the batch at the first problem, or notes all of them.

    Parameters
    ----------
    on_error : {"stop", "skip"}
        What a problem does.

    Attributes
    ----------
    reasons : dict of str to str
        What is wrong with each recording that is left out.
    """

    def __init__(self, on_error):
        self.on_error = on_error
        self.reasons = {}

    def add(self, name, error):
        """Note an error or a reason; raise ValueError, with the name, to stop."""
        # Errors of other libraries may be of any type, and say nothing.
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, MemoryError):
            reason = f"there is not enough memory ({reason})"
        reason = reason if reason.endswith(".") else f"{reason}."
        if self.on_error == "skip":
            self.reasons[name] = reason
            return
        text = reason if name in reason else f"{name}: {reason}"
        cause = error if isinstance(error, BaseException) else None
        raise ValueError(f"{text} --on-error skip leaves it out.") from cause

    @contextlib.contextmanager
    def of(self, name):
        """Note what goes wrong inside; warnings get the name too."""
        try:
            with warnings_of(name):
                yield
        except Exception as error:
            self.add(name, error)


@contextlib.contextmanager
def warnings_of(name):
    """Put a name before warnings that come from inside and do not have it."""
    with warnings.catch_warnings(record=True) as said:
        try:
            yield
        finally:
            texts = [(str(one.message), one.category) for one in said]
    for text, category in texts:
        warn(text if name in text else f"{name}: {text}", category)
