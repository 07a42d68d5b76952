"""Fingerprints: equal for what is equal in any process; other for all else; refused."""

import collections
import ctypes
import dataclasses
import datetime
import decimal
import enum
import functools
import gc
import importlib
import json
import operator
import os
import pickle
import random
import re
import subprocess
import sys
import threading
import types
import weakref
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import scipy.special
import torch
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from skorch.callbacks import Callback, LRScheduler, PrintLog

from sklearn_mdjpt import DifferentialEntropy, EEGWindows, MDJPTEncoder, Recording
from sklearn_mdjpt._io._fingerprint import NotKnown, fingerprint
from sklearn_mdjpt._io._signals import DecodedSignal
from sklearn_mdjpt.windows._content import signals


class Colour(enum.Enum):
    RED, BLUE = 1, 2


@dataclasses.dataclass
class Pair:
    a: int = 1
    b: list = dataclasses.field(default_factory=list)


Tuple = collections.namedtuple("Tuple", "a b")


def scaled(x, *, by=1.0):
    return np.log1p(x) * by


def make_values():
    """Return values no two of which are equal in all that can count."""
    arrays = [
        np.arange(3), np.arange(3.0), np.arange(3)[None], np.array(3), np.float64(1),
        np.int64(1), np.int32(1), np.str_("1"), np.array([1, "a", None], object),
        np.array([1.0, "a", None], object), np.array(["a", None], object),
        np.array(["a", "b"]), np.array(["2020"], "M8[D]"), np.array(["2020"], "M8[s]"),
        np.zeros(2, [("a", "f4"), ("b", "i2")]),
        np.zeros(2, [("a", "f4"), ("c", "i2")]),
        np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0]),
        np.rec.array([(1, 2.0)]), np.array([[1, 2]]), np.dtype("f4"), np.dtype(">f4"),
        np.float32,
    ]  # fmt: skip
    plain = [
        None, ..., True, 1, 1.0, -0.0, 0.0, float("nan"), 1j, "1", b"1", [1], (1,), {1},
        frozenset([1]), {1: 1}, {"1": 1}, {1: 1.0}, [], (), {}, set(), slice(1),
        slice(1, 2), range(3), range(4), bytearray(b"1"), Path("a"), Path("b"),
        decimal.Decimal(1), datetime.timedelta(1), re.compile("a"), Colour.RED,
        Colour.BLUE, Colour, Tuple(1, 2), Tuple(2, 1), Pair(), Pair(2), Pair,
        collections.OrderedDict(a=1), types.SimpleNamespace(a=1), object(), [[1], 2],
        [[1, 2]], ["a", "b"], ["ab"], iter([1]), list[int],
    ]  # fmt: skip
    code = [
        len, str.upper, np.log1p, scipy.special.expit, np.dot, np.mean, torch.sin,
        scaled, torch.nn.functional.relu, [1].append, [2].append, np.add.reduce, np,
        functools.partial(scaled, by=1.0), functools.partial(scaled, by=2.0),
        operator.itemgetter(1), functools.lru_cache(scaled), np.vectorize(scaled),
        Pair(3).__eq__, lambda x: x, lambda x: x + 1, property(scaled),
    ]  # fmt: skip
    randoms = [
        np.random.default_rng(0), np.random.default_rng(1), np.random.RandomState(0),
        np.random.RandomState(1), random.Random(0), random.Random(1),
        np.random.SeedSequence(0), np.random.SeedSequence(1),
        np.random.default_rng(0).normal, torch.Generator().manual_seed(1),
        torch.Generator().manual_seed(2),
    ]  # fmt: skip
    series = pd.Series([1, 2])
    tables = [
        series, pd.Series([1, 3]), series.rename("a"), series.set_axis([1, 0]),
        series.astype(float), series.astype("Int64"),
        pd.Series(["a"], dtype="category"),
        pd.Series(["a"], dtype=pd.CategoricalDtype(["a", "b"])), series.to_frame(),
        series.to_frame("a"), pd.Categorical(["a"], ordered=True),
        pd.Categorical(["a"]),
        pd.Index(["a"]), pd.Index(["a"], name="b"), pd.RangeIndex(2), pd.Index([0, 1]),
        pd.MultiIndex.from_tuples([(1, "a")]), pd.period_range("2020", periods=2),
        pd.to_datetime(pd.Series(["2020"]), utc=True), pd.NA, pd.NaT,
        pd.Timestamp("2020"), pd.IntervalIndex.from_breaks([0, 1]),
    ]  # fmt: skip
    eye = np.eye(2)
    sparse = [
        scipy.sparse.csr_matrix(eye), scipy.sparse.csr_array(eye),
        scipy.sparse.csr_array(2 * eye), scipy.sparse.coo_array(eye),
        scipy.sparse.dok_array(eye), scipy.sparse.dia_array(eye),
    ]  # fmt: skip
    tensors = [
        torch.ones(2), torch.ones(2, 1), torch.ones(2, dtype=torch.int32),
        torch.ones(2, dtype=torch.bfloat16), torch.nn.Parameter(torch.ones(2)),
        torch.float32, torch.float64, torch.device("cpu"), torch.device("meta"),
        torch.nn.ReLU(), torch.nn.Dropout(0.1), torch.nn.Dropout(0.2),
    ]  # fmt: skip
    X, y = [[0], [1]], [0, 1]
    estimators = [
        LogisticRegression(), LogisticRegression(C=2), LogisticRegression().fit(X, y),
        FrozenEstimator(LogisticRegression().fit(X, y)), LRScheduler("StepLR"),
        FrozenEstimator(LogisticRegression(C=2).fit(X, y)), LogisticRegression,
        make_pipeline(FunctionTransformer(scaled), LogisticRegression()),
        make_pipeline(FunctionTransformer(np.log1p), LogisticRegression()),
    ]  # fmt: skip
    return [
        *arrays, *plain, *code, *randoms, *tables, *sparse, *tensors, *estimators,
    ]  # fmt: skip


def test_values_are_told_apart_and_found_again_in_other_processes():
    first, second = make_values(), make_values()
    found = [fingerprint(value) for value in first]
    same = {}
    for value, name in zip(first, found, strict=True):
        same.setdefault(name, []).append(value)
    assert [values for values in same.values() if len(values) > 1] == []
    assert [fingerprint(value) for value in second] == found
    script = (
        "import json, test_fingerprint as t;"
        "print(json.dumps([t.fingerprint(v) for v in t.make_values()]))"
    )
    said = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parent,
        check=True,
        capture_output=True,
        text=True,
    )
    assert json.loads(said.stdout) == found


def test_content_counts_and_not_where_it_lies(tmp_path):
    array = np.arange(12.0).reshape(3, 4)
    np.save(tmp_path / "a.npy", array)
    mapped = np.load(tmp_path / "a.npy", mmap_mode="r")
    assert fingerprint(mapped) == fingerprint(array) == fingerprint(array.copy("F"))
    texts = np.array(["a", "b", "a"], object)
    assert fingerprint(texts) == fingerprint(np.array(["".join("a"), "b", "a"], object))
    inner = [1]
    assert fingerprint([inner, inner]) == fingerprint([[1], [1]])
    padded = np.zeros(2, np.dtype([("a", "i1"), ("b", "f8")], align=True))
    dirty = padded.copy()
    dirty.view(np.uint8)[1] = 9  # between the fields
    assert fingerprint(padded) == fingerprint(dirty)


def test_what_holds_itself():
    first, second = [1], [1]
    first.append(first)
    second.append([1, second])
    assert fingerprint(first) != fingerprint(second)
    again = [1]
    again.append(again)
    assert fingerprint(again) == fingerprint(first)
    deep = []
    for _ in range(5000):
        deep = [deep]
    with pytest.raises(NotKnown, match="nested too deeply"):
        fingerprint(deep)


def unknown_values():
    return {
        "_thread.lock": threading.Lock(),
        "TextIOWrapper": open(os.devnull),  # noqa: SIM115
        "generator": (i for i in ()),
        "LP_c_int": ctypes.pointer(ctypes.c_int(1)),
        "CDLL": ctypes.CDLL(None) if os.name == "posix" else ctypes.c_int(),
        "memoryview": memoryview(b"a"),
        "ReferenceType": weakref.ref(Pair),
        "numpy.ufunc": np.frompyfunc(scaled, 1, 1),
        "dict_keys": {}.keys(),
    }


def test_what_is_not_known_is_refused_and_named():
    for name, value in unknown_values().items():
        with pytest.raises(NotKnown, match=name):
            fingerprint(value)
        step = FunctionTransformer(scaled, kw_args={"by": [value]})
        model = make_pipeline(step, LogisticRegression())
        where = rf"^steps\[0\]\[1\].kw_args\['by'\]\[0\].*{name}"
        with pytest.raises(NotKnown, match=where):
            fingerprint(model)
        if hasattr(value, "close"):
            value.close()


# Code ------------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Return a function that imports a module of some text, as users write it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def make(text, name="of_a_user"):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module(name)

    yield make
    for name in ("of_a_user", "helper"):
        sys.modules.pop(name, None)


FUNCTIONS = {
    "constant": "def f(x): return x * @",
    "in a comprehension": "def f(x): return [a * @ for a in x]",
    "in a generator": "def f(x): return sum(a * @ for a in x)",
    "in a function inside": "def f(x):\n def g(a): return a * @\n return g(x)",
    "in a class inside": "def f(x):\n class A:\n  k = @\n return A.k * x",
    "in a tuple": "def f(x): return (@, 2.0)[0]",
    "in a set": "def f(x): return x in {@, 5.0}",
    "default": "def f(x, k=@): return x * k",
    "keyword default": "def f(x, *, k=@): return x * k",
    "function as default": "def f(x, g=lambda x: x * @): return g(x)",
    "bound": "def make(k): return lambda x: x * k\nf = make(@)",
    "global": "K = @\ndef f(x): return x * K",
    "global of a function inside": "K = @\ndef f(x): return [a * K for a in x]",
    "global table": "import pandas as pd\nT = pd.Series([@])\n"
        "def f(x): return x * T[0]",
    "function called": "def g(x): return x * @\ndef f(x): return g(x)",
    "functions that call each other":
        "def f(x): return g(x)\ndef g(x): return f(x) * @",
    "function in a dict": "T = {'a': lambda x: x * @}\ndef f(x): return T['a'](x)",
    "decorated": "import functools\ndef by(k):\n def d(g):\n  @functools.wraps(g)\n"
        "  def w(x): return g(x) * k\n  return w\n return d\n"
        "@by(@)\ndef f(x): return x",
    "cached": "import functools\n@functools.lru_cache\ndef f(x): return x * @",
    "partial": "import functools\ndef g(x, k): return x * k\n"
        "f = functools.partial(g, k=@)",
    "partial of own": "import functools\ndef g(x): return x * @\n"
        "f = functools.partial(g)",
    "attribute": "def f(x): return f.k\nf.k = @",
    "method": "class A:\n def t(self, x): return x * @\nf = A().t",
    "state of a method": "class A:\n def __init__(self, k): self.k = k\n"
        " def t(self, x): return x * self.k\nf = A(@).t",
    "called": "class A:\n def __call__(self, x): return x * @\nf = A()",
    "class": "class f:\n def t(self, x): return x * @",
    "attribute of a class": "class f:\n k = @\n def t(self, x): return x * self.k",
    "default of an attribute": "class f:\n k = @\n def fit(self): self.k = 3\n"
        " def t(self, x): return x * self.k",
    "attribute that is added to and read":
        "class f:\n k = @\n def t(self, x):\n  f.k += 1\n  return x * f.k",
    "property": "class f:\n @property\n def k(self): return @",
    "cached property": "import functools\nclass f:\n @functools.cached_property\n"
        " def k(self): return @",
    "static method": "class f:\n @staticmethod\n def k(): return @",
    "class method": "class f:\n @classmethod\n def k(cls): return @",
    "base class": "class A:\n def t(self, x): return x * @\nclass f(A): pass",
    "super": "class A:\n def t(self, x): return x * @\n"
        "class f(A):\n def t(self, x): return super().t(x)",
    "metaclass": "class M(type):\n def k(cls): return @\nclass f(metaclass=M): pass",
    "abstract base": "import abc\nclass A(abc.ABC):\n def t(self): return @\n"
        "class f(A): pass",
    "slots": "class A:\n __slots__ = ('k',)\n def __init__(self): self.k = @\nf = A()",
    "dataclass": "import dataclasses\n@dataclasses.dataclass\nclass f:\n k: float = @",
    "factory": "import dataclasses\n@dataclasses.dataclass\nclass f:\n"
        " k: list = dataclasses.field(default_factory=lambda: [@])",
    "enum": "import enum\nclass E(enum.Enum):\n A = @\nf = E.A",
    "network": "import torch\nclass f(torch.nn.Module):\n"
        " def forward(self, x): return x * @",
    "estimator": "from sklearn.base import BaseEstimator, TransformerMixin\n"
        "class A(TransformerMixin, BaseEstimator):\n"
        " def fit(self, X, y=None): return self\n"
        " def transform(self, X): return X * @\nf = A()",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_edited_code_counts(module, name):
    def make(value):
        text = re.sub(r"@(?![a-z])", value, FUNCTIONS[name])
        return fingerprint(module(text).f)

    assert make("1.0") != make("2.0")
    assert make("1.0") == make("1.0")


@pytest.mark.parametrize(
    "text",
    [
        "import helper\ndef f(x): return helper.g(x)",
        "import helper as h\ndef f(x): return h.K * x",
        "from helper import g\ndef f(x): return g(x)",
        "def f(x):\n import helper\n return helper.g(x)",
        "def f(x):\n from helper import g\n return g(x)",
        "import helper\nclass f(helper.A): pass",
    ],
)
def test_code_in_other_modules_of_the_user_counts(module, text):
    helper = "K = @\ndef g(x): return x * K\nclass A:\n def t(self, x): return x * @\n"

    def make(value):
        module(helper.replace("@", value), "helper")
        return fingerprint(module(text).f)

    assert make("1.0") != make("2.0")
    assert make("1.0") == make("1.0")


def test_what_does_not_change_results_does_not_count(module):
    one = module("import numpy as np\ndef f(x): return np.log1p(x)").f
    two = module("# moved\nimport numpy as np\n\n\ndef f(x): return np.log1p(x)").f
    assert fingerprint(one) == fingerprint(two)
    counts = module("class f:\n n = 0\n def t(self, x):\n  f.n += 1\n  return x").f
    before = fingerprint(counts)
    counts().t(1)
    assert counts.n == 1 and fingerprint(counts) == before


def test_installed_packages_count_by_version(monkeypatch):
    from sklearn_mdjpt._io import _code

    before = fingerprint(LogisticRegression(), np.log1p, scaled)
    assert _code.installed_version("sklearn.svm") == _code.installed_version("sklearn")
    assert _code.installed_version("json").startswith("Python 3.")
    assert _code.installed_version(__name__) is None
    assert _code.installed_version("__main__") is None
    version = _code._version
    _code.installed_version.cache_clear()
    monkeypatch.setattr(
        _code, "_version", lambda top: "0" if top == "sklearn" else version(top)
    )
    assert _code.installed_version("sklearn") == "sklearn 0"
    assert fingerprint(LogisticRegression(), np.log1p, scaled) != before
    _code.installed_version.cache_clear()


class ReadsTable(TransformerMixin, BaseEstimator):
    def __init__(self, path):
        self.path = path


def test_files_that_parameters_name_count_with_their_content(tmp_path):
    for path in (tmp_path / "table.csv", str(tmp_path / "table.csv")):
        Path(path).write_text("1")
        before = fingerprint(ReadsTable(path))
        assert fingerprint(clone(ReadsTable(path))) == before
        Path(path).write_text("22")
        assert fingerprint(ReadsTable(path)) != before


# Windows ----------------------------------------------------------------------------

ABOUT = {"ch_names": ["Fz", "Cz", "Pz", "Oz"], "sfreq": 100.0}


def arrays(seed=0):
    return 1e-5 * np.random.default_rng(seed).standard_normal((6, 4, 200))


def test_windows_by_their_samples_and_metadata():
    who = {"subject": list("aabbcc"), "y": list("xyxyxy")}
    X = EEGWindows.from_arrays(arrays(), **ABOUT, **who)
    base = fingerprint(X)
    # The name that was made up for the dataset is another one.
    assert fingerprint(EEGWindows.from_arrays(arrays(), **ABOUT, **who)) == base
    assert fingerprint(pickle.loads(pickle.dumps(X))) == base
    others = [
        EEGWindows.from_arrays(arrays(1), **ABOUT, **who),
        EEGWindows.from_arrays(arrays(), **ABOUT | {"sfreq": 99.0}, **who),
        EEGWindows.from_arrays(arrays(), **ABOUT, **who | {"y": list("xyxyyx")}),
        EEGWindows.from_arrays(arrays(), **ABOUT, **who, dataset="lab"),
        EEGWindows.from_arrays(arrays(), **ABOUT, **who, extra={"age": range(6)}),
        X[:-1], X[::-1],
    ]  # fmt: skip
    found = [fingerprint(other) for other in others]
    assert len({base, *found}) == 1 + len(others)
    assert fingerprint(signals(X)) == fingerprint(signals(others[2]))


def test_bad_spans_of_recordings_count(make_windows):
    X = make_windows()
    before = fingerprint(signals(X))
    X.recordings[0].bad_spans = ((0.5, 0.75),)
    assert fingerprint(signals(X)) != before


def test_arrays_that_were_changed_in_place_are_read_again():
    data = arrays()
    X = EEGWindows.from_arrays(data, **ABOUT)
    before, old = fingerprint(X), X.recordings[0].robust_statistics(range(4))
    data *= 2
    assert fingerprint(X) != before
    center, scale = X.recordings[0].robust_statistics(range(4))
    assert scale == pytest.approx(2 * old[1])
    data /= 2
    assert fingerprint(X) == before


def rewrite(path, array):
    """Write a file anew, at a time that differs whatever the system's clock."""
    before = path.stat().st_mtime_ns
    np.save(path, array)
    os.utime(path, ns=(before, before + 2_000_000_000))


def test_a_map_that_was_rewritten_answers_for_its_new_content(tmp_path):
    path = tmp_path / "windows.npy"
    np.save(path, arrays())
    X = EEGWindows.from_arrays(np.load(path, mmap_mode="r"), **ABOUT)

    def look():
        source = X.recordings[0]
        center, scale = source.robust_statistics(range(4))
        return fingerprint(X), joblib.hash(X), scale, X.to_canonical(50.0).copy()

    old = look()
    assert look()[:3] == old[:3]
    rewrite(path, 3 * arrays())
    new = look()
    assert new[0] != old[0] and new[1] != old[1]
    assert new[2] == pytest.approx(3 * old[2])
    np.testing.assert_allclose(new[3], 3 * old[3], rtol=1e-4)
    fresh = EEGWindows.from_arrays(np.load(path), **ABOUT)
    assert fingerprint(fresh) == new[0]
    np.testing.assert_array_equal(fresh.to_canonical(50.0), new[3])


def test_memory_of_a_pipeline_knows_a_file_that_was_rewritten(tmp_path):
    path = tmp_path / "windows.npy"
    gains = np.linspace(1, 9, 6)[:, None, None]

    def coefficients(memory):
        mapped = np.load(path, mmap_mode="r")
        X = EEGWindows.from_arrays(mapped, **ABOUT, y=list("xyxyxy"))
        steps = DifferentialEntropy(), LogisticRegression()
        return (
            make_pipeline(*steps, memory=memory and str(memory)).fit(X, X.y)[-1].coef_
        )

    np.save(path, arrays())
    old = coefficients(str(tmp_path / "cache"))
    rewrite(path, arrays() * gains)
    new = coefficients(str(tmp_path / "cache"))
    assert not np.allclose(new, old)
    np.testing.assert_array_equal(new, coefficients(None))


def test_a_reference_to_a_file_that_was_rewritten_is_refused(tmp_path):
    path = tmp_path / "windows.npy"
    np.save(path, arrays())
    X = EEGWindows.from_arrays(np.load(path, mmap_mode="r"), **ABOUT)
    there = pickle.loads(pickle.dumps(X))
    first, second = there[0], there.to_canonical(50.0)
    np.testing.assert_array_equal(first, arrays()[0])
    fingerprint(there)
    rewrite(path, 3 * arrays())
    message = "windows.npy' has changed"
    for use in (
        lambda: there[0],
        lambda: there.to_canonical(50.0),
        lambda: there.recordings[0].robust_statistics(range(4)),
        lambda: fingerprint(there),
        lambda: pickle.loads(pickle.dumps(there))[0],
    ):
        with pytest.raises(ValueError, match=message):
            use()
    assert second.shape == (6, 60, 100)


@pytest.mark.parametrize("gone", [False, True])
def test_a_map_of_a_file_that_another_one_replaced_is_pickled_whole(tmp_path, gone):
    path = tmp_path / "windows.npy"
    np.save(path, arrays())
    X = EEGWindows.from_arrays(np.load(path, mmap_mode="r"), **ABOUT)
    if gone:
        path.unlink()
    else:
        np.save(tmp_path / "other.npy", 3 * arrays())
        os.replace(tmp_path / "other.npy", path)
    np.testing.assert_array_equal(X[0], arrays()[0])
    there = pickle.loads(pickle.dumps(X))
    np.testing.assert_array_equal(there[0], arrays()[0])
    for source in X.recordings:
        source.close_file()
    np.testing.assert_array_equal(X[0], arrays()[0])


@pytest.mark.parametrize("mode", ["r+", "w+"])
def test_a_map_that_its_owner_writes_can_be_used_meanwhile(tmp_path, mode):
    path = tmp_path / "windows.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.float64, (6, 4, 200))
    mapped[:] = arrays()
    mapped.flush()
    if mode == "r+":
        mapped = np.load(path, mmap_mode="r+")
    X = EEGWindows.from_arrays(mapped, **ABOUT)
    before = X.recordings[0].robust_statistics(range(4))[1]
    mapped *= 2
    mapped.flush()
    later = path.stat().st_mtime_ns + 2_000_000_000
    os.utime(path, ns=(later, later))
    after = X.recordings[0].robust_statistics(range(4))[1]
    assert after == pytest.approx(2 * before)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(X))[0], 2 * arrays()[0])


def decode(row, path):
    return np.load(path)[int(row)]


def uses(X):
    """Use windows in the ways that keep something."""
    MDJPTEncoder.small(
        hidden_dim=16, latent_dim=8, depth=1, max_epochs=0, random_state=0
    ).fit_transform(X)
    X.to_canonical(50.0)
    for source in X.recordings:
        source.robust_statistics(range(source.n_channels))
        source.flat_channels()
    X.groups("subject"), X.y, repr(X), X._repr_html_(), X.metadata.to_numpy()
    fingerprint(X)


@pytest.mark.parametrize(
    "kind", ["arrays", "map", "store", "recordings", "decoded", "mixed", "slice"]
)
def test_using_windows_does_not_change_their_pickle(tmp_path, make_windows, kind):
    who = {"subject": list("ababab"), "dataset": "lab", "extra": {"age": range(6)}}
    np.save(tmp_path / "windows.npy", arrays())
    X = EEGWindows.from_arrays(arrays(), **ABOUT, **who)
    if kind == "map":
        mapped = np.load(tmp_path / "windows.npy", mmap_mode="r")
        X = EEGWindows.from_arrays(mapped, **ABOUT, **who)
    elif kind == "store":
        X.save(tmp_path / "store")
        X = EEGWindows.open(tmp_path / "store")
    elif kind == "recordings":
        X = make_windows()
    elif kind == "decoded":
        path, shape = tmp_path / "windows.npy", (4, 200)
        files = [DecodedSignal(path, shape, functools.partial(decode, k)) for k in "01"]
        parts = [
            Recording(signal, **ABOUT, dataset="lab", subject=f"{k}")
            for k, signal in enumerate(files)
        ]
        X = EEGWindows.from_recordings(parts, window_seconds=1)
    elif kind == "mixed":
        rows = [block[1] for block in X.blocks()]
        X = X._mixed([(r, np.eye(4)[::-1]) for r in rows], ABOUT["ch_names"][::-1])
    elif kind == "slice":
        X = X[[4, 1, 2]]
    before, hashed = pickle.dumps(X), joblib.hash(X)
    uses(X)
    assert pickle.dumps(X) == before
    assert joblib.hash(X) == hashed
    assert joblib.hash(pickle.loads(before)) == hashed


# Caches -----------------------------------------------------------------------------


class Owner:
    pass


class Weighs:
    nbytes = 1


def test_a_cache_does_not_answer_for_another_owner_with_the_same_id():
    from sklearn_mdjpt._io._cache import BoundedCache

    cache, ids = BoundedCache(100), set()
    for i in range(20):
        owner, value = Owner(), Weighs()
        if i % 2:
            owner.itself = owner  # the garbage collector finds it
        ids.add(id(owner))
        assert cache.get(owner, "key", lambda value=value: value) is value
        del owner
        gc.collect(1)  # the owner is young; a whole collection takes half a second
        assert cache.n_bytes == 0
    assert len(ids) < 20


# Checkpoints ------------------------------------------------------------------------


def small(**overrides):
    settings = {"hidden_dim": 16, "latent_dim": 8, "depth": 1, "max_epochs": 1,
                "batches_per_epoch": 1, "random_state": 0}  # fmt: skip
    return MDJPTEncoder.small(**settings | overrides)


class Holds(Callback):
    def __init__(self):
        self.lock = None

    def __deepcopy__(self, memo):
        return Holds()


def test_a_training_that_is_not_known_has_no_checkpoints(make_windows, tmp_path):
    X = make_windows()
    callback = Holds()
    callback.lock = threading.Lock()
    message = r"checkpoint_dir=.* callbacks\[0\].lock .* type _thread"
    with pytest.raises(ValueError, match=message):
        small(callbacks=[callback], checkpoint_dir=tmp_path / "runs").fit(X)
    assert not (tmp_path / "runs").exists()
    small(callbacks=[callback]).fit(X)


def test_an_edited_callback_is_another_training(make_windows, tmp_path):
    def scaling_gradients(factor):
        class Scale(Callback):
            def on_grad_computed(self, net, named_parameters, **kwargs):
                for _, parameter in named_parameters:
                    if parameter.grad is not None:
                        parameter.grad.mul_(factor)

        return Scale()

    X = make_windows()
    kwargs = {"checkpoint_dir": tmp_path}
    first = small(callbacks=[scaling_gradients(1.0)], **kwargs).fit_transform(X)
    edited = small(callbacks=[scaling_gradients(0.0)], **kwargs).fit_transform(X)
    assert not np.allclose(first, edited)
    np.testing.assert_array_equal(
        edited, small(callbacks=[scaling_gradients(0.0)]).fit_transform(X)
    )
    assert len(list(tmp_path.iterdir())) == 2


def test_callbacks_that_only_log_are_no_other_training(make_windows, tmp_path):
    X = make_windows()
    small(checkpoint_dir=tmp_path).fit(X)
    small(checkpoint_dir=tmp_path, callbacks=[("log", PrintLog(sink=str))]).fit(X)
    assert len(list(tmp_path.iterdir())) == 1
