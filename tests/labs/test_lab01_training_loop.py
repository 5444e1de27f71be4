"""Lab 01's check of the training loop, put through right and wrong solutions."""

import numpy as np
import pytest
import torch

from labkit.labs import lab01

ONE, PLAIN, OWN, MEAN, FALLS, STEPS, TRACE = (
    "one loss for each epoch",
    "losses are plain numbers",
    "every epoch gets its own batches",
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
        history.append(total / items if items else np.nan)
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
    divide=lambda total, items, last: total / items if items else np.nan,
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
                if skip == "too high" and not loss < torch.inf:
                    continue
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


RIGHT = {"the loop": (loop,), "by log_prob, epochs from 1": (loop_by_log_prob,)}
# Name → solution, and property → part of the hint that it must get.
WRONG = {
    "report B's divisor": (
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total / max(last, 1)),
        {MEAN: "last index"},
    ),
    "mean over batches": (
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total / (last + 1)),
        {MEAN: "small last one"},
    ),
    "sum over batches": (
        spoilt_loop(weight=lambda batch: 1, divide=lambda total, items, last: total),
        {MEAN: "sum over batches"},
    ),
    "sum over items": (spoilt_loop(divide=lambda total, items, last: total), {MEAN: "sum over items"}),
    "not weighted": (spoilt_loop(weight=lambda batch: 1), {MEAN: "is a mean already"}),
    "sum never reset": (spoilt_loop(carry=True), {MEAN: "from epoch to epoch"}),
    "gradients never zeroed": (spoilt_loop(zero="never"), {STEPS: "add up"}),
    "no step": (spoilt_loop(step="none"), {FALLS: "never move", STEPS: "optimizer.step()"}),
    "step after the inner loop": (spoilt_loop(step="outer"), {STEPS: "indent"}),
    "one step per epoch": (spoilt_loop(step="outer", zero="epoch"), {STEPS: "one step per epoch"}),
    "step before backward": (spoilt_loop(late=True), {STEPS: "before backward"}),
    "gradient ascent": (spoilt_loop(sign=-1), {FALLS: "rises", STEPS: "climb"}),
    "always epoch 0": (spoilt_loop(number=lambda epoch: 0), {OWN: "same order"}),
    "tensors kept": (spoilt_loop(number_of=lambda loss: loss), {PLAIN: "graph"}),
    "bad batch not skipped": (spoilt_loop(skip="none"), {TRACE: "spoils the weights"}),
    "epoch ends at a bad batch": (spoilt_loop(on_bad="break"), {TRACE: "continue"}),
    "bad batch counted": (spoilt_loop(on_bad="counted"), {TRACE: "divisor"}),
    "bad loss added": (spoilt_loop(on_bad="added"), {TRACE: "add the loss after the test"}),
    "-inf kept": (spoilt_loop(skip="too high"), {TRACE: "-inf"}),
    "no item, no loss": (spoilt_loop(divide=lambda total, items, last: total / max(items, 1)), {TRACE: "NaN, not 0"}),
    "limited": (spoilt_loop(number_of=lambda loss: min(loss.item(), 1e6)), {MEAN: "limit nothing"}),
    "64 items at most": (spoilt_loop(weight=lambda batch: min(len(batch), 64)), {MEAN: ""}),
    "no item, no divisor": (spoilt_loop(divide=lambda total, items, last: total / items), {TRACE: "divides by zero"}),
    "one loss per batch": ((per_batch,), {ONE: "after the inner loop", MEAN: "cannot be compared"}),
    "no return": (
        (lambda *args: loop(*args) and None,),
        dict.fromkeys((ONE, PLAIN, OWN, MEAN, FALLS, STEPS, TRACE), "return a list"),
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab01.training_loop, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab01.training_loop, *WRONG[name])


def test_stub_fails_cleanly_in_every_property(prove):
    prove.stub(lab01.training_loop, arguments=1)


def test_every_property_is_missed_by_some_wrong_solution(prove):
    prove.complete(lab01.training_loop, RIGHT, WRONG)
