from ._conversion import convert as convert
from ._estimator import MDJPTEncoder as MDJPTEncoder
