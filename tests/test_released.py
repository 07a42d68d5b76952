"""Released checkpoints as users have them: full size, with all that Lightning adds."""

import collections
import sys
import types
import typing
from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, convert
from sklearn_mdjpt.channels import channel_matrix
from sklearn_mdjpt.nn import released_shapes

REFERENCE = Path(__file__).parent / "data" / "reference_parity.npz"


def lightning(state_dict, **more):
    """What PyTorch Lightning saves, of plain values and tensors."""
    moments = {
        i: {"step": torch.tensor(20480.0), "exp_avg": torch.zeros_like(value)}
        for i, value in enumerate(state_dict.values())
    }
    return {
        "epoch": 19,
        "global_step": 20480,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": collections.OrderedDict(state_dict),
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": 20}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'loss/val'}": {
                "best_model_score": torch.tensor(1.5),
                "best_k_models": {"epoch=19.ckpt": torch.tensor(1.5)},
                "dirpath": "/somewhere",
            }
        },
        "optimizer_states": [
            {"state": moments, "param_groups": [{"lr": 5e-4, "betas": (0.9, 0.999)}]}
        ],
        "lr_schedulers": [{"T_max": 20, "last_epoch": 20}],
        "hparams_name": "cfg",
        "hyper_parameters": {"lr": 5e-4, "datasets": ["SEED", "FACED"]},
    } | more


@pytest.fixture(scope="module")
def state_dict():
    """Weights of the full size, under the released names."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: 0.1 * torch.randn(shape, generator=generator)
        for name, shape in released_shapes().items()
    }


@pytest.fixture(scope="module")
def checkpoint(state_dict, tmp_path_factory):
    path = tmp_path_factory.mktemp("released") / "epoch=19.ckpt"
    torch.save(lightning(state_dict), path)
    return path


@pytest.fixture(scope="module")
def X():
    rng = np.random.default_rng(0)
    return EEGWindows.from_arrays(
        rng.standard_normal((6, 4, 500)),
        ch_names=["Fz", "Cz", "Pz", "Oz"],
        sfreq=250,
        subject=np.repeat(["01", "02"], 3),
    )


def test_the_file_says_what_it_is(checkpoint, X):
    encoder = MDJPTEncoder(weights=checkpoint).fit(X)
    assert encoder.module_.variant == "released"
    assert encoder.module_.config["n_chans"] == 60
    assert encoder.module_.config["hidden_dim"] == 128
    features = encoder.transform(X)
    assert features.shape == (6, 512) and np.isfinite(features).all()
    assert encoder.training_subjects_ is None
    with pytest.raises(ValueError, match="holds weights of variant 'released'"):
        MDJPTEncoder(weights=checkpoint, variant="paper").fit(X)


def test_stages_of_the_released_model(X, tmp_path):
    """The path from the file to the numbers that the released model gives."""
    with np.load(REFERENCE) as file:
        reference = dict(file)
    prefix = "state_dict."
    weights = {
        "model." + name.removeprefix(prefix): torch.tensor(value)
        for name, value in reference.items()
        if name.startswith(prefix)
    }
    torch.save(lightning(weights), tmp_path / "epoch=19.ckpt")
    convert(tmp_path / "epoch=19.ckpt", tmp_path / "ours.safetensors")
    names = [str(name) for name in reference["data_3.ch_names"]]
    x = channel_matrix(names, neighbours="released") @ reference["data_3.x"]
    for path in tmp_path.iterdir():
        encoder = MDJPTEncoder(weights=path).fit(X).module_
        with torch.no_grad():
            out = encoder(
                torch.tensor(x, dtype=torch.float32),
                torch.tensor([0, 0, 0, 1, 1, 1]),
            )
        for name, found in (
            ("features_me", out.features),
            ("projection", out.projection),
        ):
            expected = reference[f"data_3.{name}"]
            np.testing.assert_allclose(
                found, expected, rtol=0, atol=1e-4 * np.abs(expected).max()
            )


@pytest.mark.parametrize("activation", ["relu", None])
def test_converted_files_give_the_same_features(checkpoint, X, tmp_path, activation):
    path = tmp_path / "ours.safetensors"
    convert(checkpoint, path, released_activation=activation)
    before = MDJPTEncoder(weights=checkpoint, released_activation=activation)
    expected = before.fit_transform(X)
    np.testing.assert_array_equal(MDJPTEncoder(weights=path).fit_transform(X), expected)
    loaded = MDJPTEncoder.load(path)
    assert loaded.module_.spatial_activation == activation
    raw = before.set_params(standardize=False).fit_transform(X)
    np.testing.assert_array_equal(loaded.transform(X), raw)
    assert loaded.training_datasets_ is None and loaded.n_training_subjects_ is None
    assert len(loaded.history_) == 0


def test_activations_differ(checkpoint, X):
    relu, linear = (
        MDJPTEncoder(weights=checkpoint, released_activation=of).fit_transform(X)
        for of in ("relu", None)
    )
    assert np.abs(relu - linear).max() > 0.1


def test_what_is_not_converted(checkpoint, X, tmp_path):
    ours = tmp_path / "ours.safetensors"
    convert(checkpoint, ours)
    with pytest.raises(ValueError, match="is a file of MDJPTEncoder.save already"):
        convert(ours, tmp_path / "again.safetensors")
    copy = tmp_path / "epoch=19.ckpt"
    copy.write_bytes(checkpoint.read_bytes())
    with pytest.raises(ValueError, match="is the checkpoint itself"):
        convert(copy, tmp_path / "." / "epoch=19.ckpt")
    assert copy.read_bytes() == checkpoint.read_bytes()
    with pytest.raises(FileNotFoundError, match="no folder"):
        convert(checkpoint, tmp_path / "nowhere" / "x.safetensors")
    with pytest.raises(ValueError, match="released_activation"):
        convert(checkpoint, tmp_path / "x.safetensors", released_activation="gelu")
    assert sorted(p.name for p in tmp_path.iterdir()) == [copy.name, ours.name]


# Settings of other libraries --------------------------------------------------------


@pytest.fixture
def settings(monkeypatch, tmp_path):
    """Objects such as Hydra's, whose classes would act if they were ever loaded."""
    touched = tmp_path / "touched"

    def make(module, name, *bases):
        def act(self, *_):
            touched.touch()

        members = {
            "__module__": module,
            "__getstate__": lambda self: {"content": [1, "a"]},
            "__setstate__": act,
        }
        made = type(name, bases, members)
        parts = module.split(".")
        for i in range(1, len(parts) + 1):
            parent = ".".join(parts[:i])
            if parent not in sys.modules:
                monkeypatch.setitem(sys.modules, parent, types.ModuleType(parent))
        monkeypatch.setattr(sys.modules[module], name, made, raising=False)
        return made()

    return make, touched


def test_settings_are_skipped_and_never_loaded(state_dict, settings, tmp_path, X):
    make, touched = settings
    nested = collections.defaultdict(list, {"a": [1, 2]})
    path = tmp_path / "epoch=19.ckpt"
    config = make("omegaconf.dictconfig", "DictConfig")
    parameters = make("lightning_fabric.utilities.data", "AttributeDict", dict)
    parameters |= {
        "cfg": config,
        "more": nested,
        "root": Path("data"),
        "of": typing.Any,
    }
    content = lightning(
        state_dict, hyper_parameters=parameters, hparams_type=type(config)
    )
    torch.save(content, path)
    named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    assert {"omegaconf.dictconfig.DictConfig", "typing.Any"} <= set(named)
    torch.load(path, weights_only=False)
    assert touched.exists()
    touched.unlink()

    features = MDJPTEncoder(weights=path).fit_transform(X)
    torch.save(lightning(state_dict), path)
    np.testing.assert_array_equal(features, MDJPTEncoder(weights=path).fit_transform(X))
    assert not touched.exists()


def test_settings_of_unknown_kinds_are_refused(state_dict, settings, tmp_path, X):
    make, touched = settings
    path = tmp_path / "epoch=19.ckpt"
    for module in ("omegaconfig.x", "their_code.config"):
        content = lightning(state_dict, cfg=make(module, "Config"))
        torch.save(content, path)
        with pytest.raises(ValueError, match="nothing else is unpickled"):
            MDJPTEncoder(weights=path).fit(X)
    content = lightning(state_dict)
    config = make("omegaconf.dictconfig", "DictConfig")
    content["state_dict"]["uni_mlp.fc.bias"] = config
    torch.save(content, path)
    with pytest.raises(ValueError, match="uni_mlp.fc.bias is a .*, no tensor"):
        MDJPTEncoder(weights=path).fit(X)
    assert not touched.exists()
