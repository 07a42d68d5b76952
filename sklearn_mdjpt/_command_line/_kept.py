"""What a batch has done is kept until all of it is done."""

import io
import shutil

import numpy as np

from .._files import write_file


class Kept:
    """Arrays in a hidden folder beside the output, for the next run to take up.

    Parameters
    ----------
    output : Path
        The file that the batch is to write.

    Attributes
    ----------
    folder : Path
        The folder; it is made with the first array.
    """

    def __init__(self, output):
        self.folder = output.with_name(f".{output.name}.part")

    def get(self, key, n_rows, compute):
        """Return the array of a key; compute and keep it if it is not there.

        Parameters
        ----------
        key : str
            Equal exactly where the array would be.
        n_rows : int
            Its length.
        compute : callable
            Returns the array.

        Returns
        -------
        ndarray of shape (n_rows, ...)
        """
        path = self.folder / f"{key}.npy"
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            array = None
        if array is not None and len(array) == n_rows:
            return array
        array = compute()
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        self.folder.mkdir(exist_ok=True)
        write_file(path, content.getvalue())
        return array

    def remove(self):
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.folder, ignore_errors=True)
