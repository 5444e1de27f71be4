"""A set of drawn faces shaped like Olivetti."""

from dataclasses import replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from labkit.drawn.factors import FACTOR_NAMES, sample_factors
from labkit.drawn.recipe import recipe
from labkit.drawn.renderer.render import render
from labkit.faces.faceset import TEST, FaceSet, Provenance
from labkit.faces.words import OLIVETTI_ATTRIBUTES

LICENCE = "MIT, as the kit"
OLIVETTI_PEOPLE, OLIVETTI_SHOTS, OLIVETTI_SIZE = 40, 10, 64
# Share of a person's own habit, and of the change from shot to shot, in the pose and the light.
SITTING = {
    "yaw": (0.3, 0.35),
    "pitch": (0.5, 0.45),
    "roll": (0.5, 0.4),
    "light_azimuth": (0.6, 0.3),
    "light_elevation": (0.5, 0.5),
}
CROP_SCALE = 120  # height of the drawing, in pixels, that the 64-pixel Olivetti crop is cut from


def _olivetti_people(seed: int) -> Tensor:
    """Indices (40,) of 34 men and 6 women of the population, about the shares in the Cambridge laboratory."""
    masculine = sample_factors(seed, torch.arange(400))[:, FACTOR_NAMES.index("masculine")]
    men, women = torch.nonzero(masculine > 0.5)[:34, 0], torch.nonzero(masculine <= 0.5)[:6, 0]
    return torch.cat((men, women)).sort().values


def _olivetti_factors(seed: int) -> Tensor:
    """Factors (400, F): modest changes between the shots of a person, plain walls, and no caps.

    Most people are light-skinned, as in the original; every eighth keeps the tone of the population.
    """
    person = torch.arange(OLIVETTI_PEOPLE).repeat_interleave(OLIVETTI_SHOTS)
    shot = torch.arange(OLIVETTI_SHOTS).repeat(OLIVETTI_PEOPLE)
    factors = sample_factors(seed, _olivetti_people(seed)[person], shot)
    column = {name: factors[:, k] for k, name in enumerate(FACTOR_NAMES)}
    column["hat"].zero_()
    first = torch.arange(0, len(factors), OLIVETTI_SHOTS).repeat_interleave(OLIVETTI_SHOTS)
    for name, (habit, change) in SITTING.items():
        column[name].copy_(habit * column[name][first] + change * column[name])
    column["skin_tone"].mul_(torch.where(person % 8 == 5, 1.0, 0.45))
    column["background_light"].copy_(0.7 * column["background_light"][first] ** 2)
    column["background_hue"].zero_()
    changes = (person % 4 == 1) & (shot % 3 == 1)
    column["glasses"].copy_(torch.where(changes, 1 - column["glasses"], column["glasses"]))
    return factors


def synthetic_olivetti(seed: int = 0) -> FaceSet:
    """Draw a stand-in for the Olivetti faces: 40 people × 10 grey shots, 64×64, in the order of people.

    The face fills the picture. A person's factors stay, the pose, light and expression of the shots vary, and
    every fourth person puts on or takes off their glasses. The split is left to the lab.

    Returns:
        FaceSet with uint8 images (400, 1, 64, 64), identity 0 to 39, factors, and the attributes that the real
        set has here, by thresholds on factors: glasses > 0.5, beard > 0.4, moustache > 0.3.
    """
    factors = _olivetti_factors(seed)
    drawn = render(factors, CROP_SCALE).float()
    left = (CROP_SCALE - OLIVETTI_SIZE) // 2
    top = left + 3
    crop = drawn[:, :, top : top + OLIVETTI_SIZE, left : left + OLIVETTI_SIZE]
    luma = 0.299 * crop[:, 0] + 0.587 * crop[:, 1] + 0.114 * crop[:, 2]
    images = (luma + 0.5).to(torch.uint8)[:, None].numpy()
    column = {name: factors[:, k] for k, name in enumerate(FACTOR_NAMES)}
    attributes = torch.stack([column["glasses"] > 0.5, column["beard"] > 0.4, column["moustache"] > 0.3], 1)
    provenance = Provenance(
        name="synthetic Olivetti",
        real=False,
        source=f"labkit.drawn.synthetic_olivetti(seed={seed})",
        checksum=f"drawn by {recipe()}",
        licence=LICENCE,
        stand_in_for="Olivetti faces",
    )
    return FaceSet(
        np.ascontiguousarray(images),
        provenance,
        identity=np.repeat(np.arange(OLIVETTI_PEOPLE), OLIVETTI_SHOTS),
        attributes=attributes.numpy(),
        attribute_names=OLIVETTI_ATTRIBUTES,
        factors=factors.numpy(),
        factor_names=FACTOR_NAMES,
    )


def more_people(faces: FaceSet, people: int) -> FaceSet:
    """Strangers to a drawn `synthetic_olivetti`: so many further people, ten shots each, all in the test part.

    Forty people leave an interval over people wide. Of photographs there are no more: an empty set, which joins
    and counts as any other.
    """
    if faces.real or not people:
        return faces.subset(slice(0))
    sets = map(synthetic_olivetti, range(1, 2 + (people - 1) // OLIVETTI_PEOPLE))
    crowd = reduce(FaceSet.joined, sets).subset(slice(people * OLIVETTI_SHOTS))
    who = OLIVETTI_PEOPLE + np.arange(len(crowd)) // OLIVETTI_SHOTS
    return replace(crowd, identity=who, split=np.full(len(crowd), TEST, np.int8))
