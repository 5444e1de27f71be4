"""Draw synthetic portraits from named factors, at any size and on any device."""

import functools
import warnings
from collections.abc import Callable, Iterator
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
COMPILED_PIXELS = 65536  # one call draws the whole chunk, so that it can be smaller
KEEP_ABOVE = 12  # operations: longer expressions are stored, not repeated in each of their users


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
def _compiled(chunk: int, size: int, device: torch.device) -> Callable[[Tensor, int], Tensor]:
    """`portraits` compiled for one shape; the plain one, with a warning, where that fails."""
    options = {"realize_opcount_threshold": KEEP_ABOVE} if device.type == "cpu" else {}
    draw = torch.compile(portraits, dynamic=False, fullgraph=True, options=options)
    try:
        draw(torch.zeros(chunk, len(FACTORS), device=device), size)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        warnings.warn(f"render: cannot compile here ({reason}); drawing with the plain version.", stacklevel=3)
        return portraits
    return draw


@contextmanager
def _serial_operations() -> Iterator[None]:
    """Each operation in one thread: sharing one out needs a barrier at its end, which stalls on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _draw_compiled(images: Tensor, factors: Tensor) -> None:
    """Fill `images` in chunks of one shape: the last is padded, since a new shape would be compiled anew."""
    size = images.shape[-1]
    chunk = max(1, COMPILED_PIXELS // (size * size))
    with _serial_operations():
        draw = _compiled(chunk, size, factors.device)
        for start in range(0, len(factors), chunk):
            part = factors[start : start + chunk]
            if len(part) < chunk:
                part = torch.cat((part, part[-1:].expand(chunk - len(part), -1)))
            images[start : start + chunk] = draw(part, size)[: len(images) - start]


def _draw_plain(images: Tensor, factors: Tensor) -> None:
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
def render(
    factors: Tensor, size: int = 64, device: torch.device | str | None = None, compiled: bool = False
) -> Tensor:
    """Draw portraits. A face has the same pixels whatever else is in the batch.

    Args:
        factors: float (N, F), columns in the order of `FACTORS`; values beyond a factor's range are clamped to it.
        size: height and width in pixels, 8 or more.
        device: where to draw; None means where the factors are.
        compiled: draw with torch.compile: several times faster after a first call of about a minute (10 s where
            torch's cache of compiled code is warm), and equal to the plain version to within one grey level.

    Returns:
        uint8 (N, 3, size, size), on `device`.

    Raises:
        LabkitError: factors of a wrong shape, NaN or infinite; a size below 8.
    """
    factors = _checked(torch.as_tensor(factors).to(device=device, dtype=torch.float32), size)
    images = torch.empty(len(factors), 3, size, size, dtype=torch.uint8, device=factors.device)
    (_draw_compiled if compiled else _draw_plain)(images, factors)
    return images
