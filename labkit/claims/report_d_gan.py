"""Claims of report D that lab 04a puts to the test: how a DCGAN trains."""

from labkit.claims.rules import Claim

CLAIMS_D_GAN: tuple[Claim, ...] = ()
