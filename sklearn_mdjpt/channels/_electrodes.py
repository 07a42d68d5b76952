"""Checks of electrode names and of digitised positions."""

import re
from functools import cache

import numpy as np

from .._validation import list_some

FAR = 0.06
"""Distance in metres from which a digitised position overrules the channel's name.

Sites of one name lie up to 5.5 cm apart in MNE's own montages (CPz of spherical_1005
and of the template), neighbours of the 10-10 system 3 to 4 cm."""

# With fewer names than a fit takes, heads of another centre cannot be told.
_FAR_OF_FEW = 0.08
# Electrodes of all of MNE's montages are 6 to 15 cm from the origin, between the ears.
_ON_A_HEAD = (0.03, 0.25)
# A montage in other axes keeps its shape; names that match by chance have another.
_SAME_SHAPE = 0.03
_ENOUGH_TO_FIT = 4
_FLAT = 1e-3

_BIOSEMI = re.compile(r"(?:\d+-)?([A-H])0?(\d{1,3})")
_BIOSEMI_CABLE = 32  # electrodes on one, which has one letter
_NEUROSCAN = (("F", 11), ("F", 12))
_NUMBERED = re.compile(r"([A-Z]+)(\d+)")
# F11, F12, P11 and P12 are on some caps; there is nothing beyond in the 10-20 system.
_LAST_NUMBER = 12
_EARS = frozenset({"A1", "A2", "M1", "M2"})


def biosemi_labels(names, sites):
    """Find BioSemi's names, A1 to H32, of which some look like 10-20 sites.

    Names are BioSemi's if some of them, such as A3, B1 or C7, are no sites, and these
    outnumber the 10-20 names.  "E1", "E2", ... do not count (EGI's, or of the eyes),
    nor do F11 and F12 (Neuroscan's).

    Parameters
    ----------
    names : sequence of str
        Names of channels, in capitals.
    sites : container of str
        Names of 10-05 sites.

    Returns
    -------
    dict of int to str
        Index of each such channel in ``names``, and its label, such as "A1".
    """
    found = _split(names, _BIOSEMI)
    other = {cable for cable, n in found.values() if not 1 <= n <= _BIOSEMI_CABLE}
    found = {k: label for k, label in found.items() if label[0] not in other}
    strange = [
        k for k, label in found.items()
        if names[k] not in sites and label[0] != "E" and label not in _NEUROSCAN
    ]  # fmt: skip
    known = [k for k, n in enumerate(names) if n in sites and n not in _EARS]
    plain = [k for k in known if k not in found]
    if not strange or (plain and len(strange) <= len(known)):
        return {}
    return {k: f"{cable}{n}" for k, (cable, n) in found.items()}


def numbered(names, sites):
    """Find names such as C1 that are running numbers (C1 to C64), not 10-20 sites.

    Returns
    -------
    set of int
        Their indices in ``names``.
    """
    found = _split(names, _NUMBERED)
    counts = {}
    for prefix, n in found.values():
        counts.setdefault(prefix, set()).add(n)
    counted = set()
    for prefix, of_prefix in counts.items():
        if max(of_prefix) <= _LAST_NUMBER:
            continue
        others = [
            n for k, n in enumerate(names)
            if n in sites and n not in _EARS and found.get(k, ("",))[0] != prefix
        ]  # fmt: skip
        # Unused inputs of an amplifier (C25, C26, ...) stand beside C3 and C4.
        up_to_last = {
            n for n in range(1, _LAST_NUMBER + 1) if f"{prefix}{n}" not in sites
        }
        if not others or up_to_last <= of_prefix:
            counted.add(prefix)
    return {k for k, (prefix, _) in found.items() if prefix in counted}


def biosemi_cap(labels):
    """Return how many electrodes the cap has that labels are of; None if unclear."""
    cables = {label[0] for label in labels}
    if len(cables) < 2 or cables <= {"A", "B"}:
        return None
    if cables & {"F", "G", "H"}:
        return 256
    return 160 if "E" in cables else 128


@cache
def biosemi_positions(n_electrodes):
    """Return where MNE has the electrodes of a cap: a dict of label to (3,), metres."""
    import mne

    montage = mne.channels.make_standard_montage(f"biosemi{n_electrodes}")
    info = mne.create_info(montage.ch_names, 1.0, "eeg", verbose="error")
    info.set_montage(montage, verbose="error")
    return {ch["ch_name"]: np.array(ch["loc"][:3]) for ch in info["chs"]}


def true_positions(positions):
    """Replace positions that cannot be right by NaN.

    Parameters
    ----------
    positions : ndarray of shape (n_channels, 3)
        Digitised positions.

    Returns
    -------
    positions : ndarray of shape (n_channels, 3)
        NaN where unknown, where all three coordinates are 0, and off the head.
    fault : str or None
        Why no position can be right; None if some can.
    """
    known = np.isfinite(positions).all(axis=1) & positions.any(axis=1)
    unusable = np.full(positions.shape, np.nan)
    if not known.any():
        return unusable, None
    low, high = _ON_A_HEAD
    distance = np.linalg.norm(np.where(known[:, None], positions, 0.0), axis=1)
    sane = known & (distance >= low) & (distance <= high)
    if 2 * sane.sum() < known.sum():
        return unusable, (
            f"they lie {np.median(distance[known]):.3g} from the origin (the median), "
            "where electrodes on a head are at about 0.08 to 0.15 m"
        )
    if sane.sum() >= _ENOUGH_TO_FIT and np.ptp(positions[sane, 2]) < _FLAT:
        return unusable, "they lie in a plane"
    return np.where(sane[:, None], positions, np.nan), None


def compare_with_sites(positions, sites):
    """Find electrodes that were digitised far from the sites of their names.

    Parameters
    ----------
    positions, sites : ndarray of shape (n_channels, 3)
        Digitised positions, and positions of the names' sites.

    Returns
    -------
    distance : ndarray of shape (n_channels,)
        In metres.
    far : ndarray of bool, shape (n_channels,)
        Which electrodes are too far.
    moved : bool
        Whether most are too far because the whole montage is turned, mirrored, shifted
        or of another size.
    """
    distance = np.linalg.norm(positions - sites, axis=1)
    few = len(distance) < _ENOUGH_TO_FIT
    near = distance <= (_FAR_OF_FEW if few else FAR)
    if near.all() or few or 2 * near.sum() > len(near):
        far = ~near
        if near.sum() >= _ENOUGH_TO_FIT and far.any():
            # The origin of some heads (EEGLAB's) is higher, at the centre of a sphere.
            far &= _misfit(positions, sites, near) > FAR
        return distance, far, False
    moved = np.median(_misfit(positions, sites, slice(None))) < _SAME_SHAPE
    return distance, ~near, bool(moved)


def _misfit(positions, sites, fitted):
    """Return distances to sites after a similarity fitted to some of the electrodes."""
    a, b = positions[fitted], sites[fitted]
    center_a, center_b = a.mean(axis=0), b.mean(axis=0)
    u, s, vt = np.linalg.svd((a - center_a).T @ (b - center_b))
    scale = s.sum() / max(((a - center_a) ** 2).sum(), np.finfo(float).tiny)
    moved = scale * (positions - center_a) @ u @ vt + center_b
    return np.linalg.norm(moved - sites, axis=1)


def _split(names, pattern):
    """Return letters and number of each matching name: a dict of index to both."""
    matches = {k: pattern.fullmatch(name) for k, name in enumerate(names)}
    return {k: (m[1], int(m[2])) for k, m in matches.items() if m}


def describe_distances(names, distance):
    """Name channels and their distances, the farthest first."""
    order = np.argsort(-distance, kind="stable")
    return list_some(f"{names[k]} ({100 * distance[k]:.1f} cm)" for k in order)
