"""The claim of report D that lab 04c puts to the test: rare faces are the hard ones."""

from labkit.claims.rules import Claim

CLAIMS_D_RARE: tuple[Claim, ...] = ()
