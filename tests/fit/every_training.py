"""A training of every model, three epochs of small batches, as a notebook writes it.

A job takes the device and returns the model and what became of it.
"""

import numpy as np
import torch

from labkit import classifier as attributes
from labkit import flows, hvae, matching
from labkit import gan as adversarial
from labkit import vae as variational
from labkit.faces import TRAIN, FaceSet, Provenance, ResidentBatches
from labkit.fit import fit, held_out
from labkit.hvae import HVAE, HVAEConfig, HVAETraining
from labkit.vae.resnet import ResNetConfig, ResNetVAE

IMAGES = np.random.default_rng(0).integers(0, 256, (37, 3, 32, 32), dtype=np.uint8)
CODES = np.random.default_rng(1).normal(size=(37, 6)).astype(np.float32)
TOLD = np.random.default_rng(2).integers(0, 2, (37, 3)).astype(np.float32)
OPTIONS = {"epochs": 3, "precision": "auto", "progress": False}
GROUPS = {"size": 32, "width": 4, "groups": (1, 1, 0), "vector": 4}


def batches(images=IMAGES, model=None, **options):
    """Six batches of six and, of all images, one of one."""
    device = "cpu" if model is None else next(model.parameters()).device
    return ResidentBatches(images, batch_size=6, device=device, normalise="symmetric", **options)


def flow(device="cpu"):
    torch.manual_seed(0)
    model = flows.build_flow(flows.FlowConfig(6, 4, hidden=8)).initialise(torch.as_tensor(CODES)).to(device)
    rows = ResidentBatches(CODES, batch_size=6, device=device)
    with flows.fused(model) as engine:
        update = flows.update(engine, noise=0.3, codes=CODES)
        looks = {"validate": flows.held_out({"all": CODES}), "validate_every": 5}
        return model, fit(engine, update, rows, **looks, **OPTIONS)


def gan(device="cpu"):
    model = adversarial.DCGAN(adversarial.DCGANConfig(width=8, size=32, latent_dim=4))
    updates = adversarial.updates(model, augment=("colour", "translation", "cutout"))
    return model, fit(model, updates, batches(model=model, flip=True), **OPTIONS)


def vae(device="cpu"):
    model = variational.InstanceNormVAE(variational.InstanceNormConfig(4, (32, 32), 4))
    update = variational.update(model, kl_weight=1e-3)
    validate = held_out(update, batches(IMAGES[:9], model))
    return model, fit(model, update, batches(model=model), validate=validate, **OPTIONS)


def resnet_vae(device="cpu"):
    model = ResNetVAE(ResNetConfig(4, 32, 8))
    return model, fit(model, variational.update(model, kl_weight=1e-3), batches(IMAGES[:36], model), **OPTIONS)


def conditional_vae(device="cpu"):
    model = variational.ConditionalVAE(variational.ConditionalConfig(3, 4, (32, 32), 4))
    pairs = batches(model=model, labels=TOLD)
    return model, fit(model, variational.update(model, kl_weight=1e-3), pairs, **OPTIONS)


def beta_vae(device="cpu", **objective):
    model = variational.SmallVAE(variational.SmallConfig(4, size=32, width=4))
    update = variational.disentangling_update(model, variational.Objective(4.0, **objective), 36)
    return model, fit(model, update, batches(IMAGES[:36], model), **OPTIONS)


def tc_vae(device="cpu"):
    return beta_vae(device, penalty="tc")


def hierarchical_vae(device="cpu", **config):
    model = HVAE(HVAEConfig(**GROUPS, **config))
    update = hvae.update(model, HVAETraining(warm_up=9), OPTIONS["epochs"])
    return model, fit(model, update, batches(model=model, drop_last=True), **OPTIONS)


def saving_hierarchical_vae(device="cpu"):
    return hierarchical_vae(device, checkpointing=True, mixtures=3)


def pixel_flow(device="cpu"):
    model = matching.PixelFlow(matching.PixelConfig(32, 8, labels=3))
    update = matching.update(model, epochs=OPTIONS["epochs"], draws=2)
    return model, fit(model, update, batches(model=model, labels=TOLD, flip=True), **OPTIONS)


def classifier(device="cpu"):
    model = attributes.ResNet18(3, 8)
    faces = FaceSet(
        IMAGES[:36],
        Provenance("noise", False, "none", "none"),
        attributes=TOLD[:36] > 0,
        attribute_names=("a", "b", "c"),
        split=np.full(36, TRAIN, np.int8),
    )
    pairs = attributes.batches(faces, ("a", "b", "c"), batch_size=6, device=device)
    return model, fit(model, attributes.update(model, epochs=OPTIONS["epochs"]), pairs, **OPTIONS)


JOBS = [flow, gan, vae, resnet_vae, conditional_vae, beta_vae, tc_vae, hierarchical_vae, pixel_flow, classifier]
