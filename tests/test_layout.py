"""The house: few rooms in the root, and imports that go one way."""

import ast
from pathlib import Path

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
    {"evaluation"},
    {"inspection"},
    {"plotting"},
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
