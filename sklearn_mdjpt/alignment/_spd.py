"""Symmetric positive definite matrices: checks, regularisation, maps between them.

Distances and means are pyriemann's, except the affine-invariant mean: see
`mean_riemann`.  This module checks that matrices are symmetric and positive definite,
and computes the congruences that recentre them.
"""

import functools
import threading

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import ThreadpoolController

try:
    from pyriemann.geometry.covariance import covariances
    from pyriemann.geometry.distance import distance
    from pyriemann.geometry.mean import mean_euclid, mean_logeuclid
except ImportError:  # pyriemann < 0.12; to go when that is the oldest we support
    from pyriemann.utils.covariance import covariances
    from pyriemann.utils.distance import distance
    from pyriemann.utils.mean import mean_euclid, mean_logeuclid

from .._validation import check_numeric, list_some, warn

METRICS = ("riemann", "logeuclid", "euclid")
EIGENVALUE_FLOOR = 1e-5
"""Default least eigenvalue, in units of the mean eigenvalue of its matrix."""

# Covariances computed in single precision are symmetric, and semi-definite, up to
# rounding that adds up over channels.
_ROUNDING = 1e-5
_RIEMANN_TOL = 1e-9  # of the gradient's norm, in units of that of the identity
_RIEMANN_MAX_ITER = 200

__all__ = [
    "EIGENVALUE_FLOOR",
    "METRICS",
    "check_spd",
    "congruence",
    "distances",
    "mean_riemann",
    "power",
    "recentring",
    "spd_mean",
    "stretch",
    "window_covariances",
]


class _OneThread:
    """Hold BLAS to one thread as long as anyone inside wants it.

    The number of threads is one setting for the whole process: the first to come sets
    it, the last to leave restores it.
    """

    def __init__(self):
        self._lock, self._n_inside, self._blas = threading.Lock(), 0, None

    def __enter__(self):
        with self._lock:
            if not self._n_inside:
                if self._blas is None:  # takes milliseconds
                    self._blas = ThreadpoolController().select(user_api="blas")
                self._limit = self._blas.limit(limits=1)
            self._n_inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._limit.restore_original_limits()


_one_thread = _OneThread()


def on_one_thread(function):
    """Keep BLAS to one thread: on many small matrices more of them only get in the way.

    With another process on the same cores they can take twenty times as long.
    """

    @functools.wraps(function)
    def wrapped(*args, **kwargs):
        with _one_thread:
            return function(*args, **kwargs)

    return wrapped


def window_covariances(X, estimator):
    """Covariance matrices of the channels of windows, the mean taken out.

    Those of pyriemann; the sample covariance and the shrinkages in closed form (Chen et
    al. 2010, doi:10.1109/TSP.2010.2053029; Ledoit and Wolf 2004,
    doi:10.1016/S0047-259X(03)00096-4) are computed for all windows at once.

    Parameters
    ----------
    X : ndarray of float64, shape (n_windows, n_channels, n_times)
        Windows.
    estimator : str or callable
        As for `pyriemann.geometry.covariance.covariances`.

    Returns
    -------
    ndarray of shape (n_windows, n_channels, n_channels)
    """
    if estimator not in ("scm", "oas", "lwf"):
        return covariances(X, estimator)
    n_channels, n_times = X.shape[1:]
    X = X - X.mean(axis=2, keepdims=True)
    S = X @ X.swapaxes(1, 2) / n_times
    if estimator == "scm":
        return S
    mean = np.trace(S, axis1=1, axis2=2) / n_channels
    square = (S**2).mean(axis=(1, 2))
    # What S is away from the target, a multiple of the identity, by its mean square.
    away = square - mean**2 / n_channels
    if estimator == "oas":
        noise = (square + mean**2) / (n_times + 1)
    else:
        fourth = ((X**2).sum(axis=1) ** 2).sum(axis=1) / (n_times * n_channels**2)
        noise = (fourth - square) / n_times
    weight = np.ones(len(S))
    np.divide(noise, away, out=weight, where=away > noise)
    S *= (1 - weight)[:, None, None]
    diagonal = np.arange(n_channels)
    S[:, diagonal, diagonal] += (weight * mean)[:, None]
    return S


@on_one_thread
def check_spd(X, eigenvalue_floor, name="X"):
    """Return matrices as float64, symmetric and positive definite.

    Parameters
    ----------
    X : array-like of shape (n_matrices, n_channels, n_channels)
        Symmetric positive semi-definite matrices, not zero.
    eigenvalue_floor : float
        Eigenvalues below this share of the matrix's mean eigenvalue (trace /
        n_channels) are raised to it.  Matrices without such are returned as they are.
    name : str, default="X"
        What to call them in a message.

    Returns
    -------
    ndarray of shape (n_matrices, n_channels, n_channels)
        A new array.

    Raises
    ------
    ValueError
        Another shape, NaN, inf, asymmetric, zero or indefinite matrices; singular ones
        where the floor is 0.
    """
    X = check_numeric(np.asarray(X), name)
    if X.ndim != 3 or X.shape[1] != X.shape[2] or not X.shape[1]:
        raise ValueError(
            f"{name} must hold square matrices, shape (n_matrices, n_channels, "
            f"n_channels), got {X.shape}."
        )
    if not len(X):
        raise ValueError(f"{name} holds no matrices; at least one is expected.")
    X = X.astype(float)
    _refuse(~np.isfinite(X).all(axis=(1, 2)), name, "hold NaN or inf")
    largest = np.abs(X).max(axis=(1, 2))
    transposed = X.transpose(0, 2, 1)
    skew = np.abs(X - transposed).max(axis=(1, 2))
    _refuse(skew > _ROUNDING * largest, name, "are not symmetric")
    X = (X + transposed) / 2
    eigenvalues = np.linalg.eigvalsh(X)
    _refuse(
        (largest == 0) | (eigenvalues[:, 0] < -_ROUNDING * eigenvalues[:, -1]),
        name,
        "are zero or have negative eigenvalues, and are no covariances",
    )
    floor = eigenvalue_floor * eigenvalues.mean(axis=1)
    low = eigenvalues[:, 0] < floor
    if eigenvalue_floor == 0:
        tiny = np.finfo(float).eps * X.shape[1] * eigenvalues[:, -1]
        _refuse(
            eigenvalues[:, 0] <= tiny,
            name,
            "are singular (a common average reference or interpolated channels make "
            "them so); set eigenvalue_floor above 0",
        )
    elif low.any():
        values, vectors = np.linalg.eigh(X[low])
        X[low] = _compose(np.maximum(values, floor[low, None]), vectors)
    return X


@on_one_thread
def spd_mean(X, metric):
    """Mean (n_channels, n_channels) of SPD matrices (n_matrices, ...) by a metric."""
    if len(X) == 1:
        return X[0].copy()
    if metric == "euclid":
        return mean_euclid(X)
    if metric == "logeuclid":
        return _symmetric(mean_logeuclid(X))
    return mean_riemann(X)


def mean_riemann(X):
    r"""Mean of SPD matrices in the affine-invariant metric.

    Riemannian gradient descent with Barzilai-Borwein steps (Iannazzo and Porcelli 2018,
    doi:10.1093/imanum/drx015) in a frame that moves along: with :math:`M = A A^\top`,
    the gradient is the mean logarithm of :math:`A^{-1} X_i A^{-\top}`, and a step
    multiplies the frame by an exponential.  The Hessian of the cost lies between 1 and
    the mean of :math:`r_i \coth r_i`, with :math:`2 r_i` the range of the log
    eigenvalues.  Its inverse bounds each step from below, and 1 from above.

    `pyriemann.geometry.mean.mean_riemann` starts with steps of 1, shortens them by 5 %
    in every iteration and by half where the gradient grows, and never lengthens them.
    For matrices of similar shape it takes as long and gives the same mean.  Nearly
    singular matrices of different null spaces (short windows, interpolated channels,
    several montages) make the gradient grow often; the steps then vanish before the
    mean is reached, after many times the iterations.

    Parameters
    ----------
    X : ndarray of shape (n_matrices, n_channels, n_channels)
        Symmetric positive definite matrices.

    Returns
    -------
    ndarray of shape (n_channels, n_channels)
        The mean; the gradient's norm is below 1e-9 of that of the identity.
    """
    values, vectors = np.linalg.eigh(mean_euclid(X))
    frame = vectors * np.sqrt(values)
    inverse = (vectors / np.sqrt(values)).T
    before = None
    for _ in range(_RIEMANN_MAX_ITER):
        values, vectors = np.linalg.eigh(congruence(inverse, X))
        if not (values[:, 0] > 0).all():
            raise ValueError(
                "Matrices are too nearly singular for an affine-invariant mean; set a "
                "larger eigenvalue_floor."
            )
        logs = np.log(values)
        gradient = _compose(logs, vectors).mean(axis=0)
        if np.linalg.norm(gradient) <= _RIEMANN_TOL * np.sqrt(len(gradient)):
            break
        half_range = np.maximum((logs[:, -1] - logs[:, 0]) / 2, 1e-6)
        shortest = 1 / np.mean(half_range / np.tanh(half_range))
        if before is None:
            step = shortest
        else:
            step *= (before**2).sum() / (before * (before - gradient)).sum()
            step = np.clip(step, shortest, 1.0)
        values, vectors = np.linalg.eigh(step / 2 * gradient)
        frame = frame @ _compose(np.exp(values), vectors)
        inverse = _compose(np.exp(-values), vectors) @ inverse
        before = gradient
    else:
        warn(
            f"The affine-invariant mean of {len(X)} matrices has not converged.",
            ConvergenceWarning,
        )
    return _symmetric(frame @ frame.T)


@on_one_thread
def distances(X, M, metric):
    """Distances (n_matrices,) of SPD matrices from one of them."""
    return distance(X, M, metric=metric).reshape(-1)


def power(X, exponent):
    """Powers of SPD matrices (..., n_channels, n_channels)."""
    values, vectors = np.linalg.eigh(X)
    return _compose(values**exponent, vectors)


@on_one_thread
def recentring(M, G):
    """Congruence A that whitens by M and colours by G: ``A @ M @ A.T == G``."""
    return power(G, 0.5) @ power(M, -0.5)


@on_one_thread
def congruence(A, X):
    """Return ``A @ X @ A.T`` for each matrix of X, exactly symmetric."""
    return _symmetric(A @ X @ A.T)


@on_one_thread
def stretch(X, G, exponent):
    """Move matrices along the geodesics from G, to ``exponent`` times the distance."""
    root, inverse_root = power(G, 0.5), power(G, -0.5)
    return congruence(root, power(congruence(inverse_root, X), exponent))


def _symmetric(X):
    return (X + np.swapaxes(X, -1, -2)) / 2


def _compose(values, vectors):
    """Matrices from eigenvalues (..., n) and eigenvectors (..., n, n)."""
    return _symmetric((vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2))


def _refuse(bad, name, what):
    if bad.any():
        raise ValueError(
            f"{bad.sum()} of {len(bad)} matrices in {name} {what}: matrices "
            f"{list_some(np.flatnonzero(bad))}."
        )
