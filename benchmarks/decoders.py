"""Which decoder: mdJPT, what is simple, and both, on simulated datasets.

    python benchmarks/decoders.py                       # goes on after a kill
    python benchmarks/decoders.py --studies main --seeds 10 11
    python benchmarks/decoders.py --report              # only tables and figures

Encoders are pre-trained without labels on four simulated datasets and decode a fifth
one of another cap (`simulated_transfer.py` has the data).  All that was chosen was
chosen on seeds from 100 on (`levers.md`); no choice has seen the seeds of this file.
Studies:

main      all decoders: 1, 2, 3, 4 and 8 labelled people, zero-shot, and new people who
          saw new clips
light     the same with artifacts
short     six people of each source dataset, and a third of the windows
alone     one dataset, no others: leave one person out
people    2 and 6 people of each source dataset instead of 16, as many windows
datasets  1 and 2 source datasets instead of 4, as many windows

Scores by person go into ``results/decoders.csv``, what each training did into
``results/decoders_training.csv``, and when each study of a seed was scored into
``results/decoders_log.csv``.  ``--speed`` times each decoder in a process of its own,
into ``results/decoders_speed.csv``.
"""

import argparse
import datetime
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from simulated_transfer import N_TARGET, TARGET, make_data
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_mdjpt import (
    CorrelatedComponents,
    DifferentialEntropy,
    LDSSmoother,
    MDJPTEncoder,
    SubjectScaler,
    WindowFeatures,
)
from sklearn_mdjpt.baselines import (
    combined,
    differential_entropy,
    shared_features,
    tangent_space,
)
from sklearn_mdjpt.evaluation import (
    compare,
    few_shot,
    leave_subjects_out,
    summary,
    zero_shot,
)
from sklearn_mdjpt.model_selection import LeaveSubjectsAndStimuliOut

RESULTS = Path(__file__).parent / "results"
SEEDS = (10, 11, 12, 13, 14, 15)
N_PEOPLE, N_BATCHES = 16, 160  # of each source; of `small` with six people in a batch
LABELLED = (1, 2, 3, 4, 8)
MDJPT, PAPER = "mdJPT", "mdJPT, two people in a batch"
ENTROPY, TANGENT = "DE, by subject", "tangent space, recentred"
SHARED_ENTROPY, SHARED = "DE, shared", "mdJPT and DE, shared"
OWN = "DE, shared, of the training fold"
POOLED = "mdJPT and DE, probabilities multiplied"
STUDIES = {
    "main": [(seed, N_PEOPLE, 4) for seed in SEEDS],
    "light": [(seed, N_PEOPLE, 4) for seed in SEEDS[:2]],
    "short": [(seed, 6, 4) for seed in SEEDS],
    "alone": [(seed, 1, 4) for seed in SEEDS],
    "people": [(seed, n, 4) for n in (2, 6) for seed in SEEDS[:2]],
    "datasets": [(seed, N_PEOPLE, n) for n in (1, 2) for seed in SEEDS[:2]],
}
KEYS = ["study", "seed", "n_people", "n_datasets"]


def make_encoder(study, k, n_datasets):
    """Return `small` with k people in a batch, for the same number of windows."""
    batches = round(N_BATCHES * (6 / k) * (4 / n_datasets))
    if study == "short":
        batches = batches // 3
    return MDJPTEncoder.small(
        subjects_per_batch=k,
        max_epochs=10,
        batches_per_epoch=round(batches / 10),
        torch_threads=1,
        random_state=0,
    )


def head():
    """Return the classifier behind shared features."""
    return LogisticRegression(C=0.1, max_iter=5000)


def shared(source, **options):
    """Return a classifier on smoothed features that people of the source share."""
    return make_pipeline(shared_features(source, smoothing="lds", **options), head())


def make_models(source, folder, study, n_people, n_datasets, only=None):
    """Train encoders, and return decoders by name and what the trainings did."""
    kinds = {MDJPT: min(6, n_people)}
    if study == "main" and only is None:
        kinds[PAPER] = 2
    if only in (ENTROPY, SHARED_ENTROPY, TANGENT):
        kinds = {}
    models, trainings = {}, []
    for name, k in kinds.items():
        path = folder / f"{k}.safetensors"
        begin = time.perf_counter()
        if not path.exists():
            make_encoder(study, k, n_datasets).fit(source).save(path)
        encoder = MDJPTEncoder(weights=path, torch_threads=1)
        smoothed = WindowFeatures(encoder, [SubjectScaler(), LDSSmoother()])
        models[name] = make_pipeline(smoothed, StandardScaler(), head())
        history = MDJPTEncoder.load(path).history_
        trainings.append(
            {
                "method": name,
                "isa_first": history["isa"].iloc[0],
                "isa_last": history["isa"].iloc[-1],
                "training_seconds": history["seconds"].sum(),
                "wall_seconds": time.perf_counter() - begin,
            }
        )

    def together():
        path = folder / f"{kinds[MDJPT]}.safetensors"
        encoder = MDJPTEncoder.load(path, torch_threads=1)
        return shared(source, encoder=encoder)

    others = {
        ENTROPY: lambda: differential_entropy("subject", "lds"),
        SHARED_ENTROPY: lambda: shared(source, parts="entropy"),
        SHARED: together,
    }
    if study in ("main", "light"):
        others[POOLED] = lambda: combined(models[MDJPT][0].extractor, "lds")
        others[TANGENT] = lambda: tangent_space(recentre=True)
    for name in others if only is None else {only} & set(others):
        models[name] = others[name]()
    return models, trainings


def models_of_one_dataset():
    """Return decoders that know nothing of other datasets."""
    steps = [SubjectScaler(), CorrelatedComponents(), LDSSmoother()]
    return {
        ENTROPY: differential_entropy("subject", "lds"),
        OWN: make_pipeline(WindowFeatures(DifferentialEntropy(), steps), head()),
        TANGENT: tangent_space(recentre=True),
    }


def score(study, seed, n_people, n_datasets, cache_dir):
    """Return scores by person, and what the trainings did, of one seed of a study."""
    artifacts = "light" if study == "light" else None
    source, _, target = make_data(seed, n_people, artifacts=artifacts)
    names = list(dict.fromkeys(source.groups("dataset")))[:n_datasets]
    source = source[np.isin(source.groups("dataset"), names)]
    folder = Path(cache_dir) / f"{study}_{seed}_{n_people}_{n_datasets}"
    folder.mkdir(parents=True, exist_ok=True)
    options = {"cache_dir": folder}
    if study == "alone":
        models, trainings = models_of_one_dataset(), [{"method": OWN}]
        table = leave_subjects_out(models, target, **options)
        tables = [table.assign(n_labelled=N_TARGET - 1)]
    else:
        models, trainings = make_models(source, folder, study, n_people, n_datasets)
        sizes = LABELLED if study == "main" else (1, 3)
        tables = [
            few_shot(models, target, train_size=size, **options).assign(n_labelled=size)
            for size in sizes
        ]
        single = {name: model for name, model in models.items() if name != POOLED}
        tables.append(zero_shot(single, target, **options).assign(n_labelled=0))
    if study in ("main", "light"):
        cv = LeaveSubjectsAndStimuliOut(4, 3, random_state=0)
        tables.append(
            leave_subjects_out(models, target, cv=cv, **options).assign(
                protocol="people_and_clips_out", n_labelled=9
            )
        )
    table = pd.concat(tables, ignore_index=True)
    if (table["leak"] != "").any():
        raise RuntimeError(f"There is a leak: {set(table['leak'])}.")
    table = table[table["metric"] == "balanced_accuracy"]
    groups = ["protocol", "n_labelled", "method", "subject", "unit", "metric"]
    table = table.groupby(groups, sort=False)["value"].mean().reset_index()
    values = dict(zip(KEYS, (study, seed, n_people, n_datasets), strict=True))
    return table.assign(**values), pd.DataFrame(trainings).assign(**values)


def keep(scores, trainings):
    """Write what was found of a seed, and when."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes")
    log = trainings[KEYS].drop_duplicates().assign(time=now)
    for name, table in (
        ("decoders", scores),
        ("decoders_training", trainings),
        ("decoders_log", log),
    ):
        path = RESULTS / f"{name}.csv"
        table.to_csv(
            path, mode="a", header=not path.exists(), index=False, float_format="%.4f"
        )


def done():
    """Return what was scored already."""
    path = RESULTS / "decoders_log.csv"
    if not path.exists():
        return set()
    return set(pd.read_csv(path)[KEYS].itertuples(index=False, name=None))


def measure(name, cache_dir):
    """Print seconds and memory of one decoder, whose encoder is trained already."""
    seed = SEEDS[0]
    source, _, target = make_data(seed, N_PEOPLE)
    folder = Path(cache_dir) / f"main_{seed}_{N_PEOPLE}_4"
    people = target.metadata["subject"].to_numpy()
    labelled = np.isin(people, np.unique(people)[:3])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    models, trainings = make_models(source, folder, "main", N_PEOPLE, 4, only=name)
    learnt = time.perf_counter()
    models[name].fit(target[labelled], target[labelled].y)
    fitted = time.perf_counter()
    models[name].predict(target[~labelled])
    found = {
        "method": name,
        "training": sum(training["training_seconds"] for training in trainings),
        "components": learnt - begin,
        "fit": fitted - learnt,
        "predict": time.perf_counter() - fitted,
        "n_fit": int(labelled.sum()),
        "n_predict": int((~labelled).sum()),
        "memory_mb": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
        / 1024,
    }
    print(json.dumps(found))


def speed(cache_dir):
    """Time the decoders one after another."""
    rows = []
    for name in (MDJPT, ENTROPY, SHARED_ENTROPY, SHARED, POOLED, TANGENT):
        command = [sys.executable, "-W", "ignore", __file__, "--measure", name]
        command += ["--cache-dir", cache_dir]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    table = pd.DataFrame(rows)
    path = RESULTS / "decoders_speed.csv"
    table.to_csv(path, index=False, float_format="%.2f")
    print(table.round(2).to_string(index=False))


def as_table(scores):
    """Return scores as `summary` takes them; people of all seeds are people apart."""
    subject = "seed " + scores["seed"].astype(str) + "/" + scores["subject"]
    return scores.assign(
        subject=subject, dataset=TARGET, split=0, leak="", seconds=np.nan
    ).drop(columns=["seed", *KEYS[2:]])


def say(part, table):
    """Print means with intervals, and differences to what is simple."""
    columns = ["protocol", "n_labelled", "method", "mean", "sd", "low", "high",
               "n_subjects"]  # fmt: skip
    print(f"\n{part}: balanced accuracy of windows")
    print(summary(table)[columns].round(3).to_string(index=False))
    columns = ["protocol", "n_labelled", "method", "difference", "low", "high",
               "n_better", "n_worse", "p_holm"]  # fmt: skip
    for reference in (ENTROPY, SHARED_ENTROPY):
        if reference not in set(table["method"]):
            continue
        print(f"against {reference}")
        print(compare(table, reference)[columns].round(4).to_string(index=False))


def report():
    """Print the tables and draw the figures."""
    scores = pd.read_csv(RESULTS / "decoders.csv", dtype={"subject": str})
    for study in ("main", "light", "short", "alone"):
        part = scores[scores["study"] == study]
        if not len(part):
            continue
        say(study, as_table(part).drop(columns="study"))
        windows = part[part["unit"] == "window"]
        print(f"\n{study}: by seed")
        index = ["protocol", "n_labelled", "method"]
        by_seed = windows.pivot_table(index=index, columns="seed", values="value")
        print((100 * by_seed).round(1).to_string())
    trainings = pd.read_csv(RESULTS / "decoders_training.csv")
    print(trainings.groupby(["study", "method"]).mean(numeric_only=True).round(2))
    draw_labels(scores, RESULTS / "decoders_labels.png")
    draw_growth(scores, RESULTS / "decoders_growth.png")


def draw_labels(scores, path):
    """Draw the score against the number of labelled people."""
    part = scores[
        (scores["study"] == "main")
        & (scores["unit"] == "window")
        & (scores["protocol"] == "few_shot")
    ]
    means = part.pivot_table(index="n_labelled", columns="method", values="value")
    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    names = [SHARED, POOLED, MDJPT, PAPER, SHARED_ENTROPY, ENTROPY, TANGENT]
    for name in names:
        dashed = "-" if "mdJPT" in name else "--"
        ax.plot(means.index, 100 * means[name], dashed, marker="o", label=name)
    ax.axhline(100 / 3, color="0.6", lw=1)
    ax.text(8, 100 / 3 + 0.5, "chance", ha="right", color="0.4")
    ax.set_xscale("log")
    ax.set_xticks(list(means.index), list(means.index))
    ax.minorticks_off()
    ax.set_xlabel("labelled people")
    ax.set_ylabel("balanced accuracy of windows (%)")
    ax.legend(frameon=False, fontsize="small", loc="center left",
              bbox_to_anchor=(1, 0.5))  # fmt: skip
    figure.savefig(path, dpi=150)


def draw_growth(scores, path):
    """Draw the score against the size of what was pre-trained on."""
    windows = scores[(scores["unit"] == "window") & scores["seed"].isin(SEEDS[:2])]
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    titles = {
        "people": ("n_people", "people of each source dataset"),
        "datasets": ("n_datasets", "source datasets"),
    }
    for ax, (study, (column, title)) in zip(axes, titles.items(), strict=True):
        part = windows[windows["study"].isin([study, "main"])]
        for protocol, n, line in (("few_shot", 3, "-"), ("zero_shot", 0, ":")):
            rows = (part["protocol"] == protocol) & (part["n_labelled"] == n)
            means = part[rows].pivot_table(
                index=column, columns="method", values="value"
            )
            for i, name in enumerate((SHARED, MDJPT, SHARED_ENTROPY, ENTROPY)):
                ax.plot(
                    means.index, 100 * means[name], line, marker="o", color=f"C{i}",
                    label=f"{name}, {protocol.replace('_', '-')}",
                )  # fmt: skip
        ax.set_xlabel(title)
        ax.set_xticks(list(means.index))
    axes[0].set_ylabel("balanced accuracy of windows (%)")
    axes[1].legend(frameon=False, fontsize="small", loc="center left",
                   bbox_to_anchor=(1, 0.5))  # fmt: skip
    figure.savefig(path, dpi=150)


def main():
    """Score what is missing, two seeds at a time."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--studies", nargs="+", choices=STUDIES, default=list(STUDIES))
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument("--cache-dir", default="decoders_cache")
    parser.add_argument("--n-jobs", type=int, default=2)
    parser.add_argument("--report", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        return measure(given.measure, given.cache_dir)
    if given.speed:
        return speed(given.cache_dir)
    if not given.report:
        jobs = [
            (study, *job)
            for study in given.studies
            for job in STUDIES[study]
            if job[0] in given.seeds and (study, *job) not in done()
        ]
        run = Parallel(given.n_jobs, return_as="generator_unordered")
        for found in run(delayed(score)(*job, given.cache_dir) for job in jobs):
            keep(*found)
    return report()


if __name__ == "__main__":
    main()
