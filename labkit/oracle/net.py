"""The network that reads the factors of a drawn face back from its picture."""

import torch
from torch import Tensor, nn

SIDE = 64  # the network's pictures are SIDE × SIDE
LOG_VARIANCE = (-7.0, 4.0)  # of a standardised factor: beyond these a standard deviation says nothing


class _Convolution(nn.Sequential):
    """Convolution, batch norm and ReLU."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1) -> None:
        padding = (kernel - stride + 1) // 2
        super().__init__(
            nn.Conv2d(channels_in, channels_out, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(channels_out),
            nn.ReLU(inplace=True),
        )


class _Residual(nn.Module):
    """x + two convolutions of x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(_Convolution(channels, channels, 3), _Convolution(channels, channels, 3))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class FactorNet(nn.Module):
    """Reads F factors from pictures: a mean and a variance of each continuous one, a logit of each binary one.

    The variance depends on the picture (heteroscedastic regression: Nix and Weigend 1994): the colour of hair
    under a cap is uncertain, and the network is to say so. Pictures are cut into patches of 8 pixels, 4 apart, at
    once, so that a CPU core reads thousands per second; positions are kept up to the features, because a face has
    its mouth in one place.

    Attributes:
        dims: D, the number of features, 128.
        binary: bool (F,), which factors are binary.
        centre, spread: float (F,), mean and standard deviation of the continuous factors in training; 0 and 1 for
            binary ones.
        scale: float (F,), calibration: multiplies the standard deviation of a continuous factor, divides the
            logit of a binary one (temperature scaling: Guo et al., arXiv:1706.04599).
    """

    dims = 128
    binary: Tensor
    centre: Tensor
    spread: Tensor
    scale: Tensor

    def __init__(self, binary: Tensor) -> None:
        super().__init__()
        count = len(binary)
        self.trunk = nn.Sequential(
            _Convolution(3, 64, 8, 4),
            _Convolution(64, 32, 1),
            _Residual(32),
            _Convolution(32, 16, 1),
            nn.Flatten(),
            nn.Linear(16 * (SIDE // 4) ** 2, self.dims, bias=False),
            nn.BatchNorm1d(self.dims),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(self.dims, 2 * count)
        self.register_buffer("binary", binary.clone())
        self.register_buffer("centre", torch.zeros(count))
        self.register_buffer("spread", torch.ones(count))
        self.register_buffer("scale", torch.ones(count))

    def features(self, images: Tensor) -> Tensor:
        """Images in [0, 1], (N, 3, 64, 64) → features (N, D), non-negative."""
        return self.trunk((images - 0.5) * 4)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1], (N, 3, 64, 64) → standardised means or logits (N, F), and log-variances (N, F)."""
        location, log_variance = self.head(self.features(images)).float().chunk(2, 1)
        return location, log_variance.clamp(*LOG_VARIANCE)

    def read(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1], (N, 3, 64, 64) → mean and standard deviation (N, F), in the factors' units.

        For a binary factor they are the probability p that it is 1, and √(p (1 − p)).
        """
        location, log_variance = self(images)
        probability = torch.sigmoid(location / self.scale)
        mean = torch.where(self.binary, probability, self.centre + self.spread * location)
        deviation = self.spread * self.scale * torch.exp(0.5 * log_variance)
        return mean, torch.where(self.binary, (probability * (1 - probability)).sqrt(), deviation)
