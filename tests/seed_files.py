"""Tiny trees in the published layouts of SEED, SEED-IV, SEED-V and SEED-VII.

Every channel has a frequency of its own, every trial an amplitude, every subject and
session a phase: a window tells where it comes from.
"""

import struct

import numpy as np
from scipy.io import savemat

# fmt: off
CAP = (
    "FP1 FPZ FP2 AF3 AF4 F7 F5 F3 F1 FZ F2 F4 F6 F8 FT7 FC5 FC3 FC1 FCZ FC2 FC4 FC6 "
    "FT8 T7 C5 C3 C1 CZ C2 C4 C6 T8 TP7 CP5 CP3 CP1 CPZ CP2 CP4 CP6 TP8 P7 P5 P3 P1 PZ "
    "P2 P4 P6 P8 PO7 PO5 PO3 POZ PO4 PO6 PO8 CB1 O1 OZ O2 CB2"
).split()
# fmt: on
BACKGROUND = -5.0  # microvolts between trials
REFERENCES = ("M1", "M2", "VEO", "HEO")


def microvolts(subject, session, trial, n_times, sfreq):
    """Return what a trial holds, (62, n_times)."""
    time = np.arange(n_times) / sfreq
    hertz = 1.0 + np.arange(len(CAP))
    phase = 0.3 * subject + 0.1 * session
    return (10.0 + trial) * np.sin(2 * np.pi * hertz[:, None] * time + phase)


def trial_length(trial):
    """Return the samples of a trial: whole seconds at 200 Hz, and one more."""
    return 200 * (1 + trial % 2) + 1


def write_mat(path, subject, session, n_trials, *, change=None, **kwargs):
    """Write a session of SEED or SEED-IV; ``change`` edits the variables."""
    initials = chr(96 + subject) + chr(96 + session)
    variables = {
        f"{initials}_eeg{k}": microvolts(subject, session, k, trial_length(k), 200.0)
        for k in range(1, n_trials + 1)
    }
    # In the order of text: eeg10 before eeg2.
    variables = dict(sorted(variables.items()))
    if change is not None:
        change(variables)
    path.parent.mkdir(parents=True, exist_ok=True)
    savemat(path, variables, **kwargs)


def write_seed(root, dates, labels=True):
    """Write `Preprocessed_EEG`: dates is a dict of subject to dates of sessions."""
    folder = root / "Preprocessed_EEG"
    for subject, days in dates.items():
        for session, day in enumerate(days, start=1):
            if day is not None:
                write_mat(folder / f"{subject}_{day}.mat", subject, session, 15)
    if labels:
        codes = [1, 0, -1, -1, 0, 1, -1, 0, 1, 1, 0, -1, 0, 1, -1]
        savemat(folder / "label.mat", {"label": np.array([codes], np.int8)})
    return folder


def write_seed_iv(root, subjects, sessions=(1, 2, 3)):
    """Write `eeg_raw_data`; the dates run against the sessions."""
    folder = root / "eeg_raw_data"
    for session in sessions:
        for subject in subjects:
            name = f"{subject}_201605{20 - session}.mat"
            write_mat(folder / str(session) / name, subject, session, 24)
    return folder


def write_seed_vii(root, subjects, change=None):
    """Write `EEG_preprocessed`."""
    folder = root / "EEG_preprocessed"
    folder.mkdir(parents=True)
    for subject in subjects:
        variables = {
            str(video): microvolts(subject, 0, video, 200 * (1 + video % 2), 200.0)
            for video in range(1, 81)
        }
        variables = dict(sorted(variables.items()))
        if change is not None:
            change(variables)
        savemat(folder / f"{subject}.mat", variables, do_compression=True)
    return folder


def write_raw(
    path, subject, session, spans, *, numbers=None, sfreq=1000, others=(), **kwargs
):
    """Write a .cnt file with trials at spans (start, stop) in samples.

    Its channels lie in another order than the cap's, with others among them.
    """
    numbers = numbers or range(1, len(spans) + 1)
    n_times = spans[-1][1] + sfreq // 5
    signal = np.full((len(CAP), n_times), BACKGROUND)
    for number, (start, stop) in zip(numbers, spans, strict=True):
        signal[:, start:stop] = microvolts(
            subject, session, number, stop - start, sfreq
        )
    order = np.random.default_rng(0).permutation(len(CAP))
    names = [CAP[i] for i in order]
    rows = [signal[i] for i in order]
    for k, name in enumerate(others):
        names.insert(7 * k, name)
        rows.insert(7 * k, np.full(n_times, 100.0 + k))
    write_cnt(path, np.array(rows), names, sfreq, **kwargs)


def write_cnt(
    path, signal, ch_names, sfreq, *, events=(), dtype="int32", microvolts_per_bit=0.01
):
    """Write a Neuroscan .cnt file.

    Parameters
    ----------
    path : Path
        The file.
    signal : ndarray of shape (n_channels, n_times)
        Microvolts.
    ch_names : sequence of str
        Names.
    sfreq : int
        Rate in hertz.
    events : sequence of (int, int)
        Sample and code.
    dtype : {"int32", "int16"}
        Of the samples.
    microvolts_per_bit : float
        Resolution.
    """
    n_channels, n_times = signal.shape
    samples = np.round(signal.T / microvolts_per_bit).astype(
        np.dtype(dtype).newbyteorder("<")
    )
    first = 900 + 75 * n_channels
    header = bytearray(900)
    header[225:233], header[235:243] = b"10/15/22", b"14:25:34"
    struct.pack_into("<H", header, 370, n_channels)
    struct.pack_into("<H", header, 376, sfreq)
    struct.pack_into("<i", header, 864, n_times)
    struct.pack_into("<i", header, 886, first + samples.nbytes)
    electrodes = bytearray()
    for k, name in enumerate(ch_names):
        electrode = bytearray(75)
        electrode[: len(name)] = name.encode()
        struct.pack_into("<ff", electrode, 19, np.cos(k), np.sin(k))
        struct.pack_into("<f", electrode, 59, 1.0)
        struct.pack_into("<f", electrode, 71, 204.8 * microvolts_per_bit)
        electrodes += electrode
    # MNE places an event one sample before the one that its offset points to.
    width = samples.itemsize * n_channels
    table = b"".join(
        struct.pack("<HBci", code, 0, b"\0", first + width * (sample + 1))
        for sample, code in events
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        bytes(header)
        + bytes(electrodes)
        + samples.tobytes()
        + struct.pack("<Bii", 1, len(table), 0)
        + table
    )


def spans_of(n_trials, lengths=(1200, 1700), first=500, gap=300):
    """Return start and stop of each trial."""
    spans, start = [], first
    for k in range(n_trials):
        stop = start + lengths[k % len(lengths)]
        spans.append((start, stop))
        start = stop + gap
    return spans


V_SPANS = {
    1: spans_of(15, lengths=(3, 4), first=1, gap=1),
    2: spans_of(15, lengths=(4, 3), first=2, gap=1),
    3: spans_of(15, lengths=(3, 3, 4), first=1, gap=2),
}


def write_seed_v(root, names, times=True, sfreq=50):
    """Write `EEG_raw` for names such as "2_1_20180804"."""
    for name in names:
        subject, session, _ = (int(part) for part in name.split("_"))
        spans = [(sfreq * a, sfreq * b) for a, b in V_SPANS[session]]
        path = root / "EEG_raw" / f"{name}.cnt"
        write_raw(path, subject, session, spans, sfreq=sfreq, others=REFERENCES)
    if times:
        blocks = [
            f"Session {session}:\nstart_second: {[a for a, _ in spans]}\n"
            f"end_second: {[b for _, b in spans]}\n"
            for session, spans in V_SPANS.items()
        ]
        (root / "trial_start_end_timestamp.txt").write_text("\n".join(blocks))
