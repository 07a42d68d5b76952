"""Three openly licensed emotion datasets as one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._validation import list_some, warn
from ..windows._windows import concat_windows
from ._dens import RATINGS as DENS_RATINGS
from ._dens import fetch_dens
from ._emoeeg import fetch_emoeeg_mc
from ._emotions import valence_of
from ._faced import SCORES
from ._faced_bids import fetch_faced

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .._typing import PathLike
    from ..windows._windows import EEGWindows

# Scales differ: 0 to 7, and 1 to 9 or 5.
_RATINGS = {*SCORES, *DENS_RATINGS}  # those of EmoEEG-MC are among FACED's
_FETCH: dict[str, Callable[..., EEGWindows]] = {
    "FACED": fetch_faced,
    "EmoEEG-MC": fetch_emoeeg_mc,
    "DENS": fetch_dens,
}


def fetch_open_emotion(
    data_home: PathLike | None = None,
    download: bool = True,
    *,
    datasets: Sequence[str] = tuple(_FETCH),
    subjects: Mapping[str, Sequence[int | str]] | None = None,
    part: Literal["whole", "last30"] = "whole",
    context: Literal["video", "imagery", "both"] = "video",
    window_seconds: float = 5.0,
    stride_seconds: float = 2.0,
    on_error: Literal["raise", "skip"] = "raise",
    progress: bool = True,
) -> EEGWindows:
    """Load FACED, EmoEEG-MC and DENS as one, ready for joint pre-training.

    About 213 people, three caps and 69 clips, which anybody may download without an
    agreement.

    Parameters
    ----------
    data_home : path-like, default=None
        As for `fetch_faced`.
    download : bool, default=True
        Fetch what is missing, 46 GB in all.  False: datasets and subjects that are
        absent are left out, datasets with a warning.
    datasets : sequence of str, default=("FACED", "EmoEEG-MC", "DENS")
        Which of the three, in this order.
    subjects : dict of str to sequence of int or str, default=None
        Subjects of each dataset, as its own function takes them; a dataset that is not
        named has all of its subjects.
    part : {"whole", "last30"}, default="whole"
        Of FACED's clips, as for `fetch_faced`.
    context : {"video", "imagery", "both"}, default="video"
        Of EmoEEG-MC, as for `fetch_emoeeg_mc`.
    window_seconds : float, default=5.0
        Length of a window in seconds.
    stride_seconds : float, default=2.0
        Step between windows of a clip in seconds.
    on_error : {"raise", "skip"}, default="raise"
        As for `fetch_faced`.
    progress : bool, default=True
        As for `fetch_faced`.

    Returns
    -------
    EEGWindows
        The windows of the three functions, dataset by dataset.  The column ``valence``
        is common to all: -1, 0 or 1, that of the label, NaN where there is none.
        Ratings, whose scales differ, have names that begin with ``rated_``.

    Raises
    ------
    ValueError
        If a dataset is unknown, or as the three functions raise.
    FileNotFoundError
        With ``download=False``, if a subject that was asked for lacks a file, or
        nothing is present.
    OSError
        If a download fails for good.

    Warns
    -----
    UserWarning
        With ``download=False``, of datasets that are absent.

    See Also
    --------
    fetch_faced, fetch_emoeeg_mc, fetch_dens : One of them, with all its columns.

    Notes
    -----
    Labels are not of one kind: emotions in FACED and EmoEEG-MC, quadrants of a person's
    own ratings in DENS.  Decode ``valence`` across datasets.

    The authors of EmoEEG-MC thank those of FACED for clips: the two are apart by
    people, and not surely by clips.  DENS's electrodes have no names of the 10-20
    system: give ``MDJPTEncoder(unknown_channels="position")``.

    Decoded recordings take 0.2 to 0.6 GB each in memory; save the windows once
    (`EEGWindows.save`) and open the store for pre-training.

    Examples
    --------
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.datasets import fetch_open_emotion
    >>> X = fetch_open_emotion()  # doctest: +SKIP
    >>> MDJPTEncoder.small(unknown_channels="position").fit(X)  # doctest: +SKIP
    """
    names = [datasets] if isinstance(datasets, str) else list(datasets)
    if subjects is not None and not isinstance(subjects, Mapping):
        raise TypeError(
            "subjects must be a dict of subjects by dataset, such as "
            f"{{'FACED': [4, 5]}}; got {subjects!r}."
        )
    subjects = dict(subjects or {})
    unknown = [name for name in (*names, *subjects) if name not in _FETCH]
    if unknown or not names:
        raise ValueError(
            f"Datasets, and keys of subjects, must be among {list_some(_FETCH)}; got "
            f"{list_some(map(repr, unknown)) or 'none'}."
        )
    own: dict[str, dict[str, Any]] = {
        "FACED": {"part": part},
        "EmoEEG-MC": {"context": context},
    }
    parts, absent = [], []
    for name in dict.fromkeys(names):
        try:
            windows = _FETCH[name](
                data_home,
                subjects.get(name),
                download,
                window_seconds=window_seconds,
                stride_seconds=stride_seconds,
                on_error=on_error,
                progress=progress,
                **own.get(name, {}),
            )
        except FileNotFoundError as error:
            if download or name in subjects:
                raise
            absent.append(str(error))
            continue
        parts.append(_with_valence(windows))
    if not parts:
        raise FileNotFoundError(" ".join(absent))
    if absent:
        warn(f"{len(absent)} datasets are left out. {' '.join(absent)}")
    return concat_windows(parts)


def _with_valence(windows):
    """Return the windows with the labels' valence, and ratings under other names."""
    metadata = windows.metadata
    ratings = [name for name in metadata if name in _RATINGS]
    metadata = metadata.rename(columns={name: f"rated_{name}" for name in ratings})
    known = metadata["label"].notna()
    metadata["valence"] = np.nan
    metadata.loc[known, "valence"] = valence_of(metadata["label"][known]).astype(float)
    return windows._with_metadata(metadata)
