"""Which check each test cell of a lab runs, and on which functions: read from the instructor's notebook alone."""

import ast
import hashlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.course.run.labs import read_notebook
from labkit.errors import LabkitError


@dataclass(frozen=True)
class Exercise:
    """A test cell's `run.check(module.check, function, …)`."""

    grade_id: str  # nbgrader's name of the cell
    module: str  # where the check is imported from, e.g. "labkit.labs.lab03".
    check: str  # its name there
    functions: tuple[str, ...]  # what the notebook calls the functions that it looks at, in order

    def load(self) -> Callable[..., Any]:
        """The check itself.

        Raises LabkitError: it cannot be imported.
        """
        try:
            return getattr(importlib.import_module(self.module), self.check)
        except (ImportError, AttributeError) as error:
            raise LabkitError(f"{self.grade_id}: {self.module}.{self.check} cannot be imported ({error}).") from None


def exercises(source: Path) -> dict[str, list[Exercise]]:
    """Grade id of each test cell → the checks that it runs.

    Args:
        source: the instructor's notebook; never a submission.

    Raises LabkitError: it is no notebook, or a test cell checks something else than functions by name.
    """
    cells = [cell for cell in read_notebook(source)["cells"] if cell["cell_type"] == "code"]
    imported = {name: place for cell in cells for name, place in _imports(cell["source"])}
    found: dict[str, list[Exercise]] = {}
    for cell in cells:
        about = cell["metadata"].get("nbgrader", {})
        if about.get("grade") and (calls := list(_checks(cell["source"]))):
            name = about["grade_id"]
            found[name] = [_exercise(source, name, call, imported) for call in calls]
    return found


def _tree(code: str) -> ast.AST:
    lines = ["pass" if line.lstrip().startswith(("%", "!")) else line for line in code.splitlines()]
    try:
        return ast.parse("\n".join(lines))
    except SyntaxError:
        return ast.parse("")


def _imports(code: str) -> Iterator[tuple[str, tuple[str, str]]]:
    """Name in the notebook → (module, name there) of each `from module import name`."""
    for node in ast.walk(_tree(code)):
        if isinstance(node, ast.ImportFrom) and node.module:
            for each in node.names:
                yield each.asname or each.name, (node.module, each.name)


def _checks(code: str) -> Iterator[ast.Call]:
    for node in ast.walk(_tree(code)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "run.check":
            yield node


def _exercise(source: Path, grade_id: str, call: ast.Call, imported: dict[str, tuple[str, str]]) -> Exercise:
    names = [each.id if isinstance(each, ast.Name) else "" for each in call.args[1:]]
    check = call.args[0] if call.args else None
    if call.keywords or not names or not all(names):
        raise LabkitError(f"{source}: {grade_id}: write run.check(module.check, function, …), with names alone.")
    if isinstance(check, ast.Name) and check.id in imported:
        return Exercise(grade_id, *imported[check.id], tuple(names))
    if isinstance(check, ast.Attribute) and isinstance(check.value, ast.Name) and check.value.id in imported:
        return Exercise(grade_id, ".".join(imported[check.value.id]), check.attr, tuple(names))
    raise LabkitError(f"{source}: {grade_id}: the check is not imported by `from … import …` in the notebook.")


def state_of_checks(source: Path) -> str:
    """A hash of what decides points: the instructor's notebook, its checks and what they are made with."""
    digest = hashlib.sha256(source.read_bytes())
    modules = {each.module for several in exercises(source).values() for each in several}
    modules |= {"labkit.checking", "labkit.noise"}
    folders = set()
    for name in modules:
        path = _file_of(name)
        folders |= {path} if path.name != "__init__.py" else set(path.parent.rglob("*.py"))
        if path.parent.name.startswith("lab") and path.parent.name != "labkit":
            folders |= set(path.parent.rglob("*.py"))
    for path in sorted(folders):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _file_of(module: str) -> Path:
    """Where a module lies; it is not imported, as a check brings torch with it.

    Raises:
        LabkitError: there is none.
    """
    with suppress(ImportError, ValueError):
        if (found := importlib.util.find_spec(module)) and found.origin:
            return Path(found.origin)
    raise LabkitError(f"{module}: the notebook takes a check from it, and there is no such module.")
