import re
import subprocess
import sys
from datetime import UTC, timedelta
from pathlib import Path

import pandas as pd
import pytest
from example_course import active, properties, run_trusted, write_outcome
from nbformat.v4 import new_output
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.demo import DEADLINE, make_demo
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place, open_gradebook
from labkit.course.grade.marks.export import overview
from labkit.course.grade.marks.feedback import unread, write_feedback
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.marks.neutral import (
    neutral_outputs,
    plain_markdown,
    plain_text,
    safe_html,
    safe_markdown,
    unescaped,
)
from labkit.errors import LabkitError

pytest.importorskip("nbgrader", reason="needs the extra `grade`")
TABLE = "<table class='dataframe'><thead><tr><th>x</th></tr></thead><tbody><tr><td>1</td></tr></tbody></table>"


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    course = tmp_path_factory.mktemp("course")
    lab = make_demo(course)
    prepare(Place(course, lab), course / "handed-in", deadline=DEADLINE)
    run_trusted(course, lab)
    exercises = {"log-density-test": properties(True, False, hint="you forgot <b>2π</b> in `x`.")}
    picture = new_output("display_data", data={"image/png": "iVBORw0KGgo=", "text/plain": "<Figure>"})
    table = new_output("display_data", data={"text/html": pd.DataFrame({"x": [1]})._repr_html_()})
    write_outcome(course, lab, "dan-mean-for-sum", exercises=exercises, outputs=[picture, table])
    ingest(Place(course, lab))
    with open_gradebook(Place(course, lab)) as gradebook:
        place = (lab.stem, f"lab{lab.number}", "dan-mean-for-sum")
        gradebook.find_comment("essay", *place).manual_comment = "A *fine* answer."
        essay = gradebook.find_grade("essay", *place)
        essay.manual_score, essay.needs_manual_grade = 1.5, False
        gradebook.db.commit()
    written, failed = write_feedback(Place(course, lab))
    assert not failed
    return course, lab, {path.parts[-3]: path.read_text(encoding="utf-8") for path in written}


def table_in(page):
    """Tags of the first table of a page, as a browser sees them: what was escaped is text."""
    return re.findall(r"<(t\w+)", page.partition("<table")[1] + page.partition("<table")[2].partition("</table>")[0])


def text_of(page):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page.partition("<body>")[2]))


def test_everybody_gets_a_page_the_refused_too(pages):
    assert len(pages[2]) == 14
    assert "no notebook that can be read" in text_of(pages[2]["lea-no-notebook"])


def test_a_page_shows_work_properties_points_and_comments(pages):
    page = pages[2]["dan-mean-for-sum"]
    text = text_of(page)
    for words in (
        "log_density(x)",
        "✔ property 0",
        "✘ property 1",
        "1 of 2 properties hold",
        "2.00 of 4 points",
    ):
        assert words in text, words
    assert "A <em>fine</em> answer." in page
    assert "Score: 3.5 / 10.0" in text
    assert "you forgot &lt; b&gt;2π&lt; /b&gt; in `x`" in page
    assert "data:image/png;base64,iVBORw0KGgo=" in page
    assert table_in(page) == ["table", "thead", "tr", "th", "th", "tbody", "tr", "th", "td"]
    assert "only-of-type" not in page and '<table class="table-condensed">' in page


def test_the_index_of_a_page_names_the_exercises_and_links_to_them(pages):
    for page in pages[2].values():
        index = page.partition('<div id="toc">')[2].partition("</div>")[0]
        links = [link for link in re.findall(r'<a href="#([^"]+)">([^<]+)</a>', index) if link[1] != "Comment"]
        assert links == [(name, name) for name in ("log-density-test", "components-test", "essay")]
        assert all(f'name="{name}"' in page for name, _ in links)


def test_hidden_tests_and_solutions_are_on_no_page(pages):
    for page in pages[2].values():
        assert "HIDDEN" not in page and "BEGIN SOLUTION" not in page


def test_no_page_can_do_more_than_that_of_an_honest_student(pages):
    honest = active(pages[2]["ada-right"])
    assert honest  # the template's own: MathJax and styles
    for student, page in pages[2].items():
        assert active(page) == honest, student


@pytest.mark.parametrize("student", ["mo-scripts", "dan-mean-for-sum"])
def test_nbgraders_own_command_works_on_the_course_and_is_sanitised_by_its_settings(pages, student):
    course, lab, _ = pages
    command = [
        sys.executable,
        "-m",
        "nbgrader",
        "generate_feedback",
        f"lab{lab.number}",
        "--student",
        student,
        "--force",
    ]
    done = subprocess.run(command, cwd=course, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (Place(course, lab, student).folder("feedback") / f"{lab.stem}.html").read_text(encoding="utf-8")
    ours = pages[2][student]
    assert len(active(page)) == len(active(ours)) and table_in(page) == table_in(ours)


@pytest.fixture
def nbgrader(pages, monkeypatch):
    """What formgrader's buttons call, with the settings that it reads in the course's folder."""
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import PyFileConfigLoader

    monkeypatch.chdir(pages[0])
    config = PyFileConfigLoader("nbgrader_config.py", ".").load_config()
    return NbGraderAPI(CourseDirectory(config=config), config=config)


def test_formgrader_takes_what_was_ingested_for_graded(nbgrader, pages):
    name = Place(*pages[:2]).name
    shown = {each["student"]: each for each in nbgrader.get_submissions(name)}
    assert len(shown) == nbgrader.get_assignment(name)["num_submissions"] == 14
    assert all(nbgrader.get_submission(name, student)["autograded"] for student in shown)
    late = (DEADLINE + timedelta(hours=26)).astimezone(UTC)
    assert shown["eve-late"]["timestamp"] == late.replace(tzinfo=None).isoformat()
    assert shown["ada-right"]["needs_manual_grade"] and not shown["nia-untouched"]["needs_manual_grade"]


def test_its_autograde_button_runs_nothing_and_takes_nothing_away(nbgrader, pages):
    course, lab, _ = pages
    before = Place(course, lab, "ada-right").notebook("autograded")
    text = before.read_bytes()
    done = nbgrader.autograde(f"lab{lab.number}", "ada-right")
    assert not done["success"] and "No notebooks were matched" in done["error"]
    assert before.read_bytes() == text


def test_its_generate_button_gives_our_release(nbgrader, pages):
    course, lab, _ = pages
    released = Place(course, lab).release
    text = released.read_bytes()
    released.unlink()
    assert nbgrader.generate_assignment(f"lab{lab.number}")["success"]
    assert released.read_bytes() == text


def test_without_grades_it_says_what_to_do(pages, tmp_path):
    with pytest.raises(LabkitError, match="labkit grade ingest demo"):
        write_feedback(Place(tmp_path, pages[1]))


@pytest.mark.parametrize(
    "source",
    [
        "a < b",
        "$a < b$",
        "> quoted\n\n- item",
        "x **bold** `code`",
        "| a |\n| - |\n| 1 |",
        "$$\\sum_i x_i$$",
        "1 <2 <= 3",
    ],
)
def test_harmless_markdown_is_left_as_it_is(source):
    assert plain_markdown(source) == source


def test_a_formula_keeps_its_meaning():
    assert plain_markdown("$x<y$") == "$x< y$"
    assert "$x&lt; y$" in safe_markdown(plain_markdown("$x<y$"))


def test_plain_text_is_shown_as_it_is():
    said = "*a* _b_ `c` [d](e) ![f](g) $h$ <i>j</i> # k | l \\ m"
    shown = re.sub(r"<[^>]+>", "", safe_markdown(plain_text(said))).strip()
    assert shown.replace("&lt; ", "<").replace("&gt;", ">").replace("&amp;", "&") == said
    assert unescaped(plain_text(said)).replace("< ", "<") == said


def test_answers_that_nobody_has_read_are_named(pages):
    course, lab, _ = pages
    blank = {"dan-mean-for-sum", "lea-no-notebook", "nia-untouched"}
    assert set(unread(Place(course, lab))) == set(pages[2]) - blank
    assert "| essay | 0.50 | 2 | 0 | 11 |" in overview(Place(course, lab))
    told = CliRunner().invoke(app, ["grade", "feedback", "demo", "--course", str(course)]).output
    assert "11 hold answers that nobody has read yet" in told and "ada-right, ben" in told


def test_outputs_keep_what_students_need_to_see():
    outputs = [
        {"output_type": "stream", "name": "stdout", "text": ["a", "b"]},
        {"output_type": "error", "ename": "ValueError", "evalue": "no", "traceback": ["line"]},
        {"output_type": "execute_result", "data": {"text/plain": "3", "text/latex": "$3$"}, "metadata": {}},
        {"output_type": "display_data", "data": {"text/html": TABLE}},
    ]
    stream, error, result, table = neutral_outputs(outputs)
    assert stream.text == "ab" and error.ename == "ValueError"
    assert result.data == {"text/plain": "3", "text/latex": "$3$"}
    assert "<td>1</td>" in table.data["text/html"] and "dataframe" in table.data["text/html"]


@pytest.mark.parametrize(
    "output", [None, 7, {}, {"output_type": "stream"}, {"output_type": "display_data", "data": 3}]
)
def test_a_malformed_output_is_left_out(output):
    kept = neutral_outputs([output, {"output_type": "stream", "name": "stdout", "text": "x"}])
    assert [each.text for each in kept] == ["x"]


def test_a_flood_is_cut():
    (cut,) = neutral_outputs([{"output_type": "stream", "name": "stdout", "text": "x" * 10**6}])
    assert len(cut.text) < 30_000 and "left out" in cut.text


@pytest.mark.parametrize("html", ["<p>a <b>b</b></p>", "<ul><li>x</li></ul>", "<pre>a</pre>"])
def test_plain_html_is_left_as_it_is(html):
    assert safe_html(html) == safe_html(html.encode()) == html


def test_the_colours_of_code_are_kept_and_formgraders_buttons_are_not():
    code = '<div class=" highlight hl-ipython3"><pre><span class="kn">import</span></pre></div>'
    assert safe_html(code) == code
    assert safe_html('<span class="btn btn-default">Full credit</span>') == "<span>Full credit</span>"


def test_no_attribute_of_a_table_is_a_students():
    cleaned = '<table class="table-condensed"><tbody><tr><td>1</td></tr></tbody></table>'
    assert safe_html('<table class="btn" id="a" onclick="b()"><tr><td>1</td></tr></table>') == cleaned


def test_pictures_lie_in_the_page_or_are_not_shown():
    inside = '<img src="data:image/png;base64,iVBORw0KGgo=" alt="x">'
    assert safe_html(inside) == inside
    assert "src" not in safe_html('<img src="https://example.org/count.png">')
    assert "src" not in safe_html('<img src="data:image/svg+xml;base64,PHN2Zz4=">')


@pytest.mark.parametrize(
    "link", ["javascript:x", "data:text/html,x", "da&#116;a:text/html,x", "JaVa\tscript:x", "file:///x"]
)
def test_links_lead_to_pages_only(link):
    assert "href" not in safe_html(f'<a href="{link}">x</a>')
    assert "href" not in safe_markdown(f"[x](<{link}>) [y]\n\n[y]: {link}")


def test_pages_lie_where_nbgrader_looks_for_them(pages):
    course, lab, _ = pages
    assert (Path(course) / "feedback" / "ada-right" / "labdemo" / f"{lab.stem}.html").is_file()
