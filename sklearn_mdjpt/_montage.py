"""The channels that windows of one or several montages have in common."""

import warnings

import numpy as np

from ._validation import check_ch_names, list_some
from .channels import (
    CANONICAL_CHANNELS,
    canonical_name,
    channel_matrix,
    electrode_positions,
    site_names,
)

# Electrodes of Neuroscan's 62 (SEED) that the 10-05 system does not name.
_CEREBELLAR = ("CB1", "CB2")


class CommonChannels:
    """Channels to bring all windows to, and the map of each recording to them.

    Parameters
    ----------
    X : EEGWindows
        Windows as seen in ``fit``.
    channels : {"auto", "canonical"}
        "auto": those of X where all its windows share them, in any order, else the
        canonical ones.

    Attributes
    ----------
    names : tuple of str
        The channels.
    maps : bool
        Whether these are the canonical ones, that recordings are mapped to.
    """

    def __init__(self, X, channels):
        montages = list(dict.fromkeys(source.ch_names for source in X.recordings))
        one = len({frozenset(site_names(names)) for names in montages}) == 1
        self.maps = channels == "canonical" or not one
        self.names = CANONICAL_CHANNELS if self.maps else montages[0]
        if not self.maps:
            _warn_of_other_signals(X.recordings[0])

    def matrix(self, source):
        """Return the map (n_names, n_channels) of a recording; None is the identity.

        Raises
        ------
        ValueError
            If the recording has other channels than those seen in ``fit``.
        """
        if self.maps:
            return channel_matrix(source.ch_names, positions=source.positions)
        column = {name: i for i, name in enumerate(site_names(source.ch_names))}
        wanted = list(site_names(self.names))
        if set(column) != set(wanted):
            lacking = [name for name in wanted if name not in column]
            surplus = [name for name in column if name not in wanted]
            raise ValueError(
                "X has other channels than in fit. Missing: "
                f"{list_some(lacking) or 'none'}; not seen in fit: "
                f"{list_some(surplus) or 'none'}. Use channels='canonical' to put "
                "several montages on the same 60 channels."
            )
        picks = [column[name] for name in wanted]
        if picks == list(range(len(picks))):
            return None
        return np.eye(len(picks))[picks]


def _warn_of_other_signals(source):
    """Warn of channels that are nowhere on the head, beside others that are."""
    places = electrode_positions(source.ch_names, source.positions)
    nowhere = [
        name
        for name, place in zip(source.ch_names, places, strict=True)
        if not np.isfinite(place).all() and canonical_name(name) not in _CEREBELLAR
    ]
    if nowhere and len(nowhere) < len(source.ch_names):
        warnings.warn(
            f"Channels {list_some(nowhere)} have neither a 10-05 name nor a position: "
            "references or other signals (ECG, EOG) are no EEG, and may give away what "
            "is to be decoded. They are used all the same; channels='canonical' leaves "
            "them out, and so does dropping them from the recordings.",
            stacklevel=4,
        )


class ChosenChannels:
    """Channels that are named, and the map of each recording to them.

    Parameters
    ----------
    names : sequence of str
        The channels, in the order wanted; any case, T3 or T7.

    Attributes
    ----------
    names : tuple of str
        The channels.
    maps : bool
        False: they are channels of the recordings themselves.
    """

    maps = False

    def __init__(self, names):
        self.names = check_ch_names(names)
        site_names(self.names)
        if not self.names:
            raise ValueError("channels is an empty list; name one channel or more.")

    def matrix(self, source):
        """Return the map (n_names, n_channels) of a recording.

        Raises
        ------
        ValueError
            If the recording lacks one of the channels.
        """
        column = {name: i for i, name in enumerate(site_names(source.ch_names))}
        wanted = site_names(self.names)
        lacking = [name for name in wanted if name not in column]
        if lacking:
            raise ValueError(
                f"X lacks channels {list_some(lacking)} that were asked for; it has "
                f"{list_some(source.ch_names)}."
            )
        return np.eye(len(column))[[column[name] for name in wanted]]
