"""Pictures addressed by the levels of their factors, drawn or read only when asked for; a grid of synthetic faces."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from torch import Tensor

from labkit.drawn.factors import FACTOR_NAMES, FACTORS
from labkit.drawn.recipe import recipe
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.faces.faceset import FaceSet, Provenance

CHUNK = 1024  # pictures made at a time for a face set
LICENCE = "MIT, as the kit"
# Report C's five, from one end of what the renderer shows well to the other: (lowest, highest value, levels).
FIVE = {
    "hair_colour": (0.0, 1.0, 8),
    "bangs": (0.0, 1.0, 8),
    "yaw": (-0.5, 0.5, 12),
    "hair_volume": (0.0, 1.0, 8),
    "face_width": (0.0, 1.0, 8),
}
# Where the middle of a factor's range would hide another factor or is no plain person.
PLAIN = {
    "masculine": 0.2, "age": 0.15, "skin_tone": 0.2, "rosy": 0.1, "grey": 0.0, "hair_length": 0.65,
    "hair_wave": 0.1, "receding": 0.2, "makeup": 0.0, "beard": 0.0, "beard_cover": 0.0, "moustache": 0.0,
    "earrings": 0.0, "glasses": 0.0, "hat": 0.0, "smile": 0.25, "mouth_open": 0.0, "eye_open": 0.85,
    "background_hue": 0.55, "background_light": 0.7,
}  # fmt: skip


@dataclass(frozen=True)
class FactorGrid:
    """Every combination of the levels of F factors, one picture each; none of them is held in memory.

    A combination is addressed by `indices`, int (n, F): the level of each factor, counted from 0.
    """

    factor_names: tuple[str, ...]  # F names
    levels: tuple[np.ndarray, ...]  # the values of each factor, from its level 0
    categorical: tuple[str, ...]  # names of the factors whose values have no order
    shape: tuple[int, int, int]  # (C, H, W) of a picture
    # Indices int64 (n, F) → uint8 (n, C, H, W), a tensor on the device that the grid was made for.
    make: Callable[[np.ndarray], Tensor]
    provenance: Provenance  # of the pictures

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many levels each factor has."""
        return tuple(len(values) for values in self.levels)

    def __len__(self) -> int:
        return math.prod(self.sizes)

    def images(self, indices: np.ndarray) -> Tensor:
        """The pictures at `indices` (n, F), uint8 (n, C, H, W), on the grid's device.

        Raises LabkitError: indices that are no integers of this shape, or beyond the levels.
        """
        return self.make(self._checked(indices))

    def values(self, indices: np.ndarray) -> np.ndarray:
        """The values of the factors at `indices`, float32 (n, F)."""
        indices = self._checked(indices)
        columns = [values[column] for values, column in zip(self.levels, indices.T, strict=True)]
        return np.stack(columns, 1).astype(np.float32)

    def indices_of(self, flat: np.ndarray) -> np.ndarray:
        """Indices int64 (n, F) of the combinations with these numbers (n,); the last factor runs fastest."""
        return np.stack(np.unravel_index(flat, self.sizes), 1)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Indices int64 (n, F) of n different combinations, each as likely as any other.

        Raises LabkitError: n below 1 or above the number of combinations.
        """
        if not 1 <= n <= len(self):
            raise LabkitError(f"{self.provenance.name}: n = {n:,} must be between 1 and {len(self):,}.")
        return self.indices_of(np.random.default_rng(seed).choice(len(self), n, replace=False))

    def face_set(self, n: int, seed: int = 0) -> FaceSet:
        """`sample(n, seed)` in memory, with the values of the factors: what the labs' frame knows how to describe."""
        indices = self.sample(n, seed)
        images = np.empty((n, *self.shape), np.uint8)
        for start in range(0, n, CHUNK):
            images[start : start + CHUNK] = self.make(indices[start : start + CHUNK]).cpu().numpy()
        origin = replace(self.provenance, source=f"{self.provenance.source}.face_set({n}, seed={seed})")
        return FaceSet(images, origin, factors=self.values(indices), factor_names=self.factor_names)

    def _checked(self, indices: np.ndarray) -> np.ndarray:
        indices = np.asarray(indices)
        if indices.ndim != 2 or indices.shape[1] != len(self.sizes) or indices.dtype.kind not in "iu":
            raise LabkitError(
                f"{self.provenance.name}: indices must be integers (n, {len(self.sizes)}), one level each of "
                f"{', '.join(self.factor_names)}; got {indices.dtype} {indices.shape}."
            )
        if (indices < 0).any() or (indices >= self.sizes).any():
            raise LabkitError(f"{self.provenance.name}: indices must be from 0 and below {self.sizes}.")
        return indices.astype(np.int64)


def grid_faces(
    factors: Mapping[str, tuple[float, float, int]] = FIVE,
    size: int = 64,
    device: torch.device | str | None = None,
) -> FactorGrid:
    """Synthetic faces over a grid of factors; all else about the person stays as it is.

    Args:
        factors: name → (lowest value, highest value, number of levels), equally spaced; see
            `labkit.drawn.factors.FACTORS`. By default the five that report C thought it saw in its latents: hair
            colour, bangs, rotation, hair thickness and face width, 49,152 faces.

    Raises LabkitError: an unknown factor, a range beyond the factor's own, or fewer than two levels.
    """
    own = {factor.name: factor for factor in FACTORS}
    for name, (low, high, levels) in factors.items():
        if name not in own:
            raise LabkitError(f"grid_faces: there is no factor {name!r}; FACTORS lists them all.")
        if not own[name].low <= low < high <= own[name].high or levels < 2:
            raise LabkitError(
                f"grid_faces: {name} needs two or more levels from low to high between {own[name].low:g} and "
                f"{own[name].high:g}, got {(low, high, levels)}."
            )
    if not factors:
        raise LabkitError("grid_faces: name at least one factor.")
    asked = ", ".join(f"{name}: {tuple(span)}" for name, span in factors.items())
    values = tuple(np.linspace(low, high, levels, dtype=np.float32) for low, high, levels in factors.values())
    columns = [FACTOR_NAMES.index(name) for name in factors]
    return FactorGrid(
        factor_names=tuple(factors),
        levels=values,
        categorical=(),
        shape=(3, size, size),
        make=partial(_draw_faces, columns, values, size, device),
        provenance=Provenance(
            name="synthetic faces over a grid",
            real=False,
            source=f"labkit.drawn.grid_faces({{{asked}}}, size={size})",
            checksum=f"drawn by {recipe()}",
            licence=LICENCE,
        ),
    )


def plain_person() -> Tensor:
    """Float32 (41,): a young light-skinned woman with hair to the chin, who looks straight ahead."""
    middle = {factor.name: (factor.low + factor.high) / 2 for factor in FACTORS}
    return torch.tensor([PLAIN.get(name, middle[name]) for name in FACTOR_NAMES])


def _draw_faces(
    columns: list[int],
    values: tuple[np.ndarray, ...],
    size: int,
    device: torch.device | str | None,
    indices: np.ndarray,
) -> Tensor:
    factors = plain_person().repeat(len(indices), 1)
    for column, levels, level in zip(columns, values, indices.T, strict=True):
        factors[:, column] = torch.from_numpy(levels[level])
    return render(factors, size, device)
