"""The table of claims, as a notebook and as the report page show it."""

from html import escape
from typing import Any

# Okabe and Ito's colours, darkened for white text; the glyph and the words say the same without colour.
BADGES = {
    "reproduced": ("✓", "#00629b"),
    "not reproduced": ("✗", "#b84a00"),
    "corrected": ("✎", "#8a3a6d"),
    "needs full data": ("…", "#5f6670"),
}
COLUMNS = ("claim", "the report says", "this run measured", "verdict", "protocol and data")


def badge(verdict: str, prefix: str = "") -> str:
    """A verdict as a small coloured label, HTML."""
    glyph, colour = BADGES.get(verdict, ("?", "#5f6670"))
    style = (
        f"background:{colour};color:#fff;border-radius:1em;padding:.1em .65em;white-space:nowrap;"
        "font-size:.85em;font-weight:600;display:inline-block"
    )
    return f'<span class="badge" style="{style}">{glyph} {escape(prefix + verdict)}</span>'


def claims_html(claims: list[dict[str, Any]]) -> str:
    """The table as HTML that follows the page around it in colour and font, dark or light."""
    head = "".join(f'<th scope="col" style="text-align:left">{name}</th>' for name in COLUMNS)
    rows = "\n".join(_row(claim) for claim in claims)
    return f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>'


def claims_text(claims: list[dict[str, Any]]) -> str:
    """The table as plain lines, for a terminal and for readers without HTML."""
    lines = []
    for claim in claims:
        lines.append(f"{claim['id']:<4}{claim['verdict']:<16}{claim['text']}")
        lines.append(f"    expected {claim['expected']}; measured {measured_text(claim['measured'])}")
    return "\n".join(lines)


def measured_text(measured: Any) -> str:
    """A measurement in one line: numbers to four digits, the entries of a dict by name."""
    if isinstance(measured, dict):
        return ", ".join(
            f"{name} ({measured_text(value)})" if isinstance(value, dict) else f"{name} = {measured_text(value)}"
            for name, value in measured.items()
        )
    if isinstance(measured, list):
        return "[" + ", ".join(measured_text(value) for value in measured) + "]"
    if isinstance(measured, float):
        return f"{measured:,.4g}".replace("-", "−")
    if isinstance(measured, bool):
        return "yes" if measured else "no"
    if isinstance(measured, int):
        return f"{measured:,}".replace("-", "−")
    return str(measured)


def _row(claim: dict[str, Any]) -> str:
    small = f"{escape(claim['data'])}; rule: {escape(claim['rule'])}"
    cells = (
        f"<b>{escape(claim['id'])}</b> {escape(claim['text'])}",
        escape(str(claim["expected"])),
        escape(measured_text(claim["measured"])),
        badge(claim["verdict"]),
        f"{escape(claim['protocol'])}<br><small>{small}</small>",
    )
    style = "text-align:left;vertical-align:top;white-space:normal"
    return "<tr>" + "".join(f'<td style="{style}">{cell}</td>' for cell in cells) + "</tr>"
