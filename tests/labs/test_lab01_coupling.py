"""Lab 01's check of the masked affine coupling, put through right and wrong solutions."""

import normflows as nf
import pytest
import torch

from labkit.labs import lab01

SHAPES = "both return features of the input's shape and type"
ROWS = "the log-determinant has one number per row"
KEPT = "kept features pass through unchanged"
MOVED = "the others move as in normflows' MaskedAffineFlow"
INVERSE = "the inverse is that of MaskedAffineFlow"
ROUND_TRIP = "there and back again gives z"
PEEKS = "s and t see the kept features only"
LOG_DET = "forward's log-determinant is that of its Jacobian"
INVERSE_LOG_DET = "the inverse's log-determinant is that of its Jacobian"
REACHED = "gradients reach the nets and the input"
IN_PLACE = "the inputs stay as they were"


def forward(z, mask, s, t):
    scale, shift = s(mask * z), t(mask * z)
    return mask * z + (1 - mask) * (z * torch.exp(scale) + shift), ((1 - mask) * scale).sum(1)


def inverse(x, mask, s, t):
    scale, shift = s(mask * x), t(mask * x)
    return mask * x + (1 - mask) * (x - shift) * torch.exp(-scale), -((1 - mask) * scale).sum(1)


def forward_by_index(z, mask, s, t):
    moved = mask == 0
    seen = torch.where(moved, 0.0, z)
    x = z.clone()
    x[:, moved] = z[:, moved] * s(seen)[:, moved].exp() + t(seen)[:, moved]
    return x, s(seen)[:, moved].sum(dim=-1)


def inverse_by_index(x, mask, s, t):
    moved = mask == 0
    seen = torch.where(moved, 0.0, x)
    z = x.clone()
    z[:, moved] = (x[:, moved] - t(seen)[:, moved]) / s(seen)[:, moved].exp()
    return z, -s(seen)[:, moved].sum(dim=-1)


def with_log_det(direction, change):
    """A direction whose log-determinant is spoilt: change(log_det, log-scale (N, d), mask)."""

    def spoilt(values, mask, s, t):
        out, log_det = direction(values, mask, s, t)
        return out, change(log_det, s(mask * values), mask)

    return spoilt


def affine(move, sign=1):
    """A direction that moves features by `move(values, s, t)`, with the right log-determinant."""

    def direction(values, mask, s, t):
        scale, shift = s(mask * values), t(mask * values)
        out = mask * values + (1 - mask) * move(values, scale, shift)
        return out, sign * ((1 - mask) * scale).sum(1)

    return direction


def swapped(direction):
    return lambda values, mask, s, t: direction(values, 1 - mask, s, t)


def peeking(direction):
    """Gives s and t all features instead of the kept ones."""

    def peeks(values, mask, s, t):
        return direction(values, mask, lambda _: s(values), lambda _: t(values))

    return peeks


def detached(direction, which):
    """No gradient reaches one of the nets."""

    def cut(values, mask, s, t):
        nets = {"s": s, "t": t}
        net = nets[which]
        nets[which] = lambda seen: net(seen).detach()
        return direction(values, mask, nets["s"], nets["t"])

    return cut


def forward_in_place(z, mask, s, t):
    scale, shift = s(mask * z), t(mask * z)
    z[:, mask == 0] = (z * scale.exp() + shift)[:, mask == 0]
    return z, ((1 - mask) * scale).sum(1)


NOT_FLOAT64 = (
    lambda z, mask, s, t: (forward(z, mask, s, t)[0].float(), forward(z, mask, s, t)[1]),
    inverse,
)


def forward_by_where(z, mask, s, t):
    keep = mask.bool()
    seen = z.masked_fill(~keep, 0.0)
    log_scale = s(seen).masked_fill(keep, 0.0)
    return torch.where(keep, z, torch.addcmul(t(seen), z, log_scale.exp())), log_scale.sum(dim=-1)


def inverse_by_where(x, mask, s, t):
    keep = mask > 0.5
    seen = x * keep
    log_scale = torch.where(keep, torch.zeros_like(x), s(seen))
    return torch.where(keep, x, x.sub(t(seen)).div(log_scale.exp())), log_scale.sum(-1).neg()


def forward_by_lists(z, mask, s, t):
    moved = [i for i, each in enumerate(mask.tolist()) if each == 0]
    scale, shift, x = s(z * mask), t(z * mask), list(z.unbind(1))
    log_det = torch.zeros(len(z), dtype=z.dtype)
    for i in moved:
        x[i] = x[i] * torch.exp(scale[:, i]) + shift[:, i]
        log_det = log_det + scale[:, i]
    return torch.stack(x, dim=1), log_det


def inverse_by_lists(x, mask, s, t):
    scale, shift = s(mask[None] * x), t(mask[None] * x)
    columns, log_det = [], 0
    for i, kept in enumerate(mask.bool()):
        columns.append(x[:, i] if kept else (x[:, i] - shift[:, i]) / torch.exp(scale[:, i]))
        log_det = log_det - (0 if kept else scale[:, i])
    return torch.stack(columns, 1), log_det


def forward_by_split(z, mask, s, t):
    """Kept and moved columns apart, put together again."""
    kept, moved = mask.nonzero()[:, 0], (1 - mask).nonzero()[:, 0]
    seen = torch.zeros_like(z).index_copy(1, kept, z[:, kept])
    scale, shift = s(seen)[:, moved], t(seen)[:, moved]
    both = torch.cat((z[:, kept], z[:, moved] * scale.exp() + shift), 1)
    return both[:, torch.argsort(torch.cat((kept, moved)))], scale.sum(1)


def inverse_by_split(x, mask, s, t):
    kept, moved = torch.where(mask == 1)[0], torch.where(mask != 1)[0]
    seen = torch.zeros_like(x).index_copy(1, kept, x[:, kept])
    scale, shift = s(seen)[:, moved], t(seen)[:, moved]
    return x.index_copy(1, moved, (x[:, moved] - shift) * (-scale).exp()), -scale.sum(1)


def by_scales(z, mask, s, t):
    """The logarithm of the product of all scales."""
    scale = torch.exp((1 - mask) * s(mask * z))
    return scale * z + (1 - mask) * t(mask * z), scale.prod(1).log()


def back_by_scales(x, mask, s, t):
    scale = torch.exp((1 - mask) * s(mask * x))
    return (x - (1 - mask) * t(mask * x)) / scale, -torch.log(scale).sum(1)


def by_slogdet(z, mask, s, t):
    log_scale = (1 - mask) * s(mask * z)
    diagonal = torch.diag_embed(log_scale.exp())
    return torch.einsum("nij,nj->ni", diagonal, z) + (1 - mask) * t(mask * z), torch.linalg.slogdet(diagonal)[1]


class Coupling(torch.nn.Module):
    def __init__(self, sign):
        super().__init__()
        self.sign = sign

    def forward(self, values, mask, s, t):
        seen, move = mask * values, 1.0 - mask
        scale, shift = self.sign * move * s(seen), move * t(seen)
        moved = values * scale.exp() + shift if self.sign > 0 else (values - shift) * scale.exp()
        return moved, torch.einsum("ij->i", scale)


def from_library(values, mask, s, t, forward=True):
    flow = nf.flows.MaskedAffineFlow(mask, t, s)
    return flow(values) if forward else flow.inverse(values)


RIGHT = {
    "by the formula": (forward, inverse),
    "by index": (forward_by_index, inverse_by_index),
    "where": (forward_by_where, inverse_by_where),
    "lists of columns": (forward_by_lists, inverse_by_lists),
    "split and joined": (forward_by_split, inverse_by_split),
    "product of scales": (by_scales, back_by_scales),
    "slogdet, einsum": (by_slogdet, lambda *given: inverse(*given)),
    "a class": (Coupling(1), Coupling(-1)),
    "normflows": (from_library, lambda *given: from_library(*given, forward=False)),
    "in float64": (
        lambda z, mask, s, t: tuple(each.to(z) for each in forward(z.double(), mask.double(), s, t)),
        lambda x, mask, s, t: tuple(each.to(x) for each in inverse(x.double(), mask.double(), s, t)),
    ),
}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "mask swapped": (
        (swapped(forward), swapped(inverse)),
        {KEPT: "swapped", MOVED: "swapped", INVERSE: "swapped", PEEKS: "mask * z", REACHED: ""},
    ),
    "forgot exp": (
        (affine(lambda z, s, t: z * s + t), inverse),
        {MOVED: "exp is missing", ROUND_TRIP: "reverse order", LOG_DET: "sum of s"},
    ),
    "s and t exchanged": (
        (affine(lambda z, s, t: z * t.exp() + s), inverse),
        {MOVED: "changed places", ROUND_TRIP: "reverse", LOG_DET: "sum of s"},
    ),
    "shift first": (
        (affine(lambda z, s, t: (z + t) * s.exp()), inverse), {MOVED: "order is reversed", ROUND_TRIP: "reverse"}
    ),
    "shift forgotten": (
        (affine(lambda z, s, t: z * s.exp()), inverse), {MOVED: "shift t is missing", ROUND_TRIP: "reverse"}
    ),
    "inverse scales before it shifts": (
        (forward, affine(lambda x, s, t: x * (-s).exp() - t, -1)),
        {INVERSE: "undo the shift first", ROUND_TRIP: "reverse order"},
    ),
    "inverse multiplies by exp(s)": (
        (forward, affine(lambda x, s, t: (x - t) * s.exp(), -1)),
        {INVERSE: "divides", ROUND_TRIP: "opposite", INVERSE_LOG_DET: "sign is flipped"},
    ),
    "inverse adds t": (
        (forward, affine(lambda x, s, t: (x + t) * (-s).exp(), -1)),
        {INVERSE: "subtracts", ROUND_TRIP: "opposite"},
    ),
    "inverse is forward": (
        (forward, forward),
        {INVERSE: "forward once more", ROUND_TRIP: "opposite"},
    ),
    "forward reads all of z": ((peeking(forward), inverse), {PEEKS: "in forward, give s and t mask * z"}),
    "inverse reads all of x": ((forward, peeking(inverse)), {PEEKS: "in inverse, give s and t mask * x"}),
    "sign of forward's log-determinant": (
        (with_log_det(forward, lambda value, s, mask: -value), inverse), {LOG_DET: "sign is flipped"}
    ),
    "sign of the inverse's log-determinant": (
        (forward, with_log_det(inverse, lambda value, s, mask: -value)), {INVERSE_LOG_DET: "sign is flipped"}
    ),
    "summed over the batch": (
        (with_log_det(forward, lambda value, s, mask: value.sum()), inverse), {ROWS: "for the whole batch"}
    ),
    "not summed": (
        (with_log_det(forward, lambda value, s, mask: (1 - mask) * s), inverse), {ROWS: "for each feature"}
    ),
    "summed over rows": (
        (forward, with_log_det(inverse, lambda value, s, mask: (-(1 - mask) * s).sum(0))), {ROWS: ".sum(0)"}
    ),
    "kept features counted": (
        (with_log_det(forward, lambda value, s, mask: s.sum(1)), inverse), {LOG_DET: "kept features too"}
    ),
    "kept features counted alone": (
        (with_log_det(forward, lambda value, s, mask: (mask * s).sum(1)), inverse),
        {LOG_DET: "those that move count"},
    ),
    "mean for sum": (
        (with_log_det(forward, lambda value, s, mask: ((1 - mask) * s).mean(1)), inverse), {LOG_DET: "mean"}
    ),
    "determinant without its logarithm": (
        (with_log_det(forward, lambda value, s, mask: value.exp()), inverse), {LOG_DET: "determinant itself"}
    ),
    "in place": ((forward_in_place, inverse), {IN_PLACE: "forward overwrites its input", REACHED: ""}),
    "float32": (NOT_FLOAT64, {SHAPES: "float32"}),
    "no log-determinant": (
        (lambda *a: forward(*a)[0], inverse),
        {SHAPES: "two things", ROWS: "two things", KEPT: "two things", MOVED: "two things",
         ROUND_TRIP: "two things", PEEKS: "two things", LOG_DET: "two things", REACHED: "two things"},
    ),
    "log-determinant detached": (
        (with_log_det(forward, lambda value, s, mask: value.detach()), inverse), {REACHED: "no gradient"}
    ),
    "the inverse's log-determinant detached": (
        (forward, with_log_det(inverse, lambda value, s, mask: value.detach())), {REACHED: "no gradient"}
    ),
    "scale detached": ((detached(forward, "s"), inverse), {REACHED: "detach"}),
    "shift detached": ((detached(forward, "t"), inverse), {REACHED: "detach"}),
    "the inverse's scale detached": ((forward, detached(inverse, "s")), {REACHED: "detach"}),
    "the inverse's shift detached": ((forward, detached(inverse, "t")), {REACHED: "detach"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab01.coupling, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab01.coupling, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab01.coupling, arguments=2)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab01.coupling, RIGHT, WRONG)


def test_the_librarys_own_coupling_passes_where_its_mask_is_multiplied(prove):
    def there(z, mask, s, t):
        return nf.flows.MaskedAffineFlow(mask, t, s)(z)

    def back(x, mask, s, t):
        return nf.flows.MaskedAffineFlow(mask, t, s).inverse(x)

    prove.right(lab01.coupling, (there, back))


def test_checks_are_the_same_every_time():
    torch.manual_seed(1)
    first = lab01.coupling(swapped(forward), inverse)
    torch.manual_seed(2)
    assert lab01.coupling(swapped(forward), inverse) == first
