"""The encoder that most tests train: a small one, for two batches."""

from sklearn_mdjpt import MDJPTEncoder

SIZE = {"hidden_dim": 16, "latent_dim": 2, "depth": 1, "n_heads": 2, "n_filters": 1}
TINY = {**SIZE, "max_epochs": 1, "batches_per_epoch": 2, "random_state": 0}


def tiny_encoder(**parameters):
    """Return an encoder with these parameters beside, or in place of, the tiny ones."""
    return MDJPTEncoder(**TINY | parameters)
