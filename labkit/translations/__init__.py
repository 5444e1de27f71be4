"""What a student reads, in another language: hints and verdicts when they are shown, by the English sentence.

There is a folder for each language, and in it a file for each lab in gettext's format, and kit.po for what all labs
share. They lie here, not beside the notebooks, since hints are looked up wherever a student's kernel runs, also from
a wheel and in the grader's sandbox. `labkit translate` writes the files, `labkit release --lang` reads them.
"""

import io
import os
import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from babel.messages import Catalog

FOLDER = Path(__file__).parent
VARIABLE = "LABKIT_LANG"
FIELD = re.compile(r"\{([^{}]+)\}")  # of an f-string or a format
LEAD = re.compile(r"[\d.,]* |: |")
WORD = re.compile(r"[^\W\d_]{2}")


def languages() -> list[str]:
    """Codes of the languages that have a folder."""
    return sorted(path.name for path in FOLDER.iterdir() if any(path.glob("*.po")))


def catalogue(language: str, name: str) -> "Catalog":
    """The messages of a lab, or of `kit`, in a language; none where there is no such file.

    Raises UnicodeDecodeError: the file is not in UTF-8.
    """
    from babel.messages import Catalog  # not for a student who reads English
    from babel.messages.pofile import read_po

    path = FOLDER / language / f"{name}.po"
    if not path.is_file():
        return Catalog(locale=language)
    return read_po(io.StringIO(path.read_text(encoding="utf-8-sig")), locale=language)


def known(catalog: "Catalog") -> dict[str, str]:
    """English → translation, of the messages that are translated, not in doubt, and keep what stands in braces."""
    sure = [each for each in catalog if each.id and each.string and not each.fuzzy]
    return {each.id: each.string for each in sure if fields(each.string) == fields(each.id)}


def fields(text: str) -> list[str]:
    """What stands in braces, which a translation must keep."""
    return sorted(FIELD.findall(text))


def say(text: str) -> str:
    """`text` in the language that `LABKIT_LANG` names; as it is where that has no such sentence."""
    language = os.environ.get(VARIABLE, "")
    return _say(text, *_all(language)) if text and language else text


def _say(text: str, exact: dict[str, str], patterns: list[tuple[re.Pattern, list[str], str]]) -> str:
    if text in exact:
        return exact[text]
    for pattern, names, string in patterns:
        if found := pattern.fullmatch(text):
            values = dict(zip(names, (_part(each, exact, patterns) for each in found.groups()), strict=True))
            return FIELD.sub(lambda field, values=values: values[field[1]], string)
    return text


def _part(text: str, exact: dict[str, str], patterns: list) -> str:
    """The text of a field, translated too: it may be a whole sentence, also behind a colon or a number."""
    start = LEAD.match(text).end()
    return text[:start] + _say(text[start:], exact, patterns)


@cache
def _all(language: str) -> tuple[dict[str, str], list[tuple[re.Pattern, list[str], str]]]:
    """Sentences of a language as they are, and those with fields as patterns, the most particular first."""
    exact: dict[str, str] = {}
    for path in sorted((FOLDER / language).glob("*.po")):
        with suppress(UnicodeDecodeError):  # a student reads English then
            exact |= known(catalogue(language, path.stem))
    found = []
    for english, string in exact.items():
        parts = FIELD.split(english)
        fixed = "".join(parts[::2])
        if len(parts) > 1 and WORD.search(fixed):
            pattern = "(.*?)".join(map(re.escape, parts[::2]))
            found.append((len(fixed), re.compile(pattern, re.DOTALL), parts[1::2], string))
    found.sort(key=lambda each: -each[0])
    return exact, [each[1:] for each in found]
