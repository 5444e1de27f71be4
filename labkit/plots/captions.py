"""What stands around a finished figure: its title and names as words, and a stamp above it."""

import re

from matplotlib.figure import Figure


def title(figure: Figure) -> str:
    """What stands above a figure, in one line."""
    above = figure.get_suptitle() or next((axes.get_title() for axes in figure.axes if axes.get_title()), "")
    return " ".join(above.split())


def names(figure: Figure) -> str:
    """What a figure names, in one line: curves, rows of pictures, bars, units; of many the first twenty."""
    words = [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    for axes in figure.axes:
        words += [axes.get_title("left"), axes.get_xlabel(), axes.get_ylabel()]
        words += [text.get_text() for text in (*axes.texts, *axes.get_xticklabels(), *axes.get_yticklabels())]
    words = dict.fromkeys(" ".join(each.split()) for each in words)
    named = [word for word in words if re.search(r"(?<![\d.])[^\W\d_]", word) and "$" not in word]  # but no numbers
    return f"{'; '.join(named[:20])}." if named else ""


def stamp(figure: Figure, stand_ins: list[str], taken: int) -> None:
    """Say above all that is drawn what its data are, if a stand-in, and how many models were trained elsewhere.

    There it can neither hide nor be hidden. Below it could: a figure's legend is bound to the lower edge, which
    `bbox_inches="tight"` moves.
    """
    notes = ["data: " + " + ".join(stand_ins)] if stand_ins else []
    notes += [f"{taken} models taken from the kit's reference"] if taken else []
    if notes:
        box = {"boxstyle": "round,pad=0.35", "facecolor": "#fff3d6", "edgecolor": "#b26a00", "linewidth": 0.8}
        figure.draw_without_rendering()  # layouts find their places only now
        top = (figure.get_tightbbox().y1 + 0.12) / figure.get_figheight()
        figure.text(0.99, top, " · ".join(notes), ha="right", va="bottom", fontsize=8, color="#5c3700", bbox=box)
