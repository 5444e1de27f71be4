"""A run for several processes: `torchrun … group_job.py RUN_DIR OUT EPOCHS [lost RANK | slow]`.

Process 0 writes its weights and history to OUT. Nothing in it draws noise, so that any number of processes must give
the same; batch normalisation, two updates, a batch that is not finite and an odd last batch are in it.
"""

import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from labkit.data.resident import ResidentBatches
from labkit.errors import LabkitError
from labkit.training import Update, fit
from labkit.training.group import join


def run(run_dir: Path | None, epochs: int, before_step=lambda: None):
    torch.manual_seed(1)
    # No bias before a normalisation: its gradient is rounding error alone, which Adam would make steps of.
    trunk = nn.Sequential(nn.Conv2d(1, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten())
    trunk.append(nn.Linear(24, 5, bias=False))
    model = nn.ModuleDict({"trunk": trunk, "head": nn.Sequential(nn.BatchNorm1d(5), nn.Linear(5, 1))})
    images = torch.rand(43, 1, 4, 4, dtype=torch.float32)
    images[7, 0, 0, 0] = float("nan")
    targets = torch.nan_to_num(images).sum((1, 2, 3))[:, None]
    batches = ResidentBatches(images, labels=targets, batch_size=8, seed=3)

    def error(model, batch):
        before_step()
        x, y = batch
        return (model["head"](model["trunk"](x)) - y).square().mean()

    def smooth(model, batch):
        return model["trunk"](batch[0]).square().mean(), {"size": batch[1].abs().mean()}

    adam = torch.optim.Adam(model["trunk"].parameters(), 1e-2)
    sgd = torch.optim.SGD(model["head"].parameters(), 1e-2, momentum=0.9)
    head_too = torch.optim.SGD(model["trunk"].parameters(), 1e-3)
    updates = [Update("error", error, sgd), Update("body", error, adam), Update("smooth", smooth, head_too)]
    options = {"validate": lambda m: {"weight": m["head"][1].weight.abs().sum().item()}, "watch": "weight"}
    return fit(
        model, updates, batches, epochs=epochs, run_dir=run_dir, checkpoint_seconds=0.0, clip=1.0, **options
    )


def main() -> None:
    run_dir, out, epochs, *how = sys.argv[1:]
    rank, steps = int(os.environ.get("RANK", "0")), 0

    def before_step():
        nonlocal steps
        steps += 1
        if how[:1] == ["lost"] and steps == 9 and rank == int(how[1]):
            os.kill(os.getpid(), signal.SIGKILL)
        if how[:1] == ["slow"]:
            time.sleep(0.05)

    try:
        result = run(None if run_dir == "-" else Path(run_dir), int(epochs), before_step)
    except LabkitError as error:
        print(error, file=sys.stderr, flush=True)
        sys.exit(2)
    if join().leads:
        torch.save({"weights": result.model.state_dict(), "history": result.history.to_dict("list")}, out)


if __name__ == "__main__":
    main()
