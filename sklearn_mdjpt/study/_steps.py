"""What the steps of a study share: one process at a time, and lines of progress."""

import contextlib
import shutil
import time

from .._io._files import locked
from ..encoder._progress import clock


@contextlib.contextmanager
def folder_of(study):
    """Make the folder of a study, keep other processes out, and yield it.

    What a killed process left unfinished is removed.

    Raises
    ------
    BlockingIOError
        If another process works in it.
    """
    folder = study.folder
    if not folder.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(folder.parent)!r}.")
    folder.mkdir(exist_ok=True)

    def refuse():
        raise BlockingIOError(
            f"Another process works in {str(folder)!r}; wait for it, or give this "
            "study another folder."
        )

    with locked(folder / ".lock", refuse) as alone:
        if alone:
            for path in folder.glob("data/.*.part"):
                shutil.rmtree(path, ignore_errors=True)
        yield folder


class Progress:
    """Lines of progress, with the time that is left.

    Parameters
    ----------
    verbose : int
        0 prints nothing.
    """

    def __init__(self, verbose):
        self.verbose = verbose

    def say(self, text):
        """Print a line."""
        if self.verbose:
            print(text, flush=True)

    @contextlib.contextmanager
    def step(self, text):
        """Print a line where a step begins, and one with its time where it ends."""
        self.say(f"{text} ...")
        start = time.perf_counter()
        yield
        self.say(f"  done in {clock(time.perf_counter() - start)}.")

    def counted(self, jobs, name):
        """Yield jobs, and print a line after each with the time that is left.

        Parameters
        ----------
        jobs : list
            What is to be done; each is about as long as another.
        name : callable
            Returns what a job is called.
        """
        start = time.perf_counter()
        for k, job in enumerate(jobs, start=1):
            began = time.perf_counter()
            yield job
            now = time.perf_counter()
            left = (now - start) / k * (len(jobs) - k)
            ahead = f", about {clock(left)} left" if k < len(jobs) else ""
            self.say(f"  {k}/{len(jobs)}  {name(job)}: {clock(now - began)}{ahead}")
