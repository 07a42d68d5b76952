"""Trust: probabilities before and after temperature scaling, rejection, sets.

    python benchmarks/trust.py             # goes on after a kill
    python benchmarks/trust.py --report    # only the tables

Simulated EEG of seeds that no choice has seen.  In each, decoders are trained on ten
people of a dataset; 30 others are there to conformalize with, and 30 others again are
tested.  Temperatures and thresholds are learnt from the ten people, each left out in
turn.  Scores by person go into ``results/trust.csv``.
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from simulated_transfer import DATA, TARGET
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import (
    DifferentialEntropy,
    SubjectScaler,
    WindowFeatures,
    concat_windows,
)
from sklearn_mdjpt.baselines import shared_features
from sklearn_mdjpt.datasets import make_emotion_windows
from sklearn_mdjpt.evaluation import leave_subjects_out, reliability, risk_coverage
from sklearn_mdjpt.model_selection import LeaveSubjectsOut
from sklearn_mdjpt.trust import ConformalClassifier, SelectiveClassifier

FILE = Path(__file__).parent / "results" / "trust.csv"
SEEDS = (60, 61, 62, 63, 64)
N_SOURCE, N_TRAIN, N_CONFORMALIZE, N_TEST = 6, 10, 30, 30
METRICS = ("accuracy", "log_loss", "brier_score", "calibration_error")
LEVEL = 0.9
REJECT = 0.3


def simulated(seed):
    """Return windows of four source datasets, and three groups of people of a fifth."""
    n_target = N_TRAIN + N_CONFORMALIZE + N_TEST
    X = make_emotion_windows(
        5, n_subjects=[N_SOURCE] * 4 + [n_target], random_state=seed, **DATA
    )
    dataset = X.groups("dataset")
    X, source = X[dataset == TARGET], X[dataset != TARGET]
    person = pd.factorize(X.groups("subject"))[0]
    edges = np.cumsum([0, N_TRAIN, N_CONFORMALIZE, N_TEST])
    parts = [
        X[(person >= low) & (person < high)]
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    ]
    return source, parts


def decoders(source):
    """Return decoders by name: each plain, and scaled by a temperature."""
    entropy = WindowFeatures(DifferentialEntropy(), [SubjectScaler()])
    shared = shared_features(source, parts="entropy")
    plain = {
        "DE": make_pipeline(entropy, LogisticRegression(C=0.1, max_iter=5000)),
        "shared": make_pipeline(shared, LogisticRegression(C=0.1, max_iter=5000)),
    }
    scaled = {
        f"{name}, temperature": CalibratedClassifierCV(
            model, method="temperature", cv=LeaveSubjectsOut(), ensemble=False
        )
        for name, model in plain.items()
    }
    return plain | scaled


def score(seed):
    """Return one row for each decoder, person (or all) and what was measured."""
    source, (train, middle, test) = simulated(seed)
    models = decoders(source)
    split = [np.arange(len(train)), len(train) + np.arange(len(test))]
    table, predictions = leave_subjects_out(
        models, concat_windows([train, test]), cv=[split], return_predictions=True
    )
    table = table[(table["unit"] == "window") & table["metric"].isin(METRICS)]
    rows = table[["method", "subject", "metric", "value"]].to_dict("records")
    bins = reliability(predictions)
    gaps = bins["share"] * (bins["confidence"] - bins["accuracy"]).abs()
    for method, gap in gaps.groupby(bins["method"]).sum().items():
        rows.append(row(method, "all", "pooled calibration error", gap))
    curve = risk_coverage(predictions, coverages=[1 - REJECT, 1.0])
    for method, part in curve.groupby("method"):
        for share, risk in zip(("kept", "all"), part["risk"], strict=True):
            rows.append(row(method, "all", f"errors, {share}", risk))
    for name, model in models.items():
        selective = SelectiveClassifier(model, reject=REJECT).fit(train)
        kept = ~selective.rejects(test)
        wrong = selective.predict(test) != test.y
        for person in dict.fromkeys(test.groups("subject")):
            own = test.groups("subject") == person
            rows.append(row(name, person, "rejected", 1 - kept[own].mean()))
            if (kept & own).any():
                errors = wrong[kept & own].mean()
                rows.append(row(name, person, "errors at threshold", errors))
        for finite in (True, False):
            sets = ConformalClassifier(
                FrozenEstimator(selective.estimator_),
                confidence_level=LEVEL,
                finite_sample=finite,
            ).conformalize(middle)
            kind = "sets, finite" if finite else "sets, pooled"
            for found in sets.coverage(test).to_dict("records"):
                for what in ("coverage", "size"):
                    person, metric = found["subject"], f"{kind}: {what}"
                    rows.append(row(name, person, metric, found[what]))
    return pd.DataFrame(rows).assign(seed=seed)


def row(method, subject, metric, value):
    """Return a row of the table."""
    return {
        "method": method,
        "subject": subject,
        "metric": metric,
        "value": float(value),
    }


def report(table):
    """Print means over people, and over seeds their mean and standard error."""
    means = table.groupby(["metric", "method", "seed"], sort=False)["value"].mean()
    over = means.groupby(["metric", "method"], sort=False)
    found = pd.DataFrame(
        {"mean": over.mean(), "se": over.sem(), "n_seeds": over.size()}
    )
    print(found.round(4).to_string())


def main():
    """Score what is missing, and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--report", action="store_true", help="only the tables")
    options = parser.parse_args()
    done = pd.read_csv(FILE) if FILE.exists() else pd.DataFrame({"seed": []})
    for seed in () if options.report else options.seeds:
        if (done["seed"] == seed).any():
            continue
        done = pd.concat([done, score(seed)], ignore_index=True)
        done.to_csv(FILE, index=False, float_format="%.5f")
        print(f"seed {seed} is done.", flush=True)
    report(done)


if __name__ == "__main__":
    main()
