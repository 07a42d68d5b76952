"""Files of public datasets: found where the user has them, or downloaded and checked.

Pooch looks after the checksums, and moves a file to its name only when it is whole and
right.  What pooch lacks is here: a transfer that goes on where it was cut off, several
transfers at once, and one progress bar for all.
"""

import csv
import errno
import os
import shutil
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

from .._io._files import locked
from .._validation import check_path, list_some, warn

DATA_VARIABLE = "SKLEARN_MDJPT_DATA"
"""The environment variable that names a folder in which datasets are looked for."""

_TRANSFERS = 4  # at once
_ATTEMPTS = 5  # in a row that bring no byte
_WAIT_SECONDS = 1.0  # before the second attempt; each further one waits longer
_TIMEOUT = (15, 60)  # seconds to connect, and between two pieces of a file
_PIECE_BYTES = 2**16
_BEYOND_THE_END = 416  # a status of HTTP
_UNFINISHED = ".part"


class PublishedFile(NamedTuple):
    """A line of a manifest."""

    n_bytes: int
    digest: str
    """The algorithm, a colon, and the hexadecimal digest."""


@dataclass(frozen=True)
class PublicDataset:
    """A dataset that anybody may download.

    Attributes
    ----------
    name : str
        As in the column ``dataset``.
    key : str
        Its number in the archive, and the name of its folder.
    base_url : str
        What the path of each file is joined to.
    """

    name: str
    key: str
    base_url: str

    @cached_property
    def manifest(self):
        """The files that are used here: dict of path in the dataset to PublishedFile.

        Other files of the dataset are not needed, and never downloaded.
        """
        table = files(__package__) / "manifests" / f"{self.key}.tsv"
        with table.open(encoding="ascii", newline="") as lines:
            return {
                row["path"]: PublishedFile(int(row["bytes"]), row["digest"])
                for row in csv.DictReader(lines, delimiter="\t")
            }

    def places(self, data_home):
        """Return the folders that may hold the dataset, the first to look in first."""
        roots = [data_home, os.environ.get(DATA_VARIABLE)]
        found = []
        for root in filter(None, roots):
            root = Path(root).expanduser()
            # A folder may be named after the dataset as well: "faced_nm000112".
            inner = [*root.glob(f"*{self.key}*"), *root.glob(f"*/*{self.key}*")]
            own = [root] if self.key in root.name else []
            found += own + sorted(path for path in inner if path.is_dir())
        return list(dict.fromkeys([*found, self.target(data_home)]))

    def target(self, data_home):
        """Return the folder that files are downloaded to."""
        if data_home is None:
            import pooch

            return Path(pooch.os_cache("sklearn_mdjpt")) / self.key
        root = Path(data_home).expanduser()
        return root if self.key in root.name else root / self.key


PUBLIC_DATASETS = {
    dataset.name: dataset
    for dataset in (
        PublicDataset("FACED", "nm000112", "https://data.nemar.org/nm000112/"),
        PublicDataset(
            "EmoEEG-MC",
            "ds005540",
            "https://s3.amazonaws.com/openneuro.org/ds005540/",
        ),
        PublicDataset(
            "DENS", "ds003751", "https://s3.amazonaws.com/openneuro.org/ds003751/"
        ),
    )
}
"""Where each dataset lies; the one place where an address is changed."""


def fetch_files(
    dataset,
    wanted,
    *,
    required,
    data_home=None,
    download=True,
    base_url=None,
    progress=True,
    other_names=lambda path: (),
):
    """Return the files of subjects, after downloading those that are missing.

    Parameters
    ----------
    dataset : PublicDataset
        The dataset.
    wanted : dict of str to list of str
        The files of each subject, by their paths in the dataset.
    required : bool
        Whether the subjects were asked for by name, so that a missing file is an error.
    data_home : path-like, default=None
        Folder to look in first, and to download to.
    download : bool, default=True
        Whether missing files are downloaded.
    base_url : str, default=None
        Another address than that of the dataset.
    progress : bool, default=True
        Whether the size is said before a download, and a bar is shown.
    other_names : callable
        Takes the path of a file, and returns further ones at which it may lie in the
        user's folder; by default none.

    Returns
    -------
    dict of str to dict of str to Path
        For each subject that has all its files: path in the dataset -> file.

    Raises
    ------
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or no
        subject has all.
    OSError
        If a download fails for good.
    """
    if data_home is not None:
        data_home = check_path(data_home, "data_home")
    places = dataset.places(data_home)
    found = {
        path: file
        for paths in wanted.values()
        for path in paths
        if (file := find_file((path, *other_names(path)), places)) is not None
    }
    if download:
        missing = [p for paths in wanted.values() for p in paths if p not in found]
        found |= download_files(
            dataset,
            missing,
            dataset.target(data_home),
            base_url=base_url,
            progress=progress,
        )
    complete = {
        subject: {path: found[path] for path in paths}
        for subject, paths in wanted.items()
        if all(path in found for path in paths)
    }
    lacking = [subject for subject in wanted if subject not in complete]
    if lacking and (required or not complete):
        first = next(p for p in wanted[lacking[0]] if p not in found)
        who = f"Subjects {list_some(lacking)} of" if required else "No subject of"
        raise FileNotFoundError(
            f"{who} {dataset.name} {'lack a file' if required else 'has all files'}: "
            f"looked for {first} and the like in {list_some(map(str, places))}. Use "
            f"download=True to fetch them, or set data_home or {DATA_VARIABLE} to the "
            f"folder that holds {dataset.key!r}. Complete: "
            f"{list_some(complete) or 'none of those asked for'}."
        )
    _check_sizes(dataset, complete)
    return complete


def find_file(paths, places):
    """Return the first of some paths that is a file in a folder, or None."""
    for place in places:
        for path in paths:
            if (place / path).is_file():
                return place / path
    return None


def _check_sizes(dataset, found):
    """Warn of files that cannot be the published ones; they are used as they are."""
    sizes = {
        path: (file.stat().st_size, dataset.manifest[path].n_bytes)
        for paths in found.values()
        for path, file in paths.items()
    }
    other = [
        f"{path} ({_spell(found)}, published {_spell(published)})"
        for path, (found, published) in sizes.items()
        if found != published
    ]
    if other:
        warn(
            f"{len(other)} files of {dataset.name} differ in size from the published "
            f"ones and are used as they are: {list_some(other, 3)}. A smaller one may "
            "be a copy that was cut short; remove it to have it downloaded again."
        )


# Downloading ---------------------------------------------------------------------


def download_files(dataset, paths, folder, *, base_url=None, progress=True):
    """Download files, several at once; each is checked before it gets its name.

    Parameters
    ----------
    dataset : PublicDataset
        The dataset.
    paths : sequence of str
        What to download: paths in its manifest.
    folder : Path
        Where the dataset's folders are made.
    base_url : str, default=None
        Another address than that of the dataset.
    progress : bool, default=True
        Whether the size is said before, and a bar is shown, on standard error.

    Returns
    -------
    dict of str to Path

    Raises
    ------
    OSError
        If there is no room, no network, or a server refuses; what has come of a file
        is kept, so that the next call goes on from there.
    """
    if not paths:
        return {}
    import pooch
    from tqdm import tqdm

    paths = list(dict.fromkeys(paths))
    address = (base_url or dataset.base_url).rstrip("/") + "/"
    _make_folder(folder)
    sizes = {path: dataset.manifest[path].n_bytes for path in paths}
    there = sum(min(unfinished_bytes(folder / p), sizes[p]) for p in paths)
    total = sum(sizes.values())
    _check_room(folder, total - there)
    if progress:
        print(
            f"Downloading {len(paths)} files of {dataset.name}, {_spell(total)}"
            f"{f' ({_spell(there)} of it is there)' if there else ''}, from {address} "
            f"to {folder}.",
            file=sys.stderr,
        )
    store = pooch.create(
        folder,
        address,
        registry={path: dataset.manifest[path].digest for path in paths},
    )
    bar = tqdm(
        total=total,
        initial=there,
        unit="B",
        unit_scale=True,
        disable=not progress,
        desc=dataset.name,
    )
    transfer = _Transfer(bar)

    def fetch(path):
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        lock = file.with_name(f".{file.name}.lock")
        with locked(lock, on_wait=lambda: None):
            if not file.is_file():  # another process may have brought it meanwhile
                _fetch_one(store, path, sizes[path], transfer)
        return path, file

    # Pooch announces each file; the bar tells more.
    level = pooch.get_logger().level
    pooch.get_logger().setLevel("WARNING")
    with ThreadPoolExecutor(_TRANSFERS) as pool, bar:
        tasks = [pool.submit(fetch, path) for path in paths]
        try:
            return dict(task.result() for task in tasks)
        except BaseException:
            transfer.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        finally:
            pooch.get_logger().setLevel(level)


def _fetch_one(store, path, n_bytes, transfer):
    """Bring one file, and say in words what went wrong if it does not come."""
    url = store.get_url(path)
    file = Path(store.abspath) / path

    def bring(url, temporary, _):
        transfer.bring(url, _unfinished(file), n_bytes)
        os.replace(_unfinished(file), temporary)

    try:
        store.fetch(path, downloader=bring)
    except ValueError as error:  # pooch has removed the file
        raise OSError(
            f"{url} is not the file that was published: {error} It was not kept. The "
            "dataset may have a newer version, or something on the way replaced the "
            "file."
        ) from error
    except OSError as error:
        kept = _size(_unfinished(file))
        reason = error.strerror or error
        raise OSError(
            error.errno,
            f"Could not download {url}: {reason}. {_spell(kept)} of {_spell(n_bytes)} "
            f"are kept, and the next call goes on from there. You can also put the "
            f"file to {str(file)!r} by hand",
        ) from error


class _Transfer:
    """Transfers that share a progress bar and end together.

    Parameters
    ----------
    bar : tqdm
        Counts bytes.
    """

    def __init__(self, bar):
        self.stopped = threading.Event()
        self._bar = bar
        self._lock = threading.Lock()

    def bring(self, url, file, n_bytes):
        """Append what is missing to a file, over as many connections as it takes."""
        import requests

        failures, most = 0, _size(file)
        while (start := _size(file)) != n_bytes:
            if start > n_bytes:  # the rest of another version
                file.unlink()
                self._count(-start)
                continue
            try:
                self._append(url, file, start)
                reason = f"the server ended after {_size(file)} of {n_bytes} bytes"
            except requests.HTTPError as error:
                reason = str(error)
                if error.response.status_code == _BEYOND_THE_END and start:
                    file.unlink()  # what came before was of another file
                    self._count(-start)
                elif error.response.status_code < 500:
                    raise OSError(errno.EIO, reason) from error
            except requests.RequestException as error:
                reason = str(error)
            # A connection that brought something may be tried again at once.
            failures = 0 if _size(file) > most else failures + 1
            most = max(most, _size(file))
            if failures == _ATTEMPTS:
                raise OSError(errno.EIO, reason)
            if failures:
                self.stopped.wait(_WAIT_SECONDS * failures)
            if self.stopped.is_set():
                raise OSError(errno.EINTR, "another file failed")

    def _append(self, url, file, start):
        """Ask for the bytes from a place on, and write what comes."""
        import requests

        # Compressed pieces could not be joined.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(
            url, headers=headers, stream=True, timeout=_TIMEOUT
        ) as response:
            response.raise_for_status()
            goes_on = response.headers.get("Content-Range", "").startswith(
                f"bytes {start}-"
            )
            if start and not goes_on:  # a server that sends whole files only
                self._count(-start)
            with open(file, "ab" if start and goes_on else "wb") as out:
                for piece in response.iter_content(_PIECE_BYTES):
                    if self.stopped.is_set():
                        return
                    out.write(piece)
                    self._count(len(piece))

    def _count(self, n_bytes):
        with self._lock:
            self._bar.update(n_bytes)


def _unfinished(file):
    """Return the name of a file that has not come to its end."""
    return file.with_name(file.name + _UNFINISHED)


def unfinished_bytes(file):
    """Return the bytes that a download that was cut off has left of a file."""
    return _size(_unfinished(file))


def _size(file):
    return file.stat().st_size if file.exists() else 0


def _make_folder(folder):
    """Make a folder; raise if nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(
            error.errno,
            f"Nothing can be downloaded to this folder ({error.strerror}); choose "
            "another data_home",
            str(folder),
        ) from error


def _check_room(folder, n_bytes):
    free = shutil.disk_usage(folder).free
    if free < n_bytes:
        raise OSError(
            errno.ENOSPC,
            f"No room for the download: it takes {_spell(n_bytes)}, and "
            f"{_spell(free)} are free. Choose another data_home, or fewer subjects",
            str(folder),
        )


def _spell(n_bytes):
    for unit in ("B", "kB", "MB"):
        if n_bytes < 1000:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.1f} GB"
