"""Imports in labkit go one way, from higher rooms to lower ones, and never in a circle."""

import ast
from collections import defaultdict
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import labkit

PACKAGE = Path(labkit.__file__).parent

# From the ground up. A room may import itself and lower floors; two on one floor know nothing of each other.
FLOORS = (
    ("errors", "translations"),
    ("attempts", "files", "record", "safe_zip", "scheduler", "statistics", "checking", "noise", "waiting"),
    ("claims", "faces", "ladder"),
    ("drawn",),
    ("data", "fit"),
    ("flows", "vae", "gan", "hvae", "classifier", "matching", "oracle", "doctor"),
    ("metrics", "plots"),
    ("labs", "predictions", "beginning"),
    ("run",),
    ("course.pages",),
    ("course.run", "course.oracle"),
    ("course.translate",),
    ("course.grade", "course.site"),
    ("course.work", "course.handing_in", "course.demo"),
    ("course.cli",),
    ("__main__",),
)
# Imports that break this, each with the reason why they stay for now; one that is gone must be taken out here.
YET: dict[tuple[str, str], str] = {}
# Circles of modules, likewise.
CIRCLES_YET: set[frozenset[str]] = {frozenset({"fit.sweep", "fit.sweep_cluster"})}


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def imports(source: str) -> set[str]:
    """Modules of labkit that a source imports, wherever in it, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "labkit":
            for alias in node.names:
                inner = f"{node.module}.{alias.name}".partition(".")[2]
                found.add(inner if inner in MODULES else node.module.partition(".")[2])
        elif isinstance(node, ast.Import):
            found |= {a.name.partition(".")[2] for a in node.names if a.name.startswith("labkit.")}
    return found - {""}


def room(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[: 2 if parts[0] == "course" and len(parts) > 1 else 1])


def upward(graph: dict[str, set[str]]) -> set[tuple[str, str]]:
    """(from, to) of rooms whose import does not go down."""
    level = {name: floor for floor, names in enumerate(FLOORS) for name in names}
    pairs = {(room(module), room(other)) for module, others in graph.items() for other in others}
    return {(a, b) for a, b in pairs if a != b and b not in ("course",) and not level[b] < level[a]}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Circles of modules; each is broken at one place to find the next."""
    found, rest = set(), {module: set(others) for module, others in graph.items()}
    while True:
        try:
            TopologicalSorter(rest).prepare()
            return found
        except CycleError as error:
            cycle = error.args[1]
            found.add(frozenset(cycle))
            rest[cycle[1]].discard(cycle[0])


def graph_of_labkit() -> dict[str, set[str]]:
    return {name: imports(path.read_text(encoding="utf-8")) - {name} for name, path in MODULES.items() if name}


def test_every_module_has_a_room():
    known = {name for names in FLOORS for name in names}
    assert {room(name) for name in MODULES if name} - known <= {"course"}


def test_imports_go_downwards():
    assert upward(graph_of_labkit()) == set(YET)


def test_no_modules_import_each_other_in_a_circle():
    assert circles(graph_of_labkit()) == CIRCLES_YET


def test_an_import_upwards_and_a_circle_are_noticed():
    graph: dict[str, set[str]] = defaultdict(set, {"faces.codes": {"labs.lab01"}, "vae.nets": {"gan.nets"}})
    assert upward(graph) == {("faces", "labs"), ("vae", "gan")}
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}}) == {frozenset("abc")}
    assert imports("from labkit.errors import LabkitError\ndef f():\n    import labkit.files") == {"errors", "files"}
