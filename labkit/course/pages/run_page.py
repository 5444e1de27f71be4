"""The page that shows every lab of a profile: runs/<profile>/index.html."""

import struct
from collections import Counter
from collections.abc import Collection
from pathlib import Path
from typing import Any

from labkit.claims import BADGES, measured_text, study_text
from labkit.files import write_text
from labkit.record import LOG, NOTEBOOK, PAGE, STATE, read_record

WIDE_ASPECT = 1.9
STATES = {
    "ok": ("✓", "good", "complete"),
    "failed": ("✗", "bad", "failed"),
    "timed out": ("✗", "bad", "out of time"),
    "killed": ("✗", "bad", "killed"),
    "interrupted": ("■", "bad", "interrupted"),
    "running": ("▸", "plain", "running"),
    "by hand": ("✎", "plain", "run by hand"),
    "unfinished": ("✎", "plain", "begun by hand, not finished"),
}
FILES = {PAGE: "read the executed notebook", NOTEBOOK: "notebook", LOG: "log"}


def write_index(folder: Path, running: Collection[str] = ()) -> Path:
    """Write index.html for the records in `folder` (runs/<profile>), and return its path.

    Raises LabkitError: it cannot be written.
    """
    # Jinja takes a moment to import, which help and refusals of the command line need not wait for.
    from jinja2 import Environment, PackageLoader

    names = {path.parent.name for name in ("config.json", STATE) for path in folder.glob(f"*/{name}")}
    labs = [_lab(folder / name, name in running) for name in sorted({*names, *running})]
    verdicts = sum((lab["verdicts"] for lab in labs), Counter())
    sources = {source["label"]: source for lab in labs for source in lab["config"].get("data", [])}
    templates = PackageLoader("labkit.course.pages", "")
    pages = Environment(loader=templates, autoescape=True, trim_blocks=True)
    pages.filters |= {"measured": measured_text, "study": study_text}
    text = pages.get_template("run_page.html.j2").render(
        profile=folder.name,
        labs=labs,
        verdicts={name: verdicts[name] for name in sorted(verdicts, key=[*BADGES, *verdicts].index)},
        studied=sum(bool(study_text(claim)) for lab in labs for claim in lab["claims"]),
        glyphs={name: glyph for name, (glyph, _) in BADGES.items()},
        real=[label for label, source in sources.items() if source["real"]],
        drawn=[label for label, source in sources.items() if not source["real"]],
        devices=sorted({lab["config"]["device"] for lab in labs if lab["config"]}),
        seeds=sorted({str(lab["config"].get("seed")) for lab in labs if lab["config"]}),
        versions=next((lab["config"]["versions"] for lab in reversed(labs) if lab["config"]), {}),
        minutes=sum(lab["seconds"] for lab in labs) / 60,
    )
    write_text(folder / "index.html", text)
    return folder / "index.html"


def _lab(folder: Path, running: bool) -> dict[str, Any]:
    """All that the page says of one lab."""
    state = read_record(folder, STATE, {})
    config = read_record(folder, "config.json", {})
    timings = read_record(folder, "timings.json", {})
    checks = read_record(folder, "checks.json", {})
    claims = read_record(folder, "claims.json", [])
    properties = [each["passed"] for check in checks.values() for each in check]
    # Without state.json nobody but a notebook itself wrote here; its times come last.
    name = "running" if running else state.get("state") or ("by hand" if timings else "unfinished")
    glyph, kind, words = STATES.get(name, ("?", "plain", name))
    number = f"Lab {config['lab']} · " if config else ""
    return {
        "id": folder.name,
        "title": number + state.get("title", folder.name),
        "glyph": glyph,
        "kind": kind,
        "state": words,
        "message": state.get("message", ""),
        "seconds": state.get("seconds") or timings.get("total", 0.0),
        "config": config,
        "checks": (sum(properties), len(properties)),
        "claims": claims,
        "verdicts": Counter(claim["verdict"] for claim in claims),
        "figures": [_figure(folder, each) for each in read_record(folder, "figures.json", [])],
        "files": {file: words for file, words in FILES.items() if (folder / file).is_file()},
    }


def _figure(folder: Path, figure: dict[str, str]) -> dict[str, Any]:
    """A picture's address, words and size, which keeps the page from jumping while pictures load."""
    try:
        width, height = struct.unpack(">II", (folder / figure["file"]).read_bytes()[16:24])
    except (OSError, ValueError, struct.error):
        width, height = 640, 480
    address = f"{folder.name}/{figure['file']}"
    wide = width > WIDE_ASPECT * height
    return {"file": address, "alt": figure["alt"], "width": width, "height": height, "wide": wide}
