"""What a lab notebook says about itself: number, title, minutes, budget, points, parameters.

Read as plain JSON: the notebook libraries take seconds to import, and listing the labs should take none.
"""

import ast
import json
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from labkit.errors import LabkitError, nearest
from labkit.record import STUDY_SECONDS

COMMON_PARAMETERS = ("PROFILE", "SEED", "DATA", "OUT")
COPY = re.compile(r"([ _-]+copy\W*\d*\W*|\s*\(\d+\))$", re.IGNORECASE)  # as JupyterLab, Windows and macOS name one
STATED = ("smoke", "cpu", "gpu")  # profiles whose minutes and budget a lab states
METADATA = ("lab", "title", "objectives", "minutes", "budget_seconds", "points", "reports")


@dataclass(frozen=True)
class Lab:
    """A notebook and its metadata."""

    path: Path  # the notebook
    number: str  # "00", "01a", "01b", …: a lab in several notebooks has a letter for each
    title: str
    objectives: tuple[str, ...]
    minutes: dict[str, float]  # profile → minutes on the machine the profile is meant for
    budget_seconds: dict[str, float]  # profile → seconds after which the runner stops it
    points: int  # what its exercises are worth together
    reports: str  # the source reports it works through, e.g. "A, B"
    parameters: tuple[str, ...]  # names in its parameters cell

    @property
    def stem(self) -> str:
        """File name without ending; also the name of its folder under runs/<profile>/."""
        return self.path.stem

    @property
    def part(self) -> str:
        """The letter of its number, empty where the lab is one notebook."""
        return self.number[2:]


def project_root() -> Path:
    """The folder that holds notebooks/: the working folder or one above it, else the package's checkout.

    Raises LabkitError: neither has one.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[3]):
        signs = (folder / "pyproject.toml", folder / "notebooks" / "00_start_here.ipynb")
        if (folder / "notebooks").is_dir() and any(sign.is_file() for sign in signs):
            return folder
    raise LabkitError(
        f"{here}: there is no notebooks/ folder here or above; go into the project's, or copy the notebooks here "
        "with `labkit notebooks`."
    )


def read_lab(path: Path) -> Lab:
    """The metadata of one notebook.

    Raises LabkitError: it is no notebook, or its metadata or parameters cell are incomplete.
    """
    notebook = read_notebook(path)
    about = notebook["metadata"].get("labkit", {})
    try:
        missing = [name for name in METADATA if name not in about]
        missing += [
            f"{name}.{profile}"
            for name in ("minutes", "budget_seconds")
            for profile in STATED
            if name in about and profile not in about[name]
        ]
        if missing:
            raise LabkitError(
                f"{path}: metadata.labkit lacks {', '.join(missing)}; add it to the notebook's metadata."
            )
        times = [float(each) for name in ("minutes", "budget_seconds") for each in about[name].values()]
        if not all(0 <= each < math.inf for each in times):
            raise ValueError("minutes and seconds are finite numbers")
        return Lab(
            path=path,
            number=str(about["lab"]),
            title=str(about["title"]),
            objectives=tuple(about["objectives"]),
            minutes={"study": STUDY_SECONDS / 60} | {name: float(each) for name, each in about["minutes"].items()},
            budget_seconds={"study": STUDY_SECONDS} | {n: float(each) for n, each in about["budget_seconds"].items()},
            points=int(about["points"]),
            reports=str(about["reports"]),
            parameters=_parameters(path, notebook),
        )
    except (TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise LabkitError(f"{path}: metadata.labkit is damaged ({error}); restore it.") from error


def read_notebook(path: Path) -> dict[str, Any]:
    """A notebook as a dict.

    Raises LabkitError: the file cannot be read or is no notebook.
    """
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        for cell in notebook["cells"]:
            cell["source"] = "".join(cell["source"])
            cell["cell_type"] = str(cell["cell_type"])
            cell.setdefault("metadata", {}).get("tags", [])
        notebook.setdefault("metadata", {}).get("labkit", {})
    except OSError as error:
        raise LabkitError(f"{path}: cannot be read ({error.strerror}); check its name and rights.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LabkitError(f"{path}: is no notebook; restore it from the repository.") from error
    return notebook


def list_labs(folder: Path | None = None) -> list[Lab]:
    """Every lab of a folder of notebooks, in order; by default the project's.

    Notes, copies and damaged notebooks beside the labs are skipped, each with a line on standard error.

    Raises LabkitError: there is none.
    """
    folder = folder or project_root() / "notebooks"
    labs = []
    for path in sorted(path for path in folder.glob("*.ipynb") if re.match(r"\d\d[a-z]?_", path.name)):
        try:
            if COPY.search(path.stem):
                raise LabkitError(f"{path}: is a copy by its name; rename it if it shall be a lab.")
            labs.append(read_lab(path))
        except LabkitError as error:
            print(f"labkit: skipped, as it is no lab: {error}", file=sys.stderr)
    # A copy of a lab under any other name has its number, by which nobody could then name either.
    for number, several in groupby(sorted(labs, key=_likeness), lambda lab: lab.number):
        first, *others = several
        for lab in others:
            labs.remove(lab)
            why = f"has the number {number} of {first.path.name}; its metadata may give it another."
            print(f"labkit: skipped, as it is no lab: {lab.path}: {why}", file=sys.stderr)
    if not labs:
        raise LabkitError(f"{folder}: holds no lab (00_name.ipynb); run this in the project's folder.")
    return labs


def _likeness(lab: Lab) -> tuple[Any, ...]:
    """Of labs with one number, the first is the one whose name begins with it, and adds the least."""
    return lab.number, not lab.stem.startswith(f"{lab.number}_"), len(lab.stem), lab.stem


def choose_labs(names: Iterable[str], labs: list[Lab]) -> list[Lab]:
    """The labs called "01" (all its notebooks), "01a", "lab01", "1" or by file name, in the course's order.

    Without a name it is every lab.

    Raises LabkitError: a name fits no lab.
    """
    wanted = set()
    for name in names:
        key = Path(name).stem.lower()
        number = re.sub(r"^(\d)(?!\d)", r"0\1", key.removeprefix("lab"))
        found = [lab.path for lab in labs if key == lab.stem.lower() or lab.number in (number, number + lab.part)]
        if not found:
            raise LabkitError(f"there is no lab {name!r}{nearest(key, [lab.stem for lab in labs])}")
        wanted.update(found)
    return [lab for lab in labs if not wanted or lab.path in wanted]


def labs_markdown(labs: list[Lab]) -> str:
    """The table of labs as the README shows it."""
    lines = [
        "| lab | title | minutes: smoke, cpu, gpu | points | reports |",
        "| --- | --- | --- | --- | --- |",
    ]
    for lab in labs:
        minutes = ", ".join(f"{lab.minutes[profile]:g}" for profile in STATED)
        link = f"[{lab.number}](notebooks/{lab.path.name})"
        lines.append(f"| {link} | {lab.title} | {minutes} | {lab.points} | {lab.reports or '–'} |")
    return "\n".join(lines)


def _parameters(path: Path, notebook: dict[str, Any]) -> tuple[str, ...]:
    """Names assigned in the cell tagged `parameters`, which is where papermill puts its own."""
    cell = next((c for c in notebook["cells"] if "parameters" in c["metadata"].get("tags", [])), None)
    if cell is None:
        raise LabkitError(f"{path}: no cell is tagged 'parameters'; tag the one that sets PROFILE.")
    try:
        statements = ast.parse(cell["source"]).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", 1)
        raise LabkitError(f"{path}: its parameters cell is not Python (line {line}); mend it.") from error
    names = tuple(
        target.id
        for statement in statements
        for target in getattr(statement, "targets", [getattr(statement, "target", None)])
        if isinstance(target, ast.Name)
    )
    if missing := [name for name in COMMON_PARAMETERS if name not in names]:
        raise LabkitError(f"{path}: its parameters cell lacks {', '.join(missing)}; add it, set to None.")
    return names
