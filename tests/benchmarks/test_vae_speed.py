"""Training report E's VAE: this kit's loop beside that of a tutorial, from JPEGs and from decoded images."""

import numpy as np
import pytest
import torch
from celeba_files import jpegs, write_official
from ledger import enter, paired
from torch.utils.data import DataLoader, TensorDataset

from labkit.data.celeba_prepare import prepare
from labkit.data.celeba_shelf import Job
from labkit.data.celeba_source import open_source
from labkit.models.vae_instance_norm import InstanceNormConfig, InstanceNormVAE
from labkit.models.vision import datasets, transforms
from labkit.training.vae import fit_vae, weighted_loss

pytestmark = pytest.mark.bench
COUNT, BATCH, WEIGHT, CORES = 512, 64, 1e-5, 2


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("celeba"), jpegs(COUNT))


def tutorial_loop(loader, model) -> None:
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for images, _ in loader:
        optimizer.zero_grad()
        loss, _ = weighted_loss(model, images, WEIGHT, "mean")
        loss.backward()
        optimizer.step()
        loss.item()


@pytest.mark.parametrize("width", [8, 32])
def test_an_epoch(folder, tmp_path, width):
    """Equal work: the same model, batches, Adam and float32; JPEGs of 178×218 to 64×48."""
    torch.set_num_threads(CORES)
    steps = transforms.Compose(
        [
            transforms.Resize((64, 48)),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    job = Job(open_source(folder), 64, 48, tmp_path)
    prepare(job, progress=False)
    faces = np.load(job.faces, mmap_mode="r")
    decoded = TensorDataset(torch.from_numpy(np.array(faces)).float() / 127.5 - 1, torch.zeros(COUNT))
    loaders = {
        "from JPEGs": DataLoader(
            datasets.ImageFolder(str(folder), steps), BATCH, shuffle=True, num_workers=CORES
        ),
        "from decoded images": DataLoader(decoded, BATCH, shuffle=True),
    }
    models = {name: InstanceNormVAE(InstanceNormConfig(width=width)) for name in (*loaders, "ours")}

    def ours() -> None:
        fit_vae(models["ours"], faces, epochs=1, kl_weight=WEIGHT, batch_size=BATCH, flip=True)

    for name, loader in loaders.items():
        row = paired(lambda name=name, loader=loader: tutorial_loop(loader, models[name]), ours, rounds=3)
        row["images_per_second"] = COUNT / row["fast_seconds"]
        enter(f"VAE of report E, width {width}: tutorial loop {name} against fit_vae", row)
