"""The paper's tables, for whatever of its datasets is there, beside its numbers.

    python benchmarks/paper.py paper.toml                # goes on after a kill
    python benchmarks/paper.py paper.toml --dry-run      # hours, memory, disk
    python benchmarks/paper.py paper.toml --tables transfer imagination
    python benchmarks/paper.py paper.toml --rivals LaBraM=labram.safetensors CBraMod=hub
    python benchmarks/paper.py paper.toml --report       # only the tables

paper.toml is the file of a study (guide, "From a file to a report"): datasets by name
and path, the encoder, the windows.  Of the encoder ``preset = "paper"`` is the paper's.
The tables go into ``paper/paper.md`` in the study's folder, and the scores by person
beside it; what cannot be computed is noted there.

Tables:

transfer     each dataset in turn, encoders pre-trained on all others: few-shot (a
             quarter of the people, six splits, unless [evaluation] has others) and
             zero-shot (nearest neighbour)
clips        people and clips left out together, with the same encoders; not in the
             paper, where training and test people saw the same clips
ablation     the parts of the method, few-shot on SEED-V
sources      one, two, ... source datasets, few-shot on SEED-V
imagination  from clips to imagination in other people (EmoEEG-MC)

Where SEED-V is not there, the last dataset takes its place.
"""

import argparse
import time
from math import comb
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_mdjpt import MDJPTClassifier, concat_windows
from sklearn_mdjpt._io._fingerprint import fingerprint
from sklearn_mdjpt.baselines import (
    differential_entropy,
    foundation_model,
    shared_features,
    tangent_space,
)
from sklearn_mdjpt.evaluation import (
    ablation,
    few_shot,
    leave_subjects_out,
    pretrain,
    scaling,
    summary,
    zero_shot,
)
from sklearn_mdjpt.model_selection import CrossContext, LeaveSubjectsAndStimuliOut
from sklearn_mdjpt.study import estimate_study, read_study, study_windows
from sklearn_mdjpt.study._data import dataset_key
from sklearn_mdjpt.study._training import make_encoder

PAPER, SHARED = "mdJPT, the paper's head", "mdJPT and entropy, shared"
ENTROPY, BY_SUBJECT = "differential entropy", "differential entropy, by subject"
TANGENT = "tangent space, recentred"
# Section 4 of the paper (arXiv:2510.22197), in percent: few-shot accuracy and AUROC,
# those of its differential entropy, and zero-shot accuracy.
PUBLISHED = {
    "SEED": (79.65, 92.98, 62.35, 79.38, 72.47),
    "SEED-IV": (53.53, 77.51, 45.44, 70.03, 50.59),
    "SEED-V": (65.02, 88.70, 45.58, 73.64, 52.91),
    "SEED-VII": (43.93, 79.27, 29.12, 64.78, 33.26),
    "FACED": (23.46, 65.53, 19.97, 60.63, 17.44),
    "DEAP": (71.71, 75.75, 55.54, 56.72, 73.34),
}
VARIANTS = {
    "as published": {},
    "CDA weight 0": {"cda_weight": 0.0},
    "CDA weight 0.1": {"cda_weight": 0.1},
    "without ISA": {"isa_weight": 0.0},
    "positives at any time of a clip": {"pairing": "stimulus-any-onset"},
    "positives by label": {"pairing": "label"},
}
# Few-shot accuracy on SEED-V.
PUBLISHED_VARIANTS = {
    "as published": 65.02, "CDA weight 0": 63.52, "CDA weight 0.1": 64.08,
    "without ISA": 30.51, "positives at any time of a clip": 55.47,
    "positives by label": 47.99,
}  # fmt: skip
PUBLISHED_SOURCES = {1: 56.5, 5: 65.0}
SMOOTHING = "lds"
N_CLIP_FOLDS = 4
N_REPEATS = 3  # subsets of source datasets of one size
STUDIED = "SEED-V"
IMAGINED = "EmoEEG-MC"


class Paper:
    """The data of a study, its encoders, and where scores are kept.

    Parameters
    ----------
    study : Study
        The settings.
    rivals : dict of str to str
        Foundation models and their files.
    """

    def __init__(self, study, rivals):
        self.study, self.folder = study, study.folder / "paper"
        self.scores = scores_of(study, rivals)
        self.scores.mkdir(parents=True, exist_ok=True)
        self.cache, self.rivals = self.folder / "cache", rivals
        self.encoders = {}
        size = study.evaluation.train_size
        self.few = {
            "train_size": int(size) if size >= 1 else size,
            "n_splits": study.evaluation.n_splits,
        }
        windows = study_windows(study)
        # Imagination has no clips, and is a table of its own.
        self.imagined = windows.get(IMAGINED)
        if self.imagined is not None:
            is_clip = (self.imagined.metadata["session"] != "ima").to_numpy()
            windows[IMAGINED] = self.imagined[is_clip]
        self.windows = {name: labelled(X) for name, X in windows.items()}
        self.all = concat_windows(list(windows.values()))
        names = list(self.windows)
        self.studied = STUDIED if STUDIED in names else names[-1]

    def source(self, name):
        """Return the windows of all datasets but one."""
        return self.all[self.all.groups("dataset") != name]

    def encoder(self):
        """Return the encoder, without weights."""
        return make_encoder(self.study).set_params(verbose=0)

    def trained(self, name):
        """Return an encoder, not fitted, trained on all datasets but one."""
        if name not in self.encoders:
            weights = self.folder / "weights"
            model = pretrain({"mdJPT": self.encoder()}, self.source(name), weights)
            self.encoders[name] = model["mdJPT"]
        return self.encoders[name]

    def shared(self, name, encoder):
        """Return the features that people of the other datasets share; kept."""
        path = self.folder / "shared" / f"{Path(encoder.weights).stem}.joblib"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            source = self.source(name)
            features = shared_features(source, encoder, smoothing=SMOOTHING)
            joblib.dump(features, path.with_suffix(".part"))
            path.with_suffix(".part").replace(path)
        return joblib.load(path)

    def models(self, name, *, zero=False):
        """Return the models that are compared on a dataset, by name."""
        encoder = self.trained(name)
        features = self.shared(name, encoder)
        linear = LogisticRegression(C=0.1, max_iter=2000)
        found = {
            PAPER: MDJPTClassifier(encoder, SMOOTHING, random_state=0, verbose=0),
            SHARED: make_pipeline(features, linear),
            ENTROPY: differential_entropy(None, SMOOTHING),
            BY_SUBJECT: differential_entropy("subject", SMOOTHING),
            TANGENT: tangent_space(recentre=True),
        }
        for rival, weights in self.rivals.items():
            weights = None if weights == "hub" else weights
            found[rival] = foundation_model(rival, weights, smoothing=SMOOTHING)
        if zero:
            del found[TANGENT]  # its tangent space is part of the classifier
        return found


# Tables -------------------------------------------------------------------------------


def transfer(paper, name):
    """Score encoders on a dataset that they have not seen, few-shot and zero-shot."""
    X = paper.windows[name]
    few = few_shot(paper.models(name), X, **paper.few, cache_dir=paper.cache)
    zero = zero_shot(paper.models(name, zero=True), X, cache_dir=paper.cache)
    return pd.concat([few, zero], ignore_index=True)


def clips(paper, name):
    """Leave people and clips out together."""
    X = paper.windows[name]
    people = len(set(X.groups("subject")))
    cv = LeaveSubjectsAndStimuliOut(min(people, N_CLIP_FOLDS), 2, random_state=0)
    return leave_subjects_out(paper.models(name), X, cv=cv, cache_dir=paper.cache)


def ablations(paper, name):
    """Score the method without its parts."""
    model = MDJPTClassifier(paper.encoder(), SMOOTHING, random_state=0, verbose=0)
    return ablation(
        model, paper.windows[name], source=paper.source(name), variants=VARIANTS,
        **paper.few, cache_dir=paper.cache,
    )  # fmt: skip


def sources(paper, name):
    """Score encoders of one, two, ... source datasets."""
    model = MDJPTClassifier(paper.encoder(), SMOOTHING, random_state=0, verbose=0)
    return scaling(
        {PAPER: model}, paper.windows[name], source=paper.source(name),
        n_repeats=N_REPEATS, **paper.few, cache_dir=paper.cache,
    )  # fmt: skip


def imagination(paper, name):
    """Train on clips, and test on the imagination of other people."""
    X = labelled(paper.imagined)
    folds = min(len(set(X.groups("subject"))), 6)
    cv = CrossContext("vid", "ima", n_splits=folds, random_state=0)
    table = leave_subjects_out(paper.models(name), X, cv=cv, cache_dir=paper.cache)
    return table.assign(protocol="clips to imagination")


def datasets_of(paper, table):
    """Return the datasets that a table is about."""
    if table in ("transfer", "clips"):
        return list(paper.windows)
    if table != "imagination":
        return [paper.studied]
    X = paper.imagined
    has = X is not None and "ima" in set(X.metadata["session"])
    if not has:
        say(f"No imagination: that takes {IMAGINED} with context = 'both'.")
    return [IMAGINED] if has else []


def compute(paper, table):
    """Compute the parts of a table that are missing; each is a file of scores.

    What cannot be computed is told and noted; the other parts go on.
    """
    for name in datasets_of(paper, table):
        path = paper.scores / f"{table}, {name}.csv"
        if path.exists():
            continue
        start = time.monotonic()
        say(f"{table}, {name} ...")
        problem = path.with_suffix(".problem")
        try:
            found = TABLES[table](paper, name)
        except ValueError as error:
            problem.write_text(" ".join(str(error).split()), encoding="utf-8")
            say(f"  not computed: {error}")
            continue
        problem.unlink(missing_ok=True)
        found.to_csv(path.with_suffix(".part"), index=False)
        path.with_suffix(".part").replace(path)
        say(f"  done in {time.monotonic() - start:.0f} s")


TABLES = {
    "transfer": transfer,
    "clips": clips,
    "ablation": ablations,
    "sources": sources,
    "imagination": imagination,
}


def labelled(X):
    """Return the windows that have labels."""
    return X[X.metadata["label"].notna().to_numpy()]


def say(text):
    """Print a line at once."""
    print(text, flush=True)


# Report -------------------------------------------------------------------------------


def scores_of(study, rivals):
    """Return the folder of the scores that belong to settings, files and rivals."""
    key = fingerprint(
        [dataset_key(study, entry) for entry in study.datasets],
        study.encoder, vars(study.evaluation), study.general.random_state, rivals,
    )  # fmt: skip
    return study.folder / "paper" / f"scores-{key[:12]}"


def report(folder, scores):
    """Write the tables that are there, and return their text."""
    parts = ["# The paper's tables\n"]
    for name in TABLES:
        paths = sorted(scores.glob(f"{name}, *.csv"))
        problems = sorted(scores.glob(f"{name}, *.problem"))
        if paths or problems:
            parts.append(f"## {name}\n")
        if paths:
            tables = [pd.read_csv(path, dtype={"subject": str}) for path in paths]
            table = pd.concat(tables, ignore_index=True)
            parts.append(f"{markdown(rows_of(name, table))}\n")
        for path in problems:
            reason = path.read_text(encoding="utf-8")
            parts.append(f"Not computed: {path.stem}. {reason}\n")
    text = "\n".join(parts)
    (folder / "paper.md").write_text(text, encoding="utf-8")
    return text


def rows_of(name, table):
    """Return the rows of a table of the report, in percent.

    Accuracy is the paper's metric; balanced accuracy counts classes alike.
    """
    table = table.assign(leak=table["leak"].fillna(""))
    found = summary(table, metric="accuracy")
    found = found[found["method"] != "majority"].reset_index(drop=True)
    others = {
        "balanced": summary(table, metric="balanced_accuracy"),
        "AUROC": summary(table, metric="roc_auc"),
    }
    keys = [
        key for key in ("protocol", "dataset", "n_sources", "method") if key in found
    ]
    rows = found[keys].copy()
    rows["accuracy"] = 100 * found["mean"]
    rows["95 % interval"] = [
        "" if np.isnan(low) else f"{100 * low:.1f} to {100 * high:.1f}"
        for low, high in zip(found["low"], found["high"], strict=True)
    ]
    for column, other in others.items():
        other = other.set_index(keys)["mean"]
        rows[column] = [100 * other[tuple(row)] for row in found[keys].to_numpy()]
    rows["people"] = found["n_subjects"]
    published = [published_for(name, row) for row in found.to_dict("records")]
    rows["paper: accuracy"], rows["paper: AUROC"] = zip(*published, strict=True)
    return rows


def published_for(name, row):
    """Return the paper's accuracy and AUROC for a row; NaN where it has none."""
    none = (np.nan, np.nan)
    if name == "ablation":
        return PUBLISHED_VARIANTS.get(row["method"], np.nan), np.nan
    if name == "sources" and row["method"] == PAPER:
        return PUBLISHED_SOURCES.get(row["n_sources"], np.nan), np.nan
    numbers = PUBLISHED.get(row["dataset"])
    if name != "transfer" or numbers is None:
        return none
    accuracy, auroc, entropy, entropy_auroc, zero = numbers
    return {
        ("few_shot", PAPER): (accuracy, auroc),
        ("few_shot", ENTROPY): (entropy, entropy_auroc),
        ("zero_shot", PAPER): (zero, np.nan),
    }.get((row["protocol"], row["method"]), none)


def markdown(rows):
    """Return a table as Markdown; empty cells where there is nothing to compare."""
    lines = [f"| {' | '.join(rows)} |", f"|{'---|' * rows.shape[1]}"]
    for row in rows.itertuples(index=False):
        cells = [
            ("" if np.isnan(cell) else f"{cell:.1f}") if isinstance(cell, float)
            else str(cell)
            for cell in row
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def estimate(study, tables):
    """Print what the study takes, and how many trainings the tables need beside it."""
    table = estimate_study(study)
    print(table.round(2).to_string())
    for note in table.attrs["notes"]:
        print(f"- {note}")
    n = len(study.datasets)
    sizes = sum(min(N_REPEATS, comb(n - 1, k)) for k in range(1, n))
    trainings = {
        "transfer": n,
        "ablation": len(VARIANTS) - ("transfer" in tables),
        "sources": sizes - ("transfer" in tables),
    }
    chosen = {name: k for name, k in trainings.items() if name in tables}
    steps = [step for step in table.index if step.startswith("pre-train")]
    hours = table.loc[steps, ["hours", "hours_gpu"]].sum()
    per = hours / max(1, table.attrs["trainings"])
    print(f"Trainings of the tables: {chosen}, {sum(chosen.values())} in all:")
    total = per * sum(chosen.values())
    print(f"{total['hours']:.0f} h here, {total['hours_gpu']:.0f} h on a GPU.")


def main():
    """Compute the tables that are missing, and write the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="file of the study")
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument(
        "--rivals", nargs="+", default=[], metavar="NAME=FILE",
        help="foundation models, with a file of weights or 'hub'",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only what it takes")
    parser.add_argument("--report", action="store_true", help="only the tables")
    options = parser.parse_args()
    study = read_study(options.study)
    if options.dry_run:
        estimate(study, options.tables)
        return
    rivals = dict(rival.split("=", 1) for rival in options.rivals)
    if not options.report:
        paper = Paper(study, rivals)
        for name in options.tables:
            compute(paper, name)
    print(report(study.folder / "paper", scores_of(study, rivals)))


if __name__ == "__main__":
    main()
