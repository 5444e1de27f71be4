"""A run with everything in it that must survive: noise, flips, dropout, running statistics, two optimizers, a
schedule, a skipped batch, validation, early stopping's memory and callbacks.

As a program: `job.py run RUN_DIR`, or `job.py kill RUN_DIR KILLS SEED`, which kills -9 and resumes runs of itself.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from labkit.faces.batches import ResidentBatches
from labkit.fit import FitResult, Update, at, checkpoint, every, fit

EPOCHS = 12


class Pair(nn.Module):
    """A small GAN-shaped model."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(3, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 16))
        self.discriminator = nn.Sequential(nn.Linear(16, 12), nn.ReLU(), nn.Dropout(0.2), nn.Linear(12, 1))

    def forward(self, n: int) -> torch.Tensor:
        return self.generator(torch.randn(n, 3))


def run_job(run_dir: Path | None, seconds_a_step: float = 0.0, epochs: int = EPOCHS, **more) -> FitResult:
    """The run; `seconds_a_step` slows it down without changing it."""
    torch.manual_seed(5)
    model = Pair()
    images = torch.randint(0, 256, (90, 1, 4, 4), dtype=torch.uint8)
    batches = ResidentBatches(images, batch_size=8, seed=3, flip=True)
    adam = torch.optim.Adam(model.discriminator.parameters(), 1e-3)
    sgd = torch.optim.SGD(model.generator.parameters(), 1e-2, momentum=0.9)

    def d_loss(model: Pair, batch: torch.Tensor) -> torch.Tensor:
        time.sleep(seconds_a_step)
        real, fake = model.discriminator(batch.flatten(1)), model.discriminator(model(len(batch)))
        loss = nn.functional.softplus(-real).mean() + nn.functional.softplus(fake).mean()
        return loss * (float("nan") if batch[0, 0, 0, 0] < 0.03 else 1.0)

    def g_loss(model: Pair, batch: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        fake = model(len(batch))
        return nn.functional.softplus(-model.discriminator(fake)).mean(), {"spread": fake.std()}

    updates = [
        Update("d", d_loss, adam, torch.optim.lr_scheduler.StepLR(adam, 3, 0.6)),
        Update("g", g_loss, sgd, torch.optim.lr_scheduler.CosineAnnealingLR(sgd, 20)),
    ]
    options = {
        "validate": lambda model: {"held_out": model(64).var().item()},
        "validate_every": 2,
        "watch": "held_out",
        "patience": 50,
        "callbacks": [
            every(3, lambda model, epoch: model(2), "samples"),
            at([1, 4], lambda model, epoch: [epoch, {"mean": model(9).mean()}], "means"),
        ],
        "progress": False,
        "checkpoint_seconds": 0.0,
    }
    return fit(model, updates, batches, epochs=epochs, run_dir=run_dir, **{**options, **more})


def kill_and_resume(run_dir: Path, kills: int, seed: int) -> None:
    """Fork runs and kill each at a random moment, until `kills` were killed and the last one ended by itself.

    Prints for each kill how many batches its last checkpoint had seen.
    """
    checkpoint.WRITING_SHARE = 0.5  # more writing, so that more kills meet it
    moments = random.Random(seed)
    finished, places = 0, []
    ended = False
    while len(places) < kills or not ended:
        folder = run_dir / f"round-{finished}"
        child = os.fork()
        if not child:
            torch.set_num_threads(1)
            run_job(folder, seconds_a_step=0.003)
            os._exit(0)
        if len(places) < kills:
            _wait_for_writes(folder / checkpoint.NAME, moments.randint(0, 6), child)
            time.sleep(moments.uniform(0.0, 0.03))
            os.kill(child, signal.SIGKILL)  # of no effect on a child that has ended
        _, status = os.waitpid(child, 0)
        ended = not os.WIFSIGNALED(status)
        if not ended:
            places.append(_batches_seen(folder / checkpoint.NAME))
        elif status:
            raise SystemExit("a resumed run failed")
        finished += ended
    print(*places)


def _wait_for_writes(file: Path, writes: int, child: int) -> None:
    """Return when `file` was replaced so many times, or `child` has ended (and is left to be waited for)."""
    last = _version(file)
    while writes and os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        time.sleep(0.001)
        now = _version(file)
        writes -= now != last
        last = now


def _version(file: Path) -> tuple[int, int] | None:
    try:
        status = file.stat()
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns


def _batches_seen(file: Path) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, weights_only=True)["state"]
    return 12 * state["epoch"] + state["step"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    if sys.argv[1] == "kill":
        kill_and_resume(Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        run_job(
            Path(sys.argv[2]),
            seconds_a_step=0.01,
            callbacks=[every(1, lambda model, epoch: print("ready", epoch, flush=True))],
        )
