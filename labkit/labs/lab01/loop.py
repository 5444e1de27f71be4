"""Check of the training loop, on a model so small that a second loop can be kept beside it."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from labkit.checking import WRITTEN, Hint, Missed, Property, close, drawing_seed, evaluate, explain, normal, weak

EPOCHS, RATE = 3, 0.1
HIGH = 3.0  # a rate at which the loss rises from step to step
LARGE = 1e8  # items whose loss is large, but a loss
SIZES = (4, 4, 2)  # the last batch is smaller, as it is with 400 faces in batches of 32
MORE, FEATURES = (300, 40, *[7] * 20, 1), 70  # other sizes, of which none may be written in


class _Gaussian(nn.Module):
    """A Gaussian of unit variance whose mean is learnt; it has the flow's names for its loss.

    In such units that densities are mostly above 1: a negative log-likelihood may be negative.
    """

    def __init__(self, features: int = 2, log_units: float = 6.0) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(features, dtype=torch.float64))
        self.log_units = log_units
        self.trains = True  # in no call was it in eval()

    def log_prob(self, x: Tensor) -> Tensor:
        return -0.5 * (x - self.mean).square().sum(1) + self.log_units

    def nll(self, x: Tensor) -> Tensor:
        self.trains &= self.training
        # Items of −∞ stand for a density without a bound: their loss is −∞.
        loss = -self.log_prob(x).mean()
        return -loss if bool((x == -math.inf).any()) else loss

    forward_kld = nll


class _Batches:
    """Items in batches, shuffled by epoch; `bad` takes the place of one more batch in the middle."""

    def __init__(
        self, bad: float | None = None, good: bool = True, sizes: tuple[int, ...] = SIZES, features: int = 2
    ) -> None:
        self.bad, self.good, self.sizes, self.asked, self.drawn = bad, good, sizes, [], 0
        self.count, self.batch_size = sum(sizes), sizes[0]
        self.data = 1.5 + normal(self.count, features, seed=8)
        self.count += 4 * (bad is not None)

    def __len__(self) -> int:
        return len(self.sizes) + (self.bad is not None)

    def of(self, epoch: int) -> list[Tensor]:
        order = torch.randperm(len(self.data), generator=torch.Generator().manual_seed(drawing_seed(epoch)))
        batches = list(self.data[order].split(list(self.sizes)))
        if self.bad is not None:
            batches.insert(1, torch.full((4, self.data.shape[1]), self.bad, dtype=torch.float64))
        return batches if self.good else batches[1:2]

    def epoch(self, number: int) -> Iterator[Tensor]:
        self.asked.append(int(number))
        for batch in self.of(int(number)):
            self.drawn += 1
            given = batch.clone()
            yield given
            if not torch.equal(given.nan_to_num(), batch.nan_to_num()):
                raise Missed(WRITTEN)


@dataclass(frozen=True)
class _Trained:
    """What became of one call of the student's loop."""

    losses: list[Any]
    weights: Tensor
    batches: _Batches
    trains: bool
    log_units: float

    @property
    def values(self) -> list[float]:
        return [float(torch.as_tensor(loss).detach()) for loss in self.losses]

    def numbers(self, needed: int) -> Tensor:
        if len(self.losses) != needed:
            raise Missed(f"there are {len(self.losses)} losses for {needed} epochs, so they cannot be compared.")
        return torch.tensor(self.values, dtype=torch.float64)


def training_loop(train: Callable[..., Any]) -> list[Property]:
    """Properties of a training loop by maximum likelihood.

    Args:
        train: (model, batches, optimizer, epochs) → the mean loss per item of each epoch, as floats; `model.nll`
            is a batch's mean loss, `batches.epoch(e)` yields the batches of epoch e. A batch whose loss is not
            finite leaves no trace in weights or losses.
    """

    def run(
        epochs: int = EPOCHS, rate: float = RATE, momentum: float = 0.0, log_units: float = 6.0, **given: Any
    ) -> _Trained:
        batches = _Batches(**given)
        model = _Gaussian(batches.data.shape[1], log_units)
        losses = train(model, batches, torch.optim.SGD(model.parameters(), rate, momentum), epochs)
        if not hasattr(losses, "__len__") or not hasattr(losses, "__iter__"):
            kind = "None: the `return` is missing" if losses is None else type(losses).__name__
            raise Missed(f"return a list with one loss per epoch, not {kind}.")
        trains = model.trains and model.training
        return _Trained(list(losses), model.mean.detach().clone(), batches, trains, log_units)

    return evaluate(
        {
            "one loss for each epoch": weak(lambda: _one_per_epoch(run())),
            "losses are plain numbers": weak(lambda: _plain(run())),
            "every epoch gets its own batches": lambda: _own_batches(run()) or _own_batches(run(7), 7),
            "each loss is the mean over the epoch's items": lambda: (
                _mean(run(rate=0.0))
                or _mean_on_the_way(run(rate=HIGH))
                or _mean_far_out(run)
                or _mean(run(rate=0.0, sizes=MORE, features=FEATURES))
            ),
            "the loss falls on an easy problem": lambda: _falls(run(epochs=20)),
            "each batch makes one step along its own gradient": weak(
                lambda: (
                    _steps(run())
                    or _all_of_them(run(bad=LARGE))
                    or _steps(run(sizes=MORE, features=FEATURES))
                    or _steps(run(rate=HIGH), HIGH)
                )
            ),
            "a batch with a non-finite loss leaves no trace": weak(lambda: _no_trace(run)),
        }
    )


def _one_per_epoch(done: _Trained) -> str | None:
    got = len(done.losses)
    if got == EPOCHS:
        return None
    if got == EPOCHS * len(SIZES):
        return "there is a loss for each batch: append once per epoch, after the inner loop."
    return f"{EPOCHS} epochs gave {got} losses: append one after each epoch's inner loop."


def _plain(done: _Trained) -> str | None:
    for loss in done.losses:
        if isinstance(loss, Tensor):
            return "losses are tensors, which keep every batch's graph in memory: add loss.item() instead."
        if not isinstance(loss, float | int):
            return f"a loss is a {type(loss).__name__}; make it a float."
    return None


def _own_batches(done: _Trained, epochs: int = EPOCHS) -> str | None:
    asked = done.batches.asked
    if len(asked) == epochs == len(set(asked)):
        return None
    if len(asked) > 1 and len(set(asked)) == 1:
        return f"epoch({asked[0]}) each time gives the same order each time: pass the epoch's number."
    return f"{epochs} epochs asked for the batches of epochs {asked}: ask once per epoch, with its number."


def _mean(done: _Trained) -> str | None:
    every = [done.batches.of(epoch) for epoch in done.batches.asked[:EPOCHS]]
    sizes = torch.tensor([len(batch) for batch in done.batches.of(0)], dtype=torch.float64)
    each = torch.stack([_losses(one, done.log_units) for one in every]) if every else torch.zeros(0, len(sizes))
    if done.numbers(EPOCHS).isnan().any():
        return "the loss of an epoch of finite losses is NaN: is a batch left out? A finite loss may be negative."
    n = len(sizes)
    expected = (each * sizes).sum(1) / sizes.sum()
    return explain(
        done.numbers(EPOCHS),
        expected,
        [
            (
                lambda: each.sum(1) / (n - 1),
                f"you divide by the last index, {n - 1}, as report B does, but there are {n} batches.",
            ),
            (
                lambda: (each * sizes).sum(1) / (sizes.sum() - 1),
                "you divide by the number of items less one: a last index counts from 0.",
            ),
            (
                lambda: each.mean(1),
                "in a mean over batches the small last one weighs too much: add loss * len(batch), and divide by "
                "the number of items.",
            ),
            (lambda: each.sum(1), "that is the sum over batches: divide by the number of items."),
            (lambda: (each * sizes).sum(1), "that is the sum over items: divide by their number."),
            (
                lambda: each.sum(1) / sizes.sum(),
                "a batch's loss is a mean already: multiply it by len(batch) first.",
            ),
            (lambda: each[:, -1], "that is the last batch's loss alone: add up all of them."),
            (
                lambda: (each * sizes).sum(1).cumsum(0) / sizes.sum(),
                "the sum goes on from epoch to epoch: set it to 0 where an epoch begins.",
            ),
        ],
        "add loss * len(batch) over the epoch's batches and divide by the number of items.",
    )


def _mean_far_out(run: Callable[..., _Trained]) -> "str | Hint | None":
    """Losses of a wide range, still losses: of items far away, and of densities far above 1."""
    far = _mean(run(rate=0.0, bad=LARGE)) or _mean(run(rate=0.0, log_units=LARGE))
    return far and "where losses are very large, or far below 0, the mean is off: limit nothing, leave none out."


def _mean_on_the_way(done: _Trained) -> str | None:
    """At a rate so high that the loss rises, each batch under the weights that it met."""
    if _steps(done, HIGH) is not None:
        return None  # another property tells that
    weights, expected, later = torch.zeros(2, dtype=torch.float64), [], []
    for batches in map(done.batches.of, done.batches.asked):
        totals = [0.0, 0.0]
        for batch in batches:
            moved = weights - HIGH * (weights - batch.mean(0))
            for i, met in enumerate((weights, moved)):
                loss = 0.5 * (batch - met).square().sum(1) - done.log_units
                totals[i] += loss.sum().item() / sum(SIZES)
            weights = moved
        expected.append(totals[0]), later.append(totals[1])
    return explain(
        done.numbers(EPOCHS),
        expected,
        [
            (lambda: later, "the loss is asked for again after the step: add the one that made the step."),
            (lambda: [min(expected[: i + 1]) for i in range(EPOCHS)], "give each epoch's loss, not the best so far."),
        ],
        "each epoch's number, in their order, is the mean of the losses that made its steps.",
    )


def _losses(batches: list[Tensor], log_units: float) -> Tensor:
    """The loss of each batch under the untrained model."""
    with torch.no_grad():
        return torch.stack([_Gaussian(batch.shape[1], log_units).nll(batch) for batch in batches])


def _falls(done: _Trained) -> str | None:
    if not done.losses:
        return "there is no loss to look at."
    first, last = done.values[0], done.values[-1]
    if last < first - 0.1:
        return None
    if not done.weights.any():
        return "the weights never move: loss.backward() fills the gradients, optimizer.step() uses them."
    if last > first + 0.1:
        return "the loss rises: minimise the negative log-likelihood."
    return f"it goes from {first:.3f} to {last:.3f} only."


def _steps(done: _Trained, rate: float = RATE) -> str | None:
    epochs = [done.batches.of(epoch) for epoch in done.batches.asked]
    return explain(
        done.weights,
        _replay(epochs, rate=rate),
        [
            (
                lambda: _replay(epochs, keep=1.0),
                "gradients add up over batches: optimizer.zero_grad() before each backward.",
            ),
            (
                lambda: torch.zeros_like(done.weights),
                "no weight ever moves: after loss.backward() comes optimizer.step(), with zero_grad() before both.",
            ),
            (
                lambda: _replay(epochs, late=True),
                "step comes before backward and uses the last batch's gradient.",
            ),
            (
                lambda: _replay([[batches[-1]] for batches in epochs]),
                "step stands after the inner loop: indent it.",
            ),
            (
                lambda: _replay_epochs(epochs),
                "there is one step per epoch: zero_grad, backward and step belong in the inner loop.",
            ),
            (lambda: _replay(epochs[:1]), "only the first epoch trains."),
            (
                lambda: _replay(epochs, rate=-RATE),
                "the weights climb: the loss is the negative log-likelihood.",
            ),
        ],
        "for each batch: zero_grad, loss = model.nll(batch), backward, step, in this order and once each.",
    )


def _all_of_them(done: _Trained) -> str | None:
    """A batch whose loss is large, yet finite, takes its step like any other; the model is left as it came."""
    if not done.trains:
        return "the model is put into eval(): it trains in train(), as it came."
    if _steps(done) is None:
        return None
    return f"a batch near {LARGE:,.0f} takes another step: leave out non-finite losses alone, and clip nothing."


def _replay(epochs: list[list[Tensor]], keep: float = 0.0, late: bool = False, rate: float = RATE) -> Tensor:
    """Weights after plain gradient steps; `keep` adds the gradients up, `late` uses each one batch late.

    The gradient of the Gaussian's loss is its mean less the batch's.
    """
    weights = gradient = torch.zeros(epochs[0][0].shape[1] if epochs else 2, dtype=torch.float64)
    for batch in [batch for batches in epochs for batch in batches]:
        fresh = keep * gradient + weights - batch.mean(0)
        weights = weights - rate * (gradient if late else fresh)
        gradient = fresh
    return weights


def _replay_epochs(epochs: list[list[Tensor]]) -> Tensor:
    """Weights after one step per epoch along the sum of its batches' gradients."""
    weights = 0.0
    for batches in epochs:
        weights = weights - RATE * sum(weights - batch.mean(0) for batch in batches)
    return weights


def _no_trace(run: Callable[..., _Trained]) -> str | None:
    """A loop that skips a bad batch ends where it would have ended without that batch."""
    still = run(rate=0.0)
    sound = len(still.losses) == EPOCHS and _mean(still) is None  # else another property tells that
    for bad, loss in (("NaN", math.nan), ("inf", math.inf), ("-inf", -math.inf)):
        clean, dirty = run(momentum=0.9), run(bad=loss, momentum=0.9)
        if not bool(dirty.weights.isfinite().all()):
            return f"a batch whose loss is {bad} spoils the weights: test torch.isfinite(loss) before the step."
        if dirty.batches.drawn < EPOCHS * len(dirty.batches):
            return "the epoch ends at the bad batch: skip that one alone, with continue."
        if not close(dirty.weights, clean.weights):
            return "the bad batch changes where the weights end: no backward and no step for it."
        if not all(map(math.isfinite, dirty.values)):
            return f"the bad batch's {bad} is in the epoch's loss: add the loss after the test."
        comparable = len(dirty.losses) == EPOCHS and sound
        if comparable and not close(dirty.numbers(EPOCHS), clean.numbers(EPOCHS)):
            return "the bad batch's items are counted in the divisor: count the items of the batches used."
    try:
        alone = run(bad=math.nan, good=False)
    except ZeroDivisionError:
        return "an epoch without one finite batch divides by zero items: its mean is NaN."
    if hint := _plain(alone):
        return hint
    if sound and not all(map(math.isnan, alone.values)):
        return f"an epoch without one finite batch has no mean loss: NaN, not {alone.values[0]:g}."
    return None
