"""Ids that may be the same although they differ: made-up names, and other spellings.

Ids are unique within a dataset.  A set without a dataset gets a made-up name that no
other set has, so that the same people may be counted twice.  And "1" and "01" are
mostly the same person in two tables.
"""

import re
import uuid
from functools import lru_cache

import numpy as np
import pandas as pd

from ._validation import join_ids, list_some, warn

IDS = {
    "dataset": (),
    "subject": ("subject",),
    "session": ("subject", "session"),
    "trial": ("subject", "session", "trial"),
    "stimulus": ("stimulus",),
}
"""The ids that identify a subject, session, ... within a dataset, by level."""


def make_up_name():
    """Return a unique name for a dataset without one."""
    return f"unnamed-{uuid.uuid4().hex[:8]}"


def is_made_up(names):
    """Find names of datasets that were made up because none was given.

    They are recognised by their spelling, so that tables, stores, Epochs and datasets
    of braindecode need no mark for them.

    Parameters
    ----------
    names : array-like of str
        Names of datasets.

    Returns
    -------
    ndarray of bool
    """
    codes, found = pd.factorize(np.asarray(names, dtype=object), use_na_sentinel=False)
    made_up = [bool(re.fullmatch("unnamed-[0-9a-f]{8}", str(name))) for name in found]
    return np.array(made_up, dtype=bool)[codes]


def plural(level):
    """Return the plural of a level's name."""
    return {"stimulus": "stimuli"}.get(level, f"{level}s")


def say_what_may_be_one(first, second, level):
    """Describe ids of two tables that may be the same although they differ.

    Parameters
    ----------
    first, second : DataFrame
        Metadata of two sets of windows that should share no ids.
    level : {"dataset", "subject", "session", "trial", "stimulus"}
        The ids that are compared.

    Returns
    -------
    str
        "" if the ids differ whatever names the datasets should have.
    """
    ids = pd.concat([_ids(first, level, 0), _ids(second, level, 1)])
    texts = []
    both_sides = ids.groupby("sound")["part"].transform("nunique") > 1
    hidden = _hidden_by_names(ids[both_sides])
    if hidden:
        which = f" ({list_some(hidden, 3)})" if IDS[level] else ""
        texts.append(
            f"Windows made without dataset= got a name that was made up: whether "
            f"{plural(level)} of both sides{which} are the same cannot be known. Pass "
            "dataset= where windows are made."
        )
    alike = _spelled_twice(ids)
    if alike:
        texts.append(
            f"{plural(level).capitalize()} that differ in zeros or capitals only are "
            f"on both sides, and may be the same: {list_some(alike, 3)}."
        )
    return " ".join(texts)


def say_what_is_hidden(table, level):
    """Describe ids of several sets that may be the same, as a set has no name."""
    hidden = _hidden_by_names(_ids(table, level, 0))
    if not hidden:
        return ""
    return (
        f"Several sets have {plural(level)} of the same ids ({list_some(hidden, 3)}), "
        "and of these sets at least one was made without dataset=: they count as "
        f"different {plural(level)} in each set. If they are the same, give all of the "
        "sets one name, dataset=; if not, give each one its own."
    )


def warn_of_unnamed(tables):
    """Warn if sets of windows that are joined may have the same people.

    Parameters
    ----------
    tables : list of DataFrame
        The metadata of each part.
    """
    table = pd.concat(
        [part[["dataset", "subject", "stimulus"]].drop_duplicates() for part in tables],
        ignore_index=True,
    )
    text = say_what_is_hidden(table, "subject")
    if text:
        warn(text)
    for level in ("subject", "stimulus"):
        ids = pd.concat([_ids(part, level, k) for k, part in enumerate(tables)])
        alike = _spelled_twice(ids)
        if alike:
            warn(
                f"{plural(level).capitalize()} of one dataset differ in zeros or "
                f"capitals only, and count as several: {list_some(alike, 3)}. If they "
                "are the same, spell them alike."
            )


def _ids(table, level, part):
    """Return each id of a table once: by itself, with its dataset, and normalised."""
    columns = list(IDS[level])
    table = table[["dataset", *columns]].drop_duplicates()
    if columns:
        table = table[table[columns[-1]].notna()]
    rows = list(table.itertuples(index=False, name=None))
    bare = [join_ids(*row[1:]) for row in rows]
    names = [join_ids(*row) for row in rows]
    return pd.DataFrame(
        {
            "dataset": [row[0] for row in rows],
            "id": bare,
            "name": names,
            "sound": list(map(_sound, bare)),
            "whole_sound": list(map(_sound, names)),
            "part": part,
        },
        dtype=object,
    )


@lru_cache(2**16)  # all splits of a study have the same ids
def _sound(name):
    """Normalise an id: "S01" and "s1" become the same."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


def _hidden_by_names(ids):
    """Return ids that several datasets share, one of which has a made-up name."""
    made_up = is_made_up(ids["dataset"])
    if not made_up.any():
        return []
    by_sound = ids.assign(made_up=made_up).groupby("sound", sort=False)
    hidden = by_sound["made_up"].any() & (by_sound["dataset"].nunique() > 1)
    return by_sound["id"].first()[hidden].tolist()


def _spelled_twice(ids):
    """Return names that differ in spelling only, unless one part has both of them."""
    several = ids.groupby("whole_sound")["name"].transform("nunique") > 1
    if not several.any():
        return []
    ids = ids[several]
    in_part = ids.groupby(["whole_sound", "part"])["name"].nunique()
    found = ids.groupby("whole_sound", sort=False)["name"].unique()
    told_apart = in_part.groupby("whole_sound").max() > 1
    return [" and ".join(names) for names in found[~told_apart.reindex(found.index)]]
