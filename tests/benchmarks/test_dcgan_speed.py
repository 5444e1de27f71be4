"""Training a DCGAN: this kit's loop beside those of the widespread tutorial and of Lightning."""

from functools import partial

import pytest
import torch
from bench_device import DEVICE, ON_GPU, SAME, exact_convolutions, use_threads, usual_precision
from image_loaders import CORES, ready_loader
from ledger import contest
from loops import GAN_ADAM, as_in_a_tutorial, gan_adams, gan_epoch, lightning_loops

from labkit import fit as training
from labkit.faces import ResidentBatches
from labkit.gan import DCGAN, DCGANConfig, updates

pytestmark = pytest.mark.bench
BATCH, WIDTHS = (128, [64]) if ON_GPU else (64, [16, 64])
SIZE = (64, 64)


def fresh(width: int) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(DCGANConfig(width=width)).to(DEVICE)


def fit(model: DCGAN, faces, precision: str) -> list[float]:
    """An epoch of this kit's `fit`, without the monitor, which others do not have; both mean losses in nats."""
    steps = updates(model, rate=GAN_ADAM["lr"], beta1=GAN_ADAM["betas"][0])
    batches = ResidentBatches(faces, batch_size=BATCH, device=DEVICE, normalise="symmetric")
    history = training.fit(model, steps, batches, epochs=1, precision=precision, progress=False).history
    return history[["discriminator", "generator"]].to_numpy()[0].tolist()


def losses_of_equal_work(width: int, faces) -> dict[str, float]:
    """The mean losses of the first two steps in nats, from the same weights, batches and noise, in float32.

    The second step's depend on both updates of the first. With each step more, the game of the two nets makes about
    ten times as much of a difference in rounding. Another memory format rounds otherwise, so all have torch's usual
    one here; that the model's own gives the same numbers is tested in float64 (tests/fit/).
    """
    few = faces[: 2 * BATCH]
    data = ResidentBatches(few, batch_size=BATCH, device=DEVICE, normalise="symmetric")
    batches = [(real,) for real in data.epoch(0)]
    with exact_convolutions():
        theirs = as_in_a_tutorial(fresh(width))
        torch.manual_seed(0)  # as `fit` does
        plain = gan_epoch(theirs, batches, gan_adams(theirs))
        if lightning := lightning_loops():
            model = as_in_a_tutorial(fresh(width))
            torch.manual_seed(0)
            lightning.train(lightning.TwoLosses(model), ready_loader(batches))
            torch.testing.assert_close(model.state_dict(), theirs.state_dict(), check_device=False)
        fast = fit(as_in_a_tutorial(fresh(width)), few, "float32")
    assert fast == pytest.approx(plain, rel=SAME)
    return {
        f"{who}_loss_{net}": loss for who, pair in (("plain", plain), ("fast", fast)) for net, loss in zip("dg", pair)
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_an_epoch(images, width):
    """Equal work: the same model, both updates, each on fakes of its own; on a CPU JPEGs of 178×218 to 64×64."""
    use_threads(CORES)
    faces, loaders = images(SIZE, BATCH)
    more = losses_of_equal_work(width, faces)
    loops = {}
    for how, loader in loaders.items():
        model = as_in_a_tutorial(fresh(width))
        loops[f"tutorial loop {how}"] = partial(gan_epoch, model, loader, gan_adams(model))
    if lightning := lightning_loops():
        theirs = as_in_a_tutorial(fresh(width))
        loops["Lightning's Trainer on decoded images"] = lambda: lightning.train(
            lightning.TwoLosses(theirs), loaders["from decoded images"]
        )
    contest(
        f"DCGAN, width {width}",
        loops,
        "labkit",
        partial(fit, fresh(width), faces, usual_precision()),
        items=len(faces),
        rounds=3,
        more=more,
        precision=usual_precision(),
    )
