"""Rest or mental arithmetic in a person never seen: mdJPT and its peers on eegmat.

    python benchmarks/real_eegmat.py             # goes on after a kill
    python benchmarks/real_eegmat.py --methods DE "tangent space"
    python benchmarks/real_eegmat.py --report    # only tables and figure

Leave one subject out over all subjects that are there, the same splits for all methods.
Settings were chosen by cross-validation inside two halves of the subjects (every other
one): what scores a subject was chosen in the half that does not hold it.  The encoder
of `SIMULATED` saw no real EEG at all.  Scores are written by subject into
``results/eegmat.csv``, and every scoring of the outer splits is noted in
``results/eegmat_log.csv``.
"""

import argparse
import datetime
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from mne.filter import resample
from simulated_transfer import DESIGNS, ENCODER, make_data
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    EEGWindows,
    LDSSmoother,
    MDJPTEncoder,
    Recording,
    SubjectScaler,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt.baselines import (
    BraindecodeClassifier,
    PooledClassifier,
    differential_entropy,
    tangent_space,
)
from sklearn_mdjpt.datasets import fetch_eegmat
from sklearn_mdjpt.evaluation import (
    compare,
    leave_subjects_out,
    plot,
    pretrain,
    summary,
)

RESULTS = Path(__file__).parent / "results"
WINDOWS = {"window_seconds": 5.0, "stride_seconds": 2.0}
SIMULATION_SEED = 101
INDUCTIVE, TRANSDUCTIVE, ACROSS = "inductive", "transductive", "other caps"
REFERENCE = "mdJPT, label pairs, smoothed"
SIMULATED = "mdJPT, simulated EEG"
# For the subjects of one half, as chosen in the other: first, third, ... and the rest.
TANGENT_C = (0.01, 1.0)
RECENTRED_C = (0.001, 1.0)
ENTROPY_C = (0.001, 0.01)
LABEL_PAIRS = (
    {"cda_weight": 2.0},
    {"temperature": 1.0, "lr": 1e-3, "weight_decay": 0.05},
)
# Caps and rates of the pretended datasets, of real signals: each training subject is in
# one of them, and none has the cap or the rate of the test subject.
PRETENDED = {
    "eegmat-frontal": (
        "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8".split(), 250.0
    ),
    "eegmat-posterior": (
        "T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split(), 200.0
    ),
    "eegmat-sparse": ("Fp1 Fp2 F7 F8 T7 T8 P7 P8 O1 O2 Cz".split(), 128.0),
}  # fmt: skip


def pretend_datasets(X):
    """Deal the subjects out to datasets with other caps and rates."""
    recordings = []
    names = sorted({recording.subject for recording in X.recordings})
    for recording in X.recordings:
        place = names.index(recording.subject) % len(PRETENDED)
        dataset, (ch_names, sfreq) = list(PRETENDED.items())[place]
        picks = [list(recording.ch_names).index(name) for name in ch_names]
        signal = resample(
            np.asarray(recording.signal[picks], dtype=float),
            up=sfreq, down=recording.sfreq, method="polyphase", verbose="error",
        )  # fmt: skip
        recordings.append(
            Recording(
                signal.astype(np.float32),
                ch_names,
                sfreq,
                dataset,
                recording.subject,
                recording.session,
                recording.trials,
            )
        )
    return EEGWindows.from_recordings(recordings, **WINDOWS)


def splits_of(half, X, train_on, test_on):
    """Leave out each subject of a half in turn."""
    subjects = X.metadata["subject"].to_numpy()
    return [
        (
            np.flatnonzero(train_on & (subjects != who)),
            np.flatnonzero(test_on & (subjects == who)),
        )
        for who in np.unique(subjects)[half::2]
    ]


def with_head(encoder, smooth=True):
    """Features scaled by subject, smoothed along each trial as in the paper."""
    steps = [SubjectScaler(), LDSSmoother()] if smooth else [SubjectScaler()]
    return make_pipeline(
        WindowFeatures(encoder, steps),
        StandardScaler(),
        LogisticRegression(C=0.01, max_iter=5000),
    )


def label_pairs(half, cache_dir, **changes):
    """Return an encoder whose positives are windows of the same condition.

    Methods that differ in the head only share its trainings, by their checkpoints.
    """
    settings = ENCODER | {"max_epochs": 1, "batches_per_epoch": 40}
    settings = settings | LABEL_PAIRS[half] | changes
    return MDJPTEncoder.small(
        pairing="label",
        random_state=0,
        checkpoint_dir=Path(cache_dir) / "label_pairs",
        **settings,
    )


def simulated_encoder(cache_dir):
    """Pre-train on simulated datasets of four other caps, and freeze."""
    design = DESIGNS["long"]
    source, held_out, _ = make_data(SIMULATION_SEED, design["n_subjects"])
    encoder = MDJPTEncoder.small(
        max_epochs=design["max_epochs"], random_state=0, **ENCODER
    )
    X = concat_windows([source, held_out])
    return pretrain(encoder, X, cache_dir, verbose=1)["MDJPTEncoder"]


def methods(half, simulated, cache_dir):
    """Return the methods by kind, with the settings for the subjects of a half."""
    inductive = {
        "DE": differential_entropy(C=0.001),
        "tangent space": tangent_space(C=TANGENT_C[half]),
        "mdJPT, label pairs, training statistics": make_pipeline(
            label_pairs(half, cache_dir, subject_norm="train", standardize=True),
            LogisticRegression(C=0.01, max_iter=5000),
        ),
    }
    networks = {
        f"{name}, scaled by recording": BraindecodeClassifier(
            name, sfreq=128.0, random_state=0
        )
        for name in ("EEGNet", "ShallowFBCSPNet")
    }
    C = ENTROPY_C[half]
    transductive = {
        "DE, by subject": differential_entropy("subject", C=C),
        "DE, by subject, smoothed": differential_entropy("subject", "lds", C=0.01),
        "tangent space, recentred": tangent_space(recentre=True, C=RECENTRED_C[half]),
        "mdJPT, untrained": with_head(
            label_pairs(half, cache_dir, max_epochs=0), smooth=False
        ),
        "mdJPT, untrained, smoothed": with_head(
            label_pairs(half, cache_dir, max_epochs=0)
        ),
        "mdJPT, label pairs": with_head(label_pairs(half, cache_dir), smooth=False),
        REFERENCE: with_head(label_pairs(half, cache_dir)),
        SIMULATED: with_head(simulated, smooth=False),
        f"{SIMULATED}, smoothed": with_head(simulated),
        **networks,
    }
    # No setting was chosen for these: the parts are those above.
    for end, labels, entropy in (
        ("", "mdJPT, label pairs", "DE, by subject"),
        (", smoothed", REFERENCE, "DE, by subject, smoothed"),
    ):
        simple = {
            "entropy": transductive[entropy],
            "tangent": transductive["tangent space, recentred"],
        }
        every = {"mdjpt": transductive[labels], **simple}
        transductive[f"pooled DE and tangent space{end}"] = pool(simple)
        transductive[f"pooled mdJPT, DE and tangent space{end}"] = pool(every)
    across = {
        "DE, by subject, other caps": differential_entropy(
            "subject", channels="canonical", C=C
        ),
        "DE, by subject, smoothed, other caps": differential_entropy(
            "subject", "lds", channels="canonical", C=0.01
        ),
        "mdJPT, label pairs, other caps": with_head(
            label_pairs(half, cache_dir), smooth=False
        ),
        "mdJPT, label pairs, smoothed, other caps": with_head(
            label_pairs(half, cache_dir)
        ),
    }
    return {INDUCTIVE: inductive, TRANSDUCTIVE: transductive, ACROSS: across}


def pool(models):
    """Multiply the probabilities of models."""
    return PooledClassifier(list(models.items()))


def study(wanted, cache_dir, n_jobs):
    """Score the methods whose names begin with one of `wanted`."""
    real = fetch_eegmat(download=False, **WINDOWS)
    both = concat_windows([real, pretend_datasets(real)])
    is_real = both.groups("dataset") == real.groups("dataset")[0]
    simulated = None
    if any(name.startswith(SIMULATED) or SIMULATED.startswith(name) for name in wanted):
        simulated = simulated_encoder(cache_dir)
    tables = []
    for half in (0, 1):
        for kind, models in methods(half, simulated, cache_dir).items():
            models = {k: v for k, v in models.items() if k.startswith(wanted)}
            if not models:
                continue
            train_on = ~is_real if kind == ACROSS else is_real
            tables.append(
                leave_subjects_out(
                    models,
                    both,
                    cv=splits_of(half, both, train_on, is_real),
                    cache_dir=cache_dir,
                    n_jobs=n_jobs,
                    verbose=1,
                ).assign(kind=kind)
            )
    return pd.concat(tables, ignore_index=True)


def keep(table):
    """Write what was scored, in the place of what there was of these methods."""
    path = RESULTS / "eegmat.csv"
    table = table[table["metric"].isin(["balanced_accuracy", "roc_auc"])]
    scored = table
    if path.exists():
        others = pd.read_csv(path, dtype={"subject": str})
        others = others[~others["method"].isin(table["method"].unique())]
        table = pd.concat([others, table])
    table.to_csv(path, index=False, float_format="%.4f")
    windows = scored[scored["unit"] == "window"]
    means = windows.groupby(["method", "metric"])["value"].mean().unstack()
    log = RESULTS / "eegmat_log.csv"
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    means.reset_index().assign(time=now).to_csv(
        log, mode="a", header=not log.exists(), index=False, float_format="%.4f"
    )


def report():
    """Print the tables and draw the figure."""
    table = pd.read_csv(RESULTS / "eegmat.csv", dtype={"subject": str})
    columns = ["kind", "method", "mean", "sd", "low", "high", "n_subjects"]
    kinds = [INDUCTIVE, TRANSDUCTIVE, ACROSS]
    one = ~table["method"].isin(["chance", "majority"]) | (table["kind"] == INDUCTIVE)
    table = table[one].sort_values(
        "kind", key=lambda kind: kind.map(kinds.index), kind="stable"
    )
    print("balanced accuracy of windows, and area under the ROC curve")
    means = summary(table)[columns]
    means["auc"] = summary(table, metric="roc_auc")["mean"]
    print(means.round(3).to_string(index=False))
    if (table["method"] == REFERENCE).any():
        found = compare(table.drop(columns="kind"), REFERENCE)
        columns = ["method", "difference", "low", "high", "n_better", "n_worse"]
        print(found[[*columns, "p_holm"]].round(3).to_string(index=False))
    figure, ax = plt.subplots(figsize=(8, 8), layout="constrained")
    plot(table.drop(columns="kind"), ax=ax)
    figure.savefig(RESULTS / "eegmat.png", dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--methods", nargs="+", default=[""], help="starts of names")
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--cache-dir", default="real_eegmat_cache")
    parser.add_argument("--n-jobs", type=int, default=2)
    options = parser.parse_args()
    if not options.report:
        keep(study(tuple(options.methods), options.cache_dir, options.n_jobs))
    report()


if __name__ == "__main__":
    main()
