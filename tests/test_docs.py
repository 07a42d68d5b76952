"""The user guide: its code runs, and the messages that it explains exist."""

import ast
import inspect
import re
import warnings
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
BLOCK = re.compile(r"(<!-- not run: .+? -->\n)?```python\n(.*?)```", re.S)
# Pages whose code goes from one block to the next, and runs in seconds.
RUN = (
    "getting_started",
    "your_data",
    "datasets",
    "routing",
    "ecosystem",
    "new_person",
    pytest.param("settings", marks=pytest.mark.slow),
)


def _blocks(path):
    return [
        (code, bool(skipped))
        for skipped, code in BLOCK.findall(path.read_text(encoding="utf-8"))
    ]


@pytest.mark.parametrize("page", RUN)
def test_code_of_the_guide_runs(page, tmp_path, monkeypatch):
    blocks = [code for code, skipped in _blocks(DOCS / f"{page}.md") if not skipped]
    assert blocks
    monkeypatch.chdir(tmp_path)
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for code in blocks:
            exec(compile(code, f"{page}.md", "exec"), names)


@pytest.mark.parametrize("path", [*DOCS.glob("*.md"), ROOT / "README.md"], ids=str)
def test_code_of_all_pages_uses_what_exists(path):
    import sklearn_mdjpt

    for code, _ in _blocks(path):
        for node in ast.walk(ast.parse(code)):
            if not isinstance(node, ast.ImportFrom):
                continue
            if node.module.split(".")[0] != "sklearn_mdjpt":
                continue
            home = sklearn_mdjpt
            for part in node.module.split(".")[1:]:
                home = getattr(home, part)
            for name in node.names:
                assert hasattr(home, name.name), name.name


def test_code_of_all_pages_fits_its_column():
    # docs/_static/columns.css: a longer line is cut in a window of 1280 pixels.
    for path in DOCS.glob("*.md"):
        text = path.read_text(encoding="utf-8")
        for block in re.findall(r"^ *```\w+\n(.*?)^ *```$", text, flags=re.M | re.S):
            for line in block.splitlines():
                assert len(line) <= 88, f"{path.name}: {line}"


def _texts(node):
    """Return the text of a string expression, with NUL for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(_texts(part) for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return _texts(node.left) + _texts(node.right)
    return "\0"


def test_messages_in_troubleshooting_are_raised_somewhere():
    texts = {
        _texts(node)
        for path in (ROOT / "sklearn_mdjpt").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp)
    }
    page = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `(.+?)` \|", page, flags=re.M)
    assert len(messages) > 40
    unknown = []
    for message in messages:
        pattern = "[^\n]*?".join(map(re.escape, message.split("…")))
        if not any(re.search(pattern, text) for text in texts):
            unknown.append(message)
    assert not unknown


def test_api_pages_list_every_public_name():
    import sklearn_mdjpt

    text = (DOCS / "api.rst").read_text(encoding="utf-8")
    sections = re.split(r"^\.\. currentmodule:: ", text, flags=re.M)[1:]
    listed = {}
    for section in sections:
        module, _, rest = section.partition("\n")
        names = re.findall(r"^   ([A-Za-z]\w*)$", rest, flags=re.M)
        listed.setdefault(module, set()).update(names)
    public = {"sklearn_mdjpt": set()}
    modules = {}
    for name in sklearn_mdjpt.__all__:
        value = getattr(sklearn_mdjpt, name)
        if inspect.ismodule(value):
            modules[name] = set(value.__all__)
        else:
            public["sklearn_mdjpt"].add(name)
    # Modules with names that the package does not have itself get a section.
    for name, names in modules.items():
        if names - public["sklearn_mdjpt"] - {"DEFAULT_BANDS"}:
            public[f"sklearn_mdjpt.{name}"] = names
    assert listed == public
