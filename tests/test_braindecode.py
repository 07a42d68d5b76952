"""braindecode: HybridEncoder in EEGClassifier, and windows to its datasets and back."""

import copy
import warnings

import mne
import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from braindecode import EEGClassifier
    from braindecode.datasets import (
        BaseConcatDataset,
        EEGWindowsDataset,
        RawDataset,
        WindowsDataset,
        create_from_X_y,
    )
    from braindecode.preprocessing import (
        create_fixed_length_windows,
        create_windows_from_events,
        create_windows_from_target_channels,
    )

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, concat_windows
from sklearn_mdjpt.baselines import BraindecodeClassifier
from sklearn_mdjpt.nn import EncoderOutput, HybridEncoder

NAMES = ["Fz", "Cz", "Pz", "Oz"]
SMALL = {"hidden_dim": 16, "latent_dim": 4, "n_heads": 2, "n_filters": 2, "depth": 1}


@pytest.fixture(autouse=True)
def seed():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def simulate(n, random_state=0):
    """Windows (n, 4, 250) of two classes, of which one has an alpha rhythm."""
    rng = np.random.default_rng(random_state)
    y = np.arange(n) % 2
    x = rng.standard_normal((n, 4, 250)).cumsum(-1)
    x = (x - x.mean(-1, keepdims=True)) / x.std()
    phase = rng.uniform(0, 2 * np.pi, (n, 1, 1))
    alpha = np.sin(2 * np.pi * 10 * np.arange(250) / 125 + phase)
    x[:, :2] += y[:, None, None] * alpha
    return x.astype(np.float32), y


def braindecode_dataset(n, random_state=0):
    X, y = simulate(n, random_state)
    return create_from_X_y(
        X, y.tolist(), drop_last_window=False, sfreq=125.0, ch_names=NAMES
    )


def classifier(module=HybridEncoder, **kwargs):
    if isinstance(module, type):
        kwargs |= {f"module__{name}": value for name, value in SMALL.items()}
    return EEGClassifier(
        module, optimizer=torch.optim.AdamW, lr=3e-3, batch_size=16, max_epochs=6,
        train_split=None, verbose=0, **kwargs,
    )  # fmt: skip


def build(**kwargs):
    return HybridEncoder(**SMALL | {"n_chans": 4, "n_times": 250} | kwargs)


# ------------------------------------------------------------ HybridEncoder in training


def test_learns_in_eegclassifier_as_class():
    train, test = braindecode_dataset(96), braindecode_dataset(60, random_state=1)
    net = classifier().fit(train, y=None)
    module = net.module_
    assert (module.n_chans, module.n_times, module.n_outputs) == (4, 250, 2)
    assert module.subject_norm == "running"
    y = np.array([target for _, target, _ in test])
    assert (net.predict(test) == y).mean() > 0.9
    # A window's prediction does not depend on the windows beside it.
    X = np.stack([x for x, _, _ in test])
    alone = np.concatenate([net.predict_proba(X[i : i + 1]) for i in range(10)])
    assert_allclose(alone, net.predict_proba(X)[:10], atol=1e-5)


def test_learns_in_eegclassifier_as_instance():
    X, y = simulate(96)
    module = build(n_outputs=2)
    before = copy.deepcopy(module.state_dict())
    net = clone(classifier(module))
    net.fit(X, y)
    Xt, yt = simulate(60, random_state=1)
    assert net.score(Xt, yt) > 0.9
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name])  # clone has trained a copy
    untrained = classifier(module).initialize()
    with pytest.raises(ValueError, match="no statistics yet"):
        untrained.predict(Xt)


def test_epochs_bring_channels_and_rate():
    X, y = simulate(32)
    events = np.column_stack([np.arange(32), np.zeros(32, int), y])
    info = mne.create_info(NAMES, 125.0, "eeg")
    epochs = mne.EpochsArray(1e-6 * X, info, events, verbose="error")
    net = classifier().set_params(max_epochs=1).fit(epochs, y)
    module = net.module_
    assert [ch["ch_name"] for ch in module.chs_info] == NAMES
    assert (module.n_chans, module.n_times, module.sfreq) == (4, 250, 125.0)
    assert net.predict_proba(epochs).shape == (32, 2)


@pytest.mark.filterwarnings("error::UserWarning")
def test_learns_in_braindecodeclassifier():
    X, y = simulate(96)
    Xt, yt = simulate(60, random_state=1)
    model = BraindecodeClassifier(
        HybridEncoder, module_params=SMALL, sfreq=125.0, ch_names=NAMES, lr=3e-3,
        window_norm=None, batch_size=16, max_epochs=6, random_state=0,
    )  # fmt: skip
    assert model.fit(X, y).score(Xt, yt) > 0.9
    assert_allclose(model.predict_proba(Xt[:1]), model.predict_proba(Xt)[:1], atol=1e-5)


# ------------------------------------------------------------------ HybridEncoder alone


@pytest.mark.parametrize("variant", ["paper", "transformer", "released"])
def test_logits_and_features(variant):
    module = build(n_outputs=3, variant=variant)
    x = torch.from_numpy(simulate(6)[0])
    logits = module(x)
    assert logits.shape == (6, 3)
    logits.square().sum().backward()
    trained = {
        name
        for name, p in module.named_parameters()
        if p.requires_grad and not name.startswith("projector.")
    }
    assert trained == {
        name for name, p in module.named_parameters() if p.grad is not None
    }
    module.eval()
    with torch.no_grad():
        found = module(x, return_features=True)
        assert set(found) == {"features", "cls_token"}
        assert found["cls_token"] is None
        assert torch.equal(module.final_layer(found["features"]), module(x))
        whole = module.encode(x, project=False)
        assert isinstance(whole, EncoderOutput)
        torch.testing.assert_close(whole.features, found["features"])


def test_features_of_an_encoder_without_a_head():
    module, x = build(), torch.from_numpy(simulate(6)[0])
    assert module.n_outputs is None
    assert module.final_layer is None
    assert module.subject_norm == "subject"
    with torch.no_grad():
        out = module(x, [0, 0, 0, 1, 1, 1])
        found = module(x, [0, 0, 0, 1, 1, 1], return_features=True)
    assert isinstance(out, EncoderOutput)
    assert torch.equal(found["features"], out.features)


def test_running_statistics():
    module, x = build(n_outputs=2), torch.from_numpy(simulate(64)[0])
    norms = module.channel_norm, module.spatial_norm
    with torch.no_grad():
        first = module(x[:32], return_features=True)["features"]
        exact = module.norm_statistics([module.encode_channels(x[:32])])
        # After one batch they are that batch's.
        for kept, value in zip(module.get_statistics(), exact, strict=True):
            torch.testing.assert_close(kept, value, rtol=1e-4, atol=1e-5)
        module.eval()
        again = module(x[:32], return_features=True)["features"]
        torch.testing.assert_close(again, first, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(
            module.features_from(module.encode_channels(x[:3])), again[:3]
        )
        # The second counts as much as the first.
        module.train()(x[32:])
        second = module.norm_statistics([module.encode_channels(x[32:])])
    mean = (exact.channel_mean + second.channel_mean) / 2
    torch.testing.assert_close(norms[0].mean, mean, rtol=1e-4, atol=1e-5)
    var = (exact.channel_std.square() + second.channel_std.square()) / 2
    torch.testing.assert_close(norms[0].std.square(), var, rtol=1e-4, atol=1e-5)
    assert [int(norm.n_batches) for norm in norms] == [2, 2]

    other = build(n_outputs=2)
    other.load_state_dict(module.state_dict())
    with torch.no_grad():
        assert torch.equal(other.eval()(x), module.eval()(x))


def test_running_statistics_follow_the_training():
    norm = build(n_outputs=2).channel_norm
    index, counts = torch.zeros(4, dtype=torch.long), torch.tensor([4])
    z = torch.randn(4, 4, 30, 4)
    for _ in range(50):
        norm(z, index, counts)
    norm(z + 10, index, counts)
    moved = norm.mean - z.mean((0, 2))
    torch.testing.assert_close(moved, torch.full_like(moved, 1.0), rtol=1e-3, atol=1e-3)


def test_no_statistics_is_an_error_and_says_what_to_do():
    module, x = build(n_outputs=2).eval(), torch.from_numpy(simulate(8)[0])
    with torch.no_grad():
        # Tools try networks with zeros.
        assert module(torch.zeros(1, 4, 250)).shape == (1, 2)
        for call in (
            lambda: module(x),
            lambda: module(x, return_features=True),
            lambda: module.features_from(module.encode_channels(x)),
        ):
            with pytest.raises(ValueError, match="train it, or set those of some"):
                call()
        module.set_statistics(module.norm_statistics([module.encode_channels(x)]))
        torch.testing.assert_close(module(x[:1]), module(x)[:1])


def test_volts_are_too_small():
    module, x = build(n_outputs=2), torch.from_numpy(simulate(8)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(torch.zeros_like(x))
        build(n_outputs=2)(20 * x)
        build()(1e-5 * x)
    with pytest.warns(UserWarning, match="SD of 6.6e-06.*volts times 1e5"):
        module(1e-5 * x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        module(1e-5 * x)


def test_arguments_in_braindecodes_words():
    chs_info = mne.create_info(NAMES, 125.0, "eeg")["chs"]
    module = HybridEncoder(**SMALL, chs_info=chs_info, input_window_seconds=2.0)
    assert (module.n_chans, module.n_times, module.sfreq) == (4, 250, 125.0)
    assert module.chs_info is chs_info
    assert HybridEncoder(**SMALL, n_times=500, input_window_seconds=2.0).sfreq == 250.0
    module = HybridEncoder(**SMALL, sfreq=200, input_window_seconds=2.0)
    assert module.n_times == 400
    default = HybridEncoder(**SMALL)
    assert (default.n_chans, default.n_times, default.sfreq) == (60, 625, 125.0)
    assert default.input_window_seconds == 5.0
    assert default.config == HybridEncoder(**SMALL, n_outputs=2).config


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"chs_info": [{}] * 3}, "n_chans=4, but chs_info has 3 channels"),
        ({"n_chans": None, "chs_info": []}, "n_chans must be a positive integer"),
        ({"input_window_seconds": 3}, "n_times=250, but .* are 375 time steps"),
        ({"input_window_seconds": 0}, r"must be positive \(seconds\), got 0"),
        ({"n_times": None, "input_window_seconds": 0.1}, "at least patch_size=32"),
        ({"n_outputs": 0}, "n_outputs must be a positive integer, got 0"),
        ({"n_outputs": 2.0}, "n_outputs must be a positive integer, got 2.0"),
        ({"subject_norm": "batch"}, "subject_norm must be one of .* got 'batch'"),
    ],
)
def test_wrong_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        build(**{"sfreq": 125} | kwargs)


# ----------------------------------------------------------------------- heads, weights


def test_reset_head():
    module, x = build(n_outputs=2).double(), torch.randn(5, 4, 250).double()
    weight = module.spatial.weight.clone()
    assert module.eval().reset_head(7) is module
    assert module.n_outputs == 7
    assert not module.final_layer.training
    assert module.train()(x).shape == (5, 7)
    assert torch.equal(module.spatial.weight, weight)
    assert build().reset_head(np.int64(2))(x.float()).shape == (5, 2)
    with pytest.raises(ValueError, match="n_outputs must be a positive integer"):
        module.reset_head(-1)


def test_weights_of_a_file_go_into_a_classifier(make_windows, tmp_path):
    X = make_windows(("A",), n_subjects=2)
    tiny = {**SMALL, "max_epochs": 1, "batches_per_epoch": 1, "random_state": 0}
    MDJPTEncoder(**tiny).fit(X).save(tmp_path / "weights.safetensors")
    encoder = MDJPTEncoder.load(tmp_path / "weights.safetensors").module_
    module = HybridEncoder(**encoder.config, n_outputs=3)
    head = {k: v.clone() for k, v in module.final_layer.state_dict().items()}
    assert module.load_encoder(encoder) is module
    new = dict(module.named_parameters())
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, new[name])
        assert new[name].requires_grad
    for name, tensor in module.final_layer.state_dict().items():
        assert torch.equal(tensor, head[name])
    x = torch.randn(12, 60, 375)
    with torch.no_grad():
        found = module(x, return_features=True)["features"]
        expected = encoder(x).features  # all one subject, as in a batch in training
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-7)


def test_load_encoder_takes_statistics_where_both_keep_them():
    x = torch.from_numpy(simulate(12)[0])
    trained, other = build(n_outputs=2), build(n_outputs=5)
    with torch.no_grad():
        trained(x)
        other.load_encoder(trained)
        for a, b in zip(trained.get_statistics(), other.get_statistics(), strict=True):
            assert torch.equal(a, b)
        a, b = (m.eval()(x, return_features=True)["features"] for m in (trained, other))
    assert torch.equal(a, b)


def test_load_encoder_refuses_another_architecture():
    module = build(n_outputs=2)
    # These differ in no tensor's shape.
    with pytest.raises(ValueError, match="n_heads is 4, expected 2; patch_stride is 8"):
        module.load_encoder(build(n_heads=4, patch_stride=8))


# ----------------------------------------------------------------------------- datasets


def assert_same_windows(found, expected):
    pd.testing.assert_frame_equal(found.metadata, expected.metadata)
    for a, b in zip(found, expected, strict=True):
        assert_array_equal(a, np.asarray(b, np.float32))


@pytest.fixture
def stacks():
    """Windows as arrays, some without trial, onset or label, with odd electrodes."""
    rng = np.random.default_rng(0)
    return EEGWindows.from_arrays(
        rng.standard_normal((6, 2, 100)), ch_names=["E1", "Cz"], sfreq=100.0,
        dataset="lab", subject=["a", "b"] * 3, trial=[1, 1, 1, 2, None, None],
        onset=[0, 0, 1.0, 0, np.nan, np.nan], y=["no", "yes", None, "yes", "no", "no"],
        extra={"rating": np.arange(6.0), "hand": ["l", None] * 3},
        positions=[[0.08, 0.01, 0.02], [0.0, 0.0, 0.1]],
    )  # fmt: skip


@pytest.mark.parametrize("order", ["as they are", "backwards", "shuffled"])
def test_there_and_back(make_windows, stacks, order):
    X = concat_windows([make_windows(("A", "B"), n_subjects=2), stacks])
    if order != "as they are":
        rows = np.arange(len(X))[::-1]
        X = X[np.random.default_rng(0).permutation(rows) if order[0] == "s" else rows]
    dataset = X.to_braindecode()
    assert isinstance(dataset, BaseConcatDataset)
    assert len(dataset) == len(X)
    assert_array_equal(dataset[5][0], np.asarray(X[5], np.float32))
    assert_same_windows(EEGWindows.from_braindecode(dataset), X)
    # braindecode writes the description into the metadata.
    assert dataset.get_metadata()["subject"].tolist() == X.metadata["subject"].tolist()
    assert_same_windows(EEGWindows.from_braindecode(dataset), X)
    renamed = EEGWindows.from_braindecode(dataset, dataset="other")
    assert set(renamed.metadata["dataset"]) == {"other"}


def test_parts_and_columns(make_windows):
    X = make_windows(("A", "B"), n_subjects=2)
    dataset = X.to_braindecode()
    assert [type(part) for part in dataset.datasets] == [EEGWindowsDataset] * 4
    assert dataset.description["subject"].tolist() == ["01", "02", "01", "02"]
    assert dataset.description["dataset"].tolist() == ["A", "A", "B", "B"]
    assert set(dataset.split("dataset")) == {"A", "B"}
    table, rows = dataset.get_metadata(), X.metadata
    labels = sorted(set(X.y))
    assert [labels[code] for code in table["target"]] == X.y.tolist()
    assert [y for _, y, _ in dataset] == table["target"].tolist()
    # Places are samples of the Raw; numbers count within trials.
    part = dataset.datasets[0]
    crop = part.metadata.iloc[-1]
    signal = part.raw.get_data(
        start=crop["i_start_in_trial"], stop=crop["i_stop_in_trial"]
    )
    last = np.flatnonzero(rows["subject"].eq("01") & rows["dataset"].eq("A"))[-1]
    assert_array_equal(signal.astype(np.float32), X[last])
    number = rows.groupby(["dataset", "subject", "trial"], sort=False).cumcount()
    assert table["i_window_in_trial"].tolist() == number.tolist()


def test_windows_of_arrays(stacks):
    dataset = stacks.to_braindecode()
    assert [type(part) for part in dataset.datasets] == [WindowsDataset] * 6
    dataset = stacks[stacks.groups("subject") == "lab/a"].to_braindecode()
    (part,) = dataset.datasets
    assert part.windows.get_channel_types() == ["eeg", "eeg"]
    assert_allclose(part.windows.info["chs"][0]["loc"][:3], [0.08, 0.01, 0.02])
    table = part.windows.metadata
    assert table["target"].tolist() == [0, -1, 0]
    assert table["i_window_in_trial"].tolist() == [0, 1, 0]
    assert table["i_start_in_trial"].tolist() == [0, 100, 0]
    assert (table["i_stop_in_trial"] - table["i_start_in_trial"]).eq(100).all()
    back = EEGWindows.from_braindecode(dataset)
    assert_allclose(back.recordings[0].positions[0], [0.08, 0.01, 0.02])


@pytest.mark.parametrize(
    ("labels", "targets"),
    [
        ([3, 1, 3, -1], [2, 1, 2, 0]),
        ([True, False, True, True], [1, 0, 1, 1]),
        ([0.5, 7.25, 1.0, 3.0], [0.5, 7.25, 1.0, 3.0]),
        (["b", 1, "a", 1], [2, 0, 1, 0]),
        (None, [-1] * 4),
    ],
)
def test_targets(labels, targets):
    X = EEGWindows.from_arrays(
        np.ones((4, 1, 50)), ch_names=["Cz"], sfreq=50.0, y=labels
    )
    dataset = X.to_braindecode()
    assert [target for _, target, _ in dataset] == targets
    back = EEGWindows.from_braindecode(dataset)
    assert back.metadata["label"].tolist() == X.metadata["label"].tolist()


def test_to_braindecode_refuses(stacks):
    with pytest.raises(ValueError, match="X has no windows"):
        stacks[:0].to_braindecode()
    X = EEGWindows.from_arrays(
        np.ones((2, 1, 50)), ch_names=["Cz"], sfreq=50.0,
        extra={"target": [0, 1], "i_start": [0, 1]},
    )  # fmt: skip
    with pytest.raises(ValueError, match="columns .*: target, i_start"):
        X.to_braindecode()


def raw_dataset(description):
    """Two events of 3 s each, cut into windows of 1 s."""
    info = mne.create_info([*NAMES, "EOG"], 100.0, ["eeg"] * 4 + ["eog"])
    signal = np.random.default_rng(0).standard_normal((5, 1000))
    raw = mne.io.RawArray(signal, info, verbose="error")
    raw.set_annotations(mne.Annotations([1, 5], [3, 3], ["left", "right"]))
    return signal, create_windows_from_events(
        BaseConcatDataset([RawDataset(raw, description)]),
        window_size_samples=100, window_stride_samples=100, drop_last_window=False,
        mapping={"left": 0, "right": 1},
    )  # fmt: skip


def test_windows_of_braindecode():
    # "trial" and "onset" of a whole recording are not those of its windows.
    description = {"subject": 7, "age": 30, "trial": 9, "onset": 9.0}
    signal, dataset = raw_dataset(description)
    dataset.get_metadata()  # writes the description into the metadata
    X = EEGWindows.from_braindecode(dataset, dataset="lab")
    assert X.ch_names == tuple(NAMES)
    assert_allclose(X[1], signal[:4, 200:300], rtol=1e-6)
    table = X.metadata
    assert table["label"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["onset"].tolist() == [0, 1, 2, 0, 1, 2]
    assert table["trial"].nunique() == 2
    assert set(table["subject"]) == {"7"}
    assert set(table["age"]) == {30}
    assert not {"target", "i_window_in_trial"} & set(table)
    _, bare = raw_dataset(None)
    assert EEGWindows.from_braindecode(bare).metadata["subject"].isna().all()


def test_epochs_of_older_braindecode_keep_their_metadata_themselves(stacks):
    dataset = stacks.to_braindecode()
    for part in dataset.datasets:
        vars(part).pop("metadata", None)  # braindecode 1.3 does not set it
    assert_same_windows(EEGWindows.from_braindecode(dataset), stacks)


def test_from_braindecode_refuses():
    with pytest.raises(TypeError, match="Expected a braindecode BaseConcatDataset"):
        EEGWindows.from_braindecode([1])
    raw = mne.io.RawArray(np.ones((1, 9)), mne.create_info(["Cz"], 9.0), verbose=False)
    with pytest.raises(TypeError, match="is not windowed"):
        EEGWindows.from_braindecode(BaseConcatDataset([RawDataset(raw)]))


def test_from_a_braindecode_dataset_to_features(make_windows):
    X = make_windows(("A",), n_subjects=3)
    dataset = X.to_braindecode()
    encoder = MDJPTEncoder.small(
        **SMALL, max_epochs=1, batches_per_epoch=2, random_state=0
    )
    Z = encoder.fit_transform(EEGWindows.from_braindecode(dataset))
    assert Z.shape == (len(X), encoder.n_features_out_)
    assert np.isfinite(Z).all()
    assert encoder.training_subjects_ == ["A/01", "A/02", "A/03"]
    assert_allclose(encoder.transform(dataset), Z, atol=1e-5)


def test_windows_train_a_classifier_of_braindecode(make_windows):
    dataset = make_windows(("A",), n_subjects=2).to_braindecode()
    dataset.transform = lambda x: 1e5 * x
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        net = classifier().set_params(max_epochs=1).fit(dataset, y=None)
    assert net.module_.n_outputs == 3
    assert net.predict_proba(dataset).shape == (len(dataset), 3)


def _raw_dataset(n_targets=0, *, target_name=None, **description):
    data = 1e-5 * np.random.default_rng(0).standard_normal((4 + n_targets, 2000))
    names = [*NAMES, "grip", "lift"][: 4 + n_targets]
    types = ["eeg"] * 4 + ["misc"] * n_targets
    data[4:] = np.nan
    data[4:, 499::250] = np.arange(7)
    raw = mne.io.RawArray(data, mne.create_info(names, 100.0, types), verbose="error")
    dataset = RawDataset(raw, pd.Series({"subject": 1} | description), target_name)
    return BaseConcatDataset([dataset])


def _fixed_windows(dataset, **kwargs):
    return create_fixed_length_windows(
        dataset, start_offset_samples=0, stop_offset_samples=None,
        window_size_samples=500, window_stride_samples=250, drop_last_window=True,
        **kwargs,
    )  # fmt: skip


def test_lazy_metadata_are_metadata():
    dataset = _raw_dataset(target_name="sex", sex="f", age=20)
    lazy, known = (
        EEGWindows.from_braindecode(
            _fixed_windows(dataset, lazy_metadata=is_lazy, mapping={"f": 1, "m": 0}),
            dataset="d",
        )
        for is_lazy in (True, False)
    )
    assert lazy.y.tolist() == [1] * 7
    assert_allclose(lazy.metadata["onset"], 2.5 * np.arange(7))
    pd.testing.assert_frame_equal(lazy.metadata, known.metadata)
    assert_array_equal(np.asarray(lazy), np.asarray(known))


@pytest.mark.parametrize("is_lazy", [True, False])
def test_several_targets_are_refused_by_name(is_lazy):
    names = ["sex", "age"]
    several = _raw_dataset(target_name=names, sex=1, age=20)
    windows = _fixed_windows(several, lazy_metadata=is_lazy)
    with pytest.raises(ValueError, match=r"have 2 targets each \(sex, age\)"):
        EEGWindows.from_braindecode(windows)
    # A label is one.
    several = _raw_dataset(target_name=names, sex=1, age=20, label="joy")
    X = EEGWindows.from_braindecode(
        _fixed_windows(several, lazy_metadata=is_lazy), dataset="d"
    )
    assert X.y.tolist() == ["joy"] * 7
    assert X.metadata[names].drop_duplicates().to_numpy().tolist() == [[1, 20]]
    assert X.metadata["trial"].nunique() == 1


def test_targets_of_channels_are_labels():
    windows = create_windows_from_target_channels(
        _raw_dataset(1), window_size_samples=500
    )
    X = EEGWindows.from_braindecode(windows, dataset="d")
    assert X.ch_names == tuple(NAMES)
    assert X.y.tolist() == [float(target[0]) for _, target, _ in windows]
    assert X.y.tolist() == list(range(6))
    windows = create_windows_from_target_channels(
        _raw_dataset(2), window_size_samples=500
    )
    with pytest.raises(ValueError, match=r"have 2 targets each \(grip, lift\)"):
        EEGWindows.from_braindecode(windows)


def four_trials(durations=(15, 15, 15, 15), *, stride=500, epochs=True, **kwargs):
    """Trials of joy and fear in turn, 5 s apart, cut into windows of 5 s."""
    starts = np.cumsum([2, *np.add(durations, 5)])
    signal = 1e-6 * np.random.default_rng(0).standard_normal((1, 100 * starts[-1]))
    info = mne.create_info(["Fz"], 100.0, "eeg")
    raw = mne.io.RawArray(signal, info, first_samp=300, verbose="error")
    marks = mne.Annotations(starts[:-1], durations, ["joy", "fear"] * 2)
    raw.set_annotations(marks)
    if epochs:
        kwargs |= {"use_mne_epochs": True, "preload": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = create_windows_from_events(
            BaseConcatDataset([RawDataset(raw, pd.Series({"subject": "1"}))]),
            mapping={"joy": 0, "fear": 1}, window_size_samples=500,
            window_stride_samples=stride, **kwargs,
        )  # fmt: skip
    return dataset.datasets[0]


def drop(part, keep, columns=()):
    """Keep some windows of a dataset, and forget columns of its metadata."""
    if hasattr(part, "windows"):
        kept = part.windows[np.flatnonzero(keep)]
        kept.metadata = kept.metadata.drop(columns=list(columns), errors="ignore")
        setattr(part, "_windows" if hasattr(part, "_windows") else "windows", kept)
        part.metadata = kept.metadata
    else:
        part.metadata = part.metadata[keep].drop(columns=list(columns), errors="ignore")
    places = ["i_window_in_trial", "i_start_in_trial", "i_stop_in_trial"]
    part.crop_inds = part.metadata[places].to_numpy()
    part.y = part.metadata["target"].tolist()
    return BaseConcatDataset([part])


def has_numbers(part):
    """Whether this version of braindecode numbers trials."""
    table = getattr(part, "windows", part).metadata
    return "i_trial_in_dataset" in table


# Which windows are dropped, of three (in trials of 15 s) in each of four trials.
HOLES = {
    "first of a trial": [3],
    "last and first": [2, 3, 4],
    "in the middle": [1, 7],
    "all but the last": [3, 4, 9, 10],
    "a whole trial": [3, 4, 5, 6],
}


@pytest.mark.parametrize("dropped", HOLES.values(), ids=HOLES)
@pytest.mark.parametrize("epochs", [True, False])
@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("told", [True, False])
def test_dropped_windows_keep_trial_and_onset(dropped, epochs, older, told):
    part = four_trials(epochs=epochs, trial_start_offset_samples=50, stride=475)
    keep = ~np.isin(np.arange(12), dropped)
    if not told:
        part.window_kwargs = []
    dataset = drop(part, keep, ["i_trial_in_dataset"] * older)
    found = EEGWindows.from_braindecode(dataset, dataset="lab").metadata
    number = np.repeat([1, 2, 3, 4], 3)[keep]
    if older or not has_numbers(four_trials()):  # a trial that is gone does not count
        number = 1 + pd.factorize(number)[0]
    assert found["trial"].tolist() == [f"0-{k}" for k in number]
    assert_allclose(found["onset"], np.tile([0, 4.75, 9.5], 4)[keep], atol=1e-9)
    assert found["label"].tolist() == np.repeat([0, 1, 0, 1], 3)[keep].tolist()


def test_one_window_of_each_trial_is_left():
    keep = np.isin(np.arange(12), [2, 3, 7, 11])
    if has_numbers(four_trials()):
        X = EEGWindows.from_braindecode(drop(four_trials(), keep), dataset="lab")
        assert X.metadata["onset"].tolist() == [10, 0, 5, 10]
    # Without the annotations' numbers, nothing tells that windows were not moved.
    part = drop(four_trials(), keep, ["i_trial_in_dataset"])
    with pytest.warns(UserWarning, match=r"^3 windows have no onset: .*0-1, 0-3, 0-4"):
        X = EEGWindows.from_braindecode(part, dataset="lab")
    assert X.metadata["trial"].tolist() == ["0-1", "0-2", "0-3", "0-4"]
    part = drop(four_trials(drop_last_window=True), keep, ["i_trial_in_dataset"])
    X = EEGWindows.from_braindecode(part, dataset="lab")
    assert X.metadata["onset"].tolist() == [10, 0, 5, 10]


def test_steps_that_differ_by_event():
    if not has_numbers(four_trials()):
        pytest.skip("needs a braindecode that numbers trials")
    stride = {"joy": 400, "fear": 250}
    part = four_trials(stride=stride, epochs=False)
    table = part.metadata
    starts = table.groupby("i_trial_in_dataset")["i_start_in_trial"].transform("min")
    onset = (table["i_start_in_trial"] - starts).to_numpy() / 100
    keep = table["i_window_in_trial"].to_numpy() > 0
    X = EEGWindows.from_braindecode(drop(part, keep), dataset="lab")
    assert_allclose(X.metadata["onset"], onset[keep])


def test_a_last_window_that_was_moved():
    # 12 s: windows at 0, 5 and, moved to end with the trial, 7 s.
    part = four_trials((12,) * 4)
    if has_numbers(part):
        X = EEGWindows.from_braindecode(
            drop(part, np.arange(12) % 9 > 1), dataset="lab"
        )
        assert X.metadata["onset"].tolist() == [7, 0, 5, 7, 0, 5, 7, 7]
    part = drop(four_trials((12,) * 4), np.arange(12) > 1, ["i_trial_in_dataset"])
    with pytest.warns(UserWarning, match=r"^1 windows have no onset: .*\(0-1\) were"):
        X = EEGWindows.from_braindecode(part, dataset="lab")
    assert np.isnan(X.metadata["onset"][0])
    assert X.metadata["onset"].tolist()[1:] == [0, 5, 7] * 3


def test_windows_that_were_resampled_keep_their_onsets():
    part = four_trials()
    part._windows = part.windows.resample(50.0, verbose="error")
    X = EEGWindows.from_braindecode(BaseConcatDataset([part]), dataset="lab")
    assert X.sfreq == 50.0
    assert X.metadata["onset"].tolist() == [0, 5, 10] * 4


def test_holes_there_and_back():
    X = EEGWindows.from_braindecode(
        drop(four_trials(), np.arange(12) % 5 > 0), dataset="lab"
    )
    back = EEGWindows.from_braindecode(X.to_braindecode())
    pd.testing.assert_frame_equal(back.metadata, X.metadata)
