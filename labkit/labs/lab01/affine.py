"""Check of the masked affine coupling: x = b z + (1 − b)(z exp s(b z) + t(b z)) (Dinh et al., arXiv:1605.08803)."""

from dataclasses import dataclass, replace

import normflows as nf
import torch
from torch import Tensor, nn

from labkit.checking import (
    Function,
    Hint,
    Missed,
    Property,
    any_number,
    close,
    evaluate,
    explain,
    normal,
    one_per_row,
    results,
    row_values,
    same_gradients,
    untouched,
    weak,
)

ROWS = 5
MASK = torch.tensor([1.0, 0.0, 0.0, 1.0, 0.0, 0.0], dtype=torch.float64)
FEATURES = len(MASK)
LONG_MASK = torch.tensor([0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0], dtype=torch.float64)


class _Net(nn.Module):
    """A smooth map (N, d) → (N, d) that reads the kept features only, and remembers all it was shown.

    Since it ignores the rest by itself, showing it too much costs the property that asks for that, and no other.
    """

    def __init__(self, seed: int, mask: Tensor = MASK, size: float = 1.0) -> None:
        super().__init__()
        self.weight, self.mask, self.size = normal(len(mask), len(mask), seed=seed), mask, size
        self.seen: list[Tensor] = []

    def forward(self, values: Tensor) -> Tensor:
        self.seen.append(values.detach().clone())
        return self.size * torch.tanh((values * self.mask) @ self.weight) + 0.3


@dataclass(frozen=True)
class _Direction:
    """The student's forward or inverse, with nets that can be looked at afterwards."""

    function: Function
    name: str
    s: _Net
    t: _Net

    def __call__(self, values: Tensor) -> tuple[Tensor, Tensor]:
        pair = self.function(values, self.s.mask.clone(), self.s, self.t)
        made = results(pair, f"the new features of {self.name}", "the log-determinant")
        if made[0].shape != values.shape == made[1].shape:
            raise Missed("the two results have changed places: the features come first, then the log-determinant.")
        return made

    def features(self, values: Tensor) -> Tensor:
        return self(values.clone())[0].detach()

    def log_det(self, values: Tensor) -> Tensor:
        return self(values.clone())[1].detach()


def coupling(forward: Function, inverse: Function) -> list[Property]:
    """Properties of one masked affine coupling layer and its inverse.

    Args:
        forward: (z (N, d), mask (d,), s, t) → x (N, d) and log |det dx/dz| (N,); s, t map (N, d) to (N, d), ones
            of the mask are kept.
        inverse: (x, mask, s, t) → z (N, d) and log |det dz/dx| (N,).
    """
    s, t = _Net(1), _Net(2)
    there, back = _Direction(forward, "forward", s, t), _Direction(inverse, "inverse", s, t)
    return evaluate(
        {
            "both return features of the input's shape and type": weak(lambda: _shapes(there) or _shapes(back)),
            "the log-determinant has one number per row": weak(lambda: _rows(there) or _rows(back)),
            "kept features pass through unchanged": weak(lambda: _kept(there)),
            "the others move as in normflows' MaskedAffineFlow": lambda: _moved(there) or _far(there, 0),
            "the inverse is that of MaskedAffineFlow": lambda: _inverse(back) or _far(back, 0),
            "there and back again gives z": weak(lambda: _round_trip(there, back)),
            "s and t see the kept features only": lambda: _peeks(there) or _peeks(back),
            "forward's log-determinant is that of its Jacobian": weak(lambda: _log_det(there) or _far(there, 1)),
            "the inverse's log-determinant is that of its Jacobian": weak(lambda: _log_det(back) or _far(back, 1)),
            "gradients reach the nets and the input": weak(lambda: _gradients(there) or _gradients(back)),
            "the inputs stay as they were": weak(lambda: _in_place(there) or _in_place(back)),
        }
    )


def _library() -> nf.flows.MaskedAffineFlow:
    return nf.flows.MaskedAffineFlow(MASK, _Net(2), _Net(1))


def _shapes(direction: _Direction) -> str | None:
    values = normal(ROWS, FEATURES)
    direction(values)
    got = torch.as_tensor(direction.function(values.clone(), MASK.clone(), direction.s, direction.t)[0])
    if got.shape != values.shape:
        return f"{direction.name} turns {tuple(values.shape)} into {tuple(got.shape)}; features keep their shape."
    if got.dtype != values.dtype:
        return f"{direction.name} turns float64 into {str(got.dtype)[6:]}: leave out .float() and the like."
    return None


def _rows(direction: _Direction) -> str | None:
    values = normal(ROWS, FEATURES)
    what = f"the log-determinant of {direction.name}"
    return one_per_row(direction.log_det(values), ROWS, FEATURES, what) or any_number(
        lambda few: direction(few.clone()), values, most=100
    )


def _kept(there: _Direction) -> str | None:
    z, keep = normal(ROWS, FEATURES), MASK.bool()
    x = there.features(z)
    if close(x[:, keep], z[:, keep]):
        return None
    if close(x[:, ~keep], z[:, ~keep]):
        return "the mask is swapped: where it is 1 a feature is kept, where it is 0 it moves."
    return "where the mask is 1, x must equal z: mask * z + (1 - mask) * (…)."


def _moved(there: _Direction) -> str | None:
    z, move = normal(ROWS, FEATURES), ~MASK.bool()
    s, t = _Net(1)(z)[:, move], _Net(2)(z)[:, move]
    expected, z_moved = _library()(z)[0][:, move], z[:, move]
    return explain(
        there.features(z)[:, move],
        expected,
        [
            (lambda: z_moved, "where the mask is 0 nothing moves: is the mask swapped?"),
            (lambda: z_moved * s + t, "exp is missing: the scale is exp(s), so that it is never zero or negative."),
            (lambda: (z_moved + t) * s.exp(), "the order is reversed: scale first, then shift, z * exp(s) + t."),
            (lambda: z_moved * (-s).exp() + t, "that is exp(−s): forward multiplies by exp(s)."),
            (lambda: z_moved * t.exp() + s, "s and t have changed places: z * exp(s) + t."),
            (lambda: z_moved * s.exp(), "the shift t is missing."),
            (lambda: z_moved * s.exp() - t, "the shift has the wrong sign: z * exp(s) + t."),
            (lambda: z_moved * s.tanh().exp() + t, "s goes through a tanh: use what s gives, unlimited."),
            (lambda: z_moved * s.sigmoid() + t, "the scale is a sigmoid: it is exp(s)."),
        ],
        "where the mask is 0, x = z * exp(s) + t, with s and t of mask * z.",
    )


def _inverse(back: _Direction) -> str | None:
    x, keep = normal(ROWS, FEATURES, seed=3), MASK.bool()
    s, t = _Net(1)(x), _Net(2)(x)
    got = back.features(x)
    if close(got[:, ~keep], x[:, ~keep]) and not close(got[:, keep], x[:, keep]):
        return "the mask is swapped: where it is 1 x is kept."

    def mix(moved: Tensor) -> Tensor:
        return torch.where(keep, x, moved)

    return explain(
        got,
        _library().inverse(x)[0],
        [
            (lambda: mix(x * (-s).exp() - t), "the order is reversed: undo the shift first, (x - t) * exp(-s)."),
            (lambda: mix((x - t) * s.exp()), "forward multiplied by exp(s), so the inverse divides: exp(-s)."),
            (lambda: mix((x + t) * (-s).exp()), "forward added t, so the inverse subtracts it."),
            (lambda: mix(x * s.exp() + t), "that is forward once more."),
            (lambda: mix((x - t) / s), "exp is missing: divide by exp(s)."),
            (lambda: mix((x - s) * (-t).exp()), "s and t have changed places: (x - t) * exp(-s)."),
            (lambda: x, "nothing moves: that is x itself."),
        ],
        "where the mask is 0, z = (x - t) * exp(-s); where it is 1, z = x.",
    )


def _far(direction: _Direction, which: int) -> str | None:
    """Features (0) or log-determinant (1) of other sizes, of large numbers and of nets that give large ones."""
    cases = ((mask, size) for mask in (LONG_MASK, LONG_MASK.roll(1)) for size in (20.0, -20.0))
    return next((said for mask, size in cases if (said := _far_under(mask, size, direction, which))), None)


def _far_under(mask: Tensor, size: float, direction: _Direction, which: int) -> str | None:
    """With s of both signs, log-determinants go far on both sides of 0, whatever is drawn."""
    values = 1000 * normal(ROWS, len(mask), seed=9)
    s, t = _Net(10, mask, size), _Net(11, mask, 50.0)
    library = nf.flows.MaskedAffineFlow(mask, t, s)
    right = library(values) if direction.name == "forward" else library.inverse(values)
    far = replace(direction, s=s, t=t)
    moved = close(far.features(values), right[0])
    # The log-determinant of features that are wrong is another one.
    if (not moved or close(row_values(far.log_det, values), right[1])) if which else moved:
        return None
    return (
        f"{direction.name} is right of 6 features near 0, but not of 9 far from it: add nothing to exp, limit "
        "nothing, and write in no size."
    )


def _round_trip(there: _Direction, back: _Direction) -> str | None:
    z = normal(ROWS, FEATURES, seed=4)
    if close(back.features(there.features(z)), z):
        return None
    return "inverse(forward(z)) is not z: undo the steps of forward in reverse order, each by its opposite."


def _peeks(direction: _Direction) -> str | None:
    values = normal(ROWS, FEATURES, seed=5)
    direction.s.seen.clear()
    direction.t.seen.clear()
    direction.features(values)
    if not (direction.s.seen and direction.t.seen):
        return f"{direction.name} never asks {'t' if direction.s.seen else 's'}."
    of_both = direction.s.seen, direction.t.seen
    if all(seen.shape == (1, FEATURES) for net in of_both for seen in net):
        of_both = tuple([torch.cat(net)] for net in of_both)  # of a loop over rows
    for seen in (*of_both[0], *of_both[1]):
        if seen.shape != values.shape or not close(seen.double(), values * MASK):
            given = "mask * z" if direction.name == "forward" else "mask * x"
            return f"in {direction.name}, give s and t {given}: what they see must be the same in both directions."
    return None


def _log_det(direction: _Direction) -> str | None:
    # Long rows and their opposites, so that some volumes grow and others shrink.
    values, sign = 2 * normal(ROWS, FEATURES, seed=6), 1 if direction.name == "forward" else -1
    values = torch.cat((values, -values))
    expected = torch.stack([_jacobian_log_det(direction, row) for row in values])
    if not bool(expected.isfinite().all()):
        return f"autograd finds no derivative of {direction.name}: are its features detached, or made by numpy?"
    s = _Net(1)(values)
    moved = s * (1 - MASK)
    return explain(
        row_values(direction.log_det, values),
        expected,
        [
            (lambda: -expected, "its sign is flipped: forward's is the sum of s, the inverse's is minus that."),
            (
                lambda: sign * s.sum(1),
                "it sums s over the kept features too, which do not change: sum (1 - mask) * s.",
            ),
            (lambda: sign * moved.mean(1), "it is a mean over the features; the log of a product is the sum."),
            (lambda: sign * (MASK * s).sum(1), "it sums s over the kept features; those that move count."),
            (lambda: expected.exp(), "that is the determinant itself: return its logarithm, the sum of s."),
            (lambda: 0 * expected, "it is zero, as if the layer kept all volumes."),
            (lambda: (1 - MASK) @ s.exp().T, "it sums exp(s): log exp(s) is s."),
        ],
        f"it should be the sum of {'s' if sign > 0 else '−s'} over the features that move.",
    )


def _gradients(direction: _Direction) -> Hint | None:
    """Against the library's: a part that is detached leaves its net untrained."""
    values = normal(ROWS, FEATURES, seed=8).requires_grad_()
    library = _library()
    right = library(values) if direction.name == "forward" else library.inverse(values)
    for got, wanted in zip(direction(values * 1), right, strict=True):
        both = (got, wanted) if got.shape == wanted.shape else (got.sum(), wanted.sum())
        if hint := same_gradients(*both, values=values):
            return hint
    return None


def _jacobian_log_det(direction: _Direction, row: Tensor) -> Tensor:
    """log |det| of the student's own map at one row.

    By automatic differentiation, or by differences where the map overwrites what autograd needs: that has a property
    of its own.
    """

    def one(values: Tensor) -> Tensor:
        return direction(values[None] * 1)[0][0]

    try:
        jacobian = torch.autograd.functional.jacobian(one, row.clone())
    except RuntimeError as error:
        if "inplace" not in str(error).replace("-", ""):
            raise
        steps = 1e-5 * torch.eye(FEATURES, dtype=torch.float64)
        jacobian = torch.stack([(one(row + step) - one(row - step)) / 2e-5 for step in steps], dim=1)
    return torch.linalg.slogdet(jacobian)[1]


def _in_place(direction: _Direction) -> str | None:
    hint = f"{direction.name} overwrites its input: make a new tensor instead of assigning into the old one."

    def call(values: Tensor, mask: Tensor) -> None:
        direction.function(values, mask, direction.s, direction.t)

    return untouched([normal(ROWS, FEATURES, seed=7), MASK], call, hint)
