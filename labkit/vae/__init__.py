"""Variational autoencoders: nets, the weighted and the disentangling loss, measures of what was learnt."""

from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.disentangling import Objective, disentangling_update
from labkit.vae.instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.vae.kl_weight import KLWeight
from labkit.vae.measures import (
    active_units,
    decoder_sigma,
    image_bits_per_dim,
    importance_weighted_bound,
    kl_per_dimension,
    posteriors,
    reconstruct,
    reconstruction_error,
)
from labkit.vae.nets import VAE, gaussian_log_likelihood, kl_divergence
from labkit.vae.small import SmallConfig, SmallVAE
from labkit.vae.training import update, weighted_loss
