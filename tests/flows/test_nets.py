"""What a flow must be: invertible, with the log-determinant of its Jacobian, for every family."""

import math

import pytest
import torch

from labkit.errors import LabkitError
from labkit.flows.nets import ActNorm, Flow, FlowConfig, MaskedAffine, alternating_mask, build_flow, coupling_net

FAMILIES = {
    "realnvp": FlowConfig(6, 4),
    "realnvp bounded": FlowConfig(6, 4, scale_bound=1.5),
    "realnvp one layer": FlowConfig(6, 1),
    "glow": FlowConfig(6, 3, "glow"),
    "spline": FlowConfig(6, 3, "spline"),
}


@pytest.fixture(params=FAMILIES.values(), ids=FAMILIES.keys())
def flow(request) -> Flow:
    return random_flow(request.param)


def random_flow(config: FlowConfig) -> Flow:
    """A flow in float64 whose every weight has moved, so that no term is hidden by a zero."""
    torch.manual_seed(1)
    flow = build_flow(config).double()
    flow.initialise(2 + 3 * torch.randn(64, config.dim, dtype=torch.float64))
    with torch.no_grad():
        for weight in flow.parameters():
            weight.add_(0.2 * torch.randn_like(weight))
    return flow


def some_codes(count: int = 12, dim: int = 6) -> torch.Tensor:
    return 2 + 3 * torch.randn(count, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(2))


def test_round_trip(flow):
    x = some_codes()
    z, there = flow.inverse_and_log_det(x)
    back, and_back = flow.forward_and_log_det(z)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-9)
    torch.testing.assert_close(there + and_back, torch.zeros_like(there), rtol=0, atol=1e-9)


def test_log_determinant_is_that_of_the_jacobian(flow):
    x = some_codes()
    _, log_det = flow.inverse_and_log_det(x)
    for row, value in zip(x, log_det):
        jacobian = torch.autograd.functional.jacobian(lambda v: flow.inverse_and_log_det(v[None])[0][0], row)
        torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], value, rtol=0, atol=1e-9)


def known_coupling(bound):
    """A coupling of six features whose weights are waves, and two rows to give it."""
    mask, nets = alternating_mask(6, 1), [coupling_net(FlowConfig(6, 1)).double() for _ in range(2)]
    for i, weight in enumerate([*nets[0].parameters(), *nets[1].parameters()]):
        waves = torch.sin(torch.arange(1.0, weight.numel() + 1, dtype=torch.float64) * (i + 2))
        weight.data = 0.3 * waves.view_as(weight)
    rows = torch.linspace(-1.5, 1.5, 12, dtype=torch.float64).cos().view(2, 6)
    return MaskedAffine(mask, *nets, bound), mask, nets, rows


# By zuko 1.6, rounded to 9 digits: forward's moved features and log-determinants, then the inverse's.
ZUKO = {
    None: (
        ([0.0477187856, 0.900574274, 1.22877463, 0.894611287, 1.05478069, 0.276416989], [0.790250867, 0.571282927]),
        ([0.0939907381, 0.350999913, 0.718771659, 1.0929181, 0.558334855, 0.377742843], [-0.790250867, -0.571282927]),
    ),
    1.5: (
        ([0.0477187965, 0.895417452, 1.21030145, 0.894643364, 1.05267351, 0.272221261], [0.771017415, 0.560708466]),
        (
            [0.0939907235, 0.353217301, 0.728130184, 1.09288047, 0.559524635, 0.380959805],
            [-0.771017415, -0.560708466],
        ),
    ),
}


@pytest.mark.parametrize("bound", [None, 1.5])
def test_a_coupling_is_that_of_zuko(bound):
    layer, mask, _, z = known_coupling(bound)
    for (got, log_det), (moved, wanted) in zip((layer(z), layer.inverse(z)), ZUKO[bound], strict=True):
        assert torch.equal(got[:, mask == 1], z[:, mask == 1])
        assert got[:, mask == 0].flatten().tolist() == pytest.approx(moved, rel=1e-8)
        assert log_det.tolist() == pytest.approx(wanted, rel=1e-8)


@pytest.mark.parametrize("bound", [None, 1.5])
def test_those_numbers_are_what_zuko_gives(bound):
    zuko = pytest.importorskip("zuko", reason="no package zuko: pip install zuko")
    _, mask, nets, z = known_coupling(bound)
    limit = math.log(1e-3)

    def affine(kept):
        seen = torch.zeros(len(kept), 6, dtype=kept.dtype).index_copy(1, mask.nonzero()[:, 0], kept)
        shift, scale = (net(seen)[:, mask == 0] for net in nets)
        scale = scale if bound is None else bound * torch.tanh(scale / bound)
        # zuko limits a log-scale softly: this one comes out as `scale`.
        each = zuko.transforms.MonotonicAffineTransform(shift, scale / (1 - (scale / limit).abs()), slope=1e-3)
        return zuko.transforms.DependentTransform(each, 1)

    library = zuko.transforms.CouplingTransform(affine, mask.bool())
    for (got, log_det), (moved, wanted) in zip((library.call_and_ladj(z), library.inv.call_and_ladj(z)), ZUKO[bound]):
        assert got[:, mask == 0].flatten().tolist() == pytest.approx(moved, rel=1e-8)
        assert log_det.tolist() == pytest.approx(wanted, rel=1e-8)


def test_every_parameter_gets_a_gradient(flow):
    flow.nll(some_codes(200)).backward()
    dead = [name for name, weight in flow.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert dead == []


def test_log_prob_follows_the_change_of_variables(flow):
    x = some_codes()
    z, log_det = flow.inverse_and_log_det(x)
    loc, scale = flow.q0.loc, flow.q0.log_scale.exp()
    base = torch.distributions.Normal(loc, scale).log_prob(z).sum(1)
    torch.testing.assert_close(flow.log_prob(x), base + log_det)


def test_density_integrates_to_one():
    flow = random_flow(FlowConfig(2, 3))
    grid = torch.linspace(-60, 60, 801, dtype=torch.float64)
    points = torch.cartesian_prod(grid, grid)
    with torch.no_grad():
        mass = flow.log_prob(points).exp().sum() * (grid[1] - grid[0]) ** 2
    assert mass.item() == pytest.approx(1, abs=1e-3)


def test_samples_have_the_log_prob_they_come_with(flow):
    x, log_q = flow.sample(50, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(flow.log_prob(x), log_q, rtol=1e-7, atol=1e-7)


def test_sampling_is_seeded_and_temperature_shrinks_it():
    flow = random_flow(FlowConfig(6, 1))
    draw = [flow.sample(400, torch.Generator().manual_seed(0), t)[0] for t in (1.0, 1.0, 0.1)]
    assert torch.equal(draw[0], draw[1])
    assert draw[2].std(0).sum() < 0.5 * draw[0].std(0).sum()


@pytest.mark.parametrize("bound", [None, 1.5])
def test_an_untrained_realnvp_is_the_gaussian_of_the_data(bound):
    x = some_codes(500)
    fresh = build_flow(FlowConfig(6, 4, scale_bound=bound)).double().initialise(x)
    gaussian = torch.distributions.Normal(x.mean(0), x.std(0))
    torch.testing.assert_close(fresh.log_prob(x), gaussian.log_prob(x).sum(1), rtol=0, atol=1e-4)


def test_sampling_and_evaluation_never_set_an_actnorm():
    flow = build_flow(FlowConfig(6, 2))
    with torch.no_grad():
        flow.sample(8)
        flow.log_prob(some_codes().float())
    norms = [layer for layer in flow.flows if isinstance(layer, ActNorm)]
    assert norms and all(not norm.s.any() and not norm.t.any() for norm in norms)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(flow, dtype):
    flow, x = flow.to(dtype), some_codes().to(dtype)
    assert flow.forward_kld(x).dtype == dtype
    assert flow.log_prob(x).dtype == dtype
    assert flow.sample(3)[1].dtype == dtype


def test_an_overflow_stays_infinite_and_in_its_own_feature():
    class Huge(torch.nn.Module):
        def forward(self, z):
            return torch.full_like(z, -1e4)

    coupling = MaskedAffine(alternating_mask(4, 0), torch.nn.Identity(), Huge())
    z, log_det = coupling.inverse(torch.ones(1, 4))
    assert torch.equal(z[0, 0::2], torch.ones(2))
    assert z[0, 1::2].isposinf().all()
    assert log_det.item() == pytest.approx(2e4)


def test_masked_coupling_equals_that_of_normflows():
    import normflows as nf

    coupling = random_flow(FlowConfig(6, 1)).flows[0]
    theirs = nf.flows.MaskedAffineFlow(coupling.b[0], coupling.t, coupling.s).double()
    z = some_codes()
    for mine, reference in ((coupling.forward, theirs.forward), (coupling.inverse, theirs.inverse)):
        for a, b in zip(mine(z), reference(z)):
            torch.testing.assert_close(a, b)


def test_bounded_scales_stay_bounded():
    bounded, free = (random_flow(FlowConfig(6, 1, scale_bound=bound)) for bound in (0.5, None))
    with torch.no_grad():
        for flow in (bounded, free):
            for weight in flow.flows[0].s.parameters():
                weight.mul_(50)
    x = some_codes()
    limit = 3 * 0.5 + 1e-9
    assert bounded.flows[0].inverse(x)[1].abs().max() <= limit
    assert free.flows[0].inverse(x)[1].abs().max() > limit


@pytest.mark.parametrize("rows", [torch.ones(1, 6), torch.full((4, 6), math.nan)])
def test_initialise_refuses_what_would_give_nan(rows):
    with pytest.raises(LabkitError, match="at least two finite rows"):
        build_flow(FlowConfig(6, 2)).initialise(rows)


@pytest.mark.parametrize("wrong", [{"dim": 5}, {"dim": 0}, {"layers": 0}, {"family": "glof"}])
def test_config_refuses_nonsense(wrong):
    with pytest.raises(LabkitError, match="FlowConfig"):
        FlowConfig(**({"dim": 4, "layers": 2} | wrong))
