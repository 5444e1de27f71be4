"""The checks under other salts: other inputs, the same verdicts."""

import sys
from pathlib import Path

import pytest
import torch

from labkit.checking import drawing_seed, normal, random_numbers, salted

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "course" / "grade"))
from solutions import FILES, recorded

SALTS = (1, 2, 12345, 2**40 + 7, 2**62)


def test_a_salt_changes_every_drawing_and_only_within_its_block():
    plain = normal(3, 2, seed=4), random_numbers(4).random(3)
    drawn = []
    for salt in SALTS:
        with salted(salt):
            drawn.append(normal(3, 2, seed=4))
            assert torch.equal(drawn[-1], normal(3, 2, seed=4))
            assert not torch.equal(drawn[-1], normal(3, 2, seed=5))
            assert (random_numbers(4).random(3) != plain[1]).all()
            assert 0 <= drawing_seed(4) < 2**63
    assert len({tuple(each.flatten().tolist()) for each in (plain[0], *drawn)}) == len(SALTS) + 1
    assert torch.equal(plain[0], normal(3, 2, seed=4)) and drawing_seed(4) == 4


def test_a_salt_ends_with_its_block_also_when_that_raises():
    with pytest.raises(ValueError), salted(3):
        raise ValueError
    assert drawing_seed(1) == 1


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_right_solutions_pass_and_wrong_ones_miss_what_they_miss_under_other_salts(path):
    solutions = recorded(path)
    for salt in SALTS[:2]:
        with salted(salt):
            for check, solution in solutions.right_ones:
                assert all(each.passed for each in check(*solution)), (salt, check.__name__)
    with salted(SALTS[-1]):
        for check, solution, missed in solutions.wrong_ones[::2]:  # all are asked by `make mutants`
            assert set(missed) <= {each.name for each in check(*solution) if not each.passed}, check.__name__
