"""Lab 01's checks: right solutions pass; each wrong one misses its own properties, with its own hints."""

import math
from dataclasses import dataclass, field

import normflows as nf
import numpy as np
import pytest
import torch

from labkit.checks import AGAIN, STUB, lab01
from labkit.metrics.interpolation import linear, spherical


@dataclass(frozen=True)
class Wrong:
    """Solutions that a student might hand in, and property → part of the hint it must get."""

    solution: tuple
    missed: dict[str, str] = field(default_factory=dict)


def stub(*args, **kwargs):
    raise NotImplementedError


# Coupling ---------------------------------------------------------------------------------------------------------

SHAPES = "both return features of the input's shape and type"
ROWS = "the log-determinant has one number per row"
KEPT = "kept features pass through unchanged"
MOVED = "the others move as in normflows' MaskedAffineFlow"
INVERSE = "the inverse is that of MaskedAffineFlow"
ROUND_TRIP = "there and back again gives z"
PEEKS = "s and t see the kept features only"
LOG_DET = "forward's log-determinant is that of its Jacobian"
INVERSE_LOG_DET = "the inverse's log-determinant is that of its Jacobian"
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


def forward_in_place(z, mask, s, t):
    scale, shift = s(mask * z), t(mask * z)
    z[:, mask == 0] = (z * scale.exp() + shift)[:, mask == 0]
    return z, ((1 - mask) * scale).sum(1)


NOT_FLOAT64 = (
    lambda z, mask, s, t: (forward(z, mask, s, t)[0].float(), forward(z, mask, s, t)[1]),
    inverse,
)
COUPLINGS = {
    "mask swapped": Wrong(
        (swapped(forward), swapped(inverse)),
        {KEPT: "swapped", MOVED: "swapped", INVERSE: "swapped", PEEKS: "mask * z"},
    ),
    "forgot exp": Wrong(
        (affine(lambda z, s, t: z * s + t), inverse),
        {MOVED: "exp is missing", ROUND_TRIP: "reverse order", LOG_DET: "sum of s"},
    ),
    "s and t exchanged": Wrong(
        (affine(lambda z, s, t: z * t.exp() + s), inverse),
        {MOVED: "changed places", ROUND_TRIP: "reverse", LOG_DET: "sum of s"},
    ),
    "shift first": Wrong(
        (affine(lambda z, s, t: (z + t) * s.exp()), inverse), {MOVED: "order is turned", ROUND_TRIP: "reverse"}
    ),
    "shift forgotten": Wrong(
        (affine(lambda z, s, t: z * s.exp()), inverse), {MOVED: "shift t is missing", ROUND_TRIP: "reverse"}
    ),
    "inverse scales before it shifts": Wrong(
        (forward, affine(lambda x, s, t: x * (-s).exp() - t, -1)),
        {INVERSE: "undo the shift first", ROUND_TRIP: "reverse order"},
    ),
    "inverse multiplies by exp(s)": Wrong(
        (forward, affine(lambda x, s, t: (x - t) * s.exp(), -1)),
        {INVERSE: "divides", ROUND_TRIP: "opposite", INVERSE_LOG_DET: "sign is turned"},
    ),
    "inverse adds t": Wrong(
        (forward, affine(lambda x, s, t: (x + t) * (-s).exp(), -1)),
        {INVERSE: "subtracts", ROUND_TRIP: "opposite"},
    ),
    "inverse is forward": Wrong(
        (forward, forward),
        {INVERSE: "forward once more", ROUND_TRIP: "opposite"},
    ),
    "forward reads all of z": Wrong((peeking(forward), inverse), {PEEKS: "in forward, give s and t mask * z"}),
    "inverse reads all of x": Wrong((forward, peeking(inverse)), {PEEKS: "in inverse, give s and t mask * x"}),
    "sign of forward's log-determinant": Wrong(
        (with_log_det(forward, lambda value, s, mask: -value), inverse), {LOG_DET: "sign is turned"}
    ),
    "sign of the inverse's log-determinant": Wrong(
        (forward, with_log_det(inverse, lambda value, s, mask: -value)), {INVERSE_LOG_DET: "sign is turned"}
    ),
    "summed over the batch": Wrong(
        (with_log_det(forward, lambda value, s, mask: value.sum()), inverse), {ROWS: "for the whole batch"}
    ),
    "not summed": Wrong(
        (with_log_det(forward, lambda value, s, mask: (1 - mask) * s), inverse), {ROWS: "for each feature"}
    ),
    "summed over rows": Wrong(
        (forward, with_log_det(inverse, lambda value, s, mask: (-(1 - mask) * s).sum(0))), {ROWS: ".sum(0)"}
    ),
    "kept features counted": Wrong(
        (with_log_det(forward, lambda value, s, mask: s.sum(1)), inverse), {LOG_DET: "kept features too"}
    ),
    "kept features counted alone": Wrong(
        (with_log_det(forward, lambda value, s, mask: (mask * s).sum(1)), inverse),
        {LOG_DET: "those that move count"},
    ),
    "mean for sum": Wrong(
        (with_log_det(forward, lambda value, s, mask: ((1 - mask) * s).mean(1)), inverse), {LOG_DET: "mean"}
    ),
    "determinant without its logarithm": Wrong(
        (with_log_det(forward, lambda value, s, mask: value.exp()), inverse), {LOG_DET: "determinant itself"}
    ),
    "in place": Wrong((forward_in_place, inverse), {IN_PLACE: "forward overwrites its input"}),
    "float32": Wrong(NOT_FLOAT64, {SHAPES: "float32"}),
    "no log-determinant": Wrong(
        (lambda *a: forward(*a)[0], inverse),
        {SHAPES: "two things", ROWS: "two things", KEPT: "two things", MOVED: "two things",
         ROUND_TRIP: "two things", PEEKS: "two things", LOG_DET: "two things", IN_PLACE: "two things"},
    ),
}  # fmt: skip

# Training loop ----------------------------------------------------------------------------------------------------

ONE, PLAIN, OWN, MEAN, FALLS, STEPS, TRACE = (
    "one loss for each epoch",
    "losses are plain numbers",
    "every epoch asks for its own batches",
    "each loss is the mean over the epoch's items",
    "the loss falls on an easy problem",
    "each batch makes one step along its own gradient",
    "a batch with a non-finite loss leaves no trace",
)


def loop(model, batches, optimizer, epochs):
    history = []
    for epoch in range(epochs):
        total, items = 0.0, 0
        for batch in batches.epoch(epoch):
            loss = model.nll(batch)
            if not torch.isfinite(loss):
                continue
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
            items += len(batch)
        history.append(total / items)
    return history


def loop_by_log_prob(model, batches, optimizer, epochs, schedule=None):
    def one(epoch):
        values = []
        for batch in batches.epoch(epoch):
            optimizer.zero_grad(set_to_none=False)
            each = -model.log_prob(batch)
            if torch.isfinite(each.mean()):
                each.mean().backward()
                optimizer.step()
                values.extend(each.tolist())
        return float(np.mean(values))

    return [one(epoch) for epoch in range(1, epochs + 1)]


def spoilt_loop(
    number=lambda epoch: epoch,
    zero="batch",
    step="inner",
    sign=1,
    skip="test",
    weight=len,
    divide=lambda total, items, last: total / items,
    number_of=lambda loss: loss.item(),
    late=False,
    on_bad="continue",
    carry=False,
):
    """The loop with one thing changed."""

    def train(model, batches, optimizer, epochs):
        history, total = [], 0.0
        for epoch in range(epochs):
            total, items, last = (total if carry else 0.0), 0, 0
            if zero == "epoch":
                optimizer.zero_grad()
            for last, batch in enumerate(batches.epoch(number(epoch))):  # noqa: B007
                loss = model.nll(batch)
                if skip == "test" and not torch.isfinite(loss):
                    if on_bad == "break":
                        break
                    if on_bad == "counted":
                        items += len(batch)
                    if on_bad == "added":
                        total += loss.item()
                    continue
                if late:
                    optimizer.step()
                if zero == "batch":
                    optimizer.zero_grad()
                (sign * loss).backward()
                if step == "inner" and not late:
                    optimizer.step()
                total += number_of(loss) * weight(batch)
                items += len(batch)
            if step == "outer":
                optimizer.step()
            history.append(divide(total, items, last))
        return history

    return (train,)


def per_batch(model, batches, optimizer, epochs):
    history = []
    for epoch in range(epochs):
        for batch in batches.epoch(epoch):
            loss = model.nll(batch)
            if torch.isfinite(loss):
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                history.append(loss.item())
    return history


LOOPS = {
    "report B's divisor": Wrong(
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total / last),
        {MEAN: "last index"},
    ),
    "mean over batches": Wrong(
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total / (last + 1)),
        {MEAN: "small last one"},
    ),
    "sum over batches": Wrong(
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total),
        {MEAN: "sum over batches"},
    ),
    "sum over items": Wrong(spoilt_loop(divide=lambda total, items, last: total), {MEAN: "sum over items"}),
    "not weighted": Wrong(spoilt_loop(weight=lambda batch: 1), {MEAN: "is a mean already"}),
    "sum never reset": Wrong(spoilt_loop(carry=True), {MEAN: "from epoch to epoch", FALLS: "rises"}),
    "gradients never zeroed": Wrong(spoilt_loop(zero="never"), {STEPS: "add up"}),
    "no step": Wrong(spoilt_loop(step="none"), {FALLS: "never move", STEPS: "optimizer.step()"}),
    "step after the inner loop": Wrong(spoilt_loop(step="outer"), {STEPS: "indent"}),
    "one step per epoch": Wrong(spoilt_loop(step="outer", zero="epoch"), {STEPS: "one step per epoch"}),
    "step before backward": Wrong(spoilt_loop(late=True), {STEPS: "before backward"}),
    "gradient ascent": Wrong(spoilt_loop(sign=-1), {FALLS: "rises", STEPS: "climb"}),
    "always epoch 0": Wrong(spoilt_loop(number=lambda epoch: 0), {OWN: "same order"}),
    "tensors kept": Wrong(spoilt_loop(number_of=lambda loss: loss), {PLAIN: "graph"}),
    "bad batch not skipped": Wrong(spoilt_loop(skip="none"), {TRACE: "spoils the weights"}),
    "epoch ends at a bad batch": Wrong(spoilt_loop(on_bad="break"), {TRACE: "continue"}),
    "bad batch counted": Wrong(spoilt_loop(on_bad="counted"), {TRACE: "divisor"}),
    "bad loss added": Wrong(spoilt_loop(on_bad="added"), {TRACE: "add the loss after the test"}),
    "one loss per batch": Wrong((per_batch,), {ONE: "after the inner loop", MEAN: "cannot be compared"}),
    "no return": Wrong(
        (lambda *args: loop(*args) and None,),
        dict.fromkeys((ONE, PLAIN, OWN, MEAN, FALLS, STEPS, TRACE), "return a list"),
    ),
}

# Interpolation ----------------------------------------------------------------------------------------------------

POINTS, ENDS, EVEN, RADIUS, ANGLES, BACKWARDS, PARALLEL = (
    "both give as many points as asked, (steps, d)",
    "both end points are included",
    "the straight path is evenly spaced",
    "the spherical path keeps the radius of its ends",
    "the spherical path turns by equal angles",
    "swapped ends give the same path backwards",
    "ends in one direction are no problem",
)


def lerp(start, end, steps):
    return torch.stack([torch.lerp(start, end, step / (steps - 1)) for step in range(steps)])


def slerp_by_frame(start, end, steps):
    """Turns within the plane of both ends, its radius going evenly from one to the other."""
    first = start / start.norm()
    across = end - (end @ first) * first
    if across.norm() < 1e-6 * end.norm():
        return lerp(start, end, steps)
    angle = torch.atan2(across.norm(), end @ first)
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    radius = (1 - weight) * start.norm() + weight * end.norm()
    return radius * (torch.cos(weight * angle) * first + torch.sin(weight * angle) * across / across.norm())


def bare_slerp(start, end, steps, clamp=False, unit=True, swap=False):
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    cosine = start @ end / (start.norm() * end.norm() if unit else 1.0)
    angle = torch.acos(cosine.clamp(-1, 1) if clamp else cosine)
    if swap:
        weight = 1 - weight
    return (torch.sin((1 - weight) * angle) * start + torch.sin(weight * angle) * end) / torch.sin(angle)


def without_end(start, end, steps):
    return start + torch.arange(steps, dtype=start.dtype)[:, None] / steps * (end - start)


def squared_weights(start, end, steps):
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None] ** 2
    return (1 - weight) * start + weight * end


def scaled_line(start, end, steps):
    line = linear(start, end, steps)
    weight = torch.linspace(0, 1, steps, dtype=start.dtype)[:, None]
    radius = (1 - weight) * start.norm() + weight * end.norm()
    return line / line.norm(dim=1, keepdim=True) * radius


def no_parallel_case(start, end, steps):
    return bare_slerp(start, end, steps, clamp=True)


WALKS = {
    "arange leaves out the end": Wrong((without_end, spherical), {ENDS: "arange", BACKWARDS: "backwards"}),
    "one point too many": Wrong((lambda a, b, n: linear(a, b, n + 1), spherical), {POINTS: "for 2 steps"}),
    "transposed": Wrong(
        (linear, lambda a, b, n: spherical(a, b, n).T), dict.fromkeys((POINTS,), "transposed")
    ),
    "end to start": Wrong((lambda a, b, n: linear(b, a, n), spherical), {ENDS: "from end to start"}),
    "squared weights": Wrong((squared_weights, spherical), {EVEN: "steps differ", BACKWARDS: "backwards"}),
    "a line for the arc": Wrong((linear, linear), {RADIUS: "cuts through", ANGLES: "not enough"}),
    "a line of the right length": Wrong((linear, scaled_line), {ANGLES: "not enough"}),
    "cosine not divided by lengths": Wrong(
        (linear, lambda a, b, n: bare_slerp(a, b, n, clamp=True, unit=False)),
        dict.fromkeys((ENDS, RADIUS, ANGLES, BACKWARDS), "divided by both lengths") | {PARALLEL: "Ω = 0"},
    ),
    "arc from end to start": Wrong((linear, lambda a, b, n: spherical(b, a, n)), {ENDS: "from end to start"}),
    "no case for Ω = 0": Wrong((linear, no_parallel_case), {PARALLEL: "Ω = 0"}),
    "no return": Wrong(
        (lambda *a: None, spherical),
        dict.fromkeys((POINTS, ENDS, EVEN, BACKWARDS, PARALLEL), "return"),
    ),
}

# Numbers of components --------------------------------------------------------------------------------------------

PASS, EXACT, STAYS, ROUNDS, WHOLE = (
    "components_for: the first k together pass the share",
    "components_for: reaching the share exactly is enough",
    "nearest_power_of_two: a power of two stays",
    "nearest_power_of_two: the logarithm is rounded",
    "both give whole numbers of Python's or numpy's kind",
)


def count(share, ratios):
    return int(np.searchsorted(np.cumsum(ratios), share)) + 1


def count_by_hand(share, ratios):
    total = 0.0
    for k, ratio in enumerate(ratios, 1):
        total += ratio
        if total >= share:
            return k
    return len(ratios)


def power(k):
    return 2 ** round(np.log2(k))


def power_by_hand(k):
    exponent = 0
    while 2 ** (exponent + 0.5) < k:
        exponent += 1
    return 2**exponent


COUNTS = {
    "position for count": Wrong((lambda s, r: count(s, r) - 1, power), {PASS: "from 0"}),
    "one too many": Wrong((lambda s, r: count(s, r) + 1, power), {PASS: "one too many"}),
    "more than, not at least": Wrong(
        (lambda s, r: int(np.argmax(np.cumsum(r) > s)) + 1, power), {EXACT: ">="}
    ),
    "no running sum": Wrong((lambda s, r: int(np.argmax(np.asarray(r) >= s)) + 1, power), {PASS: "cumsum"}),
    "always down": Wrong((count, lambda k: 2 ** math.floor(math.log2(k))), {ROUNDS: "rounds down"}),
    "always up": Wrong((count, lambda k: 2 ** math.ceil(math.log2(k))), {ROUNDS: "rounds up"}),
    "nearest count": Wrong(
        (count, lambda k: min((2**e for e in range(12)), key=lambda p: abs(p - k))),
        {ROUNDS: "not its logarithm"},
    ),
    "natural logarithm": Wrong(
        (count, lambda k: 2 ** round(math.log(k))), {STAYS: "already", ROUNDS: "natural logarithm"}
    ),
    "logarithm returned": Wrong((count, lambda k: round(math.log2(k))), {STAYS: "raise 2 to it"}),
    "floats": Wrong((count, lambda k: 2.0 ** round(math.log2(k))), {WHOLE: "float"}),
    "no return": Wrong((lambda s, r: None, power), dict.fromkeys((PASS, EXACT, WHOLE), "NoneType")),
}

EXERCISES = {
    lab01.coupling: ([(forward, inverse), (forward_by_index, inverse_by_index)], COUPLINGS),
    lab01.training_loop: ([(loop,), (loop_by_log_prob,)], LOOPS),
    lab01.interpolation: ([(linear, spherical), (lerp, slerp_by_frame)], WALKS),
    lab01.pca_components: ([(count, power), (count_by_hand, power_by_hand)], COUNTS),
}
CASES = [
    pytest.param(check, wrong, id=f"{check.__name__}: {name}")
    for check, (_, table) in EXERCISES.items()
    for name, wrong in table.items()
]


def hints_of(properties):
    """Missed property → hint; names are unique and hints stand exactly where a property is missed."""
    assert len({each.name for each in properties}) == len(properties)
    assert all(bool(each.hint) != each.passed for each in properties)
    return {each.name: each.hint for each in properties if not each.passed}


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_right_solutions_have_every_property(check):
    for solution in EXERCISES[check][0]:
        assert hints_of(check(*solution)) == {}


@pytest.mark.parametrize(("check", "wrong"), CASES)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(check, wrong):
    hints = hints_of(check(*wrong.solution))
    assert hints.keys() == wrong.missed.keys()
    for name, snippet in wrong.missed.items():
        assert snippet in hints[name] or hints[name] == AGAIN


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_stub_fails_cleanly_in_every_property(check):
    solutions, _ = EXERCISES[check]
    properties = check(*[stub] * len(solutions[0]))
    assert [each.passed for each in properties] == [False] * len(properties)
    assert [each.hint for each in properties] == [STUB] + [AGAIN] * (len(properties) - 1)


@pytest.mark.parametrize("check", EXERCISES, ids=lambda check: check.__name__)
def test_every_property_is_missed_by_some_wrong_solution(check):
    solutions, table = EXERCISES[check]
    properties = {each.name for each in check(*solutions[0])}
    assert properties == {name for wrong in table.values() for name in wrong.missed}
    assert len(table) >= 6


def test_the_librarys_own_coupling_passes_where_its_mask_is_multiplied():
    def there(z, mask, s, t):
        return nf.flows.MaskedAffineFlow(mask, t, s)(z)

    def back(x, mask, s, t):
        return nf.flows.MaskedAffineFlow(mask, t, s).inverse(x)

    assert hints_of(lab01.coupling(there, back)) == {}


def test_checks_are_the_same_every_time():
    torch.manual_seed(1)
    first = lab01.coupling(swapped(forward), inverse)
    torch.manual_seed(2)
    assert lab01.coupling(swapped(forward), inverse) == first
