"""Discontinuous EDF+ and BDF+ files: MNE leaves their gaps out without a word."""

import re

import mne
import numpy as np
import pytest

from sklearn_mdjpt import EEGWindows, Recording
from sklearn_mdjpt.__main__ import main

edfio = pytest.importorskip("edfio", reason="writes the files (extra test)")

N_SECONDS = 40


def _write(path, *, begins=None, kind="D"):
    """Write two channels at 100 Hz in records of a second that begin at some times."""
    is_bdf = path.suffix.lower() == ".bdf"
    Signal, File = (
        (edfio.BdfSignal, edfio.Bdf) if is_bdf else (edfio.EdfSignal, edfio.Edf)
    )
    rng = np.random.default_rng(0)
    signals = [
        Signal(
            10 * rng.standard_normal(100 * N_SECONDS), 100, label=name,
            physical_dimension="uV", physical_range=(-200, 200),
        )
        for name in ("Fz", "Cz")
    ]  # fmt: skip
    notes = [edfio.EdfAnnotation(2, 4, "joy")]
    File(signals, annotations=notes, data_record_duration=1).write(path)
    data = path.read_bytes()
    begins = begins or range(N_SECONDS)
    data, n = re.subn(
        rb"\+(\d\d)\x14\x14", lambda m: b"+%d\x14\x14" % begins[int(m[1])], data
    )
    assert n == N_SECONDS - 10
    name = b"BDF+" if is_bdf else b"EDF+"
    assert data[192:197] == name + b"C"
    path.write_bytes(data[:192] + name + kind.encode() + data[197:])
    return path


@pytest.mark.parametrize("name", ["one.edf", "one.bdf", "one.EDF"])
@pytest.mark.parametrize(
    "begins, gaps",
    [
        ([*range(20), *range(50, 70)], [(20.0, 30.0)]),
        ([*range(15), *range(16, 26), *range(40, 55)], [(15.0, 1.0), (25.0, 14.0)]),
        ([*range(30), *range(29, 39)], [(30.0, -1.0)]),
        (None, []),
    ],
)
def test_gaps_are_found(tmp_path, name, begins, gaps):
    path = tmp_path / name
    lower = _write(tmp_path / name.lower(), begins=begins)
    lower.rename(path)
    read = mne.io.read_raw_bdf if "bdf" in name else mne.io.read_raw_edf
    raw = read(path, verbose="error")
    if not gaps:
        assert Recording.from_raw(raw).duration == N_SECONDS
        return
    after, missing = gaps[0]
    what = "are missing" if missing > 0 else "were recorded twice"
    kind = rf"\({name[-3:].upper()}\+D\)"
    message = f"{name} is disc.*{kind}: {abs(missing):g} s {what} after {after:g} s"
    with pytest.raises(ValueError, match=message) as error:
        Recording.from_raw(raw)
    further = re.findall(r"(\d+) further gaps", str(error.value))
    assert further == [str(len(gaps) - 1)] * (len(gaps) > 1)
    # What lies before is right.
    raw.crop(tmax=gaps[0][0], include_tmax=False)
    X = EEGWindows.from_recordings(Recording.from_raw(raw), window_seconds=4)
    assert X.y.tolist() == ["joy"]


def test_a_continuous_file_is_not_searched(tmp_path):
    path = _write(tmp_path / "one.edf", begins=[*range(20), *range(50, 70)], kind="C")
    raw = mne.io.read_raw_edf(path, verbose="error")
    assert Recording.from_raw(raw).duration == N_SECONDS


def test_stretches_put_together_are_refused(tmp_path):
    path = _write(tmp_path / "one.edf", begins=[*range(20), *range(50, 70)])
    raw = mne.io.read_raw_edf(path, preload=True, verbose="error")
    parts = [raw.copy().crop(0, 5), raw.copy().crop(30, 35)]
    with pytest.raises(ValueError, match="30 s are missing after 20 s of signal"):
        Recording.from_raw(mne.concatenate_raws(parts, verbose="error"))
    # A copy in memory, which no longer knows its file, is the user's own affair.
    array = mne.io.RawArray(raw.get_data(), raw.info, verbose="error")
    assert Recording.from_raw(array).duration == N_SECONDS


def test_records_that_do_not_say_when_they_began(tmp_path):
    path = _write(tmp_path / "one.edf")
    path.write_bytes(re.sub(rb"\+\d+\x14\x14", lambda m: b"\0" * len(m[0]),
                            path.read_bytes()))  # fmt: skip
    raw = mne.io.read_raw_edf(path, verbose="error")
    with pytest.warns(UserWarning, match=r"one.edf' may have gaps \(EDF\+D\)"):
        Recording.from_raw(raw)


def test_everything_that_opens_files_asks(tmp_path, capsys):
    from sklearn_mdjpt.datasets._bdf import decode_bdf
    from sklearn_mdjpt.preprocessing import clean_recording

    begins = [*range(20), *range(50, 70)]
    path = _write(tmp_path / "one.edf", begins=begins)
    with pytest.raises(ValueError, match="30 s are missing"):
        clean_recording(mne.io.read_raw_edf(path, verbose="error"), ica=None)
    with pytest.raises(ValueError, match="30 s are missing"):
        decode_bdf(_write(tmp_path / "one.bdf", begins=begins), ["Fz"])
    assert main(["info", str(path)]) == 2
    assert "30 s are missing after 20 s of signal" in capsys.readouterr().err


def test_read_bids_refuses_gaps(tmp_path):
    pytest.importorskip("mne_bids", reason="optional (extra bids)")
    from sklearn_mdjpt.datasets import read_bids

    folder = tmp_path / "sub-01" / "eeg"
    folder.mkdir(parents=True)
    (tmp_path / "dataset_description.json").write_text(
        '{"Name": "Films", "BIDSVersion": "1.9.0"}'
    )
    (folder / "sub-01_task-film_events.tsv").write_text(
        "onset\tduration\ttrial_type\n2\t8\tjoy\n"
    )
    path = folder / "sub-01_task-film_eeg.edf"
    _write(path)
    assert read_bids(tmp_path, window_seconds=4).y.tolist() == ["joy"] * 3
    _write(path, begins=[*range(20), *range(50, 70)])
    with pytest.raises(ValueError, match="30 s are missing after 20 s of signal"):
        read_bids(tmp_path)
