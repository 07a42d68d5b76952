"""The "released" variant against outputs of the released model, stage by stage."""

from pathlib import Path

import numpy as np
import pytest
import torch

from sklearn_mdjpt.channels import channel_matrix
from sklearn_mdjpt.nn import (
    HybridEncoder,
    isa_loss,
    released_shapes,
    released_to_state_dict,
)

REFERENCE = Path(__file__).parent / "data" / "reference_parity.npz"
DATASETS = ("data_3", "data_4")  # FACED, DEAP
SUBJECTS = torch.tensor([0, 0, 0, 1, 1, 1])


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture
def released(reference):
    """State dict of the released model."""
    prefix = "state_dict."
    return {
        name.removeprefix(prefix): torch.tensor(value)
        for name, value in reference.items()
        if name.startswith(prefix)
    }


def load(released, **kwargs):
    state_dict, config = released_to_state_dict(released)
    encoder = HybridEncoder(**config, **kwargs)
    encoder.load_state_dict(state_dict)
    return encoder.eval()


def canonical(reference, dataset):
    names = [str(name) for name in reference[f"{dataset}.ch_names"]]
    x = channel_matrix(names, neighbours="released") @ reference[f"{dataset}.x"]
    return torch.tensor(x, dtype=torch.float32)


@torch.no_grad()
def stages(released, reference, dataset):
    x = canonical(reference, dataset)
    out = load(released)(x, SUBJECTS)
    de = load(released, feature="de")(x, SUBJECTS)
    return {
        "channel_encoder": out.channel_encoder,
        "spatial": out.spatial,
        "dynamics": out.dynamics.unsqueeze(2),
        "features_me": out.features,
        "features_de": de.features,
        "projection": out.projection,
    }


@pytest.mark.parametrize("dataset", DATASETS)
def test_every_stage(released, reference, dataset):
    compared = 0
    for name, ours in stages(released, reference, dataset).items():
        if f"{dataset}.{name}" not in reference:
            continue
        theirs = reference[f"{dataset}.{name}"]
        ours = ours.numpy()[: len(theirs)]  # of early stages, the first window
        assert ours.shape == theirs.shape
        error = np.abs(ours - theirs)
        assert error.max() < 1e-4 * np.abs(theirs).max(), name
        assert np.linalg.norm(error) < 1e-4 * np.linalg.norm(theirs), name
        compared += 1
    assert compared == (6 if dataset == "data_3" else 3)


@pytest.mark.parametrize("dataset", DATASETS)
def test_isa_loss(released, reference, dataset):
    z = stages(released, reference, dataset)["projection"]
    # Row i of the first subject and row i of the second are partners.
    expected = float(reference[f"{dataset}.isa_loss"])
    assert float(isa_loss(z[:3], z[3:])) == pytest.approx(expected, rel=1e-5)
    for partners in ([4, 5, 3], [5, 3, 4]):
        assert abs(float(isa_loss(z[:3], z[partners])) - expected) > 1e-2


def test_activation_after_mixing_matters(released, reference):
    x = canonical(reference, "data_3")
    state_dict, config = released_to_state_dict(released, spatial_activation=None)
    encoder = HybridEncoder(**config)
    encoder.load_state_dict(state_dict)
    with torch.no_grad():
        spatial = encoder(x, SUBJECTS).spatial
    assert spatial.min() < 0
    expected = reference["data_3.spatial"]
    np.testing.assert_allclose(spatial[:1].relu(), expected, rtol=1e-4, atol=1e-4)


def test_sizes_come_from_the_shapes(released):
    _, config = released_to_state_dict(released)
    assert config == {
        "n_chans": 60,
        "variant": "released",
        "hidden_dim": 8,
        "latent_dim": 4,
        "depth": 2,
        "n_heads": 8,
        "patch_size": 32,
        "patch_stride": 6,
        "n_filters": 1,
        "n_virtual_channels": 8,
        "spatial_activation": "relu",
    }


def test_common_prefix_is_taken_off(released):
    wrapped = {f"model.{name}": value for name, value in released.items()}
    expected, _ = released_to_state_dict(released)
    found, _ = released_to_state_dict(wrapped)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_prefix_of_some_names_is_an_error(released):
    name = "cnn_encoder.timeConv1.bias"
    mixed = {f"model.{key}": value for key, value in released.items()}
    mixed[name] = mixed.pop(f"model.{name}")
    with pytest.raises(ValueError, match=f"unexpected: {name} .*prefix 'model.'"):
        released_to_state_dict(mixed)


def test_all_problems_are_listed(released):
    del released["uni_mlp.fc.bias"]
    del released["MLLA.encoder.blocks.1.norm2.bias"]  # unused, but part of the file
    released["head.weight"] = torch.zeros(3)
    name = "MLLA.encoder.blocks.0.self_attn.W_K.weight"
    released[name] = torch.zeros(8, 9)
    released["cnn_encoder.msConv3.weight"] = torch.zeros(4, 1, 7, 3)
    with pytest.raises(ValueError) as info:
        released_to_state_dict(released)
    message = str(info.value)
    assert "missing: uni_mlp.fc.bias; MLLA.encoder.blocks.1.norm2.bias" in message
    assert "unexpected: head.weight" in message
    assert f"{name} (8, 9), expected (8, 8)" in message
    assert "cnn_encoder.msConv3.weight (4, 1, 7, 3), expected (4, 1, 8, 3)" in message


def test_a_missing_block_and_an_empty_file(released):
    gap = {k: v for k, v in released.items() if "blocks.0." not in k}
    with pytest.raises(ValueError, match=r"missing: MLLA\.encoder\.blocks\.0\.cpe1"):
        released_to_state_dict(gap)
    with pytest.raises(ValueError, match="missing: uni_mlp.fc.weight"):
        released_to_state_dict({})


def test_short_windows(released):
    encoder = load(released)
    assert encoder(torch.randn(2, 60, 476)).projection.shape == (2, 16)
    x = torch.randn(2, 60, 475)
    with pytest.raises(ValueError, match="released.*got 475 .* at least 476"):
        encoder(x)
    assert encoder(x, project=False).projection is None
    assert encoder(x, project=False).features.isfinite().all()


def test_shipped_configuration_has_the_parameters_counted():
    from sklearn_mdjpt.nn import released as module

    sizes = dict(C=60, V=64, P=32, H=128, D=32, U=256, M=128, K=512, F=32, L=30)
    count = {
        live: sum(
            np.prod([int(sizes.get(letter, letter)) for letter in shape.split()])
            if shape
            else 1
            for _, shape, ours in module._layout(2)
            if ours or not live
        )
        for live in (False, True)
    }
    assert count[False] == 754_114
    encoder = HybridEncoder(variant="released")
    assert sum(p.numel() for p in encoder.parameters()) == count[True]


def test_shapes_of_a_released_checkpoint(released):
    sizes = {
        "n_virtual_channels": 8, "hidden_dim": 8, "latent_dim": 4, "n_filters": 1,
    }  # fmt: skip
    shapes = released_shapes(**sizes)
    assert shapes == {name: tuple(tensor.shape) for name, tensor in released.items()}
    state_dict, config = released_to_state_dict(
        {name: torch.zeros(shape) for name, shape in released_shapes(depth=3).items()}
    )
    HybridEncoder(**config).load_state_dict(state_dict)
    assert (config["depth"], config["hidden_dim"], config["n_filters"]) == (3, 128, 4)
