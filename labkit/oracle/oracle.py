"""The factor oracle: what factors would have drawn this face?

It knows drawn faces only, and what it says of photographs means nothing. How well it reads each factor, on 4,000
drawn faces that it was not trained on (columns: see `labkit.course.oracle.table`; a test measures them anew):

factor               error    guess       r2 balanced   within  r2_soft
masculine            0.038    0.300    0.975        –    0.671    0.970
age                  0.109    0.206    0.689        –    0.658    0.674
skin_tone            0.015    0.251    0.996        –    0.690    0.995
rosy                 0.051    0.233    0.944        –    0.691    0.934
face_width           0.057    0.161    0.864        –    0.686    0.851
face_height          0.061    0.161    0.836        –    0.691    0.775
jaw                  0.088    0.153    0.655        –    0.693    0.595
fullness             0.113    0.175    0.572        –    0.680    0.505
hair_colour          0.030    0.206    0.956        –    0.670    0.954
grey                 0.030    0.187    0.930        –    0.684    0.930
hair_length          0.040    0.213    0.957        –    0.675    0.954
hair_volume          0.073    0.178    0.788        –    0.666    0.765
hair_wave            0.175    0.260    0.416        –    0.677    0.394
bangs                0.032    0.299    0.946        –    0.677    0.942
receding             0.044    0.109    0.765        –    0.693    0.746
brow_thickness       0.073    0.167    0.775        –    0.667    0.714
brow_arch            0.140    0.171    0.322        –    0.681    0.275
eye_size             0.119    0.166    0.457        –    0.679    0.394
eye_spacing          0.074    0.166    0.759        –    0.684    0.713
eye_colour           0.090    0.214    0.776        –    0.669    0.750
nose_size            0.151    0.160    0.116        –    0.680    0.120  not read
nose_point           0.165    0.172    0.077        –    0.700    0.051  not read
lip_fullness         0.145    0.163    0.210        –    0.691    0.206  not read
makeup               0.055    0.293    0.929        –    0.678    0.922
beard                0.029    0.222    0.960        –    0.689    0.946
beard_cover          0.256    0.296    0.166        –    0.680    0.152  not read
moustache            0.062    0.242    0.872        –    0.683    0.840
earrings             0.123    0.235    0.566    0.759        –    0.552
glasses              0.000    0.228    1.000    1.000        –    1.000
hat                  0.000    0.056    0.997    0.998        –    0.996
yaw                  0.019    0.194    0.989        –    0.667    0.987
pitch                0.014    0.089    0.973        –    0.679    0.965
roll                 0.005    0.047    0.989        –    0.675    0.988
smile                0.167    0.299    0.637        –    0.696    0.552
mouth_open           0.036    0.160    0.919        –    0.678    0.889
eye_open             0.073    0.154    0.817        –    0.696    0.771
light_azimuth        0.059    0.468    0.980        –    0.674    0.982
light_elevation      0.042    0.203    0.947        –    0.695    0.947
background_hue       0.016    0.247    0.971        –    0.662    0.970
background_light     0.015    0.227    0.995        –    0.691    0.995
clothes              0.017    0.251    0.995        –    0.662    0.995

It cannot read the shape of the nose and the fullness of the lips, nor how far a beard reaches where there is none
(R² is 0.7 among beards above 0.25). It reads the arch of the brows, waves in hair and the size of the eyes badly, and
misses nearly half of the earrings, which hair may cover. Ages below 0.4 look alike; hues 0 and 1 of the background
are one colour, and next to them it is wrong. `masculine` has two clusters, and R² is mostly that of telling them
apart. Where it is unsure, `std` says so. Factors that go together in the population are read from one another to some
degree, although a third of the training faces has factors dealt out independently. A mild blur costs little: the
last column.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from torch import Tensor

from labkit.drawn.factors import BINARY, FACTOR_NAMES, FACTORS
from labkit.errors import LabkitError
from labkit.oracle.net import SIDE, FactorNet

WEIGHTS = Path(__file__).with_name("oracle.safetensors")
BATCH = 128  # few enough for a CPU's cache
READABLE = 0.3  # R² from which a factor counts as read


@dataclass(frozen=True)
class Reading:
    """What the oracle reads from N images."""

    mean: np.ndarray  # float32 (N, F), in the factors' units; the probability of 1 for a binary factor
    std: np.ndarray  # float32 (N, F), its standard deviation; √(p (1 − p)) for a binary factor
    factor_names: tuple[str, ...]  # F names

    def column(self, name: str) -> np.ndarray:
        """The means (N,) of one factor.

        Raises LabkitError: there is no such factor.
        """
        if name not in self.factor_names:
            raise LabkitError(f"Reading: no factor {name!r}; it is one of {', '.join(self.factor_names)}.")
        return self.mean[:, self.factor_names.index(name)]


@dataclass(frozen=True)
class FactorOracle:
    """A calibrated network and its device; images may come in any size and number."""

    net: FactorNet  # in eval mode

    def read(self, images: np.ndarray | Tensor) -> Reading:
        """Factors of colour images, uint8 or floats in [0, 1], (N, 3, H, W).

        Raises LabkitError: see `network_input`.
        """
        mean, std = self._batched(images, self.net.read)
        return Reading(mean, std, FACTOR_NAMES)

    def features(self, images: np.ndarray | Tensor) -> np.ndarray:
        """Features float32 (N, D) of colour images, uint8 or floats in [0, 1], (N, 3, H, W)."""
        return self._batched(images, lambda batch: (self.net.features(batch),))[0]

    @torch.no_grad()
    def _batched(self, images, function) -> list[np.ndarray]:
        images, device = torch.as_tensor(images), self.net.scale.device
        parts = [function(network_input(part.to(device))) for part in images.split(BATCH)]
        return [torch.cat(column).cpu().numpy() for column in zip(*parts, strict=True)]


def as_floats(images: np.ndarray | Tensor) -> Tensor:
    """uint8 or float colour images (N, 3, H, W) → float32 in [0, 1].

    Raises LabkitError: grey or misshapen images, or floats outside [0, 1].
    """
    images = torch.as_tensor(images)
    if images.ndim != 4 or images.shape[1] != 3 or not len(images):
        raise LabkitError(
            f"oracle: images have shape {tuple(images.shape)}; give colour images (N, 3, H, W), at least one: "
            "what it reads from grey ones would be made up."
        )
    if images.dtype == torch.uint8:
        return images.float() / 255
    if not images.is_floating_point():
        raise LabkitError(f"oracle: images are {images.dtype}; give uint8, or floats in [0, 1].")
    low, high = images.min().item(), images.max().item()
    if not (low >= -1e-3 and high <= 1 + 1e-3):
        raise LabkitError(
            f"oracle: images range from {low:.3g} to {high:.3g}; give uint8, or floats in [0, 1] "
            "(for −1 to 1: (images + 1) / 2)."
        )
    return images.float()


def network_input(images: np.ndarray | Tensor) -> Tensor:
    """Colour images (N, 3, H, W) → float32 in [0, 1], (N, 3, 64, 64).

    Scaled with antialiasing to a height of 64 and never distorted: what is narrower than high is padded with its
    outermost columns (64×48 is the middle of the square picture), what is wider is cut to its middle.

    Raises LabkitError: see `as_floats`.
    """
    images = as_floats(images)
    height, width = images.shape[-2:]
    if height != SIDE:
        size = (SIDE, max(1, round(width * SIDE / height)))
        images = F.interpolate(images, size, mode="bilinear", antialias=True).clamp(0, 1)
    missing = SIDE - images.shape[-1]
    left = missing // 2  # negative: columns to cut
    if missing > 0:
        images = F.pad(images, (left, missing - left, 0, 0), mode="replicate")
    elif missing < 0:
        images = images[..., -left : SIDE - left]
    return images.contiguous(memory_format=torch.channels_last)


def load_oracle(device: torch.device | str | None = None, path: str | Path | None = None) -> FactorOracle:
    """The oracle that is shipped with the kit, or the one in the file `path`; on the CPU if no device is given.

    Raises LabkitError: the file is missing or damaged, or belongs to other factors.
    """
    return FactorOracle(_load(Path(path or WEIGHTS)).to(device or "cpu"))


def _load(path: Path) -> FactorNet:
    advice = "make it anew with: labkit oracle train"
    net = FactorNet(torch.tensor([factor.kind == BINARY for factor in FACTORS]))
    try:
        with safe_open(path, "pt") as file:
            names = (file.metadata() or {}).get("factors", "").split()
            if tuple(names) != FACTOR_NAMES:
                raise LabkitError(f"{path}: was trained for other factors than this kit's; {advice}.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        net.load_state_dict(tensors)
    except (OSError, SafetensorError, RuntimeError) as error:
        raise LabkitError(f"{path}: holds no oracle ({type(error).__name__}); {advice}.") from error
    return net.eval().to(memory_format=torch.channels_last)


def blur(images: Tensor, sigma: float) -> Tensor:
    """Images (N, C, H, W) under a Gaussian of standard deviation `sigma` pixels, edges repeated."""
    reach = max(1, round(2.5 * sigma))
    offset = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.softmax(-0.5 * (offset / max(sigma, 1e-3)) ** 2, 0)
    for dim, pad in ((-1, (reach, reach, 0, 0)), (-2, (0, 0, reach, reach))):
        padded, size = F.pad(images, pad, mode="replicate"), images.shape[dim]
        images = sum(w * padded.narrow(dim, k, size) for k, w in enumerate(weights.tolist()))
    return images
