"""Scripts in Markdown, output and hints: feedback and formgrader show them and do not run them.

Each attack is shown to work as well: against nbgrader as it comes, or with the defence switched off.
"""

import json
from functools import cache

import nbformat
import pytest
from example_course import active, properties, write_outcome
from hostile_course import TESTS, VICTIM, hand_in, name
from nbformat.v4 import new_markdown_cell, new_raw_cell

from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.marks.feedback import write_feedback
from labkit.course.grade.marks.gradebook import ingest

pytest.importorskip("nbgrader", reason="needs the extra `grade`")


SCRIPT = "<script>steal()</script>"
MARKDOWN = {
    "a script": SCRIPT,
    "a handler": "<img src=x onerror=steal()>",
    "an SVG": "<svg onload=steal()><a xlink:href='javascript:steal()'>x</a></svg>",
    "a frame": "<iframe srcdoc='<script>steal()</script>'></iframe>",
    "a button of formgrader's": "<button class='btn full-credit' onclick=steal()>grade</button>",
    "a form": "<form action='javascript:steal()'><input name=x></form>",
    "a script cut by lines": "<scr\nipt>steal()</script\n>",
    "capitals": "<ScRiPt>steal()</sCrIpT>",
    "a comment": "<!--><script>steal()</script>-->",
    "a declaration": "<?xml version='1.0'?><script>steal()</script>",
    "within a formula": "$x<script>steal()</script>$",
    "within a list": "- a\n  - <details ontoggle=steal() open>x</details>",
    "a style": "<style>@import 'javascript:steal()';</style><p style='background:url(javascript:steal())'>x</p>",
}


# A browser takes these for text, or nbconvert escapes them: nbgrader withstands them, too.
INERT = {"a script cut by lines", "a comment", "within a formula"}


@pytest.mark.parametrize("kind", MARKDOWN)
def test_markdown_that_acts(room, tmp_path, kind):
    course, lab, honest = room
    for cell in honest.cells:
        if name(cell) == "essay":
            cell.source = MARKDOWN[kind]
    honest.cells += [new_markdown_cell(MARKDOWN[kind]), new_raw_cell(MARKDOWN[kind])]
    assert_harmless(course, lab, honest, tmp_path, outputs=[], stock=kind not in INERT)


OUTPUTS = {
    "HTML": {"text/html": f"<b onclick='steal()'>x</b>{SCRIPT}"},
    "a program": {"application/javascript": "steal()"},
    "an SVG": {"image/svg+xml": f"<svg onload='steal()'>{SCRIPT}</svg>"},
    "Markdown": {"text/markdown": SCRIPT},
    "formulas": {"text/latex": f"$x${SCRIPT}"},
    "a widget": {"application/vnd.jupyter.widget-view+json": {"model_id": SCRIPT}},
    "a picture that is none": {"image/png": f'"><img src=x onerror="steal()">{SCRIPT}'},
    "text": {"text/plain": SCRIPT},
    "a diagram": {"text/vnd.mermaid": f"graph TD; {SCRIPT}"},
}


@pytest.mark.parametrize("kind", OUTPUTS)
def test_output_that_acts(room, tmp_path, kind):
    course, lab, honest = room
    output = {"output_type": "display_data", "data": OUTPUTS[kind], "metadata": {}}
    assert_harmless(course, lab, honest, tmp_path, outputs=[output], stock=kind in ("HTML", "a program", "Markdown"))


def test_a_pictures_size_that_is_a_handler(room, tmp_path):
    course, lab, honest = room
    metadata = {"image/png": {"width": "1 onerror=steal()"}}
    output = {"output_type": "display_data", "data": {"image/png": "eA=="}, "metadata": metadata}
    assert_harmless(course, lab, honest, tmp_path, outputs=[output])


def test_an_isolated_frame(room, tmp_path):
    course, lab, honest = room
    metadata = {"text/html": {"isolated": True}}
    output = {"output_type": "display_data", "data": {"text/html": SCRIPT}, "metadata": metadata}
    assert_harmless(course, lab, honest, tmp_path, outputs=[output])


def test_a_hint_that_quotes_a_script(room, tmp_path):
    """A student's exception becomes part of a hint, and hints are shown as Markdown."""
    course, lab, honest = room
    hint = f"your code stopped with ValueError: {SCRIPT} <img src=x onerror=steal()> [x](javascript:steal())."
    exercises = {test: properties(False, hint=hint) for test in TESTS}
    assert_harmless(course, lab, honest, tmp_path, outputs=[], exercises=exercises, reason=SCRIPT)


def test_a_stream_and_an_error_that_hold_scripts(room, tmp_path):
    course, lab, honest = room
    outputs = [
        {
            "output_type": "stream",
            "name": "stdout",
            "text": f"\x1b[31m{SCRIPT}\x1b]8;;javascript:steal()\x07x",
        },
        {"output_type": "error", "ename": SCRIPT, "evalue": SCRIPT, "traceback": [SCRIPT]},
    ]
    assert_harmless(course, lab, honest, tmp_path, outputs=outputs, stock=False)


def assert_harmless(course, lab, notebook, tmp_path, *, outputs, stock=True, exercises=None, **about):
    """Feedback and formgrader's page act no more than an honest student's; nbgrader as it comes lets it act."""
    prepare(Place(course, lab), hand_in(tmp_path / "in", {"mallory.ipynb": notebook}))
    write_outcome(course, lab, "mallory", exercises=exercises or {}, **about)
    executed = Place(course, lab, "mallory").notebook("executed")
    raw = json.loads(executed.read_text())
    next(cell for cell in raw["cells"] if cell["cell_type"] == "code")["outputs"] = outputs
    executed.write_text(json.dumps(raw))
    ingest(Place(course, lab))
    pages = {path.parts[-3]: path.read_text(encoding="utf-8") for path in write_feedback(Place(course, lab))[0]}
    assert active(pages["mallory"]) == active(pages[VICTIM])
    for student in ("mallory", VICTIM):
        shown_page = Place(course, lab, student).notebook("autograded")
        pages[student] = active(stock_page(nbformat.read(shown_page, as_version=4)))
    assert pages["mallory"] == pages[VICTIM], "formgrader without our settings"
    if stock and (outputs or not exercises):
        theirs = nbformat.reads(json.dumps(raw), as_version=4)
        assert len(active(stock_page(theirs))) > len(pages[VICTIM]), (
            "the attack does not work against nbgrader either"
        )


@cache
def stock_exporter():
    """What renders pages for formgrader, with nbgrader's defaults; making one takes longer than a page."""
    from nbconvert.exporters import HTMLExporter
    from nbgrader.server_extensions.formgrader import handlers

    return HTMLExporter(template_name="formgrade", extra_template_basedirs=[handlers.template_path])


def stock_page(notebook):
    """A notebook as formgrader renders it, with nbgrader's defaults."""
    resources = {
        "base_url": "",
        "index": 0,
        "total": 1,
        "submission_id": "1",
        "notebook_id": "x",
        "assignment_id": "x",
    }
    return stock_exporter().from_notebook_node(notebook, resources=resources)[0]
