"""Where and how a lab begins: its profile, its device, its folder, and the reference that it may take models from."""

import os
from pathlib import Path
from typing import Any

import torch

from labkit.data.given import names_in, path_for
from labkit.drawn.recipe import recipe
from labkit.errors import LabkitError, nearest
from labkit.files import data_root, usable_path
from labkit.fit import reference as reference_of
from labkit.record import OUT_VARIABLE, PROFILE_VARIABLE, PROFILES


def given_path(name: str, given: Any) -> Path | None:
    """What a notebook's parameter names; the empty text would mean the working folder."""
    if given is None:
        return None
    if not isinstance(given, str | os.PathLike) or not str(given).strip():
        raise LabkitError(f"{name} = {given!r}: give a path as text, or None for what the kit chooses.")
    return usable_path(given)


def find_reference(lab: str, seed: int, data: str | None, folder: Path) -> reference_of.Reference | None:
    """The reference of a lab, for a run to `folder`, if there is one and the faces are to be those that it is of."""
    try:
        (source,) = {path.parent for path in reference_of.ROOT.glob(f"{lab}_*/{reference_of.ABOUT}")}
    except ValueError:
        return None
    try:
        found = reference_of.Reference(source, folder)
    except LabkitError as error:
        print(f"All models are trained here, without the reference: {error}")
        return None
    stand_in = any(each["stand_in_for"] == "CelebA" for each in found.about["data"])  # `use` sees to other faces
    photographs = path_for("celeba", data) or any("x" in name for name in names_in(data_root() / "celeba"))
    if found.about["seed"] != seed or (stand_in and photographs):
        return None
    if found.about["renderer"] != recipe():
        print("The reference is stale, since faces are drawn in another way now: all models are trained here.")
        return None
    return found


def choose_profile(name: str | None = None) -> str:
    """The profile to use: `name`, else `LABKIT_PROFILE`, else by device ("gpu" with CUDA, "cpu" without).

    Raises LabkitError: there is no such profile.
    """
    origin = "PROFILE"
    if name is None:
        name, origin = os.environ.get(PROFILE_VARIABLE) or None, PROFILE_VARIABLE
    if name is None:
        return "gpu" if torch.cuda.is_available() else "cpu"
    if name not in PROFILES:
        raise LabkitError(f"{origin}: there is no profile {name!r}{nearest(str(name), PROFILES)}")
    return name


def choose_device(profile: str) -> torch.device:
    """Where a profile computes: `gpu` on an accelerator where there is one, all else on the CPU.

    The others stay on the CPU even beside a GPU, so that their numbers are the same on every machine.
    """
    if profile == "gpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if profile == "gpu" and torch.backends.mps.is_available():
        return torch.device("mps")
    return torch.device("cpu")


def default_folder(lab: str, profile: str) -> Path:
    """<runs>/<profile>/<stem of the lab's notebook>, where <runs> is `LABKIT_OUT` or runs/ of the project.

    Outside a project it is runs/ of the working folder.
    """
    here = Path.cwd()
    root = next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)
    stems = sorted(path.stem for path in (root / "notebooks").glob(f"{lab}_*.ipynb"))
    runs = usable_path(os.environ.get(OUT_VARIABLE) or root / "runs")
    return runs / profile / (stems[0] if stems else f"lab{lab}")
