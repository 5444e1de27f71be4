"""An executed notebook as one HTML file: runs/<profile>/<lab>/notebook.html."""

import html
from pathlib import Path

import nbformat
from jinja2 import FileSystemLoader, pass_context
from latex2mathml.converter import convert
from nbconvert import HTMLExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath

from labkit.files import write_text
from labkit.record import NOTEBOOK, PAGE


class _Renderer(IPythonRenderer):
    """Markdown with formulas as MathML, which every browser shows without a script from the network."""

    def inline_math(self, body: str) -> str:
        return mathml(body, "inline")

    def block_math(self, body: str) -> str:
        return mathml(body, "block")

    def latex_environment(self, name: str, body: str) -> str:
        return mathml(f"\\begin{{{name}}}{body}\\end{{{name}}}", "block")


class _Exporter(HTMLExporter):
    @pass_context
    def markdown2html(self, context, source):
        attachments = context.get("cell", {}).get("attachments", {})
        return MarkdownWithMath(renderer=_Renderer(escape=False, attachments=attachments)).render(source)


def write_page(folder: Path) -> None:
    """Write notebook.html beside notebook.ipynb, self-contained; does nothing where there is no notebook.

    Raises LabkitError: the folder cannot be written.
    """
    if not (folder / NOTEBOOK).is_file():
        return
    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    notebook.metadata["title"] = notebook.metadata.get("labkit", {}).get("title", folder.name)
    notebook.metadata.pop("widgets", None)  # their pictures would need scripts from the network
    _images_with_alt(notebook)
    exporter = _Exporter(
        template_name="lab",
        extra_loaders=[FileSystemLoader(Path(__file__).parent)],
        template_file="notebook_page.html.j2",
    )
    page, _ = exporter.from_notebook_node(notebook)
    write_text(folder / PAGE, page)


def mathml(tex: str, display: str) -> str:
    """A formula as MathML, "inline" or a "block"; as code where it cannot be read."""
    try:
        return convert(tex, display=display)
    except Exception:  # that library raises errors of many kinds; TeX can be read too
        return f"<code>{html.escape(tex)}</code>"


def _images_with_alt(notebook: nbformat.NotebookNode) -> None:
    """nbconvert drops the alt text of an image output; as HTML it stays."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt and "image/png" in data:
                image = "".join(data.pop("image/png").split())
                data["text/html"] = f'<img src="data:image/png;base64,{image}" alt="{html.escape(alt)}">'
