"""A training of every model, three epochs of small batches, each as its own function does it.

A job takes the device and returns the model and what became of it.
"""

import numpy as np

from labkit.classifier.nets import resnet18_classifier
from labkit.classifier.training import fit_classifier
from labkit.faces import TRAIN, FaceSet, Provenance
from labkit.flows.nets import FlowConfig
from labkit.flows.training import fit_flow
from labkit.gan.dcgan import DCGAN, DCGANConfig
from labkit.gan.training import fit_gan
from labkit.hvae.nets import HVAE, HVAEConfig
from labkit.hvae.training import HVAETraining, fit_hvae
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE
from labkit.vae.disentangling import Objective, fit_disentangling
from labkit.vae.instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.vae.resnet import ResNetConfig, ResNetVAE
from labkit.vae.small import SmallConfig, SmallVAE
from labkit.vae.training import fit_vae

IMAGES = np.random.default_rng(0).integers(0, 256, (37, 3, 32, 32), dtype=np.uint8)
CODES = np.random.default_rng(1).normal(size=(37, 6)).astype(np.float32)
TOLD = np.random.default_rng(2).integers(0, 2, (37, 3)).astype(np.float32)
OPTIONS = {"epochs": 3, "batch_size": 6}  # six batches of six and one of one
GROUPS = {"size": 32, "width": 4, "groups": (1, 1, 0), "vector": 4}


def flow(device="cpu"):
    options = {**OPTIONS, "device": device}
    return fit_flow(CODES, FlowConfig(6, 4, hidden=8), noise=0.3, watch={"all": CODES}, **options)


def gan(device="cpu"):
    model = DCGAN(DCGANConfig(width=2, size=32, latent_dim=4))
    return model, fit_gan(
        model, IMAGES, augment=("colour", "translation", "cutout"), flip=True, health=None, **OPTIONS
    )


def vae(device="cpu"):
    model = InstanceNormVAE(InstanceNormConfig(4, (32, 32), 2))
    return model, fit_vae(model, IMAGES, kl_weight=1e-3, held_out=(IMAGES[:9], None), **OPTIONS)


def resnet_vae(device="cpu"):
    model = ResNetVAE(ResNetConfig(4, 32, 2))
    return model, fit_vae(model, IMAGES[:36], kl_weight=1e-3, **OPTIONS)


def conditional_vae(device="cpu"):
    model = ConditionalVAE(ConditionalConfig(3, 4, (32, 32), 2))
    return model, fit_vae(model, IMAGES, TOLD, kl_weight=1e-3, **OPTIONS)


def beta_vae(device="cpu", **objective):
    model = SmallVAE(SmallConfig(4, size=32, width=4))
    return model, fit_disentangling(model, IMAGES[:36], Objective(4.0, **objective), **OPTIONS)


def tc_vae(device="cpu"):
    return beta_vae(device, penalty="tc", likelihood="bernoulli")


def hierarchical_vae(device="cpu", **config):
    model = HVAE(HVAEConfig(**GROUPS, **config))
    return model, fit_hvae(model, IMAGES, training=HVAETraining(warm_up=9), **OPTIONS)


def saving_hierarchical_vae(device="cpu"):
    return hierarchical_vae(device, checkpointing=True, mixtures=3)


def classifier(device="cpu"):
    model = resnet18_classifier(3, 4)
    everyone = np.full(36, TRAIN, np.int8)
    faces = FaceSet(
        IMAGES[:36],
        Provenance("noise", False, "none", "none"),
        attributes=TOLD[:36] > 0,
        attribute_names=("a", "b", "c"),
        split=everyone,
    )
    return model, fit_classifier(model, faces, ("a", "b", "c"), device=device, **OPTIONS)


JOBS = [flow, gan, vae, resnet_vae, conditional_vae, beta_vae, tc_vae, hierarchical_vae, classifier]
