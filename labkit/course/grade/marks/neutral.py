"""Makes what students hand in harmless to look at: no script of theirs runs in feedback or in formgrader.

nbgrader renders Markdown with raw HTML, and outputs with scripts, SVG and unquoted attributes. So a notebook is made
harmless before nbgrader sees it, and rendered by filters that sanitise once more.
"""

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import bleach
from bleach.css_sanitizer import CSSSanitizer
from bleach.html5lib_shim import Filter
from bleach.sanitizer import Cleaner
from jinja2 import pass_context
from nbconvert.exporters.html import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbconvert.preprocessors.sanitize import SanitizeHTML
from nbformat import NotebookNode
from nbformat.v4 import new_output

TABLES = {"table", "thead", "tbody", "tfoot", "tr", "th", "td", "caption"}
TEXT = {"p", "br", "hr", "pre", "div", "span", "sub", "sup", "del", "h1", "h2", "h3", "h4", "h5", "h6", "img"}
TAGS = set(bleach.ALLOWED_TAGS) | TABLES | TEXT
ATTRIBUTES = {
    "a": ["href", "title"],
    "img": ["src", "alt", "title"],
    "th": ["colspan", "rowspan", "scope"],
    "td": ["colspan", "rowspan"],
}
# Other classes are formgrader's own buttons and fields: nobody who hands in a notebook may draw them.
CLASSES = re.compile(r"dataframe|highlight( hl-\w+)?|[a-z][a-z0-9]{0,2}")
PICTURE = re.compile(r"data:image/(png|jpeg|gif);base64,[A-Za-z0-9+/=\s]*")
LINK = re.compile(r"https?://|mailto:|#")
BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
STYLE = re.compile(r"<(style|script)\b", re.IGNORECASE)
END = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in ("style", "script")}
OPENING = re.compile(r"<(?![\s=\d])")
MARKS = r"[\\`*_\[\]!|$#~]"  # what Markdown may take for its own
IMAGES = ("image/png", "image/jpeg")
MAX_HTML = 300_000  # characters of one output: no table that a person reads has as many
MAX_TEXT = 20_000  # characters of one output; what a test prints is shorter by far


def plain_markdown(source: str) -> str:
    """Markdown without raw HTML: a blank after `<` is all that it takes, and formulas read as before."""
    return OPENING.sub("< ", source)


def plain_text(text: str) -> str:
    """Text that Markdown shows as it is: hints quote what a student's code said."""
    escaped = plain_markdown(" ".join(text.split()))
    return re.sub(rf"({MARKS})", r"\\\1", escaped)


def unescaped(markdown: str) -> str:
    """Markdown for a terminal: without the backslashes of `plain_text`."""
    return re.sub(rf"\\({MARKS})", r"\1", markdown)


def safe_markdown(source: str, attachments: dict[str, dict[str, str]] | None = None) -> str:
    """Markdown as sanitised HTML, with the pictures that are pasted into its cell."""
    renderer = _Renderer(escape=False, exclude_anchor_links=True, attachments=attachments or {})
    return safe_html(MarkdownWithMath(renderer=renderer).render(source))


@pass_context
def markdown_filter(context: Any, source: str) -> str:
    """The filter `markdown2html` of feedback and formgrader, which knows the cell that it draws."""
    return safe_markdown(source, (context.get("cell") or {}).get("attachments"))


def safe_html(html: str | bytes) -> str:
    """HTML with an allow-list of tags and attributes; pictures only if they lie in the page itself.

    It is also the filter `clean_html` of feedback and formgrader: nbconvert's own takes tables apart.
    """
    text = html.decode("utf-8", "replace") if isinstance(html, bytes) else html
    cleaner = Cleaner(
        tags=TAGS,
        attributes=_allowed,
        protocols={*bleach.ALLOWED_PROTOCOLS, "data"},
        strip=True,
        css_sanitizer=CSSSanitizer(),
        filters=[_Padded],
    )
    return cleaner.clean(_without_styles(text))


def neutral_outputs(outputs: list[Any]) -> list[NotebookNode]:
    """Outputs of a cell as new ones, with only what can be shown without risk; what is malformed is left out."""
    kept = []
    for output in outputs:
        try:
            kept += _neutral_output(output)
        except (KeyError, TypeError, AttributeError, ValueError):
            continue
    return kept


def exporter(template: str, folders: list[str], styles: list[str]) -> HTMLExporter:
    """nbconvert's HTML exporter with every defence switched on."""
    return HTMLExporter(
        template_name=template,
        extra_template_basedirs=folders,
        extra_template_paths=styles,
        sanitize_html=True,
        filters={"markdown2html": markdown_filter, "clean_html": safe_html},
    )


class _Renderer(IPythonRenderer):
    """nbconvert's, which draws a picture that is not there as its name, where nbconvert stops."""

    def _embed_image_or_attachment(self, src: str) -> str:
        name = src.removeprefix("attachment:")
        if name == src:
            return src
        name = name if name in self.attachments else unquote(name)
        kinds = self.attachments.get(name) or {}
        return next((f"data:{kind};base64,{text}" for kind, text in kinds.items()), "#")


class _Padded(Filter):
    """Tables whose cells do not run into one another: both pages have Bootstrap's styles."""

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for token in super().__iter__():
            if token["type"] == "StartTag" and token["name"] == "table":
                token["data"] = {(None, "class"): "table-condensed"}
            yield token


def _neutral_output(output: Any) -> list[NotebookNode]:
    kind = output["output_type"]
    if kind == "stream":
        name = "stderr" if output["name"] == "stderr" else "stdout"
        return [new_output("stream", name=name, text=_short(output["text"]))]
    if kind == "error":
        trace = [_short(line) for line in output["traceback"][-60:]]
        about = {"ename": str(output["ename"])[:200], "evalue": _short(output["evalue"])}
        return [new_output("error", traceback=trace, **about)]
    if kind not in ("display_data", "execute_result"):
        return []
    data = {key: value for key, value in _sanitised(output["data"]).items() if isinstance(value, str)}
    return [new_output("display_data", data=data, metadata={})] if data else []


def _sanitised(data: dict[str, Any]) -> dict[str, Any]:
    """By nbconvert's SanitizeHTML, with its lists of what is text, what is cleaned and what is dropped."""
    joined = {key: "".join(value) if isinstance(value, list) else value for key, value in data.items()}
    joined = {key: value for key, value in joined.items() if isinstance(value, str)}
    if len(joined.get("text/html", "")) > MAX_HTML:
        del joined["text/html"]
        joined.setdefault("text/plain", f"an output of more than {MAX_HTML:,} characters")
    for key in ("text/html", "text/markdown"):
        if key in joined:
            joined[key] = _without_styles(joined[key])
    output = NotebookNode(output_type="display_data", data=joined)
    cleaner = SanitizeHTML(
        tags=list(TAGS),
        attributes=_allowed,
        strip=True,
        safe_output_keys={"text/plain", "text/latex", *IMAGES},
        sanitized_output_types={"text/html", "text/markdown"},
    )
    cleaned = cleaner.sanitize_code_outputs([output])[0]["data"]
    if "text/markdown" in cleaned:
        cleaned["text/markdown"] = plain_markdown(cleaned["text/markdown"])
    return {k: v for k, v in cleaned.items() if k not in IMAGES or BASE64.fullmatch(v)}


def _without_styles(html: str) -> str:
    """HTML without scripts and styles, and without all that follows one that does not end."""
    kept, place = [], 0
    while opening := STYLE.search(html, place):
        kept.append(html[place : opening.start()])
        if (end := END[opening[1].lower()].search(html, opening.end())) is None:
            return "".join(kept)
        place = end.end()
    return "".join(kept) + html[place:]


def _allowed(tag: str, name: str, value: str) -> bool:
    """A picture from elsewhere would tell its owner who looked at the page, and when."""
    if tag == "img" and name == "src":
        return bool(PICTURE.fullmatch(value))
    if tag == "a" and name == "href":
        return bool(LINK.match(value))
    if name == "class":
        return bool(CLASSES.fullmatch(value.strip()))
    return name in ATTRIBUTES.get(tag, [])


def _short(text: Any) -> str:
    text = "".join(text) if isinstance(text, list) else str(text)
    if len(text) <= MAX_TEXT:
        return text
    return f"{text[:MAX_TEXT]}\n… {len(text) - MAX_TEXT:,} characters left out"
