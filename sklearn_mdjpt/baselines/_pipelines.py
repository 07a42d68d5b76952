"""Classical pipelines, which need no pre-training, and all baselines by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, cast

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from .._validation import check_option, list_some
from ..features import LDSSmoother, SubjectScaler
from ..features._compose import WindowFeatures
from ..features._entropy import DifferentialEntropy

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sklearn.base import BaseEstimator

    from .._typing import ClassWeight


def differential_entropy(
    scale: Literal["subject"] | None = None,
    smoothing: Literal["lds"] | None = None,
    *,
    channels: Literal["auto", "canonical"] = "auto",
    sfreq: float | None = None,
    bands: Mapping[str, tuple[float, float]] | None = None,
    C: float = 0.1,
    class_weight: ClassWeight = None,
) -> Pipeline:
    """Make a pipeline of differential entropy and logistic regression.

    Differential entropy by channel and band [1]_, standardised by the training
    windows, then logistic regression with an L2 penalty: the usual baseline of emotion
    recognition from EEG.  **Inductive** by default, but for the filters, which run over
    whole recordings and so see the samples next to a window; **transductive** with
    ``scale`` or ``smoothing``.

    Parameters
    ----------
    scale : {None, "subject"}, default=None
        "subject": z-score each subject's features by its own windows, test subjects'
        too (`SubjectScaler`): transductive.  The subjects must be known.
    smoothing : {None, "lds"}, default=None
        "lds": smooth features along the windows of each trial (`LDSSmoother`).  That
        uses later windows too: transductive.  The trials must be known.
    channels : {"auto", "canonical"}, default="auto"
        As for `DifferentialEntropy`.
    sfreq : float, default=None
        Sampling rate, in hertz, of plain arrays.
    bands : dict, default=None
        As for `DifferentialEntropy`; None is delta to gamma.
    C : float, default=0.1
        Inverse strength of the penalty.  It is below scikit-learn's 1.0 because windows
        of a trial are alike: there are fewer independent windows than windows.
    class_weight : dict, "balanced" or None, default=None
        As for `sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps "features" (`WindowFeatures`), "scaler" and "classifier"; not
        fitted.

    References
    ----------
    .. [1] Duan RN, Zhu JY, Lu BL. Differential entropy feature for EEG-based emotion
       classification. IEEE/EMBS NER 2013, 81-84, doi:10.1109/NER.2013.6695876.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import differential_entropy
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> differential_entropy("subject").fit(X, X.y).predict(X).shape == X.shape
    True
    """
    check_option(scale, (None, "subject"), "scale")
    check_option(smoothing, (None, "lds"), "smoothing")
    scaling = [SubjectScaler()] if scale == "subject" else []
    steps = scaling + ([LDSSmoother()] if smoothing == "lds" else [])
    extractor = DifferentialEntropy(bands, sfreq=sfreq, channels=channels)
    return linear_pipeline(WindowFeatures(extractor, steps), C, class_weight)


def tangent_space(
    recentre: bool = False,
    estimator: str | Callable[..., Any] = "oas",
    *,
    metric: str = "riemann",
    channels: Literal["auto", "canonical"] = "auto",
    C: float = 0.1,
    class_weight: ClassWeight = None,
) -> Pipeline:
    """Make a pipeline of covariances, their tangent space and logistic regression.

    Covariance matrices of the windows are mapped to the tangent space at the mean of
    the training windows [1]_, standardised by the training windows, and go to logistic
    regression with an L2 penalty.  **Inductive** by default; **transductive** with
    ``recentre``.

    Parameters
    ----------
    recentre : bool, default=False
        Whether to recentre each subject's matrices by their own mean, test subjects'
        too [2]_ (`CovarianceAlignment`): transductive.  The subjects must be known.
    estimator : str or callable, default="oas"
        Estimator of the covariances, as for `WindowCovariances`.  "oas" shrinks them,
        so that those of referenced or interpolated channels are positive definite.
    metric : str, default="riemann"
        Metric of the means and of the tangent space, as for
        `pyriemann.tangentspace.TangentSpace` and `CovarianceAlignment`.
    channels : {"auto", "canonical"}, default="auto"
        As for `WindowCovariances`.  There is one feature for each pair of channels, and
        one for each channel: 1830 for 60 channels.
    C : float, default=0.1
        Inverse strength of the penalty, as for `differential_entropy`.
    class_weight : dict, "balanced" or None, default=None
        As for `sklearn.linear_model.LogisticRegression`.

    Returns
    -------
    sklearn.pipeline.Pipeline
        With the steps "features" (`WindowFeatures`), "scaler" and "classifier"; not
        fitted.

    References
    ----------
    .. [1] Barachant A, Bonnet S, Congedo M, Jutten C. Classification of covariance
       matrices using a Riemannian-based kernel for BCI applications. Neurocomputing
       2013;112:172-178, doi:10.1016/j.neucom.2012.12.039.
    .. [2] Zanini P et al. Transfer learning: a Riemannian geometry framework with
       applications to brain-computer interfaces. IEEE Trans Biomed Eng 2018;65(5),
       doi:10.1109/TBME.2017.2742541.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import tangent_space
    >>> from sklearn_mdjpt.datasets import make_emotion_windows
    >>> X = make_emotion_windows(1, n_subjects=2, n_stimuli=3, random_state=0)
    >>> tangent_space(recentre=True).fit(X, X.y).predict(X).shape == X.shape
    True
    """
    from pyriemann.tangentspace import TangentSpace

    from ..alignment import CovarianceAlignment, WindowCovariances

    check_option(recentre, (True, False), "recentre")
    steps = [TangentSpace(metric=metric)]
    if recentre:
        # TangentSpace has more metrics; CovarianceAlignment.fit refuses the others.
        alignment = CovarianceAlignment(cast(Any, metric), target="identity")
        steps.insert(0, alignment)
    extractor = WindowCovariances(estimator, channels=channels)
    return linear_pipeline(WindowFeatures(extractor, steps), C, class_weight)


def make_baselines(
    *,
    channels: Literal["auto", "canonical"] = "auto",
    C: float = 0.1,
    class_weight: ClassWeight = None,
    smoothing: Literal["lds"] | None = None,
    networks: Sequence[str | type] = (),
    random_state: int | None = None,
    **network_params: Any,
) -> dict[str, BaseEstimator]:
    """Make the usual baselines by name, for one evaluation of all of them.

    Names end in "(inductive)" if the estimator classifies each test window by itself,
    and in "(transductive)" if it uses the windows of a test subject together, without
    labels.

    Parameters
    ----------
    channels : {"auto", "canonical"}, default="auto"
        Channels of all of them.
    C : float, default=0.1
        As for `differential_entropy` and `tangent_space`.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, for all of them.
    smoothing : {None, "lds"}, default=None
        "lds" adds differential entropy smoothed along the trials, which must be known.
    networks : sequence of (str or class), default=()
        Modules for `BraindecodeClassifier`, such as ``("EEGNet", "ShallowFBCSPNet")``;
        they take far longer than the others.
    random_state : int or None, default=None
        Seeds the networks.
    **network_params
        Further parameters of each `BraindecodeClassifier`.

    Returns
    -------
    dict of str to estimator
        Classifiers, not fitted, that take `EEGWindows` that know their subjects.

    Examples
    --------
    >>> from sklearn_mdjpt.baselines import make_baselines
    >>> for name in make_baselines(networks=["EEGNet"], max_epochs=5):
    ...     print(name)
    differential entropy (inductive)
    differential entropy, z-scored by subject (transductive)
    tangent space (inductive)
    tangent space, recentred by subject (transductive)
    EEGNet, scaled by recording (transductive)
    """
    check_option(smoothing, (None, "lds"), "smoothing")
    if isinstance(networks, str | type):
        raise TypeError(f"networks must be a list of modules, got {networks!r}.")
    if network_params and not len(networks):
        raise TypeError(
            f"Parameters of networks ({list_some(network_params)}), but no networks."
        )
    common: dict[str, Any] = {"channels": channels, "class_weight": class_weight}
    classical = common | {"C": C}
    found = {
        "differential entropy (inductive)": differential_entropy(**classical),
        "differential entropy, z-scored by subject (transductive)": (
            differential_entropy("subject", **classical)
        ),
        "tangent space (inductive)": tangent_space(**classical),
        "tangent space, recentred by subject (transductive)": tangent_space(
            recentre=True, **classical
        ),
    }
    if smoothing == "lds":
        name = "differential entropy, z-scored by subject, smoothed (transductive)"
        found[name] = differential_entropy("subject", "lds", **classical)
    if len(networks):
        from ._braindecode import BraindecodeClassifier  # it imports torch
    for module in networks:
        model = BraindecodeClassifier(
            module, **common | {"random_state": random_state} | network_params
        )
        name = module if isinstance(module, str) else module.__name__
        kind = "(inductive)"
        if model.window_norm == "robust":
            kind = ", scaled by recording (transductive)"
        found[f"{name} {kind}".replace(" ,", ",")] = model
    return found


def linear_pipeline(features, C, class_weight):
    """Return a pipeline of features, their standardisation and a linear classifier."""
    classifier = LogisticRegression(C=C, class_weight=class_weight, max_iter=2000)
    steps = [("features", features), ("scaler", StandardScaler())]
    return Pipeline([*steps, ("classifier", classifier)])
