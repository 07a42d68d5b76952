"""What the two commands of a study share."""

import sys

_RESUMES = "Interrupted; what is done is kept: the same command goes on from there."


def run_study(options, function, *, evaluation):
    """Do a step of a study, or say what it would take.

    Parameters
    ----------
    options : Namespace
        Of the command line.
    function : callable
        Takes a study.
    evaluation : bool
        Whether the evaluation is part of it.

    Returns
    -------
    int
        The exit status.
    """
    from ..study import estimate_study, read_study

    # The functions take the file: they name all that is wrong with it, and its data.
    if options.dry_run:
        table = estimate_study(options.study, evaluation=evaluation)
        _print(read_study(options.study), table)
        return 0
    try:
        function(options.study)
    except KeyboardInterrupt:
        print(_RESUMES, file=sys.stderr)
        return 130
    return 0


def _print(study, table):
    """Print the estimate of a study, step by step."""
    from ..encoder._progress import clock

    print(f"{study.title}: what is to be done, into {study.folder}")
    if not len(table):
        print("  nothing but what takes seconds: all is done.")
        return
    width = max(map(len, table.index))
    heads = f"{'this machine':>12}  {'with a GPU':>12}  GB memory  GB disk"
    print(f"  {'step':<{width}}  {heads}")
    for step, row in table.iterrows():
        here, gpu = (clock(3600 * row[name]) for name in ("hours", "hours_gpu"))
        print(
            f"  {step:<{width}}  {here:>12}  {gpu:>12}  {row['memory']:>9.1f}  "
            f"{row['disk']:>7.1f}"
        )
    here, gpu = (clock(3600 * table[name].sum()) for name in ("hours", "hours_gpu"))
    print(
        f"  {'in all':<{width}}  {here:>12}  {gpu:>12}  {table['memory'].max():>9.1f}  "
        f"{table['disk'].sum():>7.1f}"
    )
    print("These are estimates:")
    for note in table.attrs["notes"]:
        print(f"  - {note}")
