"""Answers that are alike are found; what all were given, or all would write, is not."""

import json

import nbformat
import pytest
from example_course import active
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from small_lab import lab_in
from typer.testing import CliRunner

from labkit.course.cli import app
from labkit.course.grade.layout import Place
from labkit.course.grade.marks import similar
from labkit.course.grade.marks.similar import answers_of, pairs_of, write_similar
from labkit.errors import LabkitError

GIVEN = "def fit(batches, model, optimiser, steps):\n    # YOUR CODE HERE\n    raise NotImplementedError()\n"
COPIED = """
def fit(batches, model, optimiser, steps):
    total, seen = 0.0, 0
    for step, batch in zip(range(steps), batches):
        optimiser.zero_grad()
        loss = -model.log_prob(batch).mean() + 1e-4 * sum(p.square().sum() for p in model.parameters())
        loss.backward()
        optimiser.step()
        total, seen = total + loss.item() * len(batch), seen + len(batch)
    return total / max(1, seen)
"""
RENAMED = (
    COPIED.replace("total", "acc")
    .replace("batch", "x")
    .replace("seen", "n")
    .replace("    optimiser.step", "  # go\n        optimiser.step")
)
OTHER = """
def fit(batches, model, optimiser, steps):
    history = []
    iterator = iter(batches)
    while len(history) < steps:
        try:
            images = next(iterator)
        except StopIteration:
            break
        value = torch.nn.functional.mse_loss(model(images), images, reduction="sum")
        optimiser.zero_grad(set_to_none=True)
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5)
        optimiser.step()
        history += [float(value)]
    return np.mean(history)
"""


def about(name):
    return {"nbgrader": {"grade_id": name, "solution": True, "grade": False, "locked": False, "schema_version": 3}}


def book(code, essay="Your answer."):
    cells = [
        new_code_cell("import torch\nimport numpy as np"),
        new_code_cell(code, metadata=about("fit")),
        new_markdown_cell(essay, metadata=about("essay")),
    ]
    return nbformat.writes(new_notebook(cells=cells))


def alike(**codes):
    return pairs_of({student: answers_of(book(code), book(GIVEN)) for student, code in codes.items()})


def names(pairs):
    return {pair.students for pair in pairs}


def test_a_copy_with_other_names_and_comments_is_found_and_an_answer_by_oneself_is_not():
    (pair,) = alike(ada=COPIED, bob=RENAMED, cy=OTHER)
    assert pair.students == ("ada", "bob") and pair.exercise == "fit" and pair.alike > 0.8
    assert sum(shared for _, shared in pair.texts[0]) > 3


def test_what_the_release_gave_and_what_all_wrote_is_no_sign():
    assert not alike(ada=GIVEN, bob=GIVEN, cy=GIVEN)
    given = book(COPIED)
    assert not pairs_of({student: answers_of(book(COPIED), given) for student in "abc"})
    assert not alike(**{f"s{n}": COPIED for n in range(20)})
    assert not alike(**{f"s{n}": (COPIED, OTHER)[n % 2] for n in range(20)})
    ring = {f"s{n}": COPIED for n in range(3)} | {f"t{n}": OTHER + f"# {n}" for n in range(17)}
    assert names(alike(**ring)) == {("s0", "s1"), ("s0", "s2"), ("s1", "s2")}


def test_essays_are_compared_by_their_words():
    said = (
        "The flow is exact, yet its samples blur where the base has little mass; a longer training moves that edge."
    )
    mine = "I think that the determinant is what costs most, and that coupling layers were made so that it does not."
    essays = {"ada": said, "bob": said.replace("; ", ".\n\n**").upper(), "cy": mine}
    found = {student: answers_of(book(GIVEN, essay), book(GIVEN)) for student, essay in essays.items()}
    assert [(pair.exercise, pair.students) for pair in pairs_of(found)] == [("essay", ("ada", "bob"))]


@pytest.mark.parametrize("code", ["", "def f(:\n  '''", "\0", "(" * 5000, "x = 1\n  y", "é" * 10, "\\\n"])
def test_what_is_no_python_stops_nothing(code):
    answers_of(book(code), book(GIVEN))


@pytest.fixture
def place(tmp_path):
    made = Place(tmp_path, lab_in(tmp_path))
    made.release.parent.mkdir(parents=True)
    made.release.write_text(book(GIVEN))
    return made


def hand_in(place, **codes):
    for student, code in codes.items():
        folder = place.of(student).folder("submitted")
        folder.mkdir(parents=True)
        place.of(student).notebook("submitted").write_text(book(code))
        (folder / "prepared.json").write_text(json.dumps({"refused": None}))


def test_the_page_shows_hostile_text_as_text_within_bounds_and_one_submission_stops_no_other(place):
    attack = COPIED + "# </pre><script>alert(1)</script><img src=x onerror=alert(2)>" + "A" * 50_000 + "\n" * 9000
    hand_in(place, ada=attack, bob=RENAMED, cy=OTHER)
    hand_in(place, eve="")
    place.of("eve").notebook("submitted").write_text("{")
    page, pairs, failed = write_similar(place)
    html = page.read_text(encoding="utf-8")
    assert names(pairs) == {("ada", "bob")} and list(failed) == ["eve"]
    assert active(html) == ["meta", "style"] and "&lt;script&gt;" in html and "… more is left out here" in html
    assert "A" * 50 in html and "A" * similar.MAX_WIDTH not in html and html.count("\n") < 3 * similar.MAX_LINES


def test_an_answer_that_takes_too_long_costs_only_itself(place, monkeypatch):
    def limited(work, notebook, released):
        if "OVERRUN" in notebook:
            raise similar.Overrun("it took more computing time than it may")
        return work(notebook, released)

    monkeypatch.setattr(similar, "run_limited", limited)
    hand_in(place, ada=COPIED, bob=RENAMED, eve="OVERRUN")
    _, pairs, failed = write_similar(place)
    assert names(pairs) == {("ada", "bob")} and "computing time" in failed["eve"]


def test_without_submissions_it_says_what_to_do(place):
    with pytest.raises(LabkitError, match="labkit grade prepare 77"):
        write_similar(place)
    done = CliRunner().invoke(app, ["grade", "similar", "--help"])
    assert done.exit_code == 0 and "alike is no proof" in done.output
