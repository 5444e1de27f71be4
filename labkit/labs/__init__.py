"""Checks and claims of the labs, one folder each."""

from importlib import import_module

from labkit.claims import Claim

LABS = ("lab01", "lab02", "lab03", "lab04", "lab05", "lab06")  # those that judge claims


def all_claims() -> dict[str, Claim]:
    """Every claim by its id, report by report."""
    found = [
        each
        for lab in LABS
        for each in vars(import_module(f"labkit.labs.{lab}.claims")).values()
        if isinstance(each, Claim)
    ]
    return {each.id: each for each in sorted(found, key=lambda each: (each.id[0], int(each.id[1:])))}
