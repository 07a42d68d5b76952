"""The command line: the commands with their options, and how errors are printed.

Each command lives in a module of its own, which is imported when it runs: ``--help``
answers at once.  The help of a command is the docstring of the function that adds its
options: the first line for the list of commands, the last paragraph with examples.
"""

import argparse
import importlib
import inspect
import sys
import warnings
from pathlib import Path

from .. import __version__

_PROGRAM = "python -m sklearn_mdjpt"


def main(arguments=None):
    """Run a command.

    Parameters
    ----------
    arguments : list of str, default=None
        Arguments of the command line; None takes ``sys.argv``.

    Returns
    -------
    int
        0; 2 after an error, which is printed; 3 if ``extract`` has left out
        recordings; 130 after Ctrl-C.
    """
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command is None:
        parser.print_help()
        return 0
    command = importlib.import_module(f".{options.command}", __name__)
    try:
        with warnings.catch_warnings():
            # One line for each, without the code that it comes from.
            warnings.showwarning = lambda message, *_, **__: print(
                f"warning: {message}", file=sys.stderr
            )
            return command.run(options) or 0
    except (ValueError, TypeError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted; no output was written.", file=sys.stderr)
        return 130


def _parser():
    parser = argparse.ArgumentParser(
        prog=_PROGRAM,
        description="Multi-dataset joint pre-training (mdJPT) of emotional EEG.",
        epilog=f"'{_PROGRAM} COMMAND --help' explains a command, with examples.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for add_options in (_demo, _info, _convert, _extract, _pretrain, _evaluate):
        # "python -OO" takes docstrings away.
        text, _, examples = (inspect.getdoc(add_options) or "").rpartition("\n\n")
        command = commands.add_parser(
            add_options.__name__.removeprefix("_"),
            help=text.partition("\n")[0],
            description=text,
            epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add_options(command.add_argument)
    return parser


def _demo(add):
    """Run the whole method on simulated EEG, in a minute or two.

    The demo pre-trains a small encoder on two simulated datasets, without
    labels, and decodes emotions in a third dataset that has another cap, from
    two labelled people.  It writes mdjpt_demo.png (figure) and mdjpt_demo.csv
    (scores of each subject) into the current folder, in place of older ones.
    It needs matplotlib (pip install 'sklearn_mdjpt[plot]').

    For example:
      %(prog)s
    """


def _info(add):
    """Say what a file holds: weights, a checkpoint, a recording or windows.

    Nothing in the file is run.  The command describes
    - weights of MDJPTEncoder.save, or a released .ckpt: architecture, features,
      training subjects;
    - a recording that MNE reads (.edf, .bdf, .fif, .vhdr, .set, .cnt, ...): how
      its channels map onto the 60 canonical ones, rate, annotations;
    - a folder of EEGWindows.save: datasets, subjects, windows.

    For example:
      %(prog)s mdjpt.safetensors
      %(prog)s sub-01.edf
    """
    add("file", type=_path, metavar="FILE", help="file, or folder of windows")
    add("--json", action="store_true", help="print JSON, for other programs")


def _convert(add):
    """Write a released checkpoint as a .safetensors file.

    The new file has the format of MDJPTEncoder.save, which says what its
    weights mean and needs no pickle.

    For example:
      %(prog)s epoch=19.ckpt mdjpt.safetensors
      %(prog)s epoch=19.ckpt linear.safetensors --activation none
    """
    add("checkpoint", type=_path, metavar="IN", help="a released .ckpt")
    add("output", type=_path, metavar="OUT", help="the new .safetensors file")
    _add_activation(add)
    _add_overwrite(add)


def _extract(add):
    r"""Write the features of all recordings in a folder to one table.

    The table has one row for each window: its features, and its dataset,
    subject, session, trial, stimulus, onset, label and file.

    FOLDER holds recordings that MNE reads, or a BIDS dataset (extra bids), or
    it is a folder of EEGWindows.save.  Trials are the annotations (in BIDS, the
    events) that have a duration, or else the whole recording.  Features are
    z-scored with each subject's own windows, so say which files belong to which
    subject: in a pattern, {subject} and {session} stand for the parts of the
    path that name them, and * for anything.  Without a pattern every file is a
    subject of its own, but BIDS and EEGWindows know their subjects.  Recordings
    that are split into several files are read once.

    OUT ends in .npz (numpy: 'features', 'feature_names', and one array for each
    column, with '' where an id is not known) or .parquet (extra parquet).
    Columns that have the name of one of these are renamed, with a warning.

    A recording that cannot be used (damaged, too short, no EEG, NaN) is named
    and ends the command; with --on-error skip it is left out and listed in
    OUT.skipped.csv.  OUT is written at the end.  Until then results are kept in
    a hidden folder, .OUT.part, from which the same command continues after an
    error, Ctrl-C or a kill.  Exit status: 0, all is in OUT; 3, recordings are
    left out; 2, an error, and no OUT; 130, Ctrl-C.

    For example:
      %(prog)s recordings features.npz --weights mdjpt.safetensors
      %(prog)s study features.parquet --weights epoch=19.ckpt \
          --files 'sub-{subject}/ses-{session}/*.edf' --annotations stimulus
      %(prog)s bids_folder x.npz --weights mdjpt.safetensors --on-error skip
    """
    add("folder", type=_path, metavar="FOLDER", help="where the recordings are")
    add("output", type=_path, metavar="OUT", help="features.npz or .parquet")
    add(
        "--weights",
        type=_path,
        required=True,
        metavar="FILE",
        help="file of MDJPTEncoder.save, or a released .ckpt (whose features are not "
        "standardised, and of the order of 1e-4)",
    )
    add(
        "--files",
        metavar="PATTERN",
        help="which files, relative to FOLDER; *, {subject} and {session} stand for "
        "anything but a slash",
    )
    add("--dataset", metavar="NAME", help="default: the name of the folder")
    add(
        "--annotations",
        choices=("label", "stimulus"),
        default="label",
        help="what annotations name: the emotion, or the clip (default: %(default)s)",
    )
    of_windows = "of the windows (default: %(default)s)"
    add("--window", type=float, default=5.0, metavar="SECONDS", help=of_windows)
    add("--stride", type=float, default=2.0, metavar="SECONDS", help=of_windows)
    _add_activation(add)
    add("--device", default="auto", help="such as cpu or cuda (default: %(default)s)")
    add(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what to do with a recording that cannot be used (default: %(default)s)",
    )
    _add_overwrite(add)


def _pretrain(add):
    """Pre-train an encoder on the datasets of a study; write weights and card.

    STUDY is a file of settings in TOML: the datasets, by name and path, and what
    differs from the defaults.  This is a whole one:

      [[datasets]]
      name = "FACED"
      [[datasets]]
      name = "EmoEEG-MC"

    Datasets are fetched or read, cleaned where that is asked for, and kept on disk; the
    training has checkpoints.  The folder of the study, which is named as the file is,
    then holds in "hub" what a repository of the Hugging Face Hub holds: the weights,
    and a card that says what they are.  After Ctrl-C or a kill the same command goes on
    from there.  All keys are explained in the user guide, "From a file to a report".

    For example:
      %(prog)s study.toml --dry-run
      %(prog)s study.toml
    """
    _add_study(add)


def _evaluate(add):
    """Test the encoder of a study beside other methods; write report.html.

    What 'pretrain' does comes first, where it is not done.  Datasets with
    role = "target" are tested on an encoder that was trained on all others; without one
    each dataset is left out in turn.  The folder of the study then holds the report,
    one page for a browser, and scores.csv.  After Ctrl-C or a kill the same command
    goes on from there.

    For example:
      %(prog)s study.toml --dry-run
      %(prog)s study.toml
    """
    _add_study(add)


def _add_study(add):
    add("study", type=_path, metavar="STUDY", help="file of settings, in TOML")
    add(
        "--dry-run",
        action="store_true",
        help="say what is left to do and what it takes (hours, memory, disk), for this "
        "machine and for a GPU, or what is refused; nothing is fetched or trained",
    )


def _add_activation(add):
    add(
        "--activation",
        choices=("relu", "none"),
        help="what follows the spatial mixing of a released checkpoint, which does not "
        "say it (default: relu)",
    )


def _add_overwrite(add):
    add("--overwrite", action="store_true", help="replace OUT if it exists")


def _path(text):
    """Return a path; "~" is expanded also where the shell has left it."""
    return Path(text).expanduser()
