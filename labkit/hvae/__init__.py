"""The hierarchical VAE: cells, groups of latents, likelihood, update and measures."""

from labkit.hvae.discretised_logistic import log_mass
from labkit.hvae.groups import HVAEConfig
from labkit.hvae.measures import bounds, elbo_bits, importance_weighted_bits, redrawn, statistics_of_samples
from labkit.hvae.nets import HVAE, count_parameters
from labkit.hvae.training import HVAETraining, kl_weight, kl_weights, update
