"""What every exercise's check is put through: right solutions, wrong ones, the stub."""

import pytest
from torch.distributions import Distribution

from labkit.checking import AGAIN, STUB, UNEARNED


@pytest.fixture(autouse=True)
def strict_distributions(monkeypatch):
    """torch.compile stops distributions from looking at their arguments, for the rest of the process."""
    monkeypatch.setattr(Distribution, "_validate_args", True)


class Prove:
    """Assertions about a check and the solutions of its exercise, each a tuple of the check's arguments."""

    @staticmethod
    def missed(check, solution):
        """Missed property → hint; names are unique and hints stand exactly where a property is missed."""
        properties = check(*solution)
        assert len({each.name for each in properties}) == len(properties)
        assert all(bool(each.hint) != each.passed for each in properties)
        return {
            each.name: f"{each.hint} {each.formula}"
            for each in properties
            if not each.passed and each.hint != UNEARNED
        }

    def right(self, check, solution):
        assert self.missed(check, solution) == {}

    def wrong(self, check, solution, expected):
        """It misses the expected properties alone, each with its part of a hint."""
        hints = self.missed(check, solution)
        assert hints.keys() == expected.keys()
        for name, snippet in expected.items():
            assert snippet in hints[name] or hints[name].startswith(AGAIN)

    def stub(self, check, arguments):
        def stub(*args, **kwargs):
            raise NotImplementedError

        properties = check(*[stub] * arguments)
        assert not any(each.passed for each in properties)
        assert [each.hint for each in properties] == [STUB] + [AGAIN] * (len(properties) - 1)

    def complete(self, check, right, wrong):
        """There are enough solutions, and each property is missed by one of the wrong ones."""
        assert len(right) >= 2 and len(wrong) >= 6
        properties = {each.name for each in check(*next(iter(right.values())))}
        assert properties == {name for _, missed in wrong.values() for name in missed}


@pytest.fixture
def prove():
    return Prove()
