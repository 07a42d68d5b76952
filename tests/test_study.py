"""Whole studies from one file: settings, steps that go on, leaks, the report."""

import os
import re
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from studies import ENCODER, EVALUATION, TRANSFER, Kill, counted, writer

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, concat_windows
from sklearn_mdjpt.__main__ import main
from sklearn_mdjpt.encoder._training import PretrainingNet
from sklearn_mdjpt.study import (
    _cost,
    _data,
    _evaluation,
    _run,
    estimate_study,
    evaluate_study,
    pretrain_study,
    read_study,
)
from sklearn_mdjpt.study._data import dataset_key
from sklearn_mdjpt.study._keys import REQUIRED, keys_of_class, show_kind, show_value
from sklearn_mdjpt.study._methods import METHODS
from sklearn_mdjpt.study._settings import (
    Card,
    Dataset,
    Evaluation,
    General,
    Windows,
)
from sklearn_mdjpt.study._training import main_weights


@pytest.fixture
def write(make_windows, tmp_path, tmp_path_factory):
    """Return a function that writes a study beside stores of noise."""
    return writer(make_windows, tmp_path, tmp_path_factory)


# Settings ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[evaluaton]", r"no section 'evaluaton'; is 'evaluation' meant\? Known are"),
        ("[windows]\nsecond = 3", r"\[windows\] has no key 'second'; is 'seconds' me"),
        ("[encoder]\nmax_epoch = 3", r"\[encoder\] has no key 'max_epoch'; is 'max_ep"),
        ("[encoder]\nlr = 'fast'", r"\[encoder\]: lr must be a number; got 'fast'"),
        ("[encoder]\nlr = -1", r"\[encoder\]: lr must be a finite number > 0, got -1"),
        ("[encoder]\nn_heads = 3", r"\[encoder\]: hidden_dim"),
        ("[encoder]\nweights = 'x'", r"\[encoder\]: .*x"),
        ("[windows]\nseconds = true", "seconds must be a number; got True"),
        ("[windows]\nstride = 0", r"\[windows\]: stride must be a finite number > 0"),
        ("[study]\nrandom_state = 'a'", "random_state must be a whole number; got 'a'"),
        (
            "[evaluation]\nmethods = ['DE']",
            r"no method 'DE'\. Known are combined, en",
        ),
        ("[evaluation]\nmethods = 'mdjpt'", "methods must be a list of texts; got 'm"),
        ("[evaluation]\nreference = 'tangent'", "reference 'tangent' must be one of"),
        ("[evaluation]\nnetworks = ['EEGnet']", "no network 'EEGnet'; is 'EEGNet' mea"),
        ("[evaluation]\ntrain_size = 1.5", "train_size must be below 1"),
        ("[evaluation]\nprotocols = ['few']", "list of .'few_shot' or 'zero_shot' or "),
        ("[cleaning]\nica = 'none'", "no dataset has clean = true"),
        ("[[datasets]]\nname = 'SEEED'", "is 'SEED' meant.* Others need reader="),
        ("[[datasets]]\nname = 'SEED'", "'SEED' needs path="),
        (
            "[[datasets]]\nname = 'DEAP'\npath = 'gone'",
            "'DEAP': there is no folder '.*gone'",
        ),
        ("[[datasets]]\nname = 'FACED'\npart = 'half'", "'whole' or 'last30'; got 'ha"),
        ("[[datasets]]\nname = 'x'\nreader = 'read_sed'", "no reader 'read_sed'; is "),
        ("[[datasets]]\nname = 'DENS'\nrole = 'both'", "role must be 'source' or 'tar"),
        (
            "[[datasets]]\nreader = 'store'\npath = 'A'",
            "number 1 lacks the key 'name': ",
        ),
        ("[[datasets]]\nname = 'A'\nreader = 'store'\npath = '.'", "no folder of EEGW"),
        ("[datasets]\nname = 'FACED'", r"must be written \[\[datasets\]\]"),
        ("datasets = []", r"at least one section \[\[datasets\]\]"),
        ("folder = 3\n", r"\[study\]: folder must be a text"),
        ("foldr = 'x'\n", "no section or key 'foldr'; is 'folder' meant"),
        ("[study\n", r"is no TOML: .*The line is: \[study$"),
        ("[[datasets]]\nname = FACED", r"line 2.*; is name = \"FACED\" meant\? Te"),
        ("[[datasets]]\nname = 'x'\nclean = True", "; is clean = true meant[?]$"),
        ("data_home = 'gone'", r"\[study\]: data_home: there is no folder '.*gone'"),
        ("data_home = 'study.toml'", "data_home: .* is a file; expected a folder"),
        ("folder = 'study.toml'", "folder of the results, .* is a file; choose"),
        ("folder = 'a/b'", "there is no folder '.*a' for the results"),
    ],
)
def test_what_is_wrong_is_named(write, text, message):
    whole = text if "datasets" in text else f"{text}\n[[datasets]]\nname = 'simulated'"
    with pytest.raises(ValueError, match=message):
        read_study(write(whole))


def test_none_of_several_problems_hides_another(write):
    text = """
folder = "gone/results"
[windows]
strid = 1
[evaluation]
methods = ["DE"]
n_splits = 0
[encoder]
lr = -1
latent_dim = 0
depht = 3
[[datasets]]
name = "DEAP"
path = "gone"
[[datasets]]
name = "SEEED"
[[datasets]]
name = "FACED"
subjects = [500]
"""
    with pytest.raises(ValueError, match="study.toml: ") as error:
        evaluate_study(write(text))
    said = str(error.value)
    for words in (
        "gone' for the results", "no key 'strid'", "no method 'DE'", "n_splits must be",
        "[encoder]: lr must", "[encoder]: latent_dim must", "no key 'depht'",
        "'DEAP': there is no folder", "'SEEED' is not a name", "got 500, expected 000",
    ):  # fmt: skip
        assert words in said
    # What follows from others is not said.
    assert "reference" not in said


def test_folders_that_may_not_be_used_are_said(write, monkeypatch, tmp_path):
    path = write("data_home = 'A'\n[[datasets]]\nname = 'FACED'")
    monkeypatch.setattr("os.access", lambda place, mode: not mode & os.W_OK)
    with pytest.raises(ValueError, match="nothing may be written to .*study'") as error:
        read_study(path)
    assert "download = false takes what is there" in str(error.value)
    monkeypatch.setattr("os.access", lambda place, mode: not mode & os.R_OK)
    with pytest.raises(ValueError, match="data_home: '.*A' may not be read"):
        read_study(path)
    with pytest.raises(IsADirectoryError, match="is a folder; expected a file of"):
        read_study(tmp_path)


def test_keys_before_the_first_section_are_those_of_the_study(write):
    text = "title = 'x'\n{}[[datasets]]\nname = 'simulated'"
    assert read_study(write(text.format(""))).title == "x"
    study = read_study(write(text.format("[study]\nrandom_state = 3\n")))
    assert (study.title, study.general.random_state) == ("x", 3)


def test_all_problems_are_named_at_once(write):
    path = write("[windows]\nstrid = 1\n[[datasets]]\nname = 'FACED'\nclaen = true")
    with pytest.raises(ValueError, match="strid") as error:
        read_study(path)
    assert "'FACED' has no key 'claen'; is 'clean' meant?" in str(error.value)


def test_cleaning_is_checked_before_anything_is_read(write):
    text = "[[datasets]]\nname = 'simulated'\nclean = true\n[cleaning]\nl_freq = 50"
    with pytest.raises(ValueError, match=r"\[cleaning\]: l_freq must be below h_freq"):
        read_study(write(text))


def test_a_target_may_not_name_people_of_a_source(write):
    entry = "[[datasets]]\nname = 'FACED'\nsubjects = {}\n"
    text = entry.format("[1, 2]") + entry.format("[2, 3]") + "role = 'target'"
    with pytest.raises(ValueError, match="a source and a target with the same people"):
        read_study(write(text))
    read_study(write(text.replace("[2, 3]", "[3, 4]")))


def test_defaults_are_those_of_a_short_file(write):
    study = read_study(write("[[datasets]]\nname = 'faced'"))
    assert study.datasets[0].reader_name == "fetch_faced"
    assert study.folder == study.path.with_suffix("")
    assert study.title == "study"
    assert study.windows.seconds == 5.0
    missing = study.path.with_name("other.toml")
    with pytest.raises(FileNotFoundError, match=r"no file '.*other.toml'"):
        read_study(missing)


def test_the_guide_has_all_keys():
    page = Path(__file__).parents[1] / "docs" / "study.md"
    text = page.read_text(encoding="utf-8")
    rows = [
        f"| `{name}` | {show_kind(key.kind)} | "
        f"{'' if key.default is REQUIRED else show_value(key.default)} | {key.doc} |"
        for section in (General, Dataset, Windows, Evaluation, Card)
        for name, key in keys_of_class(section).items()
    ]
    rows += [f"| `{k}` | {m.title} | {m.doc} |" for k, m in METHODS.items()]
    missing = [row for row in rows if row not in text]
    assert not missing, "\n".join(missing)


def test_files_of_the_guide_are_right(write, tmp_path):
    page = Path(__file__).parents[1] / "docs" / "study.md"
    blocks = re.findall(r"```toml\n(.*?)```", page.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 4
    (tmp_path / "open").mkdir()
    for block in blocks[:3]:
        assert len(block.splitlines()) < 10
        assert read_study(write(block)).targets
    with pytest.raises(ValueError, match="'lab': there is no") as error:
        read_study(write(blocks[3]))
    assert "has no key" not in str(error.value)


# A whole study ----------------------------------------------------------------------


def test_a_study_that_is_killed_in_each_step_goes_on(write, monkeypatch, capsys):
    path = write(TRANSFER + ENCODER + EVALUATION)
    study = read_study(path)

    # While the second dataset is written.
    with monkeypatch.context() as patch:
        read = counted(patch, _data, "_keep", kill_at=2)
        with pytest.raises(Kill):
            evaluate_study(study)
    assert len(read) == 2
    reads = counted(monkeypatch, _data, "_keep")

    # In the third of four batches.
    with monkeypatch.context() as patch:
        steps = counted(patch, PretrainingNet, "train_step", kill_at=3)
        with pytest.raises(Kill):
            evaluate_study(study)
    assert len(steps) == 3
    assert [args[1].entry.name for args in reads] == ["two"]
    steps = counted(monkeypatch, PretrainingNet, "train_step")

    # In the second of four methods and protocols.
    with monkeypatch.context() as patch:
        jobs = counted(patch, _evaluation.Job, "run", kill_at=2)
        with pytest.raises(Kill):
            evaluate_study(study)
    assert len(jobs) == 2
    assert len(steps) == 2
    jobs = counted(monkeypatch, _evaluation.Job, "run")

    # While the report is written.
    with monkeypatch.context() as patch:
        counted(patch, _run, "write_report", kill_at=1)
        with pytest.raises(Kill):
            evaluate_study(study)
    assert len(jobs) == 3
    assert not (study.folder / "report.html").exists()
    capsys.readouterr()

    report = evaluate_study(study)
    assert len(reads) == 1
    assert len(steps) == 2
    assert len(jobs) == 3
    said = capsys.readouterr().out
    assert "done before" in said and f"Report: {report}" in said

    # Nothing differs from a study that was never killed.
    other = read_study(write(TRANSFER + ENCODER + EVALUATION, "other.toml"))
    evaluate_study(other, verbose=0)
    assert capsys.readouterr().out == ""
    assert len(steps) == 2 + 4
    tables = [pd.read_csv(s.folder / "scores.csv") for s in (study, other)]
    pd.testing.assert_frame_equal(*(t.drop(columns="seconds") for t in tables))
    _check_report(report, tables[0])
    _check_card(study.folder / "hub", tables[0])

    # The command says at once that it is done; a changed setting is computed anew.
    assert main(["pretrain", str(path)]) == 0
    assert "Finished before" in capsys.readouterr().out
    assert len(steps) == 2 + 4
    write(TRANSFER + ENCODER.replace("epochs = 2", "epochs = 1") + EVALUATION)
    assert main(["pretrain", str(path)]) == 0
    assert len(steps) == 2 + 4 + 2
    assert len(reads) == 1 + 2


def cells(page):
    """Return a page whose cells have no attributes."""
    return re.sub(r"<(td|tr) [^>]*>", r"<\1>", page)


def _check_report(path, table):
    page = cells(path.read_text(encoding="utf-8"))
    # Nothing comes from elsewhere, and nothing of the user's is taken for markup.
    assert not re.search(r"""(src|href)=["'](?!#|data:image/svg)""", page)
    assert "@import" not in page and "url(" not in page and "<script" not in page
    assert "Lab &lt;b&gt;one&lt;/b&gt; &amp; two" in page and "<b>" not in page
    # Two protocols and a training, each figure in a wide and a narrow form.
    assert page.count("data:image/svg+xml;base64,") == 2 * 3
    for section in ("results", "encoder", "seen", "data", "leaks", "settings", "cite"):
        assert f'id="{section}"' in page
    for method in dict.fromkeys(table["method"]):
        assert f"<td>{method}</td>" in page
    assert "Names of people are left out" in page and "one/01" not in page
    assert "none (3 people tested)" in page
    assert "<td>batches_per_epoch</td><td>2</td>" in page
    mean = table[
        (table["method"] == METHODS["mdjpt"].title)
        & (table["protocol"] == "few_shot")
        & (table["metric"] == "balanced_accuracy")
        & (table["unit"] == "window")
    ].groupby("subject")["value"].mean().mean()  # fmt: skip
    assert f"<td>{100 * mean:.1f}</td>" in page


def _check_card(folder, table):
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra 'hub'")
    card = hub.ModelCard.load(folder / "README.md")
    results = card.data.eval_results
    assert {r.dataset_config for r in results} == {"few_shot", "zero_shot"}
    assert {r.dataset_name for r in results} == {"two"}
    # A dataset of one's own: nobody is named.
    assert MDJPTEncoder.load(folder / "mdjpt.safetensors").training_subjects_ is None
    assert "one" not in card.text.replace("Lab <b>one</b>", "").split()
    assert sorted(p.name for p in folder.iterdir()) == [
        "README.md", "mdjpt.safetensors",
    ]  # fmt: skip


@pytest.mark.parametrize("n", [pytest.param(2, marks=pytest.mark.slow), 1])
def test_without_a_target_each_dataset_is_one_in_turn(write, n):
    text = "".join(
        f"[[datasets]]\nname = '{name}'\nreader = 'store'\npath = '{name}'\n"
        for name in "AB"[:n]
    )
    methods = '[evaluation]\nmethods = ["mdjpt", "entropy"]\nlabels = "valence"\n'
    study = read_study(write(text + ENCODER + methods + "n_splits = 1\nn_folds = 3"))
    page = evaluate_study(study, verbose=0).read_text(encoding="utf-8")
    table = pd.read_csv(study.folder / "scores.csv")
    assert set(table["dataset"]) == set("AB"[:n])
    expected = {"few_shot", "zero_shot"} if n == 2 else {"leave_subjects_out"}
    assert set(table["protocol"]) == expected
    # One encoder for others, and one for each dataset that is left out.
    found = list((study.folder / "encoders").glob("*.safetensors"))
    seen = [MDJPTEncoder.load(path).training_datasets_ for path in found]
    assert sorted(seen) == ([["A"], ["A", "B"], ["B"]] if n == 2 else [["A"]])
    assert "They were tested on nobody here" in page


# Leaks ------------------------------------------------------------------------------


def test_people_on_both_sides_are_an_error_before_training(write, monkeypatch):
    steps = counted(monkeypatch, PretrainingNet, "train_step")
    text = TRANSFER + ENCODER + EVALUATION
    same = write(text.replace('path = "B"', 'path = "A"'))
    with pytest.raises(ValueError, match="3 recordings of two are among .* under othe"):
        evaluate_study(same, verbose=0)
    X = EEGWindows.open(same.with_name("A"))
    some = np.isin(X.metadata["subject"], ["01", "02"])
    both = concat_windows([X[some], EEGWindows.open(same.with_name("B"))])
    both.save(same.with_name("both"))
    text = text.replace('name = "one"', 'name = "A"').replace('"B"', '"both"')
    with pytest.raises(ValueError, match="2 subjects are in both.*A/01, A/02"):
        evaluate_study(write(text), verbose=0)
    assert not steps


def test_what_cannot_be_tested_is_said_before_training(write, monkeypatch):
    steps = counted(monkeypatch, PretrainingNet, "train_step")
    entry = "[[datasets]]\nname = 'one'\nreader = 'store'\npath = 'A'\n"
    alone = "[evaluation]\nmethods = ['shared', 'entropy-subject']"
    with pytest.raises(ValueError, match="shared learn from other datasets"):
        evaluate_study(write(entry + ENCODER + alone), verbose=0)
    one = write(entry + "subjects = [1]\n" + ENCODER, "one.toml")
    with pytest.raises(ValueError, match="has no subject '1'; it has 01, 02, 03"):
        evaluate_study(one, verbose=0)
    one.write_text(entry + "subjects = ['01']\n" + ENCODER, encoding="utf-8")
    with pytest.raises(ValueError, match="one has 1 people with labels; at least two"):
        evaluate_study(one, verbose=0)
    write(entry + ENCODER + "[evaluation]\nn_folds = 2", "one.toml")
    with pytest.raises(ValueError, match="Of the 3 people of one, 1 would be left"):
        evaluate_study(one, verbose=0)
    assert not steps


# Data -------------------------------------------------------------------------------


def test_what_windows_depend_on_is_their_key(write, tmp_path):
    entry = "[[datasets]]\nname = 'SEED'\npath = 'files'\n"
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "x.mat").write_bytes(b"1")

    def key(text):
        study = read_study(write(text))
        return dataset_key(study, study.datasets[0])

    keys = [
        key(entry),
        key(entry + "[windows]\nstride = 1"),
        key(entry + "source = 'raw'"),
        key(entry + "clean = true\n[cleaning]\nica = 'none'"),
        key(entry + "subjects = [1]"),
    ]
    assert len(set(keys)) == 5
    assert key(entry + "[study]\ntitle = 'other'\nfolder = 'x'") == keys[0]
    (folder / "x.mat").write_bytes(b"22")
    assert key(entry) != keys[0]


@pytest.mark.filterwarnings("ignore:.*are shorter than the filter")
def test_a_dataset_is_cleaned_and_the_report_says_how(write, monkeypatch):
    text = "[[datasets]]\nname = 'A'\nreader = 'store'\npath = 'A'\nclean = true\n"
    text += "[cleaning]\nica = 'none'\nh_freq = 40\n" + ENCODER
    text += "[evaluation]\nmethods = ['entropy-subject']\nn_folds = 2"
    trained = counted(monkeypatch, PretrainingNet, "train_step")
    study = read_study(write(text))
    page = cells(evaluate_study(study, verbose=0).read_text(encoding="utf-8"))
    assert not trained  # no method has an encoder
    assert "No method of this study has an encoder." in page
    row = re.search(r"<td>A</td><td>3</td><td>(.+?)</td>", page)
    assert row and "components removed (mean)" in page
    assert "<td>h_freq</td><td>40</td>" in page
    [place] = [p for p in (study.folder / "data").iterdir() if p.is_dir()]
    assert EEGWindows.open(place).sfreq == 125.0


def test_two_processes_do_not_share_a_folder(write):
    from sklearn_mdjpt.study._steps import folder_of

    study = read_study(write(TRANSFER))
    with folder_of(study):
        with pytest.raises(BlockingIOError, match="Another process works in"):
            pretrain_study(study)


# What it would take -----------------------------------------------------------------


def test_dry_run_says_what_it_takes(write, capsys, tmp_path, monkeypatch):
    text = "[[datasets]]\nname = 'FACED'\nsubjects = [4, 5]\n" + TRANSFER + ENCODER
    path = write(text + EVALUATION)
    assert main(["evaluate", str(path), "--dry-run"]) == 0
    said = capsys.readouterr().out
    for words in ("this machine", "with a GPU", "GB memory", "GB disk", "pre-train"):
        assert words in said
    assert "FACED 2 people, 1,736 windows" in said
    assert "TFLOP/s in float32 (assumed, not measured)" in said
    assert not (tmp_path / "study").exists()
    speed = _cost.Speed(0.1, 0.01, {"entropy": 0.001}, 1e9, 100, "cpu")
    monkeypatch.setattr(_cost, "_measure", lambda study: speed)
    table = estimate_study(path)
    assert (table > 0).all(axis=None)
    assert table.loc["fetch, read FACED", "disk"] > 0.7
    # Two batches of two people of each dataset, 28 and 4 clips; 1736 and 36 windows.
    hours = 3600 * table.loc["pre-train", "hours"]
    assert hours == pytest.approx(0.1 * 2 * 2 * 2 * (28 + 4) + 0.01 * (1736 + 36))
    longer = write(text.replace("epochs = 2", "epochs = 200") + EVALUATION)
    more = 3600 * estimate_study(longer).loc["pre-train", "hours"]
    assert more - hours == pytest.approx(0.1 * 198 * 2 * 2 * (28 + 4))


# The commands -----------------------------------------------------------------------


def test_errors_and_interruptions_of_the_commands(write, capsys, monkeypatch):
    assert main(["evaluate", str(write("[[datasets]]\nname = 'SEED'"))]) == 2
    assert "'SEED' needs path=" in capsys.readouterr().err

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(_run, "open_datasets", interrupt)
    for command in ("pretrain", "evaluate"):
        assert main([command, str(write(TRANSFER))]) == 130
        assert "the same command goes on from there" in capsys.readouterr().err


def test_keys_are_known_without_what_is_optional(monkeypatch, write, capsys):
    find = _run.check_installed.__globals__["importlib"].util.find_spec
    absent = {"huggingface_hub"}
    util = types.SimpleNamespace(
        find_spec=lambda name: None if name in absent else find(name)
    )
    fake = types.SimpleNamespace(util=util)
    monkeypatch.setattr("sklearn_mdjpt.study._training.importlib", fake)
    study = read_study(write(TRANSFER + ENCODER))
    assert pretrain_study(study).exists()
    assert "No card is written" in capsys.readouterr().out
    keys = {dataset_key(study, entry): entry for entry in study.sources}
    assert main_weights(study, keys).path.exists()


def test_a_dataset_twice_is_an_error(write):
    entry = "[[datasets]]\nname = 'one'\nreader = 'store'\npath = 'A'\n"
    with pytest.raises(ValueError, match="'one' is there twice as a source"):
        read_study(write(2 * entry))
    apart = (entry + f"subjects = ['{k}']\n" for k in ("01", "02"))
    assert len(read_study(write("".join(apart))).sources) == 2


def test_splits_that_cannot_be_made_are_said_before_training(write, monkeypatch):
    steps = counted(monkeypatch, PretrainingNet, "train_step")
    study = write(
        TRANSFER + ENCODER + EVALUATION.replace("n_splits = 1", "n_splits = 50")
    )
    with pytest.raises(ValueError, match=r"few_shot on .*Set n_splits or train_size"):
        evaluate_study(study, verbose=0)
    assert not steps
