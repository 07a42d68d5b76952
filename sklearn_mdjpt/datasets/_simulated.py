"""Simulated EEG of several emotion datasets, with every difficulty a parameter.

The simulator is a generative model in four layers, each of which can be turned
off: an anatomy shared by everyone (sources in a spherical head), datasets that
distort it (montage, rate, gain, reference, source strengths), subjects who distort
it further, and stimuli that drive band power in the same way in all who watch.
"""

from __future__ import annotations

from functools import lru_cache, partial
from numbers import Integral
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq
from sklearn.utils import check_random_state

from .._validation import check_ch_names, check_number
from ..channels._channels import CANONICAL_CHANNELS, template_positions
from ..windows._recording import Recording
from ..windows._windows import EEGWindows
from ._artifacts import Artifacts, check_artifacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .._typing import RandomState

MONTAGES = {
    "canonical60": CANONICAL_CHANNELS,
    "faced30": tuple(
        "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz "
        "P3 P4 P7 P8 PO3 PO4 Oz O1 O2".split()
    ),
    "deap32": tuple(
        "Fp1 AF3 F3 F7 FC5 FC1 C3 T7 CP5 CP1 P3 P7 PO3 O1 Oz Pz Fp2 AF4 Fz F4 F8 "
        "FC6 FC2 Cz C4 T8 CP6 CP2 P4 P8 PO4 O2".split()
    ),
}
"""Channel names of the montages that `make_emotion_windows` knows by name."""

# What dataset i gets by default is entry i modulo the length.
_DEFAULT_MONTAGES = ("canonical60", "faced30", "deap32")
_DEFAULT_SFREQS = (200.0, 250.0, 128.0)
_DEFAULT_REFERENCES = ("average", "mastoids", "M1")

# Valence and arousal of each emotion. Up to three classes are named by their valence
# as in SEED; more are named emotions.
_VALENCE_CLASSES = {
    "negative": (-1.0, 0.5),
    "neutral": (0.0, -1.0),
    "positive": (1.0, 0.5),
}
_NAMED_EMOTIONS = {
    "neutral": (0.0, -0.9),
    "sad": (-0.8, -0.6),
    "fear": (-0.7, 1.0),
    "happy": (1.0, 0.4),
    "disgust": (-1.0, 0.2),
    "anger": (-0.3, 0.7),
    "surprise": (0.3, 1.0),
    "amusement": (0.7, 0.9),
    "tenderness": (0.7, -0.5),
}


class _Oscillator(NamedTuple):
    """A rhythmic source below a 10-10 site.

    `level` is its RMS in microvolts at the nearest electrode (None: `alpha_level`),
    `centre` and `width` shape its spectrum in hertz (centre None: the subject's
    alpha peak), `valence` and `arousal` weight the emotion's effect on its log power.
    """

    site: str
    centre: float | None
    width: float
    level: float | None
    valence: float = 0.0
    arousal: float = 0.0


# Frontal alpha falls and temporal beta and gamma rise on the left with positive
# valence and on the right with negative; arousal lowers occipital alpha and raises
# temporal gamma. Levels are those of scalp EEG in adults at rest, roughly.
_OSCILLATORS = (
    _Oscillator("O1", None, 0.8, None, arousal=-0.5),
    _Oscillator("O2", None, 0.8, None, arousal=-0.5),
    _Oscillator("POz", None, 0.8, None, arousal=-0.5),
    _Oscillator("F3", None, 1.0, 4.0, valence=-1.0),
    _Oscillator("F4", None, 1.0, 4.0, valence=1.0),
    _Oscillator("T7", 20.0, 3.5, 2.5, valence=1.0),
    _Oscillator("T8", 20.0, 3.5, 2.5, valence=-1.0),
    _Oscillator("T7", 37.0, 5.0, 1.5, valence=1.0, arousal=0.5),
    _Oscillator("T8", 37.0, 5.0, 1.5, valence=-1.0, arousal=0.5),
    _Oscillator("C3", 20.0, 3.5, 2.0),
    _Oscillator("C4", 20.0, 3.5, 2.0),
    _Oscillator("Fz", 6.0, 0.8, 3.0),
)
_N_RHYTHMS = len(_OSCILLATORS)

_EVOKED_SITES = ("Oz", "T7", "T8", "Fz")
_EVOKED_LEVEL = 3.0  # microvolts RMS at the nearest electrode, stimulus_strength = 1
_EVOKED_BAND = (1.0, 8.0)  # hertz
_LATENT_MAX_FREQ = 0.25  # hertz: much of it outlives the average of a window
_INTENSITY_DEPTH = 0.3  # SD of an emotion's intensity about its mean of 1
_RAMP_SECONDS = 0.5  # a stimulus fades in and out: no step in any envelope

_BACKGROUND_EXPONENT = 1.3  # of the power spectrum, as in adults' resting EEG
_BACKGROUND_KNEE = 0.7  # hertz; below, the spectrum flattens
_HIGH_PASS = 0.2  # hertz; no source is active below
_SENSOR_DENSITY = 0.08  # microvolts per root hertz, each electrode on its own
_ECCENTRICITY = 0.65  # depth of the sources in units of the head's radius
_MEAN_ALPHA_PEAK = 10.0  # hertz
_MIN_SFREQ = 100.0  # the gamma sources end near 50 Hz

# First entries of the seeds' spawn keys: one independent stream for each purpose.
_DATASET, _SUBJECT, _STIMULUS, _LABELS, _ARTIFACTS = range(5)


def make_emotion_windows(
    n_datasets: int = 3,
    *,
    n_subjects: int | Sequence[int] = 6,
    n_stimuli: int | Sequence[int] = 9,
    n_emotions: int = 3,
    trial_seconds: float = 15.0,
    break_seconds: float = 3.0,
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    montages: Sequence[str | Sequence[str]] | None = None,
    sfreqs: Sequence[float] | None = None,
    references: Sequence[str] | None = None,
    emotion_strength: float = 0.6,
    stimulus_strength: float = 0.8,
    subject_variability: float = 1.0,
    trial_variability: float = 0.25,
    dataset_shift: float = 1.0,
    noise_level: float = 10.0,
    alpha_level: float = 8.0,
    n_sources: int = 96,
    shared_stimuli: bool = False,
    artifacts: Literal["light", "heavy"] | Mapping[str, float] | None = None,
    random_state: RandomState = None,
) -> EEGWindows:
    r"""Simulate emotional EEG of several datasets.

    **These signals are simulated.** They serve to try code, to teach and to test what
    a method does when the truth is known; a score on them says nothing about brains.
    The model's constants and defaults are frozen once released, so that no result on
    simulated data can be tuned by tuning the simulator.

    Electrode :math:`c` of subject :math:`s` in dataset :math:`d` records

    .. math::

        x_c(t) = g_{ds} \Big[ \sum_j L^{ds}_{cj}\, b_j(t)
                 + \sum_k L^{ds}_{ck}\, e^{h_k(t) / 2}\, o_k(t)
                 + \sum_l L^{ds}_{cl}\, w_l(t) + n_c(t) \Big]

    minus the dataset's reference: :math:`b` are `n_sources` background sources with a
    1/f spectrum, :math:`o` twelve rhythmic sources (occipital and frontal alpha,
    temporal and central beta, temporal gamma, frontal theta), :math:`w` responses
    locked to the stimulus and :math:`n` white sensor noise. :math:`L` is the lead
    field of radial dipoles in a homogeneous conducting sphere (eccentricity 0.65,
    which stands for the smearing of the skull), seen from the 10-05 positions of the
    electrodes projected on that sphere. The log power of rhythm :math:`k` is

    .. math::

        h_k(t) = \text{emotion\_strength}\; r_s\; a_q(t)\, (v_k V + u_k U)
                 + \text{stimulus\_strength}\; z_{qk}(t) + \varepsilon_{k}

    with the emotion's valence :math:`V` and arousal :math:`U` (both in -1 to 1), the
    subject's reliability :math:`r_s`, the intensity :math:`a_q(t)` of stimulus
    :math:`q` (mean 1), its latent courses :math:`z_{qk}(t)` (zero mean and unit
    variance over the trial, below 0.25 Hz) and a deviation
    :math:`\varepsilon` of the trial. Positive valence lowers alpha and raises beta and
    gamma on the left (F3; T7) and does the reverse on the right (F4; T8); arousal
    lowers occipital alpha and raises temporal gamma.

    Parameters
    ----------
    n_datasets : int, default=3
        Number of datasets, at most 26. They are named "SimA", "SimB", ...
    n_subjects : int or sequence of int, default=6
        Subjects of each dataset, "01", "02", ...; no subject is in two datasets.
    n_stimuli : int or sequence of int, default=9
        Stimuli of each dataset. Every subject sees each stimulus of their dataset
        once, in a random order of their own.
    n_emotions : int, default=3
        Number of labels, 2 to 9: "negative" and "positive"; with "neutral"; from four
        on "neutral", "sad", "fear", "happy", "disgust", "anger", "surprise",
        "amusement", "tenderness". Each run of `n_emotions` stimuli has every label
        once, in random order.
    trial_seconds : float, default=15.0
        Length of a stimulus in seconds, the same for all.
    break_seconds : float, default=3.0
        Length in seconds of the pause before, between and after the trials.
    window_seconds, stride_seconds : float, default=5.0, 2.0
        Length of a window and step between windows of a trial, in seconds.
    montages : sequence of str or of sequences of str, default=None
        For each dataset a key of `MONTAGES` ("canonical60", "faced30", "deap32") or
        a list of 10-05 channel names. None: those three in turn.
    sfreqs : sequence of float, default=None
        Sampling rate of each dataset in hertz, at least 100. None: 200, 250 and 128
        in turn. Signals are made at their own rate, without resampling or aliasing.
    references : sequence of str, default=None
        For each dataset "average", "mastoids" (the mean of M1 and M2) or the name of
        an electrode that is not in the montage. None: "average", "mastoids" and "M1"
        in turn.
    emotion_strength : float, default=0.6
        Change of a rhythm's log power (natural logarithm, so 0.7 doubles it) with one
        unit of valence. 0: the label has no effect. As each stimulus has one label, a
        classifier that has seen the stimulus in other subjects may still recognise
        the stimulus, unless `stimulus_strength` is 0 too.
    stimulus_strength : float, default=0.8
        SD over time of the log power that follows the stimulus, the same for all
        subjects; responses of `stimulus_strength` times 3 microvolts at 1-8 Hz come
        with it. 0: nothing is locked to the stimulus but the intensity of its
        emotion.
    subject_variability : float, default=1.0
        Differences between subjects relative to typical ones, no unit: SD of the log
        amplitude 0.3, of the log power of each rhythm 0.8, of the strengths of
        background sources (log amplitude) 0.3, of channels' log gains 0.1, of the
        cap's rotation 5 degrees, of the alpha peak 0.8 Hz, of the 1/f exponent 0.15
        and of the reliability :math:`r_s` 0.35. 0: all subjects are alike.
    trial_variability : float, default=0.25
        SD of each rhythm's log power over trials, independent of label and order.
    dataset_shift : float, default=1.0
        Differences between datasets that do not come from montage or rate, no unit:
        SD of the log gain 0.5, of the strengths of background sources (log amplitude)
        0.6, of the log power of each rhythm 0.4, of the cap's rotation 8 degrees, of
        the 1/f exponent 0.15. Values below 1 also blend each reference with the
        average reference; 0: one recording site.
    noise_level : float, default=10.0
        Background EEG in microvolts: the median over the 60 canonical channels of the
        RMS, average reference, without subject or dataset effects.
    alpha_level : float, default=8.0
        RMS of each of the three occipital alpha sources at its nearest electrode, in
        microvolts.
    n_sources : int, default=96
        Number of background sources, evenly spread. Fewer make channels more alike.
    shared_stimuli : bool, default=False
        If True, stimulus "stim01" is the same one, with the same label, in all
        datasets. Otherwise each dataset has its own stimuli.
    artifacts : {"light", "heavy"} or dict of str to float, default=None
        What goes wrong in real recordings, put into these. None: nothing. "light" and
        "heavy" have all kinds, at the rates of the table in the notes; a dict has the
        kinds that are its keys, at the rates that are its values, such as
        ``{"joints": 1.0, "dead_channels": 0.1}``.
    random_state : int, RandomState instance or None, default=None
        Seed. An int gives bit-identical signals on one machine. A subject's signals
        depend on the seed and on the subject's and dataset's own settings, not on
        how many other subjects or datasets there are.

    Returns
    -------
    EEGWindows
        Windows in volts (float32), one session "1" and one recording for each subject
        in ``X.recordings``; labels in ``X.y``. With `artifacts`, ``X.metadata`` has
        the further columns that the notes describe.

    Raises
    ------
    ValueError
        If a parameter is out of range, a montage, electrode or kind of `artifacts`
        is unknown, or a sequence does not have one entry for each dataset.

    See Also
    --------
    fetch_eegmat : Real recordings, openly licensed.

    Notes
    -----
    The order of trials is drawn for each subject and no noise or gain depends on time
    or on the label, so that the label acts through the rhythms alone.

    The kinds of `artifacts`, and how frequent they are:

    ===================== ======= ======= =============================================
    key of the dict       "light" "heavy" the rate is
    ===================== ======= ======= =============================================
    ``joints``            0.3     1       stretches of 1, 2 or 3 s cut out per minute;
                                          each channel's level jumps there (SD 20
                                          microvolts)
    ``bad_spans``         0.5     2       stretches of 0.5 to 3 s per minute, marked
                                          bad: an electrode pops (2 mV), the head moves
                                          (1 mV), the amplifier saturates (5 mV), or
                                          all is NaN
    ``dead_channels``     0.02    0.1     the share of channels, anew for each
                                          recording, that are flat or white noise (20
                                          microvolts); one stays alive
    ``dropped_windows``   0.02    0.2     the share of windows that are not in X
    ``missing_ratings``   0.05    0.3     the share of trials without a rating
    ``old_channel_names`` 0.25    0.5     the share of recordings with names in
                                          capitals, T3, T4, T5, T6 for T7, T8, P7, P8
    ``mixed_units``       0.1     0.5     the share of recordings in microvolts
    ===================== ======= ======= =============================================

    Rates per minute are at most 10. All of it is independent of the label, and drawn by
    generators of its own, one for each kind and recording: signals are, sample by
    sample, those without artifacts but for what was cut out, a constant from a joint to
    the next, bad spans, dead channels and the unit. What was put in is in the
    recordings (``cuts``, ``bad_spans``, ``ch_names``) and in columns of the metadata:

    - ``valence``: a rating, 1 to 9, of the trial, which goes with the emotion's
      valence; NaN where it is missing. Labels are never missing.
    - ``dead_channels``: the recording's, as "FZ, T3"; empty if there is none.
    - ``unit``: "V" or "uV".
    - ``lost_seconds``: what was cut out of the trial before the window. ``onset`` is
      time in the recording, so that the stimulus is at ``onset + lost_seconds``. As
      with real files, nothing but this column tells so.

    References
    ----------
    The potential of a dipole in a sphere: Wilson FN, Bayley RH. The electric field of
    an eccentric dipole in a homogeneous spherical conducting medium. Circulation
    1950;1:84-92, doi:10.1161/01.CIR.1.1.84. Less eccentricity in place of a skull:
    Ary JP, Klein SA, Fender DH. Location of sources of evoked scalp potentials. IEEE
    Trans Biomed Eng 1981;28:447-452, doi:10.1109/TBME.1981.324817.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(2, n_subjects=2, n_stimuli=3, random_state=0)
    >>> len(X)
    72
    >>> print(*sorted(set(X.y)))
    negative neutral positive
    """
    check_number(n_datasets, "n_datasets", whole=True, least=1, most=26)
    n_subjects = _check_counts("n_subjects", n_subjects, n_datasets)
    n_stimuli = _check_counts("n_stimuli", n_stimuli, n_datasets)
    model = _Model(
        n_emotions=n_emotions,
        trial_seconds=trial_seconds,
        break_seconds=break_seconds,
        emotion_strength=emotion_strength,
        stimulus_strength=stimulus_strength,
        subject_variability=subject_variability,
        trial_variability=trial_variability,
        dataset_shift=dataset_shift,
        noise_level=noise_level,
        alpha_level=alpha_level,
        n_sources=n_sources,
    )
    model.check(window_seconds, stride_seconds)
    sites = _make_sites(montages, sfreqs, references, n_datasets)
    rates = check_artifacts(artifacts)
    seed = check_random_state(random_state).randint(2**31 - 1)
    make_rng = partial(_make_rng, seed)
    spoiler = rates and Artifacts(rates, partial(make_rng, _ARTIFACTS))
    recordings = []
    for d, site in enumerate(sites):
        # Spawn keys are tuples of non-negative ints: 0 for shared, d + 1 for own.
        owner = 0 if shared_stimuli else d + 1
        stimuli = _draw_stimuli(make_rng, owner, n_stimuli[d], model)
        for s in range(n_subjects[d]):
            recording = _simulate_subject(make_rng, d, s, site, stimuli, model)
            recordings.append(_spoil(spoiler, recording, (d, s), stimuli))
    X = EEGWindows.from_recordings(
        recordings, window_seconds=window_seconds, stride_seconds=stride_seconds
    )
    return spoiler.drop(X) if spoiler else X


def _spoil(spoiler, recording, key, stimuli):
    """Return a recording with the artifacts that a spoiler, if there is one, adds."""
    if spoiler is None:
        return recording
    valence = {stimulus.label: stimulus.valence for stimulus in stimuli}
    return spoiler.spoil(recording, key, recording.trials["label"].map(valence))


class _Model(NamedTuple):
    """The parameters of `make_emotion_windows` that all datasets share."""

    n_emotions: int
    trial_seconds: float
    break_seconds: float
    emotion_strength: float
    stimulus_strength: float
    subject_variability: float
    trial_variability: float
    dataset_shift: float
    noise_level: float
    alpha_level: float
    n_sources: int

    def check(self, window_seconds, stride_seconds):
        """Raise if a parameter is out of range, or no window fits in a trial."""
        n_most = len(_NAMED_EMOTIONS)
        check_number(self.n_emotions, "n_emotions", whole=True, least=2, most=n_most)
        check_number(self.n_sources, "n_sources", whole=True, least=4, most=10_000)
        check_number(self.trial_seconds, "trial_seconds", above=0)
        check_number(window_seconds, "window_seconds", above=0)
        check_number(stride_seconds, "stride_seconds", above=0)
        for name, value in self._asdict().items():
            check_number(value, name, least=0)
        if self.trial_seconds < window_seconds:
            raise ValueError(
                f"A trial must hold a window: trial_seconds={self.trial_seconds} is "
                f"less than window_seconds={window_seconds}."
            )


def _make_rng(seed, *key):
    """Return the generator of one purpose, so that no draw shifts another's."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


class _Site:
    """What is fixed about a recording site: electrodes, rate, reference."""

    def __init__(self, montage, sfreq, reference):
        self.ch_names = _resolve_montage(montage)
        self.sfreq = float(check_number(sfreq, "sfreqs", least=_MIN_SFREQ))
        named = {"average": (), "mastoids": ("M1", "M2")}
        self.ref_names = named.get(str(reference), (reference,))
        _check_electrodes("references", self.ref_names)
        present = {name.upper() for name in self.ch_names}
        inside = [name for name in self.ref_names if str(name).upper() in present]
        if inside:
            raise ValueError(
                f"The reference electrode {inside[0]!r} is in the montage, where its "
                "channel would be zero; choose another or leave it out of the montage."
            )

    @property
    def electrodes(self):
        """Names of the channels, then of the electrodes of the reference."""
        return self.ch_names + self.ref_names

    def reference_matrix(self, blend):
        """Return electrodes to referenced channels, (n_channels, n_electrodes)."""
        n_channels, n_refs = len(self.ch_names), len(self.ref_names)
        blend = blend if n_refs else 0.0
        matrix = np.hstack([np.eye(n_channels), np.zeros((n_channels, n_refs))])
        matrix[:, :n_channels] -= (1 - blend) / n_channels
        matrix[:, n_channels:] -= blend / max(n_refs, 1)
        return matrix


def _make_sites(montages, sfreqs, references, n_datasets):
    """Return the recording site of each dataset."""
    return [
        _Site(*settings)
        for settings in zip(
            _one_each("montages", montages, _DEFAULT_MONTAGES, n_datasets),
            _one_each("sfreqs", sfreqs, _DEFAULT_SFREQS, n_datasets),
            _one_each("references", references, _DEFAULT_REFERENCES, n_datasets),
            strict=True,
        )
    ]


class _Distortion(NamedTuple):
    """How a dataset or a subject departs from the common anatomy."""

    log_gain: float
    rotation: np.ndarray  # rotation vector of the cap, radians
    field: tuple  # random smooth function over the sources
    field_scale: float  # its SD, log amplitude
    rhythm_log_power: np.ndarray  # (n_rhythms,)
    exponent: float  # added to the 1/f exponent
    alpha_peak: float = 0.0  # added to the peak frequency, hertz
    reliability: float = 1.0  # of the response to emotion
    channel_log_gain: np.ndarray | float = 0.0
    reference_blend: float = 0.0

    @classmethod
    def draw(cls, rng, scale, *, gain, degrees, field, power):
        """Draw a distortion; `scale` multiplies draws that do not depend on it.

        At scale 1 the SD of the log gain is `gain`, of the cap's rotation `degrees`, of
        the sources' log amplitude `field` and of the rhythms' log power `power`.
        """
        return cls(
            log_gain=gain * scale * rng.standard_normal(),
            rotation=np.deg2rad(degrees) * scale * rng.standard_normal(3),
            field=_draw_field(rng),
            field_scale=field * scale,
            rhythm_log_power=power * scale * rng.standard_normal(_N_RHYTHMS),
            exponent=0.15 * scale * np.clip(rng.standard_normal(), -2, 2),
        )

    @classmethod
    def of_dataset(cls, rng, scale):
        """Draw what a dataset has of its own."""
        shift = cls.draw(rng, scale, gain=0.5, degrees=8.0, field=0.6, power=0.4)
        return shift._replace(reference_blend=min(scale, 1.0))

    @classmethod
    def of_subject(cls, rng, scale, n_channels):
        """Draw what a subject has of their own."""
        subject = cls.draw(rng, scale, gain=0.3, degrees=5.0, field=0.3, power=0.8)
        return subject._replace(
            alpha_peak=np.clip(0.8 * scale * rng.standard_normal(), -1.5, 1.5),
            reliability=max(0.0, 1 + 0.35 * scale * rng.standard_normal()),
            channel_log_gain=0.1 * scale * rng.standard_normal(n_channels),
        )


class _Stimulus(NamedTuple):
    """A stimulus: its emotion and the Fourier series of all that is locked to it."""

    name: str
    label: str
    valence: float
    arousal: float
    intensity: np.ndarray  # complex coefficients, (1, n_harmonics)
    latent: np.ndarray  # (n_rhythms, n_harmonics)
    evoked: np.ndarray  # (n_evoked, n_harmonics)


def _draw_stimuli(make_rng, owner, n_stimuli, model):
    """Draw stimuli, whose labels are balanced; `owner` numbers the set of them."""
    n_emotions = model.n_emotions
    if n_emotions > 3:
        emotions = list(_NAMED_EMOTIONS.items())[:n_emotions]
    else:  # two are the first and the last of the three
        emotions = list(_VALENCE_CLASSES.items())[:: 4 - n_emotions]
    slow = _harmonics(0.0, _LATENT_MAX_FREQ, model.trial_seconds)
    fast = _harmonics(*_EVOKED_BAND, model.trial_seconds)
    stimuli = []
    for q in range(n_stimuli):
        block, place = divmod(q, n_emotions)
        # A permutation for each block: balanced, and the same for a shared stimulus
        # however many follow it.
        order = make_rng(_LABELS, owner, block).permutation(n_emotions)
        label, (valence, arousal) = emotions[order[place]]
        rng = make_rng(_STIMULUS, owner, q)
        stimuli.append(
            _Stimulus(
                f"stim{q + 1:02d}",
                label,
                valence,
                arousal,
                intensity=_draw_series(rng, 1, slow),
                latent=_draw_series(rng, _N_RHYTHMS, slow),
                evoked=_draw_series(rng, len(_EVOKED_SITES), fast),
            )
        )
    return stimuli


def _harmonics(low, high, seconds):
    """Return the harmonics of 1/seconds within a band, at least two."""
    first = max(1, int(np.ceil(low * seconds)))
    last = max(first + 1, int(np.floor(high * seconds)))
    return np.arange(first, last + 1)


def _draw_series(rng, n_series, harmonics):
    """Draw Fourier coefficients of series with unit variance over the period."""
    n = len(harmonics)
    coef = rng.standard_normal((n_series, n)) + 1j * rng.standard_normal((n_series, n))
    coef /= np.sqrt(0.5 * np.sum(np.abs(coef) ** 2, axis=1, keepdims=True))
    full = np.zeros((n_series, harmonics[-1] + 1), complex)
    full[:, harmonics] = coef
    return full


def _series(coef, phase):
    """Evaluate Fourier series at the phases t / period, (n_series, n_times)."""
    basis = np.exp(2j * np.pi * np.outer(np.arange(coef.shape[1]), phase))
    return (coef @ basis).real


def _simulate_subject(make_rng, d, s, site, stimuli, model):
    """Return the recording of subject s of dataset d."""
    shift = _Distortion.of_dataset(make_rng(_DATASET, d), model.dataset_shift)
    subject = _Distortion.of_subject(
        make_rng(_SUBJECT, d, s, 0), model.subject_variability, len(site.ch_names)
    )
    rng = make_rng(_SUBJECT, d, s, 1)
    # The order of the draws of `rng` is part of the model.
    trials, log_power, evoked = _drive(
        rng, stimuli, site.sfreq, subject.reliability, model
    )
    exponent = _BACKGROUND_EXPONENT + shift.exponent + subject.exponent
    alpha_peak = _MEAN_ALPHA_PEAK + subject.alpha_peak
    activity = _draw_activity(
        rng, exponent, alpha_peak, log_power, site.sfreq, model.n_sources
    )
    n_electrodes, n_times = len(site.electrodes), log_power.shape[1]
    noise = rng.standard_normal((n_electrodes, n_times), dtype=np.float32)
    noise *= np.float32(_SENSOR_DENSITY * np.sqrt(site.sfreq / 2))

    # Referencing is linear: it goes into the mixing matrices.
    reference = site.reference_matrix(shift.reference_blend)
    gain = 1e-6 * np.exp(shift.log_gain + subject.log_gain + subject.channel_log_gain)
    montage = (gain * reference.T).T.astype(np.float32)  # (n_channels, n_electrodes)
    mixing = montage @ _project(site, shift, subject, model).astype(np.float32)
    signal = mixing @ np.concatenate([*activity, evoked.astype(np.float32)])
    signal += montage @ noise
    return Recording(
        signal,
        list(site.ch_names),
        site.sfreq,
        dataset=f"Sim{chr(ord('A') + d)}",
        subject=f"{s + 1:02d}",
        session="1",
        trials=trials,
    )


def _drive(rng, stimuli, sfreq, reliability, model):
    """Draw the order of the stimuli, and what they drive in a subject.

    Returns
    -------
    trials : list of dict
        In order of time, as `Recording` takes them.
    log_power : ndarray of shape (n_rhythms, n_times)
        Of each rhythm, 0 between trials.
    evoked : ndarray of shape (n_evoked, n_times)
        Responses locked to the stimulus.
    """
    length, pause = model.trial_seconds, model.break_seconds
    period = length + pause
    n_times = int(np.ceil((len(stimuli) * period + pause) * sfreq))
    times = np.arange(n_times) / sfreq
    log_power = np.zeros((_N_RHYTHMS, n_times))
    evoked = np.zeros((len(_EVOKED_SITES), n_times))
    weights = np.array([(osc.valence, osc.arousal) for osc in _OSCILLATORS])
    valence_weight, arousal_weight = weights.T
    trials = []
    for i, q in enumerate(rng.permutation(len(stimuli))):
        stimulus = stimuli[q]
        start = pause + i * period
        deviation = model.trial_variability * rng.standard_normal(_N_RHYTHMS)
        # The ramps lie in the breaks: the stimulus drives all of its trial.
        inside = times > start - _RAMP_SECONDS
        inside &= times < start + length + _RAMP_SECONDS
        local = times[inside] - start
        ramp = _ramp(local, length, min(_RAMP_SECONDS, pause / 2))
        phase = local / length
        intensity = 1 + _INTENSITY_DEPTH * _series(stimulus.intensity, phase)
        effect = valence_weight * stimulus.valence + arousal_weight * stimulus.arousal
        drive = model.emotion_strength * reliability * effect[:, None] * intensity
        drive += model.stimulus_strength * _series(stimulus.latent, phase)
        log_power[:, inside] += ramp * (drive + deviation[:, None])
        evoked[:, inside] += ramp * _series(stimulus.evoked, phase)
        trials.append(
            {
                "start": start,
                "stop": start + length,
                "trial": f"{i + 1:02d}",
                "stimulus": stimulus.name,
                "label": stimulus.label,
            }
        )
    return trials, log_power, evoked


def _draw_activity(rng, exponent, alpha_peak, log_power, sfreq, n_sources):
    """Draw the activity of background sources and rhythms, each (n, n_times)."""
    n_times = log_power.shape[1]
    # Drawn in the frequency domain, up to this rate's Nyquist frequency.
    n_fft = next_fast_len(n_times, real=True)
    freqs = rfftfreq(n_fft, 1 / sfreq)
    density = _background_spectrum(freqs, exponent)
    background = _draw_noise(rng, n_sources, density, sfreq, n_fft)
    rhythms = np.empty((_N_RHYTHMS, n_times), np.float32)
    for k, osc in enumerate(_OSCILLATORS):
        density = _rhythm_spectrum(freqs, osc.centre or alpha_peak, osc.width)
        rhythms[k] = _draw_noise(rng, 1, density, sfreq, n_fft)[0, :n_times]
    rhythms *= np.exp(log_power / 2).astype(np.float32)
    return background[:, :n_times], rhythms


def _project(site, shift, subject, model):
    """Return microvolts per unit of each source, (n_electrodes, n_all_sources).

    The sources are those of the background, the rhythms and the evoked responses, seen
    from this subject under this dataset's cap.
    """
    directions = _electrode_directions(site.electrodes)
    sensors = _rotate(directions, shift.rotation + subject.rotation)
    sources = _source_directions(model.n_sources)
    strength = model.noise_level * np.exp(
        shift.field_scale * _evaluate_field(shift.field, sources)
        + subject.field_scale * _evaluate_field(subject.field, sources)
    )
    strength = strength * _background_scale(model.n_sources)
    levels = np.array(
        [model.alpha_level if osc.level is None else osc.level for osc in _OSCILLATORS]
    )
    levels = levels * np.exp((shift.rhythm_log_power + subject.rhythm_log_power) / 2)
    response = _EVOKED_LEVEL * model.stimulus_strength
    return np.hstack(
        [
            _lead_field(sensors, sources) * strength,
            _site_lead_field(sensors, [osc.site for osc in _OSCILLATORS]) * levels,
            _site_lead_field(sensors, _EVOKED_SITES) * response,
        ]
    )


def _ramp(local, trial_seconds, ramp_seconds):
    """Return 1 within a trial and a raised cosine to 0 outside of it."""
    outside = np.maximum(np.maximum(-local, local - trial_seconds), 0)
    if ramp_seconds == 0:
        return (outside == 0).astype(float)
    return 0.5 + 0.5 * np.cos(np.pi * np.minimum(outside / ramp_seconds, 1))


def _background_spectrum(freqs, exponent):
    """Return a 1/f power density with unit power between 0.2 and 50 Hz."""

    def density(f):
        return np.where(
            f < _HIGH_PASS, 0.0, (f**2 + _BACKGROUND_KNEE**2) ** (-exponent / 2)
        )

    # Normalising over a fixed band keeps the analog signal the same at every rate.
    grid = np.linspace(_HIGH_PASS, 50.0, 2000)
    return density(freqs) / np.trapezoid(density(grid), grid)


def _rhythm_spectrum(freqs, centre, width):
    """Return a Gaussian power density of unit power; `width` is its SD in hertz."""
    with np.errstate(under="ignore"):  # far away it is 0
        density = np.exp(-0.5 * ((freqs - centre) / width) ** 2)
    density[np.abs(freqs - centre) > 4 * width] = 0
    return density / (width * np.sqrt(2 * np.pi))


def _draw_noise(rng, n_signals, density, sfreq, n_fft):
    """Draw Gaussian noise with a one-sided power density, (n_signals, n_fft)."""
    active = np.flatnonzero(density)
    spectrum = np.zeros((n_signals, len(density)), np.complex64)
    draws = rng.standard_normal((n_signals, 2, len(active)), dtype=np.float32)
    # A coefficient a + ib whose parts have SD k adds the variance (2 k / n_fft)^2,
    # and the density asks for density * sfreq / n_fft at each frequency.
    scale = (0.5 * np.sqrt(density[active] * sfreq * n_fft)).astype(np.float32)
    spectrum[:, active] = scale * (draws[:, 0] + 1j * draws[:, 1])
    return irfft(spectrum, n_fft, overwrite_x=True)


def _lead_field(sensors, sources):
    """Return the potentials of radial unit dipoles, (n_sensors, n_sources).

    For a dipole at eccentricity f the potential at the angle with cosine c is
    ((1 - f^2) / (1 + f^2 - 2 f c)^(3/2) - 1) / f, the sum of (2n + 1) f^(n - 1) P_n(c)
    over n >= 1; here divided by its maximum, so that it is 1 right above the dipole.
    """
    f = _ECCENTRICITY
    cosine = np.clip(sensors @ sources.T, -1, 1)
    potential = (1 - f**2) / (1 + f**2 - 2 * f * cosine) ** 1.5 - 1
    return potential / ((1 + f) / (1 - f) ** 2 - 1)


def _site_lead_field(sensors, sites):
    return _lead_field(sensors, _electrode_directions(tuple(sites)))


@lru_cache(maxsize=8)
def _background_scale(n_sources):
    """Return what scales the background to a median RMS of 1 on the canonical cap."""
    sensors = _electrode_directions(MONTAGES["canonical60"])
    lead_field = _lead_field(sensors, _source_directions(n_sources))
    lead_field = lead_field - lead_field.mean(axis=0)
    return 1 / np.median(np.sqrt(np.sum(lead_field**2, axis=1)))


@lru_cache(maxsize=8)
def _source_directions(n_sources):
    """Return unit vectors on a Fibonacci lattice over the cap that cortex fills."""
    index = np.arange(n_sources)
    height = 1 - 1.45 * (index + 0.5) / n_sources  # from the vertex to below the ears
    angle = np.pi * (3 - np.sqrt(5)) * index
    radius = np.sqrt(1 - height**2)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle), height])


@lru_cache(maxsize=1)
def _all_electrode_directions():
    """Return unit vectors of the 10-05 positions from the best sphere's centre."""
    positions = template_positions()
    points = np.array(list(positions.values()))
    # |p|^2 = 2 p.c + (r^2 - |c|^2) is linear in the sphere's centre c.
    design = np.column_stack([2 * points, np.ones(len(points))])
    centre = np.linalg.lstsq(design, np.sum(points**2, axis=1), rcond=None)[0][:3]
    points = points - centre
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return dict(zip(positions, points, strict=True))


@lru_cache(maxsize=32)
def _electrode_directions(names):
    directions = _all_electrode_directions()
    return np.array([directions[name.upper()] for name in names])


def _rotate(vectors, rotation):
    """Rotate row vectors by a rotation vector (Rodrigues' formula)."""
    angle = np.linalg.norm(rotation)
    if angle == 0:
        return vectors
    axis = rotation / angle
    return (
        vectors * np.cos(angle)
        + np.cross(axis, vectors) * np.sin(angle)
        + np.outer(vectors @ axis, axis) * (1 - np.cos(angle))
    )


def _draw_field(rng, n_waves=8):
    """Draw a smooth random function on the sphere, as plane waves cut by it."""
    return 2.0 * rng.standard_normal((n_waves, 3)), rng.uniform(0, 2 * np.pi, n_waves)


def _evaluate_field(field, points):
    """Return the function at unit vectors, (n_points,); its variance is about 1."""
    waves, phases = field
    return np.sqrt(2 / len(waves)) * np.cos(points @ waves.T + phases).sum(axis=1)


def _check_counts(name, value, n_datasets):
    """Return a count for each dataset from an int or a sequence."""
    values = [value] * n_datasets if isinstance(value, Integral) else value
    values = _one_each(name, values, (), n_datasets)
    return [check_number(n, name, whole=True, least=1, most=10_000) for n in values]


def _one_each(name, values, default, n_datasets):
    """Return a list with an entry for each dataset; None takes `default` in turn."""
    if values is None:
        return [default[d % len(default)] for d in range(n_datasets)]
    is_sequence = hasattr(values, "__len__") and not isinstance(values, str)
    if not is_sequence or len(values) != n_datasets:
        raise ValueError(
            f"{name} must be a sequence with an entry for each of the {n_datasets} "
            f"datasets, got {values!r}."
        )
    return list(values)


def _resolve_montage(montage):
    """Return the channel names of a preset or of a list, checked."""
    if isinstance(montage, str):
        if montage not in MONTAGES:
            raise ValueError(
                f"Unknown montage {montage!r}; expected one of {sorted(MONTAGES)} or "
                "a list of channel names."
            )
        return MONTAGES[montage]
    names = check_ch_names(montage)
    if len(names) < 2:
        raise ValueError(f"A montage needs two channels or more, got {list(names)}.")
    _check_electrodes("montages", names)
    return names


def _check_electrodes(parameter, names):
    known = _all_electrode_directions()
    unknown = [name for name in names if str(name).upper() not in known]
    if unknown:
        raise ValueError(
            f"{parameter} has names without a 10-05 position: {unknown}; expected "
            "electrodes such as 'Fp1', 'Cz' or 'PO8'."
        )
