"""The checks of every exercise are proven: right solutions earn all points, wrong ones lose what they should.

A sample of the solutions, as tests/labs holds all of them against the checks; `make mutants` grades all.
"""

import os
from itertools import islice
from math import ceil

import pytest
from mutants import all_exercises, mutants, name_of

from labkit.checking import AGAIN, UNEARNED, salted
from labkit.course.grade.marks.score import score_exercise
from labkit.course.grade.talk.conversation import loopback

EXERCISES = [
    pytest.param(each, id=f"{lab.number}-{grade_id}-{each.check}") for lab, grade_id, each in all_exercises()
]
SALT = 987_654_321
ALL = os.environ.get("LABKIT_MUTANTS") == "all"
# What a wrong solution misses beside what tests/labs says, and why: its name → property.
ALSO = {
    # The argument is a copy in another process, where autograd sees that it is overwritten.
    "in place": "forward's log-determinant is that of its Jacobian",
    # With these inputs steps that add up lead away.
    "gradients never zeroed": "the loss falls on an easy problem",
    # Too few values are drawn for a mean that is near the right one with every salt.
    "one value for a point": "it is the mean of absolute differences",
    "pairs ignored": "it is the mean of absolute differences",
    # A level meets itself as often as other levels do, which comes near the right mean with some salts.
    "all but one fixed": "it is the mean of absolute differences",
    # Without bias the distance of these samples is negative with some salts.
    "cut off": "of samples of unequal size too",
}


def sample(solutions):
    """(name, functions) of some solutions, at most four and spread over all."""
    return islice(solutions.items(), 0, None, 1 if ALL else 2 * ceil(len(solutions) / 8))


def graded(check, solution, points=3.0):
    """Points and hints of a solution, asked for as the grader asks: by messages, with inputs of its own."""
    names = [f"f{i}" for i in range(len(solution))]
    with salted(SALT):
        found = loopback(dict(zip(names, solution, strict=True))).ask(check, names)
    properties = [vars(each) for each in found]
    return score_exercise(points, {"properties": properties}), properties


@pytest.mark.parametrize("exercise", EXERCISES)
def test_every_exercise_has_its_mutants(exercise):
    known = mutants().get(name_of(exercise.load()))
    assert known is not None, f"{exercise.grade_id}: tests/labs has no solutions of {exercise.check}"
    assert len(known.right) >= 2 and len(known.wrong) >= 6 and known.stubs
    assert all(len(each) == len(exercise.functions) for each in (*known.right.values(), *known.wrong.values()))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("exercise", EXERCISES)
def test_right_ones_earn_all_wrong_ones_lose_their_properties_and_are_told_why(exercise):
    check, known = exercise.load(), mutants()[name_of(exercise.load())]
    for name, solution in sample(known.right):
        score, _ = graded(check, solution)
        assert score.points == score.maximum, name
    for name, solution in sample(known.wrong):
        score, properties = graded(check, solution)
        missed = {each["name"]: f"{each['hint']} {each['formula']}" for each in properties if not each["passed"]}
        lost = {key: hint for key, hint in missed.items() if UNEARNED not in hint}
        expected = known.expected[name]
        assert lost.keys() - {ALSO.get(name)} == expected.keys() and all(lost.values()), name
        assert all(hint in lost[each] or lost[each].startswith(AGAIN) for each, hint in expected.items()), name
        # What holds, but also holds of a constant, earns points only beside something that proves more.
        assert score.points == pytest.approx(3.0 * (1 - len(missed) / len(properties))) and lost, name
    for stub in known.stubs:
        score, properties = graded(check, stub)
        assert score.points == 0 and "stub" in properties[0]["hint"]
