"""The parts of a fitted model: what comes before its encoder, and what after."""

from sklearn.utils.validation import check_is_fitted

from ..classifier._estimator import MDJPTClassifier
from ..classifier._steps import list_steps
from ..encoder._calibration import known_statistics, read_calibrated
from ..encoder._estimator import MDJPTEncoder
from ..encoder._transform import batches_with_statistics


def split_model(model):
    """Take a fitted model apart at its encoder.

    Parameters
    ----------
    model : estimator
        `MDJPTEncoder`, or a pipeline, `WindowFeatures` or `MDJPTClassifier` with one.

    Returns
    -------
    before : list of transformers
        What windows pass first.
    encoder : MDJPTEncoder
        The encoder, fitted.
    after : list of estimators or torch.nn.Module
        What its features pass afterwards.

    Raises
    ------
    TypeError
        If there is no encoder where one is looked for.
    """
    parts = [
        step.module_ if isinstance(step, MDJPTClassifier) else step
        for step, _ in list_steps(model)
    ]
    places = [i for i, part in enumerate(parts) if isinstance(part, MDJPTEncoder)]
    if len(places) != 1:
        raise TypeError(
            "Expected a fitted MDJPTEncoder, or a pipeline, WindowFeatures or "
            f"MDJPTClassifier with one encoder in it, got {model!r}."
        )
    encoder = parts[places[0]]
    check_is_fitted(encoder, "module_")
    return parts[: places[0]], encoder, parts[places[0] + 1 :]


def read_windows(model, X):
    """Apply the steps before the encoder of a model to windows.

    Parameters
    ----------
    model : estimator
        As for `split_model`.
    X : EEGWindows or what else the model takes
        Windows.

    Returns
    -------
    encoder : MDJPTEncoder
        The encoder.
    windows : EEGWindows
        What the encoder gets of X.
    reader : CanonicalReader
        Reads them as the encoder does.
    """
    before, encoder, _ = split_model(model)
    for step in before:
        X = step.transform(X)
    return encoder, *read_calibrated(encoder, X)


def encoded_windows(encoder, windows, reader, batch_size):
    """Yield batches of windows with the statistics that ``transform`` would use."""
    module = encoder.module_
    return batches_with_statistics(
        module,
        reader,
        windows.metadata,
        batch_size=batch_size,
        device=next(module.parameters()).device,
        known=known_statistics(encoder),
    )
