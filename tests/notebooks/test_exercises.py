"""Exercises are spread over a lab, and each says what it is worth and how long it takes.

`python -m pytest tests/notebooks/test_exercises.py -k table -s` prints where they lie.
"""

import re

import nbformat
import pytest

from labkit.course.run.labs import list_labs

LABS = {lab.number: lab.path for lab in list_labs() if lab.number != "00"}  # its exercise is for practice
STATED = re.compile(r"\*\*Exercise (\d+) \((\d+) points, about (\d+) minutes\)\.\*\*")
SOLUTION = re.compile(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", re.DOTALL)


def exercises(path):
    """Of each exercise: its number, points and minutes as stated, its share of the lab before it, lines to write."""
    cells, found, stated = nbformat.read(path, 4).cells, [], None
    for place, cell in enumerate(cells):
        if cell.cell_type == "markdown":
            stated = (STATED.findall(cell.source) or [stated])[-1]
        elif written := "".join(SOLUTION.findall(cell.source)):
            points = next(each.metadata.nbgrader.points for each in cells[place:] if "run.check(" in each.source)
            lines = sum(bool(line.strip()) for line in written.splitlines())
            found.append((stated, points, place / len(cells), lines))
            stated = None
    return found


@pytest.mark.parametrize("lab", LABS)
def test_each_exercise_states_its_number_its_points_and_its_minutes(lab):
    found = exercises(LABS[lab])
    assert [int(stated[0]) for stated, *_ in found] == list(range(1, len(found) + 1))
    assert [int(stated[1]) for stated, *_ in found] == [points for _, points, *_ in found]
    assert all(0 < int(stated[2]) <= 30 for stated, *_ in found)


@pytest.mark.parametrize("lab", LABS)
def test_the_second_half_of_a_lab_has_an_exercise(lab):
    assert max(place for *_, place, _ in exercises(LABS[lab])) >= 0.5


def test_table():
    for lab, path in LABS.items():
        for (number, points, minutes), _, place, lines in exercises(path):
            print(f"{lab:>4} exercise {number}: at {place:.0%}, {lines} lines, {points} points, {minutes} minutes")
