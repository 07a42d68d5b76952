"""The package as a whole: imports, public names, docstrings, the README."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sklearn_mdjpt
from sklearn_mdjpt import (
    baselines,
    channels,
    datasets,
    evaluation,
    inspection,
    model_selection,
    nn,
    plotting,
    preprocessing,
)

ROOT = Path(__file__).parents[1]


def _public_objects():
    modules = (
        sklearn_mdjpt, baselines, channels, datasets, evaluation, inspection,
        model_selection, nn, plotting, preprocessing,
    )  # fmt: skip
    for module in modules:
        for name in getattr(module, "__all__", dir(module)):
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


@pytest.mark.parametrize("name", sorted(set(_public_objects())))
def test_docstrings_match_signatures(name):
    validate = pytest.importorskip("numpydoc.validate").validate
    # PR01/02/03/04: parameters documented, existing, in order, typed. GL08: no
    # docstring. RT03/SS: form of the summary. PR10: spacing.
    wanted = {"GL08", "PR01", "PR02", "PR03", "PR04", "PR10", "SS01", "SS02"}
    errors = [e for e in validate(name)["errors"] if e[0] in wanted]
    if inspect.isfunction(_resolve(name)) and "." in name:
        first_line = (inspect.getdoc(_resolve(name)) or "").strip()
        if first_line and "\n" not in first_line:
            # A getter or a hook of one line documents itself.
            errors = [e for e in errors if e[0] == "GL08"]
    if name.endswith(".EEGWindows"):
        # Its constructor is private; the ways to make one are methods.
        errors = [e for e in errors if e[0] != "PR01"]
    assert not errors, errors


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


@pytest.mark.parametrize(
    "statement, unwanted",
    [
        ("import sklearn_mdjpt", ("torch", "mne", "braindecode", "pandas", "sklearn")),
        ("from sklearn_mdjpt import EEGWindows", ("torch", "mne", "braindecode")),
        ("from sklearn_mdjpt.datasets import fetch_eegmat", ("torch", "mne")),
        ("from sklearn_mdjpt.preprocessing import clean_dataset", ("torch", "mne")),
        ("from sklearn_mdjpt import DifferentialEntropy", ("torch", "braindecode")),
        ("from sklearn_mdjpt import LDSSmoother", ("torch", "mne", "pyriemann")),
        ("from sklearn_mdjpt import WindowAlignment", ("mne", "braindecode")),
        (
            "from sklearn_mdjpt import baselines; baselines.make_baselines",
            ("torch", "mne", "braindecode", "pyriemann", "skorch"),
        ),
        (
            "from sklearn_mdjpt import inspection, plotting",
            ("matplotlib", "mne", "braindecode"),
        ),
        ("from sklearn_mdjpt import MDJPTEncoder", ("mne", "braindecode", "pyriemann")),
    ],
)
def test_imports_are_light(statement, unwanted):
    code = (
        f"{statement}; import sys; print(*[m for m in {unwanted} if m in sys.modules])"
    )
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert out.stdout.split() == [], out.stdout


def test_public_names_exist():
    for name in sklearn_mdjpt.__all__:
        assert getattr(sklearn_mdjpt, name) is not None
    assert set(sklearn_mdjpt.__all__) <= set(dir(sklearn_mdjpt))
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        sklearn_mdjpt.Nothing  # noqa: B018


def test_importing_changes_no_global_setting():
    code = (
        "import sklearn, torch; a = sklearn.get_config(), torch.get_num_threads();"
        "import sklearn_mdjpt.encoder;"
        "assert a == (sklearn.get_config(), torch.get_num_threads())"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_readme_has_one_test_command_and_ten_lines():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(re.findall(r"<!-- test command -->\n```bash\n.+\n```", text)) == 1
    section = text.split("## Ten lines")[1]
    code = re.search(r"```python\n(.*?)```", section, flags=re.S)[1]
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    compile(code, "README.md", "exec")
