"""The claim of report C's plan that lab 06 puts to the test: depthwise convolutions and a hierarchy of latents."""

from labkit.claims.rules import Claim

CLAIMS_C_HIERARCHY: tuple[Claim, ...] = ()
