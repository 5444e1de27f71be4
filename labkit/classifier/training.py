"""Fitting attribute classifiers: a whole network, or a head on features that a frozen trunk computed once."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.classifier.augment import StrongAugmentation
from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.faces.faceset import TRAIN, VALIDATION, FaceSet
from labkit.fit.loop import FitResult, fit
from labkit.fit.step import Update

# Of Inception's second head (Szegedy et al., arXiv:1512.00567, as torchvision trains it).
AUXILIARY_WEIGHT = 0.4
Batch = tuple[Tensor, Tensor]


def attribute_loss(logits: Tensor | tuple[Tensor, Tensor], labels: Tensor) -> Tensor:
    """Binary cross-entropy in nats, the mean over images (N) and attributes (A), an auxiliary head's added at 0.4."""
    if isinstance(logits, Tensor):
        return F.binary_cross_entropy_with_logits(logits, labels)
    main, auxiliary = logits
    return attribute_loss(main, labels) + AUXILIARY_WEIGHT * attribute_loss(auxiliary, labels)


def labelled(faces: FaceSet, part: int, names: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Images uint8 (N, 3, H, W) and labels float32 (N, A) of those faces in `part` whose attributes are known.

    Raises:
        LabkitError: the faces have no attributes, or none of a name.
    """
    if missing := [name for name in names if name not in faces.attribute_names]:
        raise LabkitError(f"{faces.provenance.name}: has no attribute {missing[0]!r}; see faces.attribute_names.")
    here = faces.split == part
    if faces.attributes_known is not None:
        here &= faces.attributes_known
    columns = [faces.attribute_names.index(name) for name in names]
    rows = np.flatnonzero(here)
    return np.asarray(faces.images[rows]), faces.attributes[rows][:, columns].astype(np.float32)


def fit_classifier(
    model: nn.Module,
    faces: FaceSet,
    names: Sequence[str],
    *,
    epochs: int,
    augment: bool = False,
    rate: float = 1e-3,
    weight_decay: float = 0.05,
    batch_size: int = 64,
    stop: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    precision: str = "auto",
    run_dir: str | Path | None = None,
    progress: bool = False,
) -> FitResult:
    """Train a classifier on the training part of `faces`, by AdamW whose rate falls along half a cosine.

    Rows with unknown attributes never count: they are left out of every batch.

    Args:
        model: images in [0, 1] → logits (N, A), or in training a pair with an auxiliary head's.
        faces: with attributes and a split.
        names: the A attributes.
        augment: strong augmentation (`labkit.classifier.augment`) or none.
        stop: keep the weights of the epoch with the lowest loss on the validation part.
        run_dir: checkpoint folder, None for none.

    Returns:
        The record of the training; its losses "loss" and, where a validation part is labelled, "validation", are
        mean binary cross-entropies in nats.

    Raises:
        LabkitError: no labelled training images; `stop` without labelled validation images; see `fit`.
    """
    images, labels = labelled(faces, TRAIN, names)
    held_out = labelled(faces, VALIDATION, names)
    if not len(images) or (stop and not len(held_out[0])):
        part = "validation" if len(images) else "training"
        raise LabkitError(f"{faces.provenance.name}: no {part} image has known attributes; split it anew.")
    strong = StrongAugmentation() if augment else None
    # A last batch of one image has no statistics to normalise with.
    alone = len(images) % batch_size == 1 < len(images)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        images, labels = batch
        return attribute_loss(model(images if strong is None else strong(images)), labels)

    def validate(model: nn.Module) -> dict[str, float]:
        scores = predict_logits(model, held_out[0], device)
        return {"validation": attribute_loss(scores, torch.as_tensor(held_out[1])).item()}

    optimizer = torch.optim.AdamW(
        [p for p in model.to(device).parameters() if p.requires_grad],
        rate,
        weight_decay=weight_decay,
        fused=True,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    return fit(
        model,
        Update("loss", loss, optimizer, schedule, capturable=not augment),
        ResidentBatches(images, labels=labels, batch_size=batch_size, seed=seed, drop_last=alone, device=device),
        epochs=epochs,
        validate=validate if len(held_out[0]) else None,
        watch="validation" if stop else None,
        seed=seed,
        precision=precision,
        run_dir=run_dir,
        config={"augment": augment, "attributes": list(names)},
        progress=progress,
    )


@torch.no_grad()
def predict_logits(
    model: nn.Module, images: np.ndarray, device: torch.device | str = "cpu", batch_size: int = 256
) -> Tensor:
    """Logits (N, A) on the CPU for uint8 images (N, 3, H, W), in eval mode."""
    model.eval()
    logits = [model(pictures).float().cpu() for pictures in _pictures(images, batch_size, device)]
    return torch.cat(logits)


@torch.no_grad()
def trunk_features(
    model: nn.Module, images: np.ndarray, *, views: int = 0, device: torch.device | str = "cpu", seed: int = 0
) -> Tensor:
    """Features of a frozen trunk, computed once: of the images as they are, or of `views` augmented pictures of each.

    Args:
        model: with `features`: images in [0, 1] → (N, D).
        images: uint8 (N, 3, H, W).
        views: 0 for the images as they are.
        seed: of the augmentation.

    Returns:
        (N, D) on the CPU, or (views N, D), all images once and then again.
    """
    model.eval()
    strong = StrongAugmentation() if views else None
    found = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for _ in range(max(views, 1)):
            for pictures in _pictures(images, 32, device):
                found.append(model.features(pictures if strong is None else strong(pictures)).float().cpu())
    return torch.cat(found)


def _pictures(images: np.ndarray, batch_size: int, device: torch.device | str) -> Iterator[Tensor]:
    """Batches in [0, 1] of uint8 images, which may be a memory map: one batch at a time is copied."""
    for start in range(0, len(images), batch_size):
        yield torch.tensor(images[start : start + batch_size], device=device).float() / 255


def fit_head(
    model: nn.Module, features: Tensor, labels: np.ndarray, *, epochs: int, rate: float = 1e-4, seed: int = 0
) -> FitResult:
    """Train the `head` of a model on features (N, D) of its frozen trunk; labels float32 (N, A)."""
    head = model.head
    device = next(head.parameters()).device

    def loss(head: nn.Module, batch: Batch) -> Tensor:
        return attribute_loss(head(batch[0]), batch[1])

    optimizer = torch.optim.AdamW(head.parameters(), rate, weight_decay=0.05, fused=True)
    batches = ResidentBatches(features, labels=labels, batch_size=64, seed=seed, device=device)
    return fit(head, Update("loss", loss, optimizer), batches, epochs=epochs, seed=seed, progress=False)
