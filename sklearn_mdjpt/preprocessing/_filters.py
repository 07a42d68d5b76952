"""Filters and resampling that never run across a cut of the recording."""

from __future__ import annotations

import warnings

import numpy as np

from ..windows._marks import BORDER, cut_samples, kind_of_mark, matching_pieces
from ..windows._resampling import bridge_gaps, resample


def bridge_bad_spans(data, bad, pieces):
    """Put straight lines in place of bad samples, which filters would spread.

    Parameters
    ----------
    data : mne.io.BaseRaw
        The recording, which is changed.
    bad : ndarray of bool, shape (n_times,)
        Which samples are bad.
    pieces : ndarray of int, shape (n_pieces + 1,)
        The samples at which pieces between cuts begin, and the end.
    """
    for a, b in zip(pieces[:-1], pieces[1:], strict=True):
        if bad[a:b].any():
            x = bridge_gaps(data[:, a:b][0], bad[a:b])
            # A piece that is bad throughout has nothing to draw lines between.
            data[:, a:b] = np.nan_to_num(x, nan=0.0)


def find_edges(raw, pieces, l_freq, h_freq):
    """Return the samples at which filters stop.

    Filters stop at each cut, and where trials follow on each other if all pieces are
    long enough for the filter.

    Returns
    -------
    edges : ndarray of int, shape (n_edges,)
    messages : list of str
        What the user is to be warned of.

    Raises
    ------
    ValueError
        If the recording is shorter than the filter.
    """
    import mne

    sfreq, messages = raw.info["sfreq"], []
    taps = mne.filter.create_filter(None, sfreq, l_freq, h_freq, verbose="error")
    seconds = len(taps) / sfreq
    if len(taps) > raw.n_times:
        raise ValueError(
            f"The recording of {raw.n_times / sfreq:g} s is shorter than the "
            f"filter, which has {seconds:g} s at l_freq={l_freq:g} Hz."
        )
    marks = raw.annotations
    borders = [
        onset - raw.first_time
        for onset, text in zip(marks.onset, marks.description, strict=True)
        if kind_of_mark(text) == BORDER
    ]
    borders = cut_samples(borders, sfreq, raw.n_times)
    cuts = pieces[1:-1]
    edges = np.unique([*cuts, *borders])
    shortest = np.diff([0, *edges, raw.n_times]).min()
    if shortest >= len(taps):
        return edges, messages
    if len(borders):
        messages.append(
            f"Pieces of the recording, {shortest / sfreq:g} s the shortest, are "
            f"shorter than the filter of {seconds:g} s: it runs across their borders."
        )
    shortest = np.diff(pieces).min()
    if shortest < len(taps):
        messages.append(
            f"Pieces of the recording between cuts, {shortest / sfreq:g} s the "
            f"shortest, are shorter than the filter of {seconds:g} s, which does not "
            "work well at their ends."
        )
    return cuts, messages


def filter_pieces(data, low, high, edges):
    """Filter a recording in place, each piece between edges by itself."""
    import mne

    marks = data.annotations
    # MNE filters by pieces if annotations mark the edges; other marks must not.
    seconds = edges / data.info["sfreq"]
    data.set_annotations(
        mne.Annotations(seconds, np.zeros(len(edges)), ["EDGE"] * len(edges))
    )
    with warnings.catch_warnings():
        # MNE warns of pieces shorter than the filter; `find_edges` has told of them.
        warnings.filterwarnings("ignore", "filter_length", RuntimeWarning)
        data.filter(low, high, skip_by_annotation="edge")
    data.set_annotations(marks)
    return data


def resample_pieces(data, sfreq, cuts):
    """Return a recording at a new rate, each piece between cuts (s) by itself."""
    old = data.info["sfreq"]
    new = data.copy().resample(sfreq, method="polyphase")
    pieces = matching_pieces(cuts, old, data.n_times, new.info["sfreq"], new.n_times)
    if len(pieces) == 1:
        return new
    for a, b, new_a, new_b in pieces:
        # Unlike MNE's method, this takes pieces of any length.
        x = resample(data.get_data(start=a, stop=b), old, new.info["sfreq"])
        # Rounding may leave a piece a sample longer or shorter than its place.
        x = x[:, : new_b - new_a]
        lacking = new_b - new_a - x.shape[1]
        if x.shape[1]:
            new[:, new_a:new_b] = np.pad(x, [(0, 0), (0, lacking)], mode="edge")
    return new
