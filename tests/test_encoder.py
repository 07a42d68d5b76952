"""MDJPTEncoder: the contract with scikit-learn, numbers, training, files, errors."""

import pickle
import warnings
from inspect import signature

import numpy as np
import pandas as pd
import pytest
import torch
from settings import TINY, tiny_encoder
from sklearn import config_context
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    cross_val_predict,
    cross_val_score,
)
from sklearn.pipeline import Pipeline, make_pipeline

from sklearn_mdjpt import EEGWindows, MDJPTEncoder, Recording, concat_windows
from sklearn_mdjpt.channels import CANONICAL_CHANNELS
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.encoder._parameters import PARAMETERS
from sklearn_mdjpt.encoder._transform import statistics_rows
from sklearn_mdjpt.nn import HybridEncoder


@pytest.fixture(scope="module")
def arrays():
    """24 windows of 4 "subjects" as a plain array, with labels and stimuli."""
    rng = np.random.default_rng(0)
    X = 1e-5 * rng.standard_normal((24, 4, 125)).astype("f4")
    X += 4e-3
    stimuli = np.tile(np.arange(6), 4)
    return {
        "X": X,
        "y": np.array(["low", "high"])[stimuli % 2],
        "subjects": np.repeat(np.arange(4), 6),
        "stimuli": stimuli,
        "kwargs": {"ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 125.0},
    }


def state_of(encoder):
    return {k: v.clone() for k, v in encoder.module_.state_dict().items()}


def assert_same_weights(a, b):
    a, b = dict(a.module_.named_parameters()), dict(b.module_.named_parameters())
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


# Contract ------------------------------------------------------------------------


def test_small_is_a_preset():
    assert MDJPTEncoder.small(lr=0.5).lr == 0.5
    assert MDJPTEncoder.small().hidden_dim < MDJPTEncoder().hidden_dim


def test_every_parameter_is_in_the_table():
    assert list(PARAMETERS) == list(signature(MDJPTEncoder).parameters)
    known = {"architecture", "stored", "training", "transform", "speed"}
    assert all(known.issuperset(one.groups) for one in PARAMETERS.values())


def test_output(mixed_windows):
    X = mixed_windows
    encoder = tiny_encoder()
    Z = encoder.fit_transform(X)
    # fit holds on to no data.
    assert len(pickle.dumps(encoder.module_)) < 200_000
    assert len(pickle.dumps(encoder)) < 400_000
    assert Z.shape == (len(X), 8) and Z.dtype == np.float32
    assert encoder.n_features_out_ == 8
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(Z.std(axis=0), 1, atol=1e-4)
    names = [f"mdjpt{i}" for i in range(8)]
    assert encoder.get_feature_names_out().tolist() == names
    raw = clone(encoder).set_params(standardize=False).fit(X)
    assert raw.mean_ is None
    ours = (raw.transform(X) - encoder.mean_) / encoder.scale_
    np.testing.assert_allclose(ours, Z, atol=1e-4)


@pytest.mark.parametrize("norm", ["subject", "train", None])
def test_fit_transform_encodes_once_and_equals_fit_then_transform(
    mixed_windows, arrays, norm, monkeypatch
):
    encoded = []
    features_from = HybridEncoder.features_from

    def counted(self, z, *args, **kwargs):
        encoded.append(len(z))
        return features_from(self, z, *args, **kwargs)

    monkeypatch.setattr(HybridEncoder, "features_from", counted)
    encoder = tiny_encoder(subject_norm=norm)
    Z = encoder.fit_transform(mixed_windows)
    assert sum(encoded) == len(mixed_windows)
    np.testing.assert_array_equal(encoder.transform(mixed_windows), Z)
    encoder = tiny_encoder(subject_norm=norm, **arrays["kwargs"])
    keywords = {"subjects": arrays["subjects"], "stimuli": arrays["stimuli"]}
    Z = encoder.fit_transform(arrays["X"], **keywords)
    np.testing.assert_array_equal(encoder.transform(arrays["X"]), Z)


def test_grid_search_over_the_classifier(mixed_windows):
    X = mixed_windows
    pipe = Pipeline([("enc", tiny_encoder()), ("clf", LogisticRegression())])
    search = GridSearchCV(pipe, {"clf__C": [0.1, 1.0]}, cv=2, error_score="raise")
    search.fit(X, X.y)
    assert search.predict(X).shape == X.shape
    frozen = FrozenEstimator(search.best_estimator_["enc"])
    scores = cross_val_score(
        make_pipeline(frozen, LogisticRegression()), X, X.y, cv=2, error_score="raise"
    )
    assert np.isfinite(scores).all()


def test_metadata_is_routed_to_fit(arrays):
    keywords = {"subjects": arrays["subjects"], "stimuli": arrays["stimuli"]}
    pipe = Pipeline(
        [("enc", tiny_encoder(**arrays["kwargs"])), ("clf", LogisticRegression())]
    )
    direct = clone(pipe["enc"]).fit(arrays["X"], **keywords)
    with warnings.catch_warnings(), config_context(enable_metadata_routing=True):
        warnings.simplefilter("error")  # no fallback to labels
        pipe.fit(arrays["X"], arrays["y"], **keywords)
        cross_val_predict(
            pipe, arrays["X"], arrays["y"], params=keywords, cv=GroupKFold(2).split(
                arrays["X"], groups=arrays["subjects"]
            ),
        )  # fmt: skip
    assert_same_weights(pipe["enc"], direct)
    prefixed = clone(pipe).fit(
        arrays["X"], arrays["y"], **{f"enc__{k}": v for k, v in keywords.items()}
    )
    assert_same_weights(prefixed["enc"], direct)


def test_pipeline_predicts_more_than_one_class_without_a_scaler():
    rng = np.random.default_rng(0)
    t = np.arange(500) / 125
    y = np.tile(["slow", "fast"], 20)
    hertz = {"slow": 6.0, "fast": 20.0}
    X = np.array(
        [
            [np.sin(2 * np.pi * (hertz[label] * t + rng.random())) for _ in range(4)]
            for label in y
        ]
    ) + 0.5 * rng.standard_normal((40, 4, 500))  # fmt: skip
    windows = EEGWindows.from_arrays(
        X, ch_names=["F3", "F4", "O1", "O2"], sfreq=125, y=y,
        subject=np.repeat(range(4), 10), stimulus=np.tile(np.arange(10), 4),
    )  # fmt: skip
    encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=2, random_state=0)
    pipe = Pipeline([("enc", encoder), ("clf", LogisticRegression())])
    groups = windows.groups("subject")
    predicted = cross_val_predict(pipe, windows, y, groups=groups, cv=GroupKFold(2))
    assert set(predicted) == {"slow", "fast"}
    assert (predicted == y).mean() > 0.9


# Numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["subject", "train", None])
@pytest.mark.parametrize("variant", ["paper", "transformer", "released"])
def test_numbers_do_not_depend_on_batches_or_order(mixed_windows, norm, variant):
    X = mixed_windows
    encoder = tiny_encoder(subject_norm=norm, max_epochs=0, standardize=False)
    if variant != "released":
        encoder.set_params(variant=variant)
    else:
        encoder.set_params(variant=variant, hidden_dim=8, pairing="stimulus")
        X = EEGWindows.from_arrays(
            np.random.default_rng(0).standard_normal((12, 4, 480)), sfreq=125,
            ch_names=["Fz", "Cz", "Pz", "Oz"], subject=np.repeat([1, 2], 6),
            stimulus=np.tile(range(6), 2),
        )  # fmt: skip
    encoder.fit(X)
    encoder.set_params(batch_size=64)
    Z = encoder.transform(X)
    tolerance = 1e-5 * np.abs(Z).max()
    for batch_size in (1, 7):
        encoder.set_params(batch_size=batch_size)
        np.testing.assert_allclose(encoder.transform(X), Z, atol=tolerance)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(encoder.transform(X[order]), Z[order], atol=tolerance)
    one = encoder.transform(X[:1])
    assert np.isfinite(one).all()
    assert np.allclose(one, Z[:1], atol=tolerance) == (norm != "subject")
    # Other subjects never matter.
    mine = X.groups("subject") == X.groups("subject")[-1]
    np.testing.assert_allclose(encoder.transform(X[mine]), Z[mine], atol=tolerance)


def test_many_windows_of_one_subject(arrays):
    """Beyond 256 windows statistics come from a share that ignores order."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((600, 2, 64)).astype("f4")
    known = {"ch_names": ["C3", "C4"], "sfreq": 125.0, "subject": 1}
    encoder = tiny_encoder(max_epochs=0, standardize=False, **arrays["kwargs"])
    encoder.fit(arrays["X"], subjects=arrays["subjects"], stimuli=arrays["stimuli"])
    encoder.set_params(ch_names=["C3", "C4"])
    order = rng.permutation(600)
    # By content where nothing tells windows apart, else by session, trial and onset.
    Z = encoder.transform(x)
    np.testing.assert_allclose(encoder.transform(x[order]), Z[order], atol=1e-6)
    X = EEGWindows.from_arrays(x, trial=np.arange(600) // 100,
                               onset=np.tile(np.arange(100), 6), **known)  # fmt: skip
    Z = encoder.transform(X)
    np.testing.assert_allclose(encoder.transform(X[order]), Z[order], atol=1e-6)
    rows = statistics_rows(None, X.metadata, np.arange(600))
    assert len(rows) == 256 and set(np.diff(rows)) == {2, 3}


@pytest.mark.slow
def test_memory_is_bounded(arrays):
    """10,000 windows of one subject in a fresh process: memory stays flat."""
    import subprocess
    import sys

    code = """
import resource, numpy as np
from sklearn_mdjpt import MDJPTEncoder, Recording, EEGWindows
rng = np.random.default_rng(0)
names = ["Fz", "Cz", "Pz", "Oz"]
signal = rng.standard_normal((4, 125 * 20005), dtype=np.float32)
def cut(seconds, *subjects):
    trials = [{"start": 0, "stop": seconds, "stimulus": "clip"}]
    return EEGWindows.from_recordings([
        Recording(signal[:, :125 * seconds], names, 125.0, "D", who, "1", trials)
        for who in subjects
    ])
encoder = MDJPTEncoder(hidden_dim=16, latent_dim=4, n_heads=2, n_filters=1,
                       max_epochs=0, standardize=False)
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
encoder.fit(cut(100, "1", "2"))
encoder.transform(cut(1000, "1"))
before = peak()
X = cut(20005, "1")
Z = encoder.transform(X)
print(len(Z), peak() - before)
"""
    out = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    n_windows, growth = out.stdout.split()
    # In MiB: the output is 2 MiB, the recording itself was there before.
    assert int(n_windows) >= 10_000 and float(growth) < 500


@pytest.mark.parametrize("n_times", [32, 100, 625, 3750])
def test_window_lengths_from_one_patch_to_thirty_seconds(n_times):
    rng = np.random.default_rng(0)
    X = EEGWindows.from_arrays(
        rng.standard_normal((8, 2, n_times)), ch_names=["C3", "C4"], sfreq=125,
        subject=np.repeat([1, 2], 4), stimulus=np.tile(range(4), 2),
    )  # fmt: skip
    Z = tiny_encoder(batches_per_epoch=1).fit(X).transform(X)
    assert np.isfinite(Z).all()
    alone = tiny_encoder(subject_norm=None, max_epochs=0).fit(X)
    assert np.isfinite(alone.transform(X[:1])).all()


def test_windows_of_several_lengths_and_rates(make_windows):
    X = concat_windows(
        [
            make_windows(("A",)),
            make_windows(("B",), window_seconds=2.0),
            make_windows(("C",), window_seconds=1.5, stride_seconds=1.5),
        ]
    )
    Z = tiny_encoder(batch_size=5).fit(X).transform(X)
    assert Z.shape == (len(X), 8) and np.isfinite(Z).all()
    alone = X[X.groups("dataset") == "B"]
    encoder = tiny_encoder(standardize=False).fit(X)
    np.testing.assert_allclose(
        encoder.transform(X)[X.groups("dataset") == "B"],
        encoder.transform(alone), atol=1e-6,
    )  # fmt: skip


def test_gain_reference_offset_and_channel_order_do_not_matter(arrays):
    keywords = {"subjects": arrays["subjects"], "stimuli": arrays["stimuli"]}
    encoder = tiny_encoder(standardize=False, **arrays["kwargs"]).fit(
        arrays["X"], **keywords
    )
    Z = encoder.transform(arrays["X"])
    scaled = encoder.transform(1e6 * arrays["X"].astype(float))
    np.testing.assert_allclose(scaled, Z, atol=1e-5)
    shifted = arrays["X"] - np.float32(4e-3)
    np.testing.assert_allclose(encoder.transform(shifted), Z, atol=1e-3)
    encoder.set_params(ch_names=["oz", "PZ", "cz", "fz"])
    np.testing.assert_allclose(encoder.transform(arrays["X"][:, ::-1]), Z, atol=1e-6)


def test_same_inputs_in_other_containers(arrays):
    mne = pytest.importorskip("mne")
    X, y = arrays["X"], arrays["y"]
    info = mne.create_info(arrays["kwargs"]["ch_names"], 125.0, "eeg")
    table = pd.DataFrame({"subject": arrays["subjects"], "stimulus": arrays["stimuli"]})
    epochs = mne.EpochsArray(X, info, metadata=table, verbose="error")
    windows = EEGWindows.from_arrays(
        X, subject=arrays["subjects"], stimulus=arrays["stimuli"], **arrays["kwargs"]
    )
    of_epochs = tiny_encoder().fit(epochs)
    of_windows = tiny_encoder().fit(windows)
    assert_same_weights(of_epochs, of_windows)
    Z = of_windows.transform(windows)
    np.testing.assert_allclose(of_epochs.transform(epochs), Z, atol=1e-5)
    single = [epochs[i] for i in range(len(epochs))]
    np.testing.assert_allclose(of_epochs.transform(single), Z, atol=1e-5)
    pipe = make_pipeline(tiny_encoder(), LogisticRegression())
    scores = cross_val_score(pipe, epochs, y, cv=2, error_score="raise")
    assert np.isfinite(scores).all()


def test_braindecode_dataset(arrays):
    try:
        datasets = pytest.importorskip("braindecode.datasets")
    except RuntimeError as error:
        # torchaudio, which braindecode imports, refuses a torch of another CUDA; pip
        # knows nothing of that and installs the two.
        if "TorchAudio" not in str(error):
            raise
        pytest.skip(f"braindecode cannot be imported: {error}")
    dataset = datasets.create_from_X_y(
        arrays["X"], (arrays["y"] == "low").astype(int).tolist(),
        drop_last_window=False, sfreq=125.0, ch_names=arrays["kwargs"]["ch_names"],
        window_size_samples=125, window_stride_samples=125,
    )  # fmt: skip
    windows = EEGWindows.from_braindecode(dataset, dataset="D")
    np.testing.assert_allclose(np.asarray(windows), arrays["X"], rtol=1e-6)
    assert windows.y.tolist() == (arrays["y"] == "low").astype(int).tolist()
    encoder = tiny_encoder(pairing="label")
    with pytest.warns(UserWarning, match="No subjects are known"):
        Z = encoder.fit_transform(dataset)
    assert Z.shape == (24, 8)
    alone = tiny_encoder(subject_norm="train", pairing="label")
    with pytest.warns(UserWarning, match="No subjects are known"):
        Z = alone.fit_transform(dataset)
    one = EEGWindows.from_braindecode(dataset)[:1]
    stack = alone.set_params(**arrays["kwargs"]).transform(np.asarray(one))
    np.testing.assert_allclose(stack, Z[:1], atol=1e-4)


# Training ------------------------------------------------------------------------


def test_determinism_and_global_random_states(mixed_windows):
    def draw():
        return torch.rand(1), np.random.rand()  # noqa: NPY002

    def seed():
        torch.manual_seed(1)
        np.random.seed(1)  # noqa: NPY002

    seed()
    expected = draw()
    seed()
    a = tiny_encoder().fit(mixed_windows)
    b = tiny_encoder(random_state=np.random.RandomState(0)).fit(mixed_windows)
    tiny_encoder(random_state=None).fit(mixed_windows)
    assert draw() == expected
    assert_same_weights(a, b)
    other = tiny_encoder(random_state=1).fit(mixed_windows)
    assert not torch.equal(a.module_.spatial.weight, other.module_.spatial.weight)


def test_emotion_labels_do_not_reach_the_weights(mixed_windows):
    X = mixed_windows
    a = tiny_encoder().fit(X, X.y)
    b = tiny_encoder().fit(X, np.random.default_rng(0).permutation(X.y))
    assert_same_weights(a, b)
    c = tiny_encoder(pairing="label").fit(X, X.y)
    d = tiny_encoder(pairing="label").fit(X)
    assert_same_weights(c, d)
    assert not torch.equal(a.module_.spatial.weight, c.module_.spatial.weight)


def test_history_and_progress(mixed_windows, capsys):
    silent = tiny_encoder(max_epochs=2, batches_per_epoch=5).fit(mixed_windows)
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""
    history = silent.history_
    assert list(history.columns) == [
        "isa", "cda", "total", "seconds", "log_spatial_norm",
    ]  # fmt: skip
    assert history.index.tolist() == [1, 2]
    np.testing.assert_allclose(
        history["total"], history["isa"] + 0.02 * history["cda"], rtol=1e-5
    )
    loud = tiny_encoder(max_epochs=2, batches_per_epoch=5, verbose=1).fit(mixed_windows)
    text = capsys.readouterr().out
    assert "2 epochs of 5 batches, expected time" in text
    assert "epoch   2/2" in text
    assert_same_weights(silent, loud)


def test_a_long_training_is_announced(mixed_windows, monkeypatch):
    import sklearn_mdjpt.encoder._progress as net

    monkeypatch.setattr(net, "_LONG_SECONDS", 1e-6)
    with pytest.warns(
        UserWarning, match=r"MDJPTEncoder.small\(\) is a preset"
    ) as found:
        tiny_encoder(batches_per_epoch=6, device="cpu").fit(mixed_windows)
    assert len(found) == 1


def test_callbacks_reach_skorch(mixed_windows):
    from skorch.callbacks import Callback

    class Count(Callback):
        seen = 0

        def on_batch_end(self, net, **kwargs):
            Count.seen += 1

    tiny_encoder(callbacks=[Count()]).fit(mixed_windows)
    assert Count.seen == 2


def test_torch_threads_are_restored(mixed_windows):
    before = torch.get_num_threads()
    encoder = tiny_encoder(torch_threads=1).fit(mixed_windows[:60])
    assert torch.get_num_threads() == before
    encoder.transform(mixed_windows[:2])
    assert torch.get_num_threads() == before


def test_pairs_of_any_onset_are_other_pairs(make_windows):
    X = make_windows(n_subjects=3, n_stimuli=4)
    aligned, loose = (
        tiny_encoder().fit(X),
        tiny_encoder(pairing="stimulus-any-onset").fit(X),
    )
    assert aligned.history_["isa"].iloc[0] != loose.history_["isa"].iloc[0]
    # With one moment of each stimulus there is no other one.
    X = X[X.metadata["onset"].to_numpy() == 0]
    aligned, loose = (
        tiny_encoder().fit(X),
        tiny_encoder(pairing="stimulus-any-onset").fit(X),
    )
    np.testing.assert_array_equal(aligned.transform(X), loose.transform(X))


def test_label_pairing_says_that_it_is_supervised(arrays):
    encoder = tiny_encoder(**arrays["kwargs"])
    with pytest.warns(UserWarning, match="makes the pre-training supervised") as found:
        encoder.fit(arrays["X"], arrays["y"], subjects=arrays["subjects"])
    assert len(found) == 1
    with pytest.warns(
        UserWarning, match="nothing is aligned between subjects"
    ) as found:
        encoder.fit(arrays["X"], arrays["y"])
    assert len(found) == 1
    pipe = make_pipeline(encoder, LogisticRegression())
    with pytest.warns(UserWarning, match="No subjects are known"):
        scores = cross_val_score(
            pipe, arrays["X"], arrays["y"], cv=2, error_score="raise"
        )
    assert np.isfinite(scores).all()


def test_onsets_default_to_order(arrays):
    X = np.repeat(arrays["X"], 2, axis=0)
    X = X + 1e-6 * np.random.default_rng(0).standard_normal(X.shape)
    keywords = {
        "subjects": np.repeat(arrays["subjects"], 2),
        "stimuli": np.repeat(arrays["stimuli"], 2),
    }
    a = tiny_encoder(**arrays["kwargs"]).fit(X, **keywords)
    b = tiny_encoder(**arrays["kwargs"]).fit(
        X, onsets=np.tile([0.0, 1.0], 24), **keywords
    )
    assert_same_weights(a, b)


def test_a_dataset_without_shared_stimuli_is_left_out(mixed_windows):
    X = mixed_windows
    alone = X[(X.groups("dataset") != "B") | (X.groups("subject") == "B/01")]
    with pytest.warns(UserWarning, match="Left out of pre-training.*: B") as found:
        tiny_encoder().fit(alone)
    assert len(found) == 1


def test_pretraining_losses(mixed_windows):
    encoder = tiny_encoder(max_epochs=0).fit(mixed_windows)
    assert len(encoder.history_) == 0
    losses = encoder.pretraining_losses(mixed_windows, n_batches=3)
    assert losses == encoder.pretraining_losses(mixed_windows, n_batches=3)
    assert losses["isa"] > 0 and 0 < losses["centroid_distance"] < 2
    one = encoder.pretraining_losses(
        mixed_windows[mixed_windows.groups("dataset") == "A"], n_batches=1
    )
    assert np.isnan(one["centroid_distance"])


def test_uneven_order_without_onsets_is_announced(arrays):
    keep = np.arange(24) != 3
    stimuli = arrays["stimuli"] // 2
    with pytest.warns(UserWarning, match="1 stimuli have more windows .* Pass onsets="):
        tiny_encoder(**arrays["kwargs"]).fit(
            arrays["X"][keep], subjects=arrays["subjects"][keep], stimuli=stimuli[keep]
        )


def test_windows_without_labels_are_not_paired(mixed_windows):
    X = mixed_windows
    y = X.y.astype(object)
    y[X.groups("dataset") == "B"] = None
    with pytest.warns(UserWarning, match="Left out of pre-training.*: B"):
        encoder = tiny_encoder(pairing="label").fit(X, y)
    assert encoder.training_datasets_ == ["A", "C"]
    assert not [who for who in encoder.training_subjects_ if who.startswith("B")]
    untrained = tiny_encoder(max_epochs=0).fit(
        X[:3]
    )  # one subject: no pair is looked for
    assert untrained.training_subjects_ == [] and untrained.net_ is None


def test_what_was_fitted_counts_not_what_is_set_later(mixed_windows, tmp_path):
    encoder = tiny_encoder().fit(mixed_windows)
    Z = encoder.transform(mixed_windows)
    encoder.set_params(subject_norm="train", window_norm=None, feature="de")
    np.testing.assert_array_equal(encoder.transform(mixed_windows), Z)
    encoder.save(tmp_path / "x.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "x.safetensors")
    np.testing.assert_allclose(loaded.transform(mixed_windows), Z, atol=1e-5)
    with pytest.warns(UserWarning, match="trained with subject_norm='subject', but"):
        MDJPTEncoder(weights=tmp_path / "x.safetensors", subject_norm=None).fit(
            mixed_windows
        )


def test_numpy_integers_as_parameters_can_be_saved(mixed_windows, tmp_path):
    sizes = ("hidden_dim", "latent_dim", "depth", "n_heads", "patch_size", "n_filters")
    numbers = {name: np.int64(TINY.get(name, 32)) for name in sizes}
    encoder = tiny_encoder(standardize=np.bool_(True), **numbers).fit(mixed_windows)
    encoder.save(tmp_path / "x.safetensors")
    assert (tmp_path / "x.safetensors").stat().st_mode & 0o040  # as any new file
    assert MDJPTEncoder.load(tmp_path / "x.safetensors").n_features_out_ == 8


def test_gaps_outside_of_windows_do_no_harm(make_recordings):
    recordings = make_recordings(("B",), n_subjects=2)
    trials = [{"start": 1.0, "stop": 10.0, "stimulus": "clip"}]

    def windows(gap):
        out = []
        for r in recordings:
            signal = r.signal.astype(float)
            if gap:
                signal[:, 0] = signal[:, int(10 * r.sfreq) + 2] = np.nan
            out.append(Recording(signal, r.ch_names, r.sfreq, "B", r.subject, "1",
                                 trials))  # fmt: skip
        return EEGWindows.from_recordings(out, window_seconds=1)

    encoder = tiny_encoder().fit(windows(False))
    Z = encoder.transform(windows(False))
    with_gaps = encoder.transform(windows(True))
    np.testing.assert_allclose(with_gaps, Z, atol=0.05)


def test_large_arrays_do_not_depend_on_order_either():
    """More samples than the robust median takes, and loud windows among them."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((90, 5, 5000)).astype("f4")
    X[:5] *= rng.uniform(5, 40, (5, 1, 1))
    kwargs = {"ch_names": ["Fz", "Cz", "Pz", "Oz", "C3"], "sfreq": 1000.0}
    encoder = tiny_encoder(max_epochs=0, standardize=False, pairing="label", **kwargs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        encoder.fit(X[:8], np.arange(8) % 2)
    order = rng.permutation(len(X))
    Z = encoder.transform(X)
    np.testing.assert_allclose(encoder.transform(X[order]), Z[order], rtol=1e-4)


# Files ---------------------------------------------------------------------------


@pytest.mark.parametrize("norm", ["subject", "train", None])
@pytest.mark.parametrize("standardize", [True, False])
def test_save_and_load(mixed_windows, tmp_path, norm, standardize):
    X = mixed_windows
    path = tmp_path / "encoder.safetensors"
    encoder = tiny_encoder(
        subject_norm=norm,
        standardize=standardize,
        feature="de",
        unknown_channels="position",
    )
    Z = encoder.fit_transform(X)
    encoder.save(path)
    assert [p.name for p in tmp_path.iterdir()] == ["encoder.safetensors"]
    loaded = MDJPTEncoder.load(path, batch_size=3)
    assert (loaded.feature, loaded.subject_norm) == ("de", norm)
    assert loaded.unknown_channels == "position"
    np.testing.assert_allclose(loaded.transform(X), Z, atol=1e-5)
    pd.testing.assert_frame_equal(loaded.history_, encoder.history_)
    assert loaded.training_subjects_ == encoder.training_subjects_
    # A clone keeps the weights; fit relearns only what belongs to the data.
    again = clone(loaded).fit(X)
    assert_same_weights(again, loaded)
    np.testing.assert_allclose(again.transform(X), Z, atol=1e-5)
    assert again.net_ is None


def test_a_loaded_encoder_keeps_its_weights_in_cross_validation(
    mixed_windows, tmp_path
):
    from sklearn.model_selection import cross_validate

    X = mixed_windows
    path = tmp_path / "encoder.safetensors"
    tiny_encoder().fit(X).save(path)
    loaded = MDJPTEncoder.load(path)
    pipe = make_pipeline(loaded, LogisticRegression())
    # One subject, no stimuli: nothing is looked for that training would need.
    few = X[X.groups("subject") == "C/01"]
    result = cross_validate(pipe, few, few.y, cv=2, return_estimator=True)
    assert np.isfinite(result["test_score"]).all()
    for fitted in result["estimator"]:
        assert_same_weights(fitted[0], loaded)


def test_finetune(mixed_windows, tmp_path):
    path = tmp_path / "encoder.safetensors"
    first = tiny_encoder().fit(mixed_windows[:72])
    first.save(path)
    tuned = MDJPTEncoder(
        weights=path, finetune=True, max_epochs=1, batches_per_epoch=1, random_state=0
    ).fit(mixed_windows)
    assert tuned.n_features_out_ == first.n_features_out_
    assert not torch.equal(tuned.module_.spatial.weight, first.module_.spatial.weight)
    assert set(tuned.training_datasets_) == {"A", "B", "C"}


def test_released_checkpoint(tmp_path):
    """A checkpoint with the released names: strict, and nothing in it is run."""
    fixture = np.load(__file__.replace("test_encoder.py", "data/reference_parity.npz"))
    prefix = "state_dict."
    state = {
        name.removeprefix(prefix): torch.from_numpy(fixture[name])
        for name in fixture.files
        if name.startswith(prefix)
    }
    path = tmp_path / "epoch=19.ckpt"
    torch.save({"state_dict": state, "epoch": 19}, path)
    X = EEGWindows.from_arrays(
        fixture["data_3.x"], ch_names=fixture["data_3.ch_names"].tolist(), sfreq=125,
        subject=[0, 0, 0, 1, 1, 1],
    )  # fmt: skip
    kwargs = {"weights": path, "window_norm": None, "standardize": False}
    for feature, name in (("mean", "features_me"), ("de", "features_de")):
        encoder = MDJPTEncoder(feature=feature, **kwargs).fit(X)
        expected = fixture[f"data_3.{name}"]
        error = np.abs(encoder.transform(X) - expected).max() / np.abs(expected).max()
        assert error < 1e-4
    linear = MDJPTEncoder(released_activation=None, **kwargs).fit(X)
    assert not np.allclose(linear.transform(X), encoder.transform(X))
    with pytest.raises(ValueError, match="variant='paper', but .* 'released'"):
        MDJPTEncoder(variant="paper", **kwargs).fit(X)
    # Ours again, from theirs.
    linear.save(tmp_path / "ours.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "ours.safetensors")
    np.testing.assert_allclose(loaded.transform(X), linear.transform(X), rtol=1e-5)

    state["surprise"] = torch.zeros(3)
    del state["uni_mlp.fc.bias"]
    torch.save({"state_dict": state}, path)
    with pytest.raises(ValueError, match="uni_mlp.fc.bias[^$]*surprise"):
        MDJPTEncoder(**kwargs).fit(X)


# Errors --------------------------------------------------------------------------


def _bad_array(arrays, change):
    X = arrays["X"].copy()
    change(X)
    return X


@pytest.mark.parametrize(
    "change, message",
    [
        ({"ch_names": ["Fz", "Cz", "Pz", "fz"]}, "Duplicate channel names"),
        ({"ch_names": ["X1", "X2", "X3", "X4"]}, "No usable channel among X1"),
        ({"ch_names": None}, "4 channels and ch_names is not set"),
        ({"ch_names": ["Fz"]}, "1 names, but the signal has 4"),
        ({"sfreq": None}, "Unknown sampling rate"),
        ({"sfreq": -1}, "sfreq must be a finite number > 0"),
        ({"sfreq": 1000}, "fewer than 32 samples at 125 Hz .0.256 s."),
        ({"unknown_channels": "error", "ch_names": ["Fz", "Cz", "Pz", "EOG"]},
         "outside the 60 canonical ones: EOG"),
        ({"missing_channels": "error"}, "lacks 56 canonical channels"),
        ({"pairing": "clip"}, "pairing must be one of"),
        ({"window_norm": "z"}, "window_norm must be one of"),
        ({"subject_norm": "z"}, "subject_norm must be one of"),
        ({"feature": "max"}, "feature must be one of"),
        ({"variant": "big"}, "variant must be one of"),
        ({"cda_scale": "det"}, "cda_scale must be one of"),
        ({"n_heads": 3}, "hidden_dim must be a multiple of n_heads"),
        ({"max_epochs": -1}, "max_epochs must be an int >= 0"),
        ({"batch_size": 0}, "batch_size must be an int >= 1"),
        ({"torch_threads": 0}, "torch_threads must be an int >= 1"),
        ({"device": "gpu"}, "device must be 'auto' or a torch device"),
        ({"standardize": "no"}, "standardize must be one of"),
        ({"lr": 0.0}, "lr must be a finite number > 0"),
        ({"temperature": -1}, "temperature must be a finite number > 0"),
        ({"finetune": True}, "finetune=True needs weights"),
        ({"X": np.zeros((3, 4))}, r"shape \(n_windows, n_channels, n_times\)"),
        ({"X": np.zeros((0, 4, 125))}, "no windows"),
        ({"nan": True}, "hold NaN or inf: windows 3, 5"),
        ({"constant": True}, "constant in every channel: windows 7"),
        ({"stimuli": np.arange(24)}, "no two subjects share a stimulus at two"),
        ({"subjects": None}, "need to know whose window is whose"),
        ({"subjects": np.zeros(24)}, "there is only one subject in"),
        ({"subjects": np.zeros(3)}, "subjects has 3 entries"),
        ({"stimuli": None, "y": None}, "pass subjects= and stimuli= to fit"),
        ({"stimuli": None, "y": np.arange(24.0) + 0.5}, "y is continuous"),
        ({"stimuli": None, "y": np.zeros(3)}, "y has 3 labels for 24 windows"),
        ({"stimuli": None, "y": np.zeros(24)}, "two labels in common"),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_errors_leave_the_estimator_as_it_was(arrays, change, message):
    encoder = tiny_encoder(**arrays["kwargs"])
    known = {name: arrays[name] for name in ("subjects", "stimuli")}
    encoder.fit(arrays["X"], **known)
    before = {k: v for k, v in vars(encoder).items() if k.endswith("_")}
    weights, Z = state_of(encoder), encoder.transform(arrays["X"])

    change = dict(change)
    X = change.pop("X", arrays["X"]).copy()
    if change.pop("nan", False):
        X[3, 1, 7], X[5, 0, 0] = np.nan, np.inf
    if change.pop("constant", False):
        X[7] = 1.0
    fit_arguments = {"y": arrays["y"]} | known
    fit_arguments |= {k: change.pop(k) for k in list(change) if k in fit_arguments}
    originals = encoder.get_params()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            encoder.set_params(**change).fit(X, **fit_arguments)
    after = {k: v for k, v in vars(encoder).items() if k.endswith("_")}
    assert after.keys() == before.keys()
    assert all(after[k] is before[k] for k in before)
    for name, value in encoder.module_.state_dict().items():
        assert torch.equal(value, weights[name])
    encoder.set_params(**originals)
    np.testing.assert_array_equal(encoder.transform(arrays["X"]), Z)
    fresh = tiny_encoder(**arrays["kwargs"] | change)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(ValueError, match=message):
            fresh.fit(X, **fit_arguments)
    assert not [name for name in vars(fresh) if name.endswith("_")]


def test_what_is_no_window_is_said_to_be_none(make_recordings, make_windows):
    mne = pytest.importorskip("mne")
    raw = mne.io.RawArray(
        np.zeros((1, 100)), mne.create_info(["Cz"], 100.0, "eeg"), verbose="error"
    )
    for X in (raw, make_recordings()[0]):
        with pytest.raises(ValueError, match="is not cut into windows"):
            tiny_encoder().fit(X)
    with pytest.raises(ValueError, match="join them with concat_windows"):
        tiny_encoder().fit([make_windows(), make_windows()])


def test_sets_without_a_dataset_name_are_explained(make_recordings):
    sets = []
    for recording in make_recordings(("A",), n_subjects=2):
        recording.dataset = None
        sets.append(EEGWindows.from_recordings([recording], window_seconds=1))
    with pytest.raises(ValueError, match="give them one name to pair their subjects"):
        tiny_encoder().fit(concat_windows(sets))


def test_labels_without_stimuli_are_pointed_to(mixed_windows):
    X = EEGWindows.from_arrays(
        np.asarray(mixed_windows[:12]), ch_names=mixed_windows[:1].ch_names,
        sfreq=200.0, subject=np.repeat([1, 2], 6), y=np.tile(["a", "b"], 6),
    )  # fmt: skip
    with pytest.raises(ValueError, match="X carries labels: set pairing='label'"):
        tiny_encoder().fit(X)


def test_an_error_in_training_leaves_the_estimator_as_it_was(mixed_windows):
    encoder = tiny_encoder().fit(mixed_windows)
    module = encoder.module_
    with pytest.raises(FloatingPointError, match="loss became .* try a lower lr"):
        encoder.set_params(lr=1e25, batches_per_epoch=8).fit(mixed_windows)
    assert encoder.module_ is module


def test_released_names_windows_too_short_for_its_projector(mixed_windows):
    with pytest.raises(ValueError, match="projector of variant='released'"):
        tiny_encoder(variant="released").fit(mixed_windows)


def test_a_flat_channel_is_a_warning(arrays):
    X = arrays["X"].copy()
    X[:, 2] = 0.0
    known = {name: arrays[name] for name in ("subjects", "stimuli")}
    with pytest.warns(UserWarning, match="Flat channels: Pz"):
        Z = tiny_encoder(**arrays["kwargs"]).fit_transform(X, **known)
    assert np.isfinite(Z).all()


def test_sixty_channels_without_names_are_the_canonical_ones():
    X = np.random.default_rng(0).standard_normal((8, 60, 125))
    keywords = {"subjects": np.repeat([0, 1], 4), "stimuli": np.tile(range(4), 2)}
    a = tiny_encoder(sfreq=125).fit_transform(X, **keywords)
    b = tiny_encoder(sfreq=125, ch_names=CANONICAL_CHANNELS).fit_transform(
        X, **keywords
    )
    np.testing.assert_array_equal(a, b)


def test_train_norm_lets_windows_stand_alone(arrays):
    known = {name: arrays[name] for name in ("subjects", "stimuli")}
    encoder = tiny_encoder(subject_norm="train", **arrays["kwargs"]).fit(
        arrays["X"], **known
    )
    Z = encoder.transform(arrays["X"])
    for i in (0, 5):
        one = encoder.transform(arrays["X"][i : i + 1])
        np.testing.assert_allclose(one, Z[i : i + 1], atol=1e-4)


@pytest.mark.parametrize("real", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_compile_without_a_compiler(monkeypatch, real):
    def fail(*args, **kwargs):
        raise RuntimeError("No compiler")

    def compile_to_fail(self, **kwargs):
        self._compiled_call_impl = fail

    X = make_emotion_windows(n_datasets=1, n_subjects=2, random_state=0)[:12]
    expected = tiny_encoder(max_epochs=0).fit_transform(X)
    if real:
        from torch._inductor import config

        monkeypatch.setattr(config.cpp, "cxx", (None, "no-such-compiler"))
    else:
        # As torch does, which takes long to say so: the first call fails.
        monkeypatch.setattr(torch.nn.Module, "compile", compile_to_fail)
    encoder = tiny_encoder(max_epochs=0, compile=True)
    with pytest.warns(UserWarning, match="compile does not work here.*ompiler"):
        found = encoder.fit_transform(X)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_compiled_encoder_gives_the_same_features(tmp_path):
    X = make_emotion_windows(n_datasets=1, n_subjects=2, random_state=0)
    options = {"max_epochs": 1, "batches_per_epoch": 2, "random_state": 0}
    plain = MDJPTEncoder.small(**options).fit(X)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "compile=True")
        compiled = MDJPTEncoder.small(compile=True, **options).fit(X)
    np.testing.assert_allclose(
        compiled.transform(X), plain.transform(X), rtol=1e-3, atol=1e-3
    )
    copy = pickle.loads(pickle.dumps(compiled))
    np.testing.assert_allclose(
        copy.transform(X[:5]), compiled.transform(X[:5]), rtol=1e-4, atol=1e-4
    )
