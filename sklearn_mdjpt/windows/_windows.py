"""EEGWindows: fixed-length windows of EEG that carry their metadata with them.

scikit-learn slices `X` and passes nothing else on to `transform`.  So what a window
is (its dataset, subject, session, trial, stimulus, onset and label) travels inside
`X`, in one container that holds several montages, rates and window lengths at once
and cuts windows from the recordings only when they are read.
"""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any, Literal, Self, overload

import numpy as np
import pandas as pd

from .._grouping import combine_groups
from .._identity import IDS
from .._validation import (
    as_array,
    as_id,
    check_sfreq,
    list_some,
    merge_rates,
    show_rates,
)
from ._braindecode import make_dataset, read_dataset
from ._content import signals, without_made_up_names
from ._cutting import (
    cut_recordings,
    group_name,
    join_windows,
    leave_out_marked,
    stack_arrays,
)
from ._epochs import make_epochs, read_epochs, warn_of_overlap
from ._indexing import rows_of_index
from ._reader import CanonicalReader
from ._recording import Recording
from ._store import read_store, write_store

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import mne
    from braindecode.datasets import BaseConcatDataset
    from numpy.typing import ArrayLike, DTypeLike

    from .._typing import Epochs, PathLike
    from ._stack import WindowStack


class EEGWindows:
    """Windows of EEG from one or several datasets, with one metadata row each.

    Build it with `from_recordings`, `from_arrays`, `from_epochs`, `open` or
    `concat_windows`; the constructor is private.  It is one-dimensional to
    scikit-learn (``shape == (n_windows,)``) and passes unchanged through Pipeline,
    ``cross_val_score``, ``GridSearchCV`` and ``learning_curve``, with metadata
    routing on or off.

    Attributes
    ----------
    shape : tuple of int
        ``(n_windows,)``.
    ndim : int
        1.
    metadata : DataFrame of shape (n_windows, n_columns)
        Columns ``dataset``, ``subject``, ``session``, ``trial``, ``stimulus`` (str or
        None), ``onset`` (seconds from the trial's start), ``label`` and any further
        ones; one row for each window.
    y : ndarray of shape (n_windows,) or None
        Labels, None if there are none.
    ch_names : tuple of str
        Channel names, where all windows share them.
    sfreq : float
        Sampling rate in hertz, where all windows share it; rates that differ by no
        more than a millionth, as rounding in files makes them, are one.
    recordings : list
        The recordings (or stacks of windows) that these windows are cut from.

    See Also
    --------
    concat_windows : Put windows of several datasets together.
    Recording : What windows are cut from.

    Notes
    -----
    Indexing with an int gives one window as an array of shape (n_channels, n_times)
    in the recording's unit; any other index gives `EEGWindows`.  A boolean Series of
    pandas counts by its index, whose labels are the windows' numbers: a mask of a
    sorted ``X.metadata`` picks the same windows as there.  Overlapping windows
    of a recording are never copied, and a pickle takes only the recordings in use.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import EEGWindows
    >>> rng = np.random.default_rng(0)
    >>> X = EEGWindows.from_arrays(
    ...     1e-5 * rng.standard_normal((4, 3, 500)), ch_names=["Fz", "Cz", "Pz"],
    ...     sfreq=100.0, dataset="demo", subject=[1, 1, 2, 2], y=list("abab"))
    >>> X
    <EEGWindows: 4 windows of 5 s, 1 dataset (demo), 2 subjects, 3 channels at 100 Hz>
    >>> X[X.groups("subject") == "demo/2"].y
    array(['a', 'b'], dtype='<U1')
    """

    ndim = 1

    def __init__(
        self,
        sources: Sequence[Recording | WindowStack],
        source_index: np.ndarray,
        starts: np.ndarray,
        n_times: np.ndarray,
        metadata: pd.DataFrame,
    ) -> None:
        self._sources = sources
        self._source_index = source_index
        self._starts = starts
        self._n_times = n_times
        self._metadata = metadata

    def __getstate__(self):
        # pandas joins columns of one dtype as they are used, which a pickle shows; in
        # a copy they are joined always.
        return self.__dict__ | {"_metadata": self._metadata.copy()}

    def _fingerprint_parts(self):
        metadata = without_made_up_names(self.metadata)
        return {"metadata": metadata, "recordings": signals(self)}

    # Construction ---------------------------------------------------------------

    @classmethod
    def from_recordings(
        cls,
        recordings: Recording | Sequence[Recording],
        *,
        window_seconds: float = 5.0,
        stride_seconds: float = 2.0,
    ) -> Self:
        """Cut windows from recordings; none crosses a trial's border or a cut.

        Parameters
        ----------
        recordings : Recording or sequence of Recording
            They may differ in channels, rate, dataset and length.
        window_seconds : float, default=5.0
            Length of a window.
        stride_seconds : float, default=2.0
            Time from one window's start to the next, from the trial's start on.

        Returns
        -------
        EEGWindows
            In the order of recordings, trials and onsets.

        Raises
        ------
        ValueError
            If no trial is long enough for a window, or a trial id appears twice in a
            session.
        """
        return cls(*cut_recordings(recordings, window_seconds, stride_seconds))

    @classmethod
    def from_arrays(
        cls,
        X: ArrayLike,
        *,
        ch_names: Sequence[str],
        sfreq: float,
        subject: ArrayLike | None = None,
        dataset: ArrayLike | None = None,
        session: ArrayLike | None = None,
        trial: ArrayLike | None = None,
        stimulus: ArrayLike | None = None,
        onset: ArrayLike | None = None,
        y: ArrayLike | None = None,
        extra: dict[str, Any] | pd.DataFrame | None = None,
        positions: ArrayLike | None = None,
    ) -> Self:
        """Take windows that are already cut.

        Parameters
        ----------
        X : array-like of shape (n_windows, n_channels, n_times)
            Volts or any unit; a memory map stays on disk.  Not to be changed
            afterwards: it is not copied, and statistics of it are kept.
        ch_names : sequence of str
            Channel names, unique whatever the case.
        sfreq : float
            Sampling rate in hertz.
        subject, dataset, session, trial, stimulus : array-like or scalar, default=None
            Ids, one for each window or one for all.  Subjects and stimuli are those of
            their dataset: nothing is paired across datasets.  Without a dataset the
            windows get a name that no other set shares.
        onset : array-like or float, default=None
            Seconds from the trial's start, or spans of time (timedelta64).  Without
            them the order of windows stands in where pairs are looked for.
        y : array-like of shape (n_windows,), default=None
            Labels.
        extra : dict or DataFrame, default=None
            Further columns of metadata (ratings, for example).
        positions : array-like of shape (n_channels, 3), default=None
            Digitised electrode positions, as for `Recording`.

        Returns
        -------
        EEGWindows
            Windows of one subject and session count as one recording where amplitude
            is normalised.

        Raises
        ------
        ValueError
            Duplicate channel names, wrong lengths, ``sfreq <= 0``, X not 3-D.
        """
        columns = {
            "subject": subject, "dataset": dataset, "session": session,
            "trial": trial, "stimulus": stimulus, "onset": onset, "label": y,
            "extra": extra,
        }  # fmt: skip
        return cls(*stack_arrays(X, ch_names, sfreq, positions, columns))

    @classmethod
    def from_epochs(
        cls,
        epochs: Epochs,
        *,
        dataset: ArrayLike | None = None,
        subject: ArrayLike | None = None,
        session: ArrayLike | None = None,
        trial: ArrayLike | None = None,
        stimulus: ArrayLike | None = None,
        onset: ArrayLike | None = None,
        y: ArrayLike | None = None,
    ) -> Self:
        """Take the windows of `mne.Epochs`.

        Parameters
        ----------
        epochs : mne.BaseEpochs or list of mne.BaseEpochs
            Good EEG channels are kept (volts), projections are applied.  A list may
            mix montages, rates and lengths.
        dataset, subject, session, trial, stimulus : array-like or scalar, default=None
            As for `from_arrays`.  What is None here is taken from a column of that
            name in ``epochs.metadata`` if there is one; further columns are kept.
        onset : array-like or float, default=None
            Seconds from the trial's start; likewise.
        y : array-like of shape (n_windows,), default=None
            Labels; None takes a metadata column ``label``, else the event names.

        Returns
        -------
        EEGWindows
            In the order of the list and of the epochs in it.

        Warns
        -----
        UserWarning
            If epochs are left out: those that lie in a bad span or across a cut, by
            the annotations that the Epochs have kept, or whose event is a mark
            ("boundary", "New Segment").  `Recording.from_raw` says what is a mark.
            If Epochs that were cut from a Raw share samples, but have different trials.

        See Also
        --------
        EEGWindows.to_epochs : The way back.
        """
        windows, clear, spans = read_epochs(
            cls,
            epochs,
            {
                "dataset": dataset, "subject": subject, "session": session,
                "trial": trial, "stimulus": stimulus, "onset": onset, "label": y,
            },
        )  # fmt: skip
        warn_of_overlap(spans[clear], windows._metadata[clear])
        return leave_out_marked(windows, clear, "epochs")

    def to_epochs(self) -> list[mne.EpochsArray]:
        """Make `mne.Epochs` of the windows, one for each montage, rate and length.

        Returns
        -------
        list of mne.EpochsArray
            Copies, float64, in the recordings' unit, which MNE takes for volts; those
            of the first window come first.  A list even if there is but one.  The
            metadata are those of the windows, the events' names are the labels
            ("no label" where there is none), and an event's time, in
            ``epochs.events[:, 0]``, is the number of the window in X.  Electrodes are
            at their digitised positions, else where the 10-05 template has them, else
            nowhere.

        See Also
        --------
        EEGWindows.from_epochs : The way back.

        Notes
        -----
        ``EEGWindows.from_epochs(X.to_epochs())`` has the same windows and metadata.
        Where X has several montages, rates or lengths, they are in the order of the
        list, ``X[np.concatenate([epochs.events[:, 0] for epochs in X.to_epochs()])]``.

        Examples
        --------
        >>> import numpy as np
        >>> from sklearn_mdjpt import EEGWindows
        >>> X = EEGWindows.from_arrays(
        ...     1e-5 * np.random.default_rng(0).standard_normal((4, 2, 500)),
        ...     ch_names=["Fz", "Cz"], sfreq=100.0, subject=1, y=list("abab"))
        >>> (epochs,) = X.to_epochs()
        >>> len(epochs["b"])
        2
        """
        return make_epochs(self)

    @classmethod
    def from_braindecode(
        cls, concat_dataset: BaseConcatDataset, *, dataset: str | None = None
    ) -> EEGWindows:
        """Take the windows of a windowed braindecode dataset.

        Parameters
        ----------
        concat_dataset : braindecode.datasets.BaseConcatDataset
            Windows as ``create_windows_from_events`` and its relatives make them.
            EEG channels are kept, in the dataset's unit.  ``dataset``, ``subject``,
            ``session``, ``stimulus`` and ``label`` come from its metadata or
            description, ``trial`` and ``onset`` (seconds) from its metadata.  Without
            them the label is the target, and trials ("0-1": part and number) and
            onsets (from the trial's first window) follow from the windows' places,
            also where windows were dropped.
        dataset : str, default=None
            Name of the dataset; it goes before that in the description.

        Returns
        -------
        EEGWindows
            In the order of the dataset; further columns of the metadata are kept.

        Raises
        ------
        TypeError
            If the dataset holds recordings that are not cut into windows.

        Warns
        -----
        UserWarning
            If windows are left out: those that lie in a bad span or across a cut, by
            the annotations of the dataset's Raw or Epochs, or whose target is that of
            a mark.  `Recording.from_raw` says what is a mark.

        See Also
        --------
        EEGWindows.to_braindecode : The way back.
        """
        windows, clear = read_dataset(cls, concat_dataset, dataset)
        return leave_out_marked(windows, clear, "windows")

    def to_braindecode(self) -> BaseConcatDataset:
        """Make a braindecode dataset of the windows, one part for each recording.

        Returns
        -------
        braindecode.datasets.BaseConcatDataset
            Windows in the same order, float32, in the recordings' unit.  Each part
            holds what follows on each other in X, of one recording and length: an
            `EEGWindowsDataset` with the whole recording (copied once, in float64, and
            shared by its parts), or for windows that came as arrays a
            `WindowsDataset`.  Dataset, subject and session are in its description,
            the other columns in its metadata, next to those of braindecode.
            ``target`` numbers the sorted labels of X, with -1 where there is none;
            labels that are floats (ratings) are the target themselves.

        Raises
        ------
        ValueError
            If there are no windows, or a column of the metadata has a name that means
            something else in braindecode.

        See Also
        --------
        EEGWindows.from_braindecode : The way back.

        Notes
        -----
        ``EEGWindows.from_braindecode(X.to_braindecode())`` has the same windows, order
        and metadata.  But overlaps are copies then, and amplitudes are normalised by
        the windows of a part, not by the recording: give windows in the order of
        their recordings.

        Networks of braindecode are made for microvolts, or amplitudes of about 1.
        ``dataset.transform = lambda x: 1e6 * x`` scales windows of volts as they are
        read.

        Examples
        --------
        >>> from sklearn_mdjpt.datasets import make_emotion_windows
        >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
        >>> dataset = X.to_braindecode()
        >>> len(dataset) == len(X), len(dataset.datasets)
        (True, 3)
        """
        return make_dataset(self)

    # On disk --------------------------------------------------------------------

    def save(self, folder: PathLike, *, overwrite: bool = False) -> None:
        """Write the windows to a folder, from which `open` maps them into memory.

        Each recording in use is kept whole, once, whatever the overlap of its windows;
        of arrays of windows only the subjects and sessions in use.  Signals keep their
        dtype, metadata their values and dtypes.  Nothing is pickled.

        Parameters
        ----------
        folder : str or path-like
            The folder to make; its parent exists.  It can be moved later.
        overwrite : bool, default=False
            Whether an older store in that folder is replaced.  Other files in it stay.

        Raises
        ------
        FileNotFoundError
            If the folder's parent does not exist.
        FileExistsError
            If ``folder`` is a file, or a folder that is not empty, or with
            ``overwrite=True`` one that holds no store.
        TypeError
            If a column of the metadata or the trials holds something else than str,
            int, float, bool and None, or has a dtype that cannot be kept.  Nothing has
            been written then.
        ValueError
            If the windows are read from the very store that is to be replaced.

        See Also
        --------
        EEGWindows.open : Open the folder.

        Notes
        -----
        Signals are copied a few megabytes at a time, so that recordings larger than
        the memory can be saved.  The folder gets its name when all of it is on the
        disk: after an error or a kill there is none, or the older store as it was.  A
        killed process leaves a hidden folder beside it (inside it, where it existed)
        whose name ends in ``.part`` and which can be deleted.  Only one process at a
        time may write to a folder.  Windows that were opened from a store cannot be
        read any more when it has been replaced: they never get other data.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from sklearn_mdjpt import EEGWindows
        >>> X = EEGWindows.from_arrays(np.ones((3, 1, 50)), ch_names=["Cz"], sfreq=10)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     X.save(folder)
        ...     EEGWindows.open(folder)[1].shape
        (1, 50)
        """
        write_store(
            folder,
            self._sources,
            (self._source_index, self._starts, self._n_times),
            self._metadata,
            overwrite=overwrite,
        )

    @classmethod
    def open(cls, folder: PathLike, *, verify: bool = False) -> Self:
        """Open a folder written by `save`; signals stay on disk until they are read.

        What is read is mapped into memory, and the system takes it out of the memory
        again when it needs the room.  A pickle of the windows holds paths in place of
        signals: other processes, on this machine or on others that see the folder
        under the same path, read the same files.

        Parameters
        ----------
        folder : str or path-like
            The folder.
        verify : bool, default=False
            Whether all signals are read once and compared with their checksums.
            Otherwise it is checked that each file is there, of the dtype, shape and
            size that it was written with; index and metadata are compared always.

        Returns
        -------
        EEGWindows
            The windows that were saved, in the same order.

        Raises
        ------
        FileNotFoundError
            If there is no such folder.
        NotADirectoryError
            If ``folder`` is a file.
        ValueError
            If it is no folder of `save`, has a format version that is not read any more
            or not yet, or a file in it is missing, cut short or damaged.

        See Also
        --------
        EEGWindows.save : Write the folder.
        """
        return cls(*read_store(folder, verify=verify))

    # The sequence ---------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._starts)

    @property
    def shape(self) -> tuple[int]:
        """``(n_windows,)``."""
        return (len(self),)

    @overload
    def __getitem__(self, index: int | np.integer) -> np.ndarray: ...
    @overload
    def __getitem__(
        self, index: slice | Sequence[int] | np.ndarray | pd.Series
    ) -> EEGWindows: ...

    def __getitem__(self, index):
        if isinstance(index, tuple):
            # scikit-learn asks for X[idx, ...]; anything more is a mistake.
            if len(index) == 2 and index[1] is Ellipsis:
                index = index[0]
            elif len(index) == 1:
                index = index[0]
            else:
                raise IndexError(
                    "EEGWindows has one dimension; read arrays with "
                    "X.to_canonical() or X[i]."
                )
        if isinstance(index, int | np.integer) and not isinstance(index, bool):
            if not -len(self) <= index < len(self):
                raise IndexError(
                    f"Window {index} is out of range: {len(self)} windows."
                )
            i = range(len(self))[index]
            source = self._sources[self._source_index[i]]
            return source.windows(self._starts[i : i + 1], self._n_times[i])[0]
        rows = rows_of_index(index, len(self))
        used, source_index = np.unique(self._source_index[rows], return_inverse=True)
        return type(self)(
            [self._sources[k] for k in used],
            source_index,
            self._starts[rows],
            self._n_times[rows],
            self._metadata.iloc[rows].reset_index(drop=True),
        )

    def _with_column(self, name, values):
        """Return the same windows with one more column of metadata."""
        return self._with_metadata(self._metadata.assign(**{name: values}))

    def _with_metadata(self, metadata):
        """Return the same windows with another table of metadata, a row for each."""
        return type(self)(
            self._sources, self._source_index, self._starts, self._n_times, metadata
        )

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[i] for i in range(len(self)))

    def __array__(
        self, dtype: DTypeLike | None = None, copy: bool | None = None
    ) -> np.ndarray:
        rates = self._rates()
        shapes = {
            (source.ch_names, rates[source.sfreq], int(n))
            for source, _, _, n_times in self.blocks()
            for n in np.unique(n_times)
        }
        if len(shapes) > 1:
            raise ValueError(
                f"The windows have {len(shapes)} different montages, rates or lengths "
                "and make no one array; use X.to_canonical()."
            )
        return np.array(list(self), dtype=dtype)

    def blocks(
        self,
    ) -> Iterator[tuple[Recording | WindowStack, np.ndarray, np.ndarray, np.ndarray]]:
        """Iterate over the recordings in use and what is cut from each.

        Yields
        ------
        recording : Recording or WindowStack
            The source of the signal.
        rows : ndarray of int, shape (n,)
            Which windows of X these are, ascending.
        starts : ndarray of int, shape (n,)
            First sample in the recording (or place in the stack).
        n_times : ndarray of int, shape (n,)
            Length of each window in samples at the recording's rate.
        """
        order = np.argsort(self._source_index, kind="stable")
        borders = np.searchsorted(
            self._source_index[order], np.arange(len(self._sources) + 1)
        )
        for k, source in enumerate(self._sources):
            rows = order[borders[k] : borders[k + 1]]
            if len(rows):
                yield source, rows, self._starts[rows], self._n_times[rows]

    def _seconds(self):
        """Length of each window in seconds, to the microsecond."""
        rates = np.array([source.sfreq for source in self._sources])
        return np.round(self._n_times / rates[self._source_index], 6)

    def _number_within(self, runs):
        """Give numbers to the windows of each run, in the order they were made.

        Parameters
        ----------
        runs : ndarray of int, shape (n_windows,)
            Which windows follow each other.

        Returns
        -------
        ndarray of int, shape (n_windows,)
            From 0, however X was shuffled since.  A window that came in the array
            between those of a run and is not in X any more leaves a hole.
        """
        gone = np.zeros(len(self), np.int64)
        for source, rows, starts, _ in self.blocks():
            gone[rows] = source._n_missing(starts)
        order = np.lexsort((self._starts, self._source_index, runs))
        place = np.stack([runs, self._source_index, self._starts])[:, order]
        steps = np.diff(place, axis=1, prepend=place[:, :1])
        number = np.empty(len(self), np.int64)
        number[order] = np.cumsum((steps != 0).any(axis=0))
        table = pd.DataFrame({"run": runs, "number": number, "gone": gone})
        gone -= table.groupby(["run", self._source_index])["gone"].transform("min")
        return (number - table.groupby("run")["number"].transform("min") + gone).values

    def _mixed(self, mixes, ch_names, *, keep_sites=False):
        """Windows of linearly mixed channels.

        Parameters
        ----------
        mixes : list of (ndarray of int, ndarray)
            Rows of X that are cut from one recording, and the matrix
            (n_new_channels, n_channels) for them; every row in one of them.
        ch_names : sequence of str
            Names of the new channels.
        keep_sites : bool, default=False
            Whether channels stay where they were, as they do in whitening: each new
            name is that of an old one, and digitised positions stay with the names.

        Returns
        -------
        EEGWindows
        """
        index = np.empty(len(self), np.int64)
        for k, (rows, _) in enumerate(mixes):
            index[rows] = k
        sources = [
            self._sources[self._source_index[rows[0]]].mixed(
                matrix, ch_names, keep_sites=keep_sites
            )
            for rows, matrix in mixes
        ]
        return type(self)(sources, index, self._starts, self._n_times, self.metadata)

    # Metadata -------------------------------------------------------------------

    @property
    def metadata(self) -> pd.DataFrame:
        """One row for each window; a copy."""
        return self._metadata.copy()

    @property
    def y(self) -> np.ndarray | None:
        """Labels (n_windows,), or None if no window has one."""
        labels = self._metadata["label"].to_numpy(dtype=object)
        return None if pd.isna(labels).all() else as_array(labels)

    def groups(
        self, by: Literal["dataset", "subject", "session", "trial", "stimulus"]
    ) -> np.ndarray:
        """Return one group name for each window, unique across datasets.

        Parameters
        ----------
        by : {"dataset", "subject", "session", "trial", "stimulus"}
            What to group by.  A subject is named "SEED/03", a session "SEED/03/1", a
            trial "SEED/03/1/7" (dataset, subject, session, trial), a stimulus "SEED/7".
            A slash inside an id becomes "%2F" there, so that no two share a name.

        Returns
        -------
        ndarray of str, shape (n_windows,)
            For the ``groups`` of scikit-learn's splitters.

        Raises
        ------
        ValueError
            If some window has no such id.  A missing session is left out of the
            name: a subject without sessions has one, of the subject's name.
        """
        if by not in IDS:
            raise ValueError(
                f"by must be one of {', '.join(map(repr, IDS))}; got {by!r}. "
                "Other columns are in X.metadata."
            )
        # Who has a subject has a session, be it one without a name.
        unnamed = by == "session" and self._metadata["subject"].notna().any()
        needed = "subject" if unnamed else by
        missing = self._metadata[needed].isna().to_numpy()
        if missing.any():
            raise ValueError(
                f"{missing.sum()} of {len(self)} windows have no {needed}; the first "
                f"is window {np.flatnonzero(missing)[0]}. Pass {needed}= where the "
                "windows or recordings are made."
            )
        # Each combination is spelled out once, then spread over the windows.
        columns = self._metadata[["dataset", *IDS[by]]]
        codes = combine_groups(len(self), *(columns[name] for name in columns))
        first = np.unique(codes, return_index=True)[1]
        rows = columns.iloc[first].itertuples(index=False, name=None)
        names = [group_name(by, *row) for row in rows]
        return np.array(names, dtype=str)[codes]

    @property
    def recordings(self) -> list[Recording | WindowStack]:
        """The recordings (or stacks of windows) in use."""
        return list(self._sources)

    @property
    def ch_names(self) -> tuple[str, ...]:
        """Channel names, if all windows share them."""
        found = {source.ch_names for source in self._sources}
        if len(found) != 1:
            raise AttributeError(
                f"The windows have {len(found)} different montages; see "
                "X.recordings[i].ch_names."
            )
        return found.pop()

    @property
    def sfreq(self) -> float:
        """Sampling rate in hertz, if all windows share it."""
        found = sorted({*self._rates().values()})
        if len(found) != 1:
            raise AttributeError(
                "The windows have several sampling rates "
                f"({list_some(show_rates(found))} Hz); see X.recordings[i].sfreq."
            )
        return found[0]

    def _rates(self):
        """Return what to take the rate of each recording for, where some are one."""
        return merge_rates(source.sfreq for source in self._sources)

    # The canonical form ---------------------------------------------------------

    def to_canonical(self, sfreq: float = 125.0) -> np.ndarray:
        """Return all windows on the 60 canonical channels at one rate.

        Recordings are resampled with anti-aliasing, each once and as a whole (windows
        given as arrays one by one), and kept in a cache bounded to 256 MiB; those that
        find no room there are resampled window by window, to the same numbers. Then
        missing channels are filled with the mean of their three nearest neighbours
        (see `sklearn_mdjpt.channels.channel_matrix`).

        Parameters
        ----------
        sfreq : float, default=125.0
            New sampling rate in hertz.

        Returns
        -------
        ndarray of shape (n_windows, 60, n_times)
            Float32, in the recordings' unit.

        Raises
        ------
        ValueError
            If the windows differ in length (in seconds), or a montage has no usable
            channel.
        """
        reader = CanonicalReader(self, sfreq=check_sfreq(sfreq), window_norm=None)
        lengths = np.unique(reader.n_times)
        if len(lengths) > 1:
            raise ValueError(
                f"The windows have different lengths ({list_some(lengths / sfreq)} s) "
                "and make no one array; select windows of one length first."
            )
        return reader.read(np.arange(len(self)))

    # Looks ----------------------------------------------------------------------

    def _summary(self):
        """One row for each dataset: windows, subjects, montages, rates, seconds."""
        rows = []
        sources = self._sources
        rates, one = np.array([source.sfreq for source in sources]), self._rates()
        seconds = np.round(self._n_times / rates[self._source_index], 3)
        for dataset, part in self._metadata.groupby("dataset", sort=False):
            used = [sources[k] for k in np.unique(self._source_index[part.index])]
            rows.append(
                {
                    "dataset": dataset,
                    "windows": len(part),
                    "subjects": part["subject"].nunique(),
                    "stimuli": part["stimulus"].nunique(),
                    "labels": part["label"].nunique(),
                    "channels": _span({s.n_channels for s in used}),
                    "hertz": _span({one[s.sfreq] for s in used}),
                    "seconds": _span(set(seconds[part.index])),
                }
            )
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        if not len(self):
            return "<EEGWindows: 0 windows>"
        table = self._summary()
        several = len(table) != 1
        subjects = self._metadata[["dataset", "subject"]].dropna().drop_duplicates()
        n = len(subjects)
        return (
            f"<EEGWindows: {len(self)} windows of {_join(table['seconds'])} s, "
            f"{len(table)} dataset{'s' * several} ({list_some(table['dataset'], 4)}), "
            f"{n} subject{'s' * (n != 1)}, "
            f"{_join(table['channels'])} channels at {_join(table['hertz'])} Hz>"
        )

    def _repr_html_(self):
        if not len(self):
            return f"<p>{html.escape(repr(self))}</p>"
        return (
            f"<p><b>EEGWindows</b>: {len(self)} windows</p>"
            + self._summary().to_html(index=False)
        )


def concat_windows(windows: Sequence[EEGWindows] | dict[str, EEGWindows]) -> EEGWindows:
    """Put windows of several datasets into one `EEGWindows`.

    Parameters
    ----------
    windows : sequence of EEGWindows or dict of str to EEGWindows
        A dict gives each set the name of its key.  Parts that carry the same dataset
        name are taken for parts of the same dataset; each one that was made without a
        name is a dataset, and its people are counted, by themselves.

    Returns
    -------
    EEGWindows
        Rows keep their order.

    Raises
    ------
    ValueError
        If nothing is given, or a dict would give several datasets one name.

    Warns
    -----
    UserWarning
        If an id of a subject occurs in several sets and one of these has no name, or
        ids in parts of one dataset differ in zeros or capitals only ("S1", "s01").

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_mdjpt import EEGWindows, concat_windows
    >>> a = EEGWindows.from_arrays(np.ones((2, 1, 50)), ch_names=["Cz"], sfreq=10)
    >>> b = EEGWindows.from_arrays(np.ones((3, 2, 50)), ch_names=["Cz", "Pz"], sfreq=10)
    >>> concat_windows({"one": a, "two": b}).groups("dataset")
    array(['one', 'one', 'two', 'two', 'two'], dtype='<U3')
    """
    names = None
    if isinstance(windows, dict):
        names, windows = [as_id(name) for name in windows], list(windows.values())
        if None in names or len(set(names)) < len(names):
            raise ValueError(
                f"The names of the datasets must differ, got {list_some(names)}."
            )
    parts = list(windows)
    if not parts:
        raise ValueError("concat_windows needs at least one EEGWindows.")
    for part in parts:
        if not isinstance(part, EEGWindows):
            raise TypeError(
                f"concat_windows takes EEGWindows, got {type(part).__name__}."
            )
    tables = []
    for i, part in enumerate(parts):
        table = part.metadata
        if names is not None:
            inside = table["dataset"].unique()
            if len(inside) > 1:
                raise ValueError(
                    f"{names[i]!r} would rename {len(inside)} datasets "
                    f"({list_some(inside)}) to one; name the dataset when windows are "
                    "made (dataset=), or pass a list."
                )
            table["dataset"] = names[i]
        tables.append(table)
    return EEGWindows(*join_windows(parts, tables))


def _span(values):
    """Show "62", or "14-62" where values differ."""
    low, high = min(values), max(values)
    return "-".join(show_rates(sorted({low, high})))


def _join(values):
    return "/".join(dict.fromkeys(values))
