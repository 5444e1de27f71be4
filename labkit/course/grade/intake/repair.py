"""A student's notebook made whole again from the release: exercises and tests are the course's, their answers and all
other cells the student's.

No metadata, output or kernel of a submission is kept, so nothing written there can matter. Each repair is a sentence;
what it quotes of a submission is quoted by repr, since it may hold what no file or terminal should.
"""

import ast
import base64
import binascii
import itertools
import json
import re
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_raw_cell

from labkit.course.grade.intake.members import REMEDY, RefusedError
from labkit.safe_zip import is_html

MAX_CELLS = 1000
MAKE = {"code": new_code_cell, "markdown": new_markdown_cell, "raw": new_raw_cell}
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
# Pictures that are pasted into text cells: kinds by their first bytes, and how much of them is kept.
PICTURES = {"image/png": b"\x89PNG\r\n", "image/jpeg": b"\xff\xd8\xff", "image/gif": b"GIF8"}
PICTURE_BYTES = 4_000_000  # of one, as it is in the notebook
ALL_PICTURE_BYTES = 12_000_000
STARTS = "start_lab("  # what takes the parameters
STUBBED = re.compile(r"^\s*raise NotImplementedError\b", re.MULTILINE)
INSTEAD = {b"PK": "a zip or an Office file", b"%PDF": "a PDF", b"{": "one cut short or damaged"}
PUT_BACK = ("grade", "solution", "locked", "points", "checksum", "schema_version", "task")


@dataclass
class Handed:
    """One cell as it was handed in."""

    kind: str
    source: str
    id: str
    about: dict[str, Any]  # what nbgrader wrote in its metadata, or somebody else did
    pictures: dict[str, dict[str, str]] = field(default_factory=dict)  # name → kind → base64

    @property
    def grade_id(self) -> str:
        name = self.about.get("grade_id")
        return name if isinstance(name, str) else ""


def read_cells(data: bytes) -> tuple[list[Handed], list[str]]:
    """The cells of a notebook in any version of its format, and what is to be said of the whole.

    Raises RefusedError: it is no notebook, has no cells, or more than a person writes.
    """
    try:
        notebook = _json(data)
        if not isinstance(notebook, dict) or "nbformat" not in notebook:
            raise RefusedError(f"it is no notebook; {REMEDY}.")
        if int(notebook["nbformat"]) < 4:
            notebook = nbformat.convert(nbformat.from_dict(notebook), 4)
        cells = [_handed(cell) for cell in notebook["cells"]]
    except RefusedError:
        raise
    except (
        ArithmeticError,
        AttributeError,
        KeyError,
        RecursionError,
        TypeError,
        ValueError,
        nbformat.ValidationError,
    ) as error:
        raise RefusedError(f"it is no notebook that can be read{_instead(data)}; {REMEDY}.") from error
    if not cells:
        raise RefusedError("it has no cells.")
    if len(cells) > MAX_CELLS:
        raise RefusedError(f"it has {len(cells):,} cells, more than the {MAX_CELLS:,} that are taken.")
    bare = sum(_text(cell) is None for cell in notebook["cells"])
    said = [f"{bare} of its cells held no text that can be read, and count as empty."] if bare else []
    return cells, said + _about_kernel(notebook) + _keep_pictures(cells, notebook["cells"])


def _json(data: bytes) -> Any:
    """Also with byte-order marks, in UTF-16 and UTF-32, as editors of Windows save "ANSI", and with what a disk or a
    transfer left behind its end."""
    if b"\0" not in data[:4]:  # each letter is a byte, or several that are not zero
        data = data.strip(b"\xef\xbb\xbf\0\x1a \r\n")
    try:
        return json.loads(data)
    except UnicodeDecodeError:
        return json.loads(data.decode("cp1252"))


def _instead(data: bytes) -> str:
    """What else a file is, for a sentence."""
    if is_html(data[:1024]):
        return ", but a web page"
    if not (start := data.lstrip(b"\xef\xbb\xbf \t\r\n\0")[:4]):
        return ", but empty"
    return next((f", but {what}" for first, what in INSTEAD.items() if start.startswith(first)), "")


def repair(released: NotebookNode, handed: list[Handed]) -> tuple[NotebookNode, list[str]]:
    """The notebook to execute, and a sentence for each thing that was put right."""
    wanted = {cell.metadata.nbgrader.grade_id: cell for cell in released.cells if "nbgrader" in cell.metadata}
    said: list[str] = []
    found = _find(wanted, handed, said)
    _find_texts(released, found, handed, said)
    named = [each for each in _named(found, handed) if not _is_empty_copy(wanted, *each)]
    cells = [(name, _cell(wanted.get(name), cell, name, said)) for name, cell in named]
    previous, exercise = "", ""
    for name, model in wanted.items():
        if not model.metadata.nbgrader.solution:
            _put_test(cells, name, model, previous, exercise, said)
        else:
            if name not in found:
                said.append(f"{name}: its cell was missing; the empty one stands in its place.")
                cells.insert(_behind(cells, previous), (name, _copy(model, model.source)))
            exercise = name
        previous = name
    made = [cell for _, cell in cells]
    _put_parameters_back(released, made, said)
    _number(made)
    notebook = new_notebook(cells=made)
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return notebook, said


def _find(wanted: dict[str, NotebookNode], handed: list[Handed], said: list[str]) -> dict[str, Handed]:
    """Which cell is which: by nbgrader's name, else by the notebook's own, else by the functions it defines."""
    by_name: dict[str, list[Handed]] = defaultdict(list)
    for cell in handed:
        if cell.grade_id in wanted:
            by_name[cell.grade_id].append(cell)
        elif cell.grade_id:
            said.append(f"{cell.grade_id[:60]!r}: no cell of this lab has that name.")
    found = {}
    for name, cells in by_name.items():
        answered = [cell for cell in cells if cell.source.strip() != wanted[name].source.strip()]
        found[name] = (answered or cells)[-1]
        if len(cells) > 1:
            said.append(f"{name}: its cell was there {len(cells)} times; the last one that was filled in counts.")
        elif cell := _answered_elsewhere(wanted[name], found[name], handed):
            said.append(f"{name}: its cell was left empty; the student's own cell that answers it counts.")
            found[name] = cell
    for name, model in wanted.items():
        free = [cell for cell in handed if not any(cell is other for other in found.values())]
        if name not in found and (cell := _recognised(model, free)):
            found[name] = cell
            said.append(f"{name}: its cell had lost its name and was recognised.")
    return found


def _find_texts(released: NotebookNode, found: dict[str, Handed], handed: list[Handed], said: list[str]) -> None:
    """A text exercise that is untouched or missing: the student's own text right behind its place answers it."""
    given, ids = {cell.source.strip() for cell in released.cells}, {cell.id for cell in released.cells}
    for before, model in itertools.pairwise(released.cells):
        about = model.metadata.get("nbgrader")
        if model.cell_type != "markdown" or not about or not about.solution:
            continue
        name, stub = about.grade_id, model.source.strip()
        own = found.get(name)
        if own and own.source.strip() != stub:
            continue
        asked = before.source.strip()
        places = [n for n, cell in enumerate(handed) if (cell is own if own else cell.source.strip() == asked)]
        behind = handed[places[-1] + 1 :][:2] if places else []
        other = next((cell for cell in behind if cell.source.strip() != stub), None)
        if not other or other.kind != "markdown" or other.grade_id or other.id in ids:
            continue
        if other.source.strip() not in {"", *given}:
            found[name] = other
            said.append(f"{name}: it was left empty; the student's own text behind it counts.")


def _answered_elsewhere(model: NotebookNode, own: Handed, handed: list[Handed]) -> Handed | None:
    """The student's own cell that defines what the untouched stub leaves open, and would be undone by it."""
    if own.source.strip() != model.source.strip() or not model.metadata.nbgrader.solution:
        return None
    cell = _recognised(model, [each for each in handed if not each.grade_id])
    return cell if cell is not None and not STUBBED.search(cell.source) else None


def _recognised(model: NotebookNode, free: list[Handed]) -> Handed | None:
    if same := [cell for cell in free if cell.id == model.id and cell.kind == model.cell_type]:
        return same[-1]
    if model.cell_type == "code" and model.metadata.nbgrader.solution and (names := _defined(model.source)):
        defining = [cell for cell in free if cell.kind == "code" and names <= _defined(cell.source)]
        return defining[-1] if defining else None
    return None


def _defined(source: str) -> set[str]:
    """Functions and classes that a cell defines at its top; even of a cell that is not Python."""
    try:
        return {node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return set(re.findall(r"^(?:def|class) (\w+)", source, re.MULTILINE))


def _named(found: dict[str, Handed], handed: list[Handed]) -> list[tuple[str, Handed]]:
    return [(next((name for name, own in found.items() if own is cell), ""), cell) for cell in handed]


def _is_empty_copy(wanted: dict[str, NotebookNode], name: str, cell: Handed) -> bool:
    """A second cell of an exercise with nothing of the student's in it: as a stub it would undo the first one."""
    return not name and cell.grade_id in wanted and cell.source.strip() == wanted[cell.grade_id].source.strip()


def _cell(model: NotebookNode | None, cell: Handed, name: str, said: list[str]) -> NotebookNode:
    """A student's cell as a new one: with the release's metadata where it is an exercise, with none elsewhere."""
    if model is None:
        new = MAKE[cell.kind](cell.source)
        new.id = cell.id
        return _with_pictures(new, cell)
    about = model.metadata.nbgrader
    changed = [key for key in PUT_BACK if cell.grade_id and key in cell.about and cell.about[key] != about.get(key)]
    if changed:
        said.append(f"{name}: {', '.join(changed)} in its metadata were changed, and put back.")
    if cell.kind != model.cell_type:
        said.append(f"{name}: its cell was turned into {cell.kind}, and back.")
    if not about.solution and cell.source.strip() != model.source.strip():
        said.append(f"{name}: this test was changed, and put back.")
    new = _copy(model, cell.source if about.solution else model.source)
    return _with_pictures(new, cell) if about.solution else new


def _put_parameters_back(released: NotebookNode, cells: list[NotebookNode], said: list[str]) -> None:
    """See that the lab starts with the release's profile and paths, whatever the student ran it with."""
    tagged = [cell.source for cell in released.cells if "parameters" in cell.metadata.get("tags", [])]
    wanted = _assigned("\n".join(tagged))
    for cell in cells:
        if cell.cell_type != "code" or cell.source in tagged:
            continue
        if STARTS in cell.source:
            return
        own = _assigned(cell.source)
        if changed := [name for name in wanted if own.get(name, wanted[name]) != wanted[name]]:
            cell.source += "\n" + "\n".join(f"{name} = {wanted[name]}" for name in changed)
            said.append(f"{', '.join(changed)}: set in the notebook; it is graded with what the release has.")


def _assigned(source: str) -> dict[str, str]:
    """Names that a cell gives a value at its top, and the values as they are written; none of what is not Python."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    return {
        target.id: ast.unparse(node.value)
        for node in body if isinstance(node, ast.Assign) for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip


def _put_test(cells: list, name: str, model: NotebookNode, previous: str, exercise: str, said: list[str]) -> None:
    """See that a test is there, and behind the exercise that it tests."""
    places = {each: place for place, (each, _) in enumerate(cells) if each}
    if name not in places:
        said.append(f"{name}: this test was missing, and put back.")
    elif exercise in places and places[name] < places[exercise]:
        said.append(f"{name}: this test stood before its exercise, and was moved behind it.")
        del cells[places[name]]
    else:
        return
    cells.insert(_behind(cells, previous), (name, _copy(model, model.source)))


def _behind(cells: list[tuple[str, NotebookNode]], previous: str) -> int:
    """The place behind the cell called `previous`; the end if there is none."""
    return next((place + 1 for place, (name, _) in enumerate(cells) if previous and name == previous), len(cells))


def _copy(model: NotebookNode, source: str) -> NotebookNode:
    new = MAKE[model.cell_type](source)
    new.id = model.id
    new.metadata = nbformat.from_dict({"nbgrader": dict(model.metadata.nbgrader)})
    return new


def _number(cells: list[NotebookNode]) -> None:
    """Names of cells as the format asks for: unlike one another; an exercise keeps the release's."""
    taken = {cell.id for cell in cells if "nbgrader" in cell.metadata}
    for place, cell in enumerate(cells):
        if "nbgrader" not in cell.metadata:
            if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", cell.id) or cell.id in taken:
                cell.id = next(f"cell-{n}" for n in range(place, 10**9) if f"cell-{n}" not in taken)
            taken.add(cell.id)


def _handed(cell: Any) -> Handed:
    if cell["cell_type"] not in MAKE:
        raise RefusedError("it has a cell that is neither code nor text.")
    text = _text(cell) or ""
    metadata = cell.get("metadata")
    about = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    # Half a surrogate pair can stand in JSON but in no file.
    text = text.encode("utf-8", "replace").decode("utf-8")
    return Handed(cell["cell_type"], text, str(cell.get("id", "")), dict(about) if isinstance(about, dict) else {})


def _text(cell: dict[str, Any]) -> str | None:
    """What stands in a cell; None where it is no text."""
    source = cell.get("source")
    lines = source if isinstance(source, list) else [source]
    return "".join(lines) if all(isinstance(line, str) for line in lines) else None


def _about_kernel(notebook: Any) -> list[str]:
    metadata = notebook.get("metadata")
    kernel = metadata.get("kernelspec") if isinstance(metadata, dict) else None
    name = kernel.get("name") if isinstance(kernel, dict) else None
    if isinstance(name, str) and name != KERNEL["name"]:
        return [f"its kernel was called {name[:60]!r}; it is run with python3."]
    return []


def _keep_pictures(cells: list[Handed], raw: list[Any]) -> list[str]:
    """Take over what is a picture of a size that can be shown; a sentence if anything is not."""
    room, dropped = ALL_PICTURE_BYTES, 0
    for cell, each in zip(cells, raw):
        given = each.get("attachments") if cell.kind == "markdown" else None
        for name, kinds in given.items() if isinstance(given, dict) else ():
            kept = _picture(kinds, min(room, PICTURE_BYTES))
            room -= sum(map(len, kept.values()))
            dropped += not kept
            if kept:
                cell.pictures[name] = kept
    return [f"{dropped} of the things pasted into its text cells are no pictures, or too large."] if dropped else []


def _picture(kinds: Any, room: int) -> dict[str, str]:
    """The first of an attachment's forms that is a picture, as kind → base64; nothing if none is."""
    for kind, text in kinds.items() if isinstance(kinds, dict) else ():
        text = "".join(text) if isinstance(text, list) and all(isinstance(part, str) for part in text) else text
        if kind not in PICTURES or not isinstance(text, str) or len(text) > room:
            continue
        try:
            if base64.b64decode("".join(text.split()), validate=True).startswith(PICTURES[kind]):
                return {kind: "".join(text.split())}
        except (ValueError, binascii.Error):
            continue
    return {}


def _with_pictures(cell: NotebookNode, handed: Handed) -> NotebookNode:
    if cell.cell_type == "markdown" and handed.pictures:
        cell.attachments = nbformat.from_dict(handed.pictures)
    return cell
