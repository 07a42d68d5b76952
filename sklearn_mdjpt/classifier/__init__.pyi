from ._estimator import MDJPTClassifier as MDJPTClassifier
