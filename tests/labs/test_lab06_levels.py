"""Lab 06's check of a temperature for each level, put through right and wrong solutions."""

import pytest
import torch

from labkit.checking import salted
from labkit.labs import lab06

SHAPES, PLAIN, COLD, WARM, CHAIN = (
    "a tensor of latents for each level",
    "at temperature 1 they are mean + exp(log_std) · noise",
    "at temperature 0 each level is its prior's mean",
    "each level has its own temperature",
    "a level's prior sees the latents drawn above it",
)


def draw(priors, noise, temperatures):
    latents = []
    for prior, eps, t in zip(priors, noise, temperatures):
        mean, log_std = prior(latents)
        latents.append(mean + t * log_std.exp() * eps)
    return latents


def by_recursion(priors, noise, temperatures, above=()):
    place = len(above)
    if place == len(priors):
        return above
    mean, log_std = priors[place](list(above))
    z = torch.addcmul(mean, torch.exp(log_std), noise[place], value=temperatures[place])
    return by_recursion(priors, noise, temperatures, (*above, z))


def changed(level):
    """`level(mean, log_std, eps, temperatures, place)` in the place of the right line."""

    def function(priors, noise, temperatures):
        latents = []
        for place, (prior, eps) in enumerate(zip(priors, noise)):
            latents.append(level(*prior(latents), eps, temperatures, place))
        return latents

    return (function,)


def told(what):
    """Priors are handed something else than the latents."""

    def function(priors, noise, temperatures):
        latents = []
        for place, (prior, eps, t) in enumerate(zip(priors, noise, temperatures)):
            mean, log_std = prior(what(latents, noise, place))
            latents.append(mean + t * log_std.exp() * eps)
        return latents

    return (function,)


ALL = dict.fromkeys((SHAPES, PLAIN, COLD, WARM, CHAIN), "")
RIGHT = {"a loop": (draw,), "recursion": (by_recursion,)}
WRONG = {
    "the last only": ((lambda *a: draw(*a)[-1],), ALL | {SHAPES: "list of 4"}),
    "one row": (
        (lambda *a: [z[:1] for z in draw(*a)],), {SHAPES: "as its noise", PLAIN: "", COLD: "", WARM: ""}
    ),
    "log-variance": (
        changed(lambda m, s, e, t, l: m + t[l] * torch.exp(s / 2) * e), {PLAIN: "not of the variance", WARM: ""}
    ),
    "variance": (changed(lambda m, s, e, t, l: m + t[l] * torch.exp(2 * s) * e), {PLAIN: "the variance", WARM: ""}),
    "log_std as it is": (changed(lambda m, s, e, t, l: m + t[l] * s * e), {PLAIN: "as if it were", WARM: ""}),
    "not scaled": (changed(lambda m, s, e, t, l: m + t[l] * e), {PLAIN: "not scaled", WARM: ""}),
    "fresh noise": (
        changed(lambda m, s, e, t, l: m + t[l] * s.exp() * torch.randn_like(e)),
        {PLAIN: "draw none", WARM: "", CHAIN: "draw none"},
    ),
    "no temperature": (changed(lambda m, s, e, t, l: m + s.exp() * e), {COLD: "not used", WARM: ""}),
    "one temperature": (changed(lambda m, s, e, t, l: m + t[0] * s.exp() * e), {WARM: "first temperature"}),
    "reversed": (changed(lambda m, s, e, t, l: m + t[-1 - l] * s.exp() * e), {WARM: "reverse"}),
    "root": (changed(lambda m, s, e, t, l: m + t[l] ** 0.5 * s.exp() * e), {WARM: "root"}),
    "mean too": (changed(lambda m, s, e, t, l: t[l] * (m + s.exp() * e)), {COLD: "deviation alone", WARM: ""}),
    "priors see noise": (
        told(lambda z, e, l: e[:l]), dict.fromkeys((PLAIN, COLD, WARM, CHAIN), "handed the noise")
    ),
    "priors see the last two": (told(lambda z, e, l: z[-2:]), ALL | {SHAPES: "was given 2 levels"}),
    "priors see it reversed": (
        told(lambda z, e, l: z[::-1]), {PLAIN: "reverse order", COLD: "", WARM: "reverse order"}
    ),
    "one level's noise": (
        (lambda p, e, t: draw(p, [e[0][:, : x.shape[1]] if x.shape[1] < 4 else x for x in e], t),),
        {PLAIN: "level l should be", WARM: "level l should be"},
    ),
    "noise subtracted": (changed(lambda m, s, e, t, l: m - t[l] * s.exp() * e), {PLAIN: "subtracted", WARM: ""}),
    "no mean": (
        changed(lambda m, s, e, t, l: t[l] * s.exp() * e), {PLAIN: "mean is missing", COLD: "", WARM: "", CHAIN: ""}
    ),
    "changed places": (
        changed(lambda m, s, e, t, l: s + t[l] * m.exp() * e),
        {PLAIN: "changed places", COLD: "", WARM: "changed places", CHAIN: ""},
    ),
    "temperature in the exponent": (
        changed(lambda m, s, e, t, l: m + (t[l] * s).exp() * e), {COLD: "", WARM: "not log_std"}
    ),
    "no return": ((lambda *a: None,), ALL | {SHAPES: "`return` is missing"}),
    "priors see nothing": (told(lambda z, e, l: []), ALL | {SHAPES: "was given 0 levels"}),
}  # fmt: skip


@pytest.mark.parametrize("name", RIGHT)
def test_right_solution_has_every_property(prove, name):
    prove.right(lab06.temperature_per_level, RIGHT[name])


@pytest.mark.parametrize("name", WRONG)
def test_wrong_solution_misses_its_properties_and_gets_its_hints(prove, name):
    prove.wrong(lab06.temperature_per_level, *WRONG[name])


@pytest.mark.parametrize("salt", range(8))
def test_a_limited_deviation_is_found_whatever_is_drawn(salt):
    solution = changed(lambda m, s, e, t, l: m + t[l] * s.clamp(-5, 5).exp() * e)
    with salted(salt):
        assert not all(each.passed for each in lab06.temperature_per_level(*solution))


def test_stub_fails_cleanly_and_every_property_is_missed_by_some_solution(prove):
    prove.stub(lab06.temperature_per_level, arguments=1)
    prove.complete(lab06.temperature_per_level, RIGHT, WRONG)


@pytest.mark.parametrize("salt", range(8))
def test_what_subtracts_the_noise_still_hands_on_its_latents(salt):
    solution, _ = WRONG["noise subtracted"]
    with salted(salt):
        missed = [each.name for each in lab06.temperature_per_level(*solution) if not each.passed]
    assert set(missed) == {PLAIN, WARM}
