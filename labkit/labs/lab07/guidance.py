"""Check of classifier-free guidance (Ho and Salimans, arXiv:2207.12598), for a velocity."""

from typing import Any

import torch
from torch import Tensor, nn

from labkit.checking import (
    Function,
    Property,
    any_number,
    as_tensor,
    close,
    evaluate,
    explain,
    normal,
    untouched,
    weak,
)

SHAPE = (3, 2, 4, 4)  # pictures, so that a label (N, c) has another shape
GREY = 5  # with this seed they have one channel, and labels three numbers


class _Told(nn.Module):
    """A field that a label changes, not in proportion; it remembers what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Tensor, Tensor, Tensor]] = []

    def forward(self, x: Tensor, time: Any, label: Tensor) -> Tensor:
        self.given.append((x.detach().clone(), torch.as_tensor(time).detach().clone(), label.detach().clone()))
        said = (label * torch.linspace(1, -2, label.shape[1]).to(label)).sum(1).reshape(-1, 1, 1, 1)
        return 2 * torch.sin(x + said) - said / 2 + torch.as_tensor(time).reshape(-1, 1, 1, 1)


def guided_velocity(guided: Function) -> list[Property]:
    """Properties of a function (velocity, x (N, C, H, W), t (), label (N, c), weight) → velocity (N, C, H, W).

    Args:
        guided: v(x, t, label) + weight · (v(x, t, label) − v(x, t, 0)).
    """
    return evaluate(
        {
            "the velocity has the shape of the pictures": weak(lambda: _shape(guided)),
            "weight 0 gives the model with its label, exactly": lambda: _zero(guided),
            "weight −1 gives the model without a label": lambda: _without(guided),
            "a weight goes that much further, beyond the label": lambda: _further(guided),
            "no label means zeros, at the same place and time": lambda: _asked(guided),
            "pictures and labels stay as they were": weak(lambda: _in_place(guided)),
        }
    )


def _given(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    x = normal(*SHAPE, seed=seed)[:, : 1 if seed == GREY else None]
    return x, torch.tensor(0.3).to(x), 10 * normal(len(x), 3 if seed == GREY else 2, seed=40 + seed)


def _result(guided: Function, field: nn.Module, weight: float, seed: int = 0) -> Tensor:
    x, time, label = _given(seed)
    return as_tensor(guided(field, x.clone(), time.clone(), label.clone(), weight), "the velocity").detach()


def _both(seed: int = 0) -> tuple[Tensor, Tensor]:
    x, time, label = _given(seed)
    field = _Told()
    return field(x, time, label).double(), field(x, time, torch.zeros_like(label)).double()


def _shape(guided: Function) -> str | None:
    got = _result(guided, _Told(), 1.5)
    if got.shape != SHAPE:
        return f"for pictures {SHAPE} it has shape {tuple(got.shape)}."
    if _asked(guided):
        return None  # another property tells that
    x, time, label = _given()
    return any_number(lambda x, label: guided(_Told(), x, time.clone(), label, 1.5), x, label, most=100)


def _zero(guided: Function) -> Any:
    told, without = _both()
    got = _result(guided, _Told(), 0.0)
    if torch.equal(got, told):
        return None
    return (
        explain(
            got,
            told,
            [
                (lambda: without, "that is the model without its label: weight 0 is the model *with* it."),
                (lambda: torch.zeros_like(told), "the model's own velocity is missing: guidance is added to it."),
                (lambda: told - without, "only the difference is left: add the weighted difference to the model."),
            ],
            "start from v(x, t, label) and add weight · difference, which is 0 here.",
        )
        or "it is the model's velocity but for rounding: start from v(x, t, label), which then stays bit for bit."
    )


def _without(guided: Function) -> Any:
    told, without = _both(1)
    return explain(
        _result(guided, _Told(), -1.0, 1),
        without,
        [
            (lambda: told, "the weight changes nothing."),
            (lambda: 2 * told - without, "the difference has the wrong sign: with the label less without it."),
        ],
        "v(x, t, label) − (v(x, t, label) − v(x, t, 0)) is v(x, t, 0).",
    )


def _further(guided: Function) -> Any:
    return _further_of(guided, 2) or _further_of(guided, GREY)


def _further_of(guided: Function, seed: int) -> Any:
    told, without = _both(seed)
    return explain(
        _result(guided, _Told(), 7.3, seed),
        told + 7.3 * (told - without),
        [
            (lambda: without + 7.3 * (told - without), "weight 1 is the plain model there: start from v(…, label)."),
            (lambda: told + 7.3 * (without - told), "it leads away from the label: the difference is reversed."),
            (lambda: told + 7.3 * told, "the velocity without a label is missing."),
            (lambda: told + (told - without), "the weight is missing."),
            (lambda: 7.3 * (told - without), "the model's own velocity is missing: guidance is added to it."),
            (lambda: (told + 7.3 * (told - without)) / 8.3, "a mean of the two is too much: nothing is divided."),
        ],
        "v(x, t, label) + weight · (v(x, t, label) − v(x, t, 0)).",
    )


def _asked(guided: Function) -> str | None:
    return _asked_of(guided, 3) or _asked_of(guided, GREY)


def _asked_of(guided: Function, seed: int) -> str | None:
    field = _Told()
    x, time, label = _given(seed)
    _result(guided, field, 2.0, seed)
    if any(not close(when.reshape(-1)[:1], time.reshape(1)) for _, when, _ in field.given):
        return "the model is evaluated at another time: both velocities belong to one t."
    if any(labels.shape[1:] != label.shape[1:] for _, _, labels in field.given):
        return "no label means zeros of the label's shape: torch.zeros_like(label)."
    # Picture by picture, as both velocities may come of one batch, or of a loop over the pictures.
    asked = [[] for _ in x]
    for here, _, labels in field.given:
        for picture, told in zip(here, labels.expand(len(here), -1)):
            which = [row for row, each in enumerate(x) if close(picture, each)]
            if not which:
                return "the model is evaluated at another place: both velocities belong to one x."
            asked[which[0]].append(told)
    for labels, own in zip(asked, label):
        if not any(close(each, own) for each in labels):
            return "the model is never evaluated with the label."
        if not any(not each.any() for each in labels):
            return "the model is never evaluated without a label, which is zeros of the label's shape."
        if len(labels) > 2:
            return f"the model is evaluated {len(labels)} times; twice is enough."
    return None


def _in_place(guided: Function) -> str | None:
    hint = "an input is overwritten: make new tensors, such as torch.zeros_like(label)."
    return untouched(_given(4), lambda *copies: guided(_Told(), *copies, 1.5), hint)
