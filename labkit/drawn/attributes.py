"""Attributes of CelebA read off the factors of a drawn face, by thresholds.

Left out are those that the renderer does not draw or that are a matter of taste: Attractive, Blurry,
High_Cheekbones, Wearing_Necklace, Wearing_Necktie.
"""

import operator
import re
from dataclasses import dataclass

import numpy as np

from labkit.drawn.factors import FACTOR_NAMES
from labkit.faces.words import ATTRIBUTES

Columns = dict[str, np.ndarray]
COMPARED = {"<": operator.lt, "≤": operator.le, ">": operator.gt}
BARE, COLOURED, LONG = "hat < 0.5", "hair_length > 0.12, grey ≤ 0.35", "hair_length > 0.45"


@dataclass(frozen=True)
class Rule:
    """One attribute, as CelebA names it, of whose images it has the share `real` (list_attr_celeba.txt)."""

    name: str
    text: str  # comparisons of a factor, or of a name in `_columns`, that all hold
    real: float

    def holds(self, columns: Columns) -> np.ndarray:
        """bool (N,), from columns of factors (N,) by name."""
        parts = (re.fullmatch(r"(\w+) ([<≤>]) ([\d.]+)", part).groups() for part in self.text.split(", "))
        return np.all([COMPARED[how](columns[name], float(bar)) for name, how, bar in parts], 0)


_RULES = (
    Rule("5_o_Clock_Shadow", "beard > 0.1, beard ≤ 0.45", 0.111),
    Rule("Arched_Eyebrows", "brow_arch > 0.65", 0.267),
    Rule("Bags_Under_Eyes", "age > 0.66", 0.205),
    Rule("Bald", f"hair_length < 0.05, {BARE}", 0.022),
    Rule("Bangs", f"bangs > 0.7, hair_length > 0.12, {BARE}", 0.152),
    Rule("Big_Lips", "lip_fullness > 0.62", 0.241),
    Rule("Big_Nose", "nose_size > 0.62", 0.235),
    Rule("Black_Hair", f"hair_colour < 0.07, {COLOURED}", 0.239),
    Rule("Blond_Hair", f"hair_colour > 0.7, {COLOURED}", 0.148),
    Rule("Brown_Hair", f"hair_colour > 0.15, hair_colour ≤ 0.4, {COLOURED}", 0.205),
    Rule("Bushy_Eyebrows", "brow_thickness > 0.58", 0.142),
    Rule("Chubby", "fullness > 0.72", 0.058),
    Rule("Double_Chin", "fullness > 0.76", 0.047),
    Rule("Eyeglasses", "glasses > 0.5", 0.065),
    Rule("Goatee", "beard > 0.45, beard_cover < 0.6", 0.063),
    Rule("Gray_Hair", "grey > 0.7, hair_length > 0.12", 0.042),
    Rule("Heavy_Makeup", "makeup > 0.42", 0.387),
    Rule("Male", "masculine > 0.5", 0.417),
    Rule("Mouth_Slightly_Open", "mouth_open > 0.1", 0.483),
    Rule("Mustache", "moustache > 0.3", 0.042),
    Rule("Narrow_Eyes", "slit < 0.39", 0.115),
    Rule("No_Beard", "beard ≤ 0.1, moustache ≤ 0.3", 0.835),
    Rule("Oval_Face", "longer > 0.15", 0.284),
    Rule("Pale_Skin", "skin_tone < 0.025", 0.043),
    Rule("Pointy_Nose", "nose_point > 0.63", 0.277),
    Rule("Receding_Hairline", f"receding > 0.35, hair_length > 0.12, {BARE}", 0.080),
    Rule("Rosy_Cheeks", "rosy > 0.85", 0.066),
    Rule("Sideburns", "beard > 0.3, beard_cover > 0.75", 0.057),
    Rule("Smiling", "smile > 0.35", 0.482),
    Rule("Straight_Hair", f"hair_wave < 0.12, {LONG}", 0.208),
    Rule("Wavy_Hair", f"hair_wave > 0.2, {LONG}", 0.320),
    Rule("Wearing_Earrings", "earrings > 0.5, hair_length < 0.58", 0.189),  # longer hair hides them
    Rule("Wearing_Hat", "hat > 0.5", 0.049),
    Rule("Wearing_Lipstick", "makeup > 0.2", 0.472),
    Rule("Young", "age < 0.6", 0.774),
)
RULES: tuple[Rule, ...] = tuple(sorted(_RULES, key=lambda rule: ATTRIBUTES.index(rule.name)))
SYNTHETIC_ATTRIBUTES: tuple[str, ...] = tuple(rule.name for rule in RULES)


def attributes_of(factors: np.ndarray) -> np.ndarray:
    """Attributes of drawn faces.

    Args:
        factors: float (N, F) in the order of `FACTOR_NAMES`.

    Returns:
        bool (N, A) in the order of `SYNTHETIC_ATTRIBUTES`, which is CelebA's.
    """
    columns = _columns(factors)
    return np.stack([rule.holds(columns) for rule in RULES], 1)


def _columns(factors: np.ndarray) -> Columns:
    f = {name: factors[:, k] for k, name in enumerate(FACTOR_NAMES)}
    slit = f["eye_open"] * (0.5 + 0.24 * f["eye_size"])  # height of the open eye in units of its width, as drawn
    return f | {"slit": slit, "longer": f["face_height"] - f["face_width"]}
