"""The trusted side of a graded conversation: a check runs here, the student's functions run in their kernel.

A call of a `StudentFunction` sends its arguments and gets values back. What the check itself hands over (functions,
modules, optimizers) stays here, and the student's code reaches of it only what `public_names` lists. No word of the
kernel is evaluated, imported or unpickled; a kernel that lies can do no more than give a wrong answer.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from types import BuiltinFunctionType, FunctionType, GeneratorType, MethodType, ModuleType, SimpleNamespace
from typing import Any

import torch
from torch import nn
from torch.distributions import Distribution
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labkit.checking import Property
from labkit.course.grade.talk.protocol.exchange import NoAnswer, Side
from labkit.course.grade.talk.protocol.remotes import ABILITIES, Remote
from labkit.course.grade.talk.protocol.wire import WireError, dumps
from labkit.course.grade.talk.quoting import error_name, error_text

TOTAL_BYTES = 256 * 2**20  # of all that one kernel says in one conversation
MESSAGES = 100_000
CHECKS = ("labkit.checking", "labkit.labs")  # whose classes a check may hand to a student
FUNCTIONS = (FunctionType, MethodType, BuiltinFunctionType)
MODULE_NAMES = frozenset(
    (
        *("parameters", "named_parameters", "buffers", "named_buffers", "children", "named_children", "modules"),
        *("named_modules", "train", "eval", "training", "zero_grad", "state_dict", "load_state_dict"),
        *("requires_grad_", "to", "float", "double", "forward"),
    )
)
KNOWN_NAMES = {
    Optimizer: frozenset({"step", "zero_grad", "param_groups", "state_dict"}),
    LRScheduler: frozenset({"step", "get_last_lr"}),
    Distribution: frozenset({"sample", "rsample", "log_prob", "entropy", "mean", "stddev", "variance"}),
}


class StudentFunction:
    """A function of the student's notebook, callable here."""

    def __init__(self, side: "Conversation", name: str) -> None:
        self._side, self.__name__ = side, name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._side.request("call", self, args, kwargs)


class Conversation(Side):
    """The side where the check is.

    Args:
        send: sends a text and gives the kernel's next text; it raises `NoAnswer` when there will be none.
        checks: modules (or packages) whose classes' public names the student's code may reach.
        seconds: the most that this process may compute for it.
    """

    def __init__(
        self, send: Callable[[str], str], checks: Sequence[str] = CHECKS, *, seconds: float = math.inf
    ) -> None:
        super().__init__("t", self._counted(send), watches=False)
        self._until = time.process_time() + seconds
        self.checks = tuple(checks)
        self.broken = ""
        self._bytes = self._messages = 0

    def _counted(self, send: Callable[[str], str]) -> Callable[[str], str]:
        def counted(text: str) -> str:
            answer = send(text)
            self._bytes += len(answer)
            self._messages += 1
            if self._bytes > TOTAL_BYTES or self._messages > MESSAGES:
                raise NoAnswer("its answers together are too many or too large")
            if time.process_time() > self._until:
                raise NoAnswer("its answers together take too long to be looked at")
            return answer

        return counted

    def request(self, what: str, *fields: Any) -> Any:
        """See `Side.request`; once something went wrong nothing is asked any more.

        Raises NoAnswer: the kernel is gone, or what it says makes no sense.
        """
        if self.broken:
            raise NoAnswer(self.broken)
        try:
            return super().request(what, *fields)
        except NoAnswer as error:
            self.broken = self.broken or str(error)
            raise
        except WireError as error:
            self.broken = self.broken or f"what came back is not an answer: {error}"
            raise NoAnswer(self.broken) from None

    def ask(self, check: Callable[..., Iterable[Property]], names: Sequence[str]) -> list[Property]:
        """What `check` finds of the student's functions with these names.

        Properties from where the conversation broke count as missed, whatever the check made of it.
        """
        with torch.random.fork_rng(devices=[]):
            found = list(check(*(StudentFunction(self, name) for name in names)))
        if not self.broken:
            return found
        hints = (i for i, each in enumerate(found) if self.broken[:60] in each.hint)
        first = next(hints, 0)
        hint = f"your code could not be asked: {self.broken}."
        return [*found[:first], *(Property(each.name, False, each.hint or hint) for each in found[first:])]

    def end(self) -> str:
        """The text that tells the kernel that there are no more questions."""
        return dumps({"do": "end"})

    # What the student's code may reach.

    def callable(self, on: Any) -> Callable[..., Any]:
        """See `Side.callable`: what this side handed over with that ability, nothing else."""
        if isinstance(on, Remote) or not {"call", "module"}.intersection(self.abilities(on)):
            raise TypeError(f"{type(on).__name__!r} object is not callable")
        return on

    def attribute(self, on: Any, name: str) -> Any:
        """See `Side.attribute`: only what `public_names` has."""
        if name not in self.public_names(on):
            raise AttributeError(f"{type(on).__name__!r} object has no attribute {name!r}")
        return getattr(on, name)

    def public_names(self, value: Any) -> frozenset[str]:
        """Names of an object that the student's code may read."""
        for kind, names in KNOWN_NAMES.items():
            if isinstance(value, kind):
                return names
        if isinstance(value, nn.Module):
            parts = (*value._parameters, *value._buffers, *value._modules)
            return MODULE_NAMES | self._own_names(value) | frozenset(parts)
        return self._own_names(value)

    def quoted(self, names: list[Any], text: str) -> tuple[str, str]:
        """See `Side.quoted`: these words become hints, which the student reads."""
        return error_name(names), error_text(text)

    def _own_names(self, value: Any) -> frozenset[str]:
        """What an object's own class in a check, and its instance, define."""
        if isinstance(value, SimpleNamespace):
            return _public(vars(value))
        classes = [each for each in type(value).__mro__ if self._ours(each)]
        if not classes:
            return frozenset()
        return frozenset().union(_public(getattr(value, "__dict__", {})), *(_public(vars(c)) for c in classes))

    def _ours(self, kind: type) -> bool:
        return any(kind.__module__ == each or kind.__module__.startswith(f"{each}.") for each in self.checks)

    def abilities(self, value: Any) -> list[str]:
        """See `Side.abilities`: an object of a class that nobody vouches for can be held, no more."""
        if isinstance(value, type | ModuleType):
            raise WireError(f"a {type(value).__name__} does not cross")
        if isinstance(value, nn.Module):
            return ["module"]
        if isinstance(value, FUNCTIONS):
            return ["call"]
        if isinstance(value, GeneratorType) or (isinstance(value, Iterator) and _builtin(value)):
            return ["next"]
        ours = [each for each in type(value).__mro__ if self._ours(each)]
        return [what for what, method in ABILITIES.items() if any(method in vars(each) for each in ours)]

    def _special(self, value: Any, copy: bool) -> dict[str, Any] | None:
        if isinstance(value, StudentFunction):
            return {"named": value.__name__}
        return super()._special(value, copy)

    def _do_length(self, on: Any) -> int:
        return len(self._able(on, "length"))

    def _do_iterate(self, on: Any) -> Iterator[Any]:
        return iter(self._able(on, "iterate"))

    def _do_next(self, on: Any) -> Any:
        return next(self._able(on, "next"))

    def _do_item(self, on: Any, key: Any) -> Any:
        return self._able(on, "item")[key]

    def _able(self, on: Any, what: str) -> Any:
        if isinstance(on, Remote) or what not in self.abilities(on):
            raise TypeError(f"{type(on).__name__!r} object cannot do that")
        return on


def loopback(functions: dict[str, Any], checks: Sequence[str] = CHECKS) -> Conversation:
    """A conversation with functions of this very process, in the same texts as with a kernel: for tests of checks."""
    from labkit.course.grade.talk.protocol.answering import Answering

    answering = Answering(functions, lambda text: conversation.receive(text))
    conversation = Conversation(answering.receive, checks)
    return conversation


def _public(names: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in names if not name.startswith("_"))


def _builtin(value: Any) -> bool:
    return type(value).__module__ in ("builtins", "itertools")
