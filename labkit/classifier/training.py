"""Training attribute classifiers: a whole network, or a head on features that a frozen trunk computed once."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labkit.classifier.augment import StrongAugmentation
from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.faces.faceset import TRAIN, VALIDATION, FaceSet
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

    Raises LabkitError: the faces have no attributes, or none of a name.
    """
    if missing := [name for name in names if name not in faces.attribute_names]:
        raise LabkitError(f"{faces.provenance.name}: has no attribute {missing[0]!r}; see faces.attribute_names.")
    here = faces.split == part
    if faces.attributes_known is not None:
        here &= faces.attributes_known
    columns = [faces.attribute_names.index(name) for name in names]
    rows = np.flatnonzero(here)
    return np.asarray(faces.images[rows]), faces.attributes[rows][:, columns].astype(np.float32)


def batches(
    faces: FaceSet, names: Sequence[str], *, batch_size: int = 64, seed: int = 0, device: torch.device | str = "cpu"
) -> ResidentBatches:
    """Batches of images and labels (N, A) from the training part of `faces`; unknown rows never count.

    Raises LabkitError: no labelled training images; see `labelled`.
    """
    images, labels = labelled(faces, TRAIN, names)
    if not len(images):
        raise LabkitError(f"{faces.provenance.name}: no training image has known attributes; split it anew.")
    # A last batch of one image has no statistics to normalise with.
    alone = len(images) % batch_size == 1 < len(images)
    return ResidentBatches(images, labels=labels, batch_size=batch_size, seed=seed, drop_last=alone, device=device)


def update(
    model: nn.Module,
    *,
    rate: float = 1e-3,
    weight_decay: float = 0.05,
    epochs: int | None = None,
    augment: bool = False,
) -> Update:
    """One step of AdamW on `attribute_loss`, of the parameters that have a gradient; named "loss", in nats.

    Args:
        model: images in [0, 1], or features → logits (N, A), or in training a pair with an auxiliary head's.
        epochs: length of the half cosine along which the rate falls to 0; None keeps it.
        augment: images go through `StrongAugmentation` first.
    """
    strong = StrongAugmentation() if augment else None

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        images, labels = batch
        return attribute_loss(model(images if strong is None else strong(images)), labels)

    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    adam = torch.optim.AdamW(trained, rate, weight_decay=weight_decay, fused=True)
    schedule = None if epochs is None else torch.optim.lr_scheduler.CosineAnnealingLR(adam, epochs)
    return Update("loss", loss, adam, schedule, {"augment": augment}, capturable=not augment)


def held_out(faces: FaceSet, names: Sequence[str]) -> Callable[[nn.Module], dict[str, float]] | None:
    """For `validate`: the loss on the validation part of `faces`, as "validation"; None if no row is labelled."""
    images, labels = labelled(faces, VALIDATION, names)

    def evaluate(model: nn.Module) -> dict[str, float]:
        logits = predict_logits(model, images, next(model.parameters()).device)
        return {"validation": attribute_loss(logits, torch.as_tensor(labels)).item()}

    return evaluate if len(images) else None


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
