"""Flow matching: path, loss, pairing, solvers, likelihood and guidance, each against what is known in closed form."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

from labkit import matching
from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import fit


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def gaussian():
    """The exact field for data N(mean, spread²) in three dimensions."""
    mean, spread = torch.tensor([1.0, -0.5, 0.0]), torch.tensor([0.5, 2.0, 1.3])
    return matching.GaussianVelocity(mean.double(), spread.double())


@pytest.fixture
def curved():
    """A small field that is neither linear nor the same at all times, with random weights."""
    flow = matching.CodeFlow(matching.CodeConfig(4, hidden=16, layers=2, labels=2)).double()
    for i, parameter in enumerate(flow.parameters()):
        parameter.data = normal(*parameter.shape, seed=i) / 3
    return flow


def crescent(count=256, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, 4))
    x[:, 1] = 0.3 * x[:, 1] + x[:, 0] ** 2
    return x.astype(np.float32)


# path and loss


def test_path_begins_in_noise_ends_in_data_and_moves_at_its_velocity():
    noise, data = normal(5, 1, 2, 2), normal(5, 1, 2, 2, seed=1)
    for time, place in ((0.0, noise), (1.0, data)):
        assert torch.allclose(matching.path(noise, data, torch.full((5,), time))[0], place)
    time = torch.linspace(0.1, 0.9, 5, dtype=torch.float64)
    x, velocity = matching.path(noise, data, time)
    later, _ = matching.path(noise, data, time + 1e-6)
    assert torch.allclose((later - x) / 1e-6, velocity, atol=1e-6)


def test_loss_is_least_at_the_closed_form_of_two_points():
    """Data ±a with equal odds: E[x₁ | x_t] = a tanh(a t x / (1 − t)²) is the posterior mean of two Gaussians."""
    a = 1.5
    noise = torch.special.ndtri((torch.arange(400, dtype=torch.float64) + 0.5) / 400)  # quantiles, for a sharp mean
    time = (torch.arange(50, dtype=torch.float64) + 0.5) / 55
    data = torch.tensor([-a, a], dtype=torch.float64)
    noise, time, data = (each.reshape(-1, 1) for each in torch.meshgrid(noise, time, data, indexing="ij"))
    time = time[:, 0]

    def closed_form(x, t):
        t = t[:, None]
        return (a * torch.tanh(a * t * x / (1 - t) ** 2) - x) / (1 - t)

    def loss(amount, direction):
        return matching.matching_loss(lambda x, t: closed_form(x, t) + amount * direction(x, t), noise, data, time)

    for direction in (lambda x, t: torch.ones_like(x), lambda x, t: x, lambda x, t: torch.sin(3 * x) * t[:, None]):
        down, here, up = (loss(amount, direction) for amount in (-0.1, 0.0, 0.1))
        assert up > here and down > here
        # A parabola whose lowest point is at zero, but for the quantiles' error.
        assert abs(up - down) < 0.02 * (up + down - 2 * here)


# pairing


@pytest.mark.parametrize("seed", range(5))
def test_optimal_pairing_is_that_of_brute_force(seed):
    noise, data = normal(5, 3, seed=seed), normal(5, 3, seed=seed + 100)

    def cost(start):
        return (start - data).square().sum().item()

    best = min(cost(noise[list(order)]) for order in itertools.permutations(range(5)))
    paired = matching.optimal(noise, data)
    assert cost(paired) == pytest.approx(best)
    assert cost(paired) <= cost(matching.independent(noise, data))
    assert torch.equal(paired.sort(0)[0], noise.sort(0)[0])


def test_optimal_pairing_takes_pictures_too():
    noise, data = normal(4, 1, 2, 2), normal(4, 1, 2, 2, seed=1)
    assert torch.equal(matching.optimal(noise, data).flatten(1), matching.optimal(noise.flatten(1), data.flatten(1)))


# solvers


def errors(solver, gaussian, steps):
    noise = normal(20, 3)
    return [(solver(gaussian, noise, matching.grid(n, like=noise)) - gaussian.flow(noise)).abs().max() for n in steps]


@pytest.mark.parametrize(("solver", "order"), [(matching.euler, 1), (matching.heun, 2)])
def test_solvers_have_their_order(gaussian, solver, order):
    coarse, fine = errors(solver, gaussian, (100, 200))
    assert torch.log2(coarse / fine).item() == pytest.approx(order, abs=0.1)


def test_heun_agrees_with_an_adaptive_solver(curved):
    x = normal(1, 4)

    def slope(time, state):
        with torch.no_grad():
            return curved(torch.as_tensor(state)[None], torch.tensor(time, dtype=torch.float64))[0].numpy()

    adaptive = solve_ivp(slope, (0, 1), x[0].numpy(), rtol=1e-9, atol=1e-9).y[:, -1]
    with torch.no_grad():
        end = matching.heun(curved, x, matching.grid(200, like=x))[0]
    np.testing.assert_allclose(end.numpy(), adaptive, atol=1e-4)


def test_back_and_forth_returns(gaussian):
    x = normal(6, 3)
    there = matching.heun(gaussian, x, matching.grid(200, like=x))
    back = matching.heun(gaussian, there, matching.grid(200, backwards=True, like=x))
    assert torch.allclose(back, x, atol=1e-3)


def test_a_trajectory_ends_where_the_solver_does_and_only_a_curved_one_bends(gaussian):
    x = normal(6, 3)
    times = matching.grid(10, like=x)
    points = matching.trajectory(gaussian, x, times, matching.euler)
    assert points.shape == (11, 6, 3)
    assert torch.equal(points[-1], matching.euler(gaussian, x, times))
    assert matching.bend(lambda x, t: torch.ones_like(x), x).max() < 1e-12
    assert matching.bend(gaussian, x).min() > 1e-3


# likelihood


def test_likelihood_of_a_gaussian_is_the_closed_form(gaussian):
    x = gaussian.flow(normal(50, 3))
    assert torch.allclose(matching.log_prob(gaussian, x, 100), gaussian.log_prob(x), atol=1e-3, rtol=0)


def test_divergence_is_the_trace_of_the_jacobian(curved):
    x, time = normal(5, 4), torch.tensor(0.3, dtype=torch.float64)
    velocity, found = matching.divergence(curved, x, time)
    jacobians = [torch.autograd.functional.jacobian(lambda row: curved(row[None], time)[0], row) for row in x]
    assert torch.allclose(found, torch.stack([each.trace() for each in jacobians]))
    assert torch.equal(velocity, curved(x, time))


def test_hutchinson_is_unbiased(curved):
    x, time = normal(3, 4), torch.tensor(0.6, dtype=torch.float64)
    exact = matching.divergence(curved, x, time)[1]
    every_sign = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=4)), dtype=torch.float64)
    probes = every_sign[:, None].expand(16, 3, 4)
    assert torch.allclose(matching.hutchinson(probes)(curved, x, time)[1], exact)  # the mean over all of them
    assert not torch.allclose(matching.hutchinson(probes[:1])(curved, x, time)[1], exact)


def test_density_of_a_flow_has_mass_one():
    """In one dimension, where a sum over a grid shows it; means and spreads of the data are counted in."""
    codes = 3 + 2 * np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    flow = matching.build_code_flow(codes, matching.CodeConfig(1, hidden=16, layers=2)).double()
    for i, parameter in enumerate(flow.parameters()):
        parameter.data = normal(*parameter.shape, seed=i) / 3
    x = torch.linspace(-30, 36, 2001, dtype=torch.float64)[:, None]
    assert torch.trapezoid(flow.log_prob(x, 100).exp(), x[:, 0]).item() == pytest.approx(1, abs=2e-3)


def test_an_untrained_flow_is_the_gaussian_of_its_data():
    codes = crescent()
    flow = matching.build_code_flow(codes, matching.CodeConfig(4))
    expected = torch.distributions.Normal(torch.as_tensor(codes.mean(0)), torch.as_tensor(codes.std(0)))
    assert torch.allclose(flow.log_prob(torch.as_tensor(codes)), expected.log_prob(torch.as_tensor(codes)).sum(1))
    drawn = flow.sample(5000, 4, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(drawn.std(0), codes.std(0), rtol=0.05)


# guidance


def test_guidance_of_weight_zero_is_the_model_with_its_label_exactly(curved):
    x, label, time = normal(5, 4), torch.tensor([[1.0, -1.0]]).double().expand(5, 2), torch.tensor(0.4).double()
    plain, without = curved(x, time, label), curved(x, time)
    assert torch.equal(matching.guided(curved, label, 0.0)(x, time), plain)
    assert torch.allclose(matching.guided(curved, label, -1.0)(x, time), without)
    assert torch.allclose(matching.guided(curved, label, 2.0)(x, time), 3 * plain - 2 * without)
    assert not torch.allclose(plain, without)


# training


@pytest.mark.parametrize("coupling", [matching.independent, matching.optimal])
def test_every_parameter_gets_a_gradient(coupling):
    flow = matching.build_code_flow(crescent(), matching.CodeConfig(4, hidden=8, labels=2))
    torch.nn.init.normal_(flow.net[-1].weight)  # zero at first, and then nothing below it has a gradient
    batch = torch.as_tensor(crescent(32)), torch.ones(32, 2)
    matching.update(flow, coupling=coupling, noise=0.3, draws=2).loss(flow, batch).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in flow.parameters())


@pytest.mark.parametrize("coupling", [matching.independent, matching.optimal])
def test_training_beats_the_gaussian_on_held_out_data(coupling):
    flow = matching.build_code_flow(crescent(), matching.CodeConfig(4, hidden=32, layers=2))
    held_out = torch.as_tensor(crescent(seed=1))
    before = -flow.log_prob(held_out, 10).mean()
    batches = ResidentBatches(crescent(), batch_size=64)
    fit(flow, matching.update(flow, rate=5e-3, coupling=coupling), batches, epochs=60, progress=False)
    assert -flow.log_prob(held_out, 20).mean() < before - 0.2


def test_noise_on_the_codes_keeps_their_variance(monkeypatch):
    seen = []
    monkeypatch.setattr(
        matching.training, "matching_loss", lambda v, noise, data, time: seen.append(data) or data.sum()
    )
    codes = crescent(4096)
    flow = matching.build_code_flow(codes, matching.CodeConfig(4))
    matching.update(flow, noise=0.7).loss(flow, torch.as_tensor(codes))
    assert torch.allclose(seen[0].std(0), torch.ones(4), atol=0.05)
    again = flow.standardised(torch.as_tensor(codes))
    slope = (seen[0] * again).mean(0)
    assert torch.allclose(slope, torch.full((4,), 1 / 1.49**0.5), atol=0.05)


def test_labels_are_left_out_as_often_as_asked(monkeypatch):
    told = []
    flow = matching.build_code_flow(crescent(2000), matching.CodeConfig(4, labels=1))
    whole = type(flow).forward
    monkeypatch.setattr(type(flow), "forward", lambda *arguments: told.append(arguments[3]) or whole(*arguments))
    matching.update(flow, drop=0.25).loss(flow, (torch.as_tensor(crescent(2000)), torch.ones(2000, 1)))
    assert (told[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.04)


def trained(epochs, run_dir):
    flow = matching.build_code_flow(crescent(), matching.CodeConfig(4, hidden=8), seed=3)
    update = matching.update(flow, coupling=matching.optimal, noise=0.2)
    fit(flow, update, ResidentBatches(crescent(), batch_size=64), epochs=epochs, run_dir=run_dir, progress=False)
    return flow.state_dict()


def test_a_resumed_training_ends_with_the_weights_of_one_that_never_stopped(tmp_path):
    trained(2, tmp_path / "parts")
    resumed, whole = trained(4, tmp_path / "parts"), trained(4, None)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_the_seed_decides_the_weights_and_leaves_the_generator_alone():
    torch.manual_seed(1)
    flows = [matching.build_code_flow(crescent(), matching.CodeConfig(4), seed=seed) for seed in (0, 0, 1)]
    drawn = torch.rand(1)
    weights = [flow.net[0].weight for flow in flows]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.parametrize("codes", [np.zeros((5, 4), np.float32), crescent()[:1], crescent()[:, :3]])
def test_codes_without_a_scale_are_refused_in_a_sentence(codes):
    with pytest.raises(LabkitError, match="training codes"):
        matching.build_code_flow(codes, matching.CodeConfig(4))


# pictures


@pytest.fixture
def pictures():
    """A field of pictures with random weights, and what it is given: x, t and labels."""
    flow = matching.PixelFlow(matching.PixelConfig(32, 8, labels=2)).double().eval()
    for i, parameter in enumerate(flow.parameters()):
        parameter.data = normal(*parameter.shape, seed=i) / 10
    return flow, normal(4, 3, 32, 32), torch.tensor(0.4).double(), torch.tensor([[1.0, -1.0]]).double().expand(4, 2)


@pytest.mark.parametrize("size", [32, 64])
def test_an_untrained_field_of_pictures_is_that_of_noise(size):
    flow, x = matching.PixelFlow(matching.PixelConfig(size, 8)), torch.randn(2, 3, size, size)
    exact = matching.GaussianVelocity(torch.zeros(()), torch.ones(()))
    for time in (torch.tensor(0.2), torch.tensor(0.9)):
        assert torch.allclose(flow(x, time), exact(x, time), atol=1e-6)


def test_pictures_of_a_batch_do_not_depend_on_each_other(pictures):
    flow, x, time, label = pictures
    assert torch.allclose(flow(x, time, label)[:1], flow(x[:1], time, label[:1]))
    times = torch.linspace(0, 1, 4).double()
    assert torch.allclose(flow(x, times, label)[2:3], flow(x[2:3], times[2], label[:1]))


def test_a_field_of_pictures_sees_time_label_and_every_pixel(pictures):
    flow, x, time, label = pictures
    here = flow(x, time, label)
    assert not torch.allclose(here, flow(x, time + 0.1, label))
    assert not torch.allclose(here, flow(x, time, -label))
    assert torch.equal(flow(x, time), flow(x, time, 0 * label))
    x = x[:1].requires_grad_()
    (slope,) = torch.autograd.grad(flow(x, time)[0, 0, 5, 7], x)
    assert (slope != 0).all()  # the smallest maps see the whole picture


def test_guidance_of_weight_zero_draws_what_the_plain_model_draws_exactly(pictures):
    flow, _, _, label = pictures

    def drawn(**options):
        return flow.sample(4, 3, generator=torch.Generator().manual_seed(0), **options)

    noise = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0)).double()
    with torch.no_grad():
        plain = matching.heun(lambda x, time: flow(x, time, label), noise, matching.grid(3, like=noise))
    assert torch.equal(drawn(label=label, weight=0.0), plain)
    assert torch.equal(drawn(label=label, weight=0.0), drawn(label=label))
    assert torch.allclose(drawn(label=label, weight=-1.0), drawn())
    assert not torch.allclose(drawn(label=label, weight=1.0), plain)


def test_every_parameter_of_a_field_of_pictures_gets_a_gradient(pictures):
    flow, x, _, label = pictures
    matching.update(flow, drop=0.0).loss(flow, (x, label)).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in flow.parameters())


def test_the_rate_falls_to_zero_over_the_epochs():
    flow = matching.PixelFlow(matching.PixelConfig(32, 8))
    batches = ResidentBatches(torch.rand(4, 3, 32, 32), batch_size=4)
    rates = fit(flow, matching.update(flow, rate=1e-3, epochs=4), batches, epochs=4, progress=False).history.lr
    assert rates.is_monotonic_decreasing and rates.iloc[0] == 1e-3 and rates.iloc[-1] < 2e-4


def painted(epochs, run_dir):
    torch.manual_seed(0)
    flow = matching.PixelFlow(matching.PixelConfig(32, 8, labels=1))
    images = torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    batches = ResidentBatches(images, labels=torch.ones(20, 1), batch_size=8, flip=True)
    fit(flow, matching.update(flow, epochs=4), batches, epochs=epochs, run_dir=run_dir, progress=False)
    return flow.state_dict()


def test_a_resumed_training_on_pictures_ends_as_one_that_never_stopped(tmp_path):
    painted(2, tmp_path / "parts")
    resumed, whole = painted(4, tmp_path / "parts"), painted(4, None)
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


@pytest.mark.parametrize("wrong", [{"size": 48}, {"width": 12}, {"labels": -1}])
def test_a_size_of_a_field_of_pictures_that_cannot_be_is_refused_in_a_sentence(wrong):
    with pytest.raises(LabkitError, match="size must be 32 or 64"):
        matching.PixelConfig(**wrong)
