"""The settings of a study: the sections of its file, read and checked."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .._validation import check_path, home_hint
from ._keys import (
    REQUIRED,
    key,
    keys_of_class,
    keys_of_function,
    read_keys,
    suggest,
)
from ._methods import METHODS
from ._readers import OF_STUDY, OPEN, READERS, reader_function, reader_of

if TYPE_CHECKING:
    from .._typing import PathLike

# A study trains on windows that know their people, on this machine, in its own folder.
_NOT_OF_ENCODER = (
    "ch_names", "sfreq", "checkpoint_dir", "accelerate", "callbacks", "random_state",
    "verbose",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class General:
    """Section [study]."""

    title: str | None = key(None, "title of the report; none: the file's name")
    folder: str | None = key(
        None,
        "folder of all results; none: beside the file, and named as the file is",
    )
    data_home: str | None = key(
        None,
        "where open datasets are, or are downloaded to; none: the system's cache",
    )
    download: bool = key(
        True,
        "whether what is missing of open datasets is downloaded; false: their people "
        "are those whose files are here",
    )
    random_state: int = key(0, "seeds encoder, splits and simulated data", least=0)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """An entry of [[datasets]].  Further keys are those of its reader."""

    name: str = key(
        REQUIRED,
        "a dataset that is known by name (see below), or a name of your own",
    )
    reader: str | None = key(
        None,
        "a function of `sklearn_mdjpt.datasets`, or store: a folder of "
        "`EEGWindows.save`; none: that of the name",
    )
    path: str | None = key(
        None, "the folder of the dataset; of open ones it takes the place of data_home"
    )
    role: Literal["source", "target"] = key(
        "source", "source: encoders are trained on it; target: it is tested on alone"
    )
    clean: bool = key(False, "whether its recordings are cleaned (section cleaning)")
    subjects: list[int | str] | None = key(None, "people to take; none: all")
    only: list[str] | None = key(
        None, "datasets to take out of a store, or of simulated ones; none: all"
    )
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def reader_name(self):
        """The name of the reader, whoever gave it."""
        return self.reader or reader_of(self.name)

    @property
    def is_open(self):
        """Whether anybody may download it."""
        return self.reader_name in OPEN


@dataclass(frozen=True, kw_only=True)
class Windows:
    """Section [windows]; a store keeps its own windows."""

    seconds: float = key(5.0, "length of a window in seconds", above=0)
    stride: float = key(2.0, "seconds from one window to the next", above=0)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Section [evaluation]."""

    protocols: list[Literal["few_shot", "zero_shot", "leave_subjects_out"]] | None = (
        key(
            None,
            "how to test; none: few_shot and zero_shot, or with one dataset alone "
            "leave_subjects_out",
        )
    )
    methods: list[str] = key(
        ("mdjpt", "shared", "entropy", "entropy-subject", "tangent-subject"),
        "what is compared (see below); the default is without shared for one dataset",
    )
    networks: list[str] = key(
        (), "networks of braindecode to compare with, such as EEGNet (slow)"
    )
    reference: str | None = key(
        None,
        "the method that others are compared with; none: entropy-subject, or the last",
    )
    labels: Literal["own", "valence"] = key(
        "own", "own: as the dataset has them; valence: negative, neutral or positive"
    )
    smoothing: Literal["lds"] | None = key(
        None, "lds: features are smoothed along trials, which must be known"
    )
    train_size: float = key(
        0.25, "few_shot: share (below 1) or number of people to learn from", above=0
    )
    n_splits: int | None = key(
        None,
        "few_shot: random splits; none: 6, or as many as there are with few people",
        least=1,
    )
    n_folds: int | None = key(
        None,
        "leave_subjects_out: groups of people; none: 5, or one for each of few people",
        least=2,
    )
    n_jobs: int = key(1, "splits to compute at a time")

    @property
    def reference_title(self):
        """The method that others are compared with, as tables name it."""
        usual = "entropy-subject" if "entropy-subject" in self.methods else None
        return METHODS[self.reference or usual or self.methods[-1]].title


@dataclass(frozen=True, kw_only=True)
class Card:
    """Section [card]: what the weights' card says."""

    repo_id: str | None = key(
        None, "user/name of the repository that the weights are for"
    )
    license: str | None = key(None, "licence as the Hub abbreviates it (cc-by-4.0)")
    anonymous: bool | None = key(
        None,
        "whether the people, and in the card the sources, stay unnamed; none: unless "
        "all of them are open",
    )


_SECTIONS = {
    "study": General, "windows": Windows, "evaluation": Evaluation, "card": Card,
}  # fmt: skip
_OTHERS = ("datasets", "cleaning", "encoder")


@dataclass(frozen=True, kw_only=True)
class Study:
    """The settings of a study, checked.

    `read_study` makes it.

    Parameters
    ----------
    path : Path
        The file.
    general : object
        Section ``[study]``, by attributes that are named as its keys.
    datasets : tuple
        The entries of ``[[datasets]]``; ``options`` of each are those of its reader.
    windows : object
        Section ``[windows]``.
    cleaning : dict
        The keys of ``[cleaning]`` that are given.
    encoder : dict
        The keys of ``[encoder]`` that are given.
    evaluation : object
        Section ``[evaluation]``.
    card : object
        Section ``[card]``.
    """

    path: Path
    general: Any
    datasets: tuple[Any, ...]
    windows: Any
    cleaning: dict[str, Any]
    encoder: dict[str, Any]
    evaluation: Any
    card: Any

    @property
    def title(self) -> str:
        """The title of the report."""
        return self.general.title or self.path.stem

    @property
    def folder(self) -> Path:
        """Where the results are."""
        return self.resolve(self.general.folder or self.path.stem)

    def resolve(self, path: PathLike) -> Path:
        """Return a path that the file names.

        Parameters
        ----------
        path : str or path-like
            Relative to the file's folder; "~" is the user's home.

        Returns
        -------
        Path
            The path.
        """
        return self.path.parent / Path(path).expanduser()

    @property
    def sources(self) -> tuple[Any, ...]:
        """The entries whose role is "source"."""
        return tuple(entry for entry in self.datasets if entry.role == "source")

    @property
    def targets(self) -> tuple[Any, ...]:
        """The entries whose role is "target"."""
        return tuple(entry for entry in self.datasets if entry.role == "target")


def read_study(path: PathLike) -> Study:
    r"""Read the settings of a study from a TOML file, and check all of them.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    Study
        The settings, defaults filled in.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is no TOML, or a section, a key or a value is wrong; the message names
        each of them, what came, and what was expected.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_mdjpt.study import read_study
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "study.toml"
    ...     _ = path.write_text("[[datasets]]\nname = 'simulated'\nclaen = true")
    ...     read_study(path)
    Traceback (most recent call last):
    ...
    ValueError: ...: [[datasets]] 'simulated' has no key 'claen'; is 'clean' meant?...
    """
    study, problems = load_study(path)
    raise_all(study, problems)
    return study


def load_study(path):
    """Return the settings of a file, and all that is wrong with them.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    study : Study
        What is right of the settings, defaults in place of all else.
    problems : list of str
        What is wrong.
    """
    path = check_path(path, "The file of a study")
    if path.is_dir():
        raise IsADirectoryError(
            f"{str(path)!r} is a folder; expected a file of settings in TOML."
        )
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.{home_hint(path)}")
    try:
        text = path.read_text(encoding="utf-8")
    except PermissionError as error:
        raise PermissionError(f"{str(path)!r} may not be read.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{str(path)!r} is no TOML: {error}.") from error
    try:
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(
            f"{str(path)!r} is no TOML: {error}.{_hint(text, str(error))}"
        ) from error
    problems = []
    study = _read_sections(path.absolute(), content, problems)
    return study, problems


def raise_all(study, problems):
    """Raise one error that names all problems, if there are any."""
    if problems:
        raise ValueError(f"{study.path.name}: " + "\n".join(dict.fromkeys(problems)))


def _hint(text, message):
    """Return what may be meant where TOML is wrong: its line, and quotes."""
    number = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    if number is None or int(number[1]) > len(lines):
        return ""
    line = lines[int(number[1]) - 1].strip()
    hint = f" The line is: {line}"
    value = re.fullmatch(r"([\w-]+)\s*=\s*([^\s\"'\[{#][^\"'#]*?)\s*(#.*)?", line)
    if value is not None:
        meant = {"True": "true", "False": "false", "None": '"none"'}.get(value[2])
        right = meant or f'"{value[2]}"'
        hint += f"; is {value[1]} = {right} meant?"
        hint += "" if meant else " Texts need quotes."
    return hint


def encoder_keys():
    """Return the keys of [encoder]: the preset, and parameters of `MDJPTEncoder`."""
    from ..encoder import MDJPTEncoder  # it imports torch

    preset = keys_of_class(_Preset)
    return preset | keys_of_function(MDJPTEncoder.__init__, _NOT_OF_ENCODER)


@dataclass(frozen=True, kw_only=True)
class _Preset:
    preset: Literal["small", "paper"] = key(
        "small", "small: trains in minutes; paper: the paper's size, for a GPU"
    )


def cleaning_keys():
    """Return the keys of [cleaning]: parameters of `clean_recording`, and the jobs."""
    from ..preprocessing import clean_recording

    jobs = keys_of_class(_Jobs)
    return jobs | keys_of_function(clean_recording, ("raw", "trials"))


@dataclass(frozen=True, kw_only=True)
class _Jobs:
    n_jobs: int = key(1, "recordings to clean at a time")


def _read_sections(path, content, problems):
    from ._checks import check_together

    known = [*_SECTIONS, *_OTHERS]
    general = keys_of_class(General)
    content = dict(content)
    # Keys that stand before the first section are those of [study].
    first = {k: content.pop(k) for k in list(content) if k in general}
    for name, value in content.items():
        if name not in known:
            what, names = "section", known
            if not isinstance(value, dict | list):
                what, names = "section or key", [*known, *general]
            problems.append(f"There is no {what} {name!r}{suggest(name, names)}")
    if first and isinstance(content.get("study", {}), dict):
        content["study"] = first | content.get("study", {})
    parts, wrong = {}, set()
    for name, kind in _SECTIONS.items():
        table = content.get(name, {})
        values = read_keys(table, keys_of_class(kind), f"[{name}]", problems)
        parts["general" if name == "study" else name] = kind(**values)
        if isinstance(table, dict):
            wrong |= {(name, k) for k in table if k not in values}
    for name, keys in (("cleaning", cleaning_keys), ("encoder", encoder_keys)):
        table = content.get(name, {})
        parts[name] = read_keys(table, keys(), f"[{name}]", problems) if table else {}
    n_problems = len(problems)
    read = [
        _read_dataset(table, k, problems)
        for k, table in enumerate(_entries(content, problems), 1)
    ]
    datasets = tuple(entry for entry in read if entry is not None)
    study = Study(path=path, datasets=datasets, **parts)
    if len(problems) > n_problems:
        wrong.add(("datasets", None))
    check_together(study, wrong, problems)
    return study


def _entries(content, problems):
    """Return the tables of [[datasets]]."""
    entries = content.get("datasets", [])
    if isinstance(entries, dict) and entries:
        problems.append(
            "[datasets] must be written [[datasets]], in two pairs of brackets, before "
            "each dataset."
        )
        return [entries] if "name" in entries else []
    if not isinstance(entries, list) or not entries:
        problems.append(
            "A study needs at least one section [[datasets]], with a name, such as "
            'name = "FACED".'
        )
        return []
    return entries


def _read_dataset(table, number, problems):
    """Return an entry of [[datasets]]; None if its reader is not known."""
    name = table.get("name") if isinstance(table, dict) else None
    which = f"number {number}" if name is None else repr(name)
    where = f"[[datasets]] {which}"
    own = keys_of_class(Dataset)
    reader = table.get("reader") or reader_of(name) if name else None
    further = {}
    if name and reader is None:
        problems.append(
            f"{where} is not a name whose reader is known{suggest(str(name), READERS)} "
            "Others need reader= and path=."
        )
        return None
    if reader is not None:
        try:
            function = reader_function(reader)
        except ValueError as error:
            problems.append(f"{where}: {error}")
            return None
        if function is not None:
            further = keys_of_function(function, OF_STUDY)
            # Subjects have the form that the reader takes.
            further.pop("subjects", None)
    values = read_keys(table, own | further, where, problems)
    options = {k: v for k, v in values.items() if k not in own}
    values = {k: v for k, v in values.items() if k in own}
    return Dataset(**{"name": "?"} | values, options=options)
