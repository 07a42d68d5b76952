"""The package as a whole: imports, public names, docstrings, the README."""

import dataclasses
import inspect
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import sklearn_mdjpt

ROOT = Path(__file__).parents[1]


def _public_objects():
    named = [getattr(sklearn_mdjpt, name) for name in sklearn_mdjpt.__all__]
    modules = [sklearn_mdjpt, *(m for m in named if inspect.ismodule(m))]
    for module in modules:
        for name in module.__all__:
            value = getattr(module, name)
            home = getattr(value, "__module__", None) or ""
            if inspect.isclass(value) and issubclass(value, tuple):
                continue  # fields of named tuples are documented as attributes
            if callable(value) and home.startswith("sklearn_mdjpt"):
                yield f"{value.__module__}.{value.__qualname__}"
                if inspect.isclass(value):
                    for method in vars(value):
                        if method[0] != "_" and callable(getattr(value, method)):
                            yield f"{value.__module__}.{value.__qualname__}.{method}"


SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PUBLIC = [
    name
    for name in sorted(set(_public_objects()))
    # Written by scikit-learn.
    if not re.search(r"\.set_\w+_request$", name)
]


def test_documented_defaults_are_those_of_the_signature():
    docscrape = pytest.importorskip("numpydoc.docscrape")
    wrong = []
    for name in PUBLIC:
        value = _resolve(name)
        if inspect.isclass(value) and issubclass(value, Warning):
            continue  # built-in constructors have no signature
        for part, default, given in _documented_and_given(docscrape, value):
            if default != given:
                wrong.append(f"{name}, {part}: {default!r} documented, {given!r} given")
    assert not wrong, "\n".join(wrong)


def _documented_and_given(docscrape, value):
    doc = docscrape.NumpyDocString(inspect.getdoc(value))
    signature = inspect.signature(value).parameters
    factories = {
        field.name: field.default_factory
        for field in getattr(value, "__dataclass_fields__", {}).values()
        if field.default_factory is not dataclasses.MISSING
    }
    for entry in doc["Parameters"]:
        names = [part.strip("* ") for part in entry.name.split(",")]
        names = [part for part in names if part in signature]
        # scikit-learn's y=None and its like: there for the signature alone.
        if entry.type in {"None", "ignored"}:
            continue
        documented = _defaults(entry.type, len(names))
        for part, default in zip(names, documented, strict=True):
            given = factories.get(part, lambda part=part: signature[part].default)()
            yield part, default, given


def _defaults(text, n_names):
    """Return the defaults in a type such as "int, default=128, 32" of two names."""
    found = re.search(r"default=(.*)$", text)
    if found is None:
        return [inspect.Parameter.empty] * n_names
    default = eval(found[1], {"__builtins__": {"slice": slice}})
    several = not found[1].startswith("(") and isinstance(default, tuple)
    return default if several else [default] * n_names


def test_see_also_leads_somewhere():
    docscrape = pytest.importorskip("numpydoc.docscrape")
    homes = [f"sklearn_mdjpt.{home}" for home in sklearn_mdjpt.__all__]
    lost = []
    for name in PUBLIC:
        doc = docscrape.NumpyDocString(inspect.getdoc(_resolve(name)))
        places = (name.rpartition(".")[0], name, "sklearn_mdjpt", "", *homes)
        for other in (other for entries, _ in doc["See Also"] for other, _ in entries):
            if other.split(".")[0] in {"sklearn", "mne", "pyriemann", "torch"}:
                continue
            if not any(_exists(f"{place}.{other}".strip(".")) for place in places):
                lost.append(f"{name}: {other}")
    assert not lost, "\n".join(lost)


def _exists(name):
    try:
        _resolve(name)
    except (ImportError, AttributeError):
        return False
    return True


def _resolve(name):
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value = __import__(".".join(parts[:i]), fromlist=["_"])
        except ImportError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise ImportError(name)


# In an order in which what a statement must not load is not there before it.
LIGHT = (
    ("import sklearn_mdjpt", ("torch", "mne", "braindecode", "pandas", "sklearn")),
    ("from sklearn_mdjpt import EEGWindows", ("torch", "mne", "braindecode")),
    ("from sklearn_mdjpt.datasets import fetch_eegmat", ("torch", "mne")),
    ("from sklearn_mdjpt.preprocessing import clean_dataset", ("torch", "mne")),
    ("from sklearn_mdjpt import DifferentialEntropy", ("torch", "braindecode")),
    ("from sklearn_mdjpt import LDSSmoother", ("torch", "mne", "pyriemann")),
    ("from sklearn_mdjpt import WindowFeatures", ("torch", "mne")),
    (
        "from sklearn_mdjpt import baselines; baselines.make_baselines",
        ("torch", "mne", "braindecode", "pyriemann", "skorch"),
    ),
    (
        "from sklearn_mdjpt import inspection, plotting",
        ("matplotlib", "mne", "braindecode"),
    ),
    ("from sklearn_mdjpt import MDJPTEncoder", ("mne", "braindecode", "pyriemann")),
    ("from sklearn_mdjpt import WindowAlignment", ("mne", "braindecode")),
)


def test_imports_are_light_and_change_no_global_setting():
    code = f"""
import sys
for statement, unwanted in {LIGHT}:
    # Others' settings are read before anything of ours can change them.
    if "sklearn" not in unwanted and "sklearn" not in sys.modules:
        import sklearn
        config = sklearn.get_config()
    if "torch" not in unwanted and "torch" not in sys.modules:
        import torch
        n_threads = torch.get_num_threads()
    exec(statement)
    found = [name for name in unwanted if name in sys.modules]
    assert not found, (statement, found)
assert config == sklearn.get_config()
assert n_threads == torch.get_num_threads()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_public_names_exist():
    for name in sklearn_mdjpt.__all__:
        assert getattr(sklearn_mdjpt, name) is not None
    assert set(sklearn_mdjpt.__all__) <= set(dir(sklearn_mdjpt))
    with pytest.raises(AttributeError, match="Nothing"):
        sklearn_mdjpt.Nothing  # noqa: B018


def test_readme_has_one_test_command_and_ten_lines():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"<!-- test command -->\n```bash\n.+\n```", text)) == 1
    section = text.split("## Ten lines")[1]
    code = re.search(r"```python\n(.*?)```", section, flags=re.S)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    compile(code, "README.md", "exec")


def test_changelog_and_citation_are_of_this_version():
    number = re.match(r"\d+\.\d+\.\d+", sklearn_mdjpt.__version__)[0]
    news = (ROOT / "docs" / "whats_new.rst").read_text(encoding="utf-8")
    headings = re.findall(r"^(.+)\n-+$", news, flags=re.M)
    assert headings[0] == number
    order = [tuple(map(int, heading.split("."))) for heading in headings]
    assert order == sorted(set(order), reverse=True)
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {number}\n" in citation


def test_oldest_versions_are_those_declared():
    def versions(lines, sign):
        return dict(line.split(sign) for line in lines if sign in line)

    project = SETTINGS["project"]
    declared = versions(
        [*project["dependencies"], *project["optional-dependencies"]["test"]], ">="
    )
    for extra, lines in project["optional-dependencies"].items():
        for name, version in versions(lines, ">=").items():
            assert declared.setdefault(name, version) == version, extra
    path = ROOT / "requirements" / "oldest.txt"
    oldest = versions(path.read_text(encoding="utf-8").splitlines(), "==")
    # Of the tests and not of the package; and what asks for newer versions itself.
    others = {"pytest", "pytest-xdist", "ruff", "moabb", "skada", "mne-lsl"}

    def whole(version):
        return [int(part) for part in (version + ".0.0").split(".")[:3]]

    needed = [
        *project["dependencies"],
        *project["optional-dependencies"]["test"],
    ]
    names = {line.split(">=")[0] for line in needed} - others
    assert set(oldest) == names | {"torchaudio"}
    assert oldest.pop("torchaudio") == oldest["torch"]
    for name in names:
        assert whole(oldest[name]) == whole(declared[name]), name
