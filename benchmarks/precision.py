"""What bfloat16 and float16 cost: balanced accuracy of features, and windows/s here.

    python benchmarks/precision.py                     # quarter of an hour
    python benchmarks/precision.py --only speed
    python benchmarks/precision.py --report            # only the tables

The same weights encode the same windows in each precision, and the same head is trained
and tested on the same splits.  Simulated: an encoder is pre-trained in float32 on two
datasets, and people of a fifth one, of another cap, are classified from three of them
(few-shot) and from all others.  eegmat: each person is left out; the encoder was
trained on simulated EEG, or not at all.  Scores by person go into
``results/precision.csv``, speeds into ``results/precision_speed.csv``.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from simulated_transfer import make_data
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from speed import clock, fitted, one_subject

from sklearn_mdjpt import MDJPTEncoder, SubjectScaler, WindowFeatures
from sklearn_mdjpt.datasets import fetch_eegmat
from sklearn_mdjpt.evaluation import few_shot, leave_subjects_out

RESULTS = Path(__file__).parent / "results"
PRECISIONS = ("float32", "bf16", "fp16")
SEEDS = (80, 81, 82, 83)
N_PEOPLE, N_LABELLED = 6, 3
TRAINING = {"max_epochs": 5, "random_state": 0, "torch_threads": 1}
WINDOWS = {"window_seconds": 5.0, "stride_seconds": 2.0}
PARTS = ("simulated", "eegmat", "speed")


def heads(path, **options):
    """Return a model for each precision, all with the weights of a file."""
    return {
        precision: make_pipeline(
            WindowFeatures(
                MDJPTEncoder(
                    weights=path, precision=precision, torch_threads=1, **options
                ),
                [SubjectScaler()],
            ),
            StandardScaler(),
            LogisticRegression(C=0.1, max_iter=5000),
        )
        for precision in PRECISIONS
    }


def save(encoder, X, path):
    """Fit an encoder and keep it, unless it is there."""
    if not path.exists():
        encoder.fit(X).save(path)
    return path


def two_sources(seed, n_people=N_PEOPLE):
    """Return windows of two datasets, and of the people of another cap."""
    source, _, target = make_data(seed, n_people)
    names = list(dict.fromkeys(source.groups("dataset")))[:2]
    return source[np.isin(source.groups("dataset"), names)], target


def feature_change(path, X):
    """Return how far features move, in their own spread: root mean square."""
    encoder = MDJPTEncoder.load(path, torch_threads=1)
    expected = encoder.transform(X)
    changes = {}
    for precision in PRECISIONS[1:]:
        found = encoder.set_params(precision=precision).transform(X)
        difference = (found - expected) / expected.std(axis=0)
        changes[precision] = float(np.sqrt(np.mean(difference**2)))
    return changes


def score(data, table, path, X):
    """Return balanced accuracies of windows by person, with how far features moved."""
    wanted = (table["metric"] == "balanced_accuracy") & (table["unit"] == "window")
    keys = ["protocol", "method", "subject"]
    means = table[wanted].groupby(keys, sort=False)["value"].mean().reset_index()
    means["feature_change"] = means["method"].map(feature_change(path, X))
    return means.rename(columns={"method": "precision"}).assign(data=data)


def simulated(seed, folder, n_people=N_PEOPLE, **training):
    """Score people of a simulated dataset of another cap."""
    source, target = two_sources(seed, n_people)
    encoder = MDJPTEncoder.small(**TRAINING | training)
    path = save(encoder, source, folder / f"simulated_{seed}.safetensors")
    models = heads(path)
    table = pd.concat(
        [
            few_shot(models, target, train_size=N_LABELLED),
            leave_subjects_out(models, target),
        ]
    )
    return score("simulated", table, path, target).assign(seed=seed)


def eegmat(folder):
    """Score rest against arithmetic of each person of eegmat."""
    X = fetch_eegmat(download=False, **WINDOWS)
    source, _ = two_sources(SEEDS[0])
    tables = []
    for name, n_epochs in (("trained on simulated EEG", 5), ("untrained", 0)):
        encoder = MDJPTEncoder.small(**TRAINING | {"max_epochs": n_epochs})
        path = folder / f"simulated_{SEEDS[0]}.safetensors"
        if not n_epochs:
            path = folder / "untrained.safetensors"
        save(encoder, source, path)
        table = leave_subjects_out(heads(path), X)
        tables.append(score(f"eegmat, {name}", table, path, X))
    return pd.concat(tables).assign(seed=SEEDS[0])


def speed(n_windows=32, repeats=5, sizes=("small", "paper")):
    """Return windows/s of ``transform`` and of training, precisions by turns."""
    X = one_subject(n_windows)
    rows = []
    for size in sizes:
        if size == "small":
            encoder = MDJPTEncoder.small(
                max_epochs=0, standardize=False, random_state=0, batch_size=16
            ).fit(X)
        else:
            encoder = fitted("paper", X, batch_size=16)
        seconds = {precision: [] for precision in PRECISIONS}
        for repeat in range(repeats + 1):
            for precision in PRECISIONS:
                encoder.set_params(precision=precision)
                took = clock(lambda encoder=encoder: encoder.transform(X))
                if repeat:  # the first warms up
                    seconds[precision].append(took)
        for precision in PRECISIONS:
            ratios = np.divide(seconds["float32"], seconds[precision])
            rows.append(
                {
                    "encoder": size,
                    "precision": precision,
                    "threads": torch.get_num_threads(),
                    "windows_per_s": n_windows / statistics.median(seconds[precision]),
                    "times_float32": float(np.median(ratios)),
                    "times_float32_min": float(ratios.min()),
                    "times_float32_max": float(ratios.max()),
                }
            )
    return pd.DataFrame(rows)


def differences(scores):
    """Return mean balanced accuracies, and points between them and float32."""
    keys = ["data", "protocol", "seed", "subject"]
    wide = scores.pivot_table(index=keys, columns="precision", values="value")
    rows = []
    for (data, protocol), part in wide.groupby(["data", "protocol"], sort=False):
        for precision in PRECISIONS:
            change = 100 * (part[precision] - part["float32"])
            moved = scores[
                (scores["data"] == data) & (scores["precision"] == precision)
            ]
            rows.append(
                {
                    "data": data,
                    "protocol": protocol,
                    "precision": precision,
                    "n": len(part),
                    "balanced_accuracy": 100 * part[precision].mean(),
                    "difference": change.mean(),
                    "largest_by_person": change.abs().max(),
                    "feature_change": moved["feature_change"].mean(),
                }
            )
    return pd.DataFrame(rows)


def report():
    """Print what was found."""
    for name, table in (("precision", differences), ("precision_speed", pd.DataFrame)):
        path = RESULTS / f"{name}.csv"
        if path.exists():
            print(table(pd.read_csv(path, dtype={"subject": str})).round(3).to_string())


def keep(name, table):
    """Write a table, in the place of what there was of the same data."""
    path = RESULTS / f"{name}.csv"
    if path.exists() and "data" in table:
        old = pd.read_csv(path, dtype={"subject": str})
        table = pd.concat([old[~old["data"].isin(table["data"].unique())], table])
    table.to_csv(path, index=False, float_format="%.4f")


def main():
    """Measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--cache-dir", type=Path, default=None)
    parser.add_argument("--report", action="store_true", help="only the tables")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = args.cache_dir or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wanted = () if args.report else args.only
        if "speed" in wanted:
            keep("precision_speed", speed())
        if "simulated" in wanted:
            tables = [simulated(seed, folder) for seed in args.seeds]
            keep("precision", pd.concat(tables))
        if "eegmat" in wanted:
            keep("precision", eegmat(folder))
    report()


if __name__ == "__main__":
    main()
