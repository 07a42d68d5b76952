"""The channels that windows of one or several montages have in common."""

import numpy as np

from .._validation import check_ch_names, check_option, list_some, warn
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
    """Base of the three ways to choose channels."""

    def picks(self, source):
        """Return the indices of a recording's channels that are used."""
        matrix = self.matrix(source)
        if matrix is None:
            return np.arange(source.n_channels)
        return np.flatnonzero(matrix.any(axis=0))

    def check_number(self, n_channels):
        """Raise unless windows without names have as many channels as in fit."""
        if n_channels != self.n_channels:
            raise ValueError(
                f"X has {n_channels} channels, but the estimator was fitted with "
                f"{self.n_channels}."
            )


def common_channels(X, channels):
    """Return the channels that a transformer maps windows to.

    Parameters
    ----------
    X : EEGWindows or ndarray of shape (n_windows, n_channels, n_times)
        Windows as seen in ``fit``.
    channels : {"auto", "canonical"}
        As for `CommonChannels`; an array can only have "auto".

    Returns
    -------
    CommonChannels or UnnamedChannels
    """
    check_option(channels, ("auto", "canonical"), "channels")
    if not isinstance(X, np.ndarray):
        return CommonChannels(X, channels)
    if channels == "canonical":
        raise ValueError(
            "channels='canonical' needs channel names: pass EEGWindows "
            "(EEGWindows.from_arrays) instead of an array."
        )
    return UnnamedChannels(X.shape[1])


class UnnamedChannels(_Channels):
    """Channels of an array, of which only the number is known.

    Parameters
    ----------
    n_channels : int
        Number of channels.
    """

    names, maps = None, False

    def __init__(self, n_channels):
        self.n_channels = n_channels

    def matrix(self, source):
        """Return None, the identity; raise if the recording has another number."""
        self.check_number(source.n_channels)


class CommonChannels(_Channels):
    """Channels that all windows are mapped to, with the map of each recording.

    Parameters
    ----------
    X : EEGWindows
        Windows as seen in ``fit``.
    channels : {"auto", "canonical"}
        "auto": the channels of X if all its windows have the same, in any order;
        otherwise the canonical ones.

    Attributes
    ----------
    names : tuple of str
        The channels.
    maps : bool
        Whether recordings are mapped to the canonical channels.
    """

    def __init__(self, X, channels):
        montages = list(dict.fromkeys(source.ch_names for source in X.recordings))
        one = len({frozenset(site_names(names)) for names in montages}) == 1
        self.maps = channels == "canonical" or not one
        self.names = CANONICAL_CHANNELS if self.maps else montages[0]
        self.n_channels = len(self.names)
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
        """Return the map of a montage, computed (with its warnings) only once."""
        positions = source.positions
        key = source.ch_names, None if positions is None else positions.tobytes()
        if key not in self._matrices:
            self._matrices[key] = channel_matrix(source.ch_names, positions=positions)
        return self._matrices[key]


def _warn_of_other_signals(source):
    """Warn of channels without a position on the head, if others have one."""
    positions = electrode_positions(source.ch_names, source.positions)
    unknown = [
        name
        for name, position in zip(source.ch_names, positions, strict=True)
        if not np.isfinite(position).all() and canonical_name(name) not in _CEREBELLAR
    ]
    if unknown and len(unknown) < len(source.ch_names):
        warn(
            f"Channels {list_some(unknown)} have neither a 10-05 name nor a position: "
            "references or other signals (ECG, EOG) are no EEG, and may give away what "
            "is to be decoded. They are used all the same; channels='canonical' leaves "
            "them out, and so does dropping them from the recordings."
        )


class ChosenChannels(_Channels):
    """Channels that the user names, with the map of each recording to them.

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
        changed = np.flatnonzero(np.array(wanted) != np.array(self._wanted))
        other = [self.names[k] for k in changed]
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
        names = map(canonical_name, source.ch_names)
        spelt = dict(zip(names, site_names(source.ch_names), strict=True))
        return [spelt.get(name, name) for name in map(canonical_name, self.names)]


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
