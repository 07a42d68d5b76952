"""Pickles of estimators: those of another format are refused with an explanation."""

FORMAT_VERSION = 3
"""Raise it whenever attributes of fitted estimators change their meaning."""

_KEY = "_pickle_format"


class VersionedPickle:
    """Base of estimators whose pickles have a format version.

    scikit-learn compares the versions of its own estimators only.  It precedes
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
                advice = f" Files of {name}.save are read by later versions, too."
            raise ValueError(
                f"This pickle holds a {name} of another version of sklearn_mdjpt: its "
                f"format is {found!r}, expected {FORMAT_VERSION}. Fit it again.{advice}"
            )
        super().__setstate__(state)
