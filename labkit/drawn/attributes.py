"""Attributes of CelebA read off the factors of a drawn face, by thresholds.

In `RULES`, `text` says what `holds` computes, and `real` is the share of CelebA's 202,599
images with the attribute (list_attr_celeba.txt). Left out are the attributes that the renderer does not draw or that
are a matter of taste: Attractive, Blurry, High_Cheekbones, Wearing_Necklace, Wearing_Necktie.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from labkit.drawn.factors import FACTOR_NAMES
from labkit.faces.words import ATTRIBUTES

Columns = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Rule:
    """One attribute."""

    name: str  # as in CelebA
    text: str  # the rule in words and factor names
    holds: Callable[[Columns], np.ndarray]  # columns of factors (N,) by name → bool (N,)
    real: float  # share of CelebA's images that have it


def _head_bare(f: Columns) -> np.ndarray:
    return f["hat"] < 0.5


def _hair(f: Columns) -> np.ndarray:
    """Hair that shows its colour: some length and little grey."""
    return (f["hair_length"] > 0.12) & (f["grey"] <= 0.35)


def _long_hair(f: Columns) -> np.ndarray:
    return f["hair_length"] > 0.45


_RULES = (
    Rule("5_o_Clock_Shadow", "0.1 < beard ≤ 0.45", lambda f: (f["beard"] > 0.1) & (f["beard"] <= 0.45), 0.111),
    Rule("Arched_Eyebrows", "brow_arch > 0.65", lambda f: f["brow_arch"] > 0.65, 0.267),
    Rule("Bags_Under_Eyes", "age > 0.66", lambda f: f["age"] > 0.66, 0.205),
    Rule("Bald", "hair_length < 0.05, no hat", lambda f: (f["hair_length"] < 0.05) & _head_bare(f), 0.022),
    Rule(
        "Bangs",
        "bangs > 0.7, hair_length > 0.12, no hat",
        lambda f: (f["bangs"] > 0.7) & (f["hair_length"] > 0.12) & _head_bare(f),
        0.152,
    ),
    Rule("Big_Lips", "lip_fullness > 0.62", lambda f: f["lip_fullness"] > 0.62, 0.241),
    Rule("Big_Nose", "nose_size > 0.62", lambda f: f["nose_size"] > 0.62, 0.235),
    Rule(
        "Black_Hair",
        "hair_colour < 0.07, grey ≤ 0.35, hair_length > 0.12",
        lambda f: (f["hair_colour"] < 0.07) & _hair(f),
        0.239,
    ),
    Rule(
        "Blond_Hair",
        "hair_colour > 0.7, grey ≤ 0.35, hair_length > 0.12",
        lambda f: (f["hair_colour"] > 0.7) & _hair(f),
        0.148,
    ),
    Rule(
        "Brown_Hair",
        "0.15 < hair_colour ≤ 0.4, grey ≤ 0.35, hair_length > 0.12",
        lambda f: (f["hair_colour"] > 0.15) & (f["hair_colour"] <= 0.4) & _hair(f),
        0.205,
    ),
    Rule("Bushy_Eyebrows", "brow_thickness > 0.58", lambda f: f["brow_thickness"] > 0.58, 0.142),
    Rule("Chubby", "fullness > 0.72", lambda f: f["fullness"] > 0.72, 0.058),
    Rule("Double_Chin", "fullness > 0.76", lambda f: f["fullness"] > 0.76, 0.047),
    Rule("Eyeglasses", "glasses", lambda f: f["glasses"] > 0.5, 0.065),
    Rule(
        "Goatee", "beard > 0.45, beard_cover < 0.6", lambda f: (f["beard"] > 0.45) & (f["beard_cover"] < 0.6), 0.063
    ),
    Rule(
        "Gray_Hair", "grey > 0.7, hair_length > 0.12", lambda f: (f["grey"] > 0.7) & (f["hair_length"] > 0.12), 0.042
    ),
    Rule("Heavy_Makeup", "makeup > 0.42", lambda f: f["makeup"] > 0.42, 0.387),
    Rule("Male", "masculine > 0.5", lambda f: f["masculine"] > 0.5, 0.417),
    Rule("Mouth_Slightly_Open", "mouth_open > 0.1", lambda f: f["mouth_open"] > 0.1, 0.483),
    Rule("Mustache", "moustache > 0.3", lambda f: f["moustache"] > 0.3, 0.042),
    Rule("Narrow_Eyes", "eye_open × (0.5 + 0.24 eye_size) < 0.39", lambda f: _slit(f) < 0.39, 0.115),
    Rule(
        "No_Beard", "beard ≤ 0.1 and moustache ≤ 0.3", lambda f: (f["beard"] <= 0.1) & (f["moustache"] <= 0.3), 0.835
    ),
    Rule("Oval_Face", "face_height − face_width > 0.15", lambda f: f["face_height"] - f["face_width"] > 0.15, 0.284),
    Rule("Pale_Skin", "skin_tone < 0.025", lambda f: f["skin_tone"] < 0.025, 0.043),
    Rule("Pointy_Nose", "nose_point > 0.63", lambda f: f["nose_point"] > 0.63, 0.277),
    Rule(
        "Receding_Hairline",
        "receding > 0.35, hair_length > 0.12, no hat",
        lambda f: (f["receding"] > 0.35) & (f["hair_length"] > 0.12) & _head_bare(f),
        0.080,
    ),
    Rule("Rosy_Cheeks", "rosy > 0.85", lambda f: f["rosy"] > 0.85, 0.066),
    Rule(
        "Sideburns",
        "beard > 0.3, beard_cover > 0.75",
        lambda f: (f["beard"] > 0.3) & (f["beard_cover"] > 0.75),
        0.057,
    ),
    Rule("Smiling", "smile > 0.35", lambda f: f["smile"] > 0.35, 0.482),
    Rule(
        "Straight_Hair",
        "hair_wave < 0.12, hair_length > 0.45",
        lambda f: (f["hair_wave"] < 0.12) & _long_hair(f),
        0.208,
    ),
    Rule("Wavy_Hair", "hair_wave > 0.2, hair_length > 0.45", lambda f: (f["hair_wave"] > 0.2) & _long_hair(f), 0.320),
    Rule(
        "Wearing_Earrings",
        "earrings, hair_length < 0.58 (longer hair hides them)",
        lambda f: (f["earrings"] > 0.5) & (f["hair_length"] < 0.58),
        0.189,
    ),
    Rule("Wearing_Hat", "hat", lambda f: f["hat"] > 0.5, 0.049),
    Rule("Wearing_Lipstick", "makeup > 0.2", lambda f: f["makeup"] > 0.2, 0.472),
    Rule("Young", "age < 0.6", lambda f: f["age"] < 0.6, 0.774),
)


def _slit(f: Columns) -> np.ndarray:
    """Height of the open eye in units of its width, as it is drawn."""
    return f["eye_open"] * (0.5 + 0.24 * f["eye_size"])


RULES: tuple[Rule, ...] = tuple(sorted(_RULES, key=lambda rule: ATTRIBUTES.index(rule.name)))
SYNTHETIC_ATTRIBUTES: tuple[str, ...] = tuple(rule.name for rule in RULES)


def attributes_of(factors: np.ndarray) -> np.ndarray:
    """Attributes of drawn faces.

    Args:
        factors: float (N, F) in the order of `FACTOR_NAMES`.

    Returns:
        bool (N, A) in the order of `SYNTHETIC_ATTRIBUTES`, which is CelebA's.
    """
    columns = {name: factors[:, k] for k, name in enumerate(FACTOR_NAMES)}
    return np.stack([rule.holds(columns) for rule in RULES], 1)
