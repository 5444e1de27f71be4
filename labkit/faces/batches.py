"""Batches of a data set that lives on the device."""

from collections.abc import Iterator

import numpy as np
import torch

from labkit.errors import LabkitError

Batch = torch.Tensor | tuple[torch.Tensor, torch.Tensor]


class ResidentBatches:
    """Shuffled batches, drawn, flipped and normalised on the device that holds the data.

    The batches of an epoch depend on (seed, epoch) and the kind of device alone, not on what was drawn
    before: that is what makes exact resume simple. Nothing in an epoch waits for the device.

    Attributes:
        count: N, the number of items.
        batch_size: items in a batch; the last batch may hold fewer.
        device: where data and batches are.

    Args:
        data: uint8 (N, C, H, W), or floats (N, …); array or tensor.
        labels: (N, …) of any dtype, array or tensor; batches are then pairs (items, labels).
        batch_size: items in a batch.
        seed: non-negative seed of order and flips.
        device: where the data are put; None leaves a tensor where it is and puts an array on the CPU.
        flip: mirror each image left to right with probability ½.
        drop_last: leave out an incomplete last batch.
        normalise: range of uint8 images as float32: None for [0, 1], "symmetric" for [−1, 1]. Floats pass
            as they are.

    Raises LabkitError: the data, labels and options do not fit together.
    """

    def __init__(
        self,
        data: np.ndarray | torch.Tensor,
        *,
        batch_size: int,
        seed: int = 0,
        device: torch.device | str | None = None,
        flip: bool = False,
        drop_last: bool = False,
        labels: np.ndarray | torch.Tensor | None = None,
        normalise: str | None = None,
    ) -> None:
        self._data = _resident(data, device)
        self._labels = None if labels is None else _resident(labels, self._data.device)
        self.count = len(self._data)
        self.batch_size = batch_size
        self.device = self._data.device
        self.seed = seed
        self._flip = flip
        self._drop_last = drop_last
        self._symmetric = normalise == "symmetric"
        self._check(normalise)

    def __len__(self) -> int:
        """Batches in an epoch."""
        whole, rest = divmod(self.count, self.batch_size)
        return whole if self._drop_last or not rest else whole + 1

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of epoch `number`, each item once, or never if it falls in a dropped batch."""
        generator = torch.Generator(device=self.device)
        generator.manual_seed(int(np.random.SeedSequence((self.seed, number)).generate_state(1, np.uint64)[0] >> 1))
        order = torch.randperm(self.count, generator=generator, device=self.device)
        mirrored = torch.rand(self.count, generator=generator, device=self.device) < 0.5 if self._flip else None
        for batch in range(len(self)):
            place = slice(batch * self.batch_size, (batch + 1) * self.batch_size)
            chosen = order[place]
            items = self._data.index_select(0, chosen)
            items = self._prepare(items, None if mirrored is None else mirrored[place])
            yield items if self._labels is None else (items, self._labels.index_select(0, chosen))

    def _prepare(self, items: torch.Tensor, mirrored: torch.Tensor | None) -> torch.Tensor:
        if mirrored is not None:
            # Choosing whole images from both versions is several times faster than `where` on every pixel.
            rows = torch.arange(len(items), device=items.device) + len(items) * mirrored
            items = torch.cat((items, items.flip(-1))).index_select(0, rows)
        if items.dtype != torch.uint8:
            return items
        return items.float().div_(127.5).sub_(1.0) if self._symmetric else items.float().div_(255.0)

    def _check(self, normalise: str | None) -> None:
        data, labels = self._data, self._labels
        is_image = data.dtype == torch.uint8
        if not self.count:
            raise LabkitError("ResidentBatches: the data are empty; give at least one item.")
        if not (is_image or data.is_floating_point()) or (is_image and data.ndim != 4):
            raise LabkitError(
                f"ResidentBatches: data must be uint8 (N, C, H, W) or floats, not {data.dtype} {tuple(data.shape)}."
            )
        if labels is not None and len(labels) != self.count:
            raise LabkitError(f"ResidentBatches: {len(labels)} labels for {self.count} items; give one for each.")
        if self.seed < 0:
            raise LabkitError(f"ResidentBatches: seed {self.seed} is negative; choose 0 or more.")
        if self.batch_size < 1 or (self._drop_last and self.batch_size > self.count):
            raise LabkitError(
                f"ResidentBatches: batch_size {self.batch_size} leaves no batch of {self.count} items; "
                f"choose 1 to {self.count}."
            )
        if normalise not in (None, "symmetric") or (normalise and not is_image):
            raise LabkitError(
                f"ResidentBatches: normalise={normalise!r} is not possible; "
                'it is None, or "symmetric" for uint8 images.'
            )
        if self._flip and data.ndim != 4:
            raise LabkitError(f"ResidentBatches: only images (N, C, H, W) can be flipped, not {tuple(data.shape)}.")


def _resident(values: np.ndarray | torch.Tensor, device: torch.device | str | None) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach().to(device) if device is not None else values.detach()
    # torch cannot mark a tensor read-only, so what numpy guards (a memory map opened for reading) is copied.
    values = np.ascontiguousarray(values) if values.flags.writeable else np.array(values)
    return torch.from_numpy(values).to(device)
