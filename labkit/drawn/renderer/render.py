"""Draw synthetic portraits from named factors, at any size and on any device."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from labkit.drawn.factors import FACTORS
from labkit.drawn.renderer import features
from labkit.drawn.renderer import hair as hairdo
from labkit.drawn.renderer import head as heads
from labkit.drawn.renderer.pose import pose_of
from labkit.drawn.renderer.shapes import paint
from labkit.errors import LabkitError

SMALLEST = 8
CHUNK_PIXELS = 262144  # few enough pixels for the cache, enough to outweigh the call of an operation
DEVICE_PIXELS = 2**22  # off the CPU: enough to outweigh 2600 launches; 80 bytes of memory a pixel


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


@contextmanager
def _serial_operations() -> Iterator[None]:
    """Each operation in one thread: sharing one out needs a barrier at its end, which stalls on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draw(images: Tensor, factors: Tensor) -> None:
    """Fill `images` in chunks, on a CPU in as many threads as torch has."""
    size, on_cpu = images.shape[-1], factors.device.type == "cpu"
    threads = torch.get_num_threads() if on_cpu else 1
    most = (CHUNK_PIXELS if on_cpu else DEVICE_PIXELS) // (size * size)
    chunk = max(1, min(most, -(-len(factors) // threads)))

    @torch.no_grad()
    def fill(start: int) -> None:
        images[start : start + chunk] = portraits(factors[start : start + chunk], size)

    starts = range(0, len(factors), chunk)
    if on_cpu:
        with _serial_operations(), ThreadPoolExecutor(threads) as pool:
            list(pool.map(fill, starts))
    else:
        for start in starts:
            fill(start)


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


@torch.no_grad()
def render(factors: Tensor, size: int = 64, device: torch.device | str | None = None) -> Tensor:
    """Draw portraits. A face has the same pixels whatever else is in the batch.

    Args:
        factors: float (N, F), columns in the order of `FACTORS`; values beyond a factor's range are clamped to it.
        size: height and width in pixels, 8 or more.
        device: where to draw; None means where the factors are.

    Returns:
        uint8 (N, 3, size, size), on `device`.

    Raises LabkitError: factors of a wrong shape, NaN or infinite; a size below 8.
    """
    factors = _checked(torch.as_tensor(factors).to(device=device, dtype=torch.float32), size)
    images = torch.empty(len(factors), 3, size, size, dtype=torch.uint8, device=factors.device)
    _draw(images, factors)
    return images
