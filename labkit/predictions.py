"""Predict, then see: a guess that the student makes before a claim is measured, and both side by side at the end.

Guesses lie in the run's folder and outlive a new run of the lab. They earn no points.
"""

from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labkit.claims import badge, measured_text
from labkit.errors import LabkitError
from labkit.files import write_json
from labkit.record import PREDICTIONS, read_record
from labkit.translations import say

if TYPE_CHECKING:
    import ipywidgets

COLUMNS = ("question", "your guess", "this run measured", "the report's claim")
STYLE = "text-align:left;vertical-align:top"


def somebody_is_there() -> bool:
    """Whether the cell that runs was started by a person who could move a slider.

    Every request to run a cell says whether the front end could ask its user for input (`allow_stdin` in the
    messaging specification of Jupyter). JupyterLab, Notebook and VS Code say yes. What runs a notebook unattended
    says no: papermill, and so `labkit run`, nbconvert, nbval. Outside a notebook there is nobody either.
    """
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(getattr(kernel, "_allow_stdin", False))  # the kernel keeps it nowhere else


def kept(folder: Path) -> dict[str, dict[str, Any]]:
    """Claim's id → question, guess and its unit; none where nothing was guessed."""
    return read_record(folder, PREDICTIONS, {})


def keep(folder: Path, claim: str, question: str, guess: Any, choices: Sequence[str], unit: str) -> str:
    """Keep a guess in the folder, in place of an earlier one; returns it in words.

    Raises LabkitError: it is none of the choices, or no number where there are none.
    """
    if choices and guess not in choices:
        raise LabkitError(f"{guess!r} is none of the choices: {', '.join(map(repr, choices))}.")
    if not choices:
        try:
            guess = float(str(guess).strip().replace(",", "."))
        except ValueError:
            raise LabkitError(f"{guess!r}: give a number, such as 12 or 0.5.") from None
    words = guess if choices else f"{measured_text(guess)} {unit}".rstrip()
    write_json(folder / PREDICTIONS, kept(folder) | {claim: {"question": question, "guess": words}})
    return words


def form(
    question: str, choices: Sequence[str], unit: str, before: str, commit: Callable[[Any], str]
) -> "ipywidgets.Widget":
    """The question with its choices, or a field for a number, and a button that commits the guess."""
    import ipywidgets as widgets

    if choices:
        field = widgets.RadioButtons(options=choices, value=before if before in choices else None)
        field.layout.width = "max-content"
    else:
        field = widgets.Text(placeholder=f"{say('a number')} ({unit})" if unit else say("a number"))
    button = widgets.Button(description=say("keep my guess"))
    said = widgets.Label(f"{say('kept')}: {before}" if before else "")

    def clicked(_: object) -> None:
        try:
            said.value = f"{say('kept')}: {commit(field.value)}"
        except LabkitError as error:
            said.value = say(str(error) if field.value else "choose or write something first.")

    button.on_click(clicked)
    title = widgets.HTML(f"<b>{say('Your guess')}:</b> {escape(question)}")
    return widgets.VBox([title, field, widgets.HBox([button, said])])


def beside(guesses: dict[str, dict[str, Any]], claims: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Guesses beside measurements as HTML and as plain lines; claims that were not judged are left out."""
    html, lines = "", []
    for claim in (claim for claim in guesses if claim in claims):
        asked, record = guesses[claim], claims[claim]
        measured, verdict = measured_text(record["measured"]), record["verdict"]
        cells = (f"<b>{escape(claim)}</b> {escape(asked['question'])}", escape(asked["guess"]), escape(measured))
        html += "<tr>" + "".join(f'<td style="{STYLE}">{cell}</td>' for cell in (*cells, badge(verdict))) + "</tr>"
        lines.append(
            f"{claim} {asked['question']}\n  {say('you')}: {asked['guess']}\n"
            f"  {say('measured')}: {measured} ({say(verdict)})"
        )
    head = "".join(f'<th scope="col" style="{STYLE}">{say(name)}</th>' for name in COLUMNS)
    return {"text/html": f"<table><tr>{head}</tr>{html}</table>", "text/plain": "\n".join(lines)} if lines else {}
