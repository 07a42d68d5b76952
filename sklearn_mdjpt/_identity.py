"""Who may be the same as whom: names that were made up, and ids that look alike.

Ids hold within a dataset.  A set without one gets a name that no other set shares, so
that the same people may be counted twice; and "1" beside "01" is no other person, as a
rule, but the spelling of another table.
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
"""What tells one from another within a dataset, by level."""


def make_up_name():
    """Return a name for a dataset without one; no other set has it."""
    return f"unnamed-{uuid.uuid4().hex[:8]}"


def is_made_up(names):
    """Say which names of datasets were made up, because none was given.

    By how they are spelled, so that they are known again in tables, stores, Epochs and
    datasets of braindecode.

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
    """Return the word for several."""
    return {"stimulus": "stimuli"}.get(level, f"{level}s")


def say_what_may_be_one(first, second, level):
    """Say which ids of two tables may stand for the same, though they differ.

    Parameters
    ----------
    first, second : DataFrame
        Metadata of two sets of windows that are to be apart.
    level : {"dataset", "subject", "session", "trial", "stimulus"}
        Whose ids.

    Returns
    -------
    str
        "" if the ids are apart under all names that the datasets could have.
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
    """Say which ids of several sets may be one, as a set among them has no name."""
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
    """Warn where sets that are put together may hold the same people.

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
    """Return each id of a table once: bare, within its dataset, and as it sounds."""
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


@lru_cache(2**16)  # each training and test set of a study asks for the same
def _sound(name):
    """Spell "S01" and "s1" alike."""
    return re.sub(r"(?<!\d)0+(?=\d)", "", name).casefold()


def _hidden_by_names(ids):
    """Return ids of several datasets, one of which has a name that was made up."""
    made_up = is_made_up(ids["dataset"])
    if not made_up.any():
        return []
    by_sound = ids.assign(made_up=made_up).groupby("sound", sort=False)
    hidden = by_sound["made_up"].any() & (by_sound["dataset"].nunique() > 1)
    return by_sound["id"].first()[hidden].tolist()


def _spelled_twice(ids):
    """Return names that only sound alike, where no part tells them apart."""
    several = ids.groupby("whole_sound")["name"].transform("nunique") > 1
    if not several.any():
        return []
    ids = ids[several]
    in_part = ids.groupby(["whole_sound", "part"])["name"].nunique()
    found = ids.groupby("whole_sound", sort=False)["name"].unique()
    told_apart = in_part.groupby("whole_sound").max() > 1
    return [" and ".join(names) for names in found[~told_apart.reindex(found.index)]]
