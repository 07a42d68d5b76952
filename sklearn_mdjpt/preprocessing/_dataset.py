"""Cleaning of all recordings of a dataset, kept on disk recording by recording."""

from __future__ import annotations

import contextlib
import inspect
import os
import shutil
import time
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .._io._files import locked, sync_folder, write_file
from .._io._fingerprint import fingerprint
from .._validation import check_option, check_path, home_hint, join_ids, list_some, warn
from ..windows._content import SignalOf
from ..windows._marks import matching_pieces
from ..windows._recording import Recording
from ..windows._resampling import resampled_length
from ..windows._store import read_store, write_store
from ..windows._windows import EEGWindows
from ._parameters import check_parameters
from ._recording import clean_recording
from ._report import CleaningReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike

# Part of the fingerprint.  Raise it when the same recording and parameters give another
# result, so that results of older versions are not used again.
_METHOD_VERSION = 1
_REPORT = ".json"
# What can be set for all recordings; the signature alone lists it.
_DEFAULTS = {
    name: parameter.default
    for name, parameter in inspect.signature(clean_recording).parameters.items()
    if name not in ("raw", "trials")
}


def clean_dataset(
    X: EEGWindows | Sequence[Recording],
    cache_dir: PathLike,
    *,
    n_jobs: int = 1,
    on_error: Literal["raise", "skip"] = "raise",
    verbose: int = 0,
    **parameters: Any,
) -> EEGWindows:
    """Clean the recordings of a dataset as the paper of mdJPT does, and keep them.

    Each recording goes through `clean_recording` and is written to ``cache_dir``, with
    its report beside it.  What is there already is not computed again, so that a run
    that was interrupted goes on where it was when it is called again.

    Parameters
    ----------
    X : EEGWindows or sequence of Recording
        Continuous recordings, not cleaned.  Recordings are cut into windows of 5 s
        every 2 s.
    cache_dir : str or path-like
        Where the results are kept; made if its parent exists.  Several datasets, and
        several sets of parameters, may share it.
    n_jobs : int, default=1
        Number of processes; each cleans one recording at a time and holds about four
        copies of it in float64.
    on_error : {"raise", "skip"}, default="raise"
        What happens when a recording cannot be cleaned.  "skip" leaves it out, with a
        warning that says why.
    verbose : int, default=0
        Whether to print a line for each recording.
    **parameters
        Parameters of `clean_recording`, all but ``raw`` and ``trials``.

    Returns
    -------
    EEGWindows
        The windows of X, cut from the cleaned recordings, which are mapped from the
        folder: the same rows, metadata and labels, starts and lengths in seconds.

    Raises
    ------
    ImportError
        Before any work, if ICLabel is not installed and ``ica`` is not None.
    TypeError
        If X holds windows that were given as an array, or a parameter is unknown.
    ValueError
        If a parameter is out of range, or a recording cannot be cleaned (with
        ``on_error="skip"``: none can).
    RuntimeError
        If another process is cleaning into the same folder.

    See Also
    --------
    clean_recording : What is done.
    read_reports : The reports of the result.
    EEGWindows.save : Keep the result in a store of its own.

    Notes
    -----
    A result is found by a fingerprint of the samples, channels, rate, positions, trials
    and parameters.  Where one of them differs the recording is cleaned anew, and older
    results stay; labels, subjects and windows do not matter to it.  Results are
    compared with their checksums when they are used again; one that is damaged is
    replaced, with a warning.  The number of jobs does not change them.

    A recording and its report get their names when all of them is on the disk.  What a
    killed run left unfinished is removed by the next one.

    Examples
    --------
    >>> import tempfile
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.preprocessing import clean_dataset
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=2, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     clean = clean_dataset(X, folder, ica=None)
    >>> print(X.sfreq, clean.sfreq, len(X) == len(clean))
    200.0 125.0 True
    """
    from joblib import Parallel, delayed

    check_option(on_error, ("raise", "skip"), "on_error")
    parameters = check_cleaning(parameters)
    X = _check_windows(X)
    folder = check_path(cache_dir, "cache_dir")
    # Absolute, since workers may have other working folders.
    folder = Path(os.path.abspath(folder))
    if not folder.parent.is_dir():
        raise FileNotFoundError(
            f"There is no folder {str(folder.parent)!r}.{home_hint(folder)}"
        )
    folder.mkdir(exist_ok=True)
    blocks = list(X.blocks())
    names = _names([source for source, *_ in blocks])
    done, failed, said = {}, {}, {}
    with _only_one(folder):
        jobs = (
            delayed(_clean_one)(k, source, names[k], folder, parameters, on_error)
            for k, (source, *_) in enumerate(blocks)
        )
        outcomes = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(jobs)
        for number, (k, result, error, messages, text) in enumerate(outcomes, start=1):
            if error is None:
                done[k] = result
            else:
                failed[k] = error
            for message in messages:
                said.setdefault(message, []).append(k)
            if verbose:
                print(
                    f"[{number}/{len(blocks)}] {names[k]}: {error or text}", flush=True
                )
    for message, where in said.items():
        some = list_some(names[k] for k in sorted(where))
        warn(f"{some}: {message}")
    if failed:
        some = "; ".join(f"{names[k]}: {failed[k]}" for k in failed)
        if not done:
            raise ValueError(f"No recording could be cleaned. {some}")
        warn(f"{len(failed)} of {len(blocks)} recordings are left out. {some}")
    paths = {k: folder / result for k, result in done.items()}
    return _cleaned_windows(X, blocks, paths)


def read_reports(X: EEGWindows) -> list[CleaningReport]:
    """Return what cleaning did to the recordings of windows.

    Parameters
    ----------
    X : EEGWindows
        Windows as `clean_dataset` returns them, or some of them.

    Returns
    -------
    list of CleaningReport
        One for each of ``X.recordings``.

    Raises
    ------
    ValueError
        If a recording does not come from `clean_dataset`.
    """
    reports = []
    for k, source in enumerate(X.recordings):
        file = source.filename
        path = None if file is None else _report_path(Path(file).parent)
        if path is None or not path.is_file():
            raise ValueError(
                f"{_whose(source, k)} does not come from clean_dataset: there is no "
                f"report {str(path) if path else 'of a recording in memory'!r}."
            )
        reports.append(CleaningReport.from_json(path.read_bytes()))
    return reports


def check_cleaning(parameters):
    """Return all parameters of `clean_recording`, the given ones checked.

    Raises
    ------
    TypeError
        If one is unknown.
    ValueError
        If one is out of range.
    ImportError
        If a package that the ICA needs is not installed.
    """
    unknown = [name for name in parameters if name not in _DEFAULTS]
    if unknown:
        raise TypeError(
            f"clean_recording has no parameters {list_some(unknown)} to set here; it "
            f"has {list_some(_DEFAULTS, 20)}."
        )
    return check_parameters(_DEFAULTS | parameters)


# One recording ----------------------------------------------------------------------


def _clean_one(k, source, whose, folder, parameters, on_error):
    """Clean a recording, unless that has been done.

    Returns
    -------
    k, name : int and str
        Which recording, and the folder of the result.
    error : str or None
        Why there is none.
    messages : list of str
        What was warned of.
    text : str
        A line for the user.
    """
    start = time.perf_counter()
    messages = []
    try:
        name = _fingerprint(source, parameters)
        target = folder / name
        report = _read_result(target, messages)
        again = report is not None
        if not again:
            report = _make_result(source, target, parameters)
    # MNE, the ICA and ICLabel raise errors of many kinds; with "skip" one recording
    # must not end the others.
    except Exception as error:
        if on_error == "raise":
            if isinstance(error, ImportError | MemoryError):
                raise
            kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
            raise ValueError(f"{whose}: {kind}{error}") from error
        return k, None, f"{type(error).__name__}: {error}", messages, ""
    finally:
        source.close_file()
    text = f"{report!r}"[1:-1].removeprefix("CleaningReport: ")
    seconds = time.perf_counter() - start
    text += ", done before" if again else f", {seconds:.0f} s"
    return k, name, None, [*messages, *report.warnings], text


def _make_result(source, target, parameters):
    """Clean a recording and write the result and its report."""
    with warnings.catch_warnings():
        # Workers cannot warn the user; `clean_dataset` does, with those of the report.
        warnings.simplefilter("ignore")
        raw, report = clean_recording(
            source.to_raw(),
            trials=source.trials[["trial", "start", "stop"]],
            **parameters,
        )
    signal = raw.get_data().astype(np.float32)
    picks = [source.ch_names.index(name) for name in raw.ch_names]
    clean = Recording(
        signal,
        raw.ch_names,
        raw.info["sfreq"],
        positions=None if source.positions is None else source.positions[picks],
    )
    write_file(_report_path(target), report.to_json().encode())
    place = (np.zeros(1, np.int64), np.zeros(1, np.int64), np.ones(1, np.int64))
    # A worker that outlived its killed run may have written the same result.
    with contextlib.suppress(FileExistsError):
        write_store(target, [clean], place, pd.DataFrame({"onset": [0.0]}))
    return report


def _read_result(target, messages):
    """Return the report of a result; None if the result is missing or damaged."""
    path = _report_path(target)
    if not target.exists():
        return None
    try:
        read_store(target, verify=True)
        return CleaningReport.from_json(path.read_bytes())
    except (ValueError, OSError) as error:
        messages.append(f"It has been cleaned again, as the result was lost: {error}")
    shutil.rmtree(target)
    path.unlink(missing_ok=True)
    sync_folder(target.parent)
    return None


def _report_path(target):
    return target.with_name(target.name + _REPORT)


def _fingerprint(source, parameters):
    """Return a name that is equal where the result would be."""
    names = source.trials["trial"].tolist()
    return fingerprint(_METHOD_VERSION, parameters, names, SignalOf(source))


# All of them ------------------------------------------------------------------------


def _check_windows(X):
    if isinstance(X, Recording):
        X = [X]
    if not isinstance(X, EEGWindows):
        if isinstance(X, str | os.PathLike):
            raise TypeError(
                "X must be an EEGWindows or a sequence of Recording, got the path "
                f"{str(X)!r}; cache_dir is the second argument."
            )
        X = EEGWindows.from_recordings(X)
    if not len(X):
        raise ValueError("X holds no windows.")
    stacks = [source for source in X.recordings if not source.is_continuous]
    if stacks:
        raise TypeError(
            f"{len(stacks)} of {len(X.recordings)} recordings of X are windows that "
            "were given as arrays or Epochs; filters and ICA need continuous "
            "recordings (EEGWindows.from_recordings)."
        )
    return X


def _cleaned_windows(X, blocks, paths):
    """Return the windows of X, cut from the results where there are any."""
    index = np.full(len(X), -1)
    starts, lengths = np.zeros(len(X), np.int64), np.zeros(len(X), np.int64)
    sources = []
    for k, (source, rows, old_starts, old_lengths) in enumerate(blocks):
        if k not in paths:
            continue
        clean = read_store(paths[k])[0][0]
        for name in ("dataset", "subject", "session", "trials", "bad_spans", "cuts"):
            setattr(clean, name, getattr(source, name))
        index[rows] = len(sources)
        pieces = matching_pieces(
            source.cuts, source.sfreq, source.n_times, clean.sfreq, clean.n_times
        )
        piece = np.searchsorted(pieces[:, 0], old_starts, side="right") - 1
        first, _, new_first, new_end = pieces[piece].T
        new = resampled_length(old_lengths, source.sfreq, clean.sfreq)
        lengths[rows] = np.minimum(new, new_end - new_first)
        new = resampled_length(old_starts - first, source.sfreq, clean.sfreq)
        starts[rows] = np.minimum(new_first + new, new_end - lengths[rows])
        sources.append(clean)
    kept = index >= 0
    metadata = X.metadata[kept].reset_index(drop=True)
    return EEGWindows(sources, index[kept], starts[kept], lengths[kept], metadata)


def _names(sources):
    """Name recordings for the user, each one differently."""
    names = [_whose(source, k) for k, source in enumerate(sources)]
    return [
        name if names.count(name) == 1 else f"{name}, recording {k}"
        for k, name in enumerate(names)
    ]


def _whose(source, k):
    """Name a recording for the user."""
    parts = (source.dataset, source.subject, source.session)
    parts = [part for part in parts if part is not None]
    return join_ids(*parts) if parts else f"recording {k}"


@contextlib.contextmanager
def _only_one(folder):
    """Hold the folder's lock, and remove what killed processes left behind."""

    def refuse():
        raise RuntimeError(
            f"Another process is cleaning into {str(folder)!r}; wait for it, or give "
            "another folder. n_jobs= uses several processes."
        )

    with locked(folder / ".lock", refuse) as alone:
        if not alone:
            yield
            return
        _remove_unfinished(folder)
        try:
            yield
        except BaseException:
            # The error has ended the other workers in the middle of their files.
            _remove_unfinished(folder)
            raise


def _remove_unfinished(folder):
    for path in folder.glob(".*.part"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
