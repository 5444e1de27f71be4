"""Training a DCGAN: this kit's loop beside those of the widespread tutorial and of Lightning."""

import pytest
import torch
from image_loaders import CORES, ready_loader, three_ways
from ledger import contest
from loops import GAN_ADAM, gan_adams, gan_epoch

from labkit.data import ResidentBatches
from labkit.models.dcgan import DCGAN, DCGANConfig
from labkit.training.gan import fit_gan

pytestmark = pytest.mark.bench
BATCH, SIZE = 64, (64, 64)


def fresh(width: int) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(DCGANConfig(width=width))


def fit(model: DCGAN, faces) -> list[float]:
    """An epoch of `fit_gan`, without the monitor, which the other loops do not have; both mean losses in nats."""
    options = {"rate": GAN_ADAM["lr"], "beta1": GAN_ADAM["betas"][0], "batch_size": BATCH, "health": None}
    history = fit_gan(model, faces, epochs=1, **options).history
    return history[["discriminator", "generator"]].to_numpy()[0].tolist()


def losses_of_equal_work(width: int, faces) -> dict[str, float]:
    """The mean losses of the first two steps in nats, from the same weights, batches and noise.

    The second step's depend on both updates of the first. With each step more, the game of the two nets makes about
    ten times as much of a difference in rounding.
    """
    from lightning_loops import TwoLosses, train

    theirs, lightning, few = fresh(width), fresh(width), faces[: 2 * BATCH]
    batches = [(real,) for real in ResidentBatches(few, batch_size=BATCH, normalise="symmetric").epoch(0)]
    torch.manual_seed(0)  # as `fit` does
    plain = gan_epoch(theirs, batches, gan_adams(theirs))
    torch.manual_seed(0)
    train(TwoLosses(lightning), ready_loader(batches))
    torch.testing.assert_close(lightning.state_dict(), theirs.state_dict())
    fast = fit(fresh(width), few)
    assert fast == pytest.approx(plain, rel=1e-5)
    return {
        f"{who}_loss_{net}": loss
        for who, pair in (("plain", plain), ("fast", fast))
        for net, loss in zip("dg", pair)
    }


@pytest.mark.parametrize("width", [16, 64])
def test_an_epoch(jpeg_folder, tmp_path, width):
    """Equal work: the same model, both updates, each on fakes of its own, in float32; JPEGs of 178×218 to 64×64."""
    pytest.importorskip("pytorch_lightning", reason="Lightning is installed by `make bench`")
    from lightning_loops import TwoLosses, train

    torch.set_num_threads(CORES)
    faces, from_jpegs, decoded = three_ways(jpeg_folder, SIZE, BATCH, tmp_path)
    more = losses_of_equal_work(width, faces)
    models = [fresh(width) for _ in range(4)]
    adams = [gan_adams(model) for model in models]
    contest(
        f"DCGAN, width {width}",
        {
            "tutorial loop from JPEGs": lambda: gan_epoch(models[0], from_jpegs, adams[0]),
            "tutorial loop from decoded images": lambda: gan_epoch(models[1], decoded, adams[1]),
            "Lightning's Trainer on decoded images": lambda: train(TwoLosses(models[2]), decoded),
        },
        "fit_gan",
        lambda: fit(models[3], faces),
        items=len(faces),
        rounds=3,
        more=more,
    )
