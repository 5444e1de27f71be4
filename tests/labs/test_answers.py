"""Each check, and its hidden test, judges strangers' answers rightly: a sample; `make mutants` asks about all."""

import os

import pytest
from answers import FILES, answers, judged
from mutation import tasks

ALL = os.environ.get("LABKIT_MUTANTS") == "all"
SAMPLE = 10  # answers of a file
pytestmark = pytest.mark.filterwarnings("ignore")


def sample(path):
    """(answer, whether the hidden test's inputs are asked), spread over the file; all, of both, in `make mutants`."""
    every = answers(path)
    if ALL:
        return [(answer, again) for answer in every for again in (False, True)]
    return [(answer, bool(i % 2)) for i, answer in enumerate(every[:: -(-len(every) // SAMPLE)])]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_right_answers_pass_and_wrong_ones_do_not(path):
    for answer, again in sample(path):
        missed = judged(answer, again)
        assert bool(missed) != answer.right, (answer.name, [f"{each.name}: {each.hint}" for each in missed])


def test_each_exercise_has_right_answers_in_many_styles_and_more_wrong_ones():
    rights = {path.stem: [each.right for each in answers(path)] for path in FILES}
    assert rights.keys() == {task.id for task in tasks()}
    assert not {name: (sum(r), len(r) - sum(r)) for name, r in rights.items() if sum(r) < 25 or len(r) - sum(r) < 40}
