"""Studies of openly licensed data: who is here, and a whole study of a few people."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest
from all_datasets import OPEN_PEOPLE
from open_files import OPEN, dens_subject, emoeeg_subject, faced_subject
from studies import ENCODER

from sklearn_mdjpt.datasets._local import look_for_files
from sklearn_mdjpt.evaluation import summary
from sklearn_mdjpt.study import _cost, estimate_study, evaluate_study, read_study
from sklearn_mdjpt.study._data import dataset_key

DATA = Path(os.environ.get("SKLEARN_MDJPT_DATA", "."))
pytestmark = [
    pytest.mark.skipif(
        not (DATA / OPEN).is_dir(),
        reason="needs the real tables: set SKLEARN_MDJPT_DATA to their folder",
    ),
    # What is written here has other sizes than what was published.
    pytest.mark.filterwarnings("ignore:.*differ in size from the published"),
]
GUIDE = Path(__file__).parents[1] / "docs" / "study.md"


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Return a folder for a study; other places hold no data."""
    monkeypatch.delenv("SKLEARN_MDJPT_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda name: tmp_path / "cache" / name)
    (tmp_path / "open").mkdir()
    return tmp_path


def test_only_what_is_not_here_is_to_be_downloaded(elsewhere, monkeypatch):
    for subject in ("01", "02", "03"):
        emoeeg_subject(DATA, elsewhere / "open", subject)
    speed = _cost.Speed(0.1, 0.01, {}, 1e9, 9, "cpu")
    monkeypatch.setattr(_cost, "_measure", lambda study: speed)
    path = elsewhere / "study.toml"

    def study(subjects, first=""):
        path.write_text(
            f"data_home = 'open'\n{first}[[datasets]]\nname = 'EmoEEG-MC'\n{subjects}"
            f"{ENCODER}",
            encoding="utf-8",
        )
        return read_study(path)

    local = look_for_files("fetch_emoeeg_mc", None, elsewhere / "open")
    assert local.complete == ["01", "02", "03"] and len(local.lacking) == 56
    assert len(local.to_fetch) == 2 * 56  # a table and a signal
    table = estimate_study(study(""))
    whole = sum(local.to_fetch.values()) + 59 * 32e6
    assert table.loc["fetch, read EmoEEG-MC", "disk"] == pytest.approx(whole / 1e9)
    notes = " ".join(table.attrs["notes"])
    assert "Of these people all files are here: EmoEEG-MC: 01, 02, 03." in notes
    assert "EmoEEG-MC 59 people" in notes
    # A file of another size is used as it is: it counts for the key, not as missing.
    here = study("subjects = [1, 2, 3]")
    key = dataset_key(here, here.datasets[0])
    signal = next((elsewhere / "open").rglob("sub-01*vid*.npy"))
    moved = signal.with_suffix(".part")
    signal.rename(moved)
    assert "fetch, read EmoEEG-MC" in estimate_study(here).index
    # A download keeps what the windows are known by.
    assert dataset_key(here, here.datasets[0]) == key
    moved.rename(signal)
    with signal.open("ab") as file:
        file.write(b"x")
    assert dataset_key(here, here.datasets[0]) != key
    assert "read EmoEEG-MC" in estimate_study(here).index
    # Who is here counts where nothing is downloaded.
    some = study("", "download = false\n")
    keys = {dataset_key(some, some.datasets[0])}
    emoeeg_subject(DATA, elsewhere / "open", "04")
    keys.add(dataset_key(some, some.datasets[0]))
    assert len(keys) == 2
    note = "study.toml: [[datasets]] 'EmoEEG-MC': Subjects 05 of EmoEEG-MC lack a file"
    with pytest.raises(ValueError, match=re.escape(note)):
        estimate_study(study("subjects = [3, 4, 5]", "download = false\n"))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Next to no signal")
def test_nine_lines_make_a_report_of_open_data(elsewhere):
    for subject in OPEN_PEOPLE["FACED"]:
        faced_subject(DATA, elsewhere / "open", subject)
    for subject in OPEN_PEOPLE["EmoEEG-MC"]:
        emoeeg_subject(DATA, elsewhere / "open", subject)
    for subject in OPEN_PEOPLE["DENS"]:
        dens_subject(DATA, elsewhere / "open", subject)
    blocks = re.findall(r"```toml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.S)
    [text] = [block for block in blocks if "download = false" in block]
    assert len(text.splitlines()) < 10
    path = elsewhere / "study.toml"
    # Only the encoder is smaller than in the guide, and slow methods are left out.
    methods = '[evaluation]\nmethods = ["mdjpt", "entropy"]\n'
    path.write_text(text + methods + ENCODER, encoding="utf-8")
    with pytest.warns(UserWarning, match="few_shot has 2 random splits, not 6"):
        report = evaluate_study(path, verbose=0)
    page = report.read_text(encoding="utf-8")
    assert "DENS, 3 people: mit003, mit004, mit007" in page
    assert "9 files of DENS differ in size from the published ones" in page
    found = summary(pd.read_csv(report.with_name("scores.csv")))
    assert set(found["dataset"]) == {"DENS"} and (found["n_subjects"] == 3).all()
