"""Training the factor oracle on drawn faces, and making its uncertainties honest."""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn

from labkit.course.oracle.pictures import draw_factors, mirror, spoil
from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS, sample_factors
from labkit.drawn.renderer.render import render
from labkit.faces.batches import ResidentBatches
from labkit.files import atomic_path
from labkit.fit.loop import fit
from labkit.fit.step import Update
from labkit.oracle.net import SIDE, FactorNet

WITHIN_ONE = 0.6827  # of a Gaussian lies within one standard deviation
VALIDATION_SEED = 10**6  # added to the seed: the faces of the calibration


@dataclass(frozen=True)
class OracleConfig:
    """What makes an oracle."""

    faces: int = 60_000  # drawn once, before training
    held_out: int = 6_000  # further faces, that set the calibration
    epochs: int = 11  # passes over the faces
    batch_size: int = 128  # faces in a batch
    rate: float = 3e-3  # AdamW's first rate; it falls to zero along half a cosine
    weight_decay: float = 0.05  # decoupled, as in AdamW


def train_oracle(config: OracleConfig | None = None, *, seed: int = 0, progress: bool = False) -> FactorNet:
    """Draw faces, train a network to read their factors, and calibrate it on faces it has not seen; in eval mode.

    The same seed gives the same weights on the same kind of machine with as many threads. Convolutions run in
    bfloat16, which halves the time where the processor knows it and is slow where it does not. The default takes
    nine minutes on one core of a server, and holds 0.8 GB of images.
    """
    config = config or OracleConfig()
    torch.manual_seed(seed)
    factors = draw_factors(config.faces, seed)
    net = FactorNet(torch.tensor([factor.kind == BINARY for factor in FACTORS]))
    net.centre.copy_(torch.where(net.binary, 0.0, factors.mean(0)))
    net.spread.copy_(torch.where(net.binary, 1.0, factors.std(0)))
    net.to(memory_format=torch.channels_last)
    images = render(factors, SIDE)
    held_factors = sample_factors(seed + VALIDATION_SEED, torch.arange(config.held_out))
    held_images = render(held_factors, SIDE)
    optimizer = torch.optim.AdamW(net.parameters(), config.rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, config.epochs)
    fit(
        net,
        Update("loss", oracle_loss, optimizer, schedule, clip=1.0),
        ResidentBatches(images, labels=factors, batch_size=config.batch_size, seed=seed, drop_last=True),
        epochs=config.epochs,
        validate=lambda model: {"held_out_loss": reading_loss(model, _floats(held_images), held_factors).item()},
        precision="bf16",
        seed=seed,
        config=asdict(config),
        progress=progress,
    )
    calibrate(net, held_images, held_factors)
    return net


def oracle_loss(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The loss on a batch (images (N, 3, 64, 64) in [0, 1], factors (N, F)), half mirrored and all spoilt."""
    images, factors = batch
    with torch.autocast(images.device.type, enabled=False):
        images, factors = mirror(images, factors, torch.rand(len(images), device=images.device) < 0.5)
        images = spoil(images).contiguous(memory_format=torch.channels_last)
    return reading_loss(model, images, factors)


def reading_loss(net: FactorNet, images: Tensor, factors: Tensor) -> Tensor:
    """Mean over pictures and factors of the β-NLL (β = ½) or, for binary factors, the cross-entropy, in nats.

    The Gaussian negative log-likelihood of a factor is weighted by its predicted standard deviation, because
    otherwise what is hard to read at first would get ever smaller gradients (Seitzer et al., arXiv:2203.09168).
    """
    location, log_variance = net(images)
    wanted = (factors - net.centre) / net.spread
    nll = 0.5 * ((wanted - location).square() * torch.exp(-log_variance) + log_variance)
    weighted = nll * torch.exp(0.5 * log_variance).detach()
    entropy = F.binary_cross_entropy_with_logits(location, factors.clamp(0, 1), reduction="none")
    return torch.where(net.binary, entropy, weighted).mean()


@torch.no_grad()
def calibrate(net: FactorNet, images: Tensor, factors: Tensor) -> None:
    """Set `net.scale` on faces that were not trained on: uint8 images (N, 3, 64, 64) and factors (N, F).

    For a continuous factor, so that 68.27 % of the errors lie within one standard deviation; for a binary one, the
    temperature of least cross-entropy.
    """
    net.eval()
    net.scale.fill_(1)
    outputs = [net(_floats(part)) for part in images.split(1000)]
    location, log_variance = (torch.cat(parts).double() for parts in zip(*outputs, strict=True))
    error = ((factors - net.centre) / net.spread - location).abs() / torch.exp(0.5 * log_variance)
    quantile = torch.quantile(error, WITHIN_ONE, dim=0)
    temperatures = torch.logspace(-1, 1, 201, dtype=torch.float64, device=location.device)
    for k, binary in enumerate(net.binary.tolist()):
        if binary:
            losses = [
                F.binary_cross_entropy_with_logits(location[:, k] / t, factors[:, k].double()) for t in temperatures
            ]
            quantile[k] = temperatures[int(torch.stack(losses).argmin())]
    net.scale.copy_(quantile)


def save_oracle(net: FactorNet, path: str | Path) -> None:
    """Write the network to a safetensors file: matrices and kernels as float16, the rest as float32.

    Raises LabkitError: see `labkit.files.atomic_path`.
    """
    tensors = {
        name: value.detach().cpu().to(torch.float16 if value.ndim > 1 else value.dtype).contiguous()
        for name, value in net.state_dict().items()
    }
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata={"factors": " ".join(FACTOR_NAMES)})


def _floats(images: Tensor) -> Tensor:
    return images.float().div_(255).contiguous(memory_format=torch.channels_last)
