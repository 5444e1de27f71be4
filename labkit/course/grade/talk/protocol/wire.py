"""Values as JSON text, for two processes of which one does not trust the other: no pickle, nothing is evaluated.

Plain data, numpy arrays and scalars and torch tensors cross as copies, exact to the bit. What may not be copied (a
function, a module) is left to the caller's hooks. Whatever is malformed, too large or too deep is a `WireError`.
"""

import base64
import binascii
import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

LIMIT_BYTES = 16 * 2**20  # of one message, and of each value in it
LIMIT_DEPTH = 32
LIMIT_ITEMS = 500_000  # brackets and commas of one message: each becomes an object of its own
COLLIDING = 4  # members of a set or dict for each hash: numbers can be chosen whose hashes are all the same

TORCH_TYPES = {
    str(kind).removeprefix("torch."): kind
    for kind in (
        *(torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128),
        *(torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.bool),
    )
}
NUMPY_TYPES = {
    np.dtype(name).str: np.dtype(name)
    for name in ("?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8", "c8", "c16")
}

# A hook of `encode` gives the JSON of a value that it takes over, else None; one of `decode` turns JSON into a value.
Encoder = Callable[[Any], "dict[str, Any] | None"]
Decoder = Callable[[Any], Any]


class WireError(Exception):
    """What should cross cannot, or what came is malformed."""


def dumps(data: Any) -> str:
    """The text of encoded data.

    Raises WireError: it is larger than `LIMIT_BYTES`.
    """
    try:
        text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"a message cannot be written as JSON ({_brief(error)})") from None
    if len(text) > LIMIT_BYTES:
        raise WireError(f"a message of {len(text) / 2**20:.0f} MB is more than {LIMIT_BYTES / 2**20:.0f} MB")
    return text


def loads(text: str) -> dict[str, Any]:
    """The message in a text.

    Raises WireError: it is too large, holds too many items, or is no JSON object.
    """
    if not isinstance(text, str) or len(text) > LIMIT_BYTES:
        raise WireError(f"a message is no text, or more than {LIMIT_BYTES / 2**20:.0f} MB")
    if sum(map(text.count, "[{,")) > LIMIT_ITEMS:
        raise WireError(f"a message has more than {LIMIT_ITEMS:,} items")
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a message is no JSON ({_brief(error)})") from None
    if not isinstance(message, dict):
        raise WireError("a message is no JSON object")
    return message


def encode(value: Any, hook: Encoder = lambda value: None, depth: int = 0) -> Any:
    """`value` as what JSON can hold; `hook` is asked first of all that is no plain scalar or container.

    Raises WireError: nobody knows how to encode a part of it, or it is nested too deep.
    """
    if depth > LIMIT_DEPTH:
        raise WireError(f"a value is nested more than {LIMIT_DEPTH} deep")
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        return value if math.isfinite(value) else {"float": repr(value)}
    if kind is list:
        return [encode(each, hook, depth + 1) for each in value]
    if (special := hook(value)) is not None:
        return special
    if isinstance(value, tuple | set | frozenset | list):
        items = [encode(each, hook, depth + 1) for each in value]
        name = next(base for base in (tuple, set, frozenset, list) if isinstance(value, base)).__name__
        return items if name == "list" else {name: items}
    if isinstance(value, dict):
        pairs = [[encode(key, hook, depth + 1), encode(each, hook, depth + 1)] for key, each in value.items()]
        return {"dict": pairs}
    return _encode_numbers(value)


def decode(data: Any, hooks: dict[str, Decoder] | None = None, depth: int = 0) -> Any:
    """The value of encoded data; `hooks` maps a tag of the caller's own to what makes a value of it.

    Raises WireError: malformed, or nested too deep.
    """
    hooks = hooks or {}
    if depth > LIMIT_DEPTH:
        raise WireError(f"a value is nested more than {LIMIT_DEPTH} deep")
    if data is None or isinstance(data, bool | int | float | str):
        return data
    if isinstance(data, list):
        return [decode(each, hooks, depth + 1) for each in data]
    if not isinstance(data, dict) or len(data) != 1:
        raise WireError("an encoded value should have one tag")
    ((tag, payload),) = data.items()
    try:
        if tag in hooks:
            return hooks[tag](payload)
        if tag in ("tuple", "set", "frozenset"):
            items = [decode(each, hooks, depth + 1) for each in _list(payload)]
            return tuple(items) if tag == "tuple" else {"set": set, "frozenset": frozenset}[tag](_spread(items))
        if tag == "dict":
            pairs = [_list(pair, 2) for pair in _list(payload)]
            keys = _spread([decode(key, hooks, depth + 1) for key, _ in pairs])
            return {key: decode(value, hooks, depth + 1) for key, (_, value) in zip(keys, pairs)}
        if tag in _NUMBERS:
            return _NUMBERS[tag](payload)
    except (TypeError, ValueError, OverflowError, RuntimeError, binascii.Error) as error:
        raise WireError(f"a {tag} is malformed ({_brief(error)})") from None
    raise WireError(f"there is no tag {str(tag)[:40]!r}")


def tensor_data(tensor: Tensor) -> list[Any]:
    """Type, shape and bytes of a tensor, as JSON can hold them.

    Raises WireError: its type is not one of `TORCH_TYPES`, or it is too large.
    """
    name = str(tensor.dtype).removeprefix("torch.")
    if name not in TORCH_TYPES:
        raise WireError(f"tensors of type {name} do not cross")
    if tensor.numel() * tensor.element_size() > LIMIT_BYTES:
        raise WireError(f"a tensor of {tensor.numel():,} values is more than {LIMIT_BYTES / 2**20:.0f} MB")
    plain = tensor.detach().as_subclass(Tensor)
    if plain.layout != torch.strided:
        plain = plain.to_dense()
    return [name, list(plain.shape), base64.b64encode(tensor_bytes(plain)).decode()]


def tensor_bytes(tensor: Tensor) -> bytes:
    """The bytes of a tensor's values, row by row."""
    plain = tensor.detach().as_subclass(Tensor)
    try:
        return plain.numpy().tobytes()  # five times as fast as what follows, and asked for at every message
    except (TypeError, RuntimeError):  # a type that numpy has not, another device, a lazy view
        flat = plain.cpu().resolve_conj().resolve_neg().contiguous().reshape(-1)
        return flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""


def tensor_from(payload: Any) -> Tensor:
    """The tensor of `tensor_data`.

    Raises WireError: malformed.
    """
    name, shape, text = _list(payload, 3)
    if not isinstance(name, str) or name not in TORCH_TYPES:
        raise WireError("a tensor has an unknown type")
    kind, data = TORCH_TYPES[name], _bytes(text)
    shape = _shape(shape, len(data), kind.itemsize)
    flat = torch.frombuffer(bytearray(data), dtype=kind) if data else torch.empty(0, dtype=kind)
    return flat.reshape(shape)


def empty_tensor(name: Any, shape: Any, room: int = LIMIT_BYTES) -> Tensor:
    """Zeros of a type and shape, of at most `room` bytes.

    Raises WireError: malformed, or too large.
    """
    if not isinstance(name, str) or name not in TORCH_TYPES:
        raise WireError("a tensor has an unknown type")
    whole = all(type(each) is int and 0 <= each <= LIMIT_BYTES for each in _list(shape))
    if not whole or len(shape) > 16 or math.prod(shape) * TORCH_TYPES[name].itemsize > room:
        raise WireError("the shape of a tensor is malformed or too large")
    return torch.zeros(shape, dtype=TORCH_TYPES[name])


def array_data(array: np.ndarray) -> list[Any]:
    """Type, shape and bytes of an array, as JSON can hold them.

    Raises WireError: its type is not one of `NUMPY_TYPES`, or it is too large.
    """
    if array.dtype.str not in NUMPY_TYPES:
        raise WireError(f"arrays of type {array.dtype} do not cross")
    if array.nbytes > LIMIT_BYTES:
        raise WireError(f"an array of {array.size:,} values is more than {LIMIT_BYTES / 2**20:.0f} MB")
    return [array.dtype.str, list(array.shape), base64.b64encode(array.tobytes()).decode()]


def array_from(payload: Any) -> np.ndarray:
    """The array of `array_data`.

    Raises WireError: malformed.
    """
    name, shape, text = _list(payload, 3)
    if not isinstance(name, str) or name not in NUMPY_TYPES:
        raise WireError("an array has an unknown type")
    kind, data = NUMPY_TYPES[name], _bytes(text)
    return np.frombuffer(bytearray(data), dtype=kind).reshape(_shape(shape, len(data), kind.itemsize))


def _encode_numbers(value: Any) -> dict[str, Any]:
    if isinstance(value, Tensor):
        return {"tensor": [*tensor_data(value), bool(value.requires_grad)]}
    if isinstance(value, np.ndarray):
        return _encode_array(value)
    if isinstance(value, np.generic) and value.dtype.str in NUMPY_TYPES:
        return {"scalar": array_data(np.asarray(value))}
    if isinstance(value, complex):
        return {"complex": [encode(value.real), encode(value.imag)]}
    if isinstance(value, torch.dtype) and str(value).removeprefix("torch.") in TORCH_TYPES:
        return {"dtype": str(value).removeprefix("torch.")}
    for base in (str, bool, int, float):  # a subclass crosses as what it is made of
        if isinstance(value, base):
            return encode(base(value))
    raise WireError(f"a {type(value).__name__} does not cross")


def _encode_array(array: np.ndarray) -> dict[str, Any]:
    if array.dtype.kind == "U" and array.nbytes <= LIMIT_BYTES:
        return {"strings": [list(array.shape), array.ravel().tolist()]}
    return {"array": array_data(np.asarray(array))}


def _decode_tensor(payload: Any) -> Tensor:
    *data, wants = _list(payload, 4)
    tensor = tensor_from(data)
    try:
        return tensor.requires_grad_() if wants is True else tensor
    except RuntimeError as error:
        raise WireError(f"a tensor is malformed ({_brief(error)})") from None


def _decode_strings(payload: Any) -> np.ndarray:
    shape, items = _list(payload, 2)
    if not all(isinstance(each, str) for each in _list(items)):
        raise WireError("an array of strings holds something else")
    # Each takes as much room as the longest.
    if 4 * len(items) * max(map(len, items), default=0) > LIMIT_BYTES:
        raise WireError(f"an array of strings takes more than {LIMIT_BYTES / 2**20:.0f} MB")
    return np.array(items, dtype=str).reshape(_shape(shape, len(items), 1))


def _decode_float(payload: Any) -> float:
    return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[payload]


_NUMBERS: dict[str, Decoder] = {
    "float": lambda payload: _decode_float(payload) if payload in ("nan", "inf", "-inf") else _bad("float"),
    "complex": lambda payload: complex(*(float(decode(each)) for each in _list(payload, 2))),
    "dtype": lambda payload: TORCH_TYPES[payload] if payload in TORCH_TYPES else _bad("type"),
    "tensor": _decode_tensor,
    "array": array_from,
    "scalar": lambda payload: array_from(payload)[()],
    "strings": _decode_strings,
}


def _bad(what: str) -> Any:
    raise WireError(f"a {what} is malformed")


def _list(value: Any, length: int | None = None) -> list[Any]:
    if not isinstance(value, list) or length not in (None, len(value)):
        raise WireError("a list is malformed")
    return value


def _spread(items: list[Any]) -> list[Any]:
    """The items, if they can be looked up at a reasonable cost."""
    if len(items) > COLLIDING * max(8, len(set(map(hash, items)))):
        raise WireError("the members of a set or dict collide")
    return items


def _bytes(text: Any) -> bytes:
    if not isinstance(text, str):
        raise WireError("the bytes of an array are no text")
    return binascii.a2b_base64(text, strict_mode=True)


def _shape(shape: Any, size: int, item: int) -> tuple[int, ...]:
    """The shape if it holds just `size` bytes."""
    whole = all(type(each) is int and 0 <= each <= LIMIT_BYTES for each in _list(shape))
    if not whole or len(shape) > 16 or math.prod(shape) * item != size:
        raise WireError("the shape of an array does not fit its bytes")
    return tuple(shape)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} stands alone")


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
