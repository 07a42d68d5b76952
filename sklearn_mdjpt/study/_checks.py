"""Checks of the settings of a study: what does not fit each other, or the disk."""

from __future__ import annotations

import os
import re
from dataclasses import replace

from .._validation import home_hint
from ._keys import suggest
from ._methods import METHODS
from ._readers import STORE


def check_together(study, wrong, problems):
    """Note what is wrong about settings that do not fit each other, or the disk.

    Parameters
    ----------
    study : Study
        The settings; what is wrong by itself has its default.
    wrong : set of (str, str)
        Section and key of these, which are not looked at again.
    problems : list of str
        What is wrong is appended.
    """
    _check_places(study, problems)
    for entry in study.datasets:
        _check_path(study, entry, problems)
    if ("datasets", None) not in wrong:
        _check_roles(study, problems)
        if study.cleaning and not any(entry.clean for entry in study.datasets):
            problems.append("[cleaning] is given, but no dataset has clean = true.")
    _check_evaluation(study.evaluation, wrong, problems)
    _check_parameters(study, problems)


def _check_places(study, problems):
    """Note what is wrong about the folder of results, and that of open datasets."""
    folder = study.folder
    if folder.exists() and not folder.is_dir():
        problems.append(
            f"[study]: the folder of the results, {str(folder)!r}, is a file; choose "
            "another one (folder=)."
        )
    elif not folder.exists() and not folder.parent.is_dir():
        problems.append(
            f"[study]: there is no folder {str(folder.parent)!r} for the results."
        )
    elif not os.access(folder if folder.exists() else folder.parent, os.W_OK | os.X_OK):
        problems.append(
            f"[study]: nothing may be written to {str(folder)!r}; choose another "
            "folder=."
        )
    if study.general.data_home is not None:
        home = study.resolve(study.general.data_home)
        text = folder_problem(home)
        if text is not None:
            problems.append(f"[study]: data_home: {text}")
        elif study.general.download and not os.access(home, os.W_OK | os.X_OK):
            _note_read_only(study, home, problems)


def _note_read_only(study, home, problems):
    """Nothing can be downloaded to a folder that is read only."""
    if any(entry.is_open and entry.path is None for entry in study.datasets):
        problems.append(
            f"[study]: data_home: nothing may be written to {str(home)!r}; "
            "download = false takes what is there."
        )


def folder_problem(path):
    """Return what is wrong about a folder that is to be read; None if nothing is."""
    try:
        if path.is_dir():
            if os.access(path, os.R_OK | os.X_OK):
                return None
            return f"{str(path)!r} may not be read."
        if path.exists():
            return f"{str(path)!r} is a file; expected a folder."
    except PermissionError:
        return f"{str(path)!r} may not be read."
    return f"there is no folder {str(path)!r}.{home_hint(path)}"


def _check_path(study, entry, problems):
    """Note what is wrong about the path of a dataset."""
    where = f"[[datasets]] {entry.name!r}"
    made = entry.reader_name.startswith("make_")
    if entry.path is None:
        if not (entry.is_open or made):
            problems.append(f"{where} needs path=, the folder of the dataset.")
        return
    path = study.resolve(entry.path)
    if not made and (text := folder_problem(path)) is not None:
        problems.append(f"{where}: {text}")
    elif entry.reader_name == STORE and not (path / "index.json").is_file():
        problems.append(f"{where}: {str(path)!r} is no folder of EEGWindows.save.")


def _check_roles(study, problems):
    """Note datasets that are there twice, or on both sides."""
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


def _may_share_people(a, b):
    """Whether two entries name the same people of the same files."""
    if (a.reader_name, a.name, a.path) != (b.reader_name, b.name, b.path):
        return False
    apart = [
        x is not None and y is not None and not {*map(str, x)} & {*map(str, y)}
        for x, y in ((a.subjects, b.subjects), (a.only, b.only))
    ]
    return not any(apart) and a.options == b.options


def _check_evaluation(evaluation, wrong, problems):
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
    judged = not {("evaluation", "methods"), ("evaluation", "reference")} & wrong
    if judged and evaluation.reference not in (None, *evaluation.methods):
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

    parameters = dict(study.encoder)
    while True:
        try:
            encoder = make_encoder(replace(study, encoder=parameters))
            check_parameters(encoder)
            with torch.random.fork_rng(devices=[]):
                make_module(encoder)
            break
        except (ValueError, TypeError, OSError) as error:
            problems.append(f"[encoder]: {error}")
            # Without those that it names there may be others.
            named = [k for k in parameters if re.search(rf"\b{k}\b", str(error))]
            if not named:
                break
            parameters = {k: v for k, v in parameters.items() if k not in named}
    if any(entry.clean for entry in study.datasets):
        given = {k: v for k, v in study.cleaning.items() if k != "n_jobs"}
        try:
            check_cleaning(given)
        except (ValueError, TypeError, ImportError) as error:
            problems.append(f"[cleaning]: {error}")
