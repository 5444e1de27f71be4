"""Training report E's VAE: this kit's loop beside those of a tutorial and of Lightning."""

import pytest
import torch
from image_loaders import CORES, ready_loader, three_ways
from ledger import contest
from loops import epoch

from labkit.data import ResidentBatches
from labkit.models.vae_instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.training.vae import fit_vae, weighted_loss

pytestmark = pytest.mark.bench
BATCH, SIZE, WEIGHT, RATE = 64, (64, 48), 1e-5, 1e-3


def fresh(width: int) -> InstanceNormVAE:
    torch.manual_seed(0)
    return InstanceNormVAE(InstanceNormConfig(size=SIZE, width=width))


def loss(model, batch):
    return weighted_loss(model, batch[0], WEIGHT, "mean")[0]


def fit(model, faces) -> float:
    """An epoch of `fit_vae`; the mean loss."""
    result = fit_vae(model, faces, epochs=1, kl_weight=WEIGHT, rate=RATE, batch_size=BATCH)
    return result.history["loss"].item()


def losses_of_equal_work(width: int, faces) -> dict[str, float]:
    """The mean loss of the first two steps from the same weights, on the same batches with the same noise.

    The second step's tells whether the first one's update was the same; from there on rounding grows with each step.
    """
    from lightning_loops import OneLoss, train

    faces = faces[: 2 * BATCH]
    theirs, lightning = fresh(width), fresh(width)
    batches = [(x,) for x in ResidentBatches(faces, batch_size=BATCH, normalise="symmetric").epoch(0)]
    torch.manual_seed(0)  # as `fit` does
    plain = epoch(theirs, batches, loss, torch.optim.Adam(theirs.parameters(), RATE))
    torch.manual_seed(0)
    train(OneLoss(lightning, loss, RATE), ready_loader(batches))
    torch.testing.assert_close(lightning.state_dict(), theirs.state_dict())
    fast = fit(fresh(width), faces)
    assert fast == pytest.approx(plain, rel=1e-5)
    return {"plain_loss": plain, "fast_loss": fast}


@pytest.mark.parametrize("width", [8, 32])
def test_an_epoch(jpeg_folder, tmp_path, width):
    """Equal work: the same model, batches, Adam and float32; JPEGs of 178×218 to 64×48."""
    pytest.importorskip("pytorch_lightning", reason="Lightning is installed by `make bench`")
    from lightning_loops import OneLoss, train

    torch.set_num_threads(CORES)
    faces, from_jpegs, decoded = three_ways(jpeg_folder, SIZE, BATCH, tmp_path)
    more = losses_of_equal_work(width, faces)
    models = [fresh(width) for _ in range(4)]
    adams = [torch.optim.Adam(model.parameters(), RATE) for model in models]
    contest(
        f"VAE of report E, width {width}",
        {
            "tutorial loop from JPEGs": lambda: epoch(models[0], from_jpegs, loss, adams[0]),
            "tutorial loop from decoded images": lambda: epoch(models[1], decoded, loss, adams[1]),
            "Lightning's Trainer on decoded images": lambda: train(OneLoss(models[2], loss, RATE), decoded),
        },
        "fit_vae",
        lambda: fit(models[3], faces),
        items=len(faces),
        rounds=3,
        more=more,
    )
