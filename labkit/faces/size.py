"""The sizes in which CelebA is used."""

from labkit.errors import LabkitError

SIZES: dict[str, tuple[int, int]] = {
    "64": (64, 64),
    "64x48": (64, 48),
    "128": (128, 128),
    "218x178": (218, 178),
}


def parse_size(word: str) -> tuple[int, int]:
    """(height, width) in pixels of a size word: "64", "64x48" (height × width), "128" or "218x178".

    Raises:
        LabkitError: any other word.
    """
    if str(word) not in SIZES:
        raise LabkitError(f"size: {word!r} is not a size of CelebA here; choose one of {', '.join(SIZES)}.")
    return SIZES[str(word)]
