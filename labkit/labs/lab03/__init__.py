"""Checks and claims of lab 03's exercises (parts a to c)."""

from labkit.labs.lab03.bounds import aggregate_variance, importance_weighted
from labkit.labs.lab03.claims import C3, C4, D1, D2, D3, E1, E2, E3, E4, E5
from labkit.labs.lab03.conditioning import asking, conditional_pass
from labkit.labs.lab03.deciding import verdict_over_seeds
from labkit.labs.lab03.drawing import reparameterisation
from labkit.labs.lab03.elbo import closed_form_kl, elbo
from labkit.labs.lab03.mirroring import odd_share
