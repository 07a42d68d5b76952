"""Options that several commands share."""


def released_activation(options):
    """Return what ``--activation`` means to `MDJPTEncoder`: "relu", or None."""
    return None if options.activation == "none" else "relu"


def check_output(path, overwrite):
    """Return the path of a file that may be written; raise if it may not."""
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; expected a file's name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}.")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{str(path)!r} exists; --overwrite replaces it.")
    return path
