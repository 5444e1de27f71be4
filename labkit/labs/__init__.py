"""Checks and claims of the labs, one folder each."""

from importlib import import_module
from pathlib import Path

from labkit.claims import Claim


def all_claims() -> dict[str, Claim]:
    """Every claim by its id, report by report; a lab that judges any has a module `claims`."""
    modules = sorted(path.parent.name for path in Path(__file__).parent.glob("lab*/claims.py"))
    found = [
        each
        for lab in modules
        for each in vars(import_module(f"labkit.labs.{lab}.claims")).values()
        if isinstance(each, Claim)
    ]
    return {each.id: each for each in sorted(found, key=lambda each: (each.id[0], int(each.id[1:])))}
