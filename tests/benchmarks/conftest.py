"""Fixtures of the benchmarks."""

from pathlib import Path

import pytest
from celeba_files import jpegs, write_official


@pytest.fixture(scope="session")
def jpeg_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """512 JPEGs of 178×218 pixels in CelebA's official layout."""
    return write_official(tmp_path_factory.mktemp("celeba"), jpegs(512))
