"""Hints name the mistake: NaN, a forgotten return, swapped results, a mean for a sum, a wrong axis."""

import inspect
import re

import numpy as np
import pytest
import torch
from mutation import tasks

from labkit.checking import AGAIN, UNEARNED, explain
from labkit.ladder import report

TASKS = {task.id: task for task in tasks()}
pytestmark = pytest.mark.filterwarnings("ignore")

COUNTS = ("01a-pca_components", "02-person_split", "05b-match_factors", "06-depthwise_cell", "03b-verdict_over_seeds")


def hints(task, solution):
    """What is said of a solution, the same once."""
    torch.manual_seed(0)
    with np.errstate(all="ignore"):
        missed = [each.hint for each in task.check(*solution) if not each.passed]
    return [hint for hint in dict.fromkeys(missed) if hint not in (AGAIN, UNEARNED)]


def changed(value, change):
    """A result of a solution with each tensor, array and number in it changed."""
    if isinstance(value, tuple | list):
        return type(value)(changed(each, change) for each in value)
    return change(value)


@pytest.mark.parametrize("name", TASKS)
def test_a_forgotten_return_is_called_that(name):
    task = TASKS[name]
    said = hints(task, [lambda *args, f=f: (f(*args), None)[1] for f in task.functions()])
    assert "return" in said[0] and re.search(r"\bNone\b", said[0]), said
    assert not [each for each in said if "stopped with" in each or "NoneType" in each], said


@pytest.mark.parametrize("name", [name for name in TASKS if name not in COUNTS])
def test_nan_is_called_nan(name):
    task = TASKS[name]
    said = hints(task, [lambda *args, f=f: changed(f(*args), lambda x: x * float("nan")) for f in task.functions()])
    assert any(re.search("NaN|not finite|return what", each) for each in said[:2]), said
    assert not [each for each in said if re.search(r"\bnan\b", each) and "NaN" not in each], said


@pytest.mark.parametrize("name", TASKS)
def test_what_stops_is_said_once_with_the_students_line_and_the_case(name, tmp_path):
    task, path, space = TASKS[name], tmp_path / "cell.py", {}
    of = task.functions()
    path.write_text("".join(f"def {f.__name__}{inspect.signature(f)}:\n    return len(str(1 / 0))\n" for f in of))
    exec(compile(path.read_text(), str(path), "exec"), space)
    missed = [each for each in task.check(*[space[f.__name__] for f in of]) if not each.passed]
    stopped = [each.hint for each in missed if "stopped with" in each.hint]
    assert len(stopped) == len([line for line in report(missed) if "stopped with" in line]) == 1, stopped
    assert "ZeroDivisionError: division by zero in line" in stopped[0]
    assert stopped[0].endswith("of your code: return len(str(1 / 0))")
    assert re.match(r"given \w+ (\(|= )", stopped[0])


SWAPPED = {
    "01a-coupling": "changed places",
    "01b-interval_over_people": "low, high",
    "03a-elbo": "order",
    "03b-aggregate_variance": "changed places",
    "03c-asking": "swapped",
    "04a-gan_step": "other order",
    "04c-wilson_interval": "low, high",
    "05b-kl_in_three": "changed places",
    "05b-match_factors": "changed places",
    "07a-straight_path": "changed places",
}


@pytest.mark.parametrize("name", SWAPPED)
def test_swapped_results_are_called_that(name):
    task = TASKS[name]

    def swapped(function):
        def give(*args):
            first, second, *rest = function(*args)
            return second, first, *rest

        return give

    said = hints(task, [swapped(function) for function in task.functions()])
    assert any(SWAPPED[name] in each for each in said[:2]), said


def test_two_numbers_that_differ_are_written_so():
    expected = torch.tensor([2.662, 1.0])
    got, wanted = re.search("it is (.*), expected (.*)[.]$", explain(expected * 1.0001, expected).where).groups()
    assert float(got) > float(wanted)


# A change of the model solution, and what a hint must say of it.
CHANGES = [
    ("00-first_check", "x.square().sum(dim=1)", "x.square().mean(dim=1)", "mean over the features"),
    ("01b-interval_over_people", ".mean() for", ".sum() for", "mean is wanted, not the sum"),
    ("02-average_precision", "np.mean(precision)", "np.sum(precision)", "where a mean belongs"),
    ("03a-closed_form_kl", ".sum(1)", ".mean(1)", "mean over the latents"),
    ("03a-closed_form_kl", ".sum(1)", ".sum(0)", "dimension 1"),
    ("03a-elbo", "flatten(1).sum(1)", "flatten(1).mean(1)", "mean over the pixels"),
    ("03a-odd_share", "pixels.mean(0)", "pixels.sum(0)", "take the mean"),
    ("03a-odd_share", "(odd**2).mean()", "(odd**2).sum()", "where a mean belongs"),
    ("03b-aggregate_variance", "log_var.exp().mean(0)", "log_var.exp().sum(0)", "where a mean belongs"),
    ("03b-aggregate_variance", "log_var.exp().mean(0)", "log_var.exp().mean(1)", "dimension 0"),
    ("03b-verdict_over_seeds", "np.mean(values)", "np.sum(values)", "where their mean belongs"),
    ("04a-discriminator_loss", "(real)).mean()", "(real)).sum()", "take the mean"),
    ("04a-gan_step", "(generator(z))).mean()", "(generator(z))).sum()", "take the mean"),
    ("04b-arithmetic", "context.mean(0)", "context.sum(0)", "added up, not averaged"),
    ("05a-difference_points", ".mean(1)", ".sum(1)", "take the mean"),
    ("05a-mutual_information", "joint.sum(1)", "joint.mean(1)", "a mean stands where a sum belongs"),
    ("05b-kl_in_three", "densities.diagonal().sum(0)", "densities.diagonal().mean(0)", "mean over m"),
    ("05b-kl_in_three", "- count).sum(1)", "- count).mean(1)", "mean over m"),
    ("05b-match_factors", "np.sort(explained, axis=0)", "np.sort(explained, axis=1)", "axis 0"),
    ("06-residual_kl", ".sum(1)", ".mean(1)", "mean over the latents"),
    ("07a-regression", ".square().mean()", ".square().sum()", "take the mean"),
    ("07a-energy_distance", "torch.cdist(a, b).mean()", "torch.cdist(a, b).sum()", "take their mean"),
    ("04c-wilson_interval", "(seen * (1 - seen) + weight / 4)", "(seen * (1 - seen))", "z²/4n² is left out"),
    ("06-depthwise_cell", "(kernel - 1) * step", "(kernel - 1) * step * stride", "own stride"),
    ("07a-likelihood", "torch.linspace(1, 0,", "torch.linspace(0, 1,", "start there and go back"),
]


@pytest.mark.parametrize(("name", "old", "new", "said"), CHANGES, ids=[f"{n} {new}" for n, _, new, _ in CHANGES])
def test_the_mistake_is_named(name, old, new, said):
    task = TASKS[name]
    assert old in task.source
    found = hints(task, task.functions(task.source.replace(old, new, 1)))
    assert any(said in each for each in found), found
