"""``evaluate``: test the encoder of a study beside other methods; write a report."""

from ._study import run_study


def run(options):
    """Evaluate, or say what it takes; return the exit status."""
    from ..study import evaluate_study

    return run_study(options, evaluate_study, evaluation=True)
