"""Training a RealNVP: the kit's engine and loop beside the loop that a tutorial would write."""

import pytest
import torch
from ledger import enter, paired
from torch.utils.data import DataLoader, TensorDataset

from labkit.models.flows import FlowConfig, build_flow
from labkit.training.flows import fit_flow

pytestmark = pytest.mark.bench


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("layers", [8, 14])
def test_epochs_of_a_flow(layers, threads):
    """Equal work: 400 codes of 64 numbers, batch 32, the same number of Adam steps in float32."""
    torch.set_num_threads(threads)
    codes = torch.randn(400, 64, generator=torch.Generator().manual_seed(0))
    config, epochs = FlowConfig(64, layers), 3

    def plain() -> None:
        torch.manual_seed(0)
        flow = build_flow(config).initialise(codes)
        optimizer = torch.optim.Adam(flow.parameters(), lr=1e-4)
        for _ in range(epochs):
            total = 0.0
            for (batch,) in DataLoader(TensorDataset(codes), batch_size=32, shuffle=True):
                optimizer.zero_grad()
                loss = flow.forward_kld(batch)
                if torch.isfinite(loss):
                    loss.backward()
                    optimizer.step()
                    total += loss.item()

    def ours() -> None:
        fit_flow(codes.numpy(), config, epochs=epochs)

    enter(
        f"RealNVP K={layers}, {threads} threads: tutorial loop against fit_flow",
        paired(plain, ours, rounds=7),
    )
