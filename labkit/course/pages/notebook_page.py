"""An executed notebook as one HTML file that opens from disk."""

from html import escape
from pathlib import Path

from labkit.files import write_text
from labkit.record import NOTEBOOK, PAGE

# nbconvert's page waits for scripts from the network before it shows anything. Nothing here needs them but
# formulas, which appear as TeX until (and if) their script arrives.
TEMPLATE = """
{% extends 'index.html.j2' %}
{% block html_head_js_requirejs %}{% endblock %}
{% block html_head_js_mermaidjs %}{% endblock %}
{% block html_head_js_mathjax %}
<script type="text/x-mathjax-config">
MathJax.Hub.Config({
  tex2jax: {inlineMath: [['$', '$'], ['\\\\(', '\\\\)']], processEscapes: true},
  messageStyle: 'none'
});
</script>
<script async src="{{ resources.mathjax_url }}"></script>
{% endblock %}
{% block html_head_css %}
<style>
  body { max-width: 62rem; margin: 0 auto !important; padding: 1.5rem !important; }
  .labkit-back { font: 15px/1.5 system-ui, sans-serif; }
  .jp-OutputArea-output img { max-width: 100%; height: auto; }
</style>
{% endblock %}
{% block body_header %}{{ super() }}
<nav class="labkit-back"><a href="../index.html">← all labs of this run</a></nav>
{% endblock %}
"""


def write_page(folder: Path) -> None:
    """Write notebook.html beside notebook.ipynb, self-contained; does nothing where there is no notebook.

    Raises:
        LabkitError: the folder cannot be written.
    """
    if not (folder / NOTEBOOK).is_file():
        return
    import nbformat
    from jinja2 import DictLoader
    from nbconvert import HTMLExporter

    notebook = nbformat.read(folder / NOTEBOOK, as_version=4)
    notebook.metadata["title"] = notebook.metadata.get("labkit", {}).get("title", folder.name)
    _images_with_alt(notebook)
    exporter = HTMLExporter(
        template_name="lab",
        extra_loaders=[DictLoader({"labkit.html.j2": TEMPLATE})],
        template_file="labkit.html.j2",
    )
    page, _ = exporter.from_notebook_node(notebook)
    write_text(folder / PAGE, page)


def _images_with_alt(notebook) -> None:
    """nbconvert drops the alt text of an image output; as HTML it stays."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            alt = output.get("metadata", {}).get("image/png", {}).get("alt")
            if alt and "image/png" in data:
                image = "".join(data["image/png"].split())
                data["text/html"] = f'<img src="data:image/png;base64,{image}" alt="{escape(alt)}">'
                del data["image/png"]
