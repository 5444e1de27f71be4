"""Stand-ins for objects that stay in the other process: what is done with one is asked of the side that holds it."""

from collections.abc import Callable
from typing import Any

from torch import nn

# What can be done with an object from afar → the method that does it.
ABILITIES = {
    "call": "__call__",
    "length": "__len__",
    "iterate": "__iter__",
    "next": "__next__",
    "item": "__getitem__",
}


class Remote:
    """Stands for an object of the other side; subclasses made by `remote_class` have its abilities."""

    def __init__(self, side: Any, handle: str) -> None:
        object.__setattr__(self, "_far", (side, handle))

    def __getattr__(self, name: str) -> Any:
        return _attribute(self, name)


class RemoteModule(nn.Module):
    """Stands for a module of the other side, and is one itself, so that it may be a part of others."""

    def __init__(self, side: Any, handle: str) -> None:
        super().__init__()
        object.__setattr__(self, "_far", (side, handle))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module of the other side gives."""
        return ask(self, "call", args, kwargs)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return _attribute(self, name)

    def train(self, mode: bool = True) -> "RemoteModule":
        """Set the mode there and here."""
        _attribute(self, "train")(bool(mode))
        return super().train(mode)


def _forwarded(name: str) -> Callable[..., Any]:
    def method(self: RemoteModule, *args: Any, **kwargs: Any) -> Any:
        return _attribute(self, name)(*args, **kwargs)

    method.__name__ = name
    return method


for _name in (
    *("parameters", "named_parameters", "buffers", "named_buffers", "children", "named_children", "modules"),
    *("named_modules", "zero_grad", "state_dict", "load_state_dict", "requires_grad_", "to", "float", "double"),
):
    setattr(RemoteModule, _name, _forwarded(_name))


def ask(remote: Any, what: str, *fields: Any) -> Any:
    """Ask the side that a stand-in belongs to."""
    side, _ = object.__getattribute__(remote, "_far")
    return side.request(what, remote, *fields)


def _attribute(remote: Any, name: str) -> Any:
    if name.startswith("_"):
        raise AttributeError(f"{type(remote).__name__!r} object has no attribute {name!r}")
    return ask(remote, "attribute", name)


def remote_class(name: str, abilities: list[str]) -> type:
    """A class of stand-ins with these of the `ABILITIES`."""

    def method(what: str) -> Callable[..., Any]:
        if what == "call":
            return lambda self, *args, **kwargs: ask(self, "call", args, kwargs)
        return lambda self, *args: ask(self, what, *args)

    members = {ABILITIES[what]: method(what) for what in abilities}
    if "next" in abilities:
        members["__iter__"] = lambda self: self
    return type(name, (Remote,), members)
