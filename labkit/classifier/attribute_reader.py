"""The lab's attribute classifier as labs 03 to 05 use it: images in, probabilities out, one file on disk."""

import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from labkit.classifier.nets import ResNet18
from labkit.errors import LabkitError
from labkit.files import atomic_path

BATCH = 256


class AttributeReader:
    """Reads attributes from faces; made by lab 02.

    Attributes:
        names: the A attributes.
        size: (H, W) of the images that it was trained on; others are resized to it.
        about: what it was trained on, in a sentence.

    Args:
        model: a trained `ResNet18` of A outputs.
        names, size, about: as above.
    """

    def __init__(self, model: ResNet18, names: tuple[str, ...], size: tuple[int, int], about: str) -> None:
        self.model, self.names, self.size, self.about = model.eval(), tuple(names), tuple(size), about

    @torch.no_grad()
    def read(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Probability of each attribute, float32 (N, A).

        Args:
            images: uint8, or floats in [0, 1]; (N, 3, H, W) of any size.

        Raises LabkitError: images of another shape.
        """
        images = torch.as_tensor(images if isinstance(images, Tensor) else np.ascontiguousarray(images))
        if images.ndim != 4 or images.shape[1] != 3:
            raise LabkitError(f"AttributeReader: images must be (N, 3, H, W) in colour, not {tuple(images.shape)}.")
        device = next(self.model.parameters()).device
        found = [torch.zeros(0, len(self.names))]
        for batch in images.split(BATCH):
            batch = batch.to(device)
            batch = batch.float() / 255 if batch.dtype == torch.uint8 else batch.float()
            if tuple(batch.shape[-2:]) != self.size:
                batch = F.interpolate(batch, self.size, mode="bilinear", antialias=True)
            found.append(torch.sigmoid(self.model(batch)).cpu())
        return torch.cat(found).numpy()

    def save(self, path: str | Path) -> Path:
        """Write weights and names as one safetensors file, whole or not at all; returns its path.

        Raises LabkitError: the folder cannot be written.
        """
        about = {"names": self.names, "size": self.size, "width": self.model.width, "about": self.about}
        with atomic_path(path) as temporary:
            weights = {name: value.contiguous().cpu() for name, value in self.model.state_dict().items()}
            save_file(weights, temporary, metadata={"labkit-classifier": json.dumps(about)})
        return Path(path)

    @classmethod
    def load(cls, path: str | Path, device: torch.device | str = "cpu") -> "AttributeReader":
        """The reader that `save` wrote.

        Raises LabkitError: there is no such file, or it is something else.
        """
        if not Path(path).is_file():
            raise LabkitError(f"{path}: there is no classifier; run lab 02, which writes it.")
        try:
            with safe_open(path, "pt", device="cpu") as file:
                about = json.loads(file.metadata()["labkit-classifier"])
                weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            model = ResNet18(len(about["names"]), about["width"])
            model.load_state_dict(weights)
        except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
            raise LabkitError(f"{path}: is no classifier of lab 02; run that lab to write a new one.") from error
        return cls(model.to(device), tuple(about["names"]), tuple(about["size"]), about["about"])
