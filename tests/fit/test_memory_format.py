"""A checkpoint may come from a model that lay in memory otherwise."""

import pytest
import torch
from torch import nn

from labkit.faces.batches import ResidentBatches
from labkit.fit import Update, fit

FORMATS = (torch.contiguous_format, torch.channels_last)


def train(memory_format, epochs, run_dir=None):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3))
    model = model.double().to(memory_format=memory_format)
    adam = torch.optim.Adam(model.parameters(), 1e-2, fused=True)
    update = Update("mse", lambda model, x: (model(x) - x[:, :2, 2:-2, 2:-2]).square().mean(), adam)
    batches = ResidentBatches(torch.rand(12, 3, 8, 8, dtype=torch.float64), batch_size=4)
    fit(model, update, batches, epochs=epochs, run_dir=run_dir, progress=False)
    return model.state_dict()


@pytest.mark.parametrize("before, after", [FORMATS, FORMATS[::-1]], ids=["to_last", "from_last"])
def test_a_run_goes_on_in_another_memory_format(tmp_path, before, after):
    train(before, 2, tmp_path)
    resumed = train(after, 5, tmp_path)
    torch.testing.assert_close(resumed, train(before, 5), rtol=1e-9, atol=1e-12)
    assert resumed["2.weight"].is_contiguous(memory_format=after)
    assert not torch.allclose(resumed["2.weight"], train(after, 2)["2.weight"], rtol=1e-3)
