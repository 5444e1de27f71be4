"""Checks of a conditional VAE's pass and of asking it for an attribute (Sohn, Lee and Yan, NeurIPS 2015)."""

import torch
from torch import Tensor

from labkit.checking import (
    Function,
    Hint,
    Missed,
    Property,
    as_tensor,
    close,
    evaluate,
    normal,
    results,
    same_gradients,
    untouched,
    weak,
)

SIZES = ROWS, FEATURES, LATENTS, CONDITIONS = 5, 7, 3, 4
OTHERS = 8, 6, 2, 5  # other sizes: none of them may be written into a solution
WIDE = 100.0  # latents and features are of no given range, so that a limit on them shows
COLUMN = 1  # not half of them, where −column would be the same


def conditional_pass(reconstruct: Function) -> list[Property]:
    """Properties of a function (encode, decode, features (N, D), condition (N, A)) → reconstruction (N, D).

    Args:
        reconstruct: the student's function; encode is (N, D + A) → (N, M), and decode (N, M + A) → (N, D).
    """
    return evaluate(
        {
            "the reconstruction is the decoder's, of the features' shape": weak(lambda: _shape(reconstruct)),
            "the encoder sees features and condition": lambda: _encoder_input(reconstruct),
            "the decoder sees latent and condition": lambda: _decoder_input(reconstruct),
            "another condition gives another picture": weak(lambda: _matters(reconstruct)),
            "gradients reach the encoder through the decoder": lambda: _gradient(reconstruct),
        }
    )


def asking(ask: Function) -> list[Property]:
    """Properties of a function (decode, z (N, M), condition (N, A), column) → pictures asked for, pictures refused.

    Args:
        ask: the student's function; decode is (z, condition) → pictures, and a condition's entries are 1 (has it),
            −1 (has it not) and 0 (unknown).
    """
    return evaluate(
        {
            "two sets of pictures, one picture per latent": weak(lambda: _two_sets(ask)),
            "the column is 1 in the first and −1 in the second": lambda: _column(ask),
            "every other column stays": weak(lambda: _others(ask)),
            "both sets have the latents given": weak(lambda: _same_latents(ask)),
            "the condition handed in stays as it was": weak(lambda: _untouched(ask)),
        }
    )


class _Parts:
    """A linear encoder and decoder that remember what they were given."""

    def __init__(self, sizes: tuple[int, int, int, int] = SIZES) -> None:
        self.rows, features, latents, conditions = sizes
        self.seen: dict[str, Tensor] = {}
        self.first = normal(features + conditions, latents, seed=1).requires_grad_()
        self.second = normal(latents + conditions, features, seed=2)

    def encode(self, joined: Tensor) -> Tensor:
        return self._through("encoder", joined, self.first)

    def decode(self, joined: Tensor) -> Tensor:
        return self._through("decoder", joined, self.second)

    def _through(self, part: str, joined: Tensor, weight: Tensor) -> Tensor:
        joined = as_tensor(joined, f"what the {part} is given")
        wanted = self.rows, len(weight)
        if joined.ndim != 2 or len(joined) > self.rows or joined.shape[1] != len(weight):
            raise Missed(f"the {part} takes {wanted}, joined along dimension 1; yours is {tuple(joined.shape)}.")
        # A row at a time, or all together.
        before = self.seen.get(part, joined[:0])
        self.seen[part] = torch.cat((before[: self.rows - len(joined)], joined))
        self.gave = self.seen[part] @ weight
        return joined @ weight


def _conditions(rows: int, columns: int, seed: int) -> Tensor:
    """1, −1 and 0, which is unknown, and surer or less sure; all of the first row is known."""
    values = normal(rows, columns, seed=seed)
    known = (values.abs() > 0.4) | (torch.arange(rows) == 0)[:, None]
    return values.sign() * known * torch.where(values.abs() > 1, 1, 1 + values.abs())


def _given(sizes: tuple[int, int, int, int] = SIZES) -> tuple[Tensor, Tensor]:
    rows, features, _, conditions = sizes
    return WIDE * normal(rows, features, seed=3), _conditions(rows, conditions, 4)


def _pass(reconstruct: Function, parts: _Parts, features: Tensor, condition: Tensor) -> Tensor:
    found = reconstruct(parts.encode, parts.decode, features.clone(), condition.clone())
    return as_tensor(found, "the reconstruction")


def _shape(reconstruct: Function) -> str | None:
    # Pictures are of no given range either, and what is added to small ones shows.
    for sizes, scale in ((SIZES, 1 / WIDE), ((1, *SIZES[1:]), 1000)):
        features, condition = _given(sizes)
        parts, given = _Parts(sizes), (scale * features, condition)
        got = _pass(reconstruct, parts, *given)
        if got.shape != given[0].shape:
            return f"it should be {tuple(given[0].shape)}, not {tuple(got.shape)}."
        if not close(got, parts.gave.detach()):
            return "return what the decoder gives, as it is."
    return untouched(given, lambda *pair: reconstruct(parts.encode, parts.decode, *pair))


def _seen(reconstruct: Function, part: str) -> tuple[_Parts, Tensor]:
    parts = _Parts()
    _pass(reconstruct, parts, *_given())
    if part not in parts.seen:
        raise Missed(f"the {part} is never called.")
    return parts, parts.seen[part].detach()


def _compare(got: Tensor, first: Tensor, condition: Tensor, what: str) -> str | None:
    if close(got, torch.cat((first, condition), 1)):
        return None
    if close(got, torch.cat((condition, first), 1)):
        return f"the condition stands first: {what} comes before it."
    if not close(got[:, : first.shape[1]], first):
        return f"the first {first.shape[1]} columns should be {what}, unchanged."
    if close(got[:, -CONDITIONS:], torch.zeros(ROWS, CONDITIONS)):
        return "the condition has become zeros."
    return f"the last {CONDITIONS} columns should be the condition of the same row, unchanged."


def _encoder_input(reconstruct: Function) -> str | None:
    features, condition = _given()
    return _compare(_seen(reconstruct, "encoder")[1], features, condition, "the features")


def _decoder_input(reconstruct: Function) -> str | None:
    parts, got = _seen(reconstruct, "decoder")
    if "encoder" not in parts.seen:
        return "the encoder is never called."
    latent = (parts.seen["encoder"] @ parts.first).detach()
    if hint := _compare(got, latent, _given()[1], "the latent"):
        return hint
    _pass(reconstruct, _Parts(OTHERS), *_given(OTHERS))  # where a size is written in, a part is given too few
    return None


def _matters(reconstruct: Function) -> str | None:
    features, condition = _given()
    parts, changed = _Parts(), condition.clone()
    changed[0] *= -1
    before, after = (_pass(reconstruct, parts, features, each).detach() for each in (condition, changed))
    if close(before[0], after[0]):
        return "the first row's condition was reversed, and its picture stayed: hand the condition on."
    if not close(before[1:], after[1:]):
        return "the first row's condition changes other rows: join along dimension 1, row by row."
    return None


def _gradient(reconstruct: Function) -> Hint | None:
    parts, (features, condition) = _Parts(), (each.requires_grad_() for each in _given())
    found = _pass(reconstruct, parts, features, condition)
    right = torch.cat((torch.cat((features, condition), 1) @ parts.first, condition), 1) @ parts.second
    both = (found, right) if found.shape == right.shape else (found.sum(), right.sum())
    # Of a wrong picture only whether the encoder learns is asked.
    given = {"features": features, "condition": condition} if close(found, right.detach(), 1e-4) else {}
    return same_gradients(*both, **{"the encoder": parts.first}, **given)


def _asked(
    ask: Function, rows: int = ROWS, column: int = COLUMN
) -> tuple[list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """Latents and condition of each picture in the two sets, and the latents and conditions given."""
    z, condition = WIDE * normal(rows, LATENTS, seed=5), _conditions(rows, CONDITIONS, 6)
    given: list[Tensor] = []

    def decode(z: Tensor, condition: Tensor) -> Tensor:
        given.append(torch.cat((as_tensor(z, "z"), as_tensor(condition, "the condition")), 1))
        return given[-1].clone()

    found = ask(decode, z.clone(), condition.clone(), column)
    called = []
    for pictures in results(found, "the pictures asked for", "the pictures refused"):
        if pictures.ndim != 2 or len(pictures) != rows:
            raise Missed(f"{rows} latents should give {rows} pictures in each set, not {tuple(pictures.shape)}.")
        made = torch.cat(given) if given else torch.empty(0, 0)
        if made.shape[1] != pictures.shape[1] or not all((made == picture).all(1).any() for picture in pictures):
            raise Missed("return what decode gives, as it is, one picture for each latent in each set.")
        called.append((pictures[:, :LATENTS], pictures[:, LATENTS:]))
    return called, z, condition


def _two_sets(ask: Function) -> None:
    for rows in (ROWS, 2 * ROWS, 1):
        _asked(ask, rows)


def _column(ask: Function) -> str | None:
    return _column_of(ask, ROWS, COLUMN) or _column_of(ask, 2 * ROWS, CONDITIONS - 1)


def _column_of(ask: Function, rows: int, column: int) -> str | None:
    called, _, condition = _asked(ask, rows, column)
    first, second = (given[:, column] for _, given in called)
    if close(first, torch.ones(rows)) and close(second, -torch.ones(rows)):
        return None
    own = condition[:, column]
    if close(first, own) and close(second, own):
        return f"with column = {column} that column stays as it was: set condition[:, column], all rows of it."
    if close(first, -torch.ones(rows)) and close(second, torch.ones(rows)):
        return "the two are swapped: asked for comes first."
    if close(second, torch.zeros(rows)):
        return "0 means unknown; refused is −1."
    if close(first, second):
        return "both sets have one condition: the change in one must not be the change in the other (clone twice)."
    return "set condition[:, column] to 1 in one copy and to −1 in the other, in every row."


def _others(ask: Function) -> str | None:
    called, _, condition = _asked(ask)
    rest = [column for column in range(CONDITIONS) if column != COLUMN]
    if all(close(given[:, rest], condition[:, rest]) for _, given in called):
        return None
    return "a column that was not asked about has changed: copy the condition, and set one column."


def _same_latents(ask: Function) -> str | None:
    called, z, _ = _asked(ask)
    if all(close(given, z) for given, _ in called):
        return None
    return "with other latents one cannot tell what the condition does: give decode the same z twice."


def _untouched(ask: Function) -> str | None:
    z, condition = normal(4 * ROWS, LATENTS, seed=5), _conditions(4 * ROWS, CONDITIONS, 6)
    hint = "the caller's condition was changed in place: clone it first."
    hint_z = "the caller's z was changed in place: clone it first."
    return untouched([condition], lambda c: ask(lambda *pair: torch.cat(pair, 1), z.clone(), c, COLUMN), hint) or (
        untouched([z], lambda z: ask(lambda *pair: torch.cat(pair, 1), z, condition.clone(), COLUMN), hint_z)
    )
