"""The channels that windows of one or several montages have in common."""

import numpy as np

from ._validation import list_some
from .channels import CANONICAL_CHANNELS, channel_matrix, site_names


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
