from ._estimator import MDJPTClassifier as MDJPTClassifier
from ._regressor import MDJPTRegressor as MDJPTRegressor
