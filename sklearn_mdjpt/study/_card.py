"""What the card of the weights says of scores."""

from __future__ import annotations

import pandas as pd

from ..evaluation import summary
from ._methods import METHODS
from ._shown import describe_protocol
from ._training import is_anonymous

_TESTED = """## Scores

Balanced accuracy on people whom these weights have not seen, with 95 % intervals over
people:

"""
_RECIPE = """## Scores

These weights have seen all of these people and cannot be tested on them.  Encoders that
were trained in the same way on {others}, with 95 % intervals over people:

"""


def scores_for_card(study, transfers, table):
    """Return what the card says of scores, as keywords of `publish`.

    These weights were tested where there are targets.  Otherwise they have seen all
    people, and the scores are those of encoders that were trained like them.

    Parameters
    ----------
    study : Study
        The settings.
    transfers : list of Transfer
        What was tested.
    table : DataFrame
        All scores.

    Returns
    -------
    dict
    """
    titles = [method.title for method in METHODS.values() if method.encoder]
    means = summary(table[table["method"].isin([*titles, "chance"])])
    if study.targets:
        own = means[means["method"].isin(titles)]
        results = [_result(row) for _, row in own.iterrows()]
        return {
            "eval_results": results,
            "further": _TESTED + _markdown(study, transfers, means),
        }
    if is_anonymous(study):
        return {}
    others = "other people of the dataset scored"
    if table["dataset"].nunique() > 1:
        others = "all datasets but one scored on that one"
    text = _RECIPE.format(others=others) + _markdown(study, transfers, means)
    return {"further": text}


def _result(row):
    """Return a score as the front matter of a card has it; None without the Hub."""
    try:
        from huggingface_hub import EvalResult
    except ImportError:  # `publish` says so
        return None
    numbers = {"n_subjects": int(row["n_subjects"])}
    numbers |= {k: round(row[k], 4) for k in ("low", "high") if pd.notna(row[k])}
    return EvalResult(
        task_type="eeg-emotion-recognition",
        task_name="Emotion recognition from EEG",
        dataset_type=row["dataset"].lower(),
        dataset_name=row["dataset"],
        dataset_config=row["protocol"],
        metric_type="balanced_accuracy",
        metric_name=f"balanced accuracy, {row['method']}",
        metric_value=round(row["mean"], 4),
        metric_args=numbers,
    )


def _markdown(study, transfers, means):
    """Return a table of the methods, each with the chance level beside it."""
    context = ["dataset", "protocol"]
    is_chance = means["method"] == "chance"
    chance = means[is_chance].set_index(context)["mean"].to_dict()
    heads = ["dataset", "protocol", "method", "balanced accuracy, %"]
    heads += ["95 % interval", "chance, %", "people"]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for _, row in means[~is_chance].iterrows():
        interval = "not known"
        if pd.notna(row["low"]):
            interval = f"{100 * row['low']:.1f} to {100 * row['high']:.1f}"
        cells = [
            row["dataset"], row["protocol"], row["method"], f"{100 * row['mean']:.1f}",
            interval, f"{100 * chance[row['dataset'], row['protocol']]:.1f}",
            row["n_subjects"],
        ]  # fmt: skip
        lines.append(f"| {' | '.join(map(str, cells))} |")
    tested = {one.name: one for one in transfers}
    lines.append("")
    for dataset, protocol in means[context].drop_duplicates().to_numpy():
        text = describe_protocol(study, protocol, tested[dataset])
        lines.append(f"- {dataset}, {protocol}: {text}")
    return "\n".join(lines)
