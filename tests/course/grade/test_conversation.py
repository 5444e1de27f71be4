"""What crosses in a conversation: values, gradients, modules, exceptions and random draws, as in one process.

Every check is put through it in test_mutants.py.
"""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from labkit.checking import Missed, evaluate
from labkit.course.grade.talk.conversation import loopback

HERE = ("labkit.checking", __name__)


def far(function, *others):
    """A function as the trusted side sees it."""
    return StudentFunctions(function, *others)[0]


def StudentFunctions(*functions):  # noqa: N802 - a factory
    from labkit.course.grade.talk.conversation import StudentFunction

    names = [f"f{i}" for i in range(len(functions))]
    side = loopback(dict(zip(names, functions, strict=True)), HERE)
    return [StudentFunction(side, name) for name in names]


@pytest.mark.parametrize(
    "value",
    [
        None,
        3,
        2.5,
        "a",
        [1, (2.0, None)],
        {"a": 1},
        torch.ones(2),
        np.ones(3),
        np.float32(2),
        torch.ones(2).bool(),
    ],
    ids=repr,
)
def test_arguments_and_results_keep_their_types(value):
    found = far(lambda x: [type(x).__name__, x])(value)
    assert found[0] == type(value).__name__ and type(found[1]) is type(value)
    assert str(found[1]) == str(value)


def test_changes_in_place_come_back_and_only_those():
    def change(x, y, array):
        x[0] = 7.0
        y.data.mul_(2)
        array[1] = 9

    x, y, array, kept = torch.zeros(2), torch.ones(2, requires_grad=True), np.zeros(2), torch.ones(3)
    far(change)(x, y, array)
    assert x.tolist() == [7, 0] and y.tolist() == [2, 2] and array.tolist() == [0, 9]
    far(lambda x: x + 1)(kept)
    assert kept._version == 0
    with pytest.raises(RuntimeError, match="leaf"):
        far(lambda y: y.mul_(2))(y)


def test_what_nobody_held_for_a_while_is_watched_again_once_it_is_handed_over_again():
    def change(x, y):
        x[0] = 7.0
        y.data.mul_(2)

    idle, change = StudentFunctions(lambda *_: None, change)
    x, y = torch.zeros(2), torch.ones(2, requires_grad=True)
    idle(x, y)
    idle()
    change(x, y)
    assert x.tolist() == [7, 0] and y.tolist() == [2, 2]


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([2.0, 3.0], dtype=torch.float64))
        self._hidden = 5

    def forward(self, x):
        return self.weight * x


def curve(x, module, scale):
    """Crosses the border several times, on branches that meet again."""
    hidden = module(torch.sin(x))
    return (module(hidden * x) + hidden.square() * scale).sum()


def test_gradients_cross_in_both_directions_like_those_of_one_process():
    module, x = Twice(), torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    wants = x, module.weight, scale
    expected = torch.autograd.grad(curve(x, module, scale), wants)
    found = torch.autograd.grad(far(curve)(x, module, scale), wants)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_backward_in_the_students_code_reaches_the_checks_leaves():
    def direct(module, x):
        loss = curve(x, module, 1.0) + module.weight.square().sum()
        loss.backward()
        return loss.item(), x.grad.tolist(), module.weight.grad.tolist()

    results = []
    for run in (direct, far(direct)):
        module, x = Twice(), torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
        seen = run(module, x)
        assert tuple(seen[1:]) == (x.grad.tolist(), module.weight.grad.tolist())
        results.append([seen[0], *x.grad.tolist(), *module.weight.grad.tolist()])
    assert results[0] == pytest.approx(results[1])


def penalty(critic, x):
    """A gradient penalty: the gradient of a gradient, through the other side."""
    x = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(critic(x).square().sum(), x, create_graph=True)
    return (gradient.norm() - 1).square()


def test_second_derivatives_cross_too():
    expected, found = [], []
    for run, into in ((penalty, expected), (far(penalty), found)):
        module = Twice()
        value = run(module, torch.tensor([0.3, 0.7], dtype=torch.float64))
        value.backward()
        into += [value.item(), *module.weight.grad.tolist()]
    assert found == pytest.approx(expected)


def test_without_gradients_none_appear():
    x = torch.ones(2, requires_grad=True)
    assert not far(lambda x: x.detach() * 2)(x).requires_grad
    with torch.no_grad():
        assert not far(lambda x: x * 2)(x).requires_grad
    y = torch.ones(2, requires_grad=True)
    assert torch.autograd.grad(far(lambda x, y: x * 2)(x, y).sum(), (x, y), allow_unused=True)[1] is None


def clipped(module, optimizer, batches):
    for epoch in range(2):
        for batch in batches.epoch(epoch):
            optimizer.zero_grad()
            module(batch).square().sum().backward()
            torch.nn.utils.clip_grad_norm_(module.parameters(), 0.1)
            optimizer.step()
    own = torch.optim.SGD(module.parameters(), lr=0.1)
    module(torch.ones(2).double()).sum().backward()
    own.step()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(0.5)
    return len(list(module.named_parameters())), len(batches)


class Batches:
    def __len__(self):
        return 2

    def epoch(self, number):
        yield from (torch.full((2,), number + i, dtype=torch.float64) for i in range(2))


def test_modules_optimizers_and_iterators_are_as_good_as_the_real_ones():
    weights = []
    for run in (clipped, far(clipped)):
        module = Twice()
        assert tuple(run(module, torch.optim.Adam(module.parameters(), 0.1), Batches())) == (1, 2)
        weights.append(module.weight.tolist())
    assert weights[0] == pytest.approx(weights[1])


def test_a_module_of_the_check_can_be_a_part_of_the_students():
    def build(module, x):
        return nn.Sequential(module, nn.Tanh())(x)

    module, x = Twice(), torch.ones(2, dtype=torch.float64)
    torch.testing.assert_close(far(build)(module, x), build(module, x))
    assert isinstance(far(lambda: nn.Linear(2, 3))(), nn.Module)
    assert far(lambda: nn.Linear(2, 3).double())()(x).shape == (3,)


def test_functions_iterators_and_objects_of_the_student_can_be_used():
    assert far(lambda k: lambda x: k * x)(3)(torch.ones(2)).tolist() == [3, 3]
    assert list(far(lambda: (i * i for i in range(4)))()) == [0, 1, 4, 9]
    found = far(lambda: SimpleNamespace(name="a", _hidden=1))()
    assert type(found).__name__ == "SimpleNamespace" and found.name == "a" and not callable(found)
    for name in ("_hidden", "other", "__dict__x"):
        assert not hasattr(found, name)


def stop(error):
    raise error


ERRORS = [NotImplementedError(), ValueError("a b"), KeyError("k"), ZeroDivisionError("x"), SystemExit(3)]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_exceptions_keep_their_name_and_a_short_text(error):
    with pytest.raises(Exception) as caught:
        far(lambda: stop(error))()
    assert type(caught.value).__name__ == type(error).__name__ and str(caught.value) == str(error)
    if isinstance(error, Exception):
        assert isinstance(caught.value, type(error))


def test_an_exception_of_the_check_comes_back_as_itself_and_no_other_can_be_made():
    missed = Missed("the encoder takes five")

    def through(encode):
        try:
            return encode()
        except ValueError:
            return None

    with pytest.raises(Missed) as caught:
        far(through)(lambda: stop(missed))
    assert caught.value is missed
    with pytest.raises(Exception) as caught:
        far(lambda: stop(Missed("")))()
    assert not isinstance(caught.value, Missed)


def test_draws_follow_the_checks_generators_and_go_on():
    def draw():
        return torch.randn(2).tolist(), np.random.rand(2).tolist()

    function = far(draw)
    found = []
    for _ in "ab":
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            np.random.seed(3)
            found.append((function(), function(), torch.rand(1).item()))
    assert found[0] == found[1] and found[0][0] != found[0][1]
    torch.manual_seed(3)
    np.random.seed(3)
    assert function() == draw_directly(draw)


def draw_directly(draw):
    torch.manual_seed(3)
    np.random.seed(3)
    return draw()


def test_what_is_not_drawn_does_not_move_the_generators():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    far(lambda x: x + 1)(torch.ones(2))
    assert torch.equal(torch.rand(3), expected)


def test_a_missing_function_is_a_name_error():
    conversation = loopback({})
    found = conversation.ask(lambda f: evaluate({"holds": lambda: f(1) and None}), ["phi"])
    assert "NameError: name 'phi' is not defined" in found[0].hint
