"""Claims of report D that lab 04b puts to the test: sums of latents, and a GAN beside a VAE."""

from labkit.claims.rules import Claim

CLAIMS_D_FACES: tuple[Claim, ...] = ()
