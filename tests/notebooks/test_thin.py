"""Thin: few files to open to follow one training, 03a's of report E's VAE; and little plumbing in the notebooks."""

import ast
from pathlib import Path

from plumbing import NOTEBOOKS, lines_of

import labkit

PACKAGE = Path(labkit.__file__).parent
STORY = ("fit", "vae")  # rooms whose code a training runs through
NAMED = ("run", "faces.batches", "fit.loop", "vae.instance_norm", "vae.training")  # what the notebook itself names
ASIDE = {"vae.kl_weight", "fit.sweep", "fit.sweep_cluster"}  # a unit conversion, and what comes before and after


def imported(module: str) -> set[str]:
    """Modules of the story's rooms that a module imports at its head."""
    path = PACKAGE.joinpath(*module.split(".")).with_suffix(".py")
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("labkit."):
            module = node.module.removeprefix("labkit.")
            found |= {module} if "." in module else {f"{module}.{each.name}" for each in node.names}
    return {name for name in found if name.split(".")[0] in STORY and "." in name}


def test_one_vae_training_is_followed_through_twelve_files():
    to_open, opened = [*NAMED], set()
    while to_open:
        module = to_open.pop()
        if module not in opened | ASIDE:
            opened.add(module)
            to_open += imported(module) if module.split(".")[0] in STORY else []
    assert {"fit.step", "fit.state", "fit.checkpoint", "vae.nets"} <= opened
    assert len(opened) <= 12, sorted(opened)


def test_at_most_a_quarter_of_the_notebooks_code_is_plumbing():
    counts = {path.stem[:3]: lines_of(path) for path in NOTEBOOKS.glob("[0-9]*.ipynb")}
    code, plumbing = map(sum, zip(*counts.values()))
    assert plumbing <= 0.25 * code
    assert counts["01a"][1] <= 0.35 * counts["01a"][0]
