"""Labs in other languages: what is translated, what stays, what is stale, and that grading sees no difference."""

import ast
import json
import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import cache

import nbformat
import pytest

from labkit import translations
from labkit.checking import Hint, Property
from labkit.claims import card_html, card_text
from labkit.course.grade.intake.repair import read_cells, repair
from labkit.course.grade.release import notebook_text, student_version
from labkit.course.run.labs import list_labs
from labkit.course.translate import _shown, kit_messages, messages, translate, update
from labkit.errors import LabkitError
from labkit.labs import lab00
from labkit.ladder import FORMULA, report
from labkit.translations import catalogue, known, say

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
LANGUAGES, WHOLE = ("ca", "es"), ("00", "01a")
LABS = {lab.number: lab for lab in list_labs() if lab.number in WHOLE}
# What a translation leaves as it is: fields, formulas, code, the ends of links, and where a paper is.
KEPT = re.compile(r"\$[^$]+\$|`[^`]+`|\]\([^)]+\)|arXiv:[\d.]+|\{[^{}]+\}")
BEGINS = re.compile(r"^(#+ |- |\| )", re.MULTILINE)

both = pytest.mark.parametrize("language", LANGUAGES)
each_lab = pytest.mark.parametrize("number", WHOLE)


@pytest.fixture(scope="module")
def english():
    return {number: student_version(lab) for number, lab in LABS.items()}


@pytest.fixture
def own_files(tmp_path, monkeypatch):
    """Translations that a test may write to."""
    folder = shutil.copytree(translations.FOLDER, tmp_path / "translations")
    monkeypatch.setattr(translations, "FOLDER", folder)
    return folder


@cache
def found(name):
    return kit_messages() if name == "kit" else messages(LABS[name])


def copied(notebook):
    return nbformat.reads(nbformat.writes(notebook), as_version=4)


@both
@pytest.mark.parametrize("name", ["kit", *WHOLE])
def test_a_whole_lab_is_translated(name, language):
    done = known(catalogue(language, name))
    assert not [text for text in found(name) if text not in done]
    assert not done.keys() - found(name).keys(), "no longer said: run `labkit translate`"


@both
@pytest.mark.parametrize("name", ["kit", *WHOLE])
def test_formulas_code_and_fields_stay_as_they_are(name, language):
    for english, other in known(catalogue(language, name)).items():
        assert Counter(KEPT.findall(other)) == Counter(KEPT.findall(english)), other
        assert BEGINS.findall(other) == BEGINS.findall(english), other


@both
@pytest.mark.parametrize("name", ["kit", *WHOLE])
def test_hints_break_into_the_same_steps(name, language):
    """The ladder shows what stands before the colon first, and a formula behind it last."""
    hints = {
        text for text, places in found(name).items() if not any(re.search("ipynb|claims", each) for each in places)
    }
    done = known(catalogue(language, name))
    assert len(hints) > 10
    for english in hints:
        before, after = (text.partition(": ")[2] for text in (english, done[english]))
        assert bool(after) == bool(before) and bool(FORMULA.search(after)) == bool(FORMULA.search(before)), after


@both
@each_lab
def test_only_texts_change_in_code(number, language, english):
    notebook = copied(english[number])
    translate(notebook, LABS[number], language)
    added = [cell for cell in notebook.cells if cell.id == "language"]
    rest = [cell for cell in notebook.cells if cell.id != "language"]
    assert len(added) == 1 and f'"{language}"' in added[0].source
    changed = 0
    for before, after in zip(english[number].cells, rest, strict=True):
        assert (before.id, before.cell_type, before.metadata) == (after.id, after.cell_type, after.metadata)
        if "nbgrader" in before.metadata:
            assert after.source == before.source
        elif before.cell_type == "code":
            assert without_texts(after.source) == without_texts(before.source)
            changed += after.source != before.source
    assert changed > 3


def without_texts(source):
    """A cell's text without the texts that it shows, and what these compute."""
    lines, computed = source.encode().splitlines(keepends=True), []
    for _, node in _shown(source):
        fields = (ast.dump(each) for each in getattr(node, "values", ()) if isinstance(each, ast.FormattedValue))
        computed.append(sorted(fields))
        for row in range(node.lineno - 1, node.end_lineno):
            begin = node.col_offset if row == node.lineno - 1 else 0
            end = node.end_col_offset if row == node.end_lineno - 1 else len(lines[row])
            lines[row] = lines[row][:begin] + b"\0" * (end - begin) + lines[row][end:]
    return re.sub(rb"\0[\0\s]*", b"TEXT", b"".join(lines)), computed


@both
@each_lab
def test_grading_takes_it_as_the_english_one(number, language, english):
    notebook = copied(english[number])
    translate(notebook, LABS[number], language)
    answer = next(cell for cell in notebook.cells if cell.metadata.get("nbgrader", {}).get("solution"))
    answer.source = answer.source.replace("raise NotImplementedError", "return 1")
    taken, said = repair(english[number], read_cells(notebook_text(notebook).encode())[0])
    assert said == []
    exercises = {cell.id: cell.source for cell in taken.cells if "nbgrader" in cell.metadata}
    expected = {cell.id: cell.source for cell in english[number].cells if "nbgrader" in cell.metadata}
    assert exercises == expected | {answer.id: answer.source} != expected


def test_what_changed_in_english_is_stale_counted_and_read_in_english(own_files, tmp_path, english):
    source = json.loads(LABS["00"].path.read_text(encoding="utf-8"))
    cell = next(cell for cell in source["cells"] if cell["id"] == "exercise-text")
    cell["source"] = "".join(cell["source"]).replace("It is for practice", "It is for practice only")
    cell = next(cell for cell in source["cells"] if cell["id"] == "density")
    cell["source"] = "".join(cell["source"]).replace("first coordinate", "the first coordinate")
    path = tmp_path / LABS["00"].path.name
    path.write_text(json.dumps(source), encoding="utf-8")
    lab = replace(LABS["00"], path=path)
    notebook = student_version(lab)
    counted = translate(notebook, lab, "es")
    assert counted.stale == 2 and "2 stale or missing and left in English" in str(counted)
    text = "\n".join(cell.source for cell in notebook.cells)
    assert "**Exercise.** Write `log_density`. It is for practice only" in text and "the first coordinate" in text
    assert "Una comprobación no compara" in text and "segunda coordenada" in text

    updated = {count.path: count.stale for count in update(lab)}
    assert [updated[own_files / language / "00.po"] for language in LANGUAGES] == [2, 2]
    assert sum(message.fuzzy for message in catalogue("es", "00") if message.id) == 2
    assert translate(student_version(lab), lab, "es").stale == 2  # in doubt is not translated


def test_extraction_comes_back_as_it_was(own_files):
    before = {path: path.read_bytes() for path in own_files.glob("*/*.po")}
    for lab in LABS.values():
        assert {count.stale for count in update(lab)} == {0}
    assert {path: path.read_bytes() for path in own_files.glob("*/*.po")} == before


def test_a_translation_that_loses_a_field_is_not_used(own_files):
    path = own_files / "es" / "00.po"
    path.write_text(path.read_text(encoding="utf-8").replace("suma {total:.3f} en", "suma {todo:.3f} en"), "utf-8")
    notebook = student_version(LABS["00"])
    assert translate(notebook, LABS["00"], "es").stale == 1
    assert "The density adds up to {total:.3f}" in "\n".join(cell.source for cell in notebook.cells)


def test_an_unknown_language_is_one_sentence_with_those_that_are_there(english):
    with pytest.raises(LabkitError, match=r"'fr': there is no such translation; choose among ca, es\."):
        translate(copied(english["00"]), LABS["00"], "fr")
    other = next(lab for lab in list_labs() if lab.number == "02")
    with pytest.raises(LabkitError, match="is in English only; `labkit translate 02` begins a file"):
        translate(copied(english["00"]), other, "es")


def test_hints_are_in_the_language_of_the_release(monkeypatch):
    properties = lab00.first_check(lambda x: -0.5 * x.square().sum(dim=1))
    plain = "\n".join(report(properties, 3))
    monkeypatch.setenv(translations.VARIABLE, "es")
    first, third = "\n".join(report(properties, 1)), "\n".join(report(properties, 3))
    assert "✗ en el origen vale −d/2 · log 2π" in first and "dónde: en [0] vale -0; se esperaba -2.757." in first
    assert "por qué: falta la constante." in third and "por qué" not in first
    assert "escribe: la densidad solo integra uno con −d/2 · log 2π." in third
    assert "pista: en [0] vale -0; se esperaba -2.757. falta la constante: " in "\n".join(report(properties))
    english = re.compile(r"\b(the|is|expected|missing|where|why|write)\b")
    assert english.search(plain) and not english.search(third)


@pytest.mark.parametrize(
    "said, shown",
    [
        ("at [0, 1] it is 2, expected 3.", "en [0, 1] vale 2; se esperaba 3."),
        ("every value is 2 times the right one.", "cada valor es 2 veces el correcto."),
        (
            "every value is 2 times the right one: a sum over 2 where a mean belongs.",
            "cada valor es 2 veces el correcto: una suma sobre 2 donde toca una media.",
        ),
        (
            "your code stopped with ValueError: bad: x in line 3 of your code: y = x",
            "tu código se ha parado con ValueError: bad: x en la línea 3 de tu código: y = x",
        ),
        ("5,000 epochs would decide", "lo decidirían 5,000 épocas"),
        ("nobody has translated this", "nobody has translated this"),
    ],
)
def test_sentences_with_fields_are_found_by_what_stands_between(said, shown, monkeypatch):
    assert say(said) == said
    monkeypatch.setenv(translations.VARIABLE, "es")
    assert say(said) == shown


def test_a_name_that_looks_like_a_language_reads_no_file(monkeypatch):
    monkeypatch.setenv(translations.VARIABLE, "xx")
    assert say("the sign is flipped.") == "the sign is flipped."


@both
def test_verdict_cards_are_in_the_language_of_the_release(language, monkeypatch):
    record = {"id": "A2", "text": "64 components hold 89.70 % of the variance", "verdict": "needs photographs"}
    record |= {"measured": {"share_at_64": 0.9}, "on": "drawn faces", "decides": ""}
    assert "needs photographs" in card_text(record) and "hold" in card_html(record)
    monkeypatch.setenv(translations.VARIABLE, language)
    for shown in (card_text(record), card_html(record)):
        assert "necesita fotografías" in shown or "necessita fotografies" in shown
        assert "89.70 % de la var" in shown and "hold" not in shown


def test_a_hint_without_parts_is_translated_whole(monkeypatch):
    missed = Property("s and t see the kept features only", False, "the shift t is missing.", *Hint())
    monkeypatch.setenv(translations.VARIABLE, "es")
    lines = report([missed])
    assert lines == ["✗ s y t solo ven las características conservadas", "    pista: falta el desplazamiento t."]


def test_a_file_in_another_encoding_is_named_and_a_student_reads_english(own_files, monkeypatch):
    path = translations.FOLDER / "es" / "kit.po"
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole, encoding="utf-8-sig")
    assert translations.known(translations.catalogue("es", "kit"))
    path.write_text(whole, encoding="cp1252", errors="replace")
    with pytest.raises(LabkitError, match=r"kit\.po: is not in UTF-8"):
        update(list_labs()[0])
    monkeypatch.setenv(translations.VARIABLE, "es")
    translations._all.cache_clear()
    assert translations.say("it has shape (1,), expected (2,).") == "it has shape (1,), expected (2,)."
    translations._all.cache_clear()
