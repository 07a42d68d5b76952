"""``extract``: recordings in a folder to features in one table."""

import hashlib
import sys
import warnings
from functools import partial

import numpy as np
import pandas as pd
import torch

from .. import __version__
from .._io._files import replacing, write_file
from .._io._fingerprint import fingerprint
from .._io._fingerprint_arrays import array_digest
from .._torch import resolve_device
from .._validation import check_number, warn
from ..datasets._bids import find_bids
from ..encoder._estimator import MDJPTEncoder
from ..encoder._weights import read_weights
from ..windows._windows import EEGWindows
from ._kept import Kept
from ._options import activation, check_output
from ._problems import Problems, warnings_of
from ._recordings import find_recordings, read_recording
from ._tables import with_free_names, writer

SOME_LEFT_OUT = 3
"""Exit status where the output lacks recordings."""

# What features depend on beside the signals: whose statistics, and in which order.
_WHOSE = ["dataset", "subject", "session", "trial", "onset"]


def run(options):
    """Encode subject by subject, so that memory holds the signals of one.

    Returns
    -------
    int
        The exit status.
    """
    output = check_output(options.output, options.overwrite)
    write = writer(output)
    for name in ("window", "stride"):
        check_number(getattr(options, name), f"{name}_seconds", above=0)
    encode = _Encoding(options, Kept(output))
    problems = Problems(options.on_error)
    subjects = _subjects(options, problems)
    features, tables, n_done = [], [], 0
    try:
        for i, (subject, read) in enumerate(subjects.items(), start=1):
            result = encode(subject, *read(), problems)
            n_done = i
            if result is not None:
                features.append(result[0])
                tables.append(result[1])
                text = f"{i}/{len(subjects)}  {subject}: {len(result[0])} windows"
                print(text, file=sys.stderr, flush=True)
        _say_left_out(problems.reasons)
        if not features:
            raise ValueError(f"No recording of {options.folder} can be used.")
        names = encode.encoder.get_feature_names_out()
        table = with_free_names(pd.concat(tables, ignore_index=True), names)
        features = np.concatenate(features)
        encode.kept.folder.mkdir(exist_ok=True)
        _list_left_out(output, problems.reasons)
        with replacing(output, encode.kept.folder) as temporary:
            write(temporary, features, names, table)
    except BaseException:
        if encode.kept.folder.is_dir():
            print(
                f"{n_done} of {len(subjects)} subjects are done, and kept in "
                f"'{encode.kept.folder}': the same command goes on from there.",
                file=sys.stderr,
            )
        raise
    encode.kept.remove()
    print(f"{output}: {features.shape[0]} windows, {features.shape[1]} features.")
    return SOME_LEFT_OUT if problems.reasons else 0


def _load_encoder(options):
    weights, device = options.weights, {"device": options.device}
    released_activation = activation(options.activation)
    if read_weights(weights, released_activation=released_activation).metadata:
        if options.activation is not None:
            raise ValueError(
                f"{str(weights)!r} is no released checkpoint and says itself what "
                "follows its spatial mixing; leave out --activation."
            )
        return MDJPTEncoder.load(weights, **device)
    # The scale of the features is left to the classifier's pipeline: learnt here, it
    # would be learnt from test subjects as well.
    return MDJPTEncoder(
        weights=weights,
        standardize=False,
        released_activation=released_activation,
        **device,
    )


# Which recordings ------------------------------------------------------------------


def _subjects(options, problems):
    """Return, by subject, what reads its windows.

    It returns them, and the rows of each recording by its name; windows are None if no
    recording of the subject can be used.
    """
    folder = options.folder
    if (folder / "index.json").is_file():
        if options.files is not None:
            raise ValueError(
                f"{str(folder)!r} holds EEGWindows, which know their subjects; leave "
                "out --files."
            )
        return _of_store(EEGWindows.open(folder))
    if (folder / "dataset_description.json").is_file() and options.files is None:
        readers = _in_bids(options, problems)
    else:
        readers = _in_folder(options)
    seen = {}
    return {
        subject: partial(_read, files, options, problems, seen)
        for subject, files in readers.items()
    }


def _of_store(X):
    if X.metadata["subject"].isna().any():
        return {"all windows": lambda: (X, _rows_by_recording(X))}

    subjects = X.groups("subject")

    def read(name):
        mine = X[subjects == name]
        return mine, _rows_by_recording(mine)

    return {name: partial(read, name) for name in dict.fromkeys(subjects)}


def _rows_by_recording(X):
    """Return the rows of each recording of windows, named by whose it is."""
    found, table = {}, X.metadata
    for k, (_, rows, *_) in enumerate(X.blocks(), start=1):
        whose = table.loc[rows[0], ["dataset", "subject", "session"]].dropna()
        found[f"{'/'.join(map(str, whose))}, recording {k}"] = rows
    return found


def _in_bids(options, problems):
    label, stimulus = "trial_type", None
    if options.annotations == "stimulus":
        label, stimulus = stimulus, label
    files, read, flaws = find_bids(
        options.folder,
        label=label,
        stimulus=stimulus,
        dataset=options.dataset,
        on_error={"stop": "raise", "skip": "skip"}[options.on_error],
    )
    for (_, _, name), flaw in flaws.items():
        problems.add(name, flaw)
    subjects = {}
    for key, path in files.items():
        name = path.relative_to(options.folder).as_posix()
        subjects.setdefault(key[0], {})[name] = partial(read, path, *key)
    return subjects


def _in_folder(options):
    folder = options.folder
    found = find_recordings(folder, options.files)
    if options.files is None:
        print(
            f"Each of {len(found)} files is taken for a subject of its own; --files "
            "says otherwise.",
            file=sys.stderr,
        )
    subjects = {}
    for subject, files in found.items():
        for path, session, flaw in files:
            name = path.relative_to(folder).as_posix()
            subjects.setdefault(subject, {})[name] = partial(
                _refuse if flaw else read_recording,
                flaw or path,
                dataset=options.dataset or folder.resolve().name,
                subject=subject,
                session=session,
                annotations=options.annotations,
            )
    return subjects


def _refuse(flaw, **_):
    raise ValueError(flaw)


def _read(files, options, problems, seen):
    """Read the recordings of a subject and cut its windows."""

    def cut(recordings):
        return EEGWindows.from_recordings(
            recordings, window_seconds=options.window, stride_seconds=options.stride
        )

    recordings = {}
    for name, read in files.items():
        with problems.of(name):
            recording = read()
            # Each by itself: together, one without a window would not be missed.
            cut([recording])
            if "file" not in recording.trials:
                recording.trials["file"] = name
            other = seen.setdefault(array_digest(np.asarray(recording.signal)), name)
            if other != name:
                warn(f"It has the same samples as {other}: is a recording here twice?")
            recordings[name] = recording
    if not recordings:
        return None, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said of each by itself
        X = cut(list(recordings.values()))
    names = {id(recording): name for name, recording in recordings.items()}
    return X, {names[id(source)]: rows for source, rows, *_ in X.blocks()}


# Features --------------------------------------------------------------------------


class _Encoding:
    """Encodes the windows of a subject, unless that has been done."""

    def __init__(self, options, kept):
        self.kept = kept
        self.encoder = _load_encoder(options)
        self._parameters = self.encoder.get_params() | {
            "weights": hashlib.sha256(options.weights.read_bytes()).digest(),
            "device": str(resolve_device(options.device)),
            "versions": [__version__, torch.__version__],
        }

    def __call__(self, subject, X, rows, problems):
        """Return features and metadata of windows; None where there are none.

        Parameters
        ----------
        subject : str
            Whose they are.
        X : EEGWindows or None
            The windows.
        rows : dict of str to ndarray of int
            Those of each recording.
        problems : Problems
            Where recordings are noted that cannot be encoded.
        """
        if X is None:
            return None
        features = self.kept.get(self._key(X), len(X))
        if features is None:
            X, features = self._encode(subject, X, rows, problems)
            if X is None:
                return None
            self.kept.put(self._key(X), features)
        return features, X.metadata

    def _key(self, X):
        return fingerprint(self._parameters, X.metadata[_WHOSE], X)

    def _encode(self, subject, X, rows, problems):
        """Encode windows without those of recordings that cannot be encoded."""
        try:
            with warnings_of(subject):
                return X, self._transform(X)
        except Exception as error:
            sound = self._sound(X, rows, problems)
            if len(sound) == len(rows):
                # By itself, not one of them is to blame.
                problems.add(", ".join(rows), error)
                return None, None
        if not sound:
            return None, None
        X = X[np.sort(np.concatenate(sound))]
        return X, self._transform(X)

    def _sound(self, X, rows, problems):
        """Return the rows of each recording that can be encoded by itself."""
        sound = []
        for name, mine in rows.items():
            with problems.of(name):
                self._transform(X[mine])
                sound.append(mine)
        return sound

    def _transform(self, X):
        if hasattr(self.encoder, "module_"):
            return self.encoder.transform(X)
        # Nothing is learnt: the weights are loaded.
        return self.encoder.fit_transform(X)


# What is left out -------------------------------------------------------------------


def _say_left_out(reasons):
    if reasons:
        lines = [f"  {name}: {reason}" for name, reason in reasons.items()]
        print(f"Left out ({len(reasons)}):", *lines, sep="\n", file=sys.stderr)


def _list_left_out(output, reasons):
    """Write a table beside the output; remove that of an older output."""
    path = output.with_name(f"{output.name}.skipped.csv")
    if reasons:
        table = pd.DataFrame({"recording": reasons.keys(), "reason": reasons.values()})
        write_file(path, table.to_csv(index=False).encode())
    else:
        path.unlink(missing_ok=True)
