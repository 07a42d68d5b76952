"""The datasets of a study: read, cleaned, and kept as stores on disk."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from .._io._files import file_digest, file_stamp, write_file
from .._io._fingerprint import fingerprint
from .._validation import as_id, list_some
from ..datasets._local import look_for_files
from ..preprocessing import clean_dataset, read_reports
from ..windows._windows import EEGWindows, concat_windows
from ._noticed import notices_path
from ._readers import STORE, reader_function


@dataclass(frozen=True)
class Opened:
    """A dataset that is there.

    Attributes
    ----------
    entry : Dataset
        Its settings.
    key : str
        Fingerprint of all that the windows depend on.
    windows : EEGWindows
        The windows, mapped from the store.
    cleaning : dict or None
        What cleaning did, in numbers; None if it is not cleaned.
    """

    entry: Any
    key: str
    windows: EEGWindows
    cleaning: dict | None


def dataset_key(study, entry):
    """Return a text that is equal where the windows of an entry would be.

    Of files under ``path`` names, sizes and times of change count, of a store its index
    (which has checksums); open datasets are those that their readers know by digest,
    but for files of another size, which count as those under ``path`` do.
    """
    cleaning = study.cleaning if entry.clean else {}
    cleaning = {name: v for name, v in cleaning.items() if name != "n_jobs"}
    return fingerprint(
        __version__, entry.reader_name, entry.name, entry.options, entry.subjects,
        entry.only, study.windows.seconds, study.windows.stride, entry.clean, cleaning,
        study.general.random_state if entry.reader_name.startswith("make_") else None,
        _files(study, entry),
    )  # fmt: skip


def open_datasets(study, looked, progress, notices):
    """Return datasets of a study; read, clean and keep those that are not there.

    Parameters
    ----------
    study : Study
        The settings.
    looked : list of Looked
        The datasets, as far as their headers go.
    progress : Progress
        Prints what is done.
    notices : Notices
        Collects warnings.

    Returns
    -------
    list of Opened
        In their order.
    """
    found = []
    for one in looked:
        entry, place = one.entry, place_of(study, one.entry, one.key)
        again = place.exists()
        if again:
            n = notices.recall(notices_path(place))
        else:
            what = f"Reading {entry.name} with {entry.reader_name}"
            with (
                progress.step(what),
                notices.during(notices_path(place), entry.name, "reading"),
            ):
                _keep(study, one, place, progress)
        windows = EEGWindows.open(place)
        note = place.with_suffix(".json")
        cleaning = json.loads(note.read_bytes()) if note.exists() else None
        where = ""
        if again:
            where = f" (kept in {place.name}"
            where += f"; {n} thing{'s were' if n > 1 else ' was'} noticed" if n else ""
            where += ")"
        progress.say(f"{entry.name}: {_describe(windows)}{where}.")
        found.append(Opened(entry, one.key, windows, cleaning))
    return found


def stored_bytes(X):
    """Return the bytes of a store of these windows, about."""
    return 4 * sum(
        source.n_channels * source.n_times
        if source.is_continuous
        else int(np.prod(source.shape))
        for source in X.recordings
    )


def join(opened):
    """Return the windows of several datasets as one; None if there is none."""
    parts = [one.windows for one in opened]
    return concat_windows(parts) if parts else None


def read_entry(study, entry, subjects=None):
    """Return the windows of an entry as its reader gives them, not cleaned.

    Parameters
    ----------
    study : Study
        The settings.
    entry : Dataset
        The entry.
    subjects : list, default=None
        Whom to read instead of those that the entry names.
    """
    function = reader_function(entry.reader_name)
    path = None if entry.path is None else study.resolve(entry.path)
    if function is None:
        X = EEGWindows.open(path)
        if len(set(X.groups("dataset"))) == 1:
            X = concat_windows({entry.name: X})
        return _select(X, entry)
    parameters = inspect.signature(function).parameters
    options = dict(entry.options)
    subjects = entry.subjects if subjects is None else subjects
    options["window_seconds"] = study.windows.seconds
    options["stride_seconds"] = study.windows.stride
    if entry.reader_name.startswith("fetch_"):
        options["data_home"] = data_home(study, entry)
        options["download"] = study.general.download
    elif path is not None:
        options["root"] = path
    if "dataset" in parameters:
        options["dataset"] = entry.name
    if "random_state" in parameters:
        options.setdefault("random_state", study.general.random_state)
    if "subjects" in parameters:
        options["subjects"] = subjects
        return function(**options)
    return _select(function(**options), entry)


def data_home(study, entry):
    """Return the folder in which an open dataset is looked for; None: the cache."""
    home = entry.path or study.general.data_home
    return None if home is None else study.resolve(home)


def local_files(study, entry):
    """Return which files of an open dataset are here, as `LocalFiles`."""
    context = {k: v for k, v in entry.options.items() if k == "context"}
    return look_for_files(
        entry.reader_name, entry.subjects, data_home(study, entry), **context
    )


def _select(X, entry):
    """Return the windows of the datasets and people that an entry names."""
    for column, wanted in (("dataset", entry.only), ("subject", entry.subjects)):
        if wanted is None:
            continue
        names = X.metadata[column].map(as_id)
        wanted = [as_id(name) for name in wanted]
        absent = [name for name in wanted if name not in set(names)]
        if absent:
            raise ValueError(
                f"{entry.name} has no {column} {list_some(map(repr, absent))}; it has "
                f"{list_some(dict.fromkeys(names), 20)}."
            )
        X = X[np.isin(names.to_numpy(str), wanted)]
    return X


def _keep(study, one, place, progress):
    """Read a dataset, clean it if asked, and save it; then all of it is there."""
    entry = one.entry
    X = read_entry(study, entry) if one.windows is None else one.windows
    if not len(X):
        raise ValueError(f"{entry.name} has no windows of {study.windows.seconds:g} s.")
    n_bytes = stored_bytes(X)
    progress.say(f"  {len(X)} windows, {n_bytes / 1e9:.2f} GB to decode and write")
    place.parent.mkdir(exist_ok=True)
    if entry.clean:
        options = {"n_jobs": 1} | study.cleaning
        folder = study.folder / "cleaned"
        X = clean_dataset(X, folder, verbose=progress.verbose, **options)
        text = json.dumps(_summary(read_reports(X)))
        write_file(place.with_suffix(".json"), text.encode())
    X.save(place)


def _summary(reports):
    """Return in numbers what cleaning did."""
    channels = [len({entry["channel"] for entry in r.channels}) for r in reports]
    removed = [sum(c["removed"] for c in r.components) for r in reports]
    return {
        "recordings": len(reports),
        "interpolated": float(np.mean(channels)),
        "most_interpolated": int(np.max(channels)),
        "removed": float(np.mean(removed)),
        "components": float(np.mean([len(r.components) for r in reports])),
        "parameters": reports[0].parameters,
        "warnings": sorted({text for r in reports for text in r.warnings}),
    }


def _describe(X):
    return repr(X).partition(": ")[2].rstrip(">")


def place_of(study, entry, key):
    """Return the folder of the store of an entry."""
    name = re.sub(r"[^A-Za-z0-9-]+", "_", entry.name)
    return study.folder / "data" / f"{name}-{key[:12]}"


def _files(study, entry):
    """Return what tells the files of a dataset from other ones."""
    if entry.is_open:
        return _unpublished_files(study, entry)
    if entry.path is None:
        return None
    path = study.resolve(entry.path)
    if entry.reader_name == STORE:
        return file_digest(path / "index.json")
    if path.is_file():
        return file_stamp(path)
    return [
        (file.relative_to(path).as_posix(), *file_stamp(file))
        for file in sorted(path.rglob("*"))
        if file.is_file()
    ]


def _unpublished_files(study, entry):
    """Return what tells the files of an open dataset from the published ones.

    It is the same before a download and after it.
    """
    local = local_files(study, entry)
    unlike = [(name, *file_stamp(file)) for name, file in local.unlike.items()]
    whose = None
    if entry.subjects is None and not study.general.download:
        whose = local.complete
    return (sorted(unlike), whose) if unlike or whose else None
