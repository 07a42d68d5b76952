"""Types: every public signature has them, and a type checker reads them."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest
from test_package import PUBLIC, _resolve

import sklearn_mdjpt

ROOT = Path(__file__).parents[1]
PACKAGE = Path(sklearn_mdjpt.__file__).parent


def _signatures():
    """Yield names and functions: public functions, methods, properties."""
    for name in PUBLIC:
        value = _resolve(name)
        if not inspect.isclass(value):
            yield name, value
            continue
        for attribute in dir(value):
            member = inspect.getattr_static(value, attribute)
            member = getattr(member, "fget", getattr(member, "__func__", member))
            # Methods that scikit-learn writes (set_fit_request) are no functions.
            if not inspect.isfunction(member):
                continue
            ours = member.__module__.startswith("sklearn_mdjpt")
            if ours and (attribute[0] != "_" or attribute == "__init__"):
                yield f"{name}.{attribute}", member


SIGNATURES = dict(_signatures())


def test_public_signatures_are_annotated():
    bare = []
    for name, function in SIGNATURES.items():
        signature = inspect.signature(function)
        bare += [
            f"{name}: {parameter.name}"
            for parameter in signature.parameters.values()
            if parameter.annotation is parameter.empty
            and parameter.name not in {"self", "cls"}
        ]
        if signature.return_annotation is signature.empty:
            bare.append(f"{name}: return")
    assert not bare, "\n".join(bare)


def test_constructors_inherited_methods_and_properties_are_looked_at():
    assert {
        "sklearn_mdjpt.encoder._estimator.MDJPTEncoder.__init__",
        "sklearn_mdjpt.encoder._estimator.MDJPTEncoder.load",
        "sklearn_mdjpt.features._lds.LDSSmoother.transform",
        "sklearn_mdjpt.windows._windows.EEGWindows.metadata",
    } <= set(SIGNATURES)


def test_package_says_that_it_is_typed():
    assert (PACKAGE / "py.typed").is_file()


@pytest.fixture(scope="module")
def mypy(tmp_path_factory):
    pytest.importorskip("mypy", reason="needs the extra 'typing'")
    cache = tmp_path_factory.mktemp("mypy")

    def run(*arguments):
        command = [sys.executable, "-m", "mypy", "--cache-dir", cache, *arguments]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        return ran.stdout + ran.stderr

    return run


@pytest.mark.slow
def test_mypy_finds_nothing_in_the_package(mypy):
    said = mypy()
    assert said.startswith("Success"), said


USE = """
import sklearn_mdjpt
from sklearn_mdjpt import EEGWindows, MDJPTEncoder, evaluation

def use(X: EEGWindows, encoder: MDJPTEncoder) -> None:
    reveal_type(X[0])  # note: ndarray
    reveal_type(X[1:])  # note: _windows.EEGWindows
    reveal_type(encoder.fit(X, X.y))  # note: _estimator.MDJPTEncoder
    reveal_type(evaluation.few_shot(encoder, X))  # note: Scores
    table, predictions = evaluation.few_shot(encoder, X, return_predictions=True)
    reveal_type(predictions)  # note: DataFrame
    encoder.save(path=b"bytes")  # error: "path"
    MDJPTEncoder(variant="other")  # error: "variant"
    sklearn_mdjpt.EEGWindow  # error: "EEGWindow"
"""


@pytest.mark.slow
def test_mypy_knows_what_calls_return_and_refuse(mypy, tmp_path):
    (tmp_path / "use.py").write_text(USE, encoding="utf-8")
    said = re.findall(r"use\.py:(\d+): (note|error): (.*)", mypy(tmp_path / "use.py"))
    said = {int(line): (kind, text) for line, kind, text in said}
    expected = {
        number: line.partition("  # ")[2].split(": ")
        for number, line in enumerate(USE.splitlines(), 1)
        if "  # " in line
    }
    assert said.keys() == expected.keys()
    for number, (kind, part) in expected.items():
        assert said[number][0] == kind
        assert part in said[number][1]
