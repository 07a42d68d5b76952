"""WindowFeatures: windows to features, through steps that use the windows' metadata.

scikit-learn passes keywords to ``fit``, but not when it predicts. A step that uses
subjects when it gets them would then treat training and test windows differently,
unnoticed. So the metadata is read from X, in every call.
"""

from __future__ import annotations

import inspect
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.pipeline import make_pipeline
from sklearn.utils.validation import check_is_fitted

from .._identity import is_made_up
from .._io._pickles import VersionedPickle
from .._validation import check_option, list_some
from ..windows._metadata import (
    DOMAINS,
    KEYWORDS,
    ReadsWindows,
    TakesWindows,
    read_metadata,
    takes_metadata,
)
from ..windows._people import check_people
from ..windows._windows import EEGWindows
from ._calibration import NothingToCalibrateError, calibrated, twin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from ..windows._inputs import Windows


class WindowFeatures(
    ReadsWindows, TakesWindows, VersionedPickle, TransformerMixin, BaseEstimator
):
    """Features of windows, through steps that get the metadata of the windows.

    An extractor turns windows into features, and steps transform these one after
    another. A step that has a parameter ``subjects``, ``datasets``, ``sessions``,
    ``trials``, ``stimuli``, ``onsets`` or ``domains`` in ``fit`` or ``transform`` gets
    it there for the very windows at hand: in training, prediction and scoring.

    Parameters
    ----------
    extractor : transformer
        From windows to features, or to matrices that a step turns into features:
        `DifferentialEntropy`, `MDJPTEncoder`, a pipeline.
    steps : list of transformers or of (name, transformer), default=()
        Ours (`SubjectScaler`, `LDSSmoother`, `CovarianceAlignment`) or anybody's
        (StandardScaler, PCA, pyriemann's TangentSpace). A step without a name gets
        that of its class in lower case, numbered where several have one
        ("ldssmoother-1"). "passthrough" in the place of a step leaves it out.
    domain : {"subject", "session", "dataset"}, default="subject"
        What steps with a parameter ``domains`` take for a domain.

    Attributes
    ----------
    extractor_ : transformer
        The fitted extractor.
    steps_ : list of (str, transformer)
        The fitted steps.
    n_features_out_ : int
        Number of features.
    training_subjects_ : list of str or None
        Subjects whose windows it was fitted to, such as "SEED/03"; None for arrays, or
        where subjects or datasets have no names.

    See Also
    --------
    SubjectScaler : Standardises each subject's features.
    LDSSmoother : Smooths the features of a trial.
    CovarianceAlignment : Recentres the covariance matrices of each domain.

    Notes
    -----
    *Why not a plain Pipeline.* It passes on X alone. Keywords reach ``fit``
    (``scaler__subjects=...``), but ``predict``, ``cross_val_predict`` and each scorer
    that goes by a name ("accuracy") call ``transform`` without them, with metadata
    routing or without (scikit-learn issue 27977), and an inherited ``fit_transform``
    gives them to ``fit`` only. A scaler by subject would standardise training windows
    by subject and test windows all at once: no error, only a wrong score.

    `EEGWindows` (and mne.Epochs and braindecode datasets, which are turned into them)
    carry the metadata in X; keywords that say otherwise are refused. Ids are unique
    across datasets: subject "SEED/03", session "SEED/03/1", trial "SEED/03/1/7". With
    plain arrays the metadata comes by keyword, in every call, and ids are handed on as
    given. What is not known is None, and a step does what it says it does without.
    ``transform`` raises if a step now lacks what it had in ``fit``, or the reverse.

    Training windows, too, pass each step by ``fit`` and then ``transform``, never by a
    ``fit_transform`` that does something else. Steps keep one row for each window.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import LeaveOneGroupOut, cross_val_score
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn_mdjpt import DifferentialEntropy, LDSSmoother
    >>> from sklearn_mdjpt import SubjectScaler, WindowFeatures
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=3, n_stimuli=3, random_state=0)
    >>> steps = [SubjectScaler(), LDSSmoother()]
    >>> model = Pipeline([("features", WindowFeatures(DifferentialEntropy(), steps)),
    ...                   ("clf", LogisticRegression())])
    >>> cross_val_score(model, X, X.y, groups=X.groups("subject"),
    ...                 cv=LeaveOneGroupOut(), scoring="accuracy").shape
    (3,)

    In a grid search: ``features__extractor__bands``, ``features__ldssmoother``,
    ``features__ldssmoother__transition_noise``.
    """

    extractor_: Any
    steps_: list[tuple[str, Any]]

    __metadata_request__fit = dict.fromkeys(KEYWORDS, True)
    __metadata_request__transform = dict.fromkeys(KEYWORDS, True)

    def __init__(
        self,
        extractor: BaseEstimator,
        steps: Sequence[BaseEstimator | tuple[str, BaseEstimator]] = (),
        domain: Literal["subject", "session", "dataset"] = "subject",
    ) -> None:
        self.extractor = extractor
        self.steps = steps
        self.domain = domain

    @takes_metadata(*KEYWORDS)
    def fit(
        self, X: Windows, y: ArrayLike | None = None, **metadata: ArrayLike | None
    ) -> Self:
        """Fit the extractor and the steps.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            Windows, or whatever the extractor takes.
        y : array-like of shape (n_windows,), default=None
            Handed to the ``fit`` of the extractor and of each step.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            Metadata of plain arrays only, for the steps and for an extractor with such
            parameters. ``transform`` then needs what its steps use, too.

        Returns
        -------
        WindowFeatures
            The transformer itself; after an error it is as it was before.

        Raises
        ------
        ValueError
            Keywords that contradict the metadata of the windows; a column that a step
            uses and that some of the windows lack; a step that changes the number of
            rows; an output that is not 2-D.
        TypeError
            A step that is no transformer.
        """
        self._fit(X, y, metadata)
        return self

    @takes_metadata(*KEYWORDS)
    def fit_transform(
        self, X: Windows, y: ArrayLike | None = None, **metadata: ArrayLike | None
    ) -> np.ndarray:
        """Equal ``fit(X, y, ...).transform(X, ...)``, and extract features once.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.
        y : array-like of shape (n_windows,), default=None
            As for `fit`.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_features_out)
            Row i is window i.
        """
        return self._fit(X, y, metadata)

    @takes_metadata(*KEYWORDS)
    def transform(self, X: Windows, **metadata: ArrayLike | None) -> np.ndarray:
        """Return the features of windows.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs, braindecode dataset or array
            As for `fit`.
        subjects, datasets, sessions, trials, stimuli, onsets : array-like of shape \
(n_windows,), default=None
            As for `fit`.

        Returns
        -------
        ndarray of shape (n_windows, n_features_out)
            Row i is window i.

        Raises
        ------
        ValueError
            If a step lacks metadata that it had in ``fit``, or has some that it had
            not; else as in `fit`.
        """
        check_is_fitted(self)
        return self._run(X, metadata, self.extractor_, self.steps_, fit=False)[0]

    def calibrate(self, X: Windows) -> Self:
        """Fix the statistics of the people in X, in the extractor and in each step.

        Parameters
        ----------
        X : EEGWindows, mne.Epochs, list of mne.Epochs or braindecode dataset
            Windows of one or more people, whose datasets and subjects have names.

        Returns
        -------
        WindowFeatures
            The transformer itself; after an error it is as it was.

        Raises
        ------
        ValueError
            If some windows do not say whose they are, if nothing in it can be
            calibrated; else as in `transform`.

        See Also
        --------
        sklearn_mdjpt.compose.calibrate : Does the same in each step of a pipeline.

        Notes
        -----
        A step that smooths along a trial goes on using the windows of that trial.
        """
        check_is_fitted(self)
        X, _ = check_people(X)
        extractor = calibrated(self.extractor_, X) or self.extractor_
        can = {name for name, step in self.steps_ if hasattr(step, "calibrate")}
        steps = [(n, twin(step) if n in can else step) for n, step in self.steps_]
        if extractor is self.extractor_ and not can:
            names = [type(part).__name__ for part in self._parts()]
            raise NothingToCalibrateError(
                f"None of {list_some(names)} can be calibrated."
            )
        self._run(X, {}, extractor, steps, fit=False, calibrate=can)
        self.extractor_, self.steps_ = extractor, steps
        return self

    @property
    def calibrated_subjects_(self) -> list[str]:
        """The people whose statistics are fixed, as "dataset/subject"."""
        check_is_fitted(self)
        found = (getattr(part, "calibrated_subjects_", ()) for part in self._parts())
        return sorted(set().union(*found))

    def _parts(self):
        return [self.extractor_, *(step for _, step in self.steps_)]

    def _fit(self, X, y, metadata):
        check_option(self.domain, tuple(DOMAINS), "domain")
        X, _ = read_metadata(X, (), metadata, domain=self.domain)
        steps = [(name, clone(step)) for name, step in self._checked_steps()]
        extractor = clone(self.extractor)
        Z, shapes, known = self._run(X, metadata, extractor, steps, fit=True, y=y)
        self.extractor_, self.steps_ = extractor, steps
        self._shapes, self._known = shapes, known
        self.n_features_out_ = Z.shape[1]
        self.training_subjects_ = _subjects_by_name(X)
        return Z

    def _run(self, X, given, extractor, steps, *, fit, y=None, calibrate=()):
        """Take X through all steps, in training and in testing.

        Steps of the names in ``calibrate`` are calibrated on the way.

        Returns the features, the shapes of what the extractor and each step put out,
        and the names of the metadata that was known.
        """
        methods = ("fit", "transform") if fit else ("transform",)
        taken = {
            name
            for _, step in steps
            for method in methods
            for name in _takes(getattr(step, method))
        }
        X, columns = read_metadata(X, taken, given, domain=self.domain)
        if "domains" in taken and columns["domains"] is None:
            raise ValueError(
                f"A step takes domains, and the {self.domain}s of the windows are not "
                "known: name them where the windows are made, or pass "
                f"{self.domain}s= with an array."
            )
        if isinstance(X, EEGWindows):
            given = {}  # the extractor reads X
        given = {name: values for name, values in given.items() if values is not None}
        known = _known(extractor, steps, given, columns)
        if not fit:
            _check_same(self._known, known)
        # Steps see plain arrays, whatever output is asked of this transformer.
        with config_context(transform_output="default"):
            if fit:
                Z = _extract(extractor, X, y, given)
            else:
                Z = extractor.transform(X, **_pick(given, extractor.transform))
            Z = _check_output(Z, X, "extractor", last=not steps)
            shapes = [Z.shape]
            for i, (name, step) in enumerate(steps, 1):
                if fit:
                    step.fit(Z, y, **_pick(columns, step.fit))
                elif name in calibrate:
                    step.calibrate(Z, **_pick(columns, step.calibrate))
                Z = step.transform(Z, **_pick(columns, step.transform))
                Z = _check_output(Z, X, name, last=i == len(steps))
                shapes.append(Z.shape)
        return Z, shapes, known

    # scikit-learn ---------------------------------------------------------------

    def get_feature_names_out(
        self, input_features: ArrayLike | None = None
    ) -> np.ndarray:
        """Return names of the features, as the extractor and the steps give them.

        Parameters
        ----------
        input_features : array-like of str, default=None
            For an extractor that asks for names of what goes into it.

        Returns
        -------
        ndarray of str, shape (n_features_out,)
            Behind a step without names, its class's name and a number.
        """
        check_is_fitted(self)
        names = input_features
        for step, shape in zip(self._parts(), self._shapes, strict=True):
            if len(shape) > 2:
                names = None  # matrices
                continue
            try:
                names = step.get_feature_names_out(names)
            except AttributeError:
                names = [f"{type(step).__name__.lower()}{i}" for i in range(shape[1])]
        return np.asarray(names, dtype=object)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return parameters by name.

        Parameters
        ----------
        deep : bool, default=True
            Whether the steps and their parameters (``name__parameter``) are included.

        Returns
        -------
        dict of str to object
            Parameters by name.
        """
        params = super().get_params(deep=deep)
        for name, step in _named(self.steps) if deep else ():
            params[name] = step
            if hasattr(step, "get_params") and not isinstance(step, type):
                nested = step.get_params(deep=True)
                params |= {f"{name}__{key}": value for key, value in nested.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters, those of steps, or whole steps.

        Parameters
        ----------
        **params : dict
            Values by name; ``name__parameter`` is that of a step, ``name`` a step.

        Returns
        -------
        WindowFeatures
            The transformer itself.
        """
        # First the list of steps: the other names may refer to it.
        self.steps = params.pop("steps", self.steps)
        named = _named(self.steps)
        if any(name in params for name, _ in named):
            # All get their names for good: a new step answers to the old one's.
            self.steps = [(name, params.pop(name, step)) for name, step in named]
        return super().set_params(**params)

    def __sklearn_is_fitted__(self):
        return hasattr(self, "steps_")

    def _checked_steps(self):
        """Return (name, step) for each step in use; raise if one cannot be used."""
        if not isinstance(self.steps, list | tuple):
            raise TypeError(
                "steps must be a list of transformers or of (name, transformer), got "
                f"{type(self.steps).__name__}."
            )
        named = [
            (name, step)
            for name, step in _named(self.steps)
            if not (isinstance(step, str) and step == "passthrough")
        ]
        for name, step in [("extractor", self.extractor), *named]:
            is_transformer = hasattr(step, "fit") and hasattr(step, "transform")
            if isinstance(step, type) or not is_transformer:
                raise TypeError(
                    f"{name!r} must be a transformer with fit and transform, "
                    f"got {step!r}."
                )
            _refuse_hidden(name, step)
        names = [name for name, _ in _named(self.steps)]
        taken = Counter([*names, "extractor", "steps", "domain"])
        clash = [name for name in names if taken[name] > 1 or "__" in name]
        if clash:
            raise ValueError(
                "Names of steps must differ from each other and from the parameters "
                f"extractor, steps and domain, without '__'; got {list_some(clash)}."
            )
        return named


def _named(steps):
    """Return (name, step) pairs; a step without a name gets that of its class."""
    pairs = [
        step if isinstance(step, tuple) and len(step) == 2 else (None, step)
        for step in (steps if isinstance(steps, list | tuple) else ())
    ]
    # make_pipeline names steps by their classes, numbered if several have one class.
    named = iter(make_pipeline(*(s for name, s in pairs if name is None)).steps)
    return [next(named) if name is None else (name, step) for name, step in pairs]


def _refuse_hidden(name, step):
    """Raise if an estimator inside a step takes metadata that it could not get."""
    if isinstance(step, ReadsWindows) or not hasattr(step, "get_params"):
        return
    if _takes(step.fit) | _takes(step.transform):
        return  # it gets what it asks for, and sees to what is inside itself
    for value in step.get_params(deep=False).values():
        # A pipeline's parameters are lists of (name, step) pairs.
        for part in value if isinstance(value, list | tuple) else [value]:
            inside = part[1] if isinstance(part, tuple) and len(part) > 1 else part
            if isinstance(inside, type) or not hasattr(inside, "transform"):
                continue
            takes = _takes(inside.transform)
            if takes and not isinstance(inside, ReadsWindows):
                raise TypeError(
                    f"{type(inside).__name__} inside {name!r} takes "
                    f"{', '.join(sorted(takes))}, which {type(step).__name__} would "
                    "not pass on to it: make it a step of WindowFeatures itself."
                )
            _refuse_hidden(name, inside)


def _subjects_by_name(X):
    """Return the subjects of windows; None unless all have names."""
    if not isinstance(X, EEGWindows):
        return None
    metadata = X.metadata
    if metadata["subject"].isna().any() or is_made_up(metadata["dataset"]).any():
        return None
    return sorted(set(X.groups("subject")))


def _takes(method):
    """Return the metadata that a method has a parameter for."""
    return {*KEYWORDS, "domains"} & set(inspect.signature(method).parameters)


def _pick(metadata, method):
    return {name: metadata[name] for name in _takes(method) if name in metadata}


def _known(extractor, steps, given, columns):
    """Return what is known of the metadata that makes a difference in transform."""
    used = set().union(*(_takes(step.transform) for _, step in steps))
    known = {name for name in used if columns[name] is not None}
    if not isinstance(extractor, WindowFeatures):  # which sees to it itself
        known |= _pick(given, extractor.transform).keys()
    return known


def _check_same(then, now):
    """Raise if metadata was known in fit and is not in transform, or the reverse."""
    changes = {
        "had {} in fit and not now": sorted(then - now),
        "have {} now and had not in fit": sorted(now - then),
    }
    if then != now:
        texts = [text.format(", ".join(n)) for text, n in changes.items() if n]
        raise ValueError(
            f"The steps {', and '.join(texts)}: training and test windows would be "
            "treated differently. scikit-learn passes no keywords to transform when a "
            "pipeline predicts or is scored by a scorer's name. Let X carry the "
            "metadata: EEGWindows.from_arrays(X, ..., subject=..., trial=...)."
        )


def _extract(extractor, X, y, given):
    """Fit the extractor and return its output, by fit_transform if possible."""
    to_fit = _pick(given, extractor.fit)
    to_transform = _pick(given, extractor.transform)
    both = to_fit | to_transform
    # scikit-learn's own fit_transform would pass the metadata to fit only.
    quick = getattr(extractor, "fit_transform", None)
    if quick is not None and both.keys() <= _takes(quick):
        return quick(X, y, **both)
    return extractor.fit(X, y, **to_fit).transform(X, **to_transform)


def _check_output(Z, X, name, last):
    """Return the output of a step as an array; raise unless it has a row a window."""
    n_windows = X.shape[0] if hasattr(X, "shape") else len(X)
    Z = np.asarray(Z)
    if Z.ndim < 2 or len(Z) != n_windows:
        raise ValueError(
            f"{name!r} made an output of shape {Z.shape} of {n_windows} windows; one "
            "row for each window is expected."
        )
    if last and Z.ndim != 2:
        raise ValueError(
            f"{name!r} comes last and made an output of shape {Z.shape}, but features "
            "are 2-D. After matrices, end in a step that makes features of them, such "
            "as pyriemann's TangentSpace."
        )
    return Z
