"""Signals that fit the real tables of the openly licensed datasets, on shorter clocks.

A channel has its own frequency, a trial its own amplitude, and a subject with a session
its own phase: what is swapped, shifted, scaled or of another context is not equal.
Pauses between trials are left out, so that the files are small.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd

OPEN = "open_emotion"


def waves(n_channels, trial, phase, times):
    """Return (n_channels, n_times) in volts; times are seconds of the trial."""
    freqs = 2 + 0.3 * np.arange(n_channels)[:, None]
    return (10 + trial) * 1e-6 * np.sin(2 * np.pi * freqs * times + 0.2 * phase)


def write_bdf(path, labels, numbers, sfreq, unit, resolution=0.01):
    """Write a BDF file, one record a second."""
    n_channels, n_times = numbers.shape
    n_records = n_times // sfreq
    limit = 2**23 - 1
    highest = f"{limit * resolution:.6f}"[:7]
    fields = [
        *(f"{label:<16}" for label in labels),
        *([" " * 80] * n_channels),
        *([f"{unit:<8}"] * n_channels),
        *([f"{'-' + highest:<8}"] * n_channels),
        *([f"{highest:<8}"] * n_channels),
        *([f"{-limit:<8d}"] * n_channels),
        *([f"{limit:<8d}"] * n_channels),
        *([" " * 80] * n_channels),
        *([f"{sfreq:<8d}"] * n_channels),
        *([" " * 32] * n_channels),
    ]
    header = (
        f"{'':<80}{'':<80}01.01.2001.01.01{256 * (n_channels + 1):<8d}{'24BIT':<44}"
        f"{n_records:<8d}{1:<8d}{n_channels:<4d}"
    )
    digital = np.round(numbers * limit / float(highest)).astype("<i4")
    records = digital[:, : n_records * sfreq].reshape(n_channels, n_records, sfreq)
    records = np.ascontiguousarray(records.transpose(1, 0, 2))
    samples = records.view(np.uint8).reshape(-1, 4)[:, :3]
    with open(path, "wb") as file:
        file.write(b"\xffBIOSEMI" + header.encode("latin-1"))
        file.write("".join(fields).encode("latin-1"))
        file.write(np.ascontiguousarray(samples).tobytes())


# FACED ------------------------------------------------------------------------------


def faced_subject(data, root, subject, *, volts=False, scale=1.0, shift=0.0, swap=()):
    """Write one subject of FACED; return its table of events.

    Parameters
    ----------
    data, root : Path
        The folder of the real tables, and where ``nm000112`` is made.
    subject : str
        Such as "007".
    volts : bool, default=False
        Whether samples are volts, whatever the table says.
    scale : float, default=1.0
        What all samples are multiplied by.
    shift : float, default=0.0
        Seconds by which signals come late.
    swap : tuple of str, default=()
        Two channels whose signals change places.
    """
    stem = f"sub-{subject}/eeg/sub-{subject}_task-watchingVideoClips_"
    source = next((data / OPEN).glob("*nm000112")) / f"{stem}events.tsv"
    folder = root / "nm000112" / f"sub-{subject}" / "eeg"
    folder.mkdir(parents=True)
    channels = pd.read_csv(
        str(source).replace("events", "channels"),
        sep="\t",
        encoding="utf-8-sig",
        keep_default_na=False,
    )
    labels, units = channels["name"].tolist(), channels["units"].tolist()
    sfreq = int(channels["sampling_frequency"][0])
    events = pd.read_csv(
        source, sep="\t", dtype=str, encoding="utf-8-sig", keep_default_na=False
    )
    # The order stays; clips are 31 to 34 seconds long and 1 apart.
    clips = events.index[events["video_index"] != "n/a"]
    others = events.index.difference(clips)
    events.loc[others, ["onset", "sample"]] = ["0.5", str(sfreq // 2)]
    time, signal = 2.0, np.zeros((len(labels), 0))
    names = [swap[1 - swap.index(x)] if x in swap else x for x in labels]
    order = [FACED_NAMES.index(OLD_NAMES.get(x, x)) for x in names]
    pieces = [np.zeros((len(labels), round(2 * sfreq)))]
    for row in clips:
        video = int(events["video_index"][row])
        seconds = 31 + video / 10
        events.loc[row, "onset"] = f"{time:.3f}"
        events.loc[row, "sample"] = str(round(time * sfreq))
        events.loc[row, "duration"] = f"{seconds:.3f}"
        times = np.arange(round((seconds + 1) * sfreq)) / sfreq - shift
        pieces.append(waves(len(FACED_NAMES), video, int(subject), times)[order])
        time += len(times) / sfreq
    signal = np.concatenate([*pieces, np.zeros((len(labels), sfreq))], axis=1)
    events.to_csv(
        root / "nm000112" / f"{stem}events.tsv",
        sep="\t",
        index=False,
        encoding="utf-8-sig",
    )
    unit = 1.0 if volts else 1e6
    write_bdf(
        root / "nm000112" / f"{stem}eeg.bdf",
        labels,
        unit * scale * signal,
        sfreq,
        "" if "n/a" in units else "uV",
        resolution=1e-8 * unit,
    )
    return events.loc[clips].assign(sfreq=sfreq)


OLD_NAMES = {"T3": "T7", "T4": "T8", "T5": "P7", "T6": "P8"}
FACED_NAMES = (
    "Fp1 Fp2 Fz F3 F4 F7 F8 FC1 FC2 FC5 FC6 Cz C3 C4 T7 T8 CP1 CP2 CP5 CP6 Pz P3 P4 P7 "
    "P8 PO3 PO4 Oz O1 O2 A1 A2 HEOR HEOL"
).split()


# EmoEEG-MC --------------------------------------------------------------------------


def emoeeg_subject(data, root, subject, *, eeg_folder=None, scale=1e6, mix=False):
    """Write both contexts of one subject of EmoEEG-MC, in volts times ``scale``.

    Parameters
    ----------
    data, root : Path
        The folder of the real tables, and where ``ds005540`` is made.
    subject : str
        Such as "07".
    eeg_folder : bool, default=None
        Whether files lie in a folder "eeg"; None: as published.
    scale : float, default=1e6
        1e6 gives microvolts.
    mix : bool, default=False
        Whether the files of the two contexts are exchanged.
    """
    source = next((data / OPEN).glob("*ds005540"))
    table = Path(f"sub-{subject}/beh/sub-{subject}_task-emotion_beh.tsv")
    (root / "ds005540" / table).parent.mkdir(parents=True)
    shutil.copy(source / table, root / "ds005540" / table)
    manifest = pd.read_csv(source / "MANIFEST.tsv", sep="\t")
    rows = manifest[
        manifest["path"].str.contains(f"derivatives/sub-{subject}/.*_reorder")
    ]
    for path, n_bytes in zip(rows["path"], rows["bytes"], strict=True):
        is_video = ("ses-vid" in path) != mix
        n_trials = (n_bytes - 128) // (64 * 6000 * 8)
        times = np.arange(6000) / 200
        trials = [
            waves(64, k, int(subject) + 100 * is_video, times) for k in range(n_trials)
        ]
        file = root / "ds005540" / path
        if eeg_folder is not None:
            file = file.parent.parent / file.name if "/eeg/" in path else file
            file = file.parent / "eeg" / file.name if eeg_folder else file
        file.parent.mkdir(parents=True)
        np.save(file, scale * np.array(trials))


# DENS -------------------------------------------------------------------------------


def dens_subject(data, root, subject, *, n_whole=None, positions=True):
    """Write one subject of DENS; return what its trials are, in the order of time.

    Parameters
    ----------
    data, root : Path
        The folder of the real tables, and where ``ds003751`` is made.
    subject : str
        Such as "mit003".
    n_whole : int, default=None
        Trials that lie whole in the file, which ends 10 seconds into the next one and
        in the middle of a number; None: all.
    positions : bool, default=True
        Whether the header has positions of electrodes.
    """
    import scipy.io

    source = next((data / OPEN).glob("*ds003751"))
    stem = f"sub-{subject}/eeg/sub-{subject}_task-"
    folder = root / "ds003751"
    (folder / stem).parent.mkdir(parents=True)
    ratings = f"sub-{subject}/beh/sub-{subject}_task-Emotion_beh.tsv"
    if (source / ratings).exists():
        (folder / ratings).parent.mkdir(parents=True)
        shutil.copy(source / ratings, folder / ratings)
    events = pd.read_csv(source / f"{stem}emotion_events.tsv", sep="\t", dtype=str)
    onsets = events["onset"].astype(float).to_numpy()
    # What lies between trials is left out; within 61 s of a clip all stays.
    starts = onsets[(events["trial_type"] == "stm").to_numpy()]
    moved = np.zeros(len(events))
    for row, onset in enumerate(onsets):
        last = np.searchsorted(starts, onset, "right") - 1
        inside = min(onset - starts[last], 15249.0) if last >= 0 else 0.0
        moved[row] = 250 + 15250 * max(last, 0) + (inside if last >= 0 else -200.0)
    events["onset"] = [f"{value:.6f}" for value in moved]
    events.to_csv(folder / f"{stem}emotion_events.tsv", sep="\t", index=False)

    n_trials = len(starts)
    n_times = 250 + 15250 * n_trials
    names = [f"E{k}" for k in range(1, 129)] + ["ECG", "EMG1", "EMG2", "Cz"]
    times = np.arange(15250) / 250
    phase = int("".join(filter(str.isdigit, subject)))
    pieces = [waves(132, k, phase, times) for k in range(n_trials)]
    signal = np.concatenate([np.zeros((132, 250)), *pieces], axis=1)
    samples = np.ascontiguousarray(1e6 * signal.T, "<f4").tobytes()
    if n_whole is not None:
        samples = samples[: 4 * 132 * (250 + 15250 * n_whole + 2500) + 6]
    (folder / f"{stem}Emotion_eeg.fdt").write_bytes(samples)
    import mne

    net = mne.channels.make_standard_montage("GSN-HydroCel-128").get_positions()
    # EEGLAB's first axis points to the front, its second one to the left; millimetres.
    located = {}
    for name in names[:128] if positions else ():
        x, y, z = 1000 * net["ch_pos"][name]
        located[name] = (y, -x, z)
    empty = np.zeros(0)
    chanlocs = np.array(
        [
            (name, *(located[name] if name in located else (empty, empty, empty)))
            for name in names
        ],
        dtype=[(field, object) for field in ("labels", "X", "Y", "Z")],
    )
    eeg = {
        "nbchan": 132, "pnts": n_times, "trials": 1, "srate": 250.0, "xmin": 0.0,
        "xmax": (n_times - 1) / 250, "data": f"sub-{subject}_task-Emotion_eeg.fdt",
        "chanlocs": chanlocs, "event": empty, "epoch": empty, "ref": "common",
        "setname": subject, "filename": f"sub-{subject}_task-Emotion_eeg.set",
    }  # fmt: skip
    scipy.io.savemat(folder / f"{stem}Emotion_eeg.set", {"EEG": eeg}, appendmat=False)
    return events.loc[events["trial_type"] == "stm", "label"].tolist()
