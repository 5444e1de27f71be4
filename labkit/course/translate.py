"""Labs in another language: their messages from the one source, the .po files, and the notebook translated.

A message is a paragraph of a text cell, a text that code draws or prints, a hint, or a sentence of a claim. It is
found by its English text: where that changes, the translation is stale, and the reader gets the new English.
"""

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from babel import Locale
from babel.messages import Catalog
from babel.messages.pofile import write_po
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from labkit import translations
from labkit.course.run.labs import Lab, read_notebook
from labkit.errors import LabkitError, nearest
from labkit.files import atomic_path

KIT = "kit"
SHOWN = ("title", "alt", "xlabel", "ylabel", "labels", "levels", "marks")  # keywords whose texts a figure shows
# Variables that hold such texts.
NAMED = ("title", "words", "labels", "kind", "axes", "series", "levels", "marks", "distances", "question")
PARAGRAPHS = re.compile(r"(\n{2,})")
LETTERS = re.compile(r"[^\W\d_]{2}")
NO_SENTENCE = re.compile(r"<|;\w| \| |^\$\$|^```")  # HTML, CSS, a type, a formula or code alone
# What may stand in a field of a sentence.
UNITS = ("epochs", "seeds", "people", "blocks", "samples")
WORDS = ("infinite", "negative", "two", "three", "photographs", "drawn faces", *UNITS)


@dataclass(frozen=True)
class Count:
    """How much of a lab is translated."""

    language: str
    path: Path
    done: int
    stale: int  # changed in English since, or never translated

    def __str__(self) -> str:
        name = Locale(self.language).english_name
        if not self.stale:
            return f"all {self.done} messages are in {name}"
        return f"{self.done} messages are in {name}, {self.stale} stale or missing and left in English: {self.path}"


def _catalogue(language: str, name: str) -> Catalog:
    try:
        return translations.catalogue(language, name)
    except UnicodeDecodeError as error:
        raise LabkitError(f"{_path(language, name)}: is not in UTF-8; let the editor save it so.") from error


def update(lab: Lab) -> list[Count]:
    """Bring the .po files of a lab, and those that all labs share, up to what the source says today."""
    counts = []
    for language in translations.languages():
        for name, found in ((KIT, kit_messages()), (lab.number, messages(lab))):
            path, catalog = _path(language, name), _catalogue(language, name)
            catalog.project, catalog.version, catalog.fuzzy = "labkit", "", False
            template = Catalog()
            for text, places in found.items():
                template.add(text, locations=[(place, None) for place in sorted(places)])
            catalog.update(template, update_creation_date=False)
            catalog.obsolete.clear()
            with atomic_path(path) as temporary:
                temporary.write_bytes(_text(catalog))
            counts.append(_count(language, name, found))
    return counts


def translate(notebook: NotebookNode, lab: Lab, language: str) -> Count:
    """Put a notebook's texts into a language, in place, and have its kernel say hints in it.

    Exercises and tests stay as they are. Code keeps all but the texts that it shows.

    Raises LabkitError: nobody has translated this lab into this language.
    """
    if not _path(language, lab.number).is_file():
        able = sorted(code for code in translations.languages() if _path(code, lab.number).is_file())
        if not able:
            raise LabkitError(f"lab {lab.number}: is in English only; `labkit translate {lab.number}` begins a file.")
        raise LabkitError(f"lab {lab.number} in {language!r}: there is no such translation{nearest(language, able)}")
    known = translations.known(_catalogue(language, lab.number))
    for cell in notebook.cells:
        if _is_translated(cell):
            cell.source = (
                _paragraphs(cell.source, known) if cell.cell_type == "markdown" else _code(cell.source, known)
            )
    speaks = f'import os\n\nos.environ["{translations.VARIABLE}"] = "{language}"'
    first = next(n for n, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    notebook.cells.insert(first + 1, new_code_cell(speaks, id="language"))
    notebook.metadata["language"] = language
    return _count(language, lab.number, messages(lab))


def messages(lab: Lab) -> dict[str, set[str]]:
    """Each message of a lab → where it is from: the notebook's cells, and the checks and claims that they use."""
    from labkit.claims import Claim

    found: dict[str, set[str]] = {}
    notebook, used = read_notebook(lab.path), set()
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            used |= set(re.findall(r"\b(lab\d\d)\.(\w+)", cell["source"]))
        if not _is_translated(cell):
            continue
        markdown = cell["cell_type"] == "markdown"
        texts = _sentences(cell["source"]) if markdown else (text for text, _ in _shown(cell["source"]))
        for text in texts:
            found.setdefault(text, set()).add(f"{lab.path.name}:{cell['id']}")
    for folder, name in sorted(used):
        thing = getattr(importlib.import_module(f"labkit.labs.{folder}"), name)
        if isinstance(thing, Claim):
            texts, module = (thing.text, thing.expected, thing.rule, thing.protocol), inspect.getmodule(thing.decide)
        else:
            module = inspect.getmodule(thing)
            texts = _literals(module)
        for text in filter(LETTERS.search, texts):
            found.setdefault(text, set()).add(module.__name__)
    shared = kit_messages()
    return {text: places for text, places in found.items() if text not in shared}


def kit_messages() -> dict[str, set[str]]:
    """What all labs share: the checks' common hints, the ladder, verdicts and the headings of tables."""
    # torch comes with them, which a release in English needs not.
    from labkit import claims, ladder, noise, predictions
    from labkit.checking import comparing, evaluation, stopped, values

    found: dict[str, set[str]] = {}
    for module in (comparing, evaluation, stopped, values, noise, ladder, claims, predictions):
        for text in (*_literals(module), *getattr(module, "COLUMNS", ()), *getattr(module, "BADGES", ())):
            found.setdefault(text, set()).add(module.__name__)
    return found | {word: {"labkit.claims"} for word in WORDS}


def _path(language: str, name: str) -> Path:
    return translations.FOLDER / language / f"{name}.po"


def _text(catalog: Catalog) -> bytes:
    """The file's text, without babel's guess that "90 % of" is a placeholder of Python's."""
    for message in catalog:
        message.flags -= {"python-format", "python-brace-format"}
    file = BytesIO()
    write_po(file, catalog, width=0, include_previous=True, sort_output=False)
    return file.getvalue()


def _count(language: str, name: str, found: dict[str, set[str]]) -> Count:
    known = translations.known(_catalogue(language, name))
    done = sum(text in known for text in found)
    return Count(language, _path(language, name), done, len(found) - done)


def _is_translated(cell: Any) -> bool:
    """What nbgrader knows by its source stays; so does what installs the kit, which is no Python for `ast`."""
    return "nbgrader" not in cell["metadata"] and "launch" not in cell["metadata"].get("tags", ())


def _sentences(source: str) -> Iterator[str]:
    for text in PARAGRAPHS.split(source):
        if LETTERS.search(text) and not NO_SENTENCE.search(text.strip()[:3]):
            yield text


def _paragraphs(source: str, known: dict[str, str]) -> str:
    return "".join(known.get(text, text) for text in PARAGRAPHS.split(source))


def _code(source: str, known: dict[str, str]) -> str:
    """The same code with the texts that it shows in another language; what would change more than a text stays."""
    lines = source.encode().splitlines(keepends=True)
    starts = [sum(map(len, lines[:n])) for n in range(len(lines) + 1)]
    changed = source.encode()
    for text, node in sorted(_shown(source), key=lambda each: (-each[1].lineno, -each[1].col_offset)):
        if text not in known:
            continue
        begin, end = starts[node.lineno - 1] + node.col_offset, starts[node.end_lineno - 1] + node.end_col_offset
        literal = "f" * isinstance(node, ast.JoinedStr) + json.dumps(known[text], ensure_ascii=False)
        if _computed(ast.parse(literal, mode="eval").body) == _computed(node):
            changed = changed[:begin] + literal.encode() + changed[end:]
    return changed.decode()


def _computed(node: ast.expr) -> list[str]:
    """What an f-string computes, in any order."""
    return sorted(ast.dump(each) for each in getattr(node, "values", ()) if isinstance(each, ast.FormattedValue))


def _shown(source: str) -> list[tuple[str, ast.expr]]:
    """Texts that a notebook's code shows: what it prints, titles, labels and alternative texts, and questions."""
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and any(getattr(each, "id", "") in NAMED for each in node.targets):
            roots.append(node.value)
        if isinstance(node, ast.Call):
            roots += [each.value for each in node.keywords if each.arg in SHOWN]
            called = ast.unparse(node.func)
            if called == "print" or called == "run.predict":
                roots += node.args
            if called == "run.predict":
                roots += [each.value for each in node.keywords]
            if called.startswith("plots."):
                roots += [key for each in node.args[:1] if isinstance(each, ast.Dict) for key in each.keys]
                roots += node.args[1:]
    found = {}
    for root in roots:
        for text, node in _strings(root, {}):
            if LETTERS.search(translations.FIELD.sub("", text)):
                found[node.lineno, node.col_offset] = (text, node)
    return list(found.values())


def _strings(root: ast.AST, constants: dict[str, str]) -> Iterator[tuple[str, ast.expr]]:
    """Each text within a tree as a message, with its fields as an f-string has them; not what is inside of a field,
    and no name by which something is looked up or compared."""
    if isinstance(root, ast.JoinedStr):
        yield "".join(_piece(each, constants) for each in root.values), root
    elif isinstance(root, ast.Constant) and isinstance(root.value, str):
        yield root.value, root
    elif not isinstance(root, ast.Subscript | ast.Compare):
        for child in ast.iter_child_nodes(root):
            yield from _strings(child, constants)


def _piece(node: ast.expr, constants: dict[str, str]) -> str:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node.value, ast.Name) and node.value.id in constants:
        return constants[node.value.id]
    how = f"!{chr(node.conversion)}" if node.conversion > 0 else ""
    spec = ":" + "".join(_piece(each, {}) for each in node.format_spec.values) if node.format_spec else ""
    return f"{{{ast.unparse(node.value)}{how}{spec}}}"


def _literals(module: ModuleType) -> Iterator[str]:
    """Sentences in a module of checks: all its texts of several words, and what it gives to `say`."""
    tree = ast.parse(inspect.getsource(module))
    constants = {name: value for name, value in vars(module).items() if name.isupper() and isinstance(value, str)}
    said = set()
    for node in ast.walk(tree):
        block = getattr(node, "body", None)
        if isinstance(block, list) and isinstance(block[0], ast.Expr) and isinstance(block[0].value, ast.Constant):
            block[0] = ast.Pass()  # a docstring
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "say":
            said |= {text for text, _ in _strings(node.args[0], constants)}
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("re.compile", "re.search", "LabkitError"):
            node.args = []
    for text, _ in _strings(tree, constants):
        if " " in text.strip() and re.search(r"[a-z]{3}", translations.FIELD.sub("", text)):
            said |= set() if NO_SENTENCE.search(text) else {text}
    yield from sorted(text for text in said if LETTERS.search(translations.FIELD.sub("", text)))
