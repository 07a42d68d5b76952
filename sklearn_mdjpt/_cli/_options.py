"""Options that several commands share."""


def activation(name):
    """Return ``released_activation`` for its name on the command line."""
    return {None: "relu", "relu": "relu", "none": None}[name]


def check_output(path, overwrite):
    """Return the path of a file that may be written; raise if it may not."""
    if path.is_dir():
        raise IsADirectoryError(f"{str(path)!r} is a folder; expected a file's name.")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {str(path.parent)!r}.")
    if path.exists() and not overwrite:
        raise FileExistsError(
            f"{str(path)!r} is there already; --overwrite replaces it."
        )
    return path
