"""One container for every data set of the course."""

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from labkit.errors import LabkitError

if TYPE_CHECKING:
    import pandas as pd

TRAIN, VALIDATION, TEST = 0, 1, 2
PER_FACE = ("images", "identity", "split", "attributes", "attributes_known", "factors")


@dataclass(frozen=True)
class Provenance:
    """Where a data set came from."""

    name: str  # short name, e.g. "Olivetti faces"
    real: bool  # photographs of people (True) or drawn by the kit (False)
    source: str  # a sentence for a human: file, download address or renderer, with its seed
    checksum: str = ""  # SHA-256 of the source file, or of images and labels; of drawn ones what drew them
    licence: str = ""  # terms in a few words
    stand_in_for: str = ""  # name of the real data set that this one replaces, empty if it replaces none
    dropped: dict[str, int] = field(default_factory=dict)  # reason → number of files left out for it
    pictures: str = "photographs"  # what real images are

    @property
    def label(self) -> str:
        """What a figure must say about its data, e.g. "synthetic stand-in for Olivetti faces"."""
        return f"synthetic stand-in for {self.stand_in_for}" if self.stand_in_for else self.name


@dataclass(frozen=True)
class FaceSet:
    """Images of faces with all that is known about them. N images, A attributes, F factors.

    Raises LabkitError: shapes or dtypes do not fit together.
    """

    images: np.ndarray  # uint8 (N, C, H, W), an array or a memory map
    provenance: Provenance  # where they came from
    identity: np.ndarray | None = None  # int (N,), the person; −1 where unknown
    split: np.ndarray | None = None  # int8 (N,), 0 train, 1 validation, 2 test
    attributes: np.ndarray | None = None  # bool (N, A), or None
    attribute_names: tuple[str, ...] = ()  # A names
    # Bool (N,), rows of `attributes` that are labels and not padding; None means all.
    attributes_known: np.ndarray | None = None
    factors: np.ndarray | None = None  # float32 (N, F), generative factors, or None
    factor_names: tuple[str, ...] = ()  # F names

    def __post_init__(self) -> None:
        images = self.images
        if images.ndim != 4 or images.dtype != np.uint8:
            raise LabkitError(
                f"{self.provenance.name}: images must be uint8 (N, C, H, W), not {images.dtype} {images.shape}."
            )
        count = len(images)
        if self.identity is None:
            object.__setattr__(self, "identity", np.full(count, -1, np.int64))
        if self.split is None:
            object.__setattr__(self, "split", np.zeros(count, np.int8))
        expected = {
            "identity": ((count,), np.integer),
            "split": ((count,), np.int8),
            "attributes": ((count, len(self.attribute_names)), np.bool_),
            "attributes_known": ((count,), np.bool_),
            "factors": ((count, len(self.factor_names)), np.floating),
        }
        for name, (shape, kind) in expected.items():
            value = getattr(self, name)
            if value is not None and (value.shape != shape or not np.issubdtype(value.dtype, kind)):
                raise LabkitError(
                    f"{self.provenance.name}: {name} must be {kind.__name__} {shape}, "
                    f"not {value.dtype} {value.shape}."
                )
        if ((self.split < TRAIN) | (self.split > TEST)).any():
            raise LabkitError(f"{self.provenance.name}: split must be 0, 1 or 2 everywhere.")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def labelled(self) -> np.ndarray:
        """bool (N,): rows whose attributes are known; none where the set has no attributes."""
        if self.attributes is None:
            return np.zeros(len(self), bool)
        return np.ones(len(self), bool) if self.attributes_known is None else self.attributes_known

    @property
    def real(self) -> bool:
        """True if these are photographs."""
        return self.provenance.real

    def subset(self, index: Any) -> "FaceSet":
        """The faces at `index` (integers, a boolean mask or a slice), labels included."""
        taken = {name: value[index] for name in PER_FACE if (value := getattr(self, name)) is not None}
        return replace(self, **taken)

    def joined(self, others: "FaceSet") -> "FaceSet":
        """These faces and then `others`, which have the same columns; provenance stays that of these."""
        both = {name: (getattr(self, name), getattr(others, name)) for name in PER_FACE}
        return replace(self, **{name: np.concatenate(pair) for name, pair in both.items() if pair[0] is not None})

    def checksum(self) -> str:
        """SHA-256 of the images as held."""
        return hashlib.sha256(np.ascontiguousarray(self.images)).hexdigest()

    def key(self, rows: Any = slice(None)) -> str:
        """Twelve letters for these rows of this set: equal where the pictures are, on each machine.

        Not of their pixels, where something else says what they are: two processors draw some a grey level apart.
        To be asked of a whole set as it was loaded, not of a subset.
        """
        origin = self.provenance
        names = origin.checksum or self.checksum()
        if not origin.real:
            names += origin.source
        taken = np.arange(len(self))[rows]
        return hashlib.sha256(f"{names} {len(self)}".encode() + taken.astype("<i8").tobytes()).hexdigest()[:12]

    def _attributes(self) -> str:
        labelled = int(self.labelled.sum())
        if not labelled:
            return "none"
        return f"{len(self.attribute_names)}" + (f", of {labelled:,} images" if labelled < len(self) else "")

    def describe(self) -> "pd.DataFrame":
        """A table that tells what the data are; the first cell of every lab shows it."""
        import pandas as pd

        n, c, h, w = self.images.shape
        origin = self.provenance
        people = len(np.unique(self.identity[self.identity >= 0]))
        rows = {
            "data": origin.name,
            "kind": f"real {origin.pictures}" if origin.real else "SYNTHETIC, drawn by labkit",
            "stands in for": origin.stand_in_for or "nothing",
            "images": f"{n:,} × {h}×{w}, {'grey' if c == 1 else 'colour'}",
            "people": f"{people:,}" if people else "unknown",
            "train / validation / test": " / ".join(f"{np.sum(self.split == part):,}" for part in range(3)),
            "attributes": self._attributes(),
            "factors known": f"{len(self.factor_names)}" if self.factors is not None else "none",
            "source": origin.source,
            "licence": origin.licence or "not stated",
            "checksum": (origin.checksum or self.checksum())[:16],
            "dropped": ", ".join(f"{n} {why}" for why, n in origin.dropped.items()) or "nothing",
        }
        return pd.DataFrame({"value": rows})
