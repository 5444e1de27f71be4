"""Models of one architecture trained by one program: a grid of β and seeds, each model as if it were alone.

The weights of E models are stacked, (E, …), and `torch.func.vmap` maps the loss over them. Every member has the order
of data and the noise of its own seed, and Adam works number by number, so that stacking changes nothing but rounding.
The members' losses are summed for `fit`: the gradient of a member's weights depends on its own loss alone.
"""

import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit.checkpoint import NAME, Checkpoints
from labkit.fit.group import join
from labkit.fit.identity import describe_data, describe_model
from labkit.fit.loop import FitResult, TrainingDiverged, fit
from labkit.fit.step import Update
from labkit.fit.sweep import cell_name
from labkit.scheduler import SCHEDULER_VARIABLE
from labkit.vae.disentangling import Objective, fit_disentangling, loss_terms, weighed
from labkit.vae.nets import VAE

WEIGHTS = "terms.model."  # of the members, in the state of `Together`


@dataclass(frozen=True)
class Member:
    """One model of a group: what `fit_disentangling` is given for it, under the same names."""

    model: VAE
    objective: Objective
    seed: int
    run_dir: Path
    config: Mapping[str, Any] = field(default_factory=dict)


def trains_together(device: torch.device) -> bool:
    """Whether a sweep trains its models together on this device: on CUDA, where E models start about as many kernels
    as one does; not on a CPU, where it is no faster, and one after another each is kept as soon as it is done; nor
    where processes share the work, of one model (`torchrun`) or of the sweep (a scheduler).
    """
    return device.type == "cuda" and not os.environ.get(SCHEDULER_VARIABLE) and join().size == 1


def fit_together(
    members: Sequence[Member],
    images: np.ndarray,
    *,
    epochs: int,
    rate: float = 1e-3,
    batch_size: int = 64,
    progress: bool = False,
) -> list[FitResult]:
    """The same as `fit_disentangling` of each member in turn, but for rounding: those that have no checkpoint yet are
    trained in one program, in this process alone.

    While they train, their one checkpoint is in a folder beside the first member's, and a call with the same members
    resumes. At the end each has in its own `run_dir` the checkpoint that it would have alone, to be read or prolonged
    by `fit_disentangling`; the time of the group is shared out evenly in their histories.

    A step in which the loss or the gradient of any member is not finite is skipped by all.

    Raises:
        TrainingDiverged: 50 steps in a row were skipped; says whose gradient was not finite.
        LabkitError: members that differ in more than β, first weights and seed, or share a folder; see also `fit`.
    """
    _check(members)
    options = {"epochs": epochs, "rate": rate, "batch_size": batch_size}
    untrained = [member for member in members if not (member.run_dir / NAME).exists()]
    if len(untrained) > 1:
        _train(untrained, images, **options, progress=progress)
    return [fit_disentangling(images=images, **vars(member), **options) for member in members]


class Together(nn.Module):
    """E models as one, from images to E losses.

    Attributes:
        terms: a module with the weights of all, (E, …) each; only ever called with those of one.
        seeds: those that occur, each once; members of one seed see the same batches and noise.
        sums: of the losses and terms named `names` over the items of the epoch, and of the items, (K + 1, E).
    """

    def __init__(self, members: Sequence[Member], dataset_size: int) -> None:
        super().__init__()
        first, weight = members[0], members[0].model.to_mean.weight
        self.terms = _Terms(copy.deepcopy(first.model), first.objective, dataset_size)
        weights = [member.model.state_dict() for member in members]
        for name, parameter in self.terms.model.named_parameters():
            parameter.data = torch.stack([each[name] for each in weights])
        self.seeds = list(dict.fromkeys(member.seed for member in members))
        places = [self.seeds.index(member.seed) for member in members]
        self.seed_of_member = torch.tensor(places, device=weight.device)
        self._generators = [torch.Generator(weight.device).manual_seed(seed) for seed in self.seeds]
        self._betas = weight.new_tensor([member.objective.beta for member in members])
        tc = ("tc",) if first.objective.penalty == "tc" else ()
        self.names = ("loss", "reconstruction", "kl", "mse", *tc)
        sums = torch.zeros(len(self.names) + 1, len(members), dtype=torch.float64, device=weight.device)
        self.register_buffer("sums", sums)

    def forward(self, x: Tensor) -> Tensor:
        """Losses (E,), means over a batch, for the images (B, S, C, H, W) of each of the S seeds."""
        shape = len(x), self.terms.model.latent_dim
        noise = [torch.randn(shape, generator=g, dtype=x.dtype, device=x.device) for g in self._generators]
        terms = vmap(lambda weights, x, noise: functional_call(self.terms, weights, (x, noise)), (0, 1, 0))(
            dict(self.terms.named_parameters()),
            x.index_select(1, self.seed_of_member),
            torch.stack(noise).index_select(0, self.seed_of_member),
        )
        losses = weighed(terms, self._betas, self.terms.objective.penalty)
        values = {**terms, "loss": losses}
        noted = torch.stack([*(values[name] for name in self.names), torch.ones_like(losses)])
        self.sums += len(x) * noted.detach()
        return losses

    def take_means(self) -> dict[str, float]:
        """{"name[member]": mean over the items of the steps that were not skipped}; the sums begin anew."""
        *sums, items = self.sums.cpu().clone()
        self.sums.zero_()
        return {
            f"{name}[{place}]": mean
            for name, row in zip(self.names, sums)
            for place, mean in enumerate((row / items).tolist())
        }

    def get_extra_state(self) -> Tensor:
        """The state of each seed's noise, (S, bytes)."""
        return torch.stack([generator.get_state() for generator in self._generators])

    def set_extra_state(self, state: Tensor) -> None:
        """Put back what `get_extra_state` returned."""
        for generator, saved in zip(self._generators, state):
            generator.set_state(saved.clone())  # of a view, torch 2.13 crashes the process


class _Terms(nn.Module):
    """`loss_terms` as a module, which is what `functional_call` wants."""

    def __init__(self, model: VAE, objective: Objective, dataset_size: int) -> None:
        super().__init__()
        self.model, self.objective, self.dataset_size = model, objective, dataset_size

    def forward(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        return loss_terms(self.model, x, noise, self.objective, self.dataset_size)


class _Batches:
    """The batches of several seeds side by side, (B, S, …)."""

    def __init__(self, each: Sequence[ResidentBatches]) -> None:
        self.each, self.count = each, each[0].count

    def __len__(self) -> int:
        return len(self.each[0])

    def epoch(self, number: int) -> Iterator[Tensor]:
        for items in zip(*(batches.epoch(number) for batches in self.each)):
            yield torch.stack(items, 1)


def _train(
    members: Sequence[Member], images: np.ndarray, epochs: int, rate: float, batch_size: int, progress: bool
) -> None:
    group = Together(members, len(images))
    data = torch.tensor(images, device=group.sums.device)
    options = {"batch_size": batch_size, "normalise": "symmetric"}
    batches = _Batches([ResidentBatches(data, seed=seed, **options) for seed in group.seeds])
    configs = [{"objective": str(member.objective), **member.config} for member in members]
    who = {"members": [{**config, "seed": member.seed} for config, member in zip(configs, members)]}
    folder = members[0].run_dir.parent / f"together-{cell_name(who)}"
    optimizer = torch.optim.Adam(group.parameters(), rate, fused=True)
    try:
        fit(
            group,
            Update("loss", lambda model, x: model(x).sum(), optimizer),
            batches,
            epochs=epochs,
            validate=Together.take_means,
            run_dir=folder,
            config=who,
            progress=progress,
        )
    except TrainingDiverged as error:
        raise TrainingDiverged(f"fit_together: {_culprits(group, members)}: {error}") from error
    content = torch.load(folder / NAME, map_location="cpu", weights_only=True)
    for place, (member, config) in enumerate(zip(members, configs)):
        seed = group.seed_of_member[place].item()
        about = {"model": describe_model(member.model), "data": describe_data(batches.each[seed])}
        about = content["config"] | about | {"seed": member.seed, "config": config}
        Checkpoints(member.run_dir, about, 0.0).save(_alone(content["state"], group, place, seed))
    (folder / NAME).unlink()
    folder.rmdir()


def _alone(state: dict[str, Any], group: Together, place: int, seed: int) -> dict[str, Any]:
    """The training state of the member at `place`, as if it had been alone, from that of the group."""
    size = len(group.seed_of_member)
    kind, noise = group.sums.device.type, state["model"]["_extra_state"][seed].clone()
    rng = {"torch": noise} if kind == "cpu" else {kind: [noise] * len(state["rng"][kind])}
    (step,) = state["steps"]
    moments = {
        key: {name: value[place].clone() if value.ndim else value for name, value in each.items()}
        for key, each in step["optimizer"]["state"].items()
    }
    weights = {name: value for name, value in state["model"].items() if name.startswith(WEIGHTS)}
    rows = [
        {
            "epoch": row["epoch"],
            **{name: row[f"{name}[{place}]"] for name in group.names},
            **{name: row[name] for name in ("lr", "skipped")},
            "seconds": row["seconds"] / size,
            "items_per_second": row["items_per_second"] * size,
        }
        for row in state["rows"]
    ]
    return state | {
        "model": {name.removeprefix(WEIGHTS): value[place].clone() for name, value in weights.items()},
        "steps": [step | {"optimizer": step["optimizer"] | {"state": moments}}],
        "rng": state["rng"] | rng,
        "rows": rows,
        "seconds": state["seconds"] / size,
    }


def _culprits(group: Together, members: Sequence[Member]) -> str:
    finite = torch.stack([p.grad.reshape(len(members), -1).isfinite().all(1) for p in group.parameters()])
    bad = [member for member, good in zip(members, finite.all(0).tolist()) if not good] or members
    return "; ".join(f"β = {member.objective.beta:g}, seed {member.seed}" for member in bad)


def _check(members: Sequence[Member]) -> None:
    kinds = {describe_model(member.model) for member in members}
    if len(kinds) != 1 or any(list(member.model.buffers()) for member in members):
        raise LabkitError(
            f"fit_together: cannot train {' beside '.join(sorted(kinds)) or 'no model'}; give models of one "
            "architecture and latent size, without buffers, and train others apart."
        )
    if len({replace(member.objective, beta=1.0) for member in members}) != 1:
        raise LabkitError("fit_together: the objectives differ in more than beta; train such models apart.")
    if len({Path(member.run_dir) for member in members}) < len(members):
        raise LabkitError("fit_together: two members share a run_dir; give each its own.")
