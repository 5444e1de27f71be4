"""Generative adversarial nets: the DCGAN, its two updates, and the monitor of its health."""

from labkit.gan.dcgan import DCGAN, DCGANConfig
from labkit.gan.diff_augment import POLICIES, augment
from labkit.gan.health import HealthMonitor, HealthRule
from labkit.gan.training import discriminator_loss, generator_loss, updates
