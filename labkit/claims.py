"""A claim of a source report, the verdicts on it, and how notebook and report page show them."""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from html import escape
from string import Formatter
from textwrap import shorten
from typing import Any

import numpy as np

from labkit.errors import LabkitError, nearest
from labkit.statistics import MOST, Estimate, Finding, fact, over, unknown
from labkit.translations import say

REPRODUCED, NOT_REPRODUCED, CORRECTED = "reproduced", "not reproduced", "corrected"
UNDECIDED, NEEDS_PHOTOGRAPHS = "undecided", "needs photographs"


@dataclass(frozen=True)
class Verdict:
    """A verdict, and what would decide where it is `undecided`."""

    name: str
    decides: str = ""


def decide(
    holds: Finding,
    *,
    fails: Finding | None = None,
    corrected: Finding | None = None,
    needs: Finding | None = None,
    to_refute: Finding | None = None,
) -> Verdict:
    """The verdict that follows from what was found.

    Args:
        holds: what the claim says.
        fails: what refutes it; None means the opposite of `holds`.
        corrected: what shows that another sentence is true in its place.
        needs: without it there is no verdict at all.
        to_refute: without it the claim can be shown, and not refuted, as by a training that is too short.
    """
    if needs is not None and not needs.shown:
        return Verdict(UNDECIDED, _in_words(needs))
    if holds.shown:
        return Verdict(REPRODUCED)
    if to_refute is None or to_refute.shown:
        if corrected is not None and corrected.shown:
            return Verdict(CORRECTED)
        if (~holds if fails is None else fails).shown:
            return Verdict(NOT_REPRODUCED)
        to_refute = fact(True)
    return Verdict(UNDECIDED, _in_words(holds if to_refute.shown else to_refute))


def _in_words(finding: Finding) -> str:
    """What would decide, e.g. "about 12 seeds"."""
    parts = []
    for unit, n in finding.needs.items():
        if math.isnan(n):
            parts.append(unit)
        else:
            parts.append(f"more than {MOST:,} {unit}" if n > MOST and unit != "epochs" else f"{n:,.0f} {unit}")
    return f"{' and '.join(parts)} would decide" if parts else ""


@dataclass(frozen=True)
class Claim:
    """A sentence of a source report, and how it is judged; made by `claim`."""

    id: str  # report's letter and a number, e.g. "A1"
    lab: str  # the lab that measures it
    text: str  # what is claimed
    expected: str  # what one should see if it holds, in a few words
    rule: str  # how `decide` judges, for a reader; names its arguments
    protocol: str  # how it is measured; names in braces are sizes of the run, or given with the measurement
    # The rule in code. Its arguments are what must be measured: a list has a number a seed, an `Estimate` brings its
    # unit along, anything else is taken as it is.
    decide: Callable[..., Verdict]
    photographs: bool = False  # whether the sentence is about the numbers of one data set of photographs

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """What must be measured."""
        return tuple(inspect.signature(self.decide).parameters)

    def judge(self, **measured: Any) -> Verdict:
        """The verdict on a measurement.

        Raises LabkitError: a value is missing, or of the wrong kind.
        """
        for key in self.keys:
            if key not in measured:
                raise LabkitError(f"claim {self.id}: {key}= is missing; its rule reads {', '.join(self.keys)}.")
        try:
            verdict = self.decide(**{key: measured[key] for key in self.keys})
        except (AttributeError, TypeError, ValueError, KeyError, IndexError) as error:
            raise LabkitError(f"claim {self.id}: a measured value is of the wrong kind ({error}).") from error
        unread = [key for key in self.keys if isinstance(measured[key], float) and math.isnan(measured[key])]
        if unread and verdict.name != UNDECIDED:  # a comparison with NaN is false, and shows nothing
            return Verdict(UNDECIDED, _in_words(unknown(" and ".join(unread))))
        return verdict

    def record(self, given: dict[str, Any], sizes: dict[str, Any], on: str) -> dict[str, Any]:
        """The claim with its verdict, as claims.json holds it.

        Args:
            given: what was measured, and what the protocol names beyond the sizes.
            sizes: of the run; a key that is not given is taken from here, e.g. epochs.
            on: kind of data, "photographs" or another.

        Raises LabkitError: a name that the claim does not know, or one that it lacks.
        """
        fields = [name for _, name, _, _ in Formatter().parse(self.protocol) if name]
        for name in given:
            if name not in (*self.keys, *fields):
                raise LabkitError(f"claim {self.id}: it reads no {name!r}{nearest(name, (*self.keys, *fields))}")
        known = sizes | given
        verdict = self.judge(**{key: known[key] for key in self.keys if key in known})
        if self.photographs and on != "photographs":
            verdict = Verdict(NEEDS_PHOTOGRAPHS)
        for name in fields:
            if name not in known:
                raise LabkitError(f"claim {self.id}: its protocol names {name!r}; give {name}=….")
        return {
            "id": self.id,
            "text": self.text,
            "expected": self.expected,
            "measured": {key: _summed_up(known[key]) for key in self.keys},
            "rule": self.rule,
            "verdict": verdict.name,
            "decides": verdict.decides,
            "on": on,
            "protocol": self.protocol.format(**known),
        }


def claim(id: str, lab: str, text: str, *, expected: str, rule: str, protocol: str, photographs: bool = False):
    """Make a `Claim` of the function below it, which is its rule in code."""
    return lambda function: Claim(id, lab, text, expected, rule, protocol, function, photographs)


def _summed_up(value: Any) -> Any:
    """Numbers of several seeds as an estimate; a tuple is no sample and stays."""
    if isinstance(value, dict):
        return {str(key): _summed_up(item) for key, item in value.items()}
    if isinstance(value, list) or (hasattr(value, "__len__") and not isinstance(value, tuple | str)):
        return over(value) if len(np.atleast_1d(value)) else None
    return value


# Okabe and Ito's colours, darkened for white text; the glyph and the words say the same without colour.
BADGES = {
    REPRODUCED: ("✓", "#00629b"),
    NOT_REPRODUCED: ("✗", "#b84a00"),
    CORRECTED: ("✎", "#8a3a6d"),
    UNDECIDED: ("…", "#5f6670"),
    NEEDS_PHOTOGRAPHS: ("▣", "#5f6670"),
}
COLUMNS = ("claim", "the report says", "this run measured (95 % interval)", "verdict", "protocol and rule")
PLAIN = "text-align:left;vertical-align:top;white-space:normal"


def badge(verdict: str) -> str:
    """A verdict as a small coloured label, HTML."""
    glyph, colour = BADGES.get(verdict, ("?", "#5f6670"))
    style = (
        f"background:{colour};color:#fff;border-radius:1em;padding:.1em .65em;white-space:nowrap;"
        "font-size:.85em;font-weight:600;display:inline-block"
    )
    return f'<span class="badge" style="{style}">{glyph} {escape(say(verdict))}</span>'


def card_html(record: dict[str, Any]) -> str:
    """One claim with its verdict, as the cell that judges it shows it."""
    return (
        f'<div class="claim" style="border-left:.25em solid {BADGES[record["verdict"]][1]};padding:.2em .8em;'
        f'margin:.3em 0"><b>{escape(record["id"])}</b> {escape(say(record["text"]))}<br>'
        f"{badge(record['verdict'])} {escape(_where(record))}<br>"
        f"<small>{say('measured')}: {escape(measured_text(record['measured']))}</small>{_study_html(record)}</div>"
    )


def card_text(record: dict[str, Any]) -> str:
    """The same as plain lines."""
    where = f" {_where(record)}".rstrip()
    said = say(record["text"]), say(record["verdict"]), measured_text(record["measured"])
    return "\n  ".join(
        [f"{record['id']} {said[0]}", f"{said[1]}{where}", said[2], *filter(None, [study_text(record)])]
    )


def claims_html(claims: list[dict[str, Any]]) -> str:
    """The table as HTML that follows the page around it in colour and font, dark or light."""
    head = "".join(f'<th scope="col" style="text-align:left">{say(name)}</th>' for name in COLUMNS)
    rows = "\n".join(_row(each) for each in claims)
    return f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>'


def claims_text(claims: list[dict[str, Any]]) -> str:
    """The table as plain lines, for a terminal and for readers without HTML."""
    return "\n".join(card_text(each) for each in claims)


def claims_markdown(claims: list[dict[str, Any]]) -> str:
    """The verdicts as a table of Markdown, a row for each claim, each with its "lab" and "profile"."""
    rows = ["| claim | lab | verdict | measured (95 % interval) | on |", "| --- | --- | --- | --- | --- |"]
    for each in sorted(claims, key=lambda each: (each["id"][0], int(each["id"][1:]))):
        measured = shorten(measured_text(each["measured"]).replace("|", "/"), 110, placeholder=" …")
        verdict, seeds = each["verdict"], list(each.get("by_seed", {}).values())
        alike = f" ({seeds.count(verdict)} of {len(seeds)} seeds)" if len(seeds) > 1 else ""
        cells = (f"**{each['id']}** {each['text']}", each["lab"], f"{BADGES[verdict][0]} {verdict}{alike}")
        rows.append("| " + " | ".join((*cells, measured, f"{each['on']}, {each['profile']}")) + " |")
    return "\n".join(rows)


def is_estimate(measured: Any) -> bool:
    """Whether a record's value is an `Estimate`, whole: "nan" and "inf" stand there as text."""
    if not isinstance(measured, dict) or measured.keys() - {"is_share"} != {"value", "error", "n", "unit"}:
        return False
    try:
        float(measured["value"]), float(measured["error"]), float(measured["n"])
    except (TypeError, ValueError, OverflowError):
        return False
    return type(measured["n"]) is int and isinstance(measured["unit"], str)


def as_estimate(measured: dict[str, Any]) -> Estimate:
    """The `Estimate` that a record's value is."""
    numbers = {name: float(measured[name]) for name in ("value", "error")}
    return Estimate(**numbers, n=measured["n"], unit=measured["unit"], is_share=measured.get("is_share") is True)


def measured_text(measured: Any) -> str:
    """A measurement in one line: numbers to four digits, estimates with their interval, dicts by name."""
    if is_estimate(measured):
        found = as_estimate(measured)
        low, high = (measured_text(end) for end in found.interval())
        value, of = measured_text(found.value), f"{say('to')} {high}; {found.n} {say(found.unit)}"
        if math.isnan(found.value):
            return value
        return f"{value} (1 {found.unit.rstrip('s')})" if found.n == 1 else f"{value} ({low} {of})"
    if isinstance(measured, dict):
        return ", ".join(
            f"{name} ({measured_text(value)})"
            if isinstance(value, dict) and not is_estimate(value)
            else f"{name} = {measured_text(value)}"
            for name, value in measured.items()
        )
    if isinstance(measured, list):
        return "[" + ", ".join(measured_text(value) for value in measured) + "]"
    if isinstance(measured, bool):
        return "yes" if measured else "no"
    if isinstance(measured, float):
        return "not known" if math.isnan(measured) else f"{measured:,.4g}".replace("-", "−")
    return f"{measured:,}".replace("-", "−") if isinstance(measured, int) else str(measured)


def _where(record: dict[str, Any]) -> str:
    """What data the verdict is about, and what would decide."""
    on = "" if record["verdict"] == NEEDS_PHOTOGRAPHS else say(f"on {record['on']}")
    if taken := record.get("from_reference"):
        reference = say(f"{taken} models taken from the kit's reference")
        on += f", {reference}"
    return on + (f": {say(record['decides'])}" if record["decides"] else "")


def study_text(record: dict[str, Any]) -> str:
    """What the study that comes with the kit found of a claim that this run cannot decide; "" of any other."""
    record, kinds = record.get("study"), {"verdict": str, "on": str, "measured": dict}
    if not isinstance(record, dict) or not all(isinstance(record.get(name), kinds[name]) for name in kinds):
        return ""  # a record may be damaged
    said = say("the study that comes with the kit"), say(record["verdict"]), say(f"on {record['on']}")
    return f"{said[0]}: {said[1]} {said[2]}, {measured_text(record['measured'])}"


def _study_html(record: dict[str, Any]) -> str:
    return f"<br><small>{escape(said)}</small>" if (said := study_text(record)) else ""


def _row(record: dict[str, Any]) -> str:
    cells = (
        f"<b>{escape(record['id'])}</b> {escape(say(record['text']))}",
        escape(say(record["expected"])),
        escape(measured_text(record["measured"])),
        f"{badge(record['verdict'])}<br><small>{escape(_where(record))}</small>{_study_html(record)}",
        f"{escape(say(record['protocol']))}<br>"
        f"<small>{escape(record['data'])}; {say('rule')}: {escape(say(record['rule']))}</small>",
    )
    return "<tr>" + "".join(f'<td style="{PLAIN}">{cell}</td>' for cell in cells) + "</tr>"
