"""The channels that windows of one or several montages have in common."""

import numpy as np

from .._validation import check_ch_names, list_some, warn
from ._channels import (
    CANONICAL_CHANNELS,
    canonical_name,
    channel_matrix,
    electrode_positions,
    site_names,
)

# Electrodes of Neuroscan's 62 (SEED) that the 10-05 system does not name.
_CEREBELLAR = ("CB1", "CB2")


class _Channels:
    """What the ways to choose channels share."""

    def picks(self, source):
        """Return the places of a recording's channels that are used."""
        matrix = self.matrix(source)
        if matrix is None:
            return np.arange(source.n_channels)
        return np.flatnonzero(matrix.any(axis=0))


class CommonChannels(_Channels):
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
        self._matrices = {}
        if not self.maps:
            _warn_of_other_signals(X.recordings[0])

    def __getstate__(self):
        return self.__dict__ | {"_matrices": {}}

    def matrix(self, source):
        """Return the map (n_names, n_channels) of a recording; None is the identity.

        Raises
        ------
        ValueError
            If the recording has other channels than those seen in ``fit``.
        """
        if self.maps:
            return self._canonical_matrix(source)
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

    def _canonical_matrix(self, source):
        """Find the map of each montage, and warn of it, once."""
        positions = source.positions
        key = source.ch_names, None if positions is None else positions.tobytes()
        if key not in self._matrices:
            self._matrices[key] = channel_matrix(source.ch_names, positions=positions)
        return self._matrices[key]


def _warn_of_other_signals(source):
    """Warn of channels that are nowhere on the head, beside others that are."""
    places = electrode_positions(source.ch_names, source.positions)
    nowhere = [
        name
        for name, place in zip(source.ch_names, places, strict=True)
        if not np.isfinite(place).all() and canonical_name(name) not in _CEREBELLAR
    ]
    if nowhere and len(nowhere) < len(source.ch_names):
        warn(
            f"Channels {list_some(nowhere)} have neither a 10-05 name nor a position: "
            "references or other signals (ECG, EOG) are no EEG, and may give away what "
            "is to be decoded. They are used all the same; channels='canonical' leaves "
            "them out, and so does dropping them from the recordings."
        )


class ChosenChannels(_Channels):
    """Channels that are named, and the map of each recording to them.

    Parameters
    ----------
    names : sequence of str
        The channels, in the order wanted; any case, T3 or T7.
    X : EEGWindows
        Windows as seen in ``fit``, in which a name must have one meaning.

    Attributes
    ----------
    names : tuple of str
        The channels.
    maps : bool
        False: they are channels of the recordings themselves.
    """

    maps = False

    def __init__(self, names, X):
        self.names = check_ch_names(names)
        site_names(self.names)
        if not self.names:
            raise ValueError("channels is an empty list; name one channel or more.")
        self._wanted = self._spelt_as_in(X.recordings[0])

    def matrix(self, source):
        """Return the map (n_names, n_channels) of a recording.

        Raises
        ------
        ValueError
            If the recording lacks one of the channels, or a name has another meaning
            in it than in the first one seen in ``fit``.
        """
        column = {name: i for i, name in enumerate(site_names(source.ch_names))}
        wanted = self._spelt_as_in(source)
        other = [
            name
            for name, here, there in zip(self.names, wanted, self._wanted, strict=True)
            if here != there
        ]
        if other:
            raise ValueError(
                f"Channels {list_some(other)} are sites of the 10-20 system in some "
                "recordings, and BioSemi's or counted names in others. Rename them "
                "(Raw.rename_channels), or use channels='canonical'."
            )
        lacking = [name for name in wanted if name not in column]
        if lacking:
            raise ValueError(
                f"X lacks channels {list_some(lacking)} that were asked for; it has "
                f"{list_some(source.ch_names)}."
            )
        return np.eye(len(column))[[column[name] for name in wanted]]

    def _spelt_as_in(self, source):
        """Return the names as `site_names` spells them among a recording's own."""
        theirs = zip(source.ch_names, site_names(source.ch_names), strict=True)
        spelt = {canonical_name(name): spelling for name, spelling in theirs}
        names = [canonical_name(name) for name in self.names]
        return [spelt.get(name, name) for name in names]


class SharedChannels(_Channels):
    """Channels that all montages of X have, in alphabetical order.

    Parameters
    ----------
    X : EEGWindows
        Windows.

    Attributes
    ----------
    names : list of str
        As `site_names` spells them.
    """

    def __init__(self, X):
        montages = [set(site_names(source.ch_names)) for source in X.recordings]
        self.names = sorted(set.intersection(*montages))
        if not self.names:
            raise ValueError("The montages have no channel in common to compare.")

    def matrix(self, source):
        """Return the choice (n_names, n_channels) of a recording's channels."""
        names = site_names(source.ch_names)
        return np.eye(len(names))[[names.index(name) for name in self.names]]
