"""The residual cells of the hierarchical VAE: parameters, what they see, checkpointing."""

import copy

import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.hvae.cells import KERNEL, SQUEEZE, GenerativeCell, InferenceCell, receptive_field, run_cells


@pytest.mark.parametrize("depthwise", [True, False])
@pytest.mark.parametrize(("channels", "expansion"), [(4, 3), (16, 2), (24, 1)])
def test_cell_has_as_many_parameters_as_the_formula(channels, expansion, depthwise):
    """Convolutions, 2 per normalised channel, the squeeze."""
    hidden, squeezed = expansion * channels, max(channels // SQUEEZE, 4)
    convolutions = 2 * channels * hidden + KERNEL**2 * hidden * (1 if depthwise else hidden)
    gate = 2 * channels * squeezed + squeezed + channels
    cell = GenerativeCell(channels, expansion, depthwise)
    counted = sum(weight.numel() for weight in cell.parameters())
    assert counted == convolutions + 2 * (2 * channels + 2 * hidden) + gate


def reach(net, channels, side=41):
    """Side of the square of inputs that one output depends on, squeeze-and-excitation (which sees all) left out."""
    x = torch.randn(1, channels, side, side, dtype=torch.float64).requires_grad_()
    out = net(x)
    gradient = torch.autograd.grad(out[0, 0, out.shape[2] // 2, out.shape[3] // 2], x)[0][0]
    return int((gradient.abs().sum(0) > 1e-12).any(0).sum())


def without_squeeze(cell):
    cell = copy.deepcopy(cell).double().eval()
    cell.layers[-1] = nn.Identity()
    return cell


def test_receptive_field_is_that_of_the_gradient():
    torch.manual_seed(0)
    deep = nn.Sequential(*[without_squeeze(GenerativeCell(4)) for _ in range(3)])
    assert reach(deep, 4) == receptive_field([5, 5, 5]) == 13
    assert reach(without_squeeze(InferenceCell(4)), 4) == receptive_field([3, 3]) == 5
    strided = nn.Sequential(nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3, 2), nn.Conv2d(4, 4, 3)).double()
    assert reach(strided, 4) == receptive_field([3, 3, 3], [2, 2, 1]) == 15
    with pytest.raises(LabkitError, match="2 kernels"):
        receptive_field([3, 3], [1])


def test_checkpointing_is_not_used_without_gradients():
    cells = nn.Sequential(GenerativeCell(4))
    with torch.no_grad():
        assert run_cells(cells, torch.randn(2, 4, 8, 8), True).grad_fn is None
