"""``extract``: recordings in a folder to features in one table."""

import sys
import zipfile

import numpy as np
import pandas as pd

from .._files import replacing
from .._validation import check_installed
from .._weights import read_weights
from ..datasets import read_bids
from ..encoder import MDJPTEncoder
from ..windows import EEGWindows
from ._options import activation, check_output
from ._recordings import find_recordings, read_recording


def run(options):
    """Encode subject by subject, so that memory holds the signals of one."""
    output = check_output(options.output, options.overwrite)
    write = _writer(output)
    encoder = _load_encoder(options)
    features, tables = [], []
    n_subjects, parts = _subjects(options.folder, options)
    for i, (subject, X) in enumerate(parts, start=1):
        if hasattr(encoder, "module_"):
            features.append(encoder.transform(X))
        else:
            # Nothing is learnt: the weights are loaded.
            features.append(encoder.fit_transform(X))
        tables.append(X.metadata)
        print(
            f"{i}/{n_subjects}  {subject}: {len(X)} windows",
            file=sys.stderr,
            flush=True,
        )
    features = np.concatenate(features)
    metadata = pd.concat(tables, ignore_index=True)
    with replacing(output) as temporary:
        write(temporary, features, encoder.get_feature_names_out(), metadata)
    print(f"{output}: {features.shape[0]} windows, {features.shape[1]} features.")


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


def _subjects(folder, options):
    """Return how many subjects there are, and an iterator of names and windows."""
    if (folder / "index.json").is_file():
        if options.files is not None:
            raise ValueError(
                f"{str(folder)!r} holds EEGWindows, which know their subjects; leave "
                "out --files."
            )
        return _by_subject(EEGWindows.open(folder))
    if (folder / "dataset_description.json").is_file() and options.files is None:
        label, stimulus = "trial_type", None
        if options.annotations == "stimulus":
            label, stimulus = stimulus, label
        X = read_bids(
            folder,
            label=label,
            stimulus=stimulus,
            dataset=options.dataset,
            window_seconds=options.window,
            stride_seconds=options.stride,
        )
        return _by_subject(X)
    found = find_recordings(folder, options.files)
    if options.files is None:
        print(
            f"Each of {len(found)} files is taken for a subject of its own; --files "
            "says otherwise.",
            file=sys.stderr,
        )
    return len(found), _read_subjects(found, folder, options)


def _by_subject(X):
    if X.metadata["subject"].isna().any():
        return 1, iter([("all windows", X)])
    subjects = X.groups("subject")
    names = list(dict.fromkeys(subjects))
    return len(names), ((name, X[subjects == name]) for name in names)


def _read_subjects(found, folder, options):
    for subject, files in found.items():
        recordings = [
            read_recording(
                path,
                name=path.relative_to(folder).as_posix(),
                dataset=options.dataset or folder.resolve().name,
                subject=subject,
                session=session,
                annotations=options.annotations,
            )
            for path, session in files
        ]
        X = EEGWindows.from_recordings(
            recordings, window_seconds=options.window, stride_seconds=options.stride
        )
        yield subject, X


def _writer(path):
    """Return what writes a table in the format of the file's ending."""
    if path.suffix == ".npz":
        return _write_npz
    if path.suffix == ".parquet":
        check_installed(
            "pyarrow",
            "A file of .parquet",
            'pip install "sklearn_mdjpt[parquet]", or write .npz',
        )
        return _write_parquet
    raise ValueError(f"{str(path)!r}: expected a name that ends in .npz or .parquet.")


def _write_npz(path, features, names, metadata):
    columns = {
        name: column.to_numpy()
        if column.dtype.kind in "biuf"
        else np.array(["" if pd.isna(value) else str(value) for value in column])
        for name, column in metadata.items()
    }
    arrays = {"features": features, "feature_names": names.astype(str)} | columns
    # np.savez has a parameter "file", so that no array can have that name.
    with zipfile.ZipFile(path, "x") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, array, allow_pickle=False)


def _write_parquet(path, features, names, metadata):
    # An object column may hold numbers beside texts, which parquet does not.
    text = metadata.select_dtypes(exclude="number").columns
    metadata = metadata.astype({name: "string" for name in text})
    table = pd.concat([metadata, pd.DataFrame(features, columns=names)], axis=1)
    table.to_parquet(path, engine="pyarrow", index=False)
