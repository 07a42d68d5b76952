"""Small studies for tests: settings, stores of noise, and kills."""

ENCODER = """
[encoder]
hidden_dim = 16
latent_dim = 2
depth = 1
n_heads = 2
n_filters = 1
max_epochs = 2
batches_per_epoch = 2
subjects_per_batch = 2
checkpoint_every = 1
"""
EVALUATION = """
[evaluation]
methods = ["mdjpt", "shared"]
n_splits = 1
"""
TRANSFER = """
[study]
title = "Lab <b>one</b> & two"
[[datasets]]
name = "one"
reader = "store"
path = "A"
[[datasets]]
name = "two"
reader = "store"
path = "B"
role = "target"
"""


_STORES = {}


def writer(make_windows, folder, factory):
    """Return a function that writes a study beside links to the stores A, B and C.

    Each holds windows of noise of three people.
    """
    for name in "ABC":
        if name not in _STORES:
            _STORES[name] = factory.mktemp("stores") / name
            make_windows((name,), random_state=ord(name)).save(_STORES[name])
        (folder / name).symlink_to(_STORES[name])

    def write(text, name="study.toml"):
        path = folder / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


class Kill(BaseException):
    """Ends everything, as a signal does."""


def counted(monkeypatch, home, name, kill_at=None):
    """Count the calls of a function; the process is killed in one of them."""
    calls = []
    original = getattr(home, name)

    def call(*args, **kwargs):
        calls.append(args)
        if len(calls) == kill_at:
            raise Kill
        return original(*args, **kwargs)

    monkeypatch.setattr(home, name, call)
    return calls
