"""A setting that is NaN, infinite or below its range is refused in a sentence, where it would give NaN in silence."""

import math

import pytest
import torch

from labkit import flows, matching, vae
from labkit.errors import LabkitError
from labkit.flows.nets import FlowConfig
from labkit.gan import HealthRule
from labkit.hvae.training import HVAETraining
from labkit.vae import KLWeight
from labkit.vae.disentangling import Objective

NET = torch.nn.Linear(2, 2)
SETTINGS = {
    "λ": lambda x: KLWeight(x, "sum", 12, 3),
    "a decoder's σ": lambda x: KLWeight(1.0, "sum", 12, 3).beta(x),
    "β": lambda x: Objective(beta=x),
    "a likelihood's σ": lambda x: Objective(sigma=x),
    "the bound of a scale": lambda x: FlowConfig(6, 4, scale_bound=x),
    "a spectral penalty": lambda x: HVAETraining(spectral=x),
    "a rate": lambda x: HVAETraining(rate=x),
    "the last rate": lambda x: HVAETraining(last_rate=x),
    "the weight of a KL": lambda x: vae.update(NET, kl_weight=x),
    "noise on codes": lambda x: flows.update(NET, noise=x),
    "noise on data": lambda x: matching.update(NET, noise=x),
    "a slower rate": lambda x: HealthRule(slower=x),
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, -1.0])
@pytest.mark.parametrize("name", SETTINGS)
def test_what_is_no_number_of_its_range_is_refused(name, value):
    with pytest.raises(LabkitError, match=r"^[^\n]+$"):
        SETTINGS[name](value)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_limit_of_health_is_a_number(value):
    for limit in ("least_diversity", "won", "least_gradient", "most_saturation", "rising"):
        with pytest.raises(LabkitError, match="every limit a number"):
            HealthRule(**{limit: value})
