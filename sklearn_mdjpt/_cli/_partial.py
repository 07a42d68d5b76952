"""Results of a long command, kept on disk until all of it is done."""

import io
import shutil

import numpy as np

from .._io._files import write_file


class PartialResults:
    """Arrays in a hidden folder beside the output, which the next run takes up.

    Parameters
    ----------
    output : Path
        The file that the command is to write.

    Attributes
    ----------
    folder : Path
        The folder; it is made with the first array.
    """

    def __init__(self, output):
        self.folder = output.with_name(f".{output.name}.part")

    def load(self, key, n_rows):
        """Return the array of a key if it has that many rows, else None."""
        try:
            array = np.load(self._path(key), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None
        return array if len(array) == n_rows else None

    def save(self, key, array):
        """Save an array under a key that is equal exactly where the array would be."""
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        self.folder.mkdir(exist_ok=True)
        write_file(self._path(key), content.getvalue())

    def remove(self):
        """Remove the folder and all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, key):
        return self.folder / f"{key}.npy"
