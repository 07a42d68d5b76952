"""Cleaning of one continuous recording with MNE and ICLabel."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .. import __version__
from .._validation import list_some, warn
from ..channels._channels import REFERENCES, electrode_positions, spelt_names
from ..windows._edf_gaps import refuse_gaps
from ..windows._marks import annotation_marks, cut_samples, span_samples
from ..windows._mne import head_montage, info_positions, read_trials
from ..windows._trials import check_trials
from ._bad_channels import (
    AMPLITUDE_RULES,
    FLAT,
    N_NEIGHBOURS,
    SPARED,
    check_finite,
    find_bad_channels,
    nearest_channels,
)
from ._components import ICLABEL_BAND, remove_components
from ._filters import bridge_bad_spans, filter_pieces, find_edges, resample_pieces
from ._parameters import check_parameters
from ._report import CleaningReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    import mne

    from .._typing import Trials


def clean_recording(
    raw: mne.io.BaseRaw,
    *,
    trials: Trials | None = None,
    l_freq: float = 0.5,
    h_freq: float = 47.0,
    sfreq: float | None = 125.0,
    amplitude_rules: Sequence[tuple[float, float]] = AMPLITUDE_RULES,
    flat: float | None = FLAT,
    spare: Sequence[str] = SPARED,
    n_neighbours: int = N_NEIGHBOURS,
    ica: Literal["infomax", "picard"] | None = "infomax",
    remove: Sequence[str] = ("eye", "muscle"),
    threshold: float = 0.8,
    max_ica_samples: int = 300_000,
    max_ica_iter: int = 500,
    random_state: int = 0,
) -> tuple[mne.io.RawArray, CleaningReport]:
    """Clean a continuous recording as the paper of mdJPT does.

    1. Band-pass.
    2. Bad channels are found in each trial (`find_bad_channels`), channels that carry
       blinks spared, and become the mean of their nearest good ones.
    3. ICA: components that ICLabel takes for eye or muscle are removed.
    4. Bad channels are looked for again, now in all channels.
    5. Common average reference.
    6. Resampling.

    Parameters
    ----------
    raw : mne.io.BaseRaw
        The recording, in volts; it is not changed.
    trials : DataFrame or list of dict, default=None
        Trials as for `Recording`, in seconds from the recording's start.  None takes
        annotations, as `Recording.from_raw` does; without any, the whole recording is
        one trial.
    l_freq, h_freq : float, default=0.5, 47.0
        Edges of the band in hertz; the filter is MNE's zero-phase FIR filter.
    sfreq : float or None, default=125.0
        Rate of the result in hertz; None leaves it as it is.
    amplitude_rules : sequence of (float, float), default=((3, 0.4), (30, 0.01))
        As for `find_bad_channels`.
    flat : float or None, default=0.05
        As for `find_bad_channels`; the paper has no such rule.
    spare : sequence of str, default=("Fp1", "Fp2", "F7", "F8")
        Channels that the amplitude rules leave alone before ICA.
    n_neighbours : int, default=3
        How many good channels a bad one is made of.
    ica : {"infomax", "picard", None}, default="infomax"
        How the ICA is computed, extended in either case ("picard" needs the package
        python-picard).  None leaves the third step out.
    remove : sequence of str, default=("eye", "muscle")
        Labels to remove: among "brain", "muscle", "eye", "heart", "line noise",
        "channel noise" and "other".
    threshold : float, default=0.8
        A component is removed if the probability of its label exceeds this.
    max_ica_samples : int, default=300_000
        The ICA is fitted on at most so many samples, evenly spaced in the trials.
    max_ica_iter : int, default=500
        Most iterations of the ICA.  Infomax often uses them all up, as it does in
        EEGLAB: what is left then hardly changes the components.
    random_state : int, default=0
        Seed of the ICA.

    Returns
    -------
    clean : mne.io.RawArray
        The EEG channels, with the annotations of ``raw``.
    report : CleaningReport
        What was done.

    Raises
    ------
    ImportError
        Before any work, if ICLabel is not installed and `ica` is not None.
    TypeError
        If ``raw`` is no Raw.
    ValueError
        If a parameter is out of range, the signal holds NaN or inf, is shorter than
        the filter, or has no two channels to take an average of, or all channels of a
        trial are flat.

    Warns
    -----
    UserWarning
        If EEG channels are left out, the recording's rate is below 200 Hz, pieces of
        it are shorter than the filter, or more than half of a trial's channels are
        bad.

    See Also
    --------
    clean_dataset : All recordings of a dataset, kept on disk.
    Recording.to_raw : Make a Raw of a recording.

    Notes
    -----
    ICLabel was trained on components of extended infomax, of signals between 1 and 100
    Hz with a common average reference [2]_.  So ICA and labels come from such a copy
    at the recording's own rate, limited to the trials and to the rank of the signal,
    and the components are removed from the signal of `l_freq` to `h_freq`.  **Below
    200 Hz** (DEAP's preprocessed files have 128 Hz) there is no such copy.  It then
    reaches up to half the rate, which takes away much of what tells muscles, and a
    warning says so; nor can it be known what an earlier filter took.  On short
    recordings and with few channels labels are poor as well.

    The average reference is applied before ICA too, and once more after the last
    interpolation, which takes back what a bad channel had put into it.

    **Marks.** What `Recording.from_raw` takes for a bad span has no effect on the rest:
    before the filters straight lines take its place, and bad channels, ICA and labels
    do without it. Filters and resampling never go across a cut.

    Which channels are bad is decided by the samples of a trial.  What lies between two
    trials goes with the nearer one.  Channels in ``raw.info["bads"]`` are bad in all,
    and what they hold has no effect, NaN included.  EEG channels without a 10-05 name
    or a digitised position have no neighbours and no topography: they are left out, and
    so are A1, A2, M1 and M2.  A channel that was the recording's reference is flat, and
    is interpolated.

    Results do not depend on the number of threads: linear algebra uses one here.
    Memory: four copies of the recording in float64, roughly.

    References
    ----------
    .. [1] Zhang et al., Multi-dataset joint pre-training of emotional EEG enables
       generalizable affective computing. NeurIPS 2025, arXiv:2510.22197.
    .. [2] Pion-Tonachini L, Kreutz-Delgado K, Makeig S. ICLabel: an automated
       electroencephalographic independent component classifier, dataset, and website.
       NeuroImage 2019;198:181-197, doi:10.1016/j.neuroimage.2019.05.026.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> from sklearn_mdjpt.preprocessing import clean_recording
    >>> X = make_emotion_windows(1, n_subjects=1, n_stimuli=2, random_state=0)
    >>> raw = X.recordings[0].to_raw()
    >>> clean, report = clean_recording(raw, ica=None)
    >>> report
    <CleaningReport: 60 channels, 2 trials, 0 of 120 channels of trials interpolated,
    no ICA>
    """
    parameters = check_parameters({
        "l_freq": l_freq, "h_freq": h_freq, "sfreq": sfreq,
        "amplitude_rules": amplitude_rules, "flat": flat, "spare": spare,
        "n_neighbours": n_neighbours, "ica": ica, "remove": remove,
        "threshold": threshold, "max_ica_samples": max_ica_samples,
        "max_ica_iter": max_ica_iter, "random_state": random_state,
    })  # fmt: skip
    import mne
    from threadpoolctl import threadpool_limits

    if not isinstance(raw, mne.io.BaseRaw):
        raise TypeError(
            f"raw must be an mne.io.Raw, got {type(raw).__name__}; Recording.to_raw "
            "makes one."
        )
    refuse_gaps(raw)
    trials = read_trials(raw, trials)
    trials = check_trials(trials, raw.n_times / raw.info["sfreq"])
    if not len(trials):
        raise ValueError("trials is empty; None takes the recording as one trial.")
    picks, left_out = _choose_channels(raw)
    # Several threads add up in another order, and rounding would then change the ICA.
    with threadpool_limits(limits=1), mne.utils.use_log_level("error"):
        return _Cleaning(raw, picks, left_out, trials, parameters).run()


class _Cleaning:
    """The steps of `clean_recording` on one recording; `run` has their order.

    Attributes
    ----------
    pieces : ndarray of int, shape (n_pieces + 1,)
        The samples at which pieces between cuts begin, and the end.
    bad : ndarray of bool, shape (n_times,)
        Which samples lie in bad spans.
    given : list of str
        Channels that were marked as bad before.
    bounds, spans : list of (int, int)
        First sample and end of each trial, and of what goes with it.
    rows : list of dict
        ``channels`` of the report.
    ica : dict
        ``components``, ``rank`` and ``n_iterations`` of the report.
    """

    def __init__(self, raw, picks, left_out, trials, parameters):
        self.raw, self.picks, self.trials = raw, picks, trials
        self.parameters = parameters
        self.sfreq = raw.info["sfreq"]
        self.marks = annotation_marks(raw)
        cuts = cut_samples(self.marks.cuts, self.sfreq, raw.n_times)
        self.pieces = np.array([0, *cuts, raw.n_times])
        self.bad = np.zeros(raw.n_times, bool)
        for first, end in span_samples(self.marks.bad_spans, self.sfreq, raw.n_times):
            self.bad[first:end] = True
        self.ch_names = [raw.ch_names[k] for k in picks]
        with warnings.catch_warnings(record=True) as said:
            # The user saw these warnings when the channels were chosen; the report
            # keeps them too.
            warnings.simplefilter("always")
            self.positions = electrode_positions(
                self.ch_names, info_positions(raw.info)[picks]
            )
        self.given = [name for name in raw.info["bads"] if name in self.ch_names]
        self.left_out = left_out
        self.warnings = [str(warning.message) for warning in said]
        self.names = [
            trial if trial is not None else str(k + 1)
            for k, trial in enumerate(trials["trial"])
        ]
        self.bounds, self.spans = _places(trials, self.sfreq, raw.n_times)
        self.rows = []
        self.ica = {"components": []}

    def run(self):
        """Return the cleaned recording and the report."""
        p = self.parameters
        if self.left_out:
            self.warn(
                f"EEG channels {list_some(self.left_out)} are left out: they have no "
                "10-05 name and no digitised position, or are reference electrodes."
            )
        data, wide = self.filtered()
        first = self.find(data, "before ICA", spare=p["spare"])
        self.interpolate(data, first)
        data.set_eeg_reference("average", projection=False)
        if wide is not None:
            self.interpolate(wide, first)
            wide.set_eeg_reference("average", projection=False)
            self.ica = remove_components(data, wide, self.in_trials(), p)
            del wide
        self.interpolate(data, self.find(data, "after ICA", spare=()))
        data.set_eeg_reference("average", projection=False)
        if p["sfreq"] is not None and p["sfreq"] != self.sfreq:
            data = resample_pieces(data, p["sfreq"], self.marks.cuts)
        return data, self.report(data)

    def warn(self, message):
        """Warn the user, and keep the message for the report."""
        self.warnings.append(message)
        warn(message)

    def filtered(self):
        """Return the recording in the band of the result, and in that of ICLabel."""
        p = self.parameters
        if p["h_freq"] >= self.sfreq / 2:
            raise ValueError(
                f"A band up to h_freq={p['h_freq']:g} Hz needs a recording of more "
                f"than {2 * p['h_freq']:g} Hz; this one has {self.sfreq:g} Hz."
            )
        data = self.raw.copy().pick(self.picks).load_data()
        if len(self.given) == len(self.ch_names):
            raise ValueError(f"All {len(self.given)} EEG channels are marked as bad.")
        # Channels marked as bad have no effect: NaN in them must not spread.
        for name in self.given:
            data[name] = 0.0
        # MNE's average reference and ICA leave out marked channels; these channels are
        # interpolated instead.
        data.info["bads"] = []
        good = ~self.bad
        lines = (data[k][0][0] for k in range(len(self.picks)))
        if self.bad.any():
            lines = (line[good] for line in lines)
        check_finite(lines, self.ch_names)
        bridge_bad_spans(data, self.bad, self.pieces)
        if data.info["projs"]:
            data.apply_proj()
        # Some positions were unknown, or cannot be true: take those found above.
        if not np.array_equal(info_positions(data.info), self.positions):
            data.set_montage(head_montage(self.ch_names, self.positions))
        edges, messages = find_edges(self.raw, self.pieces, p["l_freq"], p["h_freq"])
        for message in messages:
            self.warn(message)
        wide = None
        if p["ica"] is not None:
            low, high = ICLABEL_BAND
            if self.sfreq < 2 * high:
                self.warn(
                    f"ICLabel was trained on signals of {low:g} to {high:g} Hz; this "
                    f"recording of {self.sfreq:g} Hz ends at {self.sfreq / 2:g} Hz. "
                    "Labels, of muscles above all, are less certain; ica=None does "
                    "without."
                )
            # A recording of 200 Hz or less has nothing above the band.
            high = high if high < self.sfreq / 2 else None
            wide = filter_pieces(data.copy(), low, high, edges)
        filter_pieces(data, p["l_freq"], p["h_freq"], edges)
        return data, wide

    def find(self, data, step, *, spare):
        """Find the bad channels of each trial, and note why they are bad.

        Returns
        -------
        list of dict of str to list of str
            For each trial the good channels that each bad one is to be made of.
        """
        p, sources = self.parameters, []
        for name, (start, stop) in zip(self.names, self.bounds, strict=True):
            x = data.get_data(start=start, stop=stop)[:, ~self.bad[start:stop]]
            names = self.ch_names
            if step == "before ICA":
                x = x[[channel not in self.given for channel in names]]
                names = [channel for channel in names if channel not in self.given]
            try:
                found = find_bad_channels(
                    x, names, spare=spare,
                    amplitude_rules=p["amplitude_rules"], flat=p["flat"],
                ) if x.shape[1] else pd.DataFrame()  # fmt: skip
            except ValueError as error:
                raise ValueError(f"Trial {name!r}: {error}") from error
            rows = found.to_dict("records")
            if step == "before ICA":
                known = [
                    {"channel": channel, "rule": "marked bad", "value": None}
                    for channel in self.given
                ]
                rows = known + rows
            if 2 * len(rows) > len(self.ch_names):
                self.warn(
                    f"{len(rows)} of {len(self.ch_names)} channels are bad in trial "
                    f"{name!r}, {step}."
                )
            made_of = nearest_channels(
                [row["channel"] for row in rows], self.ch_names,
                positions=self.positions, n_neighbours=p["n_neighbours"],
            )  # fmt: skip
            sources.append(made_of)
            for row in rows:
                given = row["rule"] == "marked bad"
                self.rows.append(
                    {"trial": name, "channel": row["channel"]}
                    | {"step": "given" if given else step, "rule": row["rule"]}
                    | {"value": row["value"], "made_of": made_of[row["channel"]]}
                )
        return sources

    def interpolate(self, data, sources):
        """Make each bad channel the mean of its sources, in place."""
        for (start, stop), made_of in zip(self.spans, sources, strict=True):
            for bad, neighbours in made_of.items():
                picks = [self.ch_names.index(n) for n in neighbours]
                mean = data[picks, start:stop][0].mean(axis=0)
                data[self.ch_names.index(bad), start:stop] = mean[None]

    def in_trials(self):
        """Return which samples (n_times,) are good ones of trials."""
        inside = np.zeros(self.raw.n_times, bool)
        for start, stop in self.bounds:
            inside[start:stop] = True
        inside &= ~self.bad
        if not inside.any():
            raise ValueError("All samples of the trials are annotated as bad.")
        return inside

    def report(self, data):
        """Return what was done, for cleaned data."""
        import mne

        versions = {"sklearn_mdjpt": __version__, "mne": mne.__version__}
        if self.parameters["ica"] is not None:
            import mne_icalabel

            versions["mne_icalabel"] = mne_icalabel.__version__
        times = self.trials[["start", "stop"]].to_numpy(float)
        return CleaningReport(
            ch_names=list(self.ch_names),
            sfreq=float(self.sfreq),
            new_sfreq=float(data.info["sfreq"]),
            trials=[
                {"trial": name, "start": float(start), "stop": float(stop)}
                for name, (start, stop) in zip(self.names, times, strict=True)
            ],
            channels=self.rows,
            positions=self.positions.round(5).tolist(),
            left_out=self.left_out,
            warnings=self.warnings,
            parameters=self.parameters,
            versions=versions,
            **self.ica,
        )


def _choose_channels(raw):
    """Return the EEG channels to clean, and the names of those that cannot be."""
    import mne

    picks = mne.pick_types(raw.info, eeg=True, exclude=[])
    names = [raw.ch_names[k] for k in picks]
    sites = electrode_positions(names, info_positions(raw.info)[picks])
    located = np.isfinite(sites).all(axis=1) & [
        name not in REFERENCES for name in spelt_names(names)
    ]
    left_out = [name for name, good in zip(names, located, strict=True) if not good]
    if located.sum() < 2:
        raise ValueError(
            "A common average needs two EEG channels with 10-05 names or digitised "
            f"positions; got {list_some(names) or 'no EEG channel'}."
        )
    return picks[located], left_out


def _places(trials, sfreq, n_times):
    """Return the samples of each trial, and those that go with it.

    What goes with a trial reaches to the middle of the break (or of the overlap)
    between it and the next trial, and to the ends of the recording.
    """
    starts = np.round(trials["start"].to_numpy(float) * sfreq).astype(int)
    stops = np.round(trials["stop"].to_numpy(float) * sfreq).astype(int)
    stops = np.minimum(stops, n_times)
    order = np.argsort(starts, kind="stable")
    middles = (stops[order][:-1] + starts[order][1:]) // 2
    borders = np.maximum.accumulate([0, *middles, n_times])
    spans = np.empty((len(starts), 2), int)
    spans[order, 0], spans[order, 1] = borders[:-1], borders[1:]
    return list(zip(starts, stops, strict=True)), [tuple(span) for span in spans]
