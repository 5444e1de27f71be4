"""Preparing CelebA, and reading it afterwards, beside ImageFolder with transforms: the plain loop of tutorials.

On the images at `LABKIT_DATA` where there are any, else on drawn JPEGs of the same size.
"""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bench_device import ON_GPU
from celeba_files import jpegs, write_official
from ledger import enter, in_turn, paired

from labkit.data.celeba.prepare import prepare
from labkit.data.celeba.source import open_source
from labkit.data.vision import datasets, transforms
from labkit.faces import ResidentBatches

pytestmark = [pytest.mark.bench, pytest.mark.skipif(ON_GPU, reason="a measure of the CPU")]
CORES = 2


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> tuple[str, Path]:
    """What is measured, in words, and a folder of JPEGs in the official layout."""
    folder = tmp_path_factory.mktemp("celeba")
    given = Path(os.environ.get("LABKIT_DATA", "nowhere")) / "celeba"
    if not given.is_dir():
        return "4,800 drawn JPEGs", write_official(folder, jpegs(4800))
    with zipfile.ZipFile(given / "img_align_celeba.zip") as archive:
        archive.extractall(folder)
    count = sum(1 for _ in folder.rglob("*.jpg"))
    return f"{count:,} real images", folder


def plain_loop(folder: Path) -> torch.utils.data.DataLoader:
    steps = transforms.Compose(
        [
            transforms.Resize(64),
            transforms.CenterCrop(64),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    images = datasets.ImageFolder(str(folder), steps)
    return torch.utils.data.DataLoader(images, batch_size=128, shuffle=True, num_workers=CORES)


def test_preparing_and_reading(source, tmp_path):
    what, folder = source
    torch.set_num_threads(CORES)
    loop, opened = plain_loop(folder), open_source(folder)
    calls = iter(range(1000))

    def plain():
        for _ in loop:
            pass

    def fast():
        prepare(opened, 64, 64, tmp_path / str(next(calls)), progress=False)

    seconds = in_turn({"plain": plain, "fast": fast}, rounds=3)
    row = paired(**seconds)
    count = len(opened.images)
    row |= {"images_per_second": count / row["fast_seconds"], "plain_images_per_second": count / row["plain_seconds"]}
    enter(f"CelebA 64×64, {what}: ImageFolder loop against preparing", row)

    faces = np.load(tmp_path / "0" / "64x64" / "faces.npy", mmap_mode="r")
    batches = ResidentBatches(faces, batch_size=128, flip=True, normalise="symmetric")
    seconds = in_turn({"plain": plain, "fast": lambda: [None for _ in batches.epoch(0)]}, rounds=3)
    row = paired(**seconds)
    row |= {"images_per_second": count / row["fast_seconds"]}
    enter(f"CelebA 64×64, {what}: ImageFolder loop against resident batches", row)
