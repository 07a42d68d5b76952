"""Baselines: networks of braindecode, their input, weights and training; pipelines."""

import pickle
import warnings

import mne
import numpy as np
import pytest
import torch
from joblib import parallel_backend
from safetensors.torch import save_file
from sklearn.base import clone
from sklearn.model_selection import LeaveOneGroupOut, cross_val_score, cross_validate
from skorch.callbacks import Callback

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from braindecode.models import BIOT, EEGNet, ShallowFBCSPNet

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    Recording,
    WindowCovariances,
    concat_windows,
)
from sklearn_mdjpt.baselines import (
    BraindecodeClassifier,
    differential_entropy,
    make_baselines,
    tangent_space,
)
from sklearn_mdjpt.channels import CANONICAL_CHANNELS, channel_matrix
from sklearn_mdjpt.channels._montage import CommonChannels
from sklearn_mdjpt.windows._reader import CanonicalReader

NAMES = ("Fz", "C3", "C4", "Oz")
NETS = {
    "EEGNet": {"F1": 4, "D": 2, "F2": 8, "kernel_length": 16, "drop_prob": 0.1},
    "ShallowFBCSPNet": {
        "n_filters_time": 4, "n_filters_spat": 4, "filter_time_length": 16,
        "pool_time_length": 40, "pool_time_stride": 20, "drop_prob": 0.1,
    },
    "BIOT": {"embed_dim": 16, "num_heads": 2, "num_layers": 1, "hop_length": 50},
    "Labram": {
        "num_layers": 1, "num_heads": 2, "embed_dim": 20, "patch_size": 50,
        "conv_out_channels": 4,
    },
}  # fmt: skip
WORDS = {"n_chans": 4, "n_times": 100, "sfreq": 100}
CLASSES = {"EEGNet": EEGNet, "ShallowFBCSPNet": ShallowFBCSPNet, "BIOT": BIOT}
pytestmark = pytest.mark.filterwarnings(
    "ignore:This model has only been trained:UserWarning",
    "ignore:.*patch_size:UserWarning",
    "ignore:Labram chs_info does not match:UserWarning",
    "ignore:A window was not provided:UserWarning",
)


def simulate(
    n_subjects=3, n_trials=8, trial_seconds=2, sfreq=100.0, names=NAMES, dataset="A"
):
    """Two emotions that differ in the alpha rhythm of two channels."""
    rng = np.random.default_rng(0)
    recordings = []
    for subject in range(n_subjects):
        t = np.arange(int(n_trials * trial_seconds * sfreq)) / sfreq
        signal = rng.standard_normal((len(names), len(t)))
        sad = (t // trial_seconds) % 2 == 1
        rhythm = np.sin(2 * np.pi * 10 * t + rng.uniform(0, 6))
        signal[0] += 2.5 * rhythm * sad
        signal[1] += 2.5 * rhythm * ~sad
        trials = [
            (k * trial_seconds, (k + 1) * trial_seconds, str(k), ("joy", "sad")[k % 2])
            for k in range(n_trials)
        ]
        recordings.append(
            Recording(
                (1e-5 * (1 + subject) * signal).astype(np.float32), names, sfreq,
                dataset, str(subject), "1", trials,
            )
        )  # fmt: skip
    return EEGWindows.from_recordings(recordings, window_seconds=1, stride_seconds=1)


@pytest.fixture(scope="module")
def windows():
    return simulate()


def small(module="EEGNet", **overrides):
    params = NETS.get(module if isinstance(module, str) else module.__name__)
    common = {"module_params": params, "max_epochs": 2, "batch_size": 16}
    common |= {"torch_threads": 1, "random_state": 0}
    return BraindecodeClassifier(module, **common | overrides)


class Spy(torch.nn.Module):
    """Linear network that remembers what it was built with and what it saw."""

    seen = None

    def __init__(self, n_chans, n_outputs, n_times, chs_info=None, factor=1.0):
        super().__init__()
        type(self).words = {"n_chans": n_chans, "n_times": n_times, "chs": chs_info}
        self.final_layer = torch.nn.Linear(n_chans * n_times, n_outputs)
        self.factor = factor

    def forward(self, x):
        type(self).seen = x.detach().numpy().copy()
        return self.factor * self.final_layer(x.flatten(1))


class NoClasses(torch.nn.Module):
    """Network of two classes whatever it is asked for."""

    def __init__(self, n_chans):
        super().__init__()
        self.mix = torch.nn.Linear(n_chans, 2)

    def forward(self, x):
        return self.mix(x.mean(dim=2))


def seen_by_spy(X, y=None, **overrides):
    """What reaches the network for all of X, in their order."""
    labels = np.arange(len(X)) % 2 if y is None else y
    model = small(Spy, module_params=None, max_epochs=1, **overrides).fit(X, labels)
    model.batch_size = len(X)
    model.predict(X)
    return Spy.seen


# Learning -------------------------------------------------------------------------


@pytest.mark.parametrize("module", ["EEGNet", "ShallowFBCSPNet"])
def test_learns_and_transfers_to_a_subject_that_was_left_out(windows, module):
    model = small(module, max_epochs=15, lr=0.01)
    scores = cross_val_score(
        model, windows, windows.y, groups=windows.groups("subject"),
        cv=LeaveOneGroupOut(), error_score="raise",
    )  # fmt: skip
    assert scores.shape == (3,) and scores.mean() > 0.8


def test_fitted_attributes_and_output(windows):
    model = small(sfreq=50).fit(windows, windows.y)
    assert list(model.classes_) == ["joy", "sad"]
    assert (model.sfreq_, model.n_times_, model.ch_names_) == (50.0, 50, NAMES)
    assert isinstance(model.module_, EEGNet) and not model.module_.training
    assert list(model.history_.columns) == ["train_loss", "seconds"]
    assert list(model.history_.index) == [1, 2]
    proba = model.predict_proba(windows)
    assert proba.shape == (len(windows), 2) and proba.dtype == np.float64
    np.testing.assert_allclose(proba.sum(axis=1), 1, atol=1e-12)
    assert (model.predict(windows) == model.classes_[proba.argmax(axis=1)]).all()


def test_a_class_does_what_its_name_does(windows):
    one = small("EEGNet").fit(windows, windows.y)
    other = small(EEGNet).fit(windows, windows.y)
    np.testing.assert_array_equal(
        one.predict_proba(windows), other.predict_proba(windows)
    )


def test_folds_in_threads_draw_the_same_dropout(windows):
    model = small(module_params=NETS["EEGNet"] | {"drop_prob": 0.5}, max_epochs=3)

    def losses(n_jobs):
        with parallel_backend("threading"):
            found = cross_validate(
                model, windows, windows.y, groups=windows.groups("subject"),
                cv=LeaveOneGroupOut(), n_jobs=n_jobs, return_estimator=True,
            )  # fmt: skip
        return [m.history_["train_loss"].tolist() for m in found["estimator"]]

    assert losses(1) == losses(3)


def test_a_pickle_from_a_gpu_opens_without_one(windows):
    model = small().fit(windows, windows.y)
    model.device = "cuda:7"
    twin = pickle.loads(pickle.dumps(model))
    assert next(twin.module_.parameters()).device.type == "cpu"
    assert not twin.module_.training


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.filterwarnings("ignore:frozen=True without weights")
def test_a_last_batch_of_one_is_no_trouble_to_batch_norm(windows, frozen):
    X = windows[:17]
    model = small(batch_size=16, frozen=frozen).fit(X, X.y)
    assert np.isfinite(model.predict_proba(X[:1])).all()


def test_class_weights_shift_decisions(windows):
    shares = [
        small(class_weight={"joy": weight, "sad": 1.0}, max_epochs=4, lr=0.02)
        .fit(windows, windows.y)
        .predict_proba(windows)[:, 0]
        .mean()
        for weight in (0.01, 100.0)
    ]
    assert shares[0] + 0.2 < shares[1]


# What the network gets ------------------------------------------------------------


def test_networks_get_braindecodes_words_as_far_as_they_take_them(windows):
    small(Spy, module_params={"factor": 2.0}, sfreq=50).fit(windows, windows.y)
    assert (Spy.words["n_chans"], Spy.words["n_times"]) == (4, 50)
    assert [ch["ch_name"] for ch in Spy.words["chs"]] == list(NAMES)
    assert np.isfinite([ch["loc"][:3] for ch in Spy.words["chs"]]).all()
    model = small(NoClasses, module_params=None).fit(windows, windows.y)
    assert model.module_.mix.in_features == 4


def test_digitised_positions_follow_the_order_of_the_channels():
    rng = np.random.default_rng(0)
    sites = rng.uniform(0.03, 0.06, (3, 3))
    recording = Recording(
        rng.standard_normal((3, 400)), ["E1", "E2", "E3"], 100.0, positions=sites
    )
    X = EEGWindows.from_recordings([recording], window_seconds=1, stride_seconds=1)
    seen_by_spy(X, channels=["E3", "E1"])
    found = [ch["loc"][:3] for ch in Spy.words["chs"]]
    np.testing.assert_allclose(found, sites[[2, 0]], atol=1e-6)


def normalised(X, sfreq):
    """Canonical windows by the robust statistics of their recordings."""
    expected, matrix = X.to_canonical(sfreq), channel_matrix(NAMES)
    for recording, rows, _, _ in X.blocks():
        center, scale = recording.robust_statistics(np.arange(len(NAMES)))
        expected[rows] = (expected[rows] - (matrix @ center)[:, None]) / scale
    return expected


def test_windows_are_normalised_and_resampled_as_for_the_encoder(windows):
    own = [CANONICAL_CHANNELS.index(name.upper()) for name in NAMES]
    expected = normalised(windows, 64.0)[:, own]
    found = seen_by_spy(windows, sfreq=64)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    reader = CanonicalReader(
        windows, sfreq=64.0, channels=CommonChannels(windows, "auto")
    )
    np.testing.assert_array_equal(found, reader.read(np.arange(len(windows))))
    # Subjects, whose amplitudes differ by a factor of 3, are alike.
    found = seen_by_spy(windows)
    np.testing.assert_allclose([x.std() for x in np.split(found, 3)], 1, atol=0.05)


def test_canonical_channels_are_the_encoders(windows):
    found = seen_by_spy(windows, channels="canonical")
    np.testing.assert_allclose(found, normalised(windows, 100.0), rtol=1e-5, atol=1e-5)
    expected = CanonicalReader(windows, sfreq=100.0).read(np.arange(len(windows)))
    np.testing.assert_array_equal(found, expected)
    assert Spy.words["chs"][0]["ch_name"] == "FP1"


def test_listed_channels_are_cut_out_in_their_order(windows):
    found = seen_by_spy(windows, channels=["oz", "Fz"], window_norm=None, scale=1e6)
    np.testing.assert_allclose(found, np.array(windows)[:, [3, 0]] * 1e6, rtol=1e-6)
    with pytest.raises(ValueError, match="X lacks channels CZ that were asked for"):
        small(channels=["Fz", "Cz"]).fit(windows, windows.y)


def test_listed_channels_of_biosemi_are_its_own():
    x = np.random.default_rng(0).standard_normal((4, 17, 200))
    names = [*(f"C{n}" for n in range(1, 17)), "D1"]
    X = EEGWindows.from_arrays(x, ch_names=names, sfreq=100)
    found = seen_by_spy(X, channels=["c3", "D1"], window_norm=None)
    np.testing.assert_allclose(found, x[:, [2, 16]], rtol=1e-6)


def test_order_of_channels_makes_no_difference(windows):
    model = small().fit(windows, windows.y)
    order = [2, 0, 3, 1]
    other = EEGWindows.from_arrays(
        np.array(windows)[:, order], ch_names=[NAMES[i] for i in order], sfreq=100.0,
        dataset="A", subject=windows.metadata["subject"],
    )  # fmt: skip
    same = EEGWindows.from_arrays(
        np.array(windows), ch_names=NAMES, sfreq=100.0, dataset="A",
        subject=windows.metadata["subject"],
    )  # fmt: skip
    np.testing.assert_allclose(
        model.predict_proba(other), model.predict_proba(same), atol=1e-5
    )


def test_arrays_are_normalised_window_by_window(windows):
    X = np.array(windows)
    found = seen_by_spy(X, windows.y, sfreq=100.0)
    np.testing.assert_allclose(found.std(axis=(1, 2)), 1, atol=1e-3)
    assert Spy.words["chs"] is None  # nobody knows their names
    model = small(Spy, module_params=None, sfreq=100.0, ch_names=NAMES)
    model.fit(X, windows.y)
    assert [ch["ch_name"] for ch in Spy.words["chs"]] == list(NAMES)
    np.testing.assert_allclose(
        model.predict_proba(X[:1]), model.predict_proba(X)[:1], atol=1e-6
    )
    with pytest.raises(ValueError, match="(?s)Unknown sampling rate.*sfreq="):
        small().fit(X, windows.y)


def test_epochs_and_lists_of_them_do_as_well(windows):
    info = mne.create_info(list(NAMES), 100.0, "eeg")
    epochs = mne.EpochsArray(np.array(windows, dtype=float), info, verbose="error")
    model = small(max_epochs=1).fit(epochs, windows.y)
    as_array = small(max_epochs=1, sfreq=100.0, ch_names=NAMES)
    as_array.fit(np.array(windows), windows.y)
    np.testing.assert_allclose(
        model.predict_proba([epochs[:5], epochs[5:]]),
        as_array.predict_proba(np.array(windows)),
        atol=1e-4,
    )


def test_several_montages_and_rates():
    other = simulate(2, sfreq=200.0, names=(*NAMES[::-1], "Pz"), dataset="B")
    X = concat_windows([simulate(), other])
    with pytest.raises(ValueError, match=r"several sampling rates \(100, 200 Hz\)"):
        small().fit(X, X.y)
    model = small(sfreq=100).fit(X, X.y)
    assert len(model.ch_names_) == 60 and model.n_times_ == 100
    assert model.predict(X).shape == X.shape
    assert small(sfreq=100, channels=list(NAMES)).fit(X, X.y).ch_names_ == NAMES


def test_labram_is_told_the_names_of_the_channels(windows):
    model = small("Labram", max_epochs=1).fit(windows, windows.y)
    assert model.predict_proba(windows).shape == (len(windows), 2)
    other = small("Labram", max_epochs=1, channels=["C3", "Fz"])
    assert other.fit(windows, windows.y).predict(windows).shape == windows.shape


def test_implausible_amplitudes_are_warned_of(windows):
    with pytest.warns(UserWarning, match="SD of .*e-05.*scale=1e6 turns volts"):
        small(window_norm=None, max_epochs=1).fit(windows, windows.y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small(window_norm=None, scale=1e6, max_epochs=1).fit(windows, windows.y)


# Weights --------------------------------------------------------------------------


def network(module="EEGNet", n_outputs=5, seed=9):
    """A "pre-trained" network: random weights, statistics and norms."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = CLASSES[module](n_outputs=n_outputs, **WORDS, **NETS[module])
    for tensor in net.state_dict().values():
        if tensor.is_floating_point():
            noise = torch.rand(tensor.shape, generator=generator)
            tensor.copy_(tensor + 0.3 * noise)
    return net


def write(form, tensors, path):
    if form == "safetensors":
        save_file({name: t.contiguous() for name, t in tensors.items()}, path)
    elif form == "lightning":
        state = {f"model.{name}": t for name, t in tensors.items()}
        torch.save({"epoch": 3, "state_dict": state}, path)
    elif form == "checkpoint":
        torch.save({"epoch": 3, "state_dict": tensors}, path)
    else:
        torch.save(tensors, path)
    return path


FORMS = ["state_dict", "checkpoint", "lightning", "safetensors"]


@pytest.mark.parametrize("module", list(CLASSES))
def test_weights_come_from_the_file_and_the_final_layer_is_new(
    windows, tmp_path, module
):
    net = network(module)
    tensors = net.state_dict()
    without = small(module, max_epochs=1, lr=1e-9).fit(windows, windows.y)
    outputs = []
    for form in FORMS if module == "EEGNet" else FORMS[3:]:
        path = write(form, tensors, tmp_path / form)
        model = small(module, max_epochs=1, weights=path, frozen=True, lr=1e-9)
        model.fit(windows, windows.y)
        for name, tensor in model.module_.state_dict().items():
            if name.startswith("final_layer"):
                # As it was initialised, with two rows and not five.
                new = without.module_.state_dict()[name]
                torch.testing.assert_close(tensor, new, atol=1e-6, rtol=0)
            else:
                assert torch.equal(tensor, tensors[name]), name
        outputs.append(model.predict_proba(windows))
    for output in outputs:
        np.testing.assert_array_equal(output, outputs[0])
    assert np.abs(outputs[0] - without.predict_proba(windows)).max() > 1e-3


def test_weights_are_trained_unless_frozen(windows, tmp_path):
    path = write("state_dict", network().state_dict(), tmp_path / "x.pt")
    before = torch.load(path, weights_only=True)

    def changed(**overrides):
        model = small(weights=path, lr=0.01, **overrides).fit(windows, windows.y)
        after = model.module_.state_dict()
        own = {name: t for name, t in before.items() if "final_layer" not in name}
        return [name for name, t in own.items() if not torch.equal(after[name], t)]

    assert len(changed()) > 5
    assert changed(frozen=True) == []  # the statistics of batch norm neither
    twin = small(weights=path, frozen=True, lr=0.01, max_epochs=10)
    losses = twin.fit(windows, windows.y).history_["train_loss"].to_numpy()
    assert losses[-1] < losses[0]


def test_names_of_older_versions_are_understood(windows, tmp_path):
    net = network("ShallowFBCSPNet")
    older = {new: old for old, new in net.mapping.items()}
    tensors = {older.get(name, name): t for name, t in net.state_dict().items()}
    assert "conv_time.weight" in tensors
    one, other = (
        small("ShallowFBCSPNet", weights=write("state_dict", t, tmp_path / name))
        .fit(windows, windows.y)
        .predict_proba(windows)
        for name, t in (("old", tensors), ("new", net.state_dict()))
    )
    np.testing.assert_array_equal(one, other)


def test_files_without_a_final_layer_and_of_half_precision_do(windows, tmp_path):
    tensors = network().state_dict()
    backbone = {
        name: t.half() if t.is_floating_point() else t
        for name, t in tensors.items()
        if "final_layer" not in name
    }
    path = write("safetensors", backbone, tmp_path / "x.safetensors")
    model = small(weights=path, frozen=True).fit(windows, windows.y)
    found = model.module_.state_dict()
    for name, tensor in backbone.items():
        assert torch.equal(found[name], tensor.to(found[name].dtype)), name


def spoilt(tensors, how):
    tensors = dict(tensors)
    name = next(n for n in tensors if "bnorm_temporal.weight" in n)
    if how == "missing":
        del tensors[name]
    elif how == "unexpected":
        tensors["decoder.weight"] = torch.zeros(2)
    elif how == "wrong shape":
        tensors[name] = torch.ones(9)
    elif how == "wrong dtype":
        tensors[name] = tensors[name].long()
    elif how == "NaN or inf":
        tensors[name] = tensors[name] * float("nan")
    return tensors, "decoder.weight" if how == "unexpected" else name


@pytest.mark.parametrize(
    "how", ["missing", "unexpected", "wrong shape", "wrong dtype", "NaN or inf"]
)
def test_tensors_that_do_not_match_are_listed(windows, tmp_path, how):
    tensors, name = spoilt(network().state_dict(), how)
    path = write("safetensors", tensors, tmp_path / "x.safetensors")
    model = small().fit(windows, windows.y)
    before = pickle.dumps(model.set_params(weights=path))
    with pytest.raises(ValueError, match=f"is not for this EEGNet: {how}: {name}"):
        model.fit(windows, windows.y)
    assert pickle.dumps(model) == before


def test_files_of_another_model_are_refused(windows, tmp_path):
    path = write("state_dict", network("BIOT").state_dict(), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="missing: .*; unexpected: encoder.ch"):
        small(weights=path).fit(windows, windows.y)
    # The same network for another number of channels.
    path = write("state_dict", network().state_dict(), tmp_path / "y.pt")
    with pytest.raises(ValueError, match="wrong shape: conv_spatial"):
        small(weights=path, channels=["Fz", "Oz"]).fit(windows, windows.y)


def test_files_that_hold_no_tensors_are_refused(windows, tmp_path):
    class Evil:
        def __reduce__(self):
            return (print, ("run",))

    torch.save({"state_dict": {"a": Evil()}}, tmp_path / "evil.pt")
    torch.save({"a": 1}, tmp_path / "numbers.pt")
    torch.save([1], tmp_path / "list.pt")
    (tmp_path / "empty.pt").touch()
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"a": 1}))
    for name, message in (
        ("evil.pt", "cannot be read as a checkpoint"),
        ("numbers.pt", "holds no state_dict of tensors: a is a int"),
        ("list.pt", "holds no state_dict"),
        ("empty.pt", "is empty"),
        ("old.pt", "is a pickle"),
    ):
        with pytest.raises(ValueError, match=message):
            small(weights=tmp_path / name).fit(windows, windows.y)
    with pytest.raises(FileNotFoundError):
        small(weights=tmp_path / "nothing.pt").fit(windows, windows.y)


def test_what_has_no_final_layer_cannot_be_frozen(windows):
    with pytest.warns(UserWarning, match="frozen=True without weights"):
        with pytest.raises(ValueError, match="NoClasses has no final layer"):
            small(NoClasses, module_params=None, frozen=True).fit(windows, windows.y)


# Errors ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "overrides, error, message",
    [
        ({"module": "EEGNett"}, ValueError, "no.* name of a class.*mean EEGNet"),
        ({"module": "models_dict"}, ValueError, "not the name of a class"),
        ({"module": EEGNet(4, 2, 100)}, TypeError, "not an instance"),
        ({"module": dict}, TypeError, "module must be a name"),
        ({"module_params": [1]}, TypeError, "module_params must be a dict"),
        ({"module_params": {"F9": 1}}, ValueError, "EEGNet .*F9"),
        ({"module_params": {"n_outputs": 3}}, ValueError, r"shape \(2, 3\).*\(2, 2\)"),
        ({"channels": "all"}, ValueError, "channels must be one of"),
        ({"channels": 3}, TypeError, "channels must be"),
        ({"channels": []}, ValueError, "empty list"),
        ({"channels": ["T3", "T7"]}, ValueError, "name one site twice"),
        ({"sfreq": -1}, ValueError, "sfreq must be a finite number > 0"),
        ({"window_norm": "zscore"}, ValueError, "window_norm must be one of"),
        ({"scale": 0}, ValueError, "scale must be a finite number > 0"),
        ({"frozen": "yes"}, ValueError, "frozen must be one of"),
        ({"weights": 3}, TypeError, "weights must be a path"),
        ({"max_epochs": 0}, ValueError, "max_epochs must be an int >= 1"),
        ({"batch_size": 1}, ValueError, "batch_size must be an int >= 2"),
        ({"torch_threads": 0}, ValueError, "torch_threads must be an int >= 1"),
        ({"lr": 0.0}, ValueError, "lr must be a finite number > 0"),
        ({"weight_decay": -1}, ValueError, "weight_decay must be"),
        ({"device": "tpu"}, ValueError, "device must be"),
        ({"callbacks": ["x"]}, TypeError, "callbacks must be a list"),
        ({"class_weight": {"fear": 1}}, ValueError, "class_weight names classes"),
        ({"lr": 1e30}, FloatingPointError, "loss of the network became"),
    ],
)
def test_bad_parameters_raise_and_leave_the_model_as_it_was(
    windows, overrides, error, message
):
    model = small(max_epochs=1).fit(windows, windows.y)
    expected = model.predict_proba(windows)
    model.set_params(**{"max_epochs": 3} | overrides)
    with pytest.raises(error, match=message):
        model.fit(windows, windows.y)
    model.set_params(batch_size=16, torch_threads=1)
    np.testing.assert_allclose(model.predict_proba(windows), expected, atol=1e-6)


def test_bad_windows_and_labels_raise(windows):
    y = windows.y
    with pytest.raises(ValueError, match="y has one class: joy"):
        small().fit(windows, np.full(len(y), "joy"))
    with pytest.raises(ValueError, match="has no label"):
        small().fit(windows, [None, *y[1:]])
    with pytest.raises(ValueError, match="requires y to be passed"):
        small().fit(windows)
    with pytest.raises(ValueError, match="y has 3 labels for"):
        small().fit(windows, y[:3])
    array = np.array(windows)
    array[3, 1, 5] = np.nan
    with pytest.raises(ValueError, match="1 of 48 windows hold NaN or inf: windows 3"):
        small(sfreq=100.0).fit(array, y)
    array[3] = 1.0
    with pytest.raises(ValueError, match="constant in every channel: windows 3"):
        small(sfreq=100.0).fit(array, y)


def test_windows_of_other_lengths_raise(windows):
    short = EEGWindows.from_recordings(
        windows.recordings, window_seconds=0.2, stride_seconds=1
    )
    message = r"EEGNet .* 4 channels and 20 samples \(0.2 s"
    with pytest.raises(ValueError, match=message):
        small().fit(short, short.y)
    both = (
        windows[:4],
        EEGWindows.from_recordings(
            [
                Recording(
                    np.random.default_rng(0).standard_normal((4, 400)), NAMES, 100.0
                )
            ],
            window_seconds=2,
        ),
    )
    both = concat_windows(both)
    with pytest.raises(ValueError, match=r"several lengths \(100, 200 samples"):
        small().fit(both, np.arange(len(both)) % 2)
    model = small().fit(windows, windows.y)
    with pytest.raises(ValueError, match="windows of 20 samples .* fitted with 100"):
        model.predict(short)


def test_an_interruption_is_raised_and_leaves_the_model_as_it_was(windows):
    class Interrupt(Callback):
        def on_batch_end(self, net, **kwargs):
            raise KeyboardInterrupt

    model = small().fit(windows, windows.y)
    before = model.module_
    with pytest.raises(KeyboardInterrupt):
        model.set_params(callbacks=[Interrupt()]).fit(windows, windows.y)
    assert model.module_ is before


def test_verbose_says_something_and_silence_is_silent(windows, capsys):
    small().fit(windows, windows.y)
    assert capsys.readouterr() == ("", "")
    small(verbose=1).fit(windows, windows.y)
    assert "train_loss" in capsys.readouterr().out


# Pipelines ------------------------------------------------------------------------


BASELINES = make_baselines(
    smoothing="lds", networks=["EEGNet"], module_params=NETS["EEGNet"], max_epochs=2,
    torch_threads=1, random_state=0,
) | {
    "EEGNet in microvolts (inductive)": make_baselines(
        networks=[EEGNet], module_params=NETS["EEGNet"], max_epochs=2,
        window_norm=None, scale=1e6, random_state=0,
    )["EEGNet (inductive)"]
}  # fmt: skip


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_are_what_their_names_say(windows, name):
    # "inductive": a window's probabilities are the same whatever else is in X, and
    # whatever else is in its recording.
    train = windows.groups("subject") != "A/2"
    model = clone(BASELINES[name]).fit(windows[train], windows.y[train])
    test = windows[~train]
    together = model.predict_proba(test)
    recording = test.recordings[0]
    signal = recording.signal * np.where(np.arange(recording.n_times) < 800, 1, 50)
    other = EEGWindows.from_recordings(
        [Recording(signal, NAMES, 100.0, "A", "2", "1", recording.trials)],
        window_seconds=1, stride_seconds=1,
    )  # fmt: skip
    changes = [np.abs(model.predict_proba(other)[:6] - together[:6]).max()]
    if "transductive" in name:
        assert max(changes) > 1e-3
        return
    alone = np.concatenate([model.predict_proba(test[[i]]) for i in range(6)])
    changes.append(np.abs(alone - together[:6]).max())
    assert max(changes) < 1e-2


@pytest.mark.parametrize("name", [n for n in BASELINES if "EEGNet" not in n])
def test_classical_baselines_tell_emotions_apart(windows, name):
    scores = cross_val_score(
        BASELINES[name], windows, windows.y, groups=windows.groups("subject"),
        cv=LeaveOneGroupOut(), error_score="raise",
    )  # fmt: skip
    assert scores.mean() > 0.8


def test_pipelines_are_fresh_and_take_their_parameters():
    one, two = differential_entropy("subject", "lds", C=3.0), tangent_space(True)
    names = [type(step).__name__ for step in one["features"].steps]
    assert names == ["SubjectScaler", "LDSSmoother"]
    assert one["classifier"].C == 3.0
    assert [type(step).__name__ for step in two["features"].steps] == [
        "CovarianceAlignment",
        "TangentSpace",
    ]
    assert two["features"].extractor.estimator == "oas"
    assert make_baselines()["tangent space (inductive)"] is not tangent_space()
    found = make_baselines(channels="canonical", class_weight="balanced")
    for model in found.values():
        assert model["features"].extractor.channels == "canonical"
        assert model["classifier"].class_weight == "balanced"


def test_pipelines_of_arrays(windows):
    X = np.array(windows)
    for model in (
        differential_entropy(sfreq=100.0, bands={"alpha": (8, 14), "beta": (14, 30)}),
        tangent_space(),
    ):
        assert model.fit(X, windows.y).score(X, windows.y) > 0.8


def test_bad_arguments_of_pipelines_raise():
    for call, message in (
        (lambda: differential_entropy("session"), "scale must be one of"),
        (lambda: differential_entropy(smoothing="ema"), "smoothing must be one of"),
        (lambda: tangent_space("yes"), "recentre must be one of"),
        (lambda: make_baselines(smoothing=True), "smoothing must be one of"),
        (lambda: make_baselines(networks="EEGNet"), "networks must be a list"),
        (lambda: make_baselines(max_epochs=3), "but no networks"),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            call()


@pytest.mark.parametrize("make", [DifferentialEntropy, WindowCovariances])
def test_signals_that_are_no_eeg_are_named(make):
    X = np.random.default_rng(0).standard_normal((6, 4, 256))
    names = ["Cz", "Pz", "CB1", "ECG"]
    mixed = EEGWindows.from_arrays(X, ch_names=names, sfreq=128.0)
    with pytest.warns(UserWarning, match=r"Channels ECG have neither .*canonical"):
        make().fit(mixed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(channels="canonical").fit(mixed)
        for names in (["Cz", "Pz", "CB1", "M1"], ["E1", "E2", "E3", "E4"]):
            make().fit(EEGWindows.from_arrays(X, ch_names=names, sfreq=128.0))
