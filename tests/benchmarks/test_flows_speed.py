"""Training a RealNVP: this kit's engine and loop beside the loops that a tutorial and Lightning would write."""

import pytest
import torch
from image_loaders import decoded_loader, ready_loader
from ledger import contest
from loops import epoch

from labkit.data import ResidentBatches
from labkit.models.flows import Flow, FlowConfig, build_flow
from labkit.training.flows import fit_flow

pytestmark = pytest.mark.bench
BATCH, RATE, EPOCHS = 32, 1e-4, 10


def fresh(config: FlowConfig, codes: torch.Tensor) -> Flow:
    torch.manual_seed(0)
    return build_flow(config).initialise(codes)


def loss(flow, batch):
    return flow.forward_kld(batch[0])


def losses_of_equal_work(config: FlowConfig, codes: torch.Tensor) -> dict[str, float]:
    """The mean NLL of the first epoch in nats, from the same weights on the same batches."""
    from lightning_loops import OneLoss, train

    flow, lightning = fresh(config, codes), fresh(config, codes)
    batches = [(x,) for x in ResidentBatches(codes, batch_size=BATCH).epoch(0)]
    plain = epoch(flow, batches, loss, torch.optim.Adam(flow.parameters(), RATE))
    train(OneLoss(lightning, loss, RATE), ready_loader(batches))
    torch.testing.assert_close(lightning.state_dict(), flow.state_dict())
    fast = fit_flow(codes.numpy(), config, epochs=1, rate=RATE, batch_size=BATCH)[1].history["nll"].item()
    assert fast == pytest.approx(plain, rel=1e-5)
    return {"plain_loss": plain, "fast_loss": fast}


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", [8, 14])
def test_epochs_of_a_flow(layers, threads):
    """Equal work: 400 codes of 64 numbers, batch 32, as many Adam steps in float32, a new flow each time."""
    pytest.importorskip("pytorch_lightning", reason="Lightning is installed by `make bench`")
    from lightning_loops import OneLoss, train

    torch.set_num_threads(threads)
    codes = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    config = FlowConfig(64, layers)
    loader = decoded_loader(codes, batch_size=BATCH)

    def plain() -> None:
        flow = fresh(config, codes)
        optimizer = torch.optim.Adam(flow.parameters(), RATE)
        for _ in range(EPOCHS):
            epoch(flow, loader, loss, optimizer)

    contest(
        f"RealNVP K={layers}, {threads} threads",
        {
            "tutorial loop": plain,
            "Lightning's Trainer": lambda: train(OneLoss(fresh(config, codes), loss, RATE), loader, EPOCHS),
        },
        "fit_flow",
        lambda: fit_flow(codes.numpy(), config, epochs=EPOCHS, rate=RATE, batch_size=BATCH),
        items=EPOCHS * len(codes),
        rounds=5,
        more=losses_of_equal_work(config, codes),
    )
