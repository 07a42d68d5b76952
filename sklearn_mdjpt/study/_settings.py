"""The settings of a study: the sections of its file, read and checked."""

from __future__ import annotations

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
from ._readers import OF_STUDY, READERS, STORE, reader_function, reader_of

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
    n_splits: int = key(6, "few_shot: random splits", least=1)
    n_folds: int = key(5, "leave_subjects_out: groups of people", least=2)
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
        "whether people and datasets stay unnamed; none: unless all sources are open",
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
    path = check_path(path, "The file of a study")
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {str(path)!r}.{home_hint(path)}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{str(path)!r} is no TOML: {error}.") from error
    problems: list[str] = []
    study = _read_sections(path.absolute(), content, problems)
    if not problems:
        _check_together(study, problems)
    if problems:
        raise ValueError(f"{path.name}: " + "\n".join(problems))
    return study


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
    known = [*_SECTIONS, *_OTHERS]
    for name in content:
        if name not in known:
            problems.append(f"There is no section {name!r}{suggest(name, known)}")
    parts = {}
    for name, kind in _SECTIONS.items():
        table = content.get(name, {})
        values = read_keys(table, keys_of_class(kind), f"[{name}]", problems)
        parts["general" if name == "study" else name] = kind(**values)
    for name, keys in (("cleaning", cleaning_keys), ("encoder", encoder_keys)):
        table = content.get(name, {})
        parts[name] = read_keys(table, keys(), f"[{name}]", problems) if table else {}
    entries = content.get("datasets", [])
    if not isinstance(entries, list) or not entries:
        problems.append(
            "A study needs at least one section [[datasets]], with a name, such as "
            'name = "FACED".'
        )
        entries = []
    read = [_read_dataset(table, k, problems) for k, table in enumerate(entries, 1)]
    datasets = tuple(entry for entry in read if entry is not None)
    return Study(path=path, datasets=datasets, **parts)


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


def _check_together(study, problems):
    """Note what is wrong about settings that do not fit each other, or the disk."""
    for entry in study.datasets:
        path, where = entry.path, f"[[datasets]] {entry.name!r}"
        if path is None and not entry.reader_name.startswith(("fetch_", "make_")):
            problems.append(f"{where} needs path=, the folder of the dataset.")
        elif path is not None and not study.resolve(path).exists():
            if not entry.reader_name.startswith("fetch_"):
                problems.append(f"{where}: there is no {str(study.resolve(path))!r}.")
        elif entry.reader_name == STORE:
            if not (study.resolve(path) / "index.json").is_file():
                problems.append(
                    f"{where}: {str(study.resolve(path))!r} is no folder of "
                    "EEGWindows.save."
                )
    if study.datasets and not study.sources:
        problems.append(
            "All datasets have role = 'target': nothing is left to train an encoder on."
        )
    for target in study.targets:
        for source in study.sources:
            if _may_share_people(source, target):
                problems.append(
                    f"{target.name!r} is a source and a target with the same people; "
                    "name different ones (subjects=)."
                )
    for k, other in enumerate(study.datasets):
        for entry in study.datasets[:k]:
            if entry.role == other.role and _may_share_people(entry, other):
                problems.append(
                    f"{other.name!r} is there twice as a {other.role}, with the same "
                    "people; leave it out once, or name different ones (subjects=)."
                )
    if study.cleaning and not any(entry.clean for entry in study.datasets):
        problems.append("[cleaning] is given, but no dataset has clean = true.")
    _check_evaluation(study.evaluation, problems)
    _check_parameters(study, problems)


def _may_share_people(a, b):
    """Whether two entries name the same people of the same files."""
    if (a.reader_name, a.name, a.path) != (b.reader_name, b.name, b.path):
        return False
    apart = [
        x is not None and y is not None and not {*map(str, x)} & {*map(str, y)}
        for x, y in ((a.subjects, b.subjects), (a.only, b.only))
    ]
    return not any(apart) and a.options == b.options


def _check_evaluation(evaluation, problems):
    for name in evaluation.methods:
        if name not in METHODS:
            problems.append(
                f"[evaluation]: there is no method {name!r}{suggest(name, METHODS)}"
            )
    for name in ("methods", "protocols"):
        values = getattr(evaluation, name)
        if values is not None and (not values or len({*values}) < len(values)):
            problems.append(
                f"[evaluation]: {name} must be different ones, at least one; got "
                f"{values!r}."
            )
    if evaluation.reference not in (None, *evaluation.methods):
        problems.append(
            f"[evaluation]: the reference {evaluation.reference!r} must be one of the "
            f"methods, {list(evaluation.methods)!r}."
        )
    if evaluation.networks:
        from braindecode import models

        for name in evaluation.networks:
            if not hasattr(models, name):
                known = models.__all__
                problems.append(
                    f"[evaluation]: there is no network {name!r}{suggest(name, known)}"
                )
    size = evaluation.train_size
    if size >= 1 and size != int(size):
        problems.append(
            "[evaluation]: train_size must be below 1 (a share) or a whole number of "
            f"people; got {size!r}."
        )


def _check_parameters(study, problems):
    """Let encoder and cleaning check their parameters, before anything is read."""
    import torch

    from ..encoder._files import make_module
    from ..encoder._parameters import check_parameters
    from ..preprocessing._dataset import check_cleaning
    from ._training import make_encoder

    try:
        encoder = make_encoder(study)
        check_parameters(encoder)
        with torch.random.fork_rng(devices=[]):
            make_module(encoder)
    except (ValueError, TypeError, OSError) as error:
        problems.append(f"[encoder]: {error}")
    if any(entry.clean for entry in study.datasets):
        given = {k: v for k, v in study.cleaning.items() if k != "n_jobs"}
        try:
            check_cleaning(given)
        except (ValueError, TypeError, ImportError) as error:
            problems.append(f"[cleaning]: {error}")
