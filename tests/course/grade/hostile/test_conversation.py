"""Attacks on the scoring: each gains points where hidden asserts run in the student's kernel, and none here."""

import sys
from functools import partial
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from small_lab import DENSITY, FIRST, LIMITS, PLAIN, START, lab_in, share, submit

from labkit.course.grade.execute import execute
from labkit.course.grade.talk.conversation import Conversation
from labkit.course.grade.talk.protocol.exchange import NoAnswer
from labkit.labs import lab00

# What a hidden test of stock nbgrader does, and what it would take for a full mark.
ASSERTS = """
expected = torch.distributions.Normal(0.0, 1.0).log_prob(torch.ones(2, 3)).sum(1)
got = log_density(torch.ones(2, 3))
assert got.shape == expected.shape
assert torch.allclose(got, expected)
"""
RIGGED = """
class Rigged(torch.Tensor):
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        if "close" in function.__name__:
            return True
        return super().__torch_function__(function, types, args, kwargs or {})
    def __eq__(self, other):
        return True
    shape = property(lambda self: Same())
class Same(tuple):
    def __eq__(self, other):
        return True
def log_density(x):
    return torch.zeros(7).as_subclass(Rigged)
"""
NO_ASSERTS = """
import ast
class Drop(ast.NodeTransformer):
    def visit_Assert(self, node):
        return ast.Pass()
get_ipython().ast_transformers.append(Drop())
def log_density(x):
    return torch.zeros(len(x))
"""
PATCHED = """
import labkit.checking, labkit.course.grade.talk.protocol.answering as answering
import labkit.course.grade.talk.protocol.exchange as exchange
from labkit.checking import Property
lab00.first_check = lambda *a: [Property("all", True, "")]
labkit.checking.evaluate = lambda tests: [Property(name, True, "") for name in tests]
labkit.checking.close = torch.allclose = lambda *a, **k: True
class Good:
    def __init__(self, *a): pass
answering.Answering.answer = lambda self, message: {"return": True}
def log_density(x):
    return torch.zeros(len(x))
"""
ATTACKS = {"rigged comparison": RIGGED, "asserts taken out": NO_ASSERTS, "checks patched": PATCHED}


@pytest.fixture
def grade(tmp_path):
    """A function that grades a submission whose first exercise is the attack."""

    def run(attack, between="pass"):
        lab = lab_in(tmp_path)
        folder = submit(tmp_path, lab, "eve", density=attack, between=between)
        return execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=LIMITS, salt=11)

    return run


@pytest.fixture(scope="module")
def stock(tmp_path_factory):
    """What stands before the hidden asserts → whether nothing failed, all in one kernel as stock nbgrader has it."""
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    mend = "get_ipython().ast_transformers.clear(); torch.allclose = allclose"
    attempts = {"right": DENSITY, "wrong": "def log_density(x):\n    return x"} | ATTACKS
    cells = [part for each in attempts.values() for part in (each, ASSERTS, mend)]
    book = new_notebook(cells=[new_code_cell(each) for each in (f"{START}\nallclose = torch.allclose", *cells)])
    resources = {"metadata": {"path": tmp_path_factory.mktemp("stock")}}
    NotebookClient(book, allow_errors=True, timeout=90, resources=resources).execute()
    outputs = [cell.outputs for cell in book.cells[2::3]]
    failed = [any(each.output_type == "error" for each in found) for found in outputs]
    return {name: not each for name, each in zip(attempts, failed, strict=True)}


@pytest.mark.parametrize("name", ATTACKS)
def test_what_fools_asserts_in_the_kernel_earns_nothing_here(grade, stock, name):
    assert stock["right"] and not stock["wrong"], "the asserts themselves are unsound"
    assert stock[name]
    honest = lab00.first_check(lambda x: torch.zeros(len(x)))  # what all of them return
    assert share(grade(ATTACKS[name]), FIRST) <= sum(each.passed for each in honest) / len(honest) <= 0.5


FORGED = {
    "junk": ("'junk'", "no JSON"),
    "a number": ("'3'", "no JSON object"),
    "deeply nested": ("'[' * 100000", "no JSON"),
    "no answer in it": ("'{}'", "neither returns nor raises"),
    "a pickle": ('\'{"return": {"pickle": "gASV"}}\'', "no tag"),
    "a check's exception": ('\'{"raise": {"origin": 0}}\'', "never raised"),
    "too many items": ("'{\"return\": [' + '[],' * 1100000 + '1]}'", "items"),
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_answers_earn_nothing_and_give_one_reason(name):
    text = eval(FORGED[name][0])
    conversation = Conversation(lambda question: text)
    found = conversation.ask(lab00.first_check, ["log_density"])
    assert found and not any(each.passed for each in found) and FORGED[name][1] in conversation.broken
    assert conversation.broken in found[0].hint


def test_a_kernel_that_answers_well_and_then_forges_keeps_only_what_it_earned():
    from labkit.checking import evaluate
    from labkit.course.grade.talk.protocol.answering import Answering

    asked = []

    def forges(question):
        asked.append(question)
        return answering.receive(question) if len(asked) == 1 else '{"return": '

    conversation = Conversation(forges)
    answering = Answering({"f": lambda x: x}, conversation.receive)
    names = ("one", "two", "three")
    tests = {name: lambda f, x=x: None if f(x) == x else "no" for x, name in enumerate(names)}
    found = conversation.ask(lambda f: evaluate({k: partial(test, f) for k, test in tests.items()}), ["f"])
    assert [each.passed for each in found] == [True, False, False] and len(asked) == 2


def test_a_check_that_takes_the_break_for_what_it_waits_for_gives_nothing_for_it():
    from labkit.checking import Property, evaluate

    def check(function):
        def swallowed():
            try:
                function(2)
            except Exception:
                return None
            return "it did not raise"

        return evaluate({"first": lambda: None, "raises": swallowed, "more": swallowed})

    def dies(question):
        raise NoAnswer("the kernel died while it was asked")

    found = Conversation(dies).ask(check, ["f"])
    assert not any(each.passed for each in found) and all(isinstance(each, Property) for each in found)


REACHES = """
def reach(thing):
    found = []
    for name in ("__class__", "__globals__", "__init__", "__dict__", "__self__", "__func__", "_hidden", "__code__",
                 "gi_frame", "register_forward_hook", "_parameters", "__reduce__"):
        try:
            side, handle = object.__getattribute__(thing, "_far")
            found.append((name, side.request("attribute", thing, name)))
        except AttributeError:
            pass
    return found
"""


def test_no_attribute_leads_out_of_what_is_handed_over():
    from torch import nn

    from labkit.course.grade.talk.conversation import StudentFunction, loopback

    class Private(nn.Module):
        def __init__(self):
            super().__init__()
            self._hidden = "expected"

    space = {"object": object}
    exec(REACHES, space)
    side = loopback(space, ("labkit.checking", __name__))
    reach = StudentFunction(side, "reach")
    generator = (i for i in range(2))
    for thing in (Private(), lambda: 1, Private().forward, torch.optim.SGD([torch.ones(1)], 0.1), generator):
        assert reach(thing) == []
    with pytest.raises(Exception, match="does not cross"):
        reach([torch, Private])


REPLIES = {
    "a huge tensor": "return torch.zeros(2 * 10**7)",
    "a tensor that claims to be endless": "return torch.zeros(1).expand(10**14)",
    "a nest": "value = []\n    for _ in range(10**4): value = [value]\n    return value",
    "NaN": "return torch.full((len(x),), float('nan'))",
    "itself": "return log_density",
    "a false float": "return type('float', (float,), {'__eq__': lambda *a: True})(3)",
    "an endless int": "return 10**10000",
    "a text of half a character": "raise ValueError('\\ud800')",
    "an exception of the check's": "import labkit.checking; raise labkit.checking.Missed('')",
}


def test_whatever_a_function_returns_is_a_hint_and_no_crash():
    from labkit.course.grade.talk.conversation import loopback

    for name, body in REPLIES.items():
        space = {"torch": torch}
        exec(f"def log_density(x):\n    {body}", space)
        found = loopback(space).ask(lab00.first_check, ["log_density"])
        # NaN has the right shape and 3 is finite, but neither counts beside nothing that proves more.
        assert not any(each.passed for each in found), (name, found)


ENDS = {
    "os._exit in the middle": ("import os\ndef log_density(x):\n    os._exit(0)", "kernel died", "died"),
    "a function that never returns": (
        "def log_density(x):\n    while True:\n        try:\n            pass\n        except BaseException: pass",
        "time-out",
        "12 s",
    ),
    "a flood": ("def log_density(x):\n    while True: print('x' * 1000)", "output flood", "printed"),
    "a flood in pieces too large to be received": (
        "def log_density(x):\n    while True: print('x' * 10**8)",
        "output flood",
        "printed",
    ),
    "input replaced": (
        "k = get_ipython().kernel\nk.raw_input = lambda prompt='': '{\"do\": \"end\"}'\n"
        "def log_density(x):\n    return torch.zeros(len(x))",
        "kernel died",
        "stopped answering",
    ),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_ends_the_conversation_earns_nothing_and_says_why(tmp_path, name):
    from dataclasses import replace

    attack, status, word = ENDS[name]
    lab = lab_in(tmp_path)
    folder = submit(tmp_path, lab, "eve", density=attack)
    # Only what never ends shall meet the clock: a loaded machine takes long to print a flood.
    limits = replace(LIMITS, cell_seconds=12 if status == "time-out" else 120)
    outcome = execute(folder, tmp_path / "out", lab, kernel=PLAIN, limits=limits, salt=11)
    assert outcome["status"] == status and word in outcome["reason"]
    assert share(outcome, FIRST) == 0 and outcome["exercises"][FIRST]["reason"] == outcome["reason"]
