"""The fused engine is the same function as the visible model, in value, in gradient and through training."""

import pytest
import torch

from labkit.errors import LabkitError
from labkit.flows.density import ROWS_AT_A_TIME
from labkit.flows.engine import FusedRealNVP
from labkit.flows.nets import Flow, FlowConfig, build_flow

CONFIGS = [FlowConfig(8, layers, scale_bound=bound) for layers in (1, 2, 5) for bound in (None, 1.5)]


def moved_flow(config: FlowConfig) -> Flow:
    torch.manual_seed(3)
    flow = build_flow(config).double().initialise(codes(config.dim, 64))
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
    return flow


def codes(dim: int, count: int = 16) -> torch.Tensor:
    return torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(4))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_values_agree(config):
    flow, x = moved_flow(config), codes(config.dim)
    torch.testing.assert_close(FusedRealNVP(flow).log_prob(x), flow.log_prob(x), rtol=0, atol=1e-10)


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_gradients_agree(config):
    flow, x = moved_flow(config), codes(config.dim)
    engine = FusedRealNVP(flow)
    row_weights = torch.linspace(-1, 2, len(x), dtype=x.dtype)
    in_x = []
    for model in (engine, flow):
        seen = x.clone().requires_grad_()
        (model.log_prob(seen) @ row_weights).backward()
        in_x.append(seen.grad)
    torch.testing.assert_close(*in_x, rtol=0, atol=1e-10)
    with torch.no_grad():  # the engine's layout is linear in the weights, so it carries gradients over as well
        for weight in engine.parameters():
            weight.copy_(weight.grad)
        carried = engine.write_to(build_flow(config).double())
    for (name, ours), theirs in zip(flow.named_parameters(), carried.parameters()):
        live = ours.grad != 0
        torch.testing.assert_close(theirs[live], ours.grad[live], rtol=0, atol=1e-10, msg=name)


def test_passes_do_not_disturb_each_other():
    engine = FusedRealNVP(moved_flow(CONFIGS[4]))
    batches = codes(8, 48).split(16)
    alone = []
    for batch in batches:
        engine.zero_grad()
        engine.nll(batch).backward()
        alone.append([weight.grad.clone() for weight in engine.parameters()])
    losses = [engine.nll(batch) for batch in batches]  # three forward passes, and an evaluation, before a backward
    with torch.no_grad():
        engine.log_prob(batches[0] + 1)
    for loss, expected in zip(losses, alone):
        engine.zero_grad()
        loss.backward()
        for weight, gradient in zip(engine.parameters(), expected):
            torch.testing.assert_close(weight.grad, gradient, rtol=0, atol=0)


def test_a_later_pass_leaves_an_earlier_gradient_alone():
    engine, x = FusedRealNVP(moved_flow(CONFIGS[2])), codes(8).requires_grad_()
    inputs = [x, engine.weights]
    first = torch.autograd.grad(engine.nll(x), inputs)
    kept = [gradient.clone() for gradient in first]
    torch.autograd.grad(engine.nll(x + 1), inputs)
    torch.testing.assert_close(list(first), kept, rtol=0, atol=0)


def test_weights_that_lie_elsewhere_are_found():
    engine, x = FusedRealNVP(moved_flow(CONFIGS[2])), codes(8)
    engine.nll(x).backward()
    engine.float().double()
    with torch.no_grad():
        engine.weights.mul_(1.1)
    torch.testing.assert_close(engine.log_prob(x), engine.to_flow().log_prob(x), rtol=0, atol=1e-10)


def test_many_rows_without_a_gradient_are_as_with_one():
    engine, x = FusedRealNVP(moved_flow(CONFIGS[2])), codes(8, 2 * ROWS_AT_A_TIME + 5)
    with torch.no_grad():
        found = engine.log_prob(x)
    torch.testing.assert_close(found, engine.log_prob(x).detach(), rtol=0, atol=1e-12)


@pytest.mark.parametrize("retain", [False, True])
def test_a_graph_is_walked_once(retain):
    loss = FusedRealNVP(moved_flow(CONFIGS[2])).nll(codes(8))
    loss.backward(retain_graph=retain)
    with pytest.raises(RuntimeError, match="keeps no graph" if retain else "second time"):
        loss.backward()


@pytest.mark.parametrize("bound", [None, 1.5])
def test_two_hundred_steps_of_training_agree(bound):
    config = FlowConfig(8, 4, scale_bound=bound)
    flow = moved_flow(config)
    engine = FusedRealNVP(flow)
    x = codes(8, 200)
    for model in (flow, engine):
        optimizer = torch.optim.Adam(model.parameters(), 1e-3)
        for step in range(200):
            optimizer.zero_grad()
            model.nll(x[(step * 16) % 192 :][:16]).backward()
            optimizer.step()
    torch.testing.assert_close(engine.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-10)
    written = engine.to_flow()
    torch.testing.assert_close(written.log_prob(x), flow.log_prob(x), rtol=0, atol=1e-10)


def test_engine_does_not_share_storage_with_the_flow():
    flow = moved_flow(CONFIGS[2])
    before, x = flow.log_prob(codes(8)), codes(8)
    with torch.no_grad():
        for weight in FusedRealNVP(flow).parameters():
            weight.add_(1)
    assert torch.equal(flow.log_prob(x), before)


def test_other_flows_are_refused():
    with pytest.raises(LabkitError, match="realnvp"):
        FusedRealNVP(build_flow(FlowConfig(4, 1, "glow")))
    with pytest.raises(LabkitError, match="write_to"):
        FusedRealNVP(build_flow(FlowConfig(4, 1))).write_to(build_flow(FlowConfig(4, 2)))
