"""What crosses between two processes: everything comes back as it was, and nothing malformed gets through."""

import base64
import json
import math

import numpy as np
import pytest
import torch

from labkit.course.grade.talk.protocol.wire import (
    LIMIT_BYTES,
    LIMIT_DEPTH,
    NUMPY_TYPES,
    TORCH_TYPES,
    WireError,
    decode,
    dumps,
    encode,
    loads,
)


def across(value):
    return decode(loads(dumps({"value": encode(value)}))["value"])


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, 0, -(10**30), 2.5, -0.0, 1e308, "", "ä\u2028\x00", [], (), {}, {1, "a"}),
        *([1, [2.0, (3, None)], {"a": [True]}], {(1, 2): {"b": ()}}, 1 + 2j, frozenset({3})),
        *(math.inf, -math.inf, torch.float16),
    ],
    ids=lambda value: "a set" if isinstance(value, set) else repr(value),  # of no fixed order
)
def test_plain_data_comes_back_with_its_type(value):
    found = across(value)
    assert found == value and type(found) is type(value)
    assert repr(found) == repr(value)


def test_nan_comes_back():
    assert math.isnan(across([float("nan")])[0])


@pytest.mark.parametrize("name", TORCH_TYPES)
@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3, 4)])
def test_tensors_come_back_to_the_bit(name, shape):
    drawn = 100 * torch.randn(shape, generator=torch.Generator().manual_seed(1))
    tensor = drawn.to(TORCH_TYPES[name])
    found = across(tensor)
    assert found.dtype == tensor.dtype and found.shape == tensor.shape and not found.requires_grad
    assert torch.equal(found, tensor)


def test_views_nan_and_the_wish_for_a_gradient_come_back():
    tensor = torch.arange(12.0).reshape(3, 4).T[:, ::2]
    assert torch.equal(across(tensor), tensor)
    assert across(torch.tensor([math.nan])).isnan().all()
    assert across(torch.ones(2, requires_grad=True)).requires_grad
    assert type(across(torch.nn.Parameter(torch.ones(2)))) is torch.Tensor


@pytest.mark.parametrize("name", NUMPY_TYPES)
def test_arrays_and_scalars_come_back_to_the_bit(name):
    array = (np.arange(6).reshape(2, 3) * 1.5).astype(NUMPY_TYPES[name])
    found, one = across(array), across(array[1, 2])
    assert found.dtype == array.dtype and np.array_equal(found, array)
    assert type(one) is type(array[1, 2]) and one == array[1, 2]
    assert np.array_equal(across(np.array(["a", "bc"])), ["a", "bc"])


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


def test_what_cannot_cross_is_refused_where_it_starts():
    for value in (object(), lambda: None, math, nested(LIMIT_DEPTH + 1), torch.zeros(1).expand(LIMIT_BYTES)):
        with pytest.raises(WireError):
            encode(value)
    with pytest.raises(WireError, match="more than"):
        dumps({"value": "x" * LIMIT_BYTES})


TEXTS = {
    "no JSON": "{",
    "no object": "[1]",
    "a bare NaN": '{"a": NaN}',
    "too deep for the parser": '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
    "too many items": '{"a": [' + "[]," * 1_000_000 + "[]]}",
    "too large": '{"a": "' + "x" * LIMIT_BYTES + '"}',
    "a number of a million digits": '{"a": ' + "9" * 1_000_000 + "}",
}


@pytest.mark.parametrize("name", TEXTS)
def test_malformed_texts_are_refused(name):
    with pytest.raises(WireError):
        loads(TEXTS[name])


EIGHT = base64.b64encode(bytes(8)).decode()
DATA = {
    "two tags": {"float": "nan", "tuple": []},
    "unknown tag": {"pickle": "gASVAAAAAAAA"},
    "a dict without a tag": {"a": 1},
    "float of another name": {"float": "1e5"},
    "float of a list": {"float": ["nan"]},
    "unknown type": {"tensor": ["object", [1], EIGHT, False]},
    "type of another kind": {"tensor": [["float64"], [1], EIGHT, False]},
    "an array of objects": {"array": ["|O", [1], EIGHT]},
    "shape too large": {"tensor": ["float64", [2**40, 2**40], EIGHT, False]},
    "shape too small": {"tensor": ["float64", [0], EIGHT, False]},
    "negative shape": {"tensor": ["float64", [-1, -1], EIGHT, False]},
    "shape of truth": {"tensor": ["float64", [True], EIGHT, False]},
    "shape of text": {"tensor": ["float64", "11", EIGHT, False]},
    "no base64": {"tensor": ["float64", [1], "!!!", False]},
    "bytes missing": {"tensor": ["float64", [1]]},
    "gradients of whole numbers": {"tensor": ["int64", [1], EIGHT, True]},
    "strings that are none": {"strings": [[1], [3]]},
    "a key that cannot be one": {"dict": [[[1], 2]]},
    "a pair of three": {"dict": [[1, 2, 3]]},
    "a set of lists": {"set": [[1]]},
    "too deep": nested(LIMIT_DEPTH + 1),
}


@pytest.mark.parametrize("name", DATA)
def test_malformed_data_is_refused(name):
    with pytest.raises(WireError):
        decode(json.loads(json.dumps(DATA[name])))
