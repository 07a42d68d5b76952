"""``python -m sklearn_mdjpt``: what it writes, and what it says when it cannot."""

import json
import re
import subprocess
import sys
import types

import mne
import numpy as np
import pandas as pd
import pytest
import torch

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording
from sklearn_mdjpt.__main__ import main
from sklearn_mdjpt._cli import demo
from sklearn_mdjpt.nn import released_shapes

NAMES = ["Fp1", "Cz", "Pz", "Oz", "A2-A1"]
TINY = {"hidden_dim": 2, "latent_dim": 1, "depth": 1, "n_heads": 1, "n_filters": 1}
SUBJECTS = ("01", "02")


def make_raw(seed):
    rng = np.random.default_rng(seed)
    info = mne.create_info(NAMES, 100.0, "eeg")
    raw = mne.io.RawArray(1e-5 * rng.standard_normal((5, 3000)), info, verbose=False)
    raw.set_annotations(mne.Annotations([1.0, 14.0], [10.0, 12.0], ["joy", "fear"]))
    return raw


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two subjects with two sessions each, and files that are no recordings."""
    folder = tmp_path_factory.mktemp("study")
    for i, subject in enumerate(SUBJECTS):
        for session in ("a", "b"):
            place = folder / f"sub-{subject}" / f"ses-{session}"
            place.mkdir(parents=True)
            raw = make_raw(10 * i + ord(session))
            raw.save(place / f"sub-{subject}_ses-{session}_raw.fif", verbose=False)
    (folder / "notes.txt").write_text("no recording")
    (folder / ".hidden").mkdir()
    (folder / ".hidden" / "x_raw.fif").write_text("no recording")
    return folder


@pytest.fixture(scope="module")
def X(folder):
    recordings = [
        Recording.from_raw(
            mne.io.read_raw(path, verbose=False),
            dataset="study",
            subject=path.parts[-3][4:],
            session=path.parts[-2][4:],
        )
        for path in sorted(folder.glob("sub-*/*/*.fif"))
    ]
    return EEGWindows.from_recordings(recordings)


@pytest.fixture(scope="module")
def encoder(X):
    stimuli = X.y
    return MDJPTEncoder(max_epochs=1, batches_per_epoch=2, random_state=0, **TINY).fit(
        X, stimuli=stimuli
    )


@pytest.fixture(scope="module")
def weights(encoder, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "mdjpt.safetensors"
    encoder.save(path)
    return path


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("checkpoint") / "epoch=19.ckpt"
    generator = torch.Generator().manual_seed(0)
    shapes = released_shapes(hidden_dim=8, latent_dim=2, n_filters=1)
    tensors = {
        name: torch.randn(shape, generator=generator) for name, shape in shapes.items()
    }
    torch.save({"epoch": 19, "state_dict": tensors}, path)
    return path


def run(*arguments):
    return main([str(argument) for argument in arguments])


def said(capsys, *arguments, status=0):
    assert run(*arguments) == status
    return capsys.readouterr()


# In a process of its own ------------------------------------------------------------


def test_help_is_quick_and_teaches():
    """It imports neither torch nor MNE, and has examples."""
    code = (
        "import sys; sys.argv[1:] = ['extract', '--help']\n"
        "from sklearn_mdjpt.__main__ import main\n"
        "try:\n    main()\nexcept SystemExit: pass\n"
        "assert not {'torch', 'mne', 'numpy'} & set(sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60
    )
    assert result.returncode == 0, result.stderr
    assert "{subject}" in result.stdout
    assert result.stdout.count("python -m sklearn_mdjpt extract") > 2


@pytest.mark.slow
def test_module_prints_what_the_command_says(weights):
    command = [sys.executable, "-m", "sklearn_mdjpt", "info", str(weights)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert "weights of MDJPTEncoder.save" in result.stdout


def test_module_ends_with_an_error():
    command = [sys.executable, "-m", "sklearn_mdjpt", "info", "nowhere.ckpt"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert result.returncode == 2 and not result.stdout
    assert result.stderr == "error: There is no 'nowhere.ckpt'.\n"


# info -------------------------------------------------------------------------------


def test_without_a_command_there_is_help(capsys):
    assert "COMMAND --help" in said(capsys).out


def test_info_of_weights(weights, encoder, capsys):
    about = json.loads(said(capsys, "info", weights, "--json").out)
    assert about["features"] == 4 and about["variant"] == "paper"
    n = sum(p.numel() for p in encoder.module_.parameters())
    assert about["parameters"] == n
    assert about["trained on"] == "2 subjects of study"
    assert about["isa loss, first and last"] == [encoder.history_["isa"].iloc[0]] * 2
    assert "2 subjects of study" in said(capsys, "info", weights).out


def test_info_of_anonymous_weights(encoder, tmp_path, capsys):
    path = tmp_path / "x.safetensors"
    encoder.save(path, anonymous=True)
    assert "2 subjects, names left out" in said(capsys, "info", path).out


def test_info_of_a_checkpoint(checkpoint, capsys):
    text = said(capsys, "info", checkpoint).out
    assert "released checkpoint" in text and "not known" in text


def test_info_of_a_recording(folder, capsys):
    path = next(folder.glob("sub-01/*/*.fif"))
    about = json.loads(said(capsys, "info", path, "--json").out)
    assert about["EEG channels"] == NAMES and about["not canonical"] == ["A2-A1"]
    assert about["of the 60 canonical"] == 4 and about["duration (s)"] == 30
    assert about["annotations"] == {
        "joy": "1, 10 s in all",
        "fear": "1, 12 s in all",
    }


def test_info_of_windows(X, tmp_path, capsys):
    X.save(tmp_path / "store")
    about = json.loads(said(capsys, "info", tmp_path / "store", "--json").out)
    assert about["windows"] == len(X)
    assert about["datasets"]["study"]["subjects"] == 2


def test_info_of_what_is_nothing(folder, tmp_path, capsys):
    assert "is no store" in said(capsys, "info", folder, status=2).err
    text = folder / "notes.txt"
    assert "notes.txt" in said(capsys, "info", text, status=2).err
    (tmp_path / "x.edf").write_bytes(b"no recording")
    assert (
        "x.edf' cannot be read"
        in said(capsys, "info", tmp_path / "x.edf", status=2).err
    )


# convert ----------------------------------------------------------------------------


def test_convert(checkpoint, tmp_path, capsys):
    path = tmp_path / "ours.safetensors"
    assert str(path) in said(capsys, "convert", checkpoint, path).out
    assert MDJPTEncoder.load(path).module_.spatial_activation == "relu"
    before = path.read_bytes()
    assert "--overwrite" in said(capsys, "convert", checkpoint, path, status=2).err
    assert path.read_bytes() == before
    run("convert", checkpoint, path, "--activation", "none", "--overwrite")
    assert MDJPTEncoder.load(path).module_.spatial_activation is None


# extract ----------------------------------------------------------------------------

PATTERN = "sub-{subject}/ses-{session}/sub-{subject}_*_raw.fif"


@pytest.mark.parametrize("ending", [".npz", ".parquet"])
def test_extract(folder, weights, encoder, X, tmp_path, capsys, ending):
    if ending == ".parquet":
        pytest.importorskip("pyarrow", reason="needs the extra 'parquet'")
    output = tmp_path / f"features{ending}"
    options = ("--weights", weights, "--files", PATTERN, "--dataset", "study")
    said(capsys, "extract", folder, output, *options)
    if ending == ".npz":
        with np.load(output, allow_pickle=False) as file:
            table = dict(file)
        features = table.pop("features")
        names = list(table.pop("feature_names"))
        table = pd.DataFrame(table)
    else:
        table = pd.read_parquet(output)
        names = [name for name in table if name.startswith("mdjpt")]
        features = table[names].to_numpy()
    assert names == list(encoder.get_feature_names_out())
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, encoder.transform(X), atol=1e-5)
    expected = X.metadata
    for name in ("dataset", "subject", "session", "trial", "label"):
        assert list(table[name]) == list(expected[name].astype(str)), name
    np.testing.assert_array_equal(table["onset"], expected["onset"])
    assert set(table["file"]) == {
        f"sub-{s}/ses-{k}/sub-{s}_ses-{k}_raw.fif" for s in SUBJECTS for k in "ab"
    }
    assert [path.name for path in tmp_path.iterdir()] == [output.name]


def test_extract_names_subjects_by_their_files(folder, weights, tmp_path, capsys):
    output = said(capsys, "extract", folder, tmp_path / "x.npz", "--weights", weights)
    assert "Each of 4 files is taken for a subject" in output.err
    with np.load(tmp_path / "x.npz") as file:
        assert set(file["subject"]) == {
            f"sub-{s}/ses-{k}/sub-{s}_ses-{k}_raw" for s in SUBJECTS for k in "ab"
        }
        assert set(file["dataset"]) == {folder.name}


def test_extract_from_windows(X, weights, encoder, tmp_path, capsys):
    X[::-1].save(tmp_path / "store")
    output = tmp_path / "x.npz"
    said(capsys, "extract", tmp_path / "store", output, "--weights", weights)
    expected = X[::-1][
        np.argsort(X[::-1].groups("subject") == "study/01", kind="stable")
    ]
    with np.load(output) as file:
        assert list(file["label"]) == list(expected.y)
        np.testing.assert_allclose(
            file["features"], encoder.transform(expected), atol=1e-5
        )
    options = ("--weights", weights, "--files", PATTERN, "--overwrite")
    error = said(capsys, "extract", tmp_path / "store", output, *options, status=2).err
    assert "leave out --files" in error


@pytest.mark.parametrize("of", ["label", "stimulus"])
def test_extract_from_bids(X, weights, encoder, tmp_path, capsys, of):
    mne_bids = pytest.importorskip("mne_bids", reason="needs the extra 'bids'")
    pytest.importorskip("edfio", reason="writes the files (extra test)")
    for recording in X.recordings:
        place = mne_bids.BIDSPath(
            root=tmp_path / "bids",
            subject=recording.subject,
            session=recording.session,
            task="film",
        )
        raw = recording.to_raw()
        raw.info["line_freq"] = 50
        mne_bids.write_raw_bids(
            raw, place, allow_preload=True, format="EDF", verbose="error"
        )
    output = tmp_path / "x.npz"
    options = ("--weights", weights, "--annotations", of, "--dataset", "study")
    said(capsys, "extract", tmp_path / "bids", output, *options)
    with np.load(output) as file:
        assert list(file[of]) == list(X.y)
        assert list(file["session"]) == list(X.metadata["session"])
        assert set(file["trial"]) == {"task-film_1", "task-film_2"}
        np.testing.assert_allclose(file["features"], encoder.transform(X), atol=1e-3)


def test_extract_with_a_checkpoint(folder, checkpoint, X, tmp_path, capsys):
    output = tmp_path / "x.npz"
    options = ("--weights", checkpoint, "--files", PATTERN, "--dataset", "study")
    said(capsys, "extract", folder, output, *options, "--activation", "none")
    expected = MDJPTEncoder(
        weights=checkpoint, released_activation=None, standardize=False
    ).fit_transform(X)
    with np.load(output) as file:
        np.testing.assert_allclose(
            file["features"], expected, atol=1e-6 * np.abs(expected).max()
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"output": "x.csv"}, "ends in .npz or .parquet"),
        ({"output": "nowhere/x.npz"}, "no folder 'nowhere'"),
        ({"folder": "nowhere"}, "'nowhere' is no folder"),
        ({"folder": "~/nowhere"}, "'/nobody/nowhere' is no folder"),
        ({"--activation": "none"}, "is no released checkpoint"),
        ({"--weights": "nowhere.ckpt"}, "nowhere.ckpt"),
        ({"--files": "*.edf"}, r"must hold {subject}"),
        ({"--files": "{subject}/{run}.fif"}, r"must hold {subject}"),
        ({"--files": "{subject}.edf"}, "No file in .* matches '{subject}.edf'"),
        ({"--window": "-1"}, "window_seconds"),
        ({"--window": "100"}, "100"),
    ],
)
def test_what_cannot_be_extracted(
    folder, weights, tmp_path, capsys, monkeypatch, change, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/nobody")
    options = {"folder": folder, "output": "x.npz", "--weights": weights} | change
    places = [options.pop("folder"), options.pop("output")]
    given = [text for pair in options.items() for text in pair]
    output = said(capsys, "extract", *places, *given, status=2)
    assert not list(tmp_path.iterdir())
    assert output.err.splitlines()[-1].startswith("error: ")
    assert re.search(message, output.err), output.err


def test_an_unreadable_recording_is_named(folder, weights, tmp_path, capsys):
    (tmp_path / "sub-09_raw.fif").write_bytes(b"no recording")
    output = tmp_path / "x.npz"
    error = said(capsys, "extract", tmp_path, output, "--weights", weights, status=2)
    assert "sub-09_raw.fif' cannot be read" in error.err
    assert not output.exists()


# demo -------------------------------------------------------------------------------


@pytest.fixture
def in_a_new_folder(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'").use("agg")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def check_demo(folder):
    assert sorted(p.name for p in folder.iterdir()) == [
        "mdjpt_demo.csv",
        "mdjpt_demo.png",
    ]
    table = pd.read_csv(folder / "mdjpt_demo.csv")
    assert {"mdJPT", "mdJPT, untrained", "chance"} <= set(table["method"])
    assert set(table["dataset"]) == {"SimC"}
    assert (folder / "mdjpt_demo.png").stat().st_size > 10_000
    return table


def test_demo_writes_figure_and_table(in_a_new_folder, monkeypatch, capsys):
    monkeypatch.setattr(demo, "_TRAINING", {"max_epochs": 1, "batches_per_epoch": 1})
    monkeypatch.setattr(demo, "_N_SUBJECTS", 4)
    assert "mdJPT, untrained" in said(capsys, "demo").out
    check_demo(in_a_new_folder)


def test_demo_needs_matplotlib(in_a_new_folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    assert "sklearn_mdjpt[plot]" in said(capsys, "demo", status=2).err
    assert not list(in_a_new_folder.iterdir())


@pytest.mark.slow
def test_the_demo_itself_shows_transfer(in_a_new_folder):
    demo.run(types.SimpleNamespace())
    table = check_demo(in_a_new_folder)
    chosen = (table["metric"] == "balanced_accuracy") & (table["unit"] == "window")
    means = table[chosen].groupby("method")["value"].mean()
    assert means["mdJPT"] > means["mdJPT, untrained"] + 0.05
    assert means["mdJPT"] > means["chance"] + 0.15
