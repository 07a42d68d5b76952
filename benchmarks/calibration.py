"""A new person: what calibration is worth, and what a stream loses.

    python benchmarks/calibration.py                 # goes on after a kill
    python benchmarks/calibration.py --parts sim-30
    python benchmarks/calibration.py --report        # only tables and figure

Parts:

sim-30, sim-31   simulated EEG of seeds that no choice has seen: an encoder is
                 pre-trained on four datasets, the people of a fifth are left out in
                 four folds
eegmat           rest or arithmetic, real EEG; each person's two minutes are cut into
                 eight pieces.  Calibration to both states, or to rest alone

Scores by person go into ``results/calibration.csv``; what is lost on the way from an
offline analysis to a stream into ``results/calibration_stream.csv``.
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from simulated_transfer import DATA, N_TARGET, TARGET
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    DifferentialEntropy,
    EEGWindows,
    LDSSmoother,
    MDJPTEncoder,
    Recording,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import shared_features, tangent_space
from sklearn_mdjpt.compose import calibrate
from sklearn_mdjpt.datasets import fetch_eegmat, make_emotion_windows
from sklearn_mdjpt.evaluation import calibration, summary
from sklearn_mdjpt.plotting import plot_calibration
from sklearn_mdjpt.streaming import StreamingDecoder

RESULTS = Path(__file__).parent / "results"
PARTS = ("sim-30", "sim-31", "eegmat")
N_SOURCE = 16
N_CLIPS = 20
MINUTES = (0, 0.25, 0.5, 1, 2, "all")
SECONDS = 180.0  # the first half of the clips, and the pauses
POOLED, TRANSDUCTIVE = "pooled", "transductive"


def head():
    """Return the classifier."""
    return LogisticRegression(C=0.1, max_iter=5000)


def simulated(seed):
    """Return windows to pre-train on, and those of a fifth dataset."""
    X = make_emotion_windows(
        5,
        n_subjects=[N_SOURCE] * 4 + [N_TARGET],
        random_state=seed,
        **DATA | {"n_stimuli": N_CLIPS},
    )
    new = X.groups("dataset") == TARGET
    return X[~new], X[new]


def features(kind, source, path, unseen, smoothing=None):
    """Return features of one kind; people are treated as ``unseen`` says."""
    smoother = [] if smoothing is None else [smoothing]
    if kind == "DE":
        return WindowFeatures(DifferentialEntropy(), [SubjectScaler(unseen), *smoother])
    norm = "train" if unseen == POOLED else "subject"
    encoder = MDJPTEncoder(weights=path, subject_norm=norm, torch_threads=1)
    if kind == "mdJPT":
        return WindowFeatures(encoder, [SubjectScaler(unseen), *smoother])
    parts = "entropy" if kind == "DE, shared" else ("mdjpt", "entropy")
    frozen = shared_features(
        source, None if parts == "entropy" else encoder, parts=parts, unseen=unseen
    )
    return WindowFeatures(frozen, smoother)


def score_simulated(seed, cache_dir):
    """Return the tables of one simulated seed."""
    source, target = simulated(seed)
    path = Path(cache_dir) / f"encoder_{seed}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        MDJPTEncoder.small(torch_threads=1, random_state=0).fit(source).save(path)
    tables = []
    for kind in ("DE", "DE, shared", "mdJPT", "mdJPT and DE, shared"):
        models = {
            f"{kind}, {unseen}": make_pipeline(
                features(kind, source, path, unseen), head()
            )
            for unseen in (POOLED, TRANSDUCTIVE)
        }
        tables.append(
            calibration(models, target, minutes=MINUTES, labelled="both", cv=4)
        )
    return pd.concat(tables), stream_losses(source, target, path)


def stream_losses(source, target, path):
    """Score the way from an offline analysis to a stream, one step after another."""
    rows = []
    subjects = target.groups("subject")
    trials = target.metadata["trial"].astype(int).to_numpy()
    for kind in ("DE, shared", "mdJPT and DE, shared"):
        for train, test in GroupKFold(4).split(subjects, groups=subjects):
            smoother = LDSSmoother(transition_noise=0.05)
            model = make_pipeline(
                features(kind, source, path, TRANSDUCTIVE, smoother), head()
            )
            model.fit(target[train], target[train].y)
            for name in np.unique(subjects[test]):
                mine = subjects == name
                first = np.unique(trials[mine])[: N_CLIPS // 2]
                is_first = np.isin(trials, first)
                theirs, later = target[mine & is_first], target[mine & ~is_first]
                ready = calibrate(model, theirs)
                causal = clone_causal(ready)
                found = {
                    "offline, transductive": model.predict(later),
                    "calibrated": ready.predict(later),
                    "calibrated, causal smoothing": causal.predict(later),
                    "stream": stream(ready, target[mine], later),
                    "stream, calibrated by itself": stream(
                        model, target[mine], later, calibration_seconds=SECONDS
                    ),
                }
                for way, predicted in found.items():
                    rows.append(
                        {"method": kind, "way": way, "subject": name,
                         "value": balanced_accuracy_score(later.y, predicted)}
                    )  # fmt: skip
    return pd.DataFrame(rows)


def clone_causal(model):
    """Return a copy whose smoothing is causal."""
    outer = model[0]
    step = LDSSmoother(transition_noise=0.05, causal=True)
    step.n_features_in_ = outer.steps_[-1][1].n_features_in_
    copied = clone(outer)
    copied.__dict__.update(vars(outer))
    copied.steps_ = [*outer.steps_[:-1], (outer.steps_[-1][0], step)]
    return make_pipeline(copied, model[-1])


def stream(model, X, later, calibration_seconds=None):
    """Return the predictions of a stream for the windows of the later clips."""
    (recording,) = X.recordings
    spans = recording.trials
    decoder = StreamingDecoder(
        model,
        ch_names=recording.ch_names,
        sfreq=recording.sfreq,
        subject=f"{recording.dataset}/{recording.subject}",
        calibration_seconds=calibration_seconds,
    )
    signal, found, begin = recording.signal, {}, 0
    stops = [round(start * recording.sfreq) for start in spans["start"]]
    for stop in [*stops, signal.shape[1]]:
        for chunk in range(begin, stop, 50):
            for time, values in decoder.push(signal[:, chunk : min(chunk + 50, stop)]):
                found[round(time, 3)] = decoder.classes_[values.argmax()]
        decoder.start_trial()
        begin = stop
    # The resampler holds back the last window.
    held = np.repeat(signal[:, -1:], recording.sfreq, axis=1)
    for time, values in decoder.push(held):
        found.setdefault(round(time, 3), decoder.classes_[values.argmax()])
    starts = dict(zip(spans["trial"].astype(str), spans["start"], strict=True))
    table = later.metadata
    ends = [
        round(starts[trial] + onset + 5.0, 3)
        for trial, onset in zip(table["trial"], table["onset"], strict=True)
    ]
    return np.array([found[end] for end in ends])


def pieces(X, order):
    """Cut each recording into pieces of a quarter; they count in the order given."""
    recordings = []
    for one in X.recordings:
        half = one.signal.shape[1] / one.sfreq / 2
        trials = [
            {"trial": str(k + 1), "label": label, "start": begin + piece * half / 4,
             "stop": begin + (piece + 1) * half / 4}
            for k, (label, begin, piece) in enumerate(
                ("rest", 0.0, int(name[1]))
                if name[0] == "r"
                else ("arithmetic", half, int(name[1]))
                for name in order
            )
        ]  # fmt: skip
        recordings.append(
            Recording(one.signal, one.ch_names, one.sfreq, one.dataset, one.subject,
                      one.session, trials)
        )  # fmt: skip
    return EEGWindows.from_recordings(
        recordings, window_seconds=5.0, stride_seconds=2.0
    )


def score_eegmat():
    """Return the table of real EEG."""
    X = fetch_eegmat(download=False)
    tables = []
    for name, order in (
        ("to both states", "r0 a0 r1 a1 r2 a2 r3 a3"),
        ("to rest alone", "r0 r1 r2 r3 a2 a3"),
    ):
        data = pieces(X, order.split())
        models = {
            "DE, pooled": make_pipeline(
                features("DE", None, None, POOLED), clone(head()).set_params(C=0.01)
            ),
            "DE, transductive": make_pipeline(
                features("DE", None, None, TRANSDUCTIVE),
                clone(head()).set_params(C=0.01),
            ),
            "tangent space": tangent_space(),
            "tangent space, recentred": tangent_space(recentre=True),
        }
        table = calibration(models, data, minutes=(0, 0.25, 0.5, "all"))
        tables.append(table.assign(calibrated=name))
    return pd.concat(tables)


def keep(name, table):
    """Add a table to its file."""
    path = RESULTS / f"{name}.csv"
    if path.exists():
        table = pd.concat([pd.read_csv(path, dtype={"subject": str}), table])
    table.to_csv(path, index=False, float_format="%.4f")


def report():
    """Print the tables, and draw the figure."""
    scores = pd.read_csv(RESULTS / "calibration.csv", dtype={"subject": str})
    scores["minutes"] = scores["minutes"].astype(float)
    shown = {}
    for part, rows in scores.groupby(scores["part"].str.partition("-")[0]):
        subject = rows["part"] + "/" + rows["subject"]
        table = rows.assign(subject=subject, dataset=part, split=0, leak="")
        unused = ["part"] + ["calibrated"] * bool(rows["calibrated"].isna().all())
        table = table.drop(columns=unused)
        means = summary(table)
        columns = [name for name in ("calibrated", "labelled") if name in means]
        print(part)
        wide = means.set_index(["method", *columns, "minutes"])["mean"].unstack()
        print((100 * wide).round(1).to_string())
        shown[part] = table
    stream_path = RESULTS / "calibration_stream.csv"
    if stream_path.exists():
        table = pd.read_csv(stream_path)
        means = table.groupby(["method", "way"], sort=False)["value"].mean().unstack(0)
        print((100 * means).round(1).to_string())
    if "sim" not in shown:
        return
    table = shown["sim"]
    kinds = table["method"].str.rpartition(", ")
    # With 0 minutes nothing of the person is used; else it was fitted by person.
    fits = (table["minutes"] == 0) == (kinds[2] == POOLED)
    table = table.assign(method=kinds[0].where(kinds[0] != "", table["method"]))
    table = table[(fits | (kinds[0] == "")) & ~table["labelled"]]
    figure, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
    plot_calibration(table.drop(columns="labelled"), ax=ax)
    figure.savefig(RESULTS / "calibration.png", dpi=110)


def main():
    """Score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="*", default=PARTS)
    parser.add_argument("--cache-dir", default="calibration_cache")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    path = RESULTS / "calibration.csv"
    done = set(pd.read_csv(path)["part"]) if path.exists() else set()
    for part in () if given.report else given.parts:
        if part in done:
            continue
        if part == "eegmat":
            table = score_eegmat()
        else:
            table, losses = score_simulated(int(part[4:]), given.cache_dir)
            keep("calibration_stream", losses.assign(part=part))
        table = table[table["metric"].isin(["balanced_accuracy"])]
        columns = ["method", "minutes", "labelled", "subject", "unit", "metric"]
        columns += ["calibrated"] * ("calibrated" in table)
        table = table.groupby(columns, sort=False)["value"].mean().reset_index()
        keep("calibration", table.assign(part=part, leak="", seconds=np.nan))
    report()


if __name__ == "__main__":
    main()
