"""Tensors that two processes share: copies kept in step, and gradients that cross the border.

Each side keeps a table of the tensors it has handed over and of those it was given. A tensor that was computed on the
other side is the output of an autograd node here, whose backward asks the other side for a vector-Jacobian product of
its own part of the graph. Leaves (arguments that want a gradient, parameters) are mirrored: values and `.grad` alike.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge

from labkit.course.grade.talk.protocol.copies import Entry, Shared, change_of, fingerprint, follow, kind_of
from labkit.course.grade.talk.protocol.wire import (
    NUMPY_TYPES,
    WireError,
    array_data,
    array_from,
    empty_tensor,
    tensor_data,
    tensor_from,
)

LIMIT_HIDDEN = 64 * 2**20  # bytes of all tensors of which a side names only the shape: their room costs it nothing
ONLY_HERE = 2  # references to a value that nothing but its entry holds, with the one that counts them


class Tensors:
    """The shared tensors of one side.

    Args:
        prefix: what this side's handles begin with.
        request: asks the other side: (what, fields) → answer.
        watches: this side's code is a student's: contents are compared byte by byte, so that changes behind torch's
            back are seen too, and what needs no gradient is handed over as a mere copy.
    """

    def __init__(self, prefix: str, request: Callable[..., Any], *, watches: bool) -> None:
        self.prefix, self.request, self.watches = prefix, request, watches
        self.entries: dict[str, Entry] = {}
        self.local = False  # a backward pass that must not leave this side
        self._handles: dict[int, str] = {}
        self._nodes: dict[Any, str] = {}
        self._made = self._hidden_bytes = 0

    def encode(self, value: Shared, *, copy: bool = False) -> dict[str, Any] | None:
        """The JSON of a tensor or array: its handle if the other side has it, else its content with a new handle.

        None if a mere copy will do.
        """
        handle = self._handles.get(id(value))
        if handle is not None and self._still(self.entries[handle], value):
            if self.entries[handle].hidden:  # from now on its content comes with what has changed
                self.entries[handle].hidden, self.entries[handle].seen = False, None
            return {"known": handle}
        wants = isinstance(value, Tensor) and value.requires_grad
        if not wants and (copy or self.watches):
            return None
        if isinstance(value, np.ndarray) and value.dtype.str not in NUMPY_TYPES:
            return None
        if isinstance(value, np.ndarray):
            return {"share": ["array", self._new(Entry(value)), array_data(value)]}
        if not wants:
            return {"share": ["plain", self._new(Entry(value)), tensor_data(value)]}
        edge = get_gradient_edge(value)
        if value.grad_fn is None:
            return {"share": [kind_of(value), self._new(Entry(value, edge)), tensor_data(value)]}
        sources, leaves = self._origins(edge)
        hidden = [self._hide(leaf) for leaf in leaves if id(leaf) not in self._handles]
        sources += [self._handles[id(leaf)] for leaf in leaves]
        handle = self._new(Entry(value, edge, inner=True, sources=sources))
        return {"share": ["inner", handle, tensor_data(value), sources, hidden]}

    def _new(self, entry: Entry) -> str:
        self._made += 1
        handle = f"{self.prefix}{self._made}"
        self._keep(handle, entry)
        return handle

    def _hide(self, leaf: Tensor) -> list[Any]:
        """Give a leaf a handle, so that gradients find it; kind, handle, type and shape for the other side."""
        handle = self._new(Entry(leaf, get_gradient_edge(leaf), hidden=True))
        return [kind_of(leaf), handle, str(leaf.dtype).removeprefix("torch."), list(leaf.shape)]

    def _origins(self, edge: GradientEdge) -> tuple[list[str], list[Tensor]]:
        """Handles of the other side's tensors, and leaves of this side, from which something was computed."""
        waiting, seen = [edge.node], {}
        sources, leaves = {}, {}
        while waiting:
            node = waiting.pop()
            if node is None or id(node) in seen:
                continue
            seen[id(node)] = node
            if node in self._nodes:
                sources[self._nodes[node]] = None
            elif (leaf := getattr(node, "variable", None)) is not None:
                leaves[id(leaf)] = leaf
            else:
                waiting.extend(following for following, _ in node.next_functions)
        return list(sources), list(leaves.values())

    @staticmethod
    def _still(entry: Entry, value: Shared) -> bool:
        """Whether the handle stands for this place in the graph: not after a change in place that has a history."""
        if isinstance(value, np.ndarray) or not value.requires_grad:
            return entry.edge is None
        return entry.edge is not None and get_gradient_edge(value).node is entry.edge.node

    def known(self, handle: Any) -> Shared:
        """What a handle stands for.

        Raises WireError: nothing.
        """
        if not isinstance(handle, str) or handle not in self.entries:
            raise WireError("a tensor is named that was never handed over")
        return self.entries[handle].value

    def decode(self, payload: Any) -> Shared:
        """This side's copy of what the other side hands over.

        Raises WireError: malformed.
        """
        if not isinstance(payload, list) or len(payload) not in (3, 5):
            raise WireError("a shared tensor is malformed")
        kind, handle, data = payload[:3]
        if not isinstance(handle, str) or handle.startswith(self.prefix) or handle in self.entries:
            raise WireError("a shared tensor has a wrong handle")
        if kind == "array":
            return self._keep(handle, Entry(array_from(data))).value
        value = tensor_from(data)
        if kind in ("leaf", "parameter", "inner") and not (value.is_floating_point() or value.is_complex()):
            raise WireError("a tensor of whole numbers cannot have a gradient")
        if kind == "inner" and len(payload) == 5:
            return self._import_inner(handle, value, *payload[3:])
        if kind in ("leaf", "parameter"):
            return self._import_leaf(kind, handle, value)
        if kind != "plain":
            raise WireError("a shared tensor is malformed")
        return self._keep(handle, Entry(value)).value

    def _import_leaf(self, kind: str, handle: str, value: Tensor) -> Tensor:
        value = nn.Parameter(value) if kind == "parameter" else value.requires_grad_()
        return self._keep(handle, Entry(value, get_gradient_edge(value))).value

    def _import_hidden(self, about: Any) -> None:
        """A leaf of the other side of which only type and shape are known."""
        if not isinstance(about, list) or len(about) != 4:
            raise WireError("a shared tensor is malformed")
        kind, handle, name, shape = about
        value = empty_tensor(name, shape, LIMIT_HIDDEN - self._hidden_bytes)
        self._hidden_bytes += value.numel() * value.element_size()
        wrong = not isinstance(handle, str) or handle.startswith(self.prefix) or handle in self.entries
        if wrong or kind not in ("leaf", "parameter") or not (value.is_floating_point() or value.is_complex()):
            raise WireError("a shared tensor is malformed")
        self._import_leaf(kind, handle, value)

    def _import_inner(self, handle: str, value: Tensor, sources: Any, hidden: Any) -> Tensor:
        if not isinstance(sources, list) or not isinstance(hidden, list):
            raise WireError("a shared tensor is malformed")
        for about in hidden:
            self._import_hidden(about)
        inputs = [self.known(source) for source in sources]
        if not all(isinstance(each, Tensor) for each in inputs):
            raise WireError("a shared tensor was computed from something that wants no gradient")
        result = FromTheOtherSide.apply(self, handle, value, *inputs)
        if not result.requires_grad:  # within no_grad: from here on it is this side's own
            self.entries[handle] = Entry(result, seen=self._mark(result))
            return result
        return self._keep(handle, Entry(result, get_gradient_edge(result), inner=True)).value

    def _keep(self, handle: str, entry: Entry) -> Entry:
        entry.seen = self._mark(entry.value)
        self.entries[handle] = entry
        self._handles[id(entry.value)] = handle
        if entry.edge is not None and not handle.startswith(self.prefix):
            self._nodes[entry.edge.node] = handle
        return entry

    def product(self, handle: str, gradient: Tensor, create_graph: bool) -> list[Tensor | None]:
        """Vector-Jacobian products with what this tensor was computed from."""
        entry = self._own(handle)
        if not entry.sources:
            return []
        edges = [self.entries[source].edge for source in entry.sources]
        with self._staying(), torch.enable_grad():
            found = torch.autograd.grad(
                [entry.edge], edges, [gradient], retain_graph=True, create_graph=create_graph, allow_unused=True
            )
        return list(found)

    def _own(self, handle: Any) -> Entry:
        self.known(handle)
        if not handle.startswith(self.prefix) or self.entries[handle].edge is None:
            raise WireError("a gradient is asked for that is not there")
        return self.entries[handle]

    def _staying(self) -> "_Staying":
        return _Staying(self)

    def changes(self) -> list[Any]:
        """What has changed on this side since the sides last agreed: handle, new content, new gradient."""
        found = []
        for handle, entry in self.entries.items():
            if sys.getrefcount(entry.value) <= ONLY_HERE and (entry.edge is None or entry.inner):
                continue  # nobody else holds it, so nobody can have changed it
            now = self._mark(entry.value)
            if now == entry.seen:
                continue
            entry.seen = now
            found.append([handle, *change_of(entry)])
        return found

    def apply(self, changes: Any) -> None:
        """Follow the other side's changes.

        Raises WireError: malformed, or another shape or type than before.
        """
        if not isinstance(changes, list):
            raise WireError("changes are malformed")
        for change in changes:
            if not isinstance(change, list) or len(change) != 3:
                raise WireError("a change is malformed")
            handle, data, gradient = change
            value = self.known(handle)
            follow(self.entries[handle], data, gradient)
            self.entries[handle].seen = self._mark(value)

    def _mark(self, value: Shared) -> Any:
        return fingerprint(value, by_content=self.watches)


class _Staying:
    """While it is entered, a backward pass ends where the graph leaves this side."""

    def __init__(self, tensors: Tensors) -> None:
        self.tensors = tensors

    def __enter__(self) -> None:
        self.before, self.tensors.local = self.tensors.local, True

    def __exit__(self, *_: Any) -> None:
        self.tensors.local = self.before


class FromTheOtherSide(torch.autograd.Function):
    """A tensor that the other side computed from `inputs`, tensors of this side or mirrored leaves of the other."""

    @staticmethod
    def forward(ctx: Any, tensors: Tensors, handle: str, value: Tensor, *inputs: Tensor) -> Tensor:
        ctx.tensors, ctx.handle, ctx.count = tensors, handle, len(inputs)
        ctx.save_for_backward(value)  # so that a second backward raises as it does within one process
        return value.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        if ctx.tensors.local:
            return (None, None, None, *[None] * ctx.count)
        found = ctx.tensors.request("product", ctx.handle, gradient, torch.is_grad_enabled())
        if not isinstance(found, list) or len(found) != ctx.count:
            raise WireError("an answer has not one gradient per tensor")
        return None, None, None, *found
