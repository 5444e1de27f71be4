"""Draw synthetic portraits from named factors, at any size and on any device."""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor

from labkit.data import render_features as features
from labkit.data import render_hair as hairdo
from labkit.data import render_head as heads
from labkit.data.factors import FACTORS
from labkit.data.render_pose import pose_of
from labkit.data.render_shapes import paint
from labkit.errors import LabkitError

SMALLEST = 8
CHUNK_PIXELS = 262144  # pixels of a chunk: few enough for the cache, many enough to outweigh the call of an operation


def portraits(factors: Tensor, size: int) -> Tensor:
    """Draw float factors (B, F) as uint8 (B, 3, size, size); the layers from back to front."""
    names = (factor.name for factor in FACTORS)
    f = {name: factors[:, k].reshape(-1, 1, 1) for k, name in enumerate(names)}
    pose = pose_of(f, size)
    skin, hair = heads.skin_of(pose), hairdo.hair_of(pose)
    canvas = heads.background(pose)
    hairdo.back_hair(canvas, hair, pose)
    heads.body(canvas, pose, skin)
    heads.ears(canvas, pose, skin)
    head, nose, eyes = heads.head_of(pose), features.nose_of(pose), features.eyes_of(pose)
    heads.relief(head, pose)
    heads.wrinkles(head, pose)
    features.nose_relief(head, nose, pose)
    features.eye_relief(head, eyes, pose)
    front_hair = hairdo.fringe(hair, head, pose)
    heads.flesh(canvas, head, pose, skin)
    features.nostrils(canvas, nose, pose, skin)
    features.eyes(canvas, head, eyes, pose, skin)
    hairdo.beard(canvas, head, pose, hair.colour)
    features.mouth(canvas, head, pose, skin)
    hairdo.moustache(canvas, head, pose, hair.colour)
    features.brows(canvas, head, pose, [c * 0.75 for c in hair.colour])
    paint(canvas, front_hair, hair.coat)
    features.glasses(canvas, pose)
    hairdo.hat(canvas, pose)
    return (torch.stack(canvas, 1).clamp(0.0, 1.0) * 255 + 0.5).to(torch.uint8)


@functools.cache
def _compiled() -> Callable[[Tensor, int], Tensor]:
    return torch.compile(portraits, dynamic=False, fullgraph=True)


def _checked(factors: Tensor, size: int) -> Tensor:
    if size < SMALLEST:
        raise LabkitError(f"render: size is {size} pixels; ask for {SMALLEST} or more.")
    if factors.ndim != 2 or factors.shape[1] != len(FACTORS):
        raise LabkitError(
            f"render: factors must have shape (N, {len(FACTORS)}), one column per row of FACTORS, "
            f"not {tuple(factors.shape)}."
        )
    if not torch.isfinite(factors).all():
        raise LabkitError("render: factors hold NaN or infinity; replace them before drawing.")
    low = torch.tensor([factor.low for factor in FACTORS], device=factors.device)
    high = torch.tensor([factor.high for factor in FACTORS], device=factors.device)
    return torch.minimum(torch.maximum(factors, low), high)


def _in_threads(work: Callable[[int], None], items: Sequence[int]) -> None:
    """Call `work` on every item, each in one thread, as many at a time as torch has threads.

    Splitting chunks and not operations needs no barrier per operation, which is what stalls on a busy machine.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(torch.no_grad()(work), items))
    finally:
        torch.set_num_threads(threads)


@torch.no_grad()
def render(
    factors: Tensor, size: int = 64, device: torch.device | str | None = None, compiled: bool = False
) -> Tensor:
    """Draw portraits. A face has the same pixels whatever else is in the batch.

    Args:
        factors: float (N, F), columns in the order of `FACTORS`; values beyond a factor's range are clamped to it.
        size: height and width in pixels, 8 or more.
        device: where to draw; None means where the factors are.
        compiled: draw with torch.compile: several times faster after a first call of some 30 s, and equal to
            the plain version to within one grey level.

    Returns:
        uint8 (N, 3, size, size), on `device`.

    Raises:
        LabkitError: factors of a wrong shape, NaN or infinite; a size below 8.
    """
    factors = _checked(torch.as_tensor(factors).to(device=device, dtype=torch.float32), size)
    images = torch.empty(len(factors), 3, size, size, dtype=torch.uint8, device=factors.device)
    draw = _compiled() if compiled else portraits
    threads = torch.get_num_threads() if factors.device.type == "cpu" else 1
    chunk = max(1, min(CHUNK_PIXELS // (size * size), -(-len(factors) // threads)))

    def fill(start: int) -> None:
        images[start : start + chunk] = draw(factors[start : start + chunk], size)

    starts = range(0, len(factors), chunk)
    if factors.device.type == "cpu":
        _in_threads(fill, starts)
    else:
        for start in starts:
            fill(start)
    return images
