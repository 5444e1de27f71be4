"""Training a DCGAN: this kit's loop beside that of the widespread tutorial, from JPEGs and from decoded images."""

import numpy as np
import pytest
import torch
from celeba_files import jpegs, write_official
from ledger import enter, paired
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from labkit.data.celeba_prepare import prepare
from labkit.data.celeba_shelf import Job
from labkit.data.celeba_source import open_source
from labkit.models.dcgan import DCGAN, DCGANConfig
from labkit.models.vision import datasets, transforms
from labkit.training.gan import fit_gan

pytestmark = pytest.mark.bench
COUNT, BATCH, CORES, RATE, BETA1 = 512, 64, 2, 2e-4, 0.5


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_official(tmp_path_factory.mktemp("celeba"), jpegs(COUNT))


def fresh(width: int) -> DCGAN:
    torch.manual_seed(0)
    return DCGAN(DCGANConfig(width=width))


class Tutorial:
    """The loop of PyTorch's DCGAN tutorial: cross entropy on labels, one batch of fakes for both updates."""

    def __init__(self, loader: DataLoader, model: DCGAN) -> None:
        self.loader, self.model, self.criterion = loader, model.train(), nn.BCEWithLogitsLoss()
        self.adams = [
            torch.optim.Adam(net.parameters(), lr=RATE, betas=(BETA1, 0.999))
            for net in (model.discriminator, model.generator)
        ]

    def epoch(self) -> tuple[float, float]:
        """Train for an epoch; the mean losses of the discriminator and of the generator, in nats."""
        generator, discriminator = self.model.generator, self.model.discriminator
        optimizer_d, optimizer_g = self.adams
        losses = []
        for real, _ in self.loader:
            discriminator.zero_grad()
            label = torch.full((len(real),), 1.0)
            error_real = self.criterion(discriminator(real), label)
            error_real.backward()
            fake = generator(self.model.noise(len(real)))
            label.fill_(0.0)
            error_fake = self.criterion(discriminator(fake.detach()), label)
            error_fake.backward()
            optimizer_d.step()
            generator.zero_grad()
            label.fill_(1.0)
            error_g = self.criterion(discriminator(fake), label)
            error_g.backward()
            optimizer_g.step()
            losses.append((error_real.item() + error_fake.item(), error_g.item()))
        return tuple(np.mean(losses, 0).tolist())


class Ours:
    """The same model and updates by `fit_gan`, without the monitor, which the tutorial does not have."""

    def __init__(self, faces: np.ndarray, model: DCGAN) -> None:
        self.faces, self.model = faces, model

    def epoch(self) -> tuple[float, float]:
        options = {"rate": RATE, "beta1": BETA1, "batch_size": BATCH, "health": None}
        history = fit_gan(self.model, self.faces, epochs=1, **options).history
        return tuple(history[["discriminator", "generator"]].to_numpy()[0].tolist())


@pytest.mark.parametrize("width", [16, 64])
def test_an_epoch(folder, tmp_path, width):
    """Equal work but for the second batch of fakes, which is ours alone; JPEGs of 178×218 to 64×64."""
    torch.set_num_threads(CORES)
    steps = transforms.Compose(
        [
            transforms.Resize(64),
            transforms.CenterCrop(64),
            transforms.ToTensor(),
            transforms.Normalize((0.5,) * 3, (0.5,) * 3),
        ]
    )
    job = Job(open_source(folder), 64, 64, tmp_path)
    prepare(job, progress=False)
    faces = np.load(job.faces, mmap_mode="r")
    decoded = TensorDataset(torch.from_numpy(np.array(faces)).float() / 127.5 - 1, torch.zeros(COUNT))
    loaders = {
        "from JPEGs": DataLoader(
            datasets.ImageFolder(str(folder), steps), BATCH, shuffle=True, num_workers=CORES
        ),
        "from decoded images": DataLoader(decoded, BATCH, shuffle=True),
    }
    for name, loader in loaders.items():
        plain, ours = Tutorial(loader, fresh(width)), Ours(faces, fresh(width))
        first = {"theirs": plain.epoch(), "ours": ours.epoch()}  # from the same weights
        assert np.abs(np.subtract(first["theirs"], first["ours"])).max() < 0.5, first
        row = paired(plain.epoch, ours.epoch, rounds=3)
        row["images_per_second"] = COUNT / row["fast_seconds"]
        row |= {
            f"{who}_loss_{net}": loss
            for who, losses in first.items()
            for net, loss in zip("dg", losses, strict=True)
        }
        enter(f"DCGAN, width {width}: tutorial loop {name} against fit_gan", row)
