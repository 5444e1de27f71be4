"""The page that shows every lab of a profile: runs/<profile>/index.html, plain HTML that opens from disk."""

import struct
from collections import Counter
from html import escape
from pathlib import Path
from typing import Any

from labkit.claims_table import BADGES, badge, claims_html
from labkit.course.pages.style import STYLE
from labkit.files import write_text
from labkit.record import NOTEBOOK, PAGE, STATE, read_record

WIDE_ASPECT = 1.9
STATES = {
    "ok": ("✓", "good", "complete"),
    "failed": ("✗", "bad", "failed"),
    "timed out": ("✗", "bad", "out of time"),
    "killed": ("✗", "bad", "killed"),
    "interrupted": ("■", "bad", "interrupted"),
    "": ("✎", "plain", "run by hand"),
}


def write_index(folder: Path) -> Path:
    """Write index.html for the records in `folder` (runs/<profile>); returns its path.

    Raises:
        LabkitError: it cannot be written.
    """
    labs = [path.parent for path in sorted(folder.glob("*/config.json"))]
    labs += [path.parent for path in sorted(folder.glob(f"*/{STATE}")) if path.parent not in labs]
    records = [_read(lab) for lab in sorted(labs)]
    page = folder / "index.html"
    write_text(page, _page(folder.name, records))
    return page


def _read(folder: Path) -> dict[str, Any]:
    """All that the page says of one lab."""
    state = read_record(folder, STATE, {})
    config = read_record(folder, "config.json", {})
    number = f"Lab {config['lab']} · " if "lab" in config else ""
    checks = read_record(folder, "checks.json", {})
    return {
        "folder": folder,
        "id": folder.name,
        "title": number + (state.get("title") or folder.name),
        "state": state.get("state", ""),
        "message": state.get("message", ""),
        "seconds": state.get("seconds") or read_record(folder, "timings.json", {}).get("total", 0.0),
        "config": config,
        "figures": read_record(folder, "figures.json", []),
        "claims": read_record(folder, "claims.json", []),
        "properties": [each["passed"] for check in checks.values() for each in check],
    }


def _page(profile: str, records: list[dict[str, Any]]) -> str:
    nothing = "<p>No lab has been run in this profile yet.</p>"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>labkit: {escape(profile)} run</title>
<style>{STYLE}</style>
</head>
<body>
<header>
<p class="kicker">labkit · profile {escape(profile)}</p>
<h1>Deep generative models of faces</h1>
{_facts(records)}
{_contents(records)}
</header>
<main>
{"".join(_lab(record) for record in records) or nothing}
</main>
<footer>{_versions(records)}</footer>
</body>
</html>
"""


def _facts(records: list[dict[str, Any]]) -> str:
    """What a reader must know before believing a figure: the data, the machine, the time."""
    sources = {source["label"]: source for record in records for source in record["config"].get("data", [])}
    chips = [_source_chip(label, source) for label, source in sources.items()]
    devices = sorted({record["config"]["device"] for record in records if "device" in record["config"]})
    minutes = sum(record["seconds"] for record in records) / 60
    verdicts = Counter(claim["verdict"] for record in records for claim in record["claims"])
    facts = [f"device {escape(', '.join(devices))}"] if devices else []
    facts += [f"{len(records)} notebook{'s' * (len(records) != 1)}", f"{minutes:.1f} min"]
    badges = " ".join(badge(verdict, f"{verdicts[verdict]} ") for verdict in BADGES if verdicts[verdict])
    return f'<p class="chips">{"".join(chips)}</p><p class="facts">{" · ".join(facts)}</p><p>{badges}</p>'


def _source_chip(label: str, source: dict[str, Any]) -> str:
    if source["real"]:
        kind, words = "real", f"real data: {label}"
    else:
        kind, words = "synthetic", label if source["stand_in_for"] else f"synthetic: {label}"
    return f'<span class="chip {kind}" title="{escape(source["source"])}">{escape(words)}</span>'


def _contents(records: list[dict[str, Any]]) -> str:
    rows = "".join(
        f'<li>{_state(record)} <a href="#{record["id"]}">{escape(record["title"])}</a>'
        f'<span class="quiet">{_numbers(record)}</span></li>'
        for record in records
    )
    return f'<nav aria-label="labs"><ol>{rows}</ol></nav>'


def _state(record: dict[str, Any]) -> str:
    glyph, kind, words = STATES.get(record["state"], ("?", "plain", record["state"]))
    return f'<span class="state {kind}">{glyph} {words}</span>'


def _numbers(record: dict[str, Any]) -> str:
    properties = record["properties"]
    parts = [f"{record['seconds'] / 60:.1f} min"]
    if properties:
        parts.append(f"checks {sum(properties)}/{len(properties)}")
    if record["figures"]:
        parts.append(f"{len(record['figures'])} figures")
    if record["claims"]:
        parts.append(f"{len(record['claims'])} claims")
    return " · ".join(parts)


def _lab(record: dict[str, Any]) -> str:
    name = record["id"]
    links = [
        f'<a href="{name}/{file}">{words}</a>'
        for file, words in ((PAGE, "read the executed notebook"), (NOTEBOOK, ".ipynb"), ("run.log", "log"))
        if (record["folder"] / file).is_file()
    ]
    trouble = ""
    if record["message"]:
        trouble = f'<p class="trouble"><b>{escape(record["state"])}.</b> {escape(record["message"])}</p>'
    claims = ""
    if record["claims"]:
        links.append(f'<a href="#{name}-claims">claims put to the test</a>')
        claims = f'<h3 id="{name}-claims">Claims put to the test</h3>{_scrolled(record)}'
    figures = "".join(_figure(record["folder"], each) for each in record["figures"])
    return f"""<section id="{name}">
<h2>{escape(record["title"])}</h2>
<p class="line">{_state(record)} <span class="quiet">{_numbers(record)}</span> {" · ".join(links)}</p>
{trouble}
<div class="figures">{figures}</div>
{claims}
</section>
"""


def _scrolled(record: dict[str, Any]) -> str:
    return f'<div class="scroll" tabindex="0">{claims_html(record["claims"])}</div>'


def _figure(folder: Path, figure: dict[str, str]) -> str:
    """One picture with its alt text as caption; wide ones take a whole row."""
    link = f"{folder.name}/{figure['file']}"
    width, height = _png_size(folder / figure["file"])
    wide = ' class="wide"' if width > WIDE_ASPECT * height else ""
    alt = escape(figure["alt"])
    image = f'<img src="{link}" alt="{alt}" width="{width}" height="{height}" loading="lazy">'
    return f'<figure{wide}><a href="{link}">{image}</a><figcaption>{alt}</figcaption></figure>\n'


def _png_size(path: Path) -> tuple[int, int]:
    """Width and height in pixels from the header, so that the page does not jump while pictures load."""
    try:
        return struct.unpack(">II", path.read_bytes()[16:24])
    except (OSError, struct.error):
        return 640, 480


def _versions(records: list[dict[str, Any]]) -> str:
    configs = [record["config"] for record in records if record["config"]]
    if not configs:
        return ""
    versions = configs[-1].get("versions", {})
    words = ", ".join(f"{name} {number}" for name, number in versions.items())
    seeds = ", ".join(sorted({str(config.get("seed")) for config in configs}))
    return f"<p>seed {escape(seeds)} · {escape(words)}</p>"
