"""Callbacks of the estimators: copied with their state, loggers shared."""

import pickle
import threading

import numpy as np
import pytest
from settings import tiny_encoder
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, LeaveOneGroupOut, cross_val_score
from sklearn.pipeline import make_pipeline
from skorch.callbacks import Callback, EarlyStopping, TensorBoard

from sklearn_mdjpt import DifferentialEntropy, MDJPTClassifier, MDJPTEncoder
from sklearn_mdjpt.baselines import BraindecodeClassifier


class Writer:
    """What loggers hold: it can be neither copied nor pickled."""

    def __init__(self):
        self.lock = threading.Lock()
        self.lines = []

    def add_scalar(self, tag, scalar_value, global_step):
        with self.lock:
            self.lines.append((tag, global_step))

    def close(self):
        self.lines.append("closed")


class Alone(Callback):
    """A callback that as a whole refuses to be copied."""

    def __init__(self):
        self.n_epochs = 0

    def __reduce_ex__(self, protocol):
        raise TypeError("Alone stays where it is")

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1


class Opens(Callback):
    """Opens its file where it is run, as it should."""

    def __init__(self, path):
        self.path = path

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        with open(self.path, "a") as file:
            file.write("begun\n")


def encoder(callbacks, **parameters):
    return tiny_encoder(
        **{"max_epochs": 2, "batches_per_epoch": 1} | parameters, callbacks=callbacks
    )


def head(callbacks, **parameters):
    return MDJPTClassifier(
        DifferentialEntropy(), max_epochs=2, random_state=0, callbacks=callbacks,
        **parameters,
    )  # fmt: skip


def network(callbacks, **parameters):
    return BraindecodeClassifier(
        "ShallowFBCSPNet", sfreq=100.0, max_epochs=2, random_state=0,
        module_params={"n_filters_time": 2, "n_filters_spat": 2, "pool_time_length": 10,
                       "pool_time_stride": 5},
        callbacks=callbacks, **parameters,
    )  # fmt: skip


MAKERS = {"encoder": encoder, "head": head, "network": network}


@pytest.fixture(scope="module")
def X():
    from sklearn_mdjpt.datasets import make_emotion_windows

    X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    return X[np.flatnonzero(X.metadata["onset"] < 3)]


@pytest.mark.parametrize("name", MAKERS)
def test_loggers_that_cannot_be_copied_log(X, name):
    """callbacks=[TensorBoard(writer)] raised TypeError in fit and in clone."""
    writer = Writer()
    callbacks = [("tb", TensorBoard(writer)), EarlyStopping("train_loss", patience=9)]
    model = MAKERS[name](callbacks)
    twin = clone(clone(model))
    assert twin.get_params()["callbacks"][0][1].writer is writer
    assert twin.callbacks[0][1] is not callbacks[0][1]
    assert twin.callbacks[1] is not callbacks[1]
    twin.fit(X, X.y)
    assert {step for line in writer.lines[:-1] for step in [line[1]]} == {1, 2}
    assert writer.lines[-1] == "closed"
    # The training's state is in copies of copies.
    for logger, stop in (callbacks, twin.callbacks):
        assert not hasattr(logger[1], "first_batch_")
        assert stop.dynamic_threshold_ is None


@pytest.mark.parametrize("name", MAKERS)
def test_fitted_models_with_loggers_are_pickled_without(X, name):
    stops = EarlyStopping("train_loss", patience=9)
    model = MAKERS[name]([TensorBoard(Writer()), stops]).fit(X, X.y)
    predict = "transform" if name == "encoder" else "predict_proba"
    with pytest.warns(UserWarning, match=r"left out .* TensorBoard \(cannot pickle"):
        again = pickle.loads(pickle.dumps(model))
    assert [type(callback) for callback in again.callbacks] == [EarlyStopping]
    assert np.array_equal(getattr(again, predict)(X), getattr(model, predict)(X))
    assert isinstance(model.callbacks[0], TensorBoard)  # it stays as it was
    # What can be pickled stays, without a word.
    again = pickle.loads(pickle.dumps(model.set_params(callbacks=[stops])))
    assert len(again.callbacks) == 1


@pytest.mark.parametrize("name", MAKERS)
def test_models_with_loggers_are_validated(X, name, tmp_path):
    writer, alone = Writer(), Alone()
    model = MAKERS[name]([TensorBoard(writer), alone])
    if name == "encoder":
        model = make_pipeline(model, LogisticRegression())
    split = {"cv": LeaveOneGroupOut(), "groups": X.groups("subject")}
    scores = cross_val_score(model, X, X.y, **split, error_score="raise")
    assert len(scores) == 3 and writer.lines.count("closed") == 3
    assert alone.n_epochs == 6  # as a whole it cannot be copied, and is shared


def test_a_search_clones_loggers(X):
    writer = Writer()
    search = GridSearchCV(head([TensorBoard(writer)]), {"lr": [1e-3, 1e-2]}, cv=2)
    search.fit(X, X.y)
    assert writer.lines.count("closed") == 5
    assert search.best_estimator_.callbacks[0].writer is writer


def test_processes_are_told_which_callbacks_cannot_go_there(X, tmp_path):
    split = {"cv": LeaveOneGroupOut(), "groups": X.groups("subject"), "n_jobs": 2}
    with pytest.raises(Exception) as caught:
        cross_val_score(head([TensorBoard(Writer())]), X, X.y, **split)
    texts = str(caught.value) + str(caught.value.__cause__)
    assert "TensorBoard (cannot pickle '_thread.lock' object)" in texts
    assert "on_train_begin, or take n_jobs=1" in texts
    with pytest.raises(TypeError, match="Alone stays where it is"):
        pickle.dumps(head([Alone()]))
    pickle.dumps(head([Opens("log")]))  # as joblib does


@pytest.mark.slow
def test_callbacks_that_open_their_files_go_to_processes(X, tmp_path):
    split = {"cv": LeaveOneGroupOut(), "groups": X.groups("subject"), "n_jobs": 2}
    cross_val_score(head([Opens(str(tmp_path / "log"))]), X, X.y, **split)
    assert (tmp_path / "log").read_text() == 3 * "begun\n"


def test_encoders_with_loggers_are_saved_and_resumed(X, tmp_path):
    writer = Writer()
    model = encoder([TensorBoard(writer)], checkpoint_dir=tmp_path / "runs").fit(X)
    assert writer.lines
    model.save(tmp_path / "encoder.safetensors")
    loaded = MDJPTEncoder.load(tmp_path / "encoder.safetensors")
    assert np.array_equal(loaded.transform(X), model.transform(X))
    again = clone(model).fit(X)
    assert np.array_equal(again.transform(X), model.transform(X))


def test_stopping_early_is_of_each_training(X):
    """Patience that one fold has lost is not lost in the next."""
    stop = EarlyStopping("train_loss", patience=2, threshold=0.9)
    model = head([TensorBoard(Writer()), stop]).set_params(max_epochs=9)
    epochs = [len(clone(model).fit(X, X.y).history_) for _ in range(2)]
    assert epochs[0] == epochs[1] < 9
    assert len(model.fit(X, X.y).history_) == len(model.fit(X, X.y).history_)


def test_copies_share_only_what_cannot_be_copied(tmp_path):
    with (tmp_path / "log").open("w") as file:
        one, two = TensorBoard(Writer()), Callback()
        one.seen, two.file, two.seen = [], file, None
        two.seen = one.seen
        a, (name, b) = clone(encoder([one, ("two", two)])).callbacks
    assert name == "two" and type(a) is TensorBoard and type(b) is Callback
    assert a is not one and b is not two
    assert a.writer is one.writer and b.file is file
    assert a.seen is b.seen and a.seen is not one.seen  # as the originals do
