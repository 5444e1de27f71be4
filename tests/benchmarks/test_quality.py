"""What the kit's fast paths and a tutorial's loops reach: the same on held-out faces, within the spread over seeds.

Each model is trained from the same first weights by `fit` and by the plain loop, which shuffles in another order
and draws other noise, on drawn faces; both are then asked about drawn faces that neither has seen. They agree where
Student's t-test over the seeds, two-sided at 5 %, tells no difference of the means.
"""

from collections.abc import Callable
from functools import cache
from statistics import mean, stdev

import numpy as np
import pytest
import torch
from bench_device import DEVICE
from image_loaders import decoded_loader, symmetric
from ledger import enter
from loops import Loss, as_in_a_tutorial, epoch, gan_adams, gan_epoch
from scipy.stats import ttest_ind
from torch import Tensor, nn

from labkit import classifier as attributes
from labkit import flows
from labkit import gan as adversarial
from labkit import vae as variational
from labkit.classifier import ResNet18, labelled
from labkit.classifier.training import attribute_loss
from labkit.drawn import synthetic_celeba, synthetic_olivetti
from labkit.faces import TRAIN, VALIDATION, FaceSet, ResidentBatches, split_by_image
from labkit.faces.codes import pca_codes
from labkit.fit import fit
from labkit.flows import FlowConfig, build_flow
from labkit.gan import DCGAN, DCGANConfig
from labkit.metrics.frechet import frechet_distance, oracle_extractor
from labkit.vae import InstanceNormConfig, InstanceNormVAE, Objective, SmallConfig, SmallVAE, weighted_loss
from labkit.vae.disentangling import disentangling_loss

pytestmark = pytest.mark.bench
SEEDS, COUNT, BATCH = range(5), 1200, 64
HALF = COUNT // 2
NAMES = ("Male", "Smiling", "Eyeglasses")
Reached = tuple[float, float]  # by the plain loop, by the kit


@cache
def faces(size: str = "64") -> FaceSet:
    return synthetic_celeba(COUNT, size=size, cache=False)


def plainly(model: nn.Module, loader, loss: Loss, optimizer, epochs: int, schedule=None) -> nn.Module:
    for _ in range(epochs):
        epoch(model, loader, loss, optimizer)
        if schedule is not None:
            schedule.step()
    return model


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(seed)
    return build().to(DEVICE)


def by_the_kit(model: nn.Module, updates, images: np.ndarray, *, epochs: int, seed: int) -> nn.Module:
    """`model` trained by `fit` on uint8 images, as the labs do."""
    batches = ResidentBatches(images, batch_size=BATCH, seed=seed, device=DEVICE, normalise="symmetric")
    return fit(model, updates, batches, epochs=epochs, precision="auto", seed=seed, progress=False).model


@torch.no_grad()
def asked(model: nn.Module, loss: Loss, *held_out: Tensor) -> float:
    """The loss on all held-out items at once, in eval mode and with the same noise for every model."""
    model.eval()
    torch.manual_seed(0)
    return loss(model, [values.to(DEVICE) for values in held_out]).item()


def realnvp(seed: int) -> Reached:
    """NLL in nats of the codes of 80 held-out pictures, Lab 01's model after 30 epochs of the other 320."""
    codes = pca_codes(split_by_image(synthetic_olivetti()), 64)
    known, config, epochs = torch.from_numpy(codes.known), FlowConfig(64, 8), 30

    def loss(flow, batch):
        return flow.forward_kld(batch[0])

    plain = seeded(seed, lambda: build_flow(config).initialise(known))
    adam = torch.optim.Adam(plain.parameters(), 1e-4)
    plainly(plain, decoded_loader(known, batch_size=32), loss, adam, epochs)
    ours = seeded(seed, lambda: build_flow(config).initialise(known))
    batches = ResidentBatches(codes.known, batch_size=32, seed=seed, device=DEVICE)
    with flows.fused(ours) as engine:
        fit(engine, flows.update(engine, rate=1e-4), batches, epochs=epochs, seed=seed, progress=False)
    return tuple(asked(flow, loss, torch.from_numpy(codes.test)) for flow in (plain, ours))


def vae(seed: int) -> Reached:
    """Squared error + λ KL of report E's VAE, λ = 1e-5, width 8, 8 epochs of 600 faces."""
    images, epochs, options = faces("64x48").images, 8, {"kl_weight": 1e-5, "reduction": "mean"}

    def loss(model, batch):
        return weighted_loss(model, batch[0], **options)[0]

    plain, ours = (seeded(seed, lambda: InstanceNormVAE(InstanceNormConfig(width=8))) for _ in range(2))
    as_in_a_tutorial(plain)
    adam = torch.optim.Adam(plain.parameters(), 1e-3)
    plainly(plain, decoded_loader(symmetric(images[:HALF]), batch_size=BATCH), loss, adam, epochs)
    by_the_kit(ours, variational.update(ours, **options), images[:HALF], epochs=epochs, seed=seed)
    return tuple(asked(model, loss, symmetric(images[HALF:])) for model in (plain, ours))


def beta_vae(seed: int) -> Reached:
    """Negative log-likelihood + 4 KL in nats of Lab 05's VAE, half its width, 20 epochs of 600 faces of 32×32."""
    images, epochs, objective = faces().images[:, :, ::2, ::2], 20, Objective(beta=4.0)

    def loss(model, batch):
        return disentangling_loss(model, batch[0], objective, HALF)[0]

    plain, ours = (seeded(seed, lambda: SmallVAE(SmallConfig(10, 3, 32, 16))) for _ in range(2))
    adam = torch.optim.Adam(plain.parameters(), 1e-3)
    plainly(plain, decoded_loader(symmetric(images[:HALF]), batch_size=BATCH), loss, adam, epochs)
    update = variational.disentangling_update(ours, objective, HALF)
    by_the_kit(ours, update, images[:HALF], epochs=epochs, seed=seed)
    return tuple(asked(model, loss, symmetric(images[HALF:])) for model in (plain, ours))


def classifier(seed: int) -> Reached:
    """Cross entropy in nats of three attributes, ResNet-18 of width 8, 4 epochs of the training part."""
    (images, labels), (unseen, truth) = (labelled(faces(), part, NAMES) for part in (TRAIN, VALIDATION))
    epochs = 4

    def loss(model, batch):
        return attribute_loss(model(batch[0]), batch[1])

    def tensors(images, labels):
        return torch.from_numpy(images).float() / 255, torch.from_numpy(labels)

    plain, ours = (seeded(seed, lambda: ResNet18(len(NAMES), width=8)) for _ in range(2))
    as_in_a_tutorial(plain)
    adam = torch.optim.AdamW(plain.parameters(), 1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    plainly(plain, decoded_loader(*tensors(images, labels), batch_size=BATCH), loss, adam, epochs, schedule)
    batches = attributes.batches(faces(), NAMES, batch_size=BATCH, seed=seed, device=DEVICE)
    update = attributes.update(ours, epochs=epochs)
    fit(ours, update, batches, epochs=epochs, precision="auto", seed=seed, progress=False)
    return tuple(asked(model, loss, *tensors(unseen, truth)) for model in (plain, ours))


def dcgan(seed: int) -> Reached:
    """Fréchet distance in oracle features of 600 samples from 600 unseen faces, width 16, 5 epochs of 600 others."""
    images, epochs = faces().images, 5
    plain, ours = (seeded(seed, lambda: DCGAN(DCGANConfig(width=16))) for _ in range(2))
    loader = decoded_loader(symmetric(images[:HALF]), batch_size=BATCH)
    adams = gan_adams(as_in_a_tutorial(plain))
    for _ in range(epochs):
        gan_epoch(plain, loader, adams)
    by_the_kit(ours, adversarial.updates(ours), images[:HALF], epochs=epochs, seed=seed)
    return tuple(_distance(model.eval(), images[HALF:]) for model in (plain, ours))


@torch.no_grad()
def _distance(model: DCGAN, real: np.ndarray) -> float:
    drawn = model.sample(len(real), torch.Generator(DEVICE).manual_seed(0)).cpu()
    return frechet_distance(real, (drawn + 1) / 2, oracle_extractor()).distance


MODELS = {
    "RealNVP K=8, held-out nats": realnvp,
    "VAE of report E, width 8, held-out loss": vae,
    "β-VAE of Lab 05, width 16, held-out nats": beta_vae,
    "ResNet-18, width 8, held-out cross entropy": classifier,
    "DCGAN, width 16, Fréchet distance": dcgan,
}


@pytest.mark.parametrize("name", MODELS)
def test_the_fast_path_reaches_what_the_plain_one_does(name):
    plain, ours = zip(*(MODELS[name](seed) for seed in SEEDS), strict=True)
    row = {"seeds": len(SEEDS), "p_value": float(ttest_ind(plain, ours).pvalue)}
    for who, reached in (("plain", plain), ("labkit", ours)):
        row |= {f"{who}_mean": mean(reached), f"{who}_sd": stdev(reached)}
    enter(f"quality, {name}", row)
    assert row["p_value"] > 0.05
