"""Features in which the people of other datasets agree, ready for a new dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import FeatureUnion

from .._validation import check_option
from ..features import (
    CorrelatedComponents,
    DifferentialEntropy,
    LDSSmoother,
    SubjectScaler,
)
from ..features._compose import WindowFeatures
from ..windows._windows import EEGWindows
from ._combined import check_parts, make_encoder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._typing import PathLike, RandomState
    from ..encoder import MDJPTEncoder

_PARTS = ("mdjpt", "entropy")


def shared_features(
    source: EEGWindows,
    encoder: MDJPTEncoder | PathLike | None = None,
    *,
    parts: str | Sequence[str] = ("mdjpt", "entropy"),
    smoothing: Literal["lds"] | None = None,
    n_components: int | None = None,
    shrinkage: float = 0.3,
    weight_power: float = 2.0,
    unseen: Literal["transductive", "pooled", "error"] = "transductive",
    random_state: RandomState = None,
) -> FrozenEstimator:
    """Learn, without labels, the features in which people of other datasets agree.

    mdJPT features and differential entropy of each window, side by side, are scaled by
    subject and projected on their correlated components: the directions in which the
    people of ``source`` agree at the same moment of the same stimulus.  What comes back
    is frozen, so that cross-validation on another dataset does not learn it anew.
    **Transductive** unless ``unseen`` says otherwise: each subject's features are
    z-scored by its own windows, those of test subjects as well.

    Parameters
    ----------
    source : EEGWindows
        Windows of people who saw the same stimuli, of one or more datasets; nobody
        that is to be decoded later may be among them.  Labels are not used.
    encoder : MDJPTEncoder, path-like or None, default=None
        A fitted encoder, one that is to be fitted to ``source``, or the file of its
        weights.  None: `MDJPTEncoder.small`, fitted to ``source``.
    parts : {"mdjpt", "entropy"} or sequence of these, default=("mdjpt", "entropy")
        Which features are joined.  Without "mdjpt" nothing is trained.
    smoothing : {None, "lds"}, default=None
        "lds": smooth the components along the windows of each trial (`LDSSmoother`);
        the trials must be known.
    n_components : int, default=None
        As in `CorrelatedComponents`, like the next two.
    shrinkage : float, default=0.3
        Towards components of equal size.
    weight_power : float, default=2.0
        Power of the correlation that weights a component.
    unseen : {"transductive", "pooled", "error"}, default="transductive"
        As in `SubjectScaler`.  "pooled": people who are neither in ``source`` nor
        calibrated (`~sklearn_mdjpt.compose.calibrate`) are z-scored by the statistics
        of ``source``, those that a classifier is trained on as well; an encoder with
        ``subject_norm="train"`` belongs to it.  To calibrate new people, keep
        "transductive": the classifier then knows features that are z-scored by person.
    random_state : int, RandomState instance or None, default=None
        Seeds the encoder, where it is made here.

    Returns
    -------
    FrozenEstimator
        A fitted transformer from windows to features of shape (n_windows,
        n_components).

    Raises
    ------
    ValueError
        If subjects, stimuli or onsets of ``source`` are not known, if no two people of
        a dataset share a moment, if ``parts`` or a parameter is out of range, or if
        there is an encoder and no part that uses it.
    TypeError
        If ``source`` is no EEGWindows, or ``encoder`` neither encoder nor path.

    See Also
    --------
    combined : Multiplies probabilities instead, and needs no other dataset.
    sklearn_mdjpt.CorrelatedComponents : The projection alone.

    Notes
    -----
    A `~sklearn.preprocessing.StandardScaler` or `SubjectScaler` behind it would undo
    the weights of the components.

    It is kept by pickle or joblib, for one version of this package, as all estimators
    of scikit-learn are; ``encoder.save`` makes a file of the encoder for later ones.

    Examples
    --------
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn_mdjpt import MDJPTEncoder
    >>> from sklearn_mdjpt.baselines import shared_features
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(2, n_subjects=3, n_stimuli=3, random_state=0)
    >>> target = X.groups("dataset") == "SimB"
    >>> encoder = MDJPTEncoder.small(max_epochs=1, batches_per_epoch=2, random_state=0)
    >>> shared = shared_features(X[~target], encoder, smoothing="lds", n_components=8)
    >>> model = make_pipeline(shared, LogisticRegression(C=0.1))
    >>> model.fit(X[target], X.y[target]).predict(X[target]).shape
    (54,)
    """
    names = check_parts(parts, _PARTS)
    if encoder is not None and "mdjpt" not in names:
        raise ValueError(f'An encoder is given, but "mdjpt" is not in parts={parts!r}.')
    check_option(smoothing, (None, "lds"), "smoothing")
    check_option(unseen, ("transductive", "pooled", "error"), "unseen")
    check_source(source)
    components = CorrelatedComponents(n_components, shrinkage, weight_power)
    components.check_parameters()  # before a training
    made = {}
    if "mdjpt" in names:
        encoder = make_encoder(encoder, random_state)
        if not hasattr(encoder, "module_"):
            encoder = clone(encoder).fit(source)
        made["mdjpt"] = FrozenEstimator(encoder)
    if "entropy" in names:
        made["entropy"] = DifferentialEntropy(channels="canonical")
    extractor = FeatureUnion([(name, made[name]) for name in names])
    smoother = [LDSSmoother()] if smoothing == "lds" else []
    features = WindowFeatures(extractor, [SubjectScaler(unseen), components, *smoother])
    return FrozenEstimator(features.fit(source))


def check_source(source):
    """Raise unless people of the same dataset saw the same moment."""
    if not isinstance(source, EEGWindows):
        raise TypeError(
            "source must be EEGWindows, which know who saw what and when, got "
            f"{type(source).__name__}. EEGWindows.from_arrays, from_epochs and "
            "from_braindecode make them; concat_windows joins several."
        )
    columns = source.metadata[["dataset", "subject", "stimulus", "onset"]]
    missing = columns.columns[columns.isna().any()]
    if len(missing):
        n = int(columns.isna().any(axis=1).sum())
        raise ValueError(
            f"{n} of the {len(source)} windows of source have no "
            f"{' and no '.join(missing)}: without that it is not known who saw the "
            "same moment. Select the windows that have all, or name them where the "
            "windows are made."
        )
    moments = columns.assign(onset=(1000 * columns["onset"]).round())
    people = moments.groupby(["dataset", "stimulus", "onset"])["subject"].nunique()
    if not (people > 1).any():
        raise ValueError(
            "No two subjects of a dataset in source share a moment of a stimulus, so "
            "that nothing can be learnt from where they agree."
        )
