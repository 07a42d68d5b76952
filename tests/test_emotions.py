import numpy as np
import pytest

from sklearn_mdjpt.datasets import EMOTIONS, make_emotion_windows, valence_of


@pytest.mark.parametrize(
    "valence, words",
    [
        (-1, "negative sad sadness fear disgust anger low LVHA LVLA"),
        (0, "neutral surprise"),
        (1, "positive happy joy amusement inspiration tenderness high HVHA HVLA"),
    ],
)
def test_valence_of_words(valence, words):
    values = valence_of(words.split())
    assert values.dtype.kind == "i"
    assert set(values) == {valence}
    assert {valence_of(word).item() for word in words.split()} == {valence}


def test_shape_and_order_are_kept():
    words = np.array([["happy", "sad"], ["neutral", "anger"]])
    np.testing.assert_array_equal(valence_of(words), [[1, -1], [0, -1]])
    np.testing.assert_array_equal(valence_of(words.astype(object)), [[1, -1], [0, -1]])
    assert valence_of([]).shape == (0,)


def test_unknown_words_are_named():
    with pytest.raises(ValueError, match="'rest', 'arithmetic'; known are positive"):
        valence_of(["rest", "happy", "arithmetic", "rest"])


@pytest.mark.parametrize("label", [1, np.int64(-1), None, np.nan, "Happy", b"happy"])
def test_what_is_no_word_is_refused(label):
    with pytest.raises(ValueError, match="without a known valence"):
        valence_of(["happy", label])


def test_the_table():
    assert {word for word, e in EMOTIONS.items() if "SEED-V" in e.datasets} == {
        "disgust", "fear", "sad", "neutral", "happy",
    }  # fmt: skip
    assert {word for word, e in EMOTIONS.items() if "SEED-VII" in e.datasets} == {
        "disgust", "fear", "sad", "neutral", "happy", "anger", "surprise",
    }  # fmt: skip
    assert {e.valence for e in EMOTIONS.values()} == {-1, 0, 1}
    with pytest.raises(TypeError):
        EMOTIONS["joy"] = 1


@pytest.mark.parametrize("n_emotions", [2, 3, 9])
def test_simulated_emotions_are_known(n_emotions):
    X = make_emotion_windows(
        n_datasets=1, n_subjects=1, n_stimuli=n_emotions, n_emotions=n_emotions,
        trial_seconds=2.0, window_seconds=1.0,
    )  # fmt: skip
    assert len(valence_of(X.y)) == len(X)
