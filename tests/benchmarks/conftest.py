"""Fixtures of the benchmarks."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from bench_device import ON_GPU, VARIABLE
from celeba_files import jpegs, write_official
from image_loaders import Images, from_files, random_images


def pytest_configure() -> None:
    """No benchmark of a GPU begins without one."""
    if ON_GPU and not torch.cuda.is_available():
        raise pytest.UsageError(f"{VARIABLE}=cuda: torch sees no NVIDIA GPU here; leave it out to measure the CPU.")


@pytest.fixture(scope="session")
def jpeg_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """512 JPEGs of 178×218 pixels in CelebA's official layout."""
    return write_official(tmp_path_factory.mktemp("celeba"), jpegs(512))


@pytest.fixture
def images(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[tuple[int, int], int], Images]:
    """(height, width), batch size → what this kit and plain loops train on: from 512 JPEGs; on a GPU decoded ones."""

    def make(size: tuple[int, int], batch_size: int) -> Images:
        if ON_GPU:
            return random_images(size, batch_size)
        return from_files(request.getfixturevalue("jpeg_folder"), size, batch_size, tmp_path)

    return make
