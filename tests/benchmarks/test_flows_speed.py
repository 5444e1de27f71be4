"""Training a RealNVP: this kit's engine and loop beside the loops that a tutorial and Lightning would write."""

import pytest
import torch
from bench_device import DEVICE, ON_GPU, SAME, use_threads
from image_loaders import CORES, decoded_loader, ready_loader
from ledger import contest
from loops import epoch, lightning_loops

from labkit import fit as training
from labkit import flows
from labkit.faces import ResidentBatches
from labkit.flows import Flow, FlowConfig, build_flow

pytestmark = pytest.mark.bench
BATCH, RATE = 32, 1e-4
EPOCHS, ROUNDS, THREADS = (20, 3, [CORES]) if ON_GPU else (10, 5, [1, CORES])


def fresh(config: FlowConfig, codes: torch.Tensor) -> Flow:
    torch.manual_seed(0)
    return build_flow(config).initialise(codes).to(DEVICE)


def loss(flow, batch):
    return flow.forward_kld(batch[0])


def losses_of_equal_work(config: FlowConfig, codes: torch.Tensor) -> dict[str, float]:
    """The mean NLL of the first epoch in nats, from the same weights on the same batches."""
    flow = fresh(config, codes)
    batches = [(x,) for x in ResidentBatches(codes, batch_size=BATCH, device=DEVICE).epoch(0)]
    plain = epoch(flow, batches, loss, torch.optim.Adam(flow.parameters(), RATE))
    if lightning := lightning_loops():
        theirs = fresh(config, codes)
        lightning.train(lightning.OneLoss(theirs, loss, RATE), ready_loader(batches))
        torch.testing.assert_close(theirs.state_dict(), flow.state_dict(), check_device=False)
    fast = fit(config, codes, epochs=1)
    assert fast == pytest.approx(plain, rel=SAME)
    return {"plain_loss": plain, "fast_loss": fast}


def fit(config: FlowConfig, codes: torch.Tensor, epochs: int) -> float:
    """Train a new flow by its engine and this kit's `fit`; the NLL of the first epoch in nats."""
    batches = ResidentBatches(codes, batch_size=BATCH, device=DEVICE)
    with flows.fused(fresh(config, codes)) as engine:
        update = flows.update(engine, rate=RATE)
        return training.fit(engine, update, batches, epochs=epochs, progress=False).history["nll"][0]


@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("layers", [8, 14])
def test_epochs_of_a_flow(layers, threads):
    """Equal work: 400 codes of 64 numbers, batch 32, as many Adam steps in float32, a new flow each time."""
    use_threads(threads)
    codes = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    config = FlowConfig(64, layers)
    loader = decoded_loader(codes, batch_size=BATCH)

    def plain() -> None:
        flow = fresh(config, codes)
        optimizer = torch.optim.Adam(flow.parameters(), RATE)
        for _ in range(EPOCHS):
            epoch(flow, loader, loss, optimizer)

    loops = {"tutorial loop": plain}
    if lightning := lightning_loops():
        loops["Lightning's Trainer"] = lambda: lightning.train(
            lightning.OneLoss(fresh(config, codes), loss, RATE), loader, EPOCHS
        )
    contest(
        f"RealNVP K={layers}" if ON_GPU else f"RealNVP K={layers}, {threads} threads",
        loops,
        "labkit",
        lambda: fit(config, codes, EPOCHS),
        items=EPOCHS * len(codes),
        rounds=ROUNDS,
        more=losses_of_equal_work(config, codes),
    )
