"""Whole models as graphs: what they give, and what cannot be one."""

import json

import numpy as np
import pytest
import torch

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    MDJPTClassifier,
    MDJPTEncoder,
)
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.nn import HybridEncoder

ort = pytest.importorskip("onnxruntime", reason="runs the graphs (extra test)")
pytest.importorskip("onnxscript", reason="needs the extra 'onnx'")
TINY = {"hidden_dim": 16, "latent_dim": 2, "depth": 1, "n_heads": 2, "n_filters": 1}
NEW = "SimA/04"


@pytest.fixture(scope="module")
def windows():
    """Windows at the rate of a graph, with a cap of 30 channels."""
    return make_emotion_windows(
        1, n_subjects=4, n_stimuli=3, montages=["faced30"], sfreqs=(125.0,),
        random_state=0,
    )  # fmt: skip


def _encoder(**changes):
    options = {"max_epochs": 1, "batches_per_epoch": 1, "random_state": 0}
    return MDJPTEncoder.small(**TINY, **options | changes)


def _classifier(X, **changes):
    is_new = X.groups("subject") == NEW
    model = MDJPTClassifier(_encoder(**changes), max_epochs=2, random_state=0)
    return model.fit(X[~is_new], X[~is_new].y)


def _signals(X):
    return np.stack([X[i] for i in range(len(X))]).astype(np.float32)


def _alone(model, signals, names):
    """Return what a model says of each window by itself."""
    windows = (
        EEGWindows.from_arrays(x[None], ch_names=names, sfreq=125.0) for x in signals
    )
    return np.concatenate([model.predict_proba(one) for one in windows])


def _run(path, signals):
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"signals": signals})[0]


@pytest.fixture(scope="module")
def exported(windows, tmp_path_factory):
    """A classifier that is calibrated to a person, and its graph."""
    is_new = windows.groups("subject") == NEW
    model = calibrate(_classifier(windows), windows[is_new][:6])
    path = tmp_path_factory.mktemp("export") / "model.onnx"
    model.export(path, ch_names=windows.recordings[0].ch_names)
    return model, path


@pytest.mark.parametrize("n", [1, 2, 17, 64])
def test_a_graph_gives_what_predict_proba_gives(windows, exported, n):
    model, path = exported
    X = windows[windows.groups("subject") == NEW]
    rows = np.arange(n) % len(X)
    expected = model.predict_proba(X)
    assert expected.std(axis=0).min() > 1e-3
    expected = expected[rows]
    np.testing.assert_allclose(_run(path, _signals(X)[rows]), expected, atol=1e-5)


def test_a_file_says_what_it_is(windows, exported):
    _, path = exported
    session = ort.InferenceSession(path, providers=["CPUExecutionProvider"])
    text = session.get_modelmeta().custom_metadata_map["sklearn_mdjpt"]
    metadata = json.loads(text)
    assert metadata["ch_names"] == list(windows.recordings[0].ch_names)
    assert metadata["classes"] == ["negative", "neutral", "positive"]
    assert (metadata["sfreq"], metadata["n_times"]) == (125.0, 625)
    assert metadata["person"] == NEW and metadata["amplitude"] == "fixed"
    assert session.get_outputs()[0].name == metadata["output"] == "probabilities"


def test_a_graph_of_torch(windows, exported, tmp_path):
    model, _ = exported
    X = windows[windows.groups("subject") == NEW]
    names = windows.recordings[0].ch_names
    encoder = model.features_.extractor_
    path = tmp_path / "encoder.pt2"
    encoder.export(path, "torch", ch_names=names)
    extra = {"sklearn_mdjpt.json": ""}
    graph = torch.export.load(path, extra_files=extra).module()
    found = graph(torch.from_numpy(_signals(X))).numpy()
    np.testing.assert_allclose(found, encoder.transform(X), atol=1e-4)
    assert json.loads(extra["sklearn_mdjpt.json"])["output"] == "features"
    with pytest.raises(FileExistsError, match="overwrite=True"):
        encoder.export(path, "torch")


@pytest.mark.slow
@pytest.mark.parametrize("subject_norm", ["train", None])
@pytest.mark.parametrize("seconds", [2.0, 5.0, 8.0])
def test_windows_of_any_length_have_their_own_amplitude(
    windows, subject_norm, seconds, tmp_path
):
    model = _classifier(windows, subject_norm=subject_norm)
    names, path = windows.recordings[0].ch_names, tmp_path / "model.onnx"
    model.export(path, ch_names=names, window_seconds=seconds)
    rng = np.random.default_rng(0)
    signals = 1e-5 * rng.standard_normal((5, len(names), round(125 * seconds)))
    signals += 1e-4 * rng.standard_normal((5, len(names), 1))  # offsets
    signals[1, 3] = 2e-5  # a flat channel
    signals[2, 4, 100:103] = 1e-2  # an outlier
    signals = signals.astype(np.float32)
    found = _run(path, signals)
    np.testing.assert_allclose(found, _alone(model, signals, names), atol=1e-5)


def test_what_cannot_be_a_graph_is_said(windows, tmp_path):
    path = tmp_path / "model.onnx"
    model = _classifier(windows)
    with pytest.raises(ValueError, match="needs the others of its person"):
        model.export(path)
    with pytest.raises(ValueError, match="format must be"):
        model.export(path, "tflite")
    is_new = windows.groups("subject") == NEW
    ready = calibrate(model, windows[is_new])
    with pytest.raises(ValueError, match="calibrated without the channels"):
        ready.export(path)  # for all 60
    with pytest.raises(ValueError, match="too short"):
        names = windows.recordings[0].ch_names
        ready.export(path, ch_names=names, window_seconds=0.1)
    with pytest.raises(ValueError, match="subject, of the people"):
        ready.export(path, subject="SimA/01")
    with pytest.raises(ValueError, match="calibrated to 2 people"):
        calibrate(ready, windows[windows.groups("subject") == "SimA/01"]).export(path)
    other = MDJPTClassifier(DifferentialEntropy(), max_epochs=1)
    other.fit(windows, windows.y)
    with pytest.raises(ValueError, match="this classifier has DifferentialEntropy"):
        other.export(path)
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace")
@pytest.mark.parametrize("variant", ["paper", "released", "transformer"])
def test_networks_are_traced_and_exported_for_any_number_of_windows(variant):
    network = HybridEncoder(
        **TINY, variant=variant, subject_norm="train", n_outputs=2
    ).eval()
    x = torch.randn(2, 60, 625)
    windows = ({0: torch.export.Dim("n_windows", min=1)},)
    with torch.no_grad():
        # Without a call before, torch's check of a trace stumbles over the names of
        # variables in the graph, which is the same otherwise.
        network(x)
        graphs = [
            torch.jit.trace(network, x),
            torch.export.export(network, (x,), dynamic_shapes=windows).module(),
        ]
        for n in (1, 5):
            x = torch.randn(n, 60, 625)
            for graph in graphs:
                torch.testing.assert_close(graph(x), network(x), atol=1e-5, rtol=1e-4)
