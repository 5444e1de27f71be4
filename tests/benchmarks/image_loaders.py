"""The same images for this kit and for the loops beside it: from JPEGs as tutorials read them, or decoded before."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate
from torch.utils.data import DataLoader, TensorDataset

from labkit.data.celeba.prepare import prepare
from labkit.data.celeba.source import open_source
from labkit.data.vision import datasets, transforms

CORES = 2
GPU_COUNT = 32_768  # images of which a GPU trains on some ten thousand a second


class Images(NamedTuple):
    """The same images in every form.

    Attributes:
        faces: what this kit trains on, uint8 (N, 3, *size).
        loaders: how a loop gets them → shuffled batches in [−1, 1].
    """

    faces: np.ndarray
    loaders: dict[str, DataLoader]


def from_files(folder: Path, size: tuple[int, int], batch_size: int, out: Path) -> Images:
    """The JPEGs in `folder`, scaled and cut to `size` (height, width), for this kit mapped from a file in `out`.

    Loops read them from the JPEGs by two processes, or take decoded images from memory.
    """
    steps = [
        transforms.Resize(max(size)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
    jpegs = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    prepare(open_source(folder), *size, out, progress=False)
    faces = np.load(out / f"{size[0]}x{size[1]}" / "faces.npy", mmap_mode="r")
    loaders = {
        "from JPEGs": DataLoader(jpegs, batch_size, shuffle=True, num_workers=CORES),
        "from decoded images": decoded_loader(symmetric(faces), batch_size=batch_size),
    }
    return Images(faces, loaders)


def random_images(size: tuple[int, int], batch_size: int, count: int = GPU_COUNT) -> Images:
    """Smooth random images, as those that `celeba_files.jpegs` writes, in memory alone."""
    coarse = torch.rand(count, 3, 7, 6, generator=torch.Generator().manual_seed(0))
    faces = (255 * interpolate(coarse, size, mode="bilinear")).byte().numpy()
    loader = decoded_loader(symmetric(faces), batch_size=batch_size)
    return Images(faces, {"from decoded images": loader})


def symmetric(faces: np.ndarray) -> torch.Tensor:
    """uint8 images → float32 in [−1, 1]."""
    return torch.from_numpy(np.array(faces)).float() / 127.5 - 1


def decoded_loader(*tensors: torch.Tensor, batch_size: int) -> DataLoader:
    """Shuffled batches of tensors in memory."""
    return DataLoader(TensorDataset(*tensors), batch_size, shuffle=True)


def ready_loader(batches: list[tuple[torch.Tensor, ...]]) -> DataLoader:
    """These batches in this order; nothing is drawn from the global generator, which a model's noise comes from."""
    return DataLoader(batches, batch_size=None, generator=torch.Generator())
