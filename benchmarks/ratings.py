"""Valence as a number: MDJPTRegressor and ridge on simulated ratings.

    python benchmarks/ratings.py              # ten minutes a seed on one core
    python benchmarks/ratings.py --report     # only the tables

An encoder is pre-trained on four simulated datasets with nine emotions; the people of a
fifth are left out in four folds.  Each trial has a rating of its valence, 1 to 9.  No
choice has seen the seeds: settings are the defaults, and ridge has the penalties that
`differential_entropy` and the shared features had for classes, roughly.  Scores by
person go into ``results/ratings.csv``.
"""

import argparse
from pathlib import Path

import pandas as pd
from simulated_transfer import DATA, N_TARGET, TARGET
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    DifferentialEntropy,
    LDSSmoother,
    MDJPTEncoder,
    MDJPTRegressor,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import shared_features
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import compare, leave_subjects_out, summary

FILE = Path(__file__).parent / "results" / "ratings.csv"
SEEDS = (50, 51)
N_SOURCE = 16
REFERENCE = "ridge, DE"


def score(seed, cache_dir):
    """Return scores by person of one seed."""
    X = make_emotion_windows(
        5,
        n_subjects=[N_SOURCE] * 4 + [N_TARGET],
        n_emotions=9,
        artifacts={"missing_ratings": 0.0},  # none, but there is a column of ratings
        random_state=seed,
        **DATA,
    )
    new = X.groups("dataset") == TARGET
    source, target = X[~new], X[new]
    path = Path(cache_dir) / f"ratings_{seed}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        MDJPTEncoder.small(torch_threads=1, random_state=0).fit(source).save(path)

    def smoothed(extractor):
        return WindowFeatures(extractor, [SubjectScaler(), LDSSmoother()])

    entropy, encoder = DifferentialEntropy(), MDJPTEncoder(weights=path)
    shared = shared_features(source, MDJPTEncoder.load(path), smoothing="lds")
    shared_entropy = shared_features(source, parts="entropy", smoothing="lds")
    network = {"torch_threads": 1, "random_state": 0}
    models = {
        REFERENCE: make_pipeline(smoothed(entropy), StandardScaler(), Ridge(1000.0)),
        "ridge, mdJPT": make_pipeline(
            smoothed(encoder), StandardScaler(), Ridge(1000.0)
        ),
        "ridge, shared": make_pipeline(shared, Ridge(1.0)),
        "ridge, DE shared": make_pipeline(shared_entropy, Ridge(1.0)),
        "MDJPTRegressor, mdJPT": MDJPTRegressor(smoothed(encoder), **network),
        "MDJPTRegressor, shared": MDJPTRegressor(shared, **network),
        "MDJPTRegressor, DE": MDJPTRegressor(smoothed(entropy), **network),
    }
    valence = target.metadata["valence"].astype(float).to_numpy()
    table = leave_subjects_out(models, target, valence, cv=4)
    columns = ["method", "subject", "unit", "metric", "value"]
    return table[columns].assign(seed=seed)


def report(table):
    """Print means over people, and differences to ridge on entropy."""
    subject = table["seed"].astype(str) + "/" + table["subject"]
    table = table.drop(columns="seed").assign(
        subject=subject, dataset=TARGET, split=0, leak="", seconds=0.0
    )
    for metric in ("pearson", "concordance", "r2"):
        columns = ["method", "mean", "low", "high", "n_subjects"]
        print(metric)
        print(summary(table, metric=metric)[columns].round(3).to_string())
        columns = ["method", "difference", "low", "high", "n_better", "n_worse"]
        differences = compare(table, REFERENCE, metric=metric)
        print(differences[columns].round(3).to_string())


def main():
    """Score what is missing."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--cache-dir", default="ratings_cache")
    parser.add_argument("--report", action="store_true")
    given = parser.parse_args()
    table = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame(columns=["seed"])
    for seed in () if given.report else SEEDS:
        if seed not in set(table["seed"]):
            table = pd.concat([table, score(seed, given.cache_dir)])
            table.to_csv(FILE, index=False, float_format="%.4f")
    report(table)


if __name__ == "__main__":
    main()
