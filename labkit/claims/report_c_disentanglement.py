"""Claims of report C's plan that lab 05 puts to the test: what β, labels and independence do for disentanglement."""

from labkit.claims.rules import Claim

CLAIMS_C_DISENTANGLEMENT: tuple[Claim, ...] = ()
