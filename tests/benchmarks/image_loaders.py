"""The same images for this kit and for the loops beside it: from JPEGs as tutorials read them, or decoded before."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, TensorDataset

from labkit.data.celeba_prepare import prepare
from labkit.data.celeba_shelf import Job
from labkit.data.celeba_source import open_source
from labkit.models.vision import datasets, transforms

CORES = 2


def three_ways(
    folder: Path, size: tuple[int, int], batch_size: int, out: Path
) -> tuple[np.ndarray, DataLoader, DataLoader]:
    """The JPEGs in `folder`, scaled and cut to `size` (height, width).

    Returns:
        What this kit trains on, uint8 (N, 3, *size), mapped from a file in `out`; and shuffled batches in [−1, 1],
        read from the JPEGs by two processes and taken from decoded images in memory.
    """
    steps = [
        transforms.Resize(max(size)),
        transforms.CenterCrop(size),
        transforms.ToTensor(),
        transforms.Normalize((0.5,) * 3, (0.5,) * 3),
    ]
    images = datasets.ImageFolder(str(folder), transforms.Compose(steps))
    job = Job(open_source(folder), *size, out)
    prepare(job, progress=False)
    faces = np.load(job.faces, mmap_mode="r")
    return (
        faces,
        DataLoader(images, batch_size, shuffle=True, num_workers=CORES),
        decoded_loader(symmetric(faces), batch_size=batch_size),
    )


def symmetric(faces: np.ndarray) -> torch.Tensor:
    """uint8 images → float32 in [−1, 1]."""
    return torch.from_numpy(np.array(faces)).float() / 127.5 - 1


def decoded_loader(*tensors: torch.Tensor, batch_size: int) -> DataLoader:
    """Shuffled batches of tensors in memory."""
    return DataLoader(TensorDataset(*tensors), batch_size, shuffle=True)


def ready_loader(batches: list[tuple[torch.Tensor, ...]]) -> DataLoader:
    """These batches in this order; nothing is drawn from the global generator, which a model's noise comes from."""
    return DataLoader(batches, batch_size=None, generator=torch.Generator())
