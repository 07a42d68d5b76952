"""Removal of the ICA components that ICLabel takes for artifacts."""

from __future__ import annotations

import warnings

import numpy as np

# ICLabel was trained on signals of this band, in hertz.
ICLABEL_BAND = (1.0, 100.0)
# The classes of ICLabel, in the order of its output.
LABELS = ("brain", "muscle", "eye", "heart", "line noise", "channel noise", "other")
# Directions with less than this share of the largest one's variance are rounding.
_RANK_TOLERANCE = 1e-8


def remove_components(data, wide, inside, parameters):
    """Fit an ICA in the band of ICLabel, and remove labelled components.

    Parameters
    ----------
    data : mne.io.BaseRaw
        The recording in the band of the result; components are removed from it.
    wide : mne.io.BaseRaw
        The recording in the band of ICLabel.
    inside : ndarray of bool, shape (n_times,)
        The samples that the ICA is fitted on.
    parameters : dict
        Those of `clean_recording`.

    Returns
    -------
    dict
        ``components``, ``rank`` and ``n_iterations`` of the report.
    """
    import mne

    p = parameters
    fitted = mne.io.RawArray(wide.get_data()[:, inside], wide.info)
    rank = _rank(fitted.get_data())
    ica = mne.preprocessing.ICA(
        rank,
        method=p["ica"],
        fit_params={"extended": True}
        | ({"ortho": False} if p["ica"] == "picard" else {}),
        max_iter=p["max_ica_iter"],
        random_state=p["random_state"],
    )
    decim = -(-fitted.n_times // p["max_ica_samples"])
    with warnings.catch_warnings():
        # ICLabel warns of bands other than its own; `clean_recording` has done so.
        warnings.simplefilter("ignore")
        ica.fit(fitted, decim=decim)
        probabilities = _label(fitted, ica)
    maps = ica.get_components()
    maps = maps / np.abs(maps).max(axis=0)
    components = []
    for k, row in enumerate(probabilities):
        label = LABELS[row.argmax()]
        probability = round(float(row.max()), 4)
        components.append(
            {
                "component": k,
                "label": label,
                "probability": probability,
                "removed": label in p["remove"] and probability > p["threshold"],
                "topography": maps[:, k].round(4).tolist(),
            }
        )
    removed = [row["component"] for row in components if row["removed"]]
    if removed:
        ica.apply(data, exclude=removed)
    return {"components": components, "rank": rank, "n_iterations": int(ica.n_iter_)}


def _rank(x):
    """Count the directions (n_channels, n_times) that hold more than rounding."""
    variances = np.linalg.eigvalsh(np.cov(x))
    return int((variances > _RANK_TOLERANCE * variances.max()).sum())


def _label(raw, ica):
    """Return the probabilities (n_components, 7) of ICLabel's classes."""
    from mne_icalabel.iclabel import iclabel_label_components

    from .._torch import plain_torch, torch_threads

    # Always the same backend, for the same result; torch comes with this package.
    with plain_torch(), torch_threads(1):
        return iclabel_label_components(raw, ica, inplace=False, backend="torch")
