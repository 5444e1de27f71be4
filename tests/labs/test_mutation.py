"""Each exercise's check catches the mutants of its model solution; nothing but a solution earns points."""

import os

import numpy as np
import pytest
import torch
from mutation import AT_LEAST, all_mutants, sample, survivors, tasks

from labkit.checking import hold_again
from labkit.course.grade.marks.score import score_exercise

# Of these the list of equivalent mutants is complete, and a sample is asked in every test run; `make mutants` asks
# about all mutants of all exercises, and may still name some of the others.
COMPLETE = (
    "00-first_check",
    "01a-coupling",
    "01a-pca_components",
    "01a-training_loop",
    "01b-interpolation",
    "01b-interval_over_people",
    "02-average_precision",
    "02-person_split",
    "02-phi_matrix",
    "03a-closed_form_kl",
    "03a-elbo",
    "03a-odd_share",
    "03a-reparameterisation",
    "03b-aggregate_variance",
    "03b-importance_weighted",
    "03b-verdict_over_seeds",
    "03c-asking",
    "03c-conditional_pass",
    "04a-discriminator_loss",
    "04a-diversity",
    "04a-gan_step",
    "04b-arithmetic",
    "04b-membership_area",
    "04b-spherical",
    "04c-balancing_weights",
    "04c-wilson_interval",
    "05a-difference_points",
    "05a-mutual_information",
    "05b-kl_in_three",
    "05b-match_factors",
    "06-depthwise_cell",
    "06-residual_kl",
    "06-temperature_per_level",
    "07a-energy_distance",
    "07a-likelihood",
    "07a-regression",
    "07a-solvers",
    "07a-straight_path",
    "07b-guided_velocity",
    "07b-time_waves",
)
SAMPLE = 12
ALL = os.environ.get("LABKIT_MUTANTS") == "all"
TASKS = [pytest.param(task, id=task.id) for task in tasks()]
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.parametrize("task", TASKS)
def test_the_solution_passes_and_has_enough_mutants(task):
    assert all(each.passed for each in task.check(*task.functions()))
    assert len(all_mutants(task)) >= AT_LEAST


@pytest.mark.skipif(ALL, reason="make mutants asks about all")
@pytest.mark.parametrize("task", [each for each in TASKS if each.id in COMPLETE])
def test_a_sample_of_mutants_is_caught_or_listed(task):
    assert survivors(task, sample(task, SAMPLE)) == []


def test_complete_lists_are_of_exercises():
    assert set(COMPLETE) <= {each.id for each in TASKS}


@pytest.mark.skipif(not ALL, reason="run by make mutants")
@pytest.mark.parametrize("task", TASKS)
def test_every_mutant_is_caught_or_listed(task):
    assert survivors(task) == []


@pytest.mark.parametrize("task", TASKS)
def test_hidden_tests_agree_with_the_check(task):
    hold_again(task.check, *task.functions())
    assert f"hold_again({task.checked})" in task.test_cell


def first(*args):
    """The first argument that is data."""
    return next((each for each in args if isinstance(each, torch.Tensor | np.ndarray)), args[0])


def square(make, x):
    """A matrix with a row for each column of a table, or one number."""
    return make(x.shape[1] if np.ndim(x) == 2 else 1)


TRIVIAL = {
    "None": lambda *args: None,
    "0": lambda *args: 0,
    "1": lambda *args: 1,
    "an empty list": lambda *args: [],
    "a zero": lambda *args: torch.zeros(()),
    "a row of zeros": lambda *args: torch.zeros(len(first(*args))),
    "a row of ones": lambda *args: torch.ones(len(first(*args))),
    "the first argument": lambda *args: args[0],
    "the last argument": lambda *args: args[-1],
    "data": first,
    "zeros as data": lambda *args: 0 * first(*args),
    "two arguments": lambda *args: (args[0], args[1]),
    "data and zeros": lambda *args: (first(*args), torch.zeros(len(first(*args)))),
    "two rows of zeros": lambda *args: (torch.zeros(len(first(*args))),) * 2,
    "three rows of zeros": lambda *args: (torch.zeros(len(first(*args))),) * 3,
    "two zeros": lambda *args: (0.0, 0.0),
    "nothing and all": lambda *args: (0.0, 1.0),
    "zeros per epoch": lambda *args: [0.0] * 3,
    "positions": lambda *args: (np.arange(len(first(*args))), np.arange(0), np.arange(0)),
    "square zeros": lambda *args: square(lambda n: np.zeros((n, n)), args[0]),
    "square ones": lambda *args: square(np.eye, args[0]),
    "a uniform share": lambda *args: np.full(len(first(*args)), 1 / len(first(*args))),
    "noise itself": lambda *args: args[1],
}


def zeroed(answer):
    """The answer of one that sets to zero what it was given, of which the check may make its reference."""

    def zeroes(*args):
        for each in args:
            if isinstance(each, torch.Tensor | np.ndarray):
                (each.detach() if isinstance(each, torch.Tensor) else each)[...] = 0
        return answer(*args)

    return zeroes


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("zeroes", [False, True])
def test_trivial_answers_earn_a_tenth_at_most(task, zeroes):
    answers = {name: zeroed(answer) for name, answer in TRIVIAL.items() if "zero" in name} if zeroes else TRIVIAL
    for name, answer in answers.items():
        with np.errstate(all="ignore"):
            found = task.check(*[answer] * len(task.names))
        properties = [vars(each) for each in found]
        earned = score_exercise(1.0, {"properties": properties}).points
        assert earned <= 0.1, (name, [each.name for each in found if each.passed])
