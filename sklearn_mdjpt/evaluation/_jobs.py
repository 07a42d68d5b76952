"""Runs independent jobs in parallel, prints progress, and keeps results on disk."""

import io
import tempfile
import time
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from joblib import Parallel, delayed
from sklearn import get_config

from .._io._files import write_file
from .._io._fingerprint import installed_versions
from .._validation import check_path, home_hint, warn


class Job(NamedTuple):
    """A call to compute.

    Attributes
    ----------
    name : str
        Name in the progress lines.
    function : callable
        It returns a dict of arrays, or None.
    args : tuple
        Arguments of the function.
    key : str or None
        Fingerprint of all that the result depends on; None if it is not kept.
    """

    name: str
    function: object
    args: tuple
    key: str | None = None


class JobRunner:
    """Runs jobs, and keeps their results in a folder.

    Parameters
    ----------
    cache_dir : path-like or None
        Folder for results and for weights; None keeps nothing.
    n_jobs : int or None
        Jobs at a time, as in joblib.
    verbose : int
        1 prints a line for each job.

    Attributes
    ----------
    folder : Path or None
        The folder for results and for weights.
    weights_folder : Path
        Folder of encoders; without a cache it is removed at the end.
    checkpoint_dir : Path or None
        Folder from which killed trainings continue; None without a cache.
    """

    def __init__(self, cache_dir, n_jobs, verbose):
        self.n_jobs, self.verbose = n_jobs, verbose
        self.folder = self.checkpoint_dir = self._temporary = None
        if cache_dir is None:
            self._temporary = tempfile.TemporaryDirectory()
            self.weights_folder = Path(self._temporary.name)
            return
        self.folder = check_path(cache_dir, "cache_dir")
        if hint := home_hint(self.folder):
            raise ValueError(
                f"cache_dir={str(cache_dir)!r} would make a folder of that name.{hint}"
            )
        self.checkpoint_dir = self.folder / "checkpoints"
        self.weights_folder = self.folder / "encoders"
        for folder in (self.folder / "results", self.weights_folder):
            folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._temporary is not None:
            self._temporary.cleanup()

    def run(self, jobs):
        """Return the result of each job.

        Parameters
        ----------
        jobs : list of Job
            Jobs whose results are kept already are not run again.

        Returns
        -------
        list of dict of str to ndarray
            In the order of the jobs.
        """
        paths = [self._path(job) for job in jobs]
        results = [None if path is None else _read(path) for path in paths]
        missing = [i for i, result in enumerate(results) if result is None]
        done = len(jobs) - len(missing)
        if self.verbose and done:
            print(f"{done} of {len(jobs)} results are in the cache.", flush=True)
        finished = Parallel(n_jobs=self.n_jobs, return_as="generator_unordered")(
            delayed(_compute)(i, jobs[i].name, jobs[i].function, jobs[i].args, paths[i])
            for i in missing
        )
        for i, result in finished:
            results[i] = result
            done += 1
            if self.verbose:
                seconds = float(result["seconds"])
                print(
                    f"{done}/{len(jobs)}  {jobs[i].name}: {seconds:.1f} s", flush=True
                )
        return results

    def _path(self, job):
        if self.folder is None or job.key is None:
            return None
        return self.folder / "results" / f"{job.key}.npz"


def computed_with():
    """Return the versions and settings that all results depend on."""
    settings = get_config()
    return [
        installed_versions("sklearn_mdjpt", "numpy", "scipy", "sklearn", "torch"),
        [settings[name] for name in ("enable_metadata_routing", "transform_output")],
    ]


def _compute(i, name, function, args, path):
    start = time.perf_counter()
    try:
        result = function(*args) or {}
    except Exception as error:
        error.add_note(f"In {name}.")
        raise
    result["seconds"] = np.array(time.perf_counter() - start)
    if path is not None:
        content = io.BytesIO()
        np.savez(content, **result)
        write_file(path, content.getvalue())
    return i, result


def _read(path):
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except FileNotFoundError:
        return None
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        warn(f"{str(path)!r} cannot be read ({error}); it is computed again.")
        return None
