"""The same training by Lightning's Trainer, as its documentation writes it, with nothing logged, saved or shown."""

import logging
import warnings
from collections.abc import Iterable

import pytorch_lightning as lightning
import torch
from bench_device import DEVICE
from loops import Loss, discriminator_error, gan_adams, generator_error
from torch import nn

from labkit.gan.dcgan import DCGAN

logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
warnings.filterwarnings("ignore", module="pytorch_lightning")


class OneLoss(lightning.LightningModule):
    """A model with one loss and one optimizer."""

    def __init__(self, model: nn.Module, loss: Loss, rate: float) -> None:
        super().__init__()
        self.model, self.loss, self.rate = model, loss, rate

    def training_step(self, batch, index):
        loss = self.loss(self.model, batch)
        self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return torch.optim.Adam(self.model.parameters(), lr=self.rate)


class TwoLosses(lightning.LightningModule):
    """A GAN, by manual optimization."""

    def __init__(self, model: DCGAN) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.model = model

    def training_step(self, batch, index):
        d_opt, g_opt = self.optimizers()
        d_error = discriminator_error(self.model, batch[0])
        d_opt.zero_grad()
        self.manual_backward(d_error)
        d_opt.step()
        g_error = generator_error(self.model, batch[0])
        g_opt.zero_grad()
        self.manual_backward(g_error)
        g_opt.step()
        self.log_dict({"d_error": d_error, "g_error": g_error})

    def configure_optimizers(self):
        return gan_adams(self.model)


def train(module: lightning.LightningModule, loader: Iterable, epochs: int = 1) -> dict[str, float]:
    """Train by a new Trainer; what the last step logged."""
    trainer = lightning.Trainer(
        accelerator=DEVICE.type,
        devices=1,
        max_epochs=epochs,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, loader)
    return {name: value.item() for name, value in trainer.callback_metrics.items()}
