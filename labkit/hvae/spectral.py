"""Spectral regularisation: how much each convolution can stretch its input, kept small by a penalty.

Vahdat and Kautz (arXiv:2007.03898, section 3.2) add λ Σ_i s_i to the loss, s_i the largest singular value of the i-th
convolution's weights as a matrix (out, in · k²), by power iteration (Yoshida and Miyato, arXiv:1705.10941); that
value bounds no convolution exactly, but both grow and shrink together. Their program adds the largest |scale| of each
batch normalisation, which could otherwise undo what the convolutions are held to.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

FIRST_ITERATIONS = 10
EPS = 1e-12


class SpectralNorms(nn.Module):
    """Estimates for all convolutions of a net, better by one power iteration with each call in train mode.

    Its vectors are buffers, so that a checkpoint keeps them. A depthwise convolution acts on each channel by itself:
    its matrix is block-diagonal, and its norm the largest of its rows' lengths, known without iteration.

    Args:
        net: whose convolutions and batch normalisations are meant; those made later are not.
    """

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        convolutions = [layer for layer in net.modules() if isinstance(layer, nn.Conv2d)]
        self._norms = [layer for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
        self._depthwise = [layer for layer in convolutions if layer.groups > 1]
        by_shape = defaultdict(list)
        for layer in convolutions:
            if layer.groups == 1:
                by_shape[(layer.weight.shape[0], layer.weight[0].numel())].append(layer)
        self._alike = list(by_shape.values())
        for place, (rows, columns) in enumerate(by_shape):
            count = len(self._alike[place])
            self.register_buffer(f"left_{place}", normalize(torch.randn(count, rows, 1), dim=1, eps=EPS))
            self.register_buffer(f"right_{place}", normalize(torch.randn(count, columns, 1), dim=1, eps=EPS))
        if not any(layer.weight.is_meta for layer in convolutions):  # of those, shapes alone are asked for
            for _ in range(FIRST_ITERATIONS):
                self._iterate()

    def values(self) -> Tensor:
        """Largest singular value of each convolution, in one vector, with gradients to the weights."""
        if self.training:
            self._iterate()
        found = [self._value(place) for place in range(len(self._alike))]
        found += [layer.weight.flatten(1).norm(dim=1).max().reshape(1) for layer in self._depthwise]
        return torch.cat(found)

    def forward(self) -> Tensor:
        """Σ of the values of all convolutions and of the largest |scale| of all batch normalisations, ()."""
        scales = [layer.weight.abs().max() for layer in self._norms]
        return self.values().sum() + torch.stack(scales).sum()

    @torch.no_grad()
    def _iterate(self) -> None:
        for place in range(len(self._alike)):
            matrices, left, right = self._parts(place)
            right.copy_(normalize(matrices.mT @ left, dim=1, eps=EPS))
            left.copy_(normalize(matrices @ right, dim=1, eps=EPS))

    def _value(self, place: int) -> Tensor:
        matrices, left, right = self._parts(place)
        return (left.clone().mT @ matrices @ right.clone()).flatten()

    def _parts(self, place: int) -> tuple[Tensor, Tensor, Tensor]:
        """Matrices (count, rows, columns) of one shape, and their left and right vectors."""
        matrices = torch.stack([layer.weight.flatten(1) for layer in self._alike[place]]).float()
        return matrices, getattr(self, f"left_{place}"), getattr(self, f"right_{place}")
