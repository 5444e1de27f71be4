"""Fitting a flow: it learns, it keeps what it is told to keep, and noise is what it says."""

import numpy as np
import pytest
import torch

from labkit.faces.batches import ResidentBatches
from labkit.fit import fit
from labkit.flows.engine import FusedRealNVP
from labkit.flows.nets import Flow, FlowConfig, build_flow
from labkit.flows.training import fused, held_out, update


def crescent(count: int = 256, seed: int = 0) -> np.ndarray:
    """A curved density with correlations, which no Gaussian fits: (count, 4)."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(count, 4))
    x[:, 1] = 0.3 * x[:, 1] + x[:, 0] ** 2
    return x.astype(np.float32)


def fit_flow(codes, config, *, epochs, seed=0, look_at=None, watch=None, **options):
    """A flow's training as a notebook writes it."""
    torch.manual_seed(seed)
    flow = build_flow(config).initialise(torch.as_tensor(codes))
    batches = ResidentBatches(codes, batch_size=32, seed=seed)
    looks = {"validate": held_out(look_at or {}), "validate_every": 5, "watch": watch, "seed": seed}
    with fused(flow) as engine:
        assert isinstance(engine, FusedRealNVP) == (config.family == "realnvp")
        return flow, fit(
            engine, update(engine, codes=codes, **options), batches, epochs=epochs, progress=False, **looks
        )


@pytest.mark.parametrize("family", ["realnvp", "glow", "spline"])
def test_training_beats_the_gaussian_on_held_out_data(family):
    unseen = crescent(seed=1)
    config = FlowConfig(4, 4, family, hidden=16)
    untrained, _ = fit_flow(crescent(), config, epochs=1, rate=0.0)
    flow, result = fit_flow(crescent(), config, epochs=15, rate=5e-3, look_at={"held_out": unseen})
    assert isinstance(flow, Flow)
    rows = torch.as_tensor(unseen)
    before, after = (-model.log_prob(rows).mean().item() for model in (untrained, flow))
    assert after < before - 0.2
    last = result.history.iloc[-1]
    assert last.held_out == pytest.approx(after, abs=1e-4)
    assert last.held_out_median == pytest.approx(-flow.log_prob(rows).median().item(), abs=0.2)


def test_the_best_watched_epoch_is_kept():
    unseen = crescent(40, seed=1)
    _, result = fit_flow(
        crescent(40), FlowConfig(4, 6, hidden=64), epochs=120, rate=5e-3, look_at={"v": unseen}, watch="v"
    )
    flow, _ = fit_flow(
        crescent(40), FlowConfig(4, 6, hidden=64), epochs=120, rate=5e-3, look_at={"v": unseen}, watch="v"
    )
    assert result.best_epoch < 120
    kept = -flow.log_prob(torch.as_tensor(unseen)).mean().item()
    assert kept == pytest.approx(result.history.v.min(), abs=1e-4)


def test_noise_blurs_the_shape_and_keeps_the_variance():
    """The crescent's bend, the correlation of x₁ with x₀², all but goes under a blur of s = 2; no variance does."""
    codes = crescent(1024)
    bend = {}
    for noise in (0.0, 2.0):
        config = FlowConfig(4, 4, hidden=16)
        flow, _ = fit_flow(codes, config, epochs=10, rate=5e-3, noise=noise)
        drawn = flow.sample(4000, torch.Generator().manual_seed(0))[0].numpy()
        bend[noise] = np.corrcoef(drawn[:, 0] ** 2, drawn[:, 1])[0, 1]
    np.testing.assert_allclose(drawn.var(0), codes.var(0), rtol=0.25)
    assert bend[0.0] > 0.6
    assert bend[2.0] < 0.5 * bend[0.0]


def test_the_seed_decides_everything():
    flows = [fit_flow(crescent(), FlowConfig(4, 2), epochs=2, noise=0.1, seed=s)[0] for s in (0, 0, 1)]
    rows = torch.as_tensor(crescent())
    values = [flow.log_prob(rows) for flow in flows]
    assert torch.equal(values[0], values[1])
    assert not torch.equal(values[0], values[2])


def test_what_was_learnt_comes_back_where_training_stops_half_way():
    flow = build_flow(FlowConfig(4, 2)).initialise(torch.as_tensor(crescent()))
    rows = torch.as_tensor(crescent())
    before = flow.log_prob(rows)
    with pytest.raises(KeyboardInterrupt), fused(flow) as engine:
        with torch.no_grad():
            engine.weights += 0.01
        raise KeyboardInterrupt
    torch.testing.assert_close(flow.log_prob(rows), engine.log_prob(rows), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(flow.log_prob(rows), before)
