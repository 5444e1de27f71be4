"""Training report E's VAE: this kit's loop beside those of a tutorial and of Lightning."""

from functools import partial

import pytest
import torch
from bench_device import DEVICE, ON_GPU, SAME, exact_convolutions, use_threads, usual_precision
from image_loaders import CORES, ready_loader
from ledger import contest, enter, in_turn, paired
from loops import as_in_a_tutorial, epoch, lightning_loops

from labkit import fit as training
from labkit import vae
from labkit.faces import ResidentBatches, to_input
from labkit.fit.compiled import compile_loss
from labkit.fit.step import GuardedStep
from labkit.vae import InstanceNormConfig, InstanceNormVAE, weighted_loss

pytestmark = pytest.mark.bench
BATCH, WIDTHS = (128, [32]) if ON_GPU else (64, [8, 32])
SIZE, WEIGHT, RATE = (64, 48), 1e-5, 1e-3


def fresh(width: int) -> InstanceNormVAE:
    torch.manual_seed(0)
    return InstanceNormVAE(InstanceNormConfig(size=SIZE, width=width)).to(DEVICE)


def adam(model: InstanceNormVAE) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), RATE)


def loss(model, batch):
    return weighted_loss(model, batch[0], WEIGHT, "mean")[0]


def fit(model, faces, precision: str) -> float:
    """An epoch of this kit's `fit`; the mean loss."""
    update = vae.update(model, kl_weight=WEIGHT, rate=RATE)
    batches = ResidentBatches(faces, batch_size=BATCH, device=DEVICE, normalise="symmetric")
    result = training.fit(model, update, batches, epochs=1, precision=precision, progress=False)
    return result.history["loss"].item()


def losses_of_equal_work(width: int, faces) -> dict[str, float]:
    """The mean loss of the first two steps, from the same weights, batches and noise, in float32.

    The second step's tells whether the first one's update was the same; from there on rounding grows with each step.
    Another kernel rounds otherwise, so all have torch's own layers here; that the model's own normalisation gives the
    same numbers is tested in float64 (tests/vae/test_nets.py).
    """
    faces = faces[: 2 * BATCH]
    data = ResidentBatches(faces, batch_size=BATCH, device=DEVICE, normalise="symmetric")
    batches = [(x,) for x in data.epoch(0)]
    with exact_convolutions():
        theirs = as_in_a_tutorial(fresh(width))
        torch.manual_seed(0)  # as `fit` does
        plain = epoch(theirs, batches, loss, adam(theirs))
        if lightning := lightning_loops():
            model = as_in_a_tutorial(fresh(width))
            torch.manual_seed(0)
            lightning.train(lightning.OneLoss(model, loss, RATE), ready_loader(batches))
            torch.testing.assert_close(model.state_dict(), theirs.state_dict(), check_device=False)
        fast = fit(as_in_a_tutorial(fresh(width)), faces, "float32")
    assert fast == pytest.approx(plain, rel=SAME)
    return {"plain_loss": plain, "fast_loss": fast}


@pytest.mark.parametrize("width", WIDTHS)
def test_an_epoch(images, width):
    """Equal work: the same model, batches and Adam; on a CPU JPEGs of 178×218 to 64×48."""
    use_threads(CORES)
    faces, loaders = images(SIZE, BATCH)
    more = losses_of_equal_work(width, faces)
    loops = {}
    for how, loader in loaders.items():
        model = as_in_a_tutorial(fresh(width))
        loops[f"tutorial loop {how}"] = partial(epoch, model, loader, loss, adam(model))
    if lightning := lightning_loops():
        theirs = as_in_a_tutorial(fresh(width))
        loops["Lightning's Trainer on decoded images"] = lambda: lightning.train(
            lightning.OneLoss(theirs, loss, RATE), loaders["from decoded images"]
        )
    contest(
        f"VAE of report E, width {width}",
        loops,
        "labkit",
        partial(fit, fresh(width), faces, usual_precision()),
        items=len(faces),
        rounds=3,
        more=more,
        precision=usual_precision(),
    )


@pytest.mark.skipif(ON_GPU, reason="a GPU records its steps")
@pytest.mark.parametrize(("width", "batch"), [(8, 16), (8, 64), (16, 32), (16, 64), (32, 64)])
def test_a_compiled_step(images, width, batch):
    """The loss and its gradient, as `fit` times them before it chooses, and a whole step beside a tutorial's.

    `first_seconds` is what compiling takes, less where torch's own cache on the disk has it already.
    """
    use_threads(CORES)
    x = to_input(images(SIZE, batch)[0][:batch])
    for precision in dict.fromkeys(("float32", usual_precision())):
        what = f"VAE of report E, width {width}, {batch} faces, {precision}"
        model = fresh(width)
        update = vae.update(model, kl_weight=WEIGHT, rate=RATE)
        step = GuardedStep(update, model, precision)
        compiled = compile_loss(update.loss), batch
        with step.trial(x) as seconds:
            first = seconds(compiled)
            times = in_turn({name: partial(seconds, way) for name, way in (("plain", None), ("fast", compiled))}, 15)
        row = paired(times["plain"], times["fast"]) | {"first_seconds": first}
        enter(f"{what}: the plain step against a compiled step", row)
        step.compiled = compiled
        theirs = as_in_a_tutorial(fresh(width))
        loops = {"plain": partial(epoch, theirs, [(x,)], loss, adam(theirs)), "fast": partial(step, x, batch)}
        times = in_turn(loops, 15)
        enter(f"{what}: a tutorial's step against labkit's, compiled", paired(times["plain"], times["fast"]))
