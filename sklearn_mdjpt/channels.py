"""A dataset's channels onto the 60 canonical channels of mdJPT.

The map is linear, one matrix for one montage: a canonical channel that the cap has
is taken as it is; one that it lacks is the mean of its nearest neighbours
(mdJPT, arXiv:2510.22197, preprocessing).  Electrode positions are those of the
colin27 10-05 template, kept in a table beside this module so that a montage maps the
same way whichever version of MNE is installed.
"""

from __future__ import annotations

import csv
import warnings
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import numpy as np

from ._validation import check_ch_names, check_option, check_positions, list_some

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

__all__ = [
    "CANONICAL_CHANNELS",
    "CANONICAL_SFREQ",
    "canonical_name",
    "channel_matrix",
    "electrode_positions",
    "site_names",
    "template_positions",
]

CANONICAL_SFREQ = 125.0
"""Sampling rate, in hertz, at which the encoder sees every recording."""

# fmt: off
CANONICAL_CHANNELS = (
    "FP1", "FPZ", "FP2", "AF3", "AF4",
    "F7", "F5", "F3", "F1", "FZ", "F2", "F4", "F6", "F8",
    "FT7", "FC5", "FC3", "FC1", "FCZ", "FC2", "FC4", "FC6", "FT8",
    "T7", "C5", "C3", "C1", "CZ", "C2", "C4", "C6", "T8",
    "TP7", "CP5", "CP3", "CP1", "CPZ", "CP2", "CP4", "CP6", "TP8",
    "P7", "P5", "P3", "P1", "PZ", "P2", "P4", "P6", "P8",
    "PO7", "PO5", "PO3", "POZ", "PO4", "PO6", "PO8",
    "O1", "OZ", "O2",
)
# fmt: on
"""The 60 channels of the model, in its order (10-10 names, upper case)."""

ALIASES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
# Reference electrodes have template positions but hold no EEG of their own site.
REFERENCES = frozenset({"A1", "A2", "M1", "M2"})
_N_NEIGHBOURS = 3
# The two sites where the table behind the released checkpoints orders neighbours
# differently from the template's distances.
_RELEASED_FIRST = {"FC3": ("F3", "FC1", "FC5"), "CP3": ("C3", "P3", "CP5")}


@cache
def template_positions() -> dict[str, np.ndarray]:
    """Return the template position of every 10-05 name.

    Returns
    -------
    dict of str to ndarray of shape (3,)
        Upper-case name to position in metres, in MNE's head coordinates.
    """
    with (files(__package__) / "_positions_1005.csv").open(encoding="utf-8") as file:
        return {
            row["name"].upper(): np.array([float(row[axis]) for axis in "xyz"])
            for row in csv.DictReader(file)
        }


def canonical_name(name: str) -> str:
    """Return a channel's name in upper case, T3/T4/T5/T6 as T7/T8/P7/P8.

    Parameters
    ----------
    name : str
        A channel's name.

    Returns
    -------
    str
        The name that the canonical channels are looked up by.
    """
    name = str(name).strip().upper()
    return ALIASES.get(name, name)


def site_names(ch_names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical spelling of channel names; raise if two name one site.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names.

    Returns
    -------
    tuple of str
        As `canonical_name` gives them.

    Raises
    ------
    ValueError
        If two names are of one site, such as T3 and T7.
    """
    names = tuple(canonical_name(name) for name in ch_names)
    if len(set(names)) < len(names):
        twice = {n for n in names if names.count(n) > 1}
        clash = [g for g, n in zip(ch_names, names, strict=True) if n in twice]
        raise ValueError(
            f"Channels {list_some(clash)} name one site twice "
            "(T3/T4/T5/T6 are older names of T7/T8/P7/P8)."
        )
    return names


def channel_matrix(
    ch_names: Sequence[str],
    *,
    positions: ArrayLike | None = None,
    unknown_channels: Literal["drop", "position", "error"] = "drop",
    missing_channels: Literal["nearest", "error"] = "nearest",
    neighbours: Literal["mne", "released"] = "mne",
) -> np.ndarray:
    """Matrix that maps a montage onto the 60 canonical channels.

    A canonical channel that is present is copied; a missing one is the plain mean of
    its (up to) three nearest present channels.  Every row sums to one.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names of the recording, any case; T3, T4, T5, T6 are understood.
    positions : array-like of shape (n_channels, 3), default=None
        Digitised positions in metres in MNE's head coordinates; rows of NaN where
        unknown.  Used only for channels without a 10-05 name.
    unknown_channels : {"drop", "position", "error"}, default="drop"
        What happens to channels outside the 60.  "drop" leaves them out, except that
        a cap with fewer than three of the 60 (a Muse, for example) is mapped by
        position, with one warning.  "position" lets every channel with a 10-05 or
        digitised position be a neighbour; reference sites (A1, A2, M1, M2) never are.
        "error" raises.
    missing_channels : {"nearest", "error"}, default="nearest"
        What happens to canonical channels that the cap lacks.
    neighbours : {"mne", "released"}, default="mne"
        "mne" orders neighbours by distance on the template.  "released" prefers F3,
        FC1, FC5 for FC3 and C3, P3, CP5 for CP3 where present, as the table that goes
        with the released checkpoints does.

    Returns
    -------
    ndarray of shape (60, n_channels)
        Float64 weights, ``canonical = matrix @ signal``.

    Raises
    ------
    ValueError
        Duplicate names (T3 beside T7 counts), no usable channel, or a policy of
        "error" that applies.
    """
    check_option(unknown_channels, ("drop", "position", "error"), "unknown_channels")
    check_option(missing_channels, ("nearest", "error"), "missing_channels")
    check_option(neighbours, ("mne", "released"), "neighbours")
    given = check_ch_names(ch_names)
    positions = check_positions(positions, len(given))
    names = site_names(given)
    column = {name: i for i, name in enumerate(names)}
    known = [name for name in CANONICAL_CHANNELS if name in column]
    unknown = [name for name in names if name not in CANONICAL_CHANNELS]
    if unknown_channels == "error" and unknown:
        raise ValueError(
            f"Channels outside the 60 canonical ones: {list_some(unknown)}. "
            "Drop or rename them, or set unknown_channels='drop'."
        )

    usable = {name: template_positions()[name] for name in known}
    extra = _located(unknown, column, positions)
    few = unknown_channels == "drop" and len(known) < _N_NEIGHBOURS and extra
    if few:
        warnings.warn(
            f"Only {len(known)} of {len(names)} channels have a canonical name; "
            f"mapping by electrode position with {list_some(extra)} as well.",
            stacklevel=2,
        )
    elif unknown_channels == "drop" and known and 2 * len(known) < len(names):
        warnings.warn(
            f"Only {len(known)} of {len(names)} channels have a canonical name, and "
            f"all 60 are made of these; left out: {list_some(unknown)}.",
            stacklevel=2,
        )
    if few or unknown_channels == "position":
        usable.update(extra)
    if not usable:
        raise ValueError(
            f"No usable channel among {list_some(given)}: expected 10-10 names such as "
            f"{', '.join(CANONICAL_CHANNELS[:5])}, or digitised positions. Names such "
            "as 'EEG Fp1-REF' or 'Fp1.' need renaming (Raw.rename_channels)."
        )
    missing = [name for name in CANONICAL_CHANNELS if name not in column]
    if missing_channels == "error" and missing:
        raise ValueError(
            f"The montage lacks {len(missing)} canonical channels: "
            f"{list_some(missing)}. Set missing_channels='nearest' to fill them in."
        )

    # Neighbours are ranked in an order that does not depend on the cap's own.
    candidates = sorted(usable)
    sites = np.array([usable[name] for name in candidates])
    matrix = np.zeros((len(CANONICAL_CHANNELS), len(names)))
    for row, target in enumerate(CANONICAL_CHANNELS):
        if target in column:
            matrix[row, column[target]] = 1.0
            continue
        distance = np.linalg.norm(sites - template_positions()[target], axis=1)
        ranked = [candidates[i] for i in np.argsort(distance, kind="stable")]
        if neighbours == "released":
            first = [n for n in _RELEASED_FIRST.get(target, ()) if n in usable]
            ranked = first + [name for name in ranked if name not in first]
        nearest = ranked[:_N_NEIGHBOURS]
        matrix[row, [column[name] for name in nearest]] = 1.0 / len(nearest)
    return matrix


def electrode_positions(
    ch_names: Sequence[str], positions: np.ndarray | None = None
) -> np.ndarray:
    """Return where electrodes are: digitised positions first, else the template's.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names.
    positions : ndarray of shape (n_channels, 3), default=None
        Digitised positions in metres; rows of NaN where unknown.

    Returns
    -------
    ndarray of shape (n_channels, 3)
        In metres, in MNE's head coordinates; NaN where neither is known.
    """
    template = template_positions()
    unknown = np.full(3, np.nan)
    sites = np.array([template.get(canonical_name(n), unknown) for n in ch_names])
    if positions is not None:
        digitised = np.isfinite(positions).all(axis=1)
        sites[digitised] = positions[digitised]
    return sites


def _located(names, column, positions):
    """Positions of channels outside the 60: by name first, else digitised."""
    template = template_positions()
    located = {}
    for name in names:
        if name in REFERENCES:
            continue
        if name in template:
            located[name] = template[name]
        elif positions is not None and np.isfinite(positions[column[name]]).all():
            located[name] = positions[column[name]]
    return located
