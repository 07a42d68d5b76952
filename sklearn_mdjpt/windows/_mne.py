"""Recordings to MNE's Raw and back; channels, electrodes and trials of a Raw."""

import re

import numpy as np
import pandas as pd

from .._validation import check_option, list_some, warn
from ..channels._channels import electrode_positions
from ._edf_gaps import refuse_gaps
from ._marks import (
    BAD_TEXT,
    BORDER_TEXT,
    CUT_TEXT,
    annotation_marks,
    is_mark,
    label_to_text,
    text_to_label,
)

_EARS = re.compile(r"(?i)[AM][12]")
_NO_SCALP = re.compile(r"(?i)[HVLR]?EO[GLRUD][LRUDHV12]?|E[CMK]G.*")


def read_raw(raw, trials, description):
    """Return arguments of `Recording` for a Raw; see `Recording.from_raw`."""
    import mne

    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(f"raw must be an mne.io.Raw, got {type(raw).__name__}.")
    check_option(description, ("label", "stimulus"), "description")
    refuse_gaps(raw)
    picks = pick_good_eeg(raw)
    trials = read_trials(raw, trials, description)
    marks = annotation_marks(raw)
    warn_of_no_scalp([raw.ch_names[pick] for pick in picks])
    good = raw.copy().pick(picks).load_data(verbose="error")
    good.apply_proj(verbose="error")
    return {
        "signal": good.get_data().astype(np.float32),
        "ch_names": good.ch_names,
        "sfreq": good.info["sfreq"],
        "trials": trials,
        "positions": info_positions(good.info),
        "bad_spans": marks.bad_spans,
        "cuts": marks.cuts,
    }


def make_raw(recording, description):
    """Make an `mne.io.RawArray` of a recording; see `Recording.to_raw`."""
    check_option(description, ("label", "stimulus"), "description")
    import mne

    signal = np.array(recording.signal, dtype=float)
    raw = mne.io.RawArray(signal, make_info(recording), verbose="error")
    raw.set_annotations(_annotations(recording, description), verbose="error")
    return raw


def _annotations(recording, description):
    import mne

    trials, duration = recording.trials, recording.duration
    starts, stops = trials["start"].to_numpy(), trials["stop"].to_numpy()
    texts = [
        label_to_text(text) if not pd.isna(text) else f"trial {trial or k + 1}"
        for k, (text, trial) in enumerate(
            zip(trials[description], trials["trial"], strict=True)
        )
    ]
    # To half a sample: the times of joined trials are sums of rounded lengths.
    joined = [
        start for start in starts if (abs(stops - start) < 0.5 / recording.sfreq).any()
    ]
    spans = [
        (max(start, 0.0), min(stop, duration), BAD_TEXT)
        for start, stop in recording.bad_spans
    ]
    rows = [
        *zip(starts, np.minimum(stops, duration), texts, strict=True),
        *((start, start, BORDER_TEXT) for start in joined),
        *((cut, cut, CUT_TEXT) for cut in recording.cuts if 0 < cut < duration),
        *(span for span in spans if span[1] > span[0]),
    ]
    onsets = [start for start, _, _ in rows]
    durations = [stop - start for start, stop, _ in rows]
    return mne.Annotations(onsets, durations, [text for _, _, text in rows])


def read_trials(raw, trials=None, description="label"):
    """Return the trials that a Raw's annotations name.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording.
    trials : DataFrame or list of dict, default=None
        Trials that replace those of the annotations.
    description : str, default="label"
        The column that their descriptions make.

    Returns
    -------
    DataFrame or list of dict or None
        In seconds from the recording's start; None without trials.
    """
    if trials is not None:
        return trials
    end = raw.n_times / raw.info["sfreq"]
    marks = raw.annotations
    rows = [
        (max(onset, 0.0), onset + duration, str(text))
        for onset, duration, text in zip(
            marks.onset - raw.first_time, marks.duration, marks.description, strict=True
        )
        if not is_mark(text)
    ]
    # BrainVision gives each marker the length of a sample; where nothing lasts longer,
    # what was meant is not known, and trials without a window will tell.
    step = 1.5 / raw.info["sfreq"]
    lasts = any(stop - start > step for start, stop, _ in rows)
    least = step if lasts else 0.0
    spans = [row for row in rows if row[1] - row[0] > least]
    points = [text for start, stop, text in rows if stop - start <= least]
    if points:
        warn(
            f"{len(points)} annotations have no duration and make no trial "
            f"({list_some(sorted(set(points)), 4)}); pass trials= with start and stop."
        )
    trials = [
        {"start": start, "stop": min(stop, end), description: text_to_label(text)}
        for start, stop, text in spans
    ]
    return trials or None


def pick_good_eeg(raw):
    """Return the indices of a Raw's good EEG channels; raise if it has none."""
    import mne

    picks = mne.pick_types(raw.info, eeg=True, exclude="bads")
    if not len(picks):
        raise ValueError(
            "The Raw has no good EEG channel; its channel types are "
            f"{list_some(sorted(set(raw.get_channel_types())))}, marked bad: "
            f"{list_some(raw.info['bads']) or 'none'}."
        )
    return picks


def make_info(source):
    """Make an `mne.Info` of a recording's or stack's channels, rate and electrodes."""
    import mne

    info = mne.create_info(list(source.ch_names), source.sfreq, "eeg", verbose="error")
    montage = head_montage(source.ch_names, source.positions)
    if montage is not None:
        info.set_montage(montage, on_missing="ignore", verbose="error")
    return info


def head_montage(ch_names, positions=None):
    """Make an `mne.channels.DigMontage` of the electrodes with a known position.

    Digitised positions, (n_channels, 3) with NaN where unknown, take precedence over
    the template; None if no electrode has a position.
    """
    import mne

    sites = zip(ch_names, electrode_positions(ch_names, positions), strict=True)
    known = {name: site for name, site in sites if np.isfinite(site).all()}
    if not known:
        return None
    return mne.channels.make_dig_montage(known, coord_frame="head")


def warn_of_no_scalp(ch_names, of=""):
    """Warn of channels that are typed EEG, and are none of the scalp by their names.

    Parameters
    ----------
    ch_names : sequence of str
        Channels of the type EEG.
    of : str, default=""
        What has them, for the message.
    """
    names = [re.sub(r"(?i)^(EEG|POL)[ _-]+|-REF$", "", name) for name in ch_names]
    # Of BioSemi's A1 to A32 all lie on the scalp.
    ears = sum(bool(re.fullmatch(r"A\d+", name)) for name in names) <= 2
    found = [
        name
        for name, bare in zip(ch_names, names, strict=True)
        if _NO_SCALP.fullmatch(bare) or (ears and _EARS.fullmatch(bare))
    ]
    if found:
        warn(
            f"Channels {list_some(found)}{of} are typed EEG, and by their names lie at "
            "the ears, the eyes, muscles or the heart. Baselines take them for EEG: "
            "type them MISC or EOG, or mark them bad."
        )


def info_positions(info):
    """Digitised positions (n_channels, 3) of an `mne.Info`, NaN where unknown."""
    from mne.io.constants import FIFF

    positions = np.array([ch["loc"][:3] for ch in info["chs"]], dtype=float)
    unknown = ~np.isfinite(positions).all(axis=1) | ~positions.any(axis=1)
    # Positions in an MR image are of another frame, which nothing here relates to it.
    frames = (FIFF.FIFFV_COORD_HEAD, FIFF.FIFFV_COORD_UNKNOWN)
    unknown |= [ch["coord_frame"] not in frames for ch in info["chs"]]
    positions[unknown] = np.nan
    return positions
