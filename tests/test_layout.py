"""The house: few rooms in the root, imports that go one way, nothing too long."""

import ast
import io
import tokenize
from pathlib import Path

import pytest

import sklearn_mdjpt

PACKAGE = Path(sklearn_mdjpt.__file__).parent

# From the ground up: a room imports from rooms of lower floors alone.
FLOORS = (
    {"__init__", "_typing", "_validation", "_drawing"},
    {"_labels", "_grouping", "_identity"},
    {"nn", "_io", "channels"},
    {"_torch"},
    {"windows"},
    {"recordings", "features", "alignment", "model_selection", "datasets"},
    {"preprocessing", "smoothing", "compose", "encoder"},
    {"classifier"},
    {"baselines"},
    {"evaluation", "streaming"},
    {"inspection", "trust"},
    {"plotting"},
    {"study"},
    {"_cli"},
    {"__main__"},
)  # fmt: skip


def _imports(path):
    """Yield the rooms of ours that a file imports from."""
    package = ["sklearn_mdjpt", *path.relative_to(PACKAGE).parts[:-1]]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in typing_only:
            continue
        if not node.level:
            continue
        base = package[: len(package) - node.level + 1]
        names = node.module.split(".") if node.module else []
        full = [*base, *names]
        if len(full) > 1:
            yield full[1]
        else:
            for alias in node.names:
                room = (PACKAGE / alias.name).is_dir() or (
                    PACKAGE / f"{alias.name}.py"
                ).is_file()
                yield alias.name if room else "__init__"


def test_rooms_in_the_root_are_few():
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_imports_go_down():
    floor = {room: k for k, rooms in enumerate(FLOORS) for room in rooms}
    climbs = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for other in _imports(path):
            if other != room and floor[other] >= floor[room]:
                climbs.append((str(path.relative_to(PACKAGE)), other))
    assert climbs == []


# Most lines of code, without docstrings, comments and blank lines.
LIMITS = {"file": 400, "function": 60, "class": 350}
LIMIT_OF_ALL = 16_000
# Still to be divided.
LONG_FILES = {"datasets/_simulated.py"}
NO_CODE = (
    tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT,
    tokenize.ENDMARKER,
)  # fmt: skip


def _lines_of_code(source, tree):
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in NO_CODE:
            lines.update(range(token.start[0], token.end[0] + 1))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            if ast.get_docstring(node) is not None:
                text = node.body[0]
                lines.difference_update(range(text.lineno, text.end_lineno + 1))
    return lines


def _sizes(path):
    """Yield kind, name and lines of code of a file and of what it defines."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    lines = _lines_of_code(source, tree)
    name = path.relative_to(PACKAGE).as_posix()
    if name not in LONG_FILES:
        yield "file", name, len(lines)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            kind = "class"
        elif isinstance(node, ast.FunctionDef) and node.name != "__init__":
            # Constructors are as long as their lists of parameters.
            kind = "function"
        else:
            continue
        within = lines.intersection(range(node.lineno, node.end_lineno + 1))
        yield kind, f"{name}: {node.name}", len(within)


@pytest.mark.parametrize("kind", LIMITS)
def test_nothing_is_too_long(kind):
    sizes = [size for path in PACKAGE.rglob("*.py") for size in _sizes(path)]
    too_long = [
        (name, size)
        for this, name, size in sizes
        if this == kind and size > LIMITS[kind]
    ]
    assert not too_long


@pytest.mark.xfail(
    strict=True,
    reason="about 20,500 lines: the aim is to have less to read, without losing the "
    "handling of faults of real recordings and files, and no such way is found yet",
)
def test_all_is_not_too_long():
    sources = [path.read_text(encoding="utf-8") for path in PACKAGE.rglob("*.py")]
    n_lines = sum(len(_lines_of_code(text, ast.parse(text))) for text in sources)
    assert n_lines <= LIMIT_OF_ALL
