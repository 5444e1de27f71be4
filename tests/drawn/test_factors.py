"""The factor table and its draws: ranges, correlations, and values that depend on (seed, person, shot) alone."""

import pytest
import torch

from labkit.drawn.factors import (
    BINARY,
    CONTINUOUS,
    FACTOR_NAMES,
    FACTORS,
    PERSON,
    SHOT,
    UNIFORMS,
    _mix,
    _uniforms,
    sample_factors,
)
from labkit.errors import LabkitError

PEOPLE = 4000


@pytest.fixture(scope="module")
def drawn() -> torch.Tensor:
    return sample_factors(0, torch.arange(PEOPLE))


def column(factors: torch.Tensor, name: str) -> torch.Tensor:
    return factors[:, FACTOR_NAMES.index(name)]


def test_table_is_consistent():
    assert len(set(FACTOR_NAMES)) == len(FACTORS) >= 24
    for factor in FACTORS:
        assert factor.low < factor.high
        assert factor.kind in (CONTINUOUS, BINARY) and factor.scope in (PERSON, SHOT)
        assert factor.meaning


def test_values_stay_in_range_and_use_it(drawn):
    for k, factor in enumerate(FACTORS):
        values = drawn[:, k]
        assert values.min() >= factor.low - 1e-6 and values.max() <= factor.high + 1e-6, factor.name
        if factor.kind == BINARY:
            assert set(values.tolist()) == {0.0, 1.0}, factor.name
        else:
            span = torch.quantile(values, 0.99) - torch.quantile(values, 0.01)
            assert span > 0.5 * (factor.high - factor.low), factor.name


def test_row_depends_on_seed_person_and_shot_alone(drawn):
    index = torch.randperm(PEOPLE, generator=torch.Generator().manual_seed(1))[:100]
    assert torch.equal(sample_factors(0, index), drawn[index])
    assert torch.equal(sample_factors(0, index[:1], 0), drawn[index[:1]])
    assert not torch.equal(sample_factors(1, index), drawn[index])


def test_person_factors_stay_and_shot_factors_move():
    first, second = (sample_factors(3, torch.arange(200), shot) for shot in (0, 1))
    for k, factor in enumerate(FACTORS):
        same = torch.equal(first[:, k], second[:, k])
        assert same == (factor.scope == PERSON), factor.name


def test_factors_are_drawn_apart():
    drawn = sample_factors(5, torch.arange(PEOPLE))
    names = (
        "skin_tone",
        "face_width",
        "eye_spacing",
        "hair_volume",
        "yaw",
        "roll",
        "clothes",
        "background_hue",
    )
    apart = torch.corrcoef(torch.stack([column(drawn, name) for name in names])) - torch.eye(len(names))
    assert apart.abs().max() < 0.06


def splitmix(z: int) -> int:
    """SplitMix64's finaliser in plain integers."""
    mask = 2**64 - 1
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def test_hash_equals_the_slow_obvious_one():
    keys = [0, 1, 2**40 + 12345, -1, -(2**63)]
    slow = [splitmix(key & (2**64 - 1)) for key in keys]
    fast = [value & (2**64 - 1) for value in _mix(torch.tensor(keys)).tolist()]
    assert fast == slow
    counter = 1 + UNIFORMS * 7
    expected = (splitmix((keys[2] + counter * 0x9E3779B97F4A7C15) & (2**64 - 1)) >> 11) / 2**53
    assert _uniforms(torch.tensor(keys), 7)[2, 0].item() == expected


def test_people_are_plausible(drawn):
    man = column(drawn, "masculine") > 0.5
    assert 0.45 < man.float().mean() < 0.55
    assert column(drawn, "beard")[~man].max() == 0 and column(drawn, "moustache")[~man].max() == 0
    assert 0.15 < (column(drawn, "beard") > 0.3).float().mean() < 0.45
    assert 0.12 < column(drawn, "glasses").mean() < 0.35
    age, grey = column(drawn, "age"), column(drawn, "grey")
    assert grey[age < 0.4].max() == 0 and grey[age > 0.8].mean() > 0.4
    dark = column(drawn, "skin_tone") > 0.8
    assert column(drawn, "hair_colour")[dark].max() < 0.2
    assert column(drawn, "hair_length")[~man].mean() > column(drawn, "hair_length")[man].mean() + 0.2


def test_index_must_be_whole():
    with pytest.raises(LabkitError, match="integers"):
        sample_factors(0, torch.tensor([0.5]))
