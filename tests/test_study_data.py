"""Data of studies: what is noticed, who is here, few people, and older results."""

import html
import json
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from studies import ENCODER, TRANSFER, Kill, counted, writer

from sklearn_mdjpt import EEGWindows
from sklearn_mdjpt.__main__ import main
from sklearn_mdjpt.encoder._training import PretrainingNet
from sklearn_mdjpt.evaluation import summary
from sklearn_mdjpt.study import (
    _cost,
    _data,
    _run,
    estimate_study,
    evaluate_study,
    pretrain_study,
    read_study,
)
from sklearn_mdjpt.study._noticed import Notices

ALONE = """
[[datasets]]
name = "one"
reader = "store"
path = "A"
"""
CLASSICAL = """
[evaluation]
methods = ["entropy-subject", "entropy"]
"""


@pytest.fixture
def write(make_windows, tmp_path, tmp_path_factory):
    """Return a function that writes a study beside stores of noise."""
    return writer(make_windows, tmp_path, tmp_path_factory)


def text_of(page):
    """Return the words of a page, without figures and tags."""
    page = re.sub(r"data:image[^\"]*", "", page.read_text(encoding="utf-8"))
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


# What was noticed -------------------------------------------------------------------


def test_notices_are_shown_once_with_the_dataset_and_counted(tmp_path):
    notices, path = Notices(), tmp_path / "made" / "x.noticed.json"
    with pytest.warns(UserWarning) as shown:
        with notices.during(path, "FACED", "reading"):
            for k in (4, 4, 5):
                warnings.warn(f"'/x/sub-{k}.bdf' is loud.", UserWarning, stacklevel=1)
            warnings.warn("1 of 3 lost.", RuntimeWarning, stacklevel=1)
            # It is on the disk before the step ends.
            assert "1 of 3 lost." in path.read_text(encoding="utf-8")
        with notices.during(path.with_name("y.json"), "FACED", "few_shot: entropy"):
            warnings.warn("2 of 3 lost.", RuntimeWarning, stacklevel=1)
    loud = "'/x/sub-4.bdf' is loud. The same for sub-5.bdf."
    assert [str(w.message) for w in shown] == [
        f"FACED: {loud} (3 times)", "FACED: 1 of 3 lost.",
    ]  # fmt: skip
    expected = [
        ["FACED", loud, 3, "reading"],
        ["FACED", "1 of 3 lost. Also with other numbers.", 2,
         "reading, few_shot: entropy"],
    ]  # fmt: skip
    assert notices.table() == expected
    later = Notices()
    assert [later.recall(path), later.recall(path.with_name("y.json"))] == [2, 1]
    assert later.table() == expected


def test_notices_of_an_error_and_of_libraries(tmp_path):
    path = tmp_path / "x.json"
    with pytest.warns(UserWarning, match="^A: odd$"), pytest.raises(ValueError):
        with Notices().during(path, "A", "reading"):
            warnings.warn("odd", UserWarning, stacklevel=1)
            raise ValueError
    # What a library will give up says nothing of data.
    with pytest.raises(DeprecationWarning):
        with Notices().during(path, "A", "reading"):
            warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert json.loads(path.read_text(encoding="utf-8"))[0]["counts"] == {"odd": 1}


def test_warnings_of_reading_are_in_the_report_also_after_a_kill(
    write, monkeypatch, capsys
):
    read = _data.read_entry

    def read_loudly(study, entry, whose=None):
        for _ in range(2):
            warnings.warn("3 channels are flat.", UserWarning, stacklevel=1)
        return read(study, entry, whose)

    monkeypatch.setattr("sklearn_mdjpt.study._look.read_entry", read_loudly)
    path = write(ALONE + CLASSICAL)
    with monkeypatch.context() as patch:
        counted(patch, _run, "write_report", kill_at=1)
        with pytest.raises(Kill):
            main(["evaluate", str(path)])
    said = capsys.readouterr().err
    assert said.count("3 channels are flat.") == 1
    assert "warning: one: 3 channels are flat. (2 times)\n" in said
    assert main(["evaluate", str(path)]) == 0
    # The store is there, and so is what was noticed when it was made.
    captured = capsys.readouterr()
    assert "flat" not in captured.err
    assert "; 1 thing was noticed)" in captured.out
    page = text_of(path.with_suffix("") / "report.html")
    assert "2 things were noticed in the data of one" in page
    assert "one 3 channels are flat. 2 reading" in page
    assert page.count("3 channels are flat.") == 1
    groups = "leave_subjects_out has 3 groups, not 5: there are 3 people."
    assert groups in page and groups in captured.err


# Results of other settings ----------------------------------------------------------


def test_results_of_other_settings_are_moved_aside(write, capsys):
    path = write(ALONE + CLASSICAL)
    report = evaluate_study(path, verbose=0)
    folder, first = report.parent, report.read_bytes()
    key = (folder / ".results").read_text(encoding="ascii")
    assert f"fingerprint of settings and data: {key[:12]}" in text_of(report)
    scores = (folder / "scores.csv").read_bytes()
    # The same settings: nothing is moved.  So it is where settings are wrong.
    evaluate_study(path, verbose=0)
    write(ALONE + CLASSICAL + "n_folds = 7")
    with pytest.raises(ValueError, match="n_folds = 7, but there are 3 people"):
        evaluate_study(path, verbose=0)
    assert not (folder / "older").exists() and report.exists()
    # A training alone makes no report: none may stand that is of other settings.
    write(ALONE + CLASSICAL + "n_folds = 2\n" + ENCODER)
    assert pretrain_study(path).exists()
    assert "report.html, scores.csv of older ones are in" in capsys.readouterr().out
    assert not report.exists() and not (folder / "scores.csv").exists()
    older = folder / "older" / "1"
    assert (older / "report.html").read_bytes() == first
    assert (older / "scores.csv").read_bytes() == scores
    assert (folder / "hub").is_dir()
    evaluate_study(path, verbose=0)
    assert not (folder / "older" / "2").exists()
    # `pretrain` writes the hub anew where that of other settings was moved.
    write(ALONE + CLASSICAL + "n_folds = 3\n" + ENCODER)
    pretrain_study(path, verbose=0)
    assert (folder / "hub" / "mdjpt.safetensors").exists() and not report.exists()
    write(ALONE + CLASSICAL + "n_folds = 2\n" + ENCODER)
    evaluate_study(path, verbose=0)
    # So are those of other data.
    X = EEGWindows.open(path.with_name("A"))
    X[: len(X) // 2].save(path.with_name("half"))
    write((ALONE + CLASSICAL + "n_folds = 2\n" + ENCODER).replace('"A"', '"half"'))
    evaluate_study(path, verbose=0)
    moved = sorted(p.name for p in (folder / "older" / "4").iterdir())
    assert moved == ["report.html", "scores.csv"]
    assert report.exists() and not (folder / "hub").exists()  # no method has an encoder


def test_scores_are_what_summary_takes(write):
    study = write(TRANSFER + CLASSICAL)
    report = evaluate_study(study, verbose=0)
    found = summary(pd.read_csv(report.with_name("scores.csv")))
    assert found["method"].value_counts().to_dict() == dict.fromkeys(
        ["chance", "majority", *found["method"].iloc[2:4]], 2
    )
    page = text_of(report)
    for _, row in found.iterrows():
        assert re.search(
            rf"{re.escape(row['method'])} {100 * row['mean']:.1f} ", page
        ), row["method"]


# Report and card --------------------------------------------------------------------


@pytest.mark.parametrize("anonymous", [True, False])
def test_the_report_names_people_unless_they_stay_unnamed(write, anonymous):
    card = f"[card]\nanonymous = {str(anonymous).lower()}\n"
    page = text_of(evaluate_study(write(TRANSFER + CLASSICAL + card), verbose=0))
    assert ("two, 3 people: 01, 02, 03" in page) != anonymous
    assert ("Names of people are left out" in page) == anonymous


def test_the_report_says_numbers(write):
    text = TRANSFER + '[evaluation]\nmethods = ["entropy", "entropy-subject"]\n'
    page = text_of(evaluate_study(write(text), verbose=0))
    assert (
        "from the labels of 1 of the 3 people of this dataset and is tested on the"
        in page
    )
    assert "other 2, in 3 random splits." in page
    assert "window of the 2 other people" in page
    assert "logistic regression nearest neighbour" in page
    assert "few_shot has 3 random splits, not 6: there are only 3 ways" in page
    # All that the scores depend on, also what nobody has set.
    assert "n_splits 3" in page
    for words in ("train_size 0.25", "random_state 0", "safetensors", "stride 2.0"):
        assert words in page


def test_the_p_values_in_short_are_called_what_they_are(write):
    methods = '[evaluation]\nmethods = ["mdjpt", "entropy", "entropy-subject"]\n'
    report = evaluate_study(write(TRANSFER + ENCODER + methods), verbose=0)
    page = text_of(report)
    said = re.findall(
        r"p = (\S+) by Wilcoxon's test, with Holm's correction for 2 comparisons", page
    )
    assert len(said) == 2
    card = (report.parent / "hub" / "README.md").read_text(encoding="utf-8")
    means = summary(pd.read_csv(report.with_name("scores.csv"))).set_index(
        ["protocol", "method"]
    )
    row = means.loc["few_shot", "mdJPT (transductive)"]
    chance = means.loc["few_shot", "chance"]["mean"]
    assert (
        f"| two | few_shot | mdJPT (transductive) | {100 * row['mean']:.1f} | "
        f"{100 * row['low']:.1f} to {100 * row['high']:.1f} | {100 * chance:.1f} | 3 |"
    ) in card
    assert "- two, few_shot: Encoders were trained on 1 other dataset" in card


# Few people -------------------------------------------------------------------------


def test_a_number_that_is_set_is_never_reduced(write):
    with pytest.raises(ValueError) as error:
        evaluate_study(
            write(TRANSFER + CLASSICAL + "n_splits = 4\nn_folds = 4\nprotocols = "
                  "['few_shot', 'leave_subjects_out']"),
            verbose=0,
        )  # fmt: skip
    assert "few_shot on two: n_splits=4, but there are only 3 ways" in str(error.value)
    assert "two: [evaluation] n_folds = 4, but there are 3 people" in str(error.value)


# What is left -----------------------------------------------------------------------


SPEED = _cost.Speed(0.1, 0.01, {"entropy": 0.001, "entropy-subject": 0.001}, 1e9, 9, "")


def test_dry_run_counts_what_is_left_alone(write, monkeypatch, capsys):
    monkeypatch.setattr(_cost, "_measure", lambda study: SPEED)
    path = write(TRANSFER + ENCODER + '[evaluation]\nmethods = ["mdjpt", "entropy"]\n')
    study = read_study(path)
    whole = estimate_study(study)
    assert [*whole.index] == ["read one", "read two", "pre-train", "evaluate"]
    # `pretrain` neither reads the target nor tests.
    assert [*estimate_study(study, evaluation=False).index] == ["read one", "pre-train"]
    # Killed in the third of four batches, behind a checkpoint after the second.
    with monkeypatch.context() as patch:
        counted(patch, PretrainingNet, "train_step", kill_at=3)
        with pytest.raises(Kill):
            evaluate_study(study, verbose=0)
    half = estimate_study(study)
    assert [*half.index] == ["pre-train", "evaluate"]
    assert "A training goes on from its last checkpoint." in half.attrs["notes"]
    # 2 of 4 batches of 2 people by 4 clips; 36 windows are encoded at the end.
    n = 2 * 4
    assert 3600 * whole.loc["pre-train", "hours"] == pytest.approx(0.1 * 4 * n + 0.36)
    assert 3600 * half.loc["pre-train", "hours"] == pytest.approx(0.1 * 2 * n + 0.36)
    pretrain_study(study, verbose=0)
    assert [*estimate_study(study).index] == ["evaluate"]
    assert not len(estimate_study(study, evaluation=False))
    evaluate_study(study, verbose=0)
    assert main(["evaluate", str(path), "--dry-run"]) == 0
    assert "all is done" in capsys.readouterr().out
    write(path.read_text(encoding="utf-8").replace('"entropy"', '"entropy-subject"'))
    left = estimate_study(path)
    assert [*left.index] == ["evaluate"]
    # One method under two protocols: 3 splits, and once, of 36 windows; no encoding.
    assert 3600 * left["hours"].sum() == pytest.approx(0.001 * 36 * (3 + 1))


def test_dry_run_charges_the_encoders_of_each_fold(write, monkeypatch):
    monkeypatch.setattr(_cost, "_measure", lambda study: SPEED)
    table = estimate_study(write(ALONE + ENCODER))
    assert [*table.index] == ["read one", "pre-train 4 encoders", "evaluate"]
    # Of 3 folds each leaves a third of the 36 windows out, which are encoded.
    expected = 0.1 * 4 * 4 * 2 * 4 + 0.01 * (36 + 3 * 24)
    assert 3600 * table["hours"].iloc[1] == pytest.approx(expected)


def test_dry_run_finds_what_would_be_refused(write, capsys):
    target = TRANSFER.replace('path = "B"', 'path = "B"\nsubjects = {}')
    cases = {
        target.format('["01"]'): "two has 1 people with labels; at least two",
        target.format('["77"]'): "two has no subject '77'; it has 01, 02, 03",
        TRANSFER + CLASSICAL + "n_splits = 9": "few_shot on two: n_splits=9, but",
        TRANSFER.replace("[[", "[windows]\nseconds = 99\n[[", 1).replace(
            'reader = "store"\npath = "A"', 'reader = "read_seed"\npath = "A"'
        ): "[[datasets]] 'one': No folder",
        ALONE + 'subjects = ["02"]': "one has 1 people with labels",
        "[[datasets]]\nname = 'FACED'\nsubjects = [500]": "got 500, expected 000 to",
        "download = false\ndata_home = '.'\n[[datasets]]\nname = 'DENS'": "No subject",
        "[[datasets]]\nname = 'FACED'\npath = 'gone'": "'FACED': there is no folder",
    }
    for text, message in cases.items():
        assert main(["evaluate", str(write(text + ENCODER)), "--dry-run"]) == 2
        assert message in capsys.readouterr().err
        with pytest.raises(ValueError, match=re.escape(message)):
            evaluate_study(write(text + ENCODER), verbose=0)


def test_sources_that_cannot_be_paired_are_said_before_training(write, tmp_path):
    X = EEGWindows.open(tmp_path / "A")
    X[np.isin(X.metadata["subject"], ["01"])].save(tmp_path / "single")
    text = TRANSFER.replace('path = "A"', 'path = "single"') + ENCODER
    with pytest.raises(ValueError, match="one: Pre-training needs at least two subj"):
        estimate_study(write(text), evaluation=False)


def test_problems_of_settings_and_of_two_datasets_come_together(write):
    text = TRANSFER.replace('path = "B"', "path = 'B'\nsubjects = ['77']")
    text = text.replace('path = "A"', "path = 'A'\nsubjects = ['78']")
    with pytest.raises(ValueError) as error:
        estimate_study(write(text + "[windows]\nstrid = 1"))
    for words in ("'strid'", "no subject '77'", "no subject '78'"):
        assert words in str(error.value)
    # Neither a wrong dataset nor a wrong encoder hides that people are too few.
    text = TRANSFER.replace('path = "B"', "path = 'B'\nsubjects = ['01']")
    text = text.replace('path = "A"', "path = 'gone'") + "[encoder]\nlr = -1"
    with pytest.raises(ValueError) as error:
        estimate_study(write(text))
    for words in ("'one': there is no folder", "lr must be", "two has 1 people"):
        assert words in str(error.value)
