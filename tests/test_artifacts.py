"""Simulated data as bad as real ones: what is put in, and whole pipelines on it."""

import re

import numpy as np
import pandas as pd
import pytest
from settings import tiny_encoder
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    Recording,
    SubjectScaler,
    WindowAlignment,
    WindowCovariances,
    WindowFeatures,
)
from sklearn_mdjpt.__main__ import main
from sklearn_mdjpt.baselines import differential_entropy, make_baselines
from sklearn_mdjpt.channels import canonical_name
from sklearn_mdjpt.datasets import _artifacts, make_emotion_windows
from sklearn_mdjpt.evaluation import leave_one_dataset_out, leave_subjects_out
from sklearn_mdjpt.preprocessing import clean_dataset

KINDS = _artifacts.KINDS


def make(artifacts=None, **parameters):
    """Two small datasets of other caps and rates; parameters override."""
    settings = {
        "n_datasets": 2, "n_subjects": 3, "n_stimuli": 4, "trial_seconds": 9.0,
        "window_seconds": 2.0, "stride_seconds": 1.0, "n_emotions": 2,
        "montages": ["faced30", "deap32"], "sfreqs": [128.0, 250.0], "random_state": 0,
    }  # fmt: skip
    return make_emotion_windows(**settings | parameters, artifacts=artifacts)


@pytest.fixture(scope="module")
def clean():
    return make()


@pytest.fixture(scope="module")
def heavy():
    return make("heavy")


def only(kind, rate=None):
    """One kind, at its heavy rate."""
    return {kind: _artifacts.RATES["heavy"][kind] if rate is None else rate}


def dead_channels(X):
    """Return the numbers of each recording's dead channels, as the metadata say."""
    named = [X.metadata["dead_channels"][rows[0]] for _, rows, _, _ in X.blocks()]
    return [
        [r.ch_names.index(name) for name in names.split(", ") if name]
        for r, names in zip(X.recordings, named, strict=True)
    ]


def in_bad_span(recording):
    """Say of each sample whether it lies in a bad span."""
    times = np.arange(recording.n_times) / recording.sfreq
    bad = np.zeros(len(times), bool)
    for start, stop in recording.bad_spans:
        bad |= (times > start - 1e-6) & (times < stop - 1e-6)
    return bad


# What is the same ------------------------------------------------------------------


def test_nothing_changes_without_faults(clean):
    X = make({})
    new = ["valence", "dead_channels", "unit", "lost_seconds"]
    assert [name for name in X.metadata if name not in clean.metadata] == new
    pd.testing.assert_frame_equal(X.metadata[clean.metadata.columns], clean.metadata)
    for a, b in zip(X.recordings, clean.recordings, strict=True):
        np.testing.assert_array_equal(a.signal, b.signal)
        assert a.signal.flags.c_contiguous and a.ch_names == b.ch_names
        assert (a.cuts, a.bad_spans) == ((), ())
        pd.testing.assert_frame_equal(a.trials[b.trials.columns], b.trials)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "joints"])
def test_what_no_fault_touches_is_the_same_sample_by_sample(clean, kind):
    X = make(only(kind))
    pairs = zip(X.recordings, clean.recordings, dead_channels(X), strict=True)
    for a, b, dead in pairs:
        same = np.setdiff1d(np.arange(len(a.ch_names)), dead)
        times = ~in_bad_span(a)
        factor = np.float32(1e6 if kind == "mixed_units" and a.signal.std() > 1 else 1)
        np.testing.assert_array_equal(
            a.signal[np.ix_(same, times)], factor * b.signal[np.ix_(same, times)]
        )
        assert [canonical_name(n) for n in a.ch_names] == [
            canonical_name(n) for n in b.ch_names
        ]
        pd.testing.assert_frame_equal(a.trials[b.trials.columns], b.trials)


def test_between_joints_a_signal_is_the_same_but_for_its_level(clean):
    X = make(only("joints", 6.0))
    assert sum(len(r.cuts) for r in X.recordings) > 12
    for a, b in zip(X.recordings, clean.recordings, strict=True):
        borders = [0, *np.round(np.array(a.cuts) * a.sfreq).astype(int), a.n_times]
        place = 0  # in the signal without faults
        for start, stop in zip(borders[:-1], borders[1:], strict=True):
            piece = a.signal[:, start:stop]
            # What was cut out before are whole seconds.
            places = place + np.arange(40) * int(a.sfreq)
            places = places[places + stop - start <= b.n_times]
            error = [
                np.ptp(piece - b.signal[:, p : p + stop - start], axis=1).max()
                for p in places
            ]
            assert min(error) < 1e-10
            place = places[np.argmin(error)] + stop - start


def same_moments(X, clean):
    """Return windows of X, and those of the same moments of the clips in the other."""
    keys = ["dataset", "subject", "trial", "moment"]
    table = X.metadata.assign(moment=X.metadata["onset"] + X.metadata["lost_seconds"])
    other = clean.metadata.assign(moment=clean.metadata["onset"])
    pairs = table.reset_index().merge(other.reset_index(), on=keys)
    return pairs["index_x"].to_numpy(), pairs["index_y"].to_numpy()


def test_stimuli_are_at_the_onset_plus_what_was_lost(clean):
    X = make(only("joints", 6.0))
    assert set(X.metadata["lost_seconds"]) > {0.0, 1.0, 2.0}
    rows, same = same_moments(X, clean)
    # The others begin between two windows of the trial as it was.
    assert len(rows) > 0.7 * len(X)
    for i, j in zip(rows, same, strict=True):
        assert np.ptp(X[i] - clean[j], axis=1).max() < 1e-10


def test_kinds_do_not_depend_on_each_other(heavy):
    rates = _artifacts.RATES["heavy"] | {"joints": 0.0}
    several, spans = make(rates, n_subjects=2), make(only("bad_spans"), n_subjects=2)
    assert sum(len(r.bad_spans) for r in spans.recordings) > 4
    for a, b in zip(several.recordings, spans.recordings, strict=True):
        assert a.bad_spans == b.bad_spans
    labels = ("missing_ratings", "mixed_units", "old_channel_names")
    alone = make({kind: _artifacts.RATES["heavy"][kind] for kind in labels})
    for a, b in zip(heavy.recordings, alone.recordings, strict=True):
        assert a.ch_names == b.ch_names
        columns = ["valence", "unit"]
        pd.testing.assert_frame_equal(a.trials[columns], b.trials[columns])


def test_light_faults_are_among_the_heavy_ones():
    light, heavy = (make(only("dead_channels", rate)) for rate in (0.05, 0.3))
    for few, many in zip(dead_channels(light), dead_channels(heavy), strict=True):
        assert set(few) < set(many)


def test_same_seed_same_faults(heavy):
    again, other = make("heavy"), make("heavy", random_state=1)
    assert again.metadata.equals(heavy.metadata)
    for a, b, c in zip(
        heavy.recordings, again.recordings, other.recordings, strict=True
    ):
        np.testing.assert_array_equal(a.signal, b.signal)
        assert (a.cuts, a.bad_spans) == (b.cuts, b.bad_spans)
        assert a.bad_spans != c.bad_spans


def test_faults_of_a_subject_do_not_depend_on_the_others(heavy):
    fewer = make("heavy", n_subjects=[1, 2])
    for a, k in zip(fewer.recordings, (0, 3, 4), strict=True):
        b = heavy.recordings[k]
        np.testing.assert_array_equal(a.signal, b.signal)
        assert (a.cuts, a.bad_spans, a.ch_names) == (b.cuts, b.bad_spans, b.ch_names)
        pd.testing.assert_frame_equal(a.trials, b.trials)
    pd.testing.assert_frame_equal(
        fewer[fewer.groups("dataset") == "SimA"].metadata,
        heavy[heavy.groups("subject") == "SimA/01"].metadata,
    )


# What is there ---------------------------------------------------------------------


def test_heavy_has_every_kind_and_says_so(clean, heavy):
    table = heavy.metadata
    assert any(r.cuts for r in heavy.recordings)
    assert any(r.bad_spans for r in heavy.recordings)
    assert {"V", "uV"} == set(table["unit"])
    assert table["valence"].isna().any() and table["valence"].notna().any()
    assert (table["lost_seconds"] > 0).any()
    assert any("T3" in r.ch_names for r in heavy.recordings)
    assert any("T7" in r.ch_names for r in heavy.recordings)
    assert (table["dead_channels"] != "").any()
    assert len(heavy) < len(clean)
    assert table["label"].notna().all()


def test_windows_lie_between_cuts_and_outside_of_bad_spans():
    X = make({"joints": 4.0, "bad_spans": 6.0})
    for recording, _, starts, n_times in X.blocks():
        bad = in_bad_span(recording)
        cuts = np.round(np.array(recording.cuts) * recording.sfreq)
        for start, n in zip(starts, n_times, strict=True):
            assert not bad[start : start + n].any()
            assert not ((cuts > start) & (cuts < start + n)).any()


def test_bad_spans_are_far_from_EEG():
    X = make(only("bad_spans", 10.0))
    n_lost = n_saturated = 0
    for recording in X.recordings:
        bad = in_bad_span(recording)
        magnitude = np.abs(recording.signal)
        assert magnitude[:, ~bad].max() < 5e-4
        assert np.nanmax(magnitude[:, bad]) > 1e-3
        n_lost += np.isnan(magnitude).all(axis=0).sum()
        n_saturated += (magnitude == np.float32(5e-3)).all(axis=0).sum()
    assert n_lost > 128 and n_saturated > 128


def test_dead_channels_are_flat_or_noise():
    X = make(only("dead_channels", 0.3) | {"joints": 2.0})
    n_flat = n_noise = 0
    for recording, dead in zip(X.recordings, dead_channels(X), strict=True):
        assert 8 <= len(dead) <= 10
        for channel in dead:
            x = recording.signal[channel].astype(float)
            if (x == x[0]).all():
                n_flat += 1
            else:
                n_noise += 1
                assert x.std() == pytest.approx(20e-6, rel=0.1)
                assert abs(np.corrcoef(x[1:], x[:-1])[0, 1]) < 0.1
    assert n_flat > 10 and n_noise > 10


def test_one_channel_stays_alive(clean):
    X = make(only("dead_channels", 1.0))
    pairs = zip(X.recordings, clean.recordings, dead_channels(X), strict=True)
    for a, b, dead in pairs:
        alive = np.setdiff1d(np.arange(len(a.ch_names)), dead)
        assert len(alive) == 1
        np.testing.assert_array_equal(a.signal[alive], b.signal[alive])


def test_ratings_go_with_the_emotion_and_are_missing_whatever_it_is():
    X = make(only("missing_ratings", 0.3), n_subjects=20, n_stimuli=10, n_emotions=2,
             sfreqs=[100.0, 100.0], montages=[["Fz", "Cz"]] * 2, trial_seconds=2.0,
             n_sources=4, break_seconds=0.5)  # fmt: skip
    trials = X.metadata.drop_duplicates(["dataset", "subject", "trial"])
    ratings, label = trials["valence"].astype(float), trials["label"]
    mean = ratings.groupby(label).mean()
    assert mean["positive"] > 7 and mean["negative"] < 3
    assert ratings.isna().groupby(label).mean().between(0.22, 0.38).all()
    assert ratings.dropna().between(1, 9).all()


@pytest.mark.filterwarnings("ignore:.*are shorter than a window")
def test_rates_are_those_of_the_table():
    X = make(
        "heavy", n_subjects=20, n_stimuli=7, trial_seconds=4.0, break_seconds=1.0,
        sfreqs=[100.0, 100.0], n_sources=4,
        montages=[["Fz", "T7", "P8", "Cz", "Oz"]] * 2,
    )  # fmt: skip
    rates, n = _artifacts.RATES["heavy"], len(X.recordings)
    minutes = n * (7 * 5 + 1) / 60
    trials = pd.concat([recording.trials for recording in X.recordings])
    counts = {
        "joints": sum(len(r.cuts) for r in X.recordings) / minutes,
        "bad_spans": sum(len(r.bad_spans) for r in X.recordings) / minutes,
    }
    for kind, found in counts.items():
        assert found == pytest.approx(rates[kind], rel=0.2)
    shares = {
        "dead_channels": sum(map(len, dead_channels(X))) / (5 * n),
        "missing_ratings": trials["valence"].isna().mean(),
        "old_channel_names": np.mean([r.ch_names[1] == "T3" for r in X.recordings]),
        "mixed_units": (trials["unit"] == "uV").mean(),
    }
    for kind, found in shares.items():
        assert found == pytest.approx(rates[kind], abs=0.12)
    whole, holes = make({}), make(only("dropped_windows"))
    assert len(holes) / len(whole) == pytest.approx(0.8, abs=0.05)


def test_the_documented_table_holds_the_rates():
    rows = re.findall(r"``(\w+)`` +([\d.]+) +([\d.]+) +", make_emotion_windows.__doc__)
    assert [kind for kind, _, _ in rows] == list(KINDS)
    for kind, light, heavy in rows:
        assert float(light) == _artifacts.RATES["light"][kind]
        assert float(heavy) == _artifacts.RATES["heavy"][kind]


@pytest.mark.parametrize(
    "artifacts, message",
    [
        ("extreme", "'heavy' or a dict .* joints, .*got 'extreme'"),
        (True, "None, 'light', 'heavy' or a dict"),
        (["joints"], "None, 'light', 'heavy' or a dict"),
        ({"bad_span": 1.0}, "bad_spans, .*got {'bad_span': 1.0}"),
        ({3: 1.0}, "got {3: 1.0}"),
        ({"joints": -0.1}, r"\['joints'\] .* >= 0 and <= 10, got -0.1"),
        ({"joints": 11}, "<= 10, got 11"),
        ({"bad_spans": np.inf}, "<= 10, got inf"),
        ({"dead_channels": 1.5}, r"\['dead_channels'\] .* >= 0 and <= 1, got 1\.5"),
        ({"mixed_units": np.nan}, "<= 1, got nan"),
        ({"mixed_units": True}, "<= 1, got True"),
        ({"joints": "heavy"}, "got 'heavy'"),
        ({"dropped_windows": 1.0}, "leaves none of 192 windows"),
    ],
)
def test_bad_arguments(artifacts, message):
    with pytest.raises(ValueError, match=message):
        make(artifacts)


# Whole pipelines -------------------------------------------------------------------


faulty = pytest.mark.filterwarnings(
    "ignore:(Flat channels|Next to no signal|Different units)"
)
few = pytest.mark.filterwarnings("ignore:(Left out of pre-training|Artefacts)")


def smoothed_entropy():
    return WindowFeatures(
        DifferentialEntropy(channels="canonical"), [SubjectScaler(), LDSSmoother()]
    )


@pytest.fixture(scope="module")
def encoder(clean):
    # Of this size, chunks of other lengths give the same bits.
    return tiny_encoder(hidden_dim=8, subject_norm="train").fit(clean)


def assert_same_windows(found, expected):
    pd.testing.assert_frame_equal(found.metadata, expected.metadata)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


@faulty
@few
@pytest.mark.parametrize(
    "features",
    [
        tiny_encoder(),
        smoothed_entropy(),
        make_pipeline(WindowAlignment(channels="canonical"), smoothed_entropy()),
    ],
    ids=["encoder", "entropy", "alignment"],
)
def test_pipelines_run(heavy, features):
    # Logistic regression takes finite features only.
    scores = cross_val_score(
        make_pipeline(features, StandardScaler(), LogisticRegression(max_iter=2000)),
        heavy,
        heavy.y,
        groups=heavy.groups("subject"),
        cv=GroupKFold(2),
        error_score="raise",
    )
    assert np.isfinite(scores).all()


@faulty
def test_protocols_run(heavy):
    model = make_pipeline(tiny_encoder(), LogisticRegression())
    table = leave_one_dataset_out({"mdjpt": model}, heavy, n_splits=1)
    assert set(table["dataset"]) == {"SimA", "SimB"}
    assert set(table["protocol"]) == {"few_shot", "zero_shot"}
    accuracy = table[(table["metric"] == "accuracy") & (table["method"] == "mdjpt")]
    assert accuracy["value"].between(0, 1).all()
    one = heavy[heavy.groups("dataset") == "SimB"]
    table = leave_subjects_out(make_baselines(smoothing="lds"), one, cv=2)
    accuracy = table[(table["metric"] == "accuracy") & (table["unit"] == "window")]
    assert accuracy["value"].between(0, 1).all()
    assert accuracy.groupby("method")["n"].sum().eq(len(one)).all()


def other_content(X):
    """Return the same windows of recordings with other samples in their bad spans."""
    rng = np.random.default_rng(0)
    recordings = []
    for r in X.recordings:
        signal, bad = r.signal.copy(), in_bad_span(r)
        signal[:, bad] = rng.choice([1e-3, 1.0, np.nan], bad.sum())
        recordings.append(
            Recording(signal, r.ch_names, r.sfreq, r.dataset, r.subject, r.session,
                      r.trials, bad_spans=r.bad_spans, cuts=r.cuts)
        )  # fmt: skip
    return EEGWindows.from_recordings(recordings, window_seconds=2, stride_seconds=1)


def test_the_content_of_bad_spans_does_not_matter(encoder):
    X = make({"bad_spans": 4.0, "joints": 2.0})
    other = other_content(X)
    assert len(other) == len(X)
    for estimator in (
        encoder,
        DifferentialEntropy(channels="canonical").fit(X),
        WindowCovariances(channels="canonical").fit(X),
    ):
        np.testing.assert_array_equal(
            estimator.transform(other), estimator.transform(X)
        )
    alignment = WindowAlignment(channels="canonical")
    a, b = (alignment.fit_transform(windows) for windows in (X, other))
    for one, two in zip(a, b, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(
    "artifacts, tolerance",
    [({"bad_spans": 3.0}, 0.02), ({"joints": 3.0}, 0.05)],
    ids=["bad spans", "joints"],
)
def test_features_around_gaps_are_those_without(clean, artifacts, tolerance):
    X = make(artifacts)
    rows, same = same_moments(X, clean)
    entropy = DifferentialEntropy(channels="canonical").fit(clean)
    error = entropy.transform(X[rows]) - entropy.transform(clean[same])
    assert np.abs(error).mean() < tolerance


@faulty
def test_names_and_units_do_not_matter(clean, encoder):
    X = make({"old_channel_names": 0.5, "mixed_units": 0.5})
    assert len({r.ch_names for r in X.recordings}) > 2
    expected = encoder.transform(clean)
    np.testing.assert_allclose(encoder.transform(X), expected, atol=1e-4)
    entropy = smoothed_entropy()
    np.testing.assert_allclose(
        entropy.fit_transform(X), entropy.fit_transform(clean), atol=1e-4
    )


@faulty
def test_other_channels_than_dead_ones_have_their_features(clean):
    X = make(only("dead_channels"))
    for _, rows, _, _ in X.blocks():
        one, other = X[rows], clean[rows]
        columns = [name.split("_")[0] for name in DifferentialEntropy().fit(one)
                   .get_feature_names_out()]  # fmt: skip
        alive = ~np.isin(columns, one.metadata["dead_channels"][0].split(", "))
        a, b = (DifferentialEntropy().fit_transform(x) for x in (one, other))
        np.testing.assert_array_equal(a[:, alive], b[:, alive])
        assert (a[:, ~alive] != b[:, ~alive]).all()


def test_windows_beside_holes_have_their_features(clean, encoder):
    X = make(only("dropped_windows"))
    rows, same = same_moments(X, clean)
    assert len(rows) == len(X) < len(clean)
    np.testing.assert_array_equal(encoder.transform(X), encoder.transform(clean)[same])


@faulty
def test_stores_keep_everything(heavy, encoder, tmp_path):
    heavy.save(tmp_path / "store")
    opened = EEGWindows.open(tmp_path / "store", verify=True)
    assert_same_windows(opened, heavy)
    for a, b in zip(opened.recordings, heavy.recordings, strict=True):
        assert (a.cuts, a.bad_spans, a.ch_names) == (b.cuts, b.bad_spans, b.ch_names)
        pd.testing.assert_frame_equal(a.trials, b.trials)
    np.testing.assert_array_equal(encoder.transform(opened), encoder.transform(heavy))
    encoder.save(tmp_path / "encoder.safetensors")
    arguments = ["extract", tmp_path / "store", tmp_path / "features.npz",
                 "--weights", tmp_path / "encoder.safetensors"]  # fmt: skip
    assert main([str(argument) for argument in arguments]) == 0
    with np.load(tmp_path / "features.npz", allow_pickle=True) as file:
        assert len(file["features"]) == len(heavy)
        assert np.isfinite(file["features"]).all()


def test_MNE_keeps_cuts_and_bad_spans():
    X = make({"joints": 3.0, "bad_spans": 3.0, "old_channel_names": 0.5})
    recordings = [
        Recording.from_raw(
            r.to_raw(), dataset=r.dataset, subject=r.subject, session="1"
        )
        for r in X.recordings
    ]
    back = EEGWindows.from_recordings(recordings, window_seconds=2, stride_seconds=1)
    assert list(back.y) == list(X.y)
    np.testing.assert_allclose(back.metadata["onset"], X.metadata["onset"])
    for a, b in zip(back, X, strict=True):
        np.testing.assert_array_equal(a, b)


@faulty
def test_braindecode_keeps_the_windows(heavy):
    back = EEGWindows.from_braindecode(heavy.to_braindecode())
    assert_same_windows(back, heavy)


@pytest.mark.filterwarnings("ignore:.*shorter than the filter")
def test_cleaning_takes_faults_as_they_are(tmp_path):
    settings = {"n_datasets": 1, "montages": ["faced30"], "sfreqs": [128.0]}
    X = make({"joints": 2.0, "bad_spans": 4.0}, **settings)
    one, two = (
        clean_dataset(windows, tmp_path / name, ica=None)
        for windows, name in ((X, "one"), (other_content(X), "two"))
    )
    pd.testing.assert_frame_equal(one.metadata, X.metadata)
    for a, b in zip(one.recordings, X.recordings, strict=True):
        assert a.bad_spans == b.bad_spans
        np.testing.assert_allclose(a.cuts, b.cuts, atol=1 / 125)
    for a, b in zip(one, two, strict=True):
        assert np.isfinite(a).all()
        np.testing.assert_array_equal(a, b)


@faulty
def test_missing_ratings_make_no_labels(heavy):
    ratings = heavy.metadata["valence"].astype(float)
    y = np.where(ratings.isna(), None, np.where(ratings > 5, "high", "low"))
    model = {"entropy": differential_entropy("subject", channels="canonical")}
    with pytest.raises(ValueError, match=f"{ratings.isna().sum()} .*no label"):
        leave_subjects_out(model, heavy, y, cv=2)
    known = pd.notna(y)
    table = leave_subjects_out(model, heavy[known], y[known], cv=2)
    windows = table[(table["metric"] == "accuracy") & (table["unit"] == "window")]
    assert windows.groupby("method")["n"].sum().eq(known.sum()).all()
