"""Pickles of estimators: those of another version are refused in words."""

FORMAT_VERSION = 2
"""To be raised when attributes of fitted estimators come to mean something else."""

_KEY = "_pickle_format"


class VersionedPickle:
    """Estimator whose pickles say which format they have.

    scikit-learn compares the versions of its own estimators only.  To be named before
    `sklearn.base.BaseEstimator` in the bases of an estimator.
    """

    def __getstate__(self):
        return super().__getstate__() | {_KEY: FORMAT_VERSION}

    def __setstate__(self, state):
        state = dict(state)
        found = state.pop(_KEY, None)
        if found != FORMAT_VERSION:
            name = type(self).__name__
            advice = ""
            if hasattr(self, "save"):
                advice = (
                    f" (What is to outlive a version goes into a file of {name}.save, "
                    "not into a pickle.)"
                )
            raise ValueError(
                f"This pickle holds a {name} of another version of sklearn_mdjpt: its "
                f"format is {found!r}, expected {FORMAT_VERSION}. Fit it again.{advice}"
            )
        super().__setstate__(state)
