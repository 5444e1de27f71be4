"""Is this GAN still training? Looks at it after every epoch, says in a sentence when it collapsed, and rolls back."""

import copy
import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from labkit.errors import LabkitError
from labkit.faces.pixels import to_input
from labkit.fit.state import TrainingState, add_columns, preserved_rng
from labkit.gan.dcgan import DCGAN

FIXED = 64  # images and latents that diversity is measured on
EDGE = 0.99  # a pixel beyond ± this counts as saturated


@dataclass(frozen=True)
class HealthRule:
    """When a run counts as collapsed, and what is done then.

    An epoch with a symptom is not healthy and is never rolled back to. A run has collapsed when the same symptom
    shows for `patience` epochs in a row, not counting the first `grace` epochs.
    Nothing here looks at what is drawn: varied nonsense, as from a far too large rate, is no symptom.
    """

    # Mean distance between two samples, over that between two real images; about 1 in a good run. Every generator
    # begins with one grey picture: no symptom while diversity is still rising.
    least_diversity: float = 0.1
    # Factor from one epoch to the next that counts as rising, above a hundredth of least_diversity.
    rising: float = 1.02
    won: float = 0.01  # the discriminator has won where D(x) exceeds 1 − won and D(G(z)) falls below it
    least_gradient: float = 1e-4  # norm of the generator's gradient; with the non-saturating loss it is around 1
    most_saturation: float = 0.25  # share of sample numbers at ±1, beyond the share in real images
    non_finite: int = 5  # steps in a row that were skipped; counts at once, whatever `grace` and `patience`
    grace: int = 3  # epochs
    patience: int = 3  # epochs
    # "watch" only says so, "stop" ends the run, "rollback" goes on from the last healthy epoch.
    action: Literal["watch", "stop", "rollback"] = "rollback"
    slower: float = 0.5  # factor on all rates at a rollback, once more each time that the same epoch is gone back to
    rollbacks: int = 3  # after so many the run is stopped instead

    def __post_init__(self) -> None:
        known = self.action in ("watch", "stop", "rollback") and self.patience >= 1 and 0 < self.slower <= 1
        if not known or not all(math.isfinite(each) for each in vars(self).values() if not isinstance(each, str)):
            raise LabkitError(
                f"HealthRule: {self} is not possible; action is watch, stop or rollback, patience at least 1, "
                "slower in (0, 1], and every limit a number."
            )

    def symptoms(self, rows: list[dict[str, float]], real_saturation: float, bad_steps: int) -> dict[str, str]:
        """Symptom → what was measured, of the last of the history's rows; empty where there is none."""
        row, before = rows[-1], rows[-2]["diversity"] if len(rows) > 1 else 0.0
        d_real, d_fake, diversity = row["d_real"], row["d_fake"], row["diversity"]
        gradient, share = row["generator_gradient"], row["pixels_saturated"]
        found = {}
        if bad_steps >= self.non_finite:
            found["non-finite"] = f"the last {bad_steps} steps had a loss or gradient that is not finite"
        rising = diversity > max(self.rising * before, self.least_diversity / 100)
        if not (diversity >= self.least_diversity or rising):
            found["diversity"] = (
                f"its samples hardly differ (diversity {diversity:.3f} of that of real images, "
                f"{self.least_diversity} is the least)"
            )
        if share - real_saturation > self.most_saturation:
            found["saturation"] = f"{share:.0%} of its samples' pixels are at ±1 ({real_saturation:.0%} in data)"
        if gradient < self.least_gradient:
            found["gradient"] = f"the generator's gradient has vanished (norm {gradient:.1e})"
        if d_real > 1 - self.won and d_fake < self.won:
            found["won"] = f"the discriminator has won (D(x) = {d_real:.3f}, D(G(z)) = {d_fake:.3f})"
        return found


class HealthMonitor:
    """The `monitor` of a GAN's `fit`.

    Each epoch's row of the history gets `diversity` and `pixels_saturated`, of images drawn in eval mode from the
    same 64 latents; D(x), D(G(z)) and the norms of the gradients stand there already (see `labkit.gan.training`).

    Args:
        rule: when and what.
        model: the GAN; only its size and device are used here.
        images: uint8 data (N, C, H, W), at least two.
    """

    def __init__(self, rule: HealthRule, model: DCGAN, images: np.ndarray) -> None:
        if len(images) < 2:
            raise LabkitError(f"HealthMonitor: {len(images)} images have no diversity; give at least two.")
        self.rule = rule
        rows = np.sort(np.random.default_rng(0).permutation(len(images))[:FIXED])
        real = to_input(images[rows])
        self.real_spread, self.real_saturation = spread(real), saturation(real)
        self.noise = torch.randn(FIXED, model.latent_dim, generator=torch.Generator().manual_seed(0))

    def __call__(self, run: TrainingState, row: dict[str, float]) -> None:
        """Measure, judge, and act; `row` is that of the epoch just finished."""
        add_columns(row, self._measure(run.model), "the health monitor")
        book = run.monitored or {"in_a_row": {}, "snapshot": None, "back": 0, "rollbacks": 0, "said": {}}
        run.monitored = book
        bad_steps = max(step.books.in_a_row for step in run.steps)
        symptoms = self.rule.symptoms(run.rows, self.real_saturation, bad_steps)
        counts = book["in_a_row"]
        late = run.epoch > self.rule.grace
        book["in_a_row"] = {name: counts.get(name, 0) + late for name in symptoms}
        fatal = [
            text
            for name, text in symptoms.items()
            if name == "non-finite" or book["in_a_row"][name] >= self.rule.patience
        ]
        if fatal:
            self._act(run, book, fatal[0])
        elif not symptoms and self.rule.action == "rollback":
            book["snapshot"], book["back"] = take_snapshot(run), 0

    def _act(self, run: TrainingState, book: dict[str, Any], cause: str) -> None:
        epoch, snapshot, done = run.epoch, book["snapshot"], "going on"
        if self.rule.action == "watch" and epoch - 1 in book["said"]:
            book["said"][epoch] = book["said"][epoch - 1]  # it is still so: said once
        else:
            if self.rule.action == "stop":
                done = "stopped"
            elif self.rule.action == "rollback" and snapshot is None:
                done = "stopped, as no epoch was healthy"
            elif self.rule.action == "rollback" and book["rollbacks"] >= self.rule.rollbacks:
                done = f"stopped after {book['rollbacks']} rollbacks"
            elif self.rule.action == "rollback":
                book["back"] += 1
                book["rollbacks"] += 1
                book["in_a_row"] = {}
                factor = self.rule.slower ** book["back"]
                roll_back(run, snapshot, factor)
                done = f"back to epoch {run.epoch} with its rates × {factor:g}"
            sentence = f"collapsed by epoch {epoch}: {cause}; {done}."
            book["said"].setdefault(epoch, [])
            book["said"][epoch] = [*book["said"][epoch], sentence]
            run.stopped_early = done.startswith("stopped")
        run.kept["health"] = copy.deepcopy(book["said"])

    def _measure(self, model: DCGAN) -> dict[str, float]:
        weight = next(model.parameters())
        model.eval()
        with torch.no_grad(), preserved_rng():
            samples = model.generator(self.noise.to(weight)).float().cpu()
        return {"diversity": spread(samples) / self.real_spread, "pixels_saturated": saturation(samples)}


def spread(images: Tensor) -> float:
    """Mean over all pairs of images (N, …) of the root mean squared difference; 0 if all are the same."""
    flat = images.flatten(1).double()
    return float(torch.pdist(flat).mean() / math.sqrt(flat.shape[1]))


def saturation(images: Tensor) -> float:
    """Share of the numbers of images in [−1, 1] that are beyond ±0.99."""
    return float((images.abs() > EDGE).double().mean())


def take_snapshot(run: TrainingState) -> dict[str, Any]:
    """A copy of all that changes while `run` trains, what its monitor keeps left out."""
    state = run.state_dict()
    del state["monitored"]
    return copy.deepcopy(state)


def roll_back(run: TrainingState, snapshot: dict[str, Any], factor: float = 1.0) -> None:
    """Put `run` back to `snapshot` bit for bit, its rates times `factor`; time that was spent stays spent."""
    seconds = run.seconds
    run.load_state_dict(copy.deepcopy(snapshot))
    run.seconds = seconds
    for step in run.steps:
        for group in step.update.optimizer.param_groups:
            group["lr"] *= factor
