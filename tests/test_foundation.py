"""Foundation models of braindecode as rivals: their form, with random weights."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sklearn.base import clone

from sklearn_mdjpt import EEGWindows, SubjectScaler
from sklearn_mdjpt.baselines import (
    FOUNDATION_MODELS,
    BraindecodeFeatures,
    foundation_model,
)
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import leave_subjects_out

SMALL = {
    "LaBraM": {"num_layers": 1},
    "BIOT": {"num_layers": 1, "embed_dim": 32},
    "EEGPT": {"depth": 1, "embed_dim": 64},
    "CBraMod": {"n_layer": 1},
    "BENDR": {"transformer_layers": 1, "encoder_h": 32, "contextualizer_hidden": 64},
    "SignalJEPA": {"transformer__num_encoder_layers": 1},
}


@pytest.fixture(scope="module")
def windows():
    return make_emotion_windows(
        1, n_subjects=3, n_stimuli=3, montages=["faced30"], stride_seconds=5.0,
        random_state=0,
    )  # fmt: skip


class Tiny(torch.nn.Module):
    """A network with one number a channel before its final layer."""

    def __init__(self, n_chans, n_outputs):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(n_chans))
        self.final_layer = torch.nn.Linear(n_chans, n_outputs)

    def forward(self, x):
        return self.final_layer(self.scale * x.square().mean(dim=2))


@pytest.mark.parametrize(
    "name",
    [
        # Its 128 channels are interpolated in some seconds.
        pytest.param(name, marks=pytest.mark.slow if name == "LaBraM" else ())
        for name in FOUNDATION_MODELS
    ],
)
def test_foundation_models_take_windows_at_their_own_rate(windows, name):
    known = FOUNDATION_MODELS[name]
    settings = known._asdict() | {"module_params": SMALL[name], "random_state": 0}
    del settings["hub"]
    with pytest.warns(UserWarning, match="random network"):
        features = BraindecodeFeatures(**settings).fit(windows)
    Z = features.transform(windows)
    assert Z.shape[0] == len(windows) and Z.ndim == 2 and Z.dtype == np.float32
    assert np.isfinite(Z).all() and (Z.std(axis=0) > 0).any()
    assert features.n_times_ == 5 * known.sfreq and features.sfreq_ == known.sfreq
    # Each window stands alone.
    assert np.allclose(features.transform(windows[4:5]), Z[4:5], atol=1e-4)
    assert not features.module_.training


def test_weights_of_a_file_are_those_of_the_features(windows, tmp_path):
    path = tmp_path / "tiny.safetensors"
    scale = torch.arange(30.0)
    save_file({"scale": scale, "final_layer.weight": torch.zeros(5, 30)}, path)
    features = BraindecodeFeatures(Tiny, path, scale=1e6).fit(windows)
    Z = features.transform(windows)
    first = windows.recordings[0]
    start = int(windows.recordings[0].trials.iloc[0]["start"] * first.sfreq)
    x = 1e6 * first.signal[:, start : start + int(5 * first.sfreq)].astype(np.float32)
    expected = scale.numpy() * np.square(x).mean(axis=1)
    assert np.allclose(Z[0], expected, rtol=1e-4)
    again = pickle.loads(pickle.dumps(features))
    assert np.array_equal(again.transform(windows), Z)
    save_file({"scale": torch.ones(4)}, path)
    with pytest.raises(ValueError, match="scale"):
        clone(features).fit(windows)


def test_a_decoder_of_a_foundation_model_is_scored(windows, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = BraindecodeFeatures(
            "CBraMod", module_params=SMALL["CBraMod"], random_state=0, scale=1e4,
            sfreq=200.0,
        ).fit(windows)  # fmt: skip
    path = tmp_path / "cbramod.safetensors"
    save_file(network.module_.state_dict(), path)
    model = foundation_model(
        "CBraMod", path, smoothing="lds", module_params=SMALL["CBraMod"]
    )
    steps = model["features"].steps
    assert isinstance(steps[0], SubjectScaler) and len(steps) == 2
    table = leave_subjects_out({"CBraMod": model}, windows)
    assert set(table["method"]) == {"chance", "majority", "CBraMod"}
    fitted = clone(model).fit(windows, windows.y)
    expected = network.transform(windows)
    found = fitted["features"].extractor_.transform(windows)
    assert np.allclose(found, expected, atol=1e-5)


def test_what_is_not_known_is_said(windows, tmp_path):
    with pytest.raises(ValueError, match="one of LaBraM, BIOT"):
        foundation_model("LaBram")
    with pytest.raises(FileNotFoundError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the amplitude in volts
        BraindecodeFeatures(Tiny, tmp_path / "none.safetensors").fit(windows)
    with pytest.raises(ValueError, match="batch_size"):
        BraindecodeFeatures(Tiny, batch_size=0).fit(windows)

    class NoFeatures(Tiny):
        def __init__(self, n_chans, n_outputs):
            super().__init__(n_chans, n_outputs)
            self.head = self.final_layer
            del self.final_layer

        def forward(self, x):
            return self.head(self.scale * x.mean(dim=2))

    with pytest.warns(UserWarning), pytest.raises(ValueError, match="no features"):
        BraindecodeFeatures(NoFeatures).fit(windows).transform(windows)


def test_weights_of_the_hub_are_downloaded(windows, tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip(
        "huggingface_hub", reason="needs the extra 'hub'"
    )
    path = tmp_path / "model.safetensors"
    save_file({"scale": torch.full((30,), 2.0)}, path)
    asked = []
    monkeypatch.setattr(
        huggingface_hub, "hf_hub_download", lambda *args: asked.append(args) or path
    )
    features = BraindecodeFeatures(Tiny, "hub:somebody/tiny", scale=1e6).fit(windows)
    assert asked == [("somebody/tiny", "model.safetensors")]
    assert (features.module_.scale == 2).all()
    model = foundation_model("LaBraM")
    assert model["features"].extractor.weights == "hub:braindecode/labram-pretrained"


def test_other_windows_are_refused(windows):
    with pytest.warns(UserWarning, match="random"):
        features = BraindecodeFeatures(Tiny, scale=1e6).fit(windows)
    signals = 1e-5 * np.random.default_rng(0).standard_normal((2, 30, 300))
    names = list(windows.recordings[0].ch_names)
    other = EEGWindows.from_arrays(signals, ch_names=names, sfreq=features.sfreq_)
    with pytest.raises(ValueError, match="neither cropped nor padded"):
        features.transform(other)
