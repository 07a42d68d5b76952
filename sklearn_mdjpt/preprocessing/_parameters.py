"""The parameters of `clean_recording`: what each must be."""

from __future__ import annotations

from .._validation import check_installed, check_number, check_option
from ._bad_channels import check_rules, check_texts
from ._components import LABELS

_NEEDED_BY = "Cleaning with ICA (ica=None does without)"


def check_parameters(parameters):
    """Return all parameters of `clean_recording` but the trials, as JSON holds them.

    Raises
    ------
    ValueError
        If one is out of range.
    ImportError
        If a package that the ICA needs is not installed.
    """
    p = dict(parameters)
    for name in ("l_freq", "h_freq", "sfreq"):
        check_number(p[name], name, none=name == "sfreq", above=0)
        p[name] = None if p[name] is None else float(p[name])
    if p["l_freq"] >= p["h_freq"]:
        raise ValueError(
            f"l_freq must be below h_freq, got {p['l_freq']:g} and {p['h_freq']:g} Hz."
        )
    if p["sfreq"] is not None and p["sfreq"] <= 2 * p["h_freq"]:
        raise ValueError(
            f"sfreq={p['sfreq']:g} Hz cannot hold a band up to h_freq="
            f"{p['h_freq']:g} Hz; it must exceed twice that."
        )
    p["amplitude_rules"] = [list(rule) for rule in check_rules(p["amplitude_rules"])]
    check_number(p["flat"], "flat", none=True, least=0, most=1)
    check_number(p["threshold"], "threshold", least=0, most=1)
    for name in ("n_neighbours", "max_ica_samples", "max_ica_iter"):
        check_number(p[name], name, whole=True, least=1)
    for name in ("spare", "remove"):
        p[name] = check_texts(p[name], name)
    for label in p["remove"]:
        check_option(label, LABELS, "An entry of remove")
    check_option(p["ica"], ("infomax", "picard", None), "ica")
    # No None: the same recording is to give the same result.
    check_number(p["random_state"], "random_state", whole=True, least=0)
    p["random_state"] = int(p["random_state"])
    if p["ica"] is not None:
        check_installed("mne_icalabel", _NEEDED_BY, 'pip install "sklearn_mdjpt[ica]"')
    if p["ica"] == "picard":
        check_installed("picard", _NEEDED_BY, "pip install python-picard")
    return p
