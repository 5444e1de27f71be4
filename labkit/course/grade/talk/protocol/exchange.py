"""One side of a conversation in which two processes call each other's functions; both sides are this class.

Only one side acts at a time: it sends a request, and answers what it is asked until its own answer comes. Values
cross by `wire`, tensors by `crossing` of this folder; functions, modules and other objects stay where they are
and are reached by their handle.
"""

import builtins
import keyword
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from labkit.course.grade.talk.protocol.crossing import Tensors
from labkit.course.grade.talk.protocol.drawing_states import get_states, mark, set_states
from labkit.course.grade.talk.protocol.remotes import ABILITIES, Remote, RemoteModule, remote_class
from labkit.course.grade.talk.protocol.wire import Decoder, WireError, decode, dumps, encode, loads

# Exceptions and objects of one conversation that a side keeps: the other side asks for them at no cost of its own.
LIMIT_RAISED = 2_000
LIMIT_OBJECTS = 20_000
# What crosses as a copy; every other object stays where it is.
PLAIN = (str, bool, int, float, complex, tuple, list, set, frozenset, dict, np.generic, torch.dtype)


class NoAnswer(Exception):  # noqa: N818 - read by students as what their code stopped with
    """The other side is gone, or what it says makes no sense; nothing can be asked any more."""


class Side:
    """One side of a conversation.

    Args:
        prefix: what this side's handles begin with.
        send: sends a text and gives the other side's next text.
        watches: see `Tensors`.
    """

    def __init__(self, prefix: str, send: Callable[[str], str], *, watches: bool) -> None:
        self.prefix, self.send = prefix, send
        self.tensors = Tensors(prefix, self.request, watches=watches)
        self._objects: dict[str, Any] = {}
        self._handles: dict[int, str] = {}
        self._remotes: dict[str, Any] = {}
        self._raised: list[BaseException] = []
        self._held: list[Any] = []
        self._states: Any = None  # mark of the random generators' states that both sides have in common

    # What is asked and answered.

    def request(self, what: str, *fields: Any) -> Any:
        """Ask the other side for something, answering its own questions meanwhile; its exceptions are raised here."""
        copy = what == "product"
        message = {"do": what, "with": [self.encode(each, copy=copy) for each in fields]}
        answer = self.take(self.send(self.give(message)))
        while "do" in answer:
            answer = self.take(self.send(self.reply(answer)))
        if "raise" in answer:
            raise self._rebuilt(answer["raise"])
        if "return" not in answer:
            raise WireError("an answer neither returns nor raises")
        return self.decode(answer["return"])

    def receive(self, text: str) -> str:
        """The answer to one question, for a transport that can wait for it."""
        return self.reply(self.take(text))

    def reply(self, message: dict[str, Any]) -> str:
        """The text that answers a question; also where the answer itself cannot cross."""
        held = len(self._held)
        answer = self.answer(message)
        try:
            return self.give(answer)
        except WireError as error:
            return dumps({"raise": self._described(error)})
        finally:
            del self._held[held:]

    def answer(self, message: dict[str, Any]) -> dict[str, Any]:
        """Do what is asked; the student's or the check's exceptions become answers too."""
        what, fields = message.get("do"), message.get("with", [])
        known = ("call", "attribute", "length", "iterate", "next", "item", "product")
        if what not in known or not isinstance(fields, list):
            raise WireError("something unknown is asked for")
        fields = [self.decode(each) for each in fields]
        self._held.append(fields)  # until the answer is out, so that what happened to them is seen
        try:
            value = getattr(self, f"_do_{what}")(*fields)
            return {"return": self.encode(value, copy=what == "product")}
        except NoAnswer:
            raise
        except (Exception, SystemExit) as error:
            return {"raise": self._described(error)}

    def give(self, message: dict[str, Any]) -> str:
        """The text of a message, with what has changed on this side since the last one."""
        if changes := self.tensors.changes():
            message = {**message, "changes": changes}
        if (now := mark()) != self._states:
            message, self._states = {**message, "states": get_states()}, now
        return dumps(message)

    def take(self, text: str) -> dict[str, Any]:
        """The message of a text; the other side's changes are followed first."""
        message = loads(text)
        self.tensors.apply(message.get("changes", []))
        if "states" in message:
            set_states(message["states"])
        if "states" in message or self._states is None:  # else nothing was drawn since they were looked at
            self._states = mark()
        return message

    # The answers, one method each.

    def _do_call(self, on: Any, args: Any, kwargs: Any) -> Any:
        if not isinstance(args, tuple | list) or not isinstance(kwargs, dict):
            raise WireError("a call has no arguments")
        return self.callable(on)(*args, **kwargs)

    def _do_attribute(self, on: Any, name: Any) -> Any:
        if not isinstance(name, str) or not name.isidentifier() or name.startswith("_"):
            raise AttributeError("there is no attribute of that name")
        return self.attribute(on, name)

    def _do_length(self, on: Any) -> int:
        return len(on)

    def _do_iterate(self, on: Any) -> Iterator[Any]:
        return iter(on)

    def _do_next(self, on: Any) -> Any:
        return next(on)

    def _do_item(self, on: Any, key: Any) -> Any:
        return on[key]

    def _do_product(self, handle: Any, gradient: Any, create_graph: Any) -> list[Tensor | None]:
        if not isinstance(gradient, Tensor):
            raise WireError("a gradient is no tensor")
        return self.tensors.product(handle, gradient, create_graph is True)

    # What a side decides for itself.

    def callable(self, on: Any) -> Callable[..., Any]:
        """What is called when the other side calls `on`."""
        return on

    def attribute(self, on: Any, name: str) -> Any:
        """A public attribute that the other side reads."""
        return getattr(on, name)

    def abilities(self, value: Any) -> list[str]:
        """What the other side may do with an object: of `ABILITIES`, and "module"."""
        if isinstance(value, nn.Module):
            return ["module"]
        defined = [vars(each) for each in type(value).__mro__]
        return [what for what, method in ABILITIES.items() if any(method in names for names in defined)]

    def quoted(self, names: list[Any], text: str) -> tuple[Any, str]:
        """Name and text of an exception of the other side, as this side speaks of it."""
        return names[0], text

    # Values.

    def encode(self, value: Any, *, copy: bool = False) -> Any:
        """The JSON of a value."""
        return encode(value, lambda each: self._special(each, copy))

    def decode(self, data: Any) -> Any:
        """The value of a JSON."""
        return decode(data, self.hooks())

    def hooks(self) -> dict[str, Decoder]:
        """What makes values of this side's own tags."""
        return {
            "share": self.tensors.decode,
            "known": self.tensors.known,
            "object": self._stand_in,
            "yours": self._own,
        }

    def _special(self, value: Any, copy: bool) -> dict[str, Any] | None:
        if isinstance(value, Remote | RemoteModule):
            return {"yours": object.__getattribute__(value, "_far")[1]}
        if isinstance(value, Tensor | np.ndarray) and value.dtype != object:
            return self.tensors.encode(value, copy=copy)
        return None if isinstance(value, PLAIN) else self._reference(value)

    def _reference(self, value: Any) -> dict[str, Any]:
        handle = self._handles.get(id(value))
        if handle is None:
            if len(self._objects) >= LIMIT_OBJECTS:
                raise NoAnswer("its answers ask for too many objects")
            handle = f"{self.prefix}o{len(self._objects)}"
            self._objects[handle], self._handles[id(value)] = value, handle
        return {"object": [handle, type(value).__name__, self.abilities(value)]}

    def _stand_in(self, payload: Any) -> Any:
        if not isinstance(payload, list) or len(payload) != 3:
            raise WireError("an object is malformed")
        handle, name, abilities = payload
        if not isinstance(handle, str) or handle.startswith(self.prefix) or not isinstance(abilities, list):
            raise WireError("an object is malformed")
        if handle not in self._remotes:
            if abilities == ["module"]:
                self._remotes[handle] = RemoteModule(self, handle)
            elif all(isinstance(each, str) and each in ABILITIES for each in abilities):
                self._remotes[handle] = remote_class(_name_of(name), abilities)(self, handle)
            else:
                raise WireError("an object has unknown abilities")
        return self._remotes[handle]

    def _own(self, handle: Any) -> Any:
        if not isinstance(handle, str) or handle not in self._objects:
            raise WireError("an object is named that was never handed over")
        return self._objects[handle]

    # Exceptions.

    def _described(self, error: BaseException) -> dict[str, Any]:
        if (origin := getattr(error, "_labkit_origin", None)) is not None:
            return {"origin": origin}
        if len(self._raised) >= LIMIT_RAISED:
            raise NoAnswer("its answers raised too many exceptions")
        error.__traceback__ = error.__context__ = None  # whose frames hold all that was handed over
        self._raised.append(error)
        bases = [base.__name__ for base in type(error).__mro__]
        return {"types": bases[:10], "text": str(error)[:2000], "number": len(self._raised) - 1}

    def _rebuilt(self, data: Any) -> BaseException:
        """The exception that the other side speaks of: one of this side, or one with that name and text."""
        if not isinstance(data, dict):
            raise WireError("an exception is malformed")
        if "origin" in data:
            origin = data["origin"]
            if type(origin) is not int or not 0 <= origin < len(self._raised):
                raise WireError("an exception is named that was never raised")
            return self._raised[origin]
        names, text, number = data.get("types"), data.get("text"), data.get("number")
        if not isinstance(names, list) or not names or not isinstance(text, str) or type(number) is not int:
            raise WireError("an exception is malformed")
        known = (getattr(builtins, name, None) for name in names if isinstance(name, str))
        base = next((each for each in known if isinstance(each, type) and issubclass(each, Exception)), Exception)
        name, said = self.quoted(names, text)
        kind = type(_name_of(name), (base,), {"__str__": lambda self: said, "__init__": lambda self: None})
        error = kind()
        error._labkit_origin = number
        return error


def _name_of(name: Any) -> str:
    """A name that the other side gives, if it can be one of a class."""
    return name if isinstance(name, str) and name.isidentifier() and not keyword.iskeyword(name) else "object"
