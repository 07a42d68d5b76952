"""``demo``: run the whole method on simulated EEG; write a figure and a table."""

import tempfile
import time

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .._drawing import pyplot
from ..baselines import differential_entropy, shared_features
from ..datasets import make_emotion_windows
from ..encoder._estimator import MDJPTEncoder
from ..evaluation import few_shot, pretrain, summary
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures
from ..plotting import plot_history, plot_scores

_FIGURE, _TABLE = "mdjpt_demo.png", "mdjpt_demo.csv"
_NEW = "SimC"
_TRAINING = {"max_epochs": 5, "batches_per_epoch": 16}
_N_SUBJECTS = 8
_TEN_TWENTY = "Fp1 Fp2 F7 F3 Fz F4 F8 T7 C3 Cz C4 T8 P7 P3 Pz P4 P8 O1 O2".split()


def run(options):
    """Pre-train, transfer, and write the results."""
    plt = pyplot()
    start = time.monotonic()
    X = make_emotion_windows(
        3,
        n_subjects=_N_SUBJECTS,
        n_stimuli=6,
        montages=("faced30", "deap32", _TEN_TWENTY),
        sfreqs=(250.0, 128.0, 200.0),
        emotion_strength=1.2,
        random_state=0,
    )
    new = X.groups("dataset") == _NEW
    _say(f"Three simulated datasets: {X}")
    _say("Pre-training on two of them, without labels ...")
    with tempfile.TemporaryDirectory() as folder:
        models = {
            "mdJPT": _on_features(_encoder()),
            "mdJPT, untrained": _on_features(_encoder(max_epochs=0)),
        }
        trained = pretrain({"mdJPT": models["mdJPT"]}, X[~new], folder)
        path = trained["mdJPT"][0].extractor.weights
        history = MDJPTEncoder.load(path).history_
        _say(f"Decoding in {_NEW}, from two labelled people each time ...")
        shared = shared_features(X[~new], path, smoothing="lds")
        models |= {
            "mdJPT and entropy, shared": make_pipeline(shared, _classifier()),
            "differential entropy": differential_entropy(None, "lds"),
            "differential entropy, by subject": differential_entropy("subject", "lds"),
        }
        table = few_shot(models, X[new], train_size=2, source=X[~new], cache_dir=folder)
    table.to_csv(_TABLE, index=False)

    figure = plt.figure(figsize=(9, 7), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1.25))
    upper.suptitle("Pre-training on SimA and SimB, without labels")
    plot_history(history, axes=upper.subplots(1, 3))
    lower.suptitle(f"Emotions in {_NEW}: two labelled people, the others tested")
    plot_scores(table, ax=lower.subplots())
    figure.savefig(_FIGURE, dpi=150)
    plt.close(figure)

    columns = ["method", "mean", "sd", "low", "high", "n_subjects"]
    _say("Balanced accuracy by subject, with 95 % intervals (simulated EEG):")
    _say(summary(table)[columns].round(3).to_string(index=False))
    _say(f"{_FIGURE} and {_TABLE} written, {time.monotonic() - start:.0f} s.")


def _encoder(**changes):
    options = _TRAINING | {"random_state": 0}
    return MDJPTEncoder.small(**options | changes)


def _on_features(encoder):
    return make_pipeline(
        WindowFeatures(encoder, [SubjectScaler(), LDSSmoother()]),
        StandardScaler(),
        _classifier(),
    )


def _classifier():
    return LogisticRegression(C=0.1, max_iter=1000)


def _say(text):
    print(text, flush=True)
