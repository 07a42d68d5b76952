from ._braindecode import BraindecodeClassifier as BraindecodeClassifier
from ._combined import PooledClassifier as PooledClassifier
from ._combined import combined as combined
from ._pipelines import differential_entropy as differential_entropy
from ._pipelines import make_baselines as make_baselines
from ._pipelines import tangent_space as tangent_space
from ._shared import shared_features as shared_features
