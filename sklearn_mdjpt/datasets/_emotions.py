"""The emotion words that label windows, shared by the readers of all datasets.

Each dataset counts its emotions in its own way: 1 is positive in SEED, sad in SEED-IV,
fear in SEED-V and disgust in FACED.  So readers label windows with words, one word for
one emotion whatever a dataset calls it, and `valence_of` turns words into numbers.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from .._validation import list_some

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Emotion(NamedTuple):
    """What is known of an emotion word.

    Attributes
    ----------
    valence : int
        -1 (unpleasant), 0 or 1 (pleasant).
    datasets : tuple of str
        The datasets that have windows of this label.
    """

    valence: int
    datasets: tuple


EMOTIONS = MappingProxyType(
    {
        "positive": Emotion(1, ("SEED", "FACED")),
        "negative": Emotion(-1, ("SEED", "FACED")),
        "neutral": Emotion(
            0, ("SEED", "SEED-IV", "SEED-V", "SEED-VII", "FACED", "EmoEEG-MC", "DENS")
        ),
        "happy": Emotion(1, ("SEED-IV", "SEED-V", "SEED-VII", "FACED", "EmoEEG-MC")),
        "sad": Emotion(-1, ("SEED-IV", "SEED-V", "SEED-VII", "FACED", "EmoEEG-MC")),
        "fear": Emotion(-1, ("SEED-IV", "SEED-V", "SEED-VII", "FACED", "EmoEEG-MC")),
        "disgust": Emotion(-1, ("SEED-V", "SEED-VII", "FACED", "EmoEEG-MC")),
        "anger": Emotion(-1, ("SEED-VII", "FACED")),
        "surprise": Emotion(0, ("SEED-VII",)),
        "amusement": Emotion(1, ("FACED",)),
        "inspiration": Emotion(1, ("FACED", "EmoEEG-MC")),
        "tenderness": Emotion(1, ("FACED", "EmoEEG-MC")),
        "high": Emotion(1, ("DEAP",)),
        "low": Emotion(-1, ("DEAP",)),
        "HVHA": Emotion(1, ("DEAP", "DENS")),
        "HVLA": Emotion(1, ("DEAP", "DENS")),
        "LVHA": Emotion(-1, ("DEAP", "DENS")),
        "LVLA": Emotion(-1, ("DEAP", "DENS")),
    }
)
"""Every label of the emotion datasets: word -> (valence, datasets).

FACED and EmoEEG-MC speak of joy and sadness; their windows are labelled "happy" and
"sad" like those of the other sets.  "positive" and "negative" are the labels of FACED
with two or three classes.  Surprise, which may be either, counts as 0.
"""

_SYNONYMS = MappingProxyType({"joy": "happy", "sadness": "sad"})


def common_word(word):
    """Return the label for a dataset's own word."""
    return _SYNONYMS.get(word, word)


def valence_of(labels: ArrayLike) -> np.ndarray:
    """Return the valence of emotion words: -1, 0 or 1.

    With it, windows of datasets that name different emotions get labels that can be
    learnt from one and told in another.

    Parameters
    ----------
    labels : array-like of str, or str
        Words of `EMOTIONS`, such as ``X.y``; "joy" and "sadness" are known as well.

    Returns
    -------
    ndarray of int
        In the shape of `labels`: -1 (negative), 0 (neutral, and surprise, which may be
        either) or 1 (positive).

    Raises
    ------
    ValueError
        If a word is unknown; names all of them.

    See Also
    --------
    EMOTIONS : The words.

    Notes
    -----
    "high" and "low" are taken for DEAP's valence, and the quadrants ("HVLA") for what
    they say of it.  `read_deap` gives the same two words with ``label="arousal"`` or
    "dominance": these are no valence, and the words cannot tell.

    Examples
    --------
    >>> from sklearn_mdjpt.datasets import valence_of
    >>> valence_of(["happy", "fear", "neutral", "low"])
    array([ 1, -1,  0, -1])
    """
    words = np.asarray(labels, dtype=object)
    # Numbers are told apart from words: their meaning differs between datasets.
    unknown = dict.fromkeys(
        repr(word)
        for word in words.flat
        if not isinstance(word, str) or common_word(word) not in EMOTIONS
    )
    if unknown:
        known = [*EMOTIONS, *_SYNONYMS]
        raise ValueError(
            f"Labels without a known valence: {list_some(unknown)}; known are "
            f"{list_some(known, len(known))}."
        )
    values = [EMOTIONS[common_word(word)].valence for word in words.flat]
    return np.array(values, dtype=int).reshape(words.shape)
