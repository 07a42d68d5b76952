"""The command line: what each command takes, and how errors and warnings are said.

Each command lives in a module of its own, which is imported when it runs: ``--help``
answers at once.
"""

import argparse
import contextlib
import importlib
import sys
import warnings
from pathlib import Path

from .. import __version__

_PROGRAM = "python -m sklearn_mdjpt"
_EXTRACT_EXAMPLES = [
    "extract recordings features.npz --weights mdjpt.safetensors",
    "extract study features.parquet --weights epoch=19.ckpt \\\n"
    "      --files 'sub-{subject}/ses-{session}/*.edf' --annotations stimulus",
    "extract bids_folder x.npz --weights mdjpt.safetensors --on-error skip",
]
_EXTRACT = """\
Encode all recordings in a folder: one row for each window, its features and
its dataset, subject, session, trial, stimulus, onset, label and file.

FOLDER holds recordings that MNE reads; or it is one of EEGWindows.save,
or a BIDS dataset (extra bids).  Trials are the annotations (in BIDS, the
events) that have a duration, or else the whole recording.  Features are
z-scored with each subject's own windows, so say who is who: in a pattern,
{subject} and {session} stand for the parts of the path that name them,
and * for anything.  Without a pattern every file is a subject of its own,
but BIDS and EEGWindows know their subjects.  Recordings that are split into
several files are read once.

OUT ends in .npz (numpy: 'features', 'feature_names', and one array for each
column, with '' where an id is not known) or .parquet (extra parquet).
Columns that are called like one of these get another name, with a warning.

A recording that cannot be used (damaged, too short, no EEG, NaN) is named
and ends the run; with --on-error skip it is left out and listed in
OUT.skipped.csv.  OUT is written when all is done.  Until then results are
kept in a hidden folder, .OUT.part, from which the same command goes on
after an error, Ctrl-C or a kill.  Exit status: 0, all is in OUT; 3,
recordings are left out; 2, an error, and no OUT; 130, Ctrl-C."""


def main(arguments=None):
    """Run a command.

    Parameters
    ----------
    arguments : list of str, default=None
        Those of the command line; None takes ``sys.argv``.

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
        with _plain_warnings():
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

    _demo(commands)
    _info(commands)
    _convert(commands)
    _extract(commands)
    return parser


def _add(commands, name, summary, text, examples):
    return commands.add_parser(
        name,
        help=summary,
        description=text,
        epilog="examples:\n" + "\n".join(f"  {_PROGRAM} {line}" for line in examples),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _demo(commands):
    _add(
        commands,
        "demo",
        "the whole method on simulated EEG, in a minute or two",
        "Pre-train a small encoder on two simulated datasets, without labels, and\n"
        "decode emotions in a third one that has another cap, from two labelled\n"
        "people.  Writes mdjpt_demo.png (figure) and mdjpt_demo.csv (scores of each\n"
        "subject) into the current folder, in place of older ones.  Needs matplotlib\n"
        "(pip install 'sklearn_mdjpt[plot]').",
        ["demo"],
    )


def _info(commands):
    parser = _add(
        commands,
        "info",
        "what a file holds: weights, checkpoint, recording, store of windows",
        "Say what a file holds, without running anything in it:\n"
        "- weights of MDJPTEncoder.save, or a released .ckpt: architecture, features,\n"
        "  whom it was trained on;\n"
        "- a recording that MNE reads (.edf, .bdf, .fif, .vhdr, .set, .cnt, ...): how\n"
        "  its channels map onto the 60 canonical ones, rate, annotations;\n"
        "- a folder of EEGWindows.save: datasets, subjects, windows.",
        ["info mdjpt.safetensors", "info sub-01.edf"],
    )
    parser.add_argument(
        "file", type=_path, metavar="FILE", help="file, or folder of windows"
    )
    parser.add_argument(
        "--json", action="store_true", help="print JSON, for other programs"
    )


def _convert(commands):
    parser = _add(
        commands,
        "convert",
        "a released checkpoint into a .safetensors file",
        "Write a released checkpoint in the format of MDJPTEncoder.save, which says\n"
        "what its weights mean and needs no pickle.",
        [
            "convert epoch=19.ckpt mdjpt.safetensors",
            "convert epoch=19.ckpt linear.safetensors --activation none",
        ],
    )
    parser.add_argument("checkpoint", type=_path, metavar="IN", help="a released .ckpt")
    parser.add_argument(
        "output", type=_path, metavar="OUT", help="the new .safetensors file"
    )
    _activation(parser)
    _overwrite(parser)


def _extract(commands):
    parser = _add(
        commands,
        "extract",
        "recordings in a folder to features in one table",
        _EXTRACT,
        _EXTRACT_EXAMPLES,
    )
    parser.add_argument(
        "folder", type=_path, metavar="FOLDER", help="where the recordings are"
    )
    parser.add_argument(
        "output", type=_path, metavar="OUT", help="features.npz or .parquet"
    )
    parser.add_argument(
        "--weights",
        type=_path,
        required=True,
        metavar="FILE",
        help="of MDJPTEncoder.save, or a released .ckpt (features then come as they "
        "are, of the order of 1e-4)",
    )
    parser.add_argument(
        "--files",
        metavar="PATTERN",
        help="which files, relative to FOLDER, and what their paths say; * and the "
        "names stand for anything but a slash",
    )
    parser.add_argument(
        "--dataset", metavar="NAME", help="default: the name of the folder"
    )
    parser.add_argument(
        "--annotations",
        choices=("label", "stimulus"),
        default="label",
        help="what annotations name: the emotion, or the clip (default: %(default)s)",
    )
    for name, default in (("--window", 5.0), ("--stride", 2.0)):
        parser.add_argument(
            name,
            type=float,
            default=default,
            metavar="SECONDS",
            help="of the windows (default: %(default)s)",
        )
    _activation(parser)
    parser.add_argument(
        "--device", default="auto", help="such as cpu or cuda (default: %(default)s)"
    )
    parser.add_argument(
        "--on-error",
        choices=("stop", "skip"),
        default="stop",
        help="what a recording that cannot be used does (default: %(default)s)",
    )
    _overwrite(parser)


def _activation(parser):
    parser.add_argument(
        "--activation",
        choices=("relu", "none"),
        help="what follows the spatial mixing of a released checkpoint, which does not "
        "say it (default: relu)",
    )


def _overwrite(parser):
    parser.add_argument(
        "--overwrite", action="store_true", help="replace OUT if it is there"
    )


def _path(text):
    """Return a path; "~" is expanded also where the shell has left it."""
    return Path(text).expanduser()


@contextlib.contextmanager
def _plain_warnings():
    """Print a warning as one line, without the code that it comes from."""

    def show(message, category, filename, lineno, file=None, line=None):
        print(f"warning: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
