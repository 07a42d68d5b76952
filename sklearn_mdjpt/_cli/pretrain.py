"""``pretrain``: pre-train the encoder of a study; write weights and card."""

from ._study import run_study


def run(options):
    """Pre-train, or say what it takes; return the exit status."""
    from ..study import pretrain_study

    return run_study(options, pretrain_study, evaluation=False)
