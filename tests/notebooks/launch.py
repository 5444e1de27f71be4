"""The cell by which a notebook starts without a clone, and the links, there and in README, that open it elsewhere.

Both follow from the address `Repository` under [project.urls] in pyproject.toml. Without one, the cell installs the
wheel that lies beside the notebook, and there is nothing to link to. As a program it writes them anew.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell

from labkit.course.run.labs import list_labs
from labkit.course.site.build import OPEN_IN, repository
from labkit.files import write_text

MARKS = "<!-- launch -->", "<!-- end of launch -->"
CELL = """\
from importlib.util import find_spec

if not find_spec("labkit"):  # in a notebook opened elsewhere, as in Colab
    print("labkit is missing here: installing it takes some minutes.")
    %pip install --quiet {source}"""
UPLOAD = """\
Or run a notebook in Colab: open it there and upload the wheel to its files. The notebook's second code cell installs
the wheel."""
LINKS = """\
Or open lab 00 in {lab_00}. The notebook's second code cell installs the kit where it is missing. The other labs
open in the same way, by their file names."""


def launch_texts(root: Path) -> tuple[str, str]:
    """Source of the cell, and the README's words."""
    name = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]["name"]
    if not (found := repository(root)):
        return CELL.format(source=f"{name.replace('-', '_')}-*.whl"), UPLOAD
    words = LINKS.format(lab_00=OPEN_IN.format(**found, file="notebooks/00_start_here.ipynb"))
    return CELL.format(source=f'"{name} @ git+{found["address"]}@{found["tag"]}"'), words


def write_launch(root: Path) -> None:
    """Put the cell behind the parameters of each notebook, and links under its title, in place of older ones.

    The words go into the README.
    """
    source, words = launch_texts(root)
    tags, found = {"tags": ["launch"]}, repository(root)
    for lab in list_labs(root / "notebooks"):
        notebook = nbformat.read(lab.path, 4)
        cells = [cell for cell in notebook.cells if "launch" not in cell.metadata.get("tags", [])]
        place = next(n for n, cell in enumerate(cells) if "parameters" in cell.metadata.get("tags", []))
        cells.insert(place + 1, new_code_cell(source, id="launch", metadata=tags))
        if found:
            links = OPEN_IN.format(**found, file=f"notebooks/{lab.path.name}")
            cells.insert(1, new_markdown_cell(f"Open this lab in {links}.", id="open", metadata=tags))
        notebook.cells = cells
        write_text(lab.path, nbformat.writes(notebook) + "\n")
    readme = (root / "README.md").read_text(encoding="utf-8")
    first, last = map(re.escape, MARKS)
    text = "\n".join((MARKS[0], words, MARKS[1]))
    write_text(root / "README.md", re.sub(f"{first}.*?{last}", lambda _: text, readme, flags=re.DOTALL))


if __name__ == "__main__":
    write_launch(Path(sys.argv[1]) if sys.argv[1:] else Path(__file__).resolve().parents[2])
