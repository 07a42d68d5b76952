"""``extract``: write the features of all recordings in a folder to one table."""

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
from ._options import check_output, released_activation
from ._partial import PartialResults
from ._problems import Problems, named_warnings
from ._recordings import find_recordings, read_recording
from ._tables import with_free_names, writer

SOME_LEFT_OUT = 3
"""Exit status where the output lacks recordings."""

# Features depend on the signals and on these columns: each subject has its own
# statistics, and windows follow each other in a certain order.
_COLUMNS = ["dataset", "subject", "session", "trial", "onset"]


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
    partial_results = PartialResults(output)
    extractor = _Extractor(options, partial_results)
    problems = Problems(options.on_error)
    subjects = _find_subjects(options, problems)
    features, tables, n_done = [], [], 0
    try:
        for n, (subject, read) in enumerate(subjects.items(), start=1):
            result = extractor.encode(subject, *read(), problems)
            n_done = n
            if result is not None:
                features.append(result[0])
                tables.append(result[1])
                text = f"{n}/{len(subjects)}  {subject}: {len(result[0])} windows"
                print(text, file=sys.stderr, flush=True)
        if problems.reasons:
            lines = [f"  {name}: {text}" for name, text in problems.reasons.items()]
            print(f"Left out ({len(lines)}):", *lines, sep="\n", file=sys.stderr)
        if not features:
            raise ValueError(f"No recording of {options.folder} can be used.")
        names = extractor.encoder.get_feature_names_out()
        table = with_free_names(pd.concat(tables, ignore_index=True), names)
        features = np.concatenate(features)
        partial_results.folder.mkdir(exist_ok=True)
        _write_skipped(output, problems.reasons)
        with replacing(output, partial_results.folder) as temporary:
            write(temporary, features, names, table)
    except BaseException:
        if partial_results.folder.is_dir():
            print(
                f"{n_done} of {len(subjects)} subjects are done, and kept in "
                f"'{partial_results.folder}': the same command continues from there.",
                file=sys.stderr,
            )
        raise
    partial_results.remove()
    print(f"{output}: {features.shape[0]} windows, {features.shape[1]} features.")
    return SOME_LEFT_OUT if problems.reasons else 0


def _write_skipped(output, reasons):
    """Write the table of skipped recordings; remove that of an older output."""
    path = output.with_name(f"{output.name}.skipped.csv")
    if reasons:
        table = pd.DataFrame({"recording": reasons.keys(), "reason": reasons.values()})
        write_file(path, table.to_csv(index=False).encode())
    else:
        path.unlink(missing_ok=True)


# Which recordings ------------------------------------------------------------------


def _find_subjects(options, problems):
    """Return for each subject the function that reads its windows.

    The function returns the windows, and the rows of each recording by its name; the
    windows are None if no recording of the subject can be used.
    """
    folder = options.folder
    if (folder / "index.json").is_file():
        if options.files is not None:
            raise ValueError(
                f"{str(folder)!r} holds EEGWindows, which know their subjects; leave "
                "out --files."
            )
        return _in_store(EEGWindows.open(folder))
    if (folder / "dataset_description.json").is_file() and options.files is None:
        found = _in_bids(options, problems)
    else:
        found = _in_folder(options)
    readers = {}
    for subject, path, read in found:
        name = path.relative_to(folder).as_posix()
        readers.setdefault(subject, {})[name] = read
    digests = {}
    return {
        subject: partial(_read_subject, recordings, options, problems, digests)
        for subject, recordings in readers.items()
    }


def _in_store(X):
    """Return for each subject of a store the function that reads its windows."""

    def read(rows):
        windows = X[rows]
        recordings, metadata = {}, windows.metadata
        for k, (_, own_rows, *_) in enumerate(windows.blocks(), start=1):
            ids = metadata.loc[own_rows[0], ["dataset", "subject", "session"]].dropna()
            recordings[f"{'/'.join(map(str, ids))}, recording {k}"] = own_rows
        return windows, recordings

    if X.metadata["subject"].isna().any():
        return {"all windows": partial(read, slice(None))}
    subjects = X.groups("subject")
    return {name: partial(read, subjects == name) for name in dict.fromkeys(subjects)}


def _in_bids(options, problems):
    """Yield subject, path and reader of each recording of a BIDS dataset."""
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
    for (subject, session, name), path in files.items():
        yield subject, path, partial(read, path, subject, session, name)


def _in_folder(options):
    """Yield subject, path and reader of each recording of a folder."""
    found = find_recordings(options.folder, options.files)
    if options.files is None:
        print(
            f"Each of {len(found)} files is taken for a subject of its own; --files "
            "says otherwise.",
            file=sys.stderr,
        )
    dataset = options.dataset or options.folder.resolve().name
    for subject, files in found.items():
        for file in files:
            yield (
                subject,
                file.path,
                partial(
                    read_recording,
                    file,
                    dataset=dataset,
                    subject=subject,
                    annotations=options.annotations,
                ),
            )


def _read_subject(readers, options, problems, digests):
    """Read the recordings of a subject and cut its windows."""
    cut = partial(
        EEGWindows.from_recordings,
        window_seconds=options.window,
        stride_seconds=options.stride,
    )
    recordings = {}
    for name, read in readers.items():
        with problems.catch(name):
            recording = read()
            # Cut each recording alone: an error must name the one without windows.
            cut([recording])
            if "file" not in recording.trials:
                recording.trials["file"] = name
            digest = array_digest(np.asarray(recording.signal))
            first = digests.setdefault(digest, name)
            if first != name:
                warn(f"It has the same samples as {first}: is a recording here twice?")
            recordings[name] = recording
    if not recordings:
        return None, {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # given for each recording above
        X = cut(list(recordings.values()))
    names = {id(recording): name for name, recording in recordings.items()}
    return X, {names[id(recording)]: rows for recording, rows, *_ in X.blocks()}


# Features --------------------------------------------------------------------------


class _Extractor:
    """Encodes the windows of subjects, unless a former run has done so."""

    def __init__(self, options, partial_results):
        self.partial_results = partial_results
        self.encoder = _load_encoder(options)
        self._parameters = self.encoder.get_params() | {
            "weights": hashlib.sha256(options.weights.read_bytes()).digest(),
            "device": str(resolve_device(options.device)),
            "versions": [__version__, torch.__version__],
        }

    def encode(self, subject, X, recordings, problems):
        """Return features and metadata of windows; None if there are none.

        Parameters
        ----------
        subject : str
            Name of the subject.
        X : EEGWindows or None
            Windows of the subject.
        recordings : dict of str to ndarray of int
            Rows of each recording.
        problems : Problems
            Collects the recordings that cannot be encoded.
        """
        if X is None:
            return None
        features = self.partial_results.load(self._key(X), len(X))
        if features is None:
            X, features = self._encode(subject, X, recordings, problems)
            if X is None:
                return None
            self.partial_results.save(self._key(X), features)
        return features, X.metadata

    def _key(self, X):
        return fingerprint(self._parameters, X.metadata[_COLUMNS], X)

    def _encode(self, subject, X, recordings, problems):
        """Encode windows without those of recordings that cannot be encoded."""
        try:
            with named_warnings(subject):
                return X, self._transform(X)
        except Exception as error:
            usable = []
            for name, rows in recordings.items():
                with problems.catch(name):
                    self._transform(X[rows])
                    usable.append(rows)
            if len(usable) == len(recordings):
                # Each can be encoded by itself: no single recording is the problem.
                problems.add(", ".join(recordings), error)
                return None, None
        if not usable:
            return None, None
        X = X[np.sort(np.concatenate(usable))]
        return X, self._transform(X)

    def _transform(self, X):
        if hasattr(self.encoder, "module_"):
            return self.encoder.transform(X)
        # Nothing is learnt: the weights are loaded.
        return self.encoder.fit_transform(X)


def _load_encoder(options):
    weights, activation = options.weights, released_activation(options)
    if not read_weights(weights, released_activation=activation).metadata:
        # The classifier's pipeline standardises the features: learnt here, the scale
        # would be learnt from test subjects as well.
        return MDJPTEncoder(
            weights=weights,
            standardize=False,
            released_activation=activation,
            device=options.device,
        )
    if options.activation is not None:
        raise ValueError(
            f"{str(weights)!r} is no released checkpoint and says itself what follows "
            "its spatial mixing; leave out --activation."
        )
    return MDJPTEncoder.load(weights, device=options.device)
