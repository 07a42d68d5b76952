"""The steps of a fitted model: in a row, and all that are inside it."""

from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ..features._calibration import held_estimators
from ..features._compose import WindowFeatures
from ._head import HeadEstimator


def list_steps(model, domain=None):
    """List the steps of a fitted model, one after the other.

    Parameters
    ----------
    model : estimator
        Pipelines, `WindowFeatures`, FrozenEstimators and `MDJPTClassifier` are taken
        apart, down to steps that are none of these.
    domain : {"subject", "session", "dataset"}, default=None
        Of the `WindowFeatures` that hands metadata to the model itself.

    Returns
    -------
    list of (estimator, str or None)
        Each step, and the domain of the `WindowFeatures` that hands metadata to it;
        None for steps that nobody hands any to.  An `MDJPTClassifier` comes last, and
        stands for its head.
    """
    if isinstance(model, FrozenEstimator):
        return list_steps(model.estimator, domain)
    if isinstance(model, Pipeline):
        used = (step for _, step in model.steps if step not in (None, "passthrough"))
        return [one for step in used for one in list_steps(step, domain)]
    if isinstance(model, WindowFeatures):
        check_is_fitted(model)
        steps = [(step, model.domain) for _, step in model.steps_]
        return [*list_steps(model.extractor_), *steps]
    if isinstance(model, HeadEstimator):
        check_is_fitted(model)
        return [*list_steps(model.features_, domain), (model, domain)]
    return [(model, domain)]


def fitted_parts(model):
    """Yield a fitted model and all fitted estimators inside it.

    Parameters
    ----------
    model : object
        An estimator, or what one holds.
    """
    yield model
    if isinstance(model, WindowFeatures):
        inside = [model.extractor_, *(step for _, step in model.steps_)]
    elif isinstance(model, HeadEstimator):
        inside = [model.features_]
    else:
        inside = held_estimators(model)
    for part in inside:
        yield from fitted_parts(part)
