"""Finished models and sweep cells that come with the kit, taken in place of training them.

A lab's reference has the files of a run's folder at the same relative paths: cells of sweeps as they are,
checkpoints deflated and without what only further training needs. So a lab finds them where it would find what it had
trained before, and `fit` refuses one of another model, of other data or settings, as it refuses any such checkpoint.
"""

import io
import os
import platform
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from labkit.claims import NEEDS_PHOTOGRAPHS
from labkit.errors import LabkitError
from labkit.files import atomic_path, read_json, write_json
from labkit.fit.state import DISCRIMINATOR, read_checkpoint

ROOT = Path(__file__).resolve().parents[1] / "reference"  # a link to data/reference of the project
ABOUT, CHECKPOINT = "about.json", "checkpoint.pt"
PHOTOGRAPHS = "photographs.json"  # what a run on photographs measured; of them no picture may be committed
LARGEST_FILE, LARGEST = 5 * 2**20, 25 * 2**20  # bytes that may be committed
LARGEST_SCRIPT = 2**20  # bytes of an explorer's; a run of the lab writes a larger one from weights that are here
OWN = "yours"  # so begin the folders of what depends on a student's own code; nothing in them is kept
EACH = "each-run"  # so begin those of models that each run trains itself; nor of these
LIVE_SECONDS = 200.0  # a model that took longer is not trained before a student's eyes
SECONDS_A_MB = 60.0  # of training, from which the weights of a sweep's model are worth their room
NEAR = 0.1  # relative: two machines train one model to losses that differ by less

_active: "Reference | None" = None
_measuring = False


class Reference:
    """The reference of one lab, for the run in `run_folder`.

    One model is trained live, the cheapest; the others are taken. Where all are dear, or are GANs, none is.

    Attributes:
        about: what made it (sizes, data, renderer, versions …), its metrics and verdicts, and which model is live.
        taken: what was taken so far, e.g. "sweep/0f3a…".
        live: the model that is trained here, "" for none.

    Raises LabkitError: what is written of it is damaged.
    """

    def __init__(self, folder: Path, run_folder: Path) -> None:
        self.folder, self.run_folder = folder, run_folder.absolute()
        self.about = _read_about(folder / ABOUT, "live", "data", "seed", "renderer")
        self.taken: list[str] = []
        self.live = str(self.about["live"])


def _read_about(path: Path, *needed: str) -> dict[str, Any]:
    about = read_json(path)
    if not isinstance(about, dict) or any(name not in about for name in needed):
        raise LabkitError(f"{path}: is damaged; take it from the project's repository again.")
    return about


def _key(relative: Path) -> str:
    return (relative.with_suffix("") if relative.suffix == ".json" else relative.parent).as_posix()


def activate(reference: Reference | None) -> None:
    """Let `fit` and `grid_sweep` take from this reference; None: from none."""
    global _active
    _active = reference


def active() -> Reference | None:
    """The reference in use."""
    return _active


def offer(path: Path) -> Path | None:
    """The reference's file in place of `path` of the run's folder; None where the model is to be trained."""
    if _active is None or not (path := path.absolute()).is_relative_to(_active.run_folder):
        return None
    relative = path.relative_to(_active.run_folder)
    theirs = _active.folder / relative
    return theirs if theirs.is_file() and _key(relative) != _active.live else None


def take(path: Path) -> None:
    """Remember that what was offered in place of `path` was taken."""
    if _active and (key := _key(path.absolute().relative_to(_active.run_folder))) not in _active.taken:
        _active.taken.append(key)


def compare(path: Path | None, rows: list[dict[str, float]], name: str) -> str:
    """A sentence that holds the model trained live, with its checkpoint at `path`, against the reference's.

    "" of any other model, and after any but the first epoch and the last.
    """
    if _active is None or path is None or path.absolute() != _active.run_folder / _active.live / CHECKPOINT:
        return ""
    theirs = _active.folder / _active.live / CHECKPOINT
    try:
        before = read_checkpoint(theirs)["state"]["rows"] if theirs.is_file() else []
    except LabkitError:
        return f"{theirs}: is damaged, so this model is not compared with the reference" if len(rows) == 1 else ""
    if not before or len(rows) not in (1, len(before)):
        return ""
    here, there = rows[-1][name], before[len(rows) - 1].get(name, float("nan"))
    said = f"after epoch {len(rows)} this model's loss is {here:.4g}; the reference's was {there:.4g}"
    if abs(here - there) <= NEAR * max(abs(here), abs(there)):
        return said
    return f"{said}: the reference is stale; `make study` makes it anew"


@contextmanager
def measuring() -> Iterator[None]:
    """A cell of a sweep computes its numbers: the models that it reads for that are not shown."""
    global _measuring
    _measuring = True
    try:
        yield
    finally:
        _measuring = False


def mark_shown(path: Path) -> None:
    """Note that a lab has read a finished checkpoint again: it shows the model, not its numbers alone.

    The note is the time of the file, later than that of the sweep's cell.
    """
    if path.exists() and not _measuring:  # the reference's own do not exist here
        path.touch()


def build(run_folder: Path, root: Path = ROOT, models: bool = True) -> int:
    """Make the reference of a lab from its finished run; the bytes that it takes.

    Kept are the cells of sweeps with arrays that they left, the history of the cheapest model, the weights of those
    that are no cells, and of those that the lab has read again, if they took `SECONDS_A_MB` to train; nothing of
    folders `OWN` and `EACH`, and where the lab takes no `models`, none of these. Metrics and verdicts are kept in any
    case, and the scripts of the site's explorer up to `LARGEST_SCRIPT`.

    A run on photographs leaves its numbers and verdicts beside the reference, and nothing else; one with another
    seed than 0 adds its verdicts to those of seed 0.

    Raises LabkitError: the run did not end well, or its record is damaged; it is of another profile than study, or of
    drawn faces and another seed than 0; its files are larger than what may be committed; or seed 0 was not run before
    it on the same photographs at the same sizes, with the same claims. The reference is as it was then.
    """
    read = {name: read_json(run_folder / f"{name}.json") for name in ("config", "state", "metrics", "claims")}
    if not isinstance(read["state"], dict) or read["state"].get("state") != "ok" or not read["config"]:
        raise LabkitError(f"{run_folder}: is no run that ended well; run the lab in the profile study first.")
    if not _whole(read):
        raise LabkitError(f"{run_folder}: its record is damaged; run the lab again in the profile study.")
    photographs = any(claim["on"] == "photographs" for claim in read["claims"])
    profile, seed = read["config"].get("profile"), read["config"]["seed"]
    if profile != "study" or (seed != 0 and not photographs):
        raise LabkitError(
            f"{run_folder}: is of profile {profile}, seed {seed}; a reference is made of the profile study, seed 0."
        )
    folder = root / run_folder.name
    if photographs:
        about = _about(read)
        # Where they lay is that machine's affair; the checksum says which they were.
        data = [{name: value for name, value in each.items() if name != "source"} for each in about["data"]]
        write_json(folder / PHOTOGRAPHS, _by_seed(folder / PHOTOGRAPHS, about | {"data": data}))
        return (folder / PHOTOGRAPHS).stat().st_size
    root.mkdir(parents=True, exist_ok=True)
    # Made beside what there is, which stays until the new is known to be whole and small enough.
    with tempfile.TemporaryDirectory(prefix=".building-", dir=root) as place:
        new = Path(place) / folder.name
        _fill(new, run_folder, read, models)
        if (folder / PHOTOGRAPHS).exists():
            shutil.copyfile(folder / PHOTOGRAPHS, new / PHOTOGRAPHS)
        sizes = {path.relative_to(new): path.stat().st_size for path in new.rglob("*") if path.is_file()}
        if too_large := [folder / path for path, size in sizes.items() if size > LARGEST_FILE]:
            raise LabkitError(f"{too_large[0]}: is larger than {LARGEST_FILE >> 20} MB; use a smaller model.")
        others = (path for path in root.rglob("*") if path.is_file() and not {folder, Path(place)} & {*path.parents})
        if (total := sum(sizes.values()) + sum(path.stat().st_size for path in others)) > LARGEST:
            raise LabkitError(
                f"{root}: {total / 2**20:.1f} MB are more than the {LARGEST >> 20} that may be committed."
            )
        if folder.exists():
            os.replace(folder, Path(place) / "before")
        os.replace(new, folder)
    return sum(sizes.values())


def _fill(folder: Path, run_folder: Path, read: dict[str, Any], models: bool) -> None:
    """Put into `folder` what `build` keeps of a run on drawn faces, whose record was `read`."""
    found = [path for path in sorted(run_folder.rglob("*")) if models and not _is_own(path.relative_to(run_folder))]
    contents = {path: content for path in found if path.name == CHECKPOINT and (content := slim(path))}
    cells = {path.with_suffix(""): path for path in found if path.suffix == ".json" and _is_cell(read_json(path))}
    live, least = "", LIVE_SECONDS  # the cheapest, of a sweep where there is one, is to be trained live, and compared
    for path, content in contents.items():
        alone = "lr" in content["state"]["rows"][-1]  # two nets against each other end elsewhere on each machine
        if alone and (path.parent in cells or not cells) and (seconds := content["state"]["seconds"]) < least:
            live, least = _key(path.relative_to(run_folder)), seconds
    for place, cell in cells.items():
        for kept in (cell, *place.glob("*.npz")):
            with atomic_path(folder / kept.relative_to(run_folder)) as temporary:
                shutil.copyfile(kept, temporary)
    for path, content in contents.items():
        cell = cells.get(path.parent)
        read_again = cell and path.stat().st_mtime_ns > cell.stat().st_mtime_ns
        shown = not cell or (read_again and _is_worth_its_room(content["state"]))
        if _key(path.relative_to(run_folder)) == live:
            content["state"] |= {"model": {}, "best_weights": None, "kept": {}}  # only its losses are asked for
        if shown or _key(path.relative_to(run_folder)) == live:
            with atomic_path(folder / path.relative_to(run_folder)) as temporary:
                _save_compressed(content, temporary)
    for script in run_folder.glob("explorer/*.js"):
        if script.stat().st_size > LARGEST_SCRIPT:
            continue
        with atomic_path(folder / script.relative_to(run_folder)) as temporary:
            shutil.copyfile(script, temporary)
    write_json(folder / ABOUT, _about(read) | {"live": live})


def verdicts(root: Path = ROOT) -> list[dict[str, Any]]:
    """The claims of all labs in the reference as claims.json holds them, with "lab" and "profile".

    Those that only photographs decide are as they were measured there.

    Raises LabkitError: what is written of one is damaged.
    """
    there = {claim["id"]: claim for claim in on_photographs(root)}
    drawn = _claims(root, ABOUT)
    return [there.get(each["id"], each) if each["verdict"] == NEEDS_PHOTOGRAPHS else each for each in drawn]


def on_photographs(root: Path = ROOT) -> list[dict[str, Any]]:
    """The same, of all claims that were measured on photographs."""
    return _claims(root, PHOTOGRAPHS)


def _claims(root: Path, name: str) -> list[dict[str, Any]]:
    abouts = [_read_about(path, "lab", "profile", "claims") for path in sorted(root.glob(f"*/{name}"))]
    return [
        claim | {"lab": about["lab"], "profile": about["profile"]} for about in abouts for claim in about["claims"]
    ]


def slim(path: Path) -> dict[str, Any] | None:
    """A finished run's checkpoint with weights in half precision, without optimizers and random generators.

    Without a GAN's discriminator too, half of its weights: no lab asks it once the generator is trained. None for
    one that is not at the end of an epoch.

    Raises LabkitError: it is damaged, or cannot be read.
    """
    try:
        content = read_checkpoint(path)
    except LabkitError as error:
        remedy = "or run the lab again in the profile study with --force"
        raise LabkitError(f"{path}: is damaged or cannot be read; mend that, {remedy}.") from error
    state = content["state"]
    if state["step"] or not state["rows"]:
        return None
    rest = {name: value for name, value in state.items() if name not in ("rng", "monitored")}
    half = {name: _half(state[name]) for name in ("model", "best_weights")}
    return content | {"state": rest | half | {"steps": [], "monitored": {}}}


def _save_compressed(content: dict[str, Any], path: Path) -> None:
    """As `torch.save`, which leaves what it writes as large as it is; `torch.load` reads both."""
    whole = io.BytesIO()
    torch.save(content, whole)
    with zipfile.ZipFile(whole) as parts, zipfile.ZipFile(path, "w") as smaller:
        for name in parts.namelist():
            smaller.writestr(zipfile.ZipInfo(name), parts.read(name), zipfile.ZIP_DEFLATED, 9)


def _is_own(relative: Path) -> bool:
    return any(part.startswith((OWN, EACH)) for part in relative.parts)


def _is_worth_its_room(state: dict[str, Any]) -> bool:
    size = sum(each.numel() * each.element_size() for each in state["model"].values())
    return state["seconds"] >= SECONDS_A_MB * size / 2**20


def _half(weights: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    if weights is None:
        return None
    kept = {name: each for name, each in weights.items() if not name.startswith(DISCRIMINATOR)}
    return {name: each.half() if each.is_floating_point() else each for name, each in kept.items()}


def _whole(read: dict[str, Any]) -> bool:
    """Whether a record has all that is taken of it."""
    try:
        claims = [(each["id"], each["verdict"], each["on"]) for each in read["claims"]]
        values = [read["claims"], read["config"]["data"], read["config"]["seed"], read["metrics"]["values"]]
    except (KeyError, TypeError):
        return False
    return [type(each) for each in values] == [list, list, int, dict] and all(type(each[0]) is str for each in claims)


def _about(read: dict[str, Any]) -> dict[str, Any]:
    from labkit.drawn.recipe import recipe

    kept = ("lab", "title", "profile", "seed", "device", "threads", "sizes", "data", "versions")
    return {name: read["config"][name] for name in kept if name in read["config"]} | {
        "renderer": recipe(),
        "machine": platform.machine(),
        "date": date.today().isoformat(),
        "metrics": read["metrics"]["values"],
        "claims": read["claims"],
    }


def _by_seed(path: Path, about: dict[str, Any]) -> dict[str, Any]:
    """What stands at `path`, with the verdicts of one seed more; anew where that seed is 0."""
    seed, found = str(about["seed"]), {claim["id"]: claim["verdict"] for claim in about["claims"]}
    kept = about if seed == "0" else read_json(path)
    if (
        not isinstance(kept, dict)
        or any(kept.get(name) != about.get(name) for name in ("data", "sizes", "profile"))
        or {claim["id"] for claim in kept["claims"]} != found.keys()
    ):
        raise LabkitError(
            f"{path}: is not of seed 0 on these photographs at these sizes with these claims; build that run first."
        )
    for claim in kept["claims"]:
        claim["by_seed"] = claim.get("by_seed", {"0": claim["verdict"]}) | {seed: found[claim["id"]]}
    return kept


def _is_cell(content: Any) -> bool:
    return isinstance(content, dict) and str(content.get("format", "")).startswith("labkit sweep")
