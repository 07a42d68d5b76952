"""Canonical channels: names, positions, and the matrix that maps a cap to them."""

from __future__ import annotations

import csv
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from .._validation import check_ch_names, check_option, check_positions, list_some, warn
from ._electrodes import (
    FAR,
    biosemi_cap,
    biosemi_labels,
    biosemi_positions,
    compare_with_sites,
    describe_distances,
    numbered,
    true_positions,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

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
        As `spelt_names` gives them.

    Raises
    ------
    ValueError
        If two names are of one site, such as T3 and T7.
    """
    names = spelt_names(ch_names)
    if len(set(names)) < len(names):
        twice = {n for n in names if names.count(n) > 1}
        clash = [g for g, n in zip(ch_names, names, strict=True) if n in twice]
        raise ValueError(
            f"Channels {list_some(clash)} name one site twice "
            "(T3/T4/T5/T6 are older names of T7/T8/P7/P8)."
        )
    return names


def spelt_names(ch_names: Sequence[str]) -> tuple[str, ...]:
    """Return the canonical spelling of channel names.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names.

    Returns
    -------
    tuple of str
        As `canonical_name` gives them.  A name that only looks like a 10-20 site, such
        as C3 among BioSemi's A1 to H32, is followed by "(not 10-20)".
    """
    template = template_positions()
    names = [canonical_name(name) for name in ch_names]
    return tuple(
        f"{name} (not 10-20)" if name in template and site is None else name
        for name, site in zip(names, known_sites(ch_names), strict=True)
    )


def known_sites(ch_names: Sequence[str]) -> tuple[str | None, ...]:
    """Return the 10-05 site of each name, None for a name without one.

    Names are read together: C1 to C6 are no sites among BioSemi's A1 to H32, nor in a
    count from C1 to C64.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names.

    Returns
    -------
    tuple of str or None
        As `canonical_name` gives them.
    """
    given = [str(name).strip().upper() for name in ch_names]
    template = template_positions()
    strangers = numbered(given, template) | biosemi_labels(given, template).keys()
    names = [canonical_name(name) for name in given]
    return tuple(
        name if name in template and k not in strangers else None
        for k, name in enumerate(names)
    )


class Electrodes(NamedTuple):
    """Sites and positions of a montage's channels.

    Parameters
    ----------
    sites : tuple of str or None
        The 10-05 site of each channel's name; None if the name has no site, or if the
        channel's position is elsewhere.
    positions : ndarray of shape (n_channels, 3)
        Positions that can be true, in metres; NaN elsewhere.
    remarks : tuple of str
        Warnings about the positions.
    misplaced : tuple of str
        Warnings about names that their positions overrule.
    """

    sites: tuple[str | None, ...]
    positions: np.ndarray
    remarks: tuple[str, ...]
    misplaced: tuple[str, ...]


def find_electrodes(
    ch_names: Sequence[str], positions: np.ndarray | None = None
) -> Electrodes:
    """Decide between names and digitised positions, for all channels of a montage.

    Parameters
    ----------
    ch_names : sequence of str
        Channel names.
    positions : ndarray of shape (n_channels, 3), default=None
        Digitised positions in metres, in MNE's head coordinates; NaN where unknown.

    Returns
    -------
    Electrodes

    Notes
    -----
    A position more than 6 cm from the site of the channel's name overrules the name.
    All positions are ignored if they cannot be right: most are far from their sites
    because the montage is turned, shifted or scaled as a whole, or they are on no head
    (in millimetres, or in a plane).
    """
    sites = list(known_sites(ch_names))
    if positions is None:
        positions = np.full((len(sites), 3), np.nan)
    positions, fault = true_positions(np.asarray(positions, dtype=float))
    located = np.isfinite(positions).all(axis=1)
    template = template_positions()
    both = np.flatnonzero(located & [site is not None for site in sites])
    misplaced = ()
    if len(both):
        distance, far, moved = compare_with_sites(
            positions[both],
            np.array([template[sites[k]] for k in both]),  # type: ignore[index]
        )
        names = [ch_names[k] for k in both[far]]
        listed = describe_distances(names, distance[far])
        if moved and 2 * len(both) >= located.sum():
            fault = (
                f"{listed} lie far from the sites of their names, in a montage that is "
                "turned, shifted or scaled as a whole"
            )
            positions = np.full_like(positions, np.nan)
        elif far.any():
            for k in both[far]:
                sites[k] = None
            misplaced = (
                f"Channels {listed} were digitised more than {100 * FAR:g} cm from the "
                "sites of their names: their positions decide, and the names count as "
                "unknown.",
            )
    remarks = []
    if fault:
        remarks.append(
            f"Digitised positions are not used: {fault}. Names alone decide. Expected "
            "are MNE's head coordinates, in metres (x to the right ear, y to the nose)."
        )
    twice = [name for name in ch_names if _is_running_number(name)]
    if twice:
        remarks.append(
            f"Channels {list_some(twice)} have one name in the file, to which MNE adds "
            "running numbers: none is taken for that site. Rename the right one."
        )
    remarks += _place_biosemi(ch_names, positions)
    return Electrodes(tuple(sites), positions, tuple(remarks), misplaced)


def _is_running_number(name):
    """Whether a name is a site and what MNE adds where two channels share it."""
    site, _, number = name.rpartition("-")
    return number.isdecimal() and canonical_name(site) in template_positions()


def _place_biosemi(ch_names, positions):
    """Fill in positions of BioSemi's caps, in place; return remarks for the user."""
    given = [str(name).strip().upper() for name in ch_names]
    labels = biosemi_labels(given, template_positions())
    if not labels or np.isfinite(positions[list(labels)]).any():
        return []
    listed = list_some((ch_names[k] for k in labels), 4)
    n_electrodes = biosemi_cap(labels.values())
    if n_electrodes is None or len(set(labels.values())) < len(labels):
        return [
            f"Channels {listed} have BioSemi's names, which have several positions: "
            "A1 is Fp1 in its caps of 32 and 64, and next to Cz in those of 128, 160 "
            "and 256. Give positions (Raw.set_montage), or 10-20 names "
            "(Raw.rename_channels; MNE's montage 'biosemi64' has them in the order A1 "
            "to B32)."
        ]
    cap = biosemi_positions(n_electrodes)
    for k, label in labels.items():
        positions[k] = cap.get(label, np.nan)
    return [
        f"Channels {listed} have BioSemi's names and no positions: they are taken for "
        f"those of its cap of {n_electrodes}. Give positions (Raw.set_montage) if it "
        "was another."
    ]


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
        unknown.  Used for channels without a 10-05 name, and for those that lie more
        than 6 cm from the site of their name (see Notes).
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

    Notes
    -----
    Names are read together.  Beside A3, B1 or D7, names such as C1 to C6 and F1 to F8
    are BioSemi's (whose C5 is 16 cm from the site C5), and beside C1 to C64 they are
    running numbers; neither are sites.  BioSemi's names without positions get MNE's
    positions for a cap of 128, 160 or 256 electrodes (the letters tell which), with a
    warning.  The letters A and B alone do not tell the cap.

    A digitised position more than 6 cm from the site of the channel's name overrules
    the name, with a warning that gives the distance.  Positions that are wrong as a
    whole (other units or axes, all in a plane) are not used, with a warning.
    """
    check_option(unknown_channels, ("drop", "position", "error"), "unknown_channels")
    check_option(missing_channels, ("nearest", "error"), "missing_channels")
    check_option(neighbours, ("mne", "released"), "neighbours")
    given = check_ch_names(ch_names)
    names = site_names(given)
    electrodes = find_electrodes(given, check_positions(positions, len(given)))
    remarks = electrodes.remarks + electrodes.misplaced
    for remark in remarks:
        warn(remark)
    template = template_positions()
    canonical = {
        site: (k, template[site])
        for k, site in enumerate(electrodes.sites)
        if site in CANONICAL_CHANNELS
    }
    if unknown_channels == "error" and len(canonical) < len(given):
        raise ValueError(
            "Channels outside the 60 canonical ones: "
            f"{list_some(_unused(canonical, given))}. "
            "Drop or rename them, or set unknown_channels='drop'."
        )
    usable = _usable_channels(given, names, electrodes, canonical, unknown_channels)
    if not usable:
        raise ValueError(
            f"No usable channel among {list_some(given)}: expected 10-10 names such as "
            f"{', '.join(CANONICAL_CHANNELS[:5])}, or digitised positions. Names such "
            "as 'EEG Fp1-REF' or 'Fp1.' need renaming (Raw.rename_channels)."
            + "".join(f" {remark}" for remark in remarks)
        )
    missing = [site for site in CANONICAL_CHANNELS if site not in canonical]
    if missing_channels == "error" and missing:
        raise ValueError(
            f"The montage lacks {len(missing)} canonical channels: "
            f"{list_some(missing)}. Set missing_channels='nearest' to fill them in."
        )
    return _mapping(canonical, usable, len(given), neighbours)


def _mapping(canonical, usable, n_channels, neighbours):
    """Return the matrix; missing channels are means of their nearest usable ones."""
    template = template_positions()
    # In alphabetical order, so that channels at the same distance are ranked alike
    # whatever their order in the recording.
    columns, positions = zip(*(usable[name] for name in sorted(usable)), strict=True)
    matrix = np.zeros((len(CANONICAL_CHANNELS), n_channels))
    for row, site in enumerate(CANONICAL_CHANNELS):
        if site in canonical:
            matrix[row, canonical[site][0]] = 1.0
            continue
        distance = np.linalg.norm(np.array(positions) - template[site], axis=1)
        nearest = [columns[i] for i in np.argsort(distance, kind="stable")]
        if neighbours == "released":
            preferred = _RELEASED_FIRST.get(site, ())
            first = [canonical[name][0] for name in preferred if name in canonical]
            nearest = list(dict.fromkeys(first + nearest))
        nearest = nearest[:_N_NEIGHBOURS]
        matrix[row, nearest] = 1.0 / len(nearest)
    return matrix


def _usable_channels(given, names, electrodes, canonical, unknown_channels):
    """Choose the channels that canonical ones are made of: column and position of each.

    Warns where channels outside the 60 are needed, or most channels are left out.
    """
    template = template_positions()
    others = {
        name: (k, position if site is None else template[site])
        for k, (name, site, position) in enumerate(
            zip(names, electrodes.sites, electrodes.positions, strict=True)
        )
        if name not in canonical and site not in REFERENCES
        if site is not None or np.isfinite(position).all()
    }
    few = unknown_channels == "drop" and len(canonical) < _N_NEIGHBOURS and others
    if few:
        warn(
            f"Only {len(canonical)} of {len(names)} channels have a canonical name; "
            f"mapping by electrode position with {list_some(others)} as well."
        )
    usable = canonical
    if few or unknown_channels == "position":
        usable = canonical | others
    if usable and not few and 2 * len(usable) < len(names):
        what = "canonical name" if unknown_channels == "drop" else "known place"
        warn(
            f"Only {len(usable)} of {len(names)} channels have a {what}, and all 60 "
            f"are made of these; left out: {list_some(_unused(usable, given))}."
        )
    return usable


def _unused(usable, names):
    used = {k for k, _ in usable.values()}
    return [name for k, name in enumerate(names) if k not in used]


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
    electrodes = find_electrodes(ch_names, positions)
    for remark in electrodes.remarks:
        warn(remark)
    template = template_positions()
    found = electrodes.positions.copy()
    for k, site in enumerate(electrodes.sites):
        if site is not None and np.isnan(found[k]).any():
            found[k] = template[site]
    return found
