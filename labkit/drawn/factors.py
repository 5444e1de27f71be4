"""The named factors of a synthetic portrait: their ranges, their meaning, and how they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from labkit.errors import LabkitError

CONTINUOUS, BINARY = "continuous", "binary"
PERSON, SHOT = "person", "shot"
UNIFORMS = 4  # independent uniforms that a prior may use for its factor

Prior = Callable[[Tensor, dict[str, Tensor]], Tensor]


@dataclass(frozen=True)
class Factor:
    """One row of the table."""

    name: str  # the factor
    kind: str  # "continuous" or "binary" (0 or 1)
    low: float  # smallest value
    high: float  # largest value
    scope: str  # "person" (the same in all pictures of a person) or "shot" (new in each picture)
    meaning: str  # one line; angles are in radians, everything else has no unit
    prior: Prior  # (uniforms float64 (N, 4), factors drawn so far) → values (N,), clamped to the range afterwards


def _bell(u: Tensor) -> Tensor:
    """Mean 0, standard deviation 1, nearly normal: the centred sum of four uniforms (Irwin–Hall)."""
    return (u.sum(-1) - 0.5 * UNIFORMS) * 3**0.5


def _normal(mean: float, deviation: float) -> Prior:
    return lambda u, f: mean + deviation * _bell(u)


def _uniform(low: float, high: float) -> Prior:
    return lambda u, f: low + (high - low) * u[:, 0]


def _switch(probability: Tensor | float, u: Tensor) -> Tensor:
    return (u[:, 0] < probability).double()


def _hair_colour(u: Tensor, f: dict[str, Tensor]) -> Tensor:
    return u[:, 0] * (1 - 0.9 * (1.6 * f["skin_tone"] - 0.25).clamp(0, 1))


def _hair_length(u: Tensor, f: dict[str, Tensor]) -> Tensor:
    man = f["masculine"] > 0.5
    bald = man & (u[:, 0] < 0.02 + 0.12 * f["age"])
    length = torch.where(man, 0.20 + 0.22 * u[:, 1], 0.38 + 0.62 * u[:, 1])
    unusual = u[:, 2] < 0.08
    length = torch.where(unusual, torch.where(man, 0.75 + 0.0 * length, 0.25 + 0.0 * length), length)
    return torch.where(bald, 0.0 * length, length)


def _eye_colour(u: Tensor, f: dict[str, Tensor]) -> Tensor:
    return u[:, 0] * (1 - 0.85 * (2.0 * f["skin_tone"] - 0.5).clamp(0, 1))


def _blink(u: Tensor, f: dict[str, Tensor]) -> Tensor:
    return torch.where(u[:, 0] < 0.04, 0.0, 0.45 + 0.5 * (u[:, 1] + u[:, 2]) * 0.9)


def _person() -> tuple[Factor, ...]:
    def row(name: str, meaning: str, prior: Prior, kind: str = CONTINUOUS) -> Factor:
        return Factor(name, kind, 0.0, 1.0, PERSON, meaning, prior)

    return (
        row(
            "masculine",
            "feminine (0) to masculine (1): neck, jaw, brow ridge, lashes",
            lambda u, f: torch.where(u[:, 0] < 0.5, 0.12, 0.72) + 0.16 * u[:, 1],
        ),
        row("age", "young (0) to old (1): folds, forehead lines, bags", lambda u, f: u[:, 0] * (0.6 + 0.4 * u[:, 1])),
        row("skin_tone", "very light (0) to very dark (1)", _uniform(0, 1)),
        row("rosy", "redness of cheeks and nose", lambda u, f: u[:, 0] * u[:, 1] * 1.3),
        row("face_width", "narrow to wide head", _normal(0.5, 0.2)),
        row("face_height", "short to long face", _normal(0.5, 0.2)),
        row("jaw", "pointed to square jaw", lambda u, f: 0.3 + 0.35 * f["masculine"] + 0.16 * _bell(u)),
        row("fullness", "hollow to chubby cheeks; a double chin above 0.7", _normal(0.4, 0.22)),
        row("hair_colour", "black, brown, auburn, blond in this order", _hair_colour),
        row(
            "grey",
            "share of grey in hair, brows and beard",
            lambda u, f: (2.4 * (f["age"] - 0.45)).clamp(0, 1) * (0.3 + u[:, 0]),
        ),
        row("hair_length", "bald (0), short (0.3), to the chin (0.6), over the shoulders (1)", _hair_length),
        row("hair_volume", "flat to thick hair", _normal(0.45, 0.22)),
        row("hair_wave", "straight to wavy hair", lambda u, f: u[:, 0] * u[:, 0]),
        row(
            "bangs",
            "no fringe (0) to a fringe down to the brows (1)",
            lambda u, f: _switch(0.38 - 0.22 * f["masculine"], u) * (0.55 + 0.45 * u[:, 1]),
        ),
        row(
            "receding",
            "low to receding hairline",
            lambda u, f: 0.1 * u[:, 1] + (f["masculine"] - 0.3).clamp(0, 1) * 1.8 * f["age"] * u[:, 0],
        ),
        row("brow_thickness", "thin to bushy brows", lambda u, f: 0.2 + 0.4 * f["masculine"] + 0.17 * _bell(u)),
        row("brow_arch", "flat to arched brows", lambda u, f: 0.65 - 0.35 * f["masculine"] + 0.18 * _bell(u)),
        row("eye_size", "small to large eyes", lambda u, f: 0.55 - 0.12 * f["masculine"] + 0.2 * _bell(u)),
        row("eye_spacing", "close to wide-set eyes", _normal(0.5, 0.2)),
        row("eye_colour", "dark brown, hazel, green, blue, grey in this order", _eye_colour),
        row("nose_size", "narrow to broad nose", lambda u, f: 0.38 + 0.2 * f["masculine"] + 0.19 * _bell(u)),
        row("nose_point", "short round to long pointed nose", _normal(0.5, 0.22)),
        row("lip_fullness", "thin to full lips", lambda u, f: 0.55 - 0.15 * f["masculine"] + 0.2 * _bell(u)),
        row(
            "makeup",
            "none to strong lipstick and eye shadow",
            lambda u, f: _switch(0.75 * (1 - f["masculine"]), u) * (0.25 + 0.75 * u[:, 1]),
        ),
        row(
            "beard",
            "clean-shaven (0), stubble (0.2), full beard (1)",
            lambda u, f: _switch(0.55 * (f["masculine"] > 0.5), u) * (0.12 + 0.88 * u[:, 1]),
        ),
        row("beard_cover", "beard on the chin only (0) to beard and sideburns (1)", lambda u, f: 1.4 * u[:, 0]),
        row(
            "moustache",
            "none to bushy moustache",
            lambda u, f: (
                _switch((f["masculine"] > 0.5) * (0.1 + 0.8 * (f["beard"] > 0.25)), u) * (0.35 + 0.65 * u[:, 1])
            ),
        ),
        row("earrings", "wears earrings", lambda u, f: _switch(0.5 * (1 - f["masculine"]), u), BINARY),
        row("glasses", "wears glasses", lambda u, f: _switch(0.14 + 0.22 * f["age"], u), BINARY),
    )


def _shot() -> tuple[Factor, ...]:
    def row(name: str, low: float, high: float, meaning: str, prior: Prior, kind: str = CONTINUOUS) -> Factor:
        return Factor(name, kind, low, high, SHOT, meaning, prior)

    return (
        row("hat", 0, 1, "wears a knitted cap", lambda u, f: _switch(0.06, u), BINARY),
        row("yaw", -0.6, 0.6, "head turned to the left (−) or right (+) of the picture, radians", _normal(0, 0.24)),
        row("pitch", -0.3, 0.3, "head raised (−) or lowered (+), radians", _normal(0, 0.11)),
        row("roll", -0.2, 0.2, "head leaning to the left (−) or right (+) of the picture, radians", _normal(0, 0.06)),
        row("smile", -1, 1, "corners of the mouth down (−) or up (+)", _normal(0.35, 0.38)),
        row(
            "mouth_open",
            0,
            1,
            "closed to open mouth; teeth show with a smile",
            lambda u, f: _switch(0.3 + 0.4 * f["smile"].clamp(min=0), u) * (0.15 + 0.7 * u[:, 1] * u[:, 2]),
        ),
        row("eye_open", 0, 1, "closed (0) to wide open (1) eyes", _blink),
        row(
            "light_azimuth",
            -1.2,
            1.2,
            "light from the left (−) or right (+) of the picture, radians",
            _normal(0, 0.6),
        ),
        row("light_elevation", -0.3, 1.1, "light from below (−) or above (+), radians", _normal(0.42, 0.25)),
        row("background_hue", 0, 1, "hue of the background, once round the colour circle", _uniform(0, 1)),
        row("background_light", 0, 1, "dark to light background", _uniform(0.05, 0.95)),
        row("clothes", 0, 1, "navy, black, wine, green, sand, blue, white in this order", _uniform(0, 1)),
    )


FACTORS: tuple[Factor, ...] = _person() + _shot()
FACTOR_NAMES: tuple[str, ...] = tuple(factor.name for factor in FACTORS)


def _wrapped(value: int) -> int:
    """The signed 64-bit integer with the bits of `value`."""
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


def _mix(z: Tensor) -> Tensor:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014), on int64 with wrap-around."""

    def shifted(z: Tensor, bits: int) -> Tensor:
        return (z >> bits) & ((1 << (64 - bits)) - 1)

    z = (z ^ shifted(z, 30)) * _wrapped(0xBF58476D1CE4E5B9)
    z = (z ^ shifted(z, 27)) * _wrapped(0x94D049BB133111EB)
    return z ^ shifted(z, 31)


def _uniforms(key: Tensor, stream: int) -> Tensor:
    """Float64 uniforms in [0, 1), shape (N, 4): a pure function of each key and of the stream."""
    gamma = _wrapped(0x9E3779B97F4A7C15)
    counter = torch.arange(1, UNIFORMS + 1) + UNIFORMS * stream
    bits = _mix(key[:, None] + counter * gamma)
    return ((bits >> 11) & (2**53 - 1)).double() * 2.0**-53


def sample_factors(seed: int, index: Tensor, shot: Tensor | int = 0) -> Tensor:
    """Draw factors; row i depends on (seed, index[i], shot[i]) alone, whatever else is in the batch.

    Args:
        seed: names the population.
        index: int (N,), the people.
        shot: int or int (N,), the picture of that person: factors of scope "person" ignore it.

    Returns:
        float32 (N, F) in the order of `FACTORS`, on the CPU.

    Raises LabkitError: an index or shot that is no integer.
    """
    index, shot = torch.as_tensor(index).cpu().reshape(-1), torch.as_tensor(shot).cpu()
    if index.is_floating_point() or shot.is_floating_point():
        raise LabkitError("sample_factors: index and shot must be integers; count people and shots from 0.")
    person = _mix(_mix(index.long() + _wrapped(seed * 0x632BE59BD9B4E019 + 1)))
    keys = {PERSON: person, SHOT: _mix(person ^ _mix(shot.long() + 0x51ED270B))}
    drawn: dict[str, Tensor] = {}
    for stream, factor in enumerate(FACTORS):
        value = factor.prior(_uniforms(keys[factor.scope], stream), drawn)
        drawn[factor.name] = value.clamp(factor.low, factor.high)
    return torch.stack(list(drawn.values()), 1).float()
