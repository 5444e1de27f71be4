"""Who reads a face: the factor oracle for drawn faces, an attribute classifier for photographs, one shape for both.

A reader is used only for what it demonstrably reads, on faces that it was not trained on.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import logit
from sklearn.metrics import roc_auc_score

from labkit import classifier
from labkit.classifier import AttributeReader, ResNet18, labelled
from labkit.drawn.attributes import SYNTHETIC_ATTRIBUTES, attributes_of
from labkit.drawn.factors import BINARY, FACTORS
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet
from labkit.fit import fit
from labkit.metrics.scaling import in_unit
from labkit.metrics.selectivity import Selectivity, selectivity
from labkit.oracle.oracle import READABLE, load_oracle

READABLE_AUC = 0.7
SUREST = 1e-4  # probabilities are clipped to this before their logit
MOST_LABELLED = 20_000
PERSON_IN = 8  # of eight people one says when training stops, and another is for measuring the classifier


@dataclass(frozen=True)
class FeatureReader:
    """Reads F features, of which some are good enough."""

    read_all: Callable[[np.ndarray], np.ndarray]  # uint8 images (N, 3, H, W) → readings (N, F)
    all_names: tuple[str, ...]  # F names
    quality: np.ndarray  # (F,), measured on faces that the reader was not trained on
    enough: float  # quality from which a feature counts as read
    sees: Callable[[np.ndarray], np.ndarray]  # uint8 images → bool (N, A), which attributes they have
    attributes: tuple[str, ...]  # A names

    @property
    def kept(self) -> np.ndarray:
        """Indices of the features that are read."""
        return np.flatnonzero(self.quality >= self.enough)

    @property
    def names(self) -> list[str]:
        """Names of the features that are read."""
        return [self.all_names[i] for i in self.kept]

    def read(self, images: np.ndarray) -> np.ndarray:
        """Readings (N, K) of the K features that are read."""
        return self.read_all(images)[:, self.kept]

    def at_least(self, count: int) -> "FeatureReader":
        """Itself, or where fewer than `count` features are good enough, a less strict one that keeps so many.

        Args:
            count: from 1 to F. Ties are all kept.
        """
        return replace(self, enough=min(self.enough, np.sort(self.quality)[-count]))


def oracle_reader(faces: FaceSet, device: torch.device | str = "cpu") -> FeatureReader:
    """The factor oracle; its quality is the squared correlation with the factors that drew `faces`.

    Raises LabkitError: the factors are not known: of photographs the oracle says nothing that means anything.
    """
    if faces.factors is None:
        raise LabkitError(f"{faces.provenance.name}: factors are not known; read it with attribute_reader.")
    oracle = load_oracle(device)

    def read(images: np.ndarray) -> np.ndarray:
        return oracle.read(images).mean

    return FeatureReader(
        read,
        faces.factor_names,
        agreement(read(faces.images), faces.factors),
        READABLE,
        lambda images: attributes_of(read(images)),
        SYNTHETIC_ATTRIBUTES,
    )


def attribute_reader(
    faces: FaceSet, *, width: int, epochs: int, seed: int = 0, device: torch.device | str = "cpu"
) -> FeatureReader:
    """A ResNet-18 as in lab 02, trained on the labelled faces of six people in eight; it reads logits.

    The seventh says when to stop. Its quality is the area under the curve on the eighth, of whom it knows
    nothing; 0 for what nobody or everybody there has.

    Raises LabkitError: too few labelled faces to train on, or to measure it.
    """
    known = faces.labelled
    some = faces.subset(np.flatnonzero(known)[:MOST_LABELLED])
    place = np.unique(some.identity, return_inverse=True)[1] % PERSON_IN
    split = np.select([place == PERSON_IN - 2, place == PERSON_IN - 1], [VALIDATION, TEST], TRAIN)
    some = replace(some, split=split.astype(np.int8))
    names = tuple(faces.attribute_names)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = ResNet18(len(names), width)
    fit(
        net.to(device),
        classifier.update(net, rate=2e-3, epochs=epochs, augment=True),
        classifier.batches(some, names, seed=seed, device=device),
        epochs=epochs,
        validate=classifier.held_out(some, names),
        watch="validation",
        precision="auto",
        seed=seed,
        progress=False,
    )
    reader = AttributeReader(net, names, faces.images.shape[-2:], f"{len(some)} labelled faces")

    def read(images: np.ndarray) -> np.ndarray:
        return logit(reader.read(images).astype(float).clip(SUREST, 1 - SUREST))

    images, labels = labelled(some, TEST, names)
    pairs = zip(read(images).T, labels.T, strict=True)
    quality = [roc_auc_score(label, told) if 0 < label.mean() < 1 else 0.0 for told, label in pairs]
    # Half a probability would call a rare attribute never; this calls it as often as those people have it.
    bars = [np.quantile(told, 1 - share) for told, share in zip(read(images).T, labels.mean(0), strict=True)]
    return FeatureReader(
        read, names, np.array(quality), READABLE_AUC, lambda images: read(images) > np.array(bars), names
    )


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Squared correlation of each column of (N, F) and (N, F), (F,); 0 where one never varies."""
    a, b = (in_unit(values - values.mean(0)) for values in (one.astype(float), other.astype(float)))
    scale = np.sqrt((a**2).sum(0) * (b**2).sum(0))
    varies = (np.ptp(one, 0) > 0) & (np.ptp(other, 0) > 0)  # a mean of equal values may be off by a rounding
    return np.divide((a * b).sum(0), scale, out=np.zeros(a.shape[1]), where=varies) ** 2


def true_moves(reader: FeatureReader, factors: np.ndarray, count: int) -> Selectivity:
    """What is read when truly one factor is moved: the control that any claim about latents is held against.

    Each factor that is read is set two standard deviations below and above its mean, within its range (a switch:
    off and on), and the first `count` faces are drawn anew.

    Args:
        factors: (N, F) of real faces of the data set.
        count: at least 2.
    """
    centre, deviation = factors.mean(0), factors.std(0)
    spread = reader.read(render(torch.from_numpy(factors[: 20 * count])).numpy()).std(0)
    ends = []
    for side in (-1, 1):
        found = []
        for i in reader.kept:
            factor, changed = FACTORS[i], torch.from_numpy(factors[:count].copy())
            value = np.clip(centre[i] + 2 * side * deviation[i], factor.low, factor.high)
            changed[:, i] = float(value if factor.kind != BINARY else side > 0)
            found.append(reader.read(render(changed).numpy()))
        ends.append(np.stack(found))
    return selectivity(*ends, spread)
