"""The openly licensed datasets: real tables, and signals written to fit them."""

import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.io
import torch
from open_files import (
    FACED_NAMES,
    OPEN,
    dens_subject,
    emoeeg_subject,
    faced_subject,
    waves,
)
from settings import tiny_encoder
from sklearn.base import clone

from sklearn_mdjpt import MDJPTEncoder, concat_windows
from sklearn_mdjpt.channels import electrode_positions
from sklearn_mdjpt.datasets import (
    EMOTIONS,
    fetch_dens,
    fetch_emoeeg_mc,
    fetch_faced,
    fetch_open_emotion,
    read_bids,
    read_faced,
    valence_of,
)
from sklearn_mdjpt.datasets._dens import dens_trials, whole_clips
from sklearn_mdjpt.datasets._download import PUBLIC_DATASETS
from sklearn_mdjpt.datasets._emoeeg import SCENARIOS, emoeeg_ratings, emoeeg_trials
from sklearn_mdjpt.datasets._faced_bids import faced_trials
from sklearn_mdjpt.nn import StimulusPairSampler

DATA = Path(os.environ.get("SKLEARN_MDJPT_DATA", "."))
pytestmark = [
    pytest.mark.skipif(
        not (DATA / OPEN).is_dir(),
        reason="needs the real tables: set SKLEARN_MDJPT_DATA to their folder",
    ),
    # What is written here has other sizes than what was published.
    pytest.mark.filterwarnings("ignore:.*differ in size from the published"),
]
RATINGS = (
    "joy tenderness inspiration amusement anger disgust fear sadness arousal valence "
    "familiarity liking"
).split()
LOCAL = {"download": False, "window_seconds": 5.0, "stride_seconds": 5.0}


def tables(key):
    return next((DATA / OPEN).glob(f"*{key}"))


def table_of(key, path):
    return pd.read_csv(tables(key) / path, sep="\t", encoding="utf-8-sig")


def manifest_bytes(name, path):
    file = PUBLIC_DATASETS[name].manifest.get(path)
    return 0 if file is None else file.n_bytes


# The real tables --------------------------------------------------------------------


def test_faced_tables():
    found = {}
    for path in tables("nm000112").glob("sub-*/eeg/*_events.tsv"):
        found[path.parts[-3]] = faced_trials(path)
    assert len(found) == 123
    frame = pd.concat(map(pd.DataFrame, found.values()), keys=found)
    assert len(frame) == 123 * 28
    assert (frame.groupby(level=0)["stimulus"].nunique() == 28).all()
    # One clip, one emotion; its label is a word of EMOTIONS with that valence.
    assert (frame.groupby("stimulus")["label"].nunique() == 1).all()
    counts = frame["label"].value_counts() / 123
    assert counts.to_dict() == {
        "neutral": 4, "anger": 3, "disgust": 3, "fear": 3, "sad": 3, "amusement": 3,
        "inspiration": 3, "happy": 3, "tenderness": 3,
    }  # fmt: skip
    ratings = frame[RATINGS]
    assert ratings.notna().all(axis=None)
    assert ratings.min(axis=None) >= 0 and ratings.max(axis=None) <= 7
    # Whose rating is whose: the emotion that a clip is for is what most people rate.
    for emotion in ("disgust", "fear", "sadness", "anger", "tenderness", "inspiration"):
        rated = frame.groupby("emotion")[emotion].mean()
        assert rated.idxmax() == emotion
    original = table_of(
        "nm000112", "sub-007/eeg/sub-007_task-watchingVideoClips_events.tsv"
    )
    original = original[original["video_index"].notna()].sort_values("onset")
    mine = pd.DataFrame(found["sub-007"])
    np.testing.assert_array_equal(mine["start"], original["onset"])
    np.testing.assert_allclose(mine["stop"] - mine["start"], original["duration"])
    np.testing.assert_array_equal(mine["stimulus"].astype(int), original["video_index"])
    np.testing.assert_array_equal(
        mine[RATINGS], original[[name.capitalize() for name in RATINGS]]
    )


def test_emoeeg_tables():
    counts = {"vid": 0, "ima": 0}
    for number in range(1, 61):
        name = f"{number:02d}"
        if name == "55":
            continue
        for session in counts:
            trials = emoeeg_trials(name, session)
            counts[session] += len(trials)
            # The sizes of the published files tell the number of trials.
            (path,) = (
                path
                for path in PUBLIC_DATASETS["EmoEEG-MC"].manifest
                if path.startswith(f"derivatives/sub-{name}/ses-{session}/")
            )
            assert manifest_bytes("EmoEEG-MC", path) == 128 + 8 * 64 * 6000 * len(
                trials
            )
            assert [t["trial"] for t in trials] == [
                s for s in SCENARIOS if s in {t["trial"] for t in trials}
            ]
    assert counts == {"vid": 1217, "ima": 1210}


def test_emoeeg_sequences_of_the_readme_are_those_in_use():
    readme = (tables("ds005540") / "README.md").read_text(encoding="utf-8")
    part = readme[readme.index("### Participants with Missing Trials") :]
    n_found = 0
    for name in ("56", "57", "58", "59", "60"):
        text = part[part.index(f"**sub{name}**") :]
        for words, session in (("Imagery sequence", "ima"), ("Video sequence", "vid")):
            listed = text[text.index(words) :].split("`")[1]
            trials = [trial["trial"] for trial in emoeeg_trials(name, session)]
            assert sorted(eval(listed)) == sorted(trials)
            n_found += 1
    assert n_found == 10


def test_emoeeg_ratings_fit_their_scenarios():
    """Rows are told by their numbers; any other reading fits no better than chance."""
    rated = ("joy", "inspiration", "tenderness", "sadness", "fear", "disgust")
    hits, halves, n_people = [], [], 0
    for number in range(1, 61):
        name = f"{number:02d}"
        path = tables("ds005540") / f"sub-{name}/beh/sub-{name}_task-emotion_beh.tsv"
        ratings = emoeeg_ratings(path, name)
        assert bool(ratings) == (25 <= number <= 52)
        if not ratings:
            continue
        n_people += 1
        assert len(ratings) == 42
        for session in ("ima", "vid"):
            for trial in emoeeg_trials(name, session, ratings):
                if trial["emotion"] == "neutral":
                    continue
                values = [trial[emotion] for emotion in rated]
                hits.append(trial[trial["emotion"]] == max(values))
        scores = table_of("ds005540", path.relative_to(tables("ds005540")))
        scores = scores[[f"score_{k}" for k in range(1, 7)]].to_numpy(float)
        for row, scenario in zip(scores, SCENARIOS * 2, strict=True):
            emotion = emoeeg_trials("01", "vid")[SCENARIOS.index(scenario)]["emotion"]
            if emotion != "neutral":
                halves.append(row[rated.index(emotion)] == row.max())
    assert n_people == 28
    assert np.mean(hits) > 0.8 and np.mean(halves) < 0.35


def dens_tables():
    for path in sorted(tables("ds003751").glob("sub-*/eeg/*_events.tsv")):
        name = path.parts[-3].removeprefix("sub-")
        ratings = path.parents[1] / "beh" / f"sub-{name}_task-Emotion_beh.tsv"
        yield name, path, ratings if ratings.exists() else None


def test_dens_tables():
    n_trials, n_whole, people, without = 0, 0, set(), set()
    for name, events, ratings in dens_tables():
        trials, _, _ = dens_trials(events, ratings)
        n_trials += len(trials)
        fdt = f"sub-{name}/eeg/sub-{name}_task-Emotion_eeg.fdt"
        n_times = manifest_bytes("DENS", fdt) // (4 * 132)
        whole = whole_clips(trials, n_times)
        n_whole += len(whole)
        people |= {name} if whole else set()
        without |= {name} if ratings is None else set()
        for trial in trials:
            neutral = trial["stimulus"].startswith("neutral")
            if neutral:
                assert trial["label"] == "neutral"
            elif ratings is None:
                assert trial["label"] is None
            elif "valence" in trial:
                high = trial["valence"] >= 5, trial["arousal"] >= 5
                assert trial["label"] == "".join(
                    "LH"[int(is_high)] + axis
                    for is_high, axis in zip(high, "VA", strict=True)
                )
    assert (n_trials, n_whole, len(people)) == (432, 198, 31)
    assert without == {f"mit{k}" for k in ("074", "079", "080", "104", "106", "107")}


def test_dens_clicks_agree_with_the_ratings_and_seconds_would_not(tmp_path):
    name, events, ratings = next(dens_tables())
    table = pd.read_csv(events, sep="\t", dtype=str)
    table["onset"] = (table["onset"].astype(float) / 250).astype(str)
    table.to_csv(tmp_path / "events.tsv", sep="\t", index=False)
    with pytest.raises(ValueError, match="shorter than 60 s, if .* samples at 250 Hz"):
        dens_trials(tmp_path / "events.tsv", ratings)


# Fabricated signals -----------------------------------------------------------------


@pytest.fixture(scope="module")
def faced(tmp_path_factory):
    """Both layouts, both rates, both kinds of unit."""
    root = tmp_path_factory.mktemp("faced")
    events = {name: faced_subject(DATA, root, name) for name in ("004", "036", "061")}
    return root, events


def check_faced(X, start=0.0):
    """Compare each window with what was written for its clip and moment."""
    known = [FACED_NAMES.index(name) for name in X.recordings[0].ch_names]
    rates = {r.subject: int(r.sfreq) for r in X.recordings}
    for i in range(0, len(X), 7):
        row = X.metadata.iloc[i]
        sfreq = rates[row["subject"]]
        seconds = start + row["onset"]
        if row["onset_from"].startswith("30 s"):
            seconds += 31 + int(row["stimulus"]) / 10 - 30
        times = seconds + np.arange(5 * sfreq) / sfreq
        expected = waves(34, int(row["stimulus"]), int(row["subject"]), times)[known]
        # A sample's time is rounded where a clip does not begin on one.
        np.testing.assert_allclose(X[i], expected, atol=3e-6)


@pytest.mark.parametrize("part", ["whole", "last30"])
def test_faced_signals(faced, part):
    root, events = faced
    X = fetch_faced(root, part=part, **LOCAL)
    assert list(X.metadata["subject"].unique()) == ["004", "036", "061"]
    assert {r.sfreq for r in X.recordings} == {250.0, 1000.0}
    assert set(X.y) <= set(EMOTIONS)
    check_faced(X)
    for name, table in events.items():
        mine = X.metadata[X.metadata["subject"] == name]
        order = mine.drop_duplicates("trial")["stimulus"].astype(int)
        np.testing.assert_array_equal(order, table["video_index"].astype(float))


@pytest.mark.parametrize("options", [{"shift": 0.5}, {"swap": ("Fz", "Cz")}])
def test_faced_signals_that_were_changed(tmp_path, options):
    faced_subject(DATA, tmp_path, "005", **options)
    with pytest.raises(AssertionError):
        check_faced(fetch_faced(tmp_path, **LOCAL))


def test_faced_units_go_by_the_amplitude(tmp_path):
    """Volts are found where no unit is named (004), and where a wrong one is (037)."""
    for name in ("004", "037"):
        faced_subject(DATA, tmp_path, name, volts=True)
    check_faced(fetch_faced(tmp_path, "004", **LOCAL))
    with pytest.warns(UserWarning, match="037.*unit that EEG cannot have.* by 1e.06"):
        check_faced(fetch_faced(tmp_path, "037", **LOCAL))


def test_faced_amplitudes_that_are_no_eeg(tmp_path):
    faced_subject(DATA, tmp_path, "005", scale=1e3)
    with pytest.raises(ValueError, match="sub-005.*unit of its samples is not known"):
        fetch_faced(tmp_path, **LOCAL)


def test_faced_onsets_at_another_rate(tmp_path):
    faced_subject(DATA, tmp_path, "005")
    path = next(tmp_path.rglob("*events.tsv"))
    table = pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)
    table["sample"] = [str(4 * int(k)) for k in table["sample"]]
    table.to_csv(path, sep="\t", index=False)
    with pytest.raises(ValueError, match="rate is 250 Hz, and the onsets .* 1000 Hz"):
        fetch_faced(tmp_path, **LOCAL)


def test_the_two_forms_of_faced_are_the_same(faced, tmp_path):
    """People, clips, labels and ratings; the original's file has the real ratings."""
    root, _ = faced
    bids = fetch_faced(root, "036", part="last30", **LOCAL)
    path = "sub-036/eeg/sub-036_task-watchingVideoClips_events.tsv"
    clips = table_of("nm000112", path).dropna(subset="video_index")
    remarks = np.zeros(len(clips), [("vid", object), ("score", object)])
    remarks["vid"] = clips["video_index"].astype(int)
    for remark, scores in zip(
        remarks, clips[[name.capitalize() for name in RATINGS]].to_numpy(), strict=True
    ):
        remark["score"] = scores
    for folder in ("Processed_data", "Data/sub036"):
        (tmp_path / folder).mkdir(parents=True)
    scipy.io.savemat(
        tmp_path / "Data/sub036/After_remarks.mat", {"After_remark": remarks}
    )
    with open(tmp_path / "Processed_data/sub036.pkl", "wb") as file:
        pickle.dump(np.ones((28, 32, 7500)), file)
    original = read_faced(tmp_path, subjects=36, stride_seconds=5.0)
    columns = ["dataset", "subject", "session", "trial", "stimulus", "label", "emotion"]
    first, second = (
        X.metadata.sort_values(["stimulus", "onset"])[
            [*columns, "onset", "onset_from", *RATINGS]
        ].reset_index(drop=True)
        for X in (bids, original)
    )
    pd.testing.assert_frame_equal(first, second, check_exact=True)


def test_the_two_clocks_of_faced_are_never_paired(faced):
    """004 and 036 in whole clips, 061 in their last 30 seconds: only the first two."""
    root, _ = faced
    whole = fetch_faced(root, ["004", "036"], **LOCAL)
    cut = fetch_faced(root, ["061"], part="last30", **LOCAL)
    encoder = tiny_encoder(max_epochs=1, batches_per_epoch=2)
    both = concat_windows([whole[::5], cut[::5]])
    with pytest.warns(UserWarning, match="Left out of .* FACED .30 s before its end."):
        encoder.fit(both)
    assert encoder.training_subjects_ == ["FACED/004", "FACED/036"]


@pytest.fixture(scope="module")
def emoeeg(tmp_path_factory):
    root = tmp_path_factory.mktemp("emoeeg")
    for name in ("30", "57", "60"):
        emoeeg_subject(DATA, root, name)
    return root


def check_emoeeg(X):
    for i in range(0, len(X), 9):
        row = X.metadata.iloc[i]
        is_video = row["session"] == "vid"
        names = [t["trial"] for t in emoeeg_trials(row["subject"], row["session"])]
        times = row["onset"] + np.arange(1000) / 200
        phase = int(row["subject"]) + 100 * is_video
        expected = waves(64, names.index(row["scenario"]), phase, times)
        np.testing.assert_allclose(X[i], expected, atol=1e-10)


@pytest.mark.parametrize("context", ["video", "imagery", "both"])
def test_emoeeg_signals(emoeeg, context):
    X = fetch_emoeeg_mc(emoeeg, context=context, **LOCAL)
    check_emoeeg(X)
    meta = X.metadata
    sessions = {"video": {"vid"}, "imagery": {"ima"}, "both": {"vid", "ima"}}
    assert set(meta["session"]) == sessions[context]
    video = meta["session"] == "vid"
    assert (meta["stimulus"][video] == meta["scenario"][video]).all()
    assert meta["stimulus"][~video].isna().all()
    n_trials = meta.groupby(["subject", "session"])["trial"].nunique()
    published = {
        ("57", "vid"): 15,
        ("57", "ima"): 17,
        ("60", "vid"): 9,
        ("60", "ima"): 7,
    }
    for key, n in n_trials.items():
        assert n == published.get(key, 21)
    rated = meta.groupby("subject")["valence"].count()
    assert rated["30"] and not rated[["57", "60"]].any()


def test_emoeeg_units_and_folders(tmp_path):
    for name, folder, scale in (("01", False, 1.0), ("56", True, 1e6)):
        emoeeg_subject(DATA, tmp_path, name, eeg_folder=folder, scale=scale)
    check_emoeeg(fetch_emoeeg_mc(tmp_path, context="both", **LOCAL))


def test_emoeeg_contexts_that_were_exchanged(tmp_path):
    emoeeg_subject(DATA, tmp_path, "02", mix=True)
    with pytest.raises(AssertionError):
        check_emoeeg(fetch_emoeeg_mc(tmp_path, **LOCAL))


def test_emoeeg_subject_55_is_refused(emoeeg):
    for wanted in (55, "55", ["54", 55]):
        with pytest.raises(
            ValueError, match="55 cannot be read: .*20 and 19.*18 and 18"
        ):
            fetch_emoeeg_mc(emoeeg, wanted, **LOCAL)


def test_emoeeg_files_with_other_trials_are_refused(tmp_path):
    emoeeg_subject(DATA, tmp_path, "03")
    path = next((tmp_path / "ds005540").rglob("*ses-vid*.npy"))
    np.save(path, np.load(path)[:-1])
    with pytest.raises(ValueError, match="expected 21 trials .* shape .20, 64, 6000."):
        fetch_emoeeg_mc(tmp_path, **LOCAL)


@pytest.mark.parametrize("k", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_no_pair_holds_an_imagery_window(emoeeg, k):
    """Imagination has no stimulus: weights are those of the clips alone."""
    both = fetch_emoeeg_mc(emoeeg, context="both", **LOCAL)[::3]
    clips = both[(both.metadata["session"] == "vid").to_numpy()]
    encoder = tiny_encoder(subjects_per_batch=k)
    first, second = (clone(encoder).fit(X).module_ for X in (both, clips))
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    meta = both.metadata
    sampler = StimulusPairSampler(
        meta["dataset"],
        both.groups("subject"),
        meta["session"],
        meta["stimulus"],
        meta["onset"],
        n_subjects=k,
        rng=0,
    )
    drawn = [batch.rows for _ in range(20) for batch in sampler.draw()]
    assert set(meta["session"].iloc[np.concatenate(drawn)]) == {"vid"}


@pytest.fixture(scope="module")
def dens(tmp_path_factory):
    root = tmp_path_factory.mktemp("dens")
    labels = {
        "mit003": dens_subject(DATA, root, "mit003", n_whole=5),
        "mit024": dens_subject(DATA, root, "mit024", n_whole=3, positions=False),
        "mit121": dens_subject(DATA, root, "mit121"),  # a whole one
    }
    return root, labels


def check_dens(X):
    for i in range(0, len(X), 5):
        row = X.metadata.iloc[i]
        times = row["onset"] + np.arange(1250) / 250
        phase = int(row["subject"].removeprefix("mit"))
        expected = waves(132, int(row["trial"]) - 1, phase, times)[:128]
        np.testing.assert_allclose(X[i], expected, atol=2e-6)


def test_dens_signals(dens):
    root, labels = dens
    with pytest.warns(UserWarning, match=r"mit003 \(6 of 11\), mit024 \(7 of 10\)"):
        X = fetch_dens(root, **LOCAL)
    check_dens(X)
    assert len(X.ch_names) == 128
    n_of_all = len(labels["mit121"])
    for name, n_whole in (("mit003", 5), ("mit024", 3), ("mit121", n_of_all)):
        mine = X.metadata[X.metadata["subject"] == name].drop_duplicates("trial")
        assert len(mine) == n_whole
        written = [label.rsplit("_", 1) for label in labels[name][:n_whole]]
        assert mine["stimulus"].tolist() == [clip for clip, _ in written]
    first, second, _ = X.recordings
    np.testing.assert_array_equal(first.positions, second.positions)
    # EGI's table of equivalents: E9 is Fp2, E36 C3, E62 Pz, E75 Oz.
    sites = electrode_positions(["Fp2", "C3", "Pz", "Oz"])
    nearest = np.linalg.norm(first.positions[[8, 35, 61, 74]] - sites, axis=1)
    assert nearest.max() < 0.03
    assert mine["label"].isin([*EMOTIONS, None]).all()


def test_dens_people_without_a_whole_clip_are_left_out(dens, tmp_path):
    """As seven are of whom only seconds were published."""
    dens_subject(DATA, tmp_path, "mit054", n_whole=0)
    folder = tmp_path / "ds003751" / "sub-mit003"
    folder.symlink_to(dens[0] / "ds003751" / "sub-mit003")
    with pytest.warns(UserWarning, match=r"mit003 \(6 of 11\), mit054 \(11 of 11\)"):
        X = fetch_dens(tmp_path, **LOCAL)
    assert set(X.metadata["subject"]) == {"mit003"}
    with pytest.raises(ValueError, match="None of 1 files .* holds a whole trial"):
        fetch_dens(tmp_path, "mit054", **LOCAL)


def test_dens_people_without_signals(dens):
    with pytest.raises(ValueError, match="No signals of mit081 were published"):
        fetch_dens(dens[0], "mit081", **LOCAL)
    with pytest.raises(ValueError, match="subjects must be among those of DENS"):
        fetch_dens(dens[0], "mit999", **LOCAL)


# The three together -----------------------------------------------------------------


def test_open_emotion(faced, emoeeg, dens, tmp_path):
    for root, name in (
        (faced[0], "nm000112"),
        (emoeeg, "ds005540"),
        (dens[0], "ds003751"),
    ):
        (tmp_path / name).symlink_to(root / name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        X = fetch_open_emotion(tmp_path, part="last30", **LOCAL)
    meta = X.metadata
    assert list(meta["dataset"].unique()) == ["FACED", "EmoEEG-MC", "DENS"]
    known = meta["label"].notna()
    np.testing.assert_array_equal(
        meta["valence"][known].to_numpy(), valence_of(meta["label"][known])
    )
    assert set(meta["valence"].dropna()) == {-1, 0, 1}
    assert {"rated_valence", "rated_joy", "rated_dominance"} <= set(meta)
    encoder = MDJPTEncoder.small(
        unknown_channels="position", hidden_dim=16, latent_dim=4, n_heads=2,
        max_epochs=1, batches_per_epoch=2, random_state=0,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        features = encoder.fit_transform(X[::8])
    assert features.shape[0] == len(X[::8]) and np.isfinite(features).all()
    assert set(encoder.training_subjects_) == {
        f"{d}/{s}" for d, s in set(zip(meta["dataset"], meta["subject"], strict=True))
    }


def test_open_emotion_without_some(faced, tmp_path):
    with pytest.warns(UserWarning, match="2 datasets are left out. No subject of Emo"):
        X = fetch_open_emotion(faced[0], subjects={"FACED": ["004"]}, **LOCAL)
    assert set(X.groups("subject")) == {"FACED/004"}
    with pytest.raises(FileNotFoundError, match="FACED .*EmoEEG-MC .*DENS"):
        fetch_open_emotion(tmp_path, **LOCAL)
    with pytest.raises(TypeError, match="subjects must be a dict .*got .4"):
        fetch_open_emotion(faced[0], subjects=[4], **LOCAL)
    with pytest.raises(ValueError, match="Datasets.* must be among FACED, .*'SEED'"):
        fetch_open_emotion(tmp_path, datasets=["SEED"], **LOCAL)


def test_read_bids_says_what_is_odd(faced, dens):
    """Those who read the folders as BIDS are told."""
    with pytest.raises(ValueError, match="they would fit as samples at 250"):
        read_bids(
            dens[0] / "ds003751", subjects="mit003", trial_types="stm", label=None,
            duration=15000.0,
        )  # fmt: skip
    with pytest.warns(UserWarning, match="Channels A1, A2 of sub-004.* typed EEG"):
        X = read_bids(
            faced[0] / "nm000112", subjects="004", label="emotion_label",
            stimulus="video_index",
        )  # fmt: skip
    assert X.metadata["stimulus"].nunique() == 28
