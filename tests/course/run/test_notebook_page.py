"""The page of an executed notebook: formulas and pictures without a network."""

import re

import nbformat
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from labkit.course.pages.notebook_page import write_page
from labkit.course.run.labs import list_labs, project_root, read_notebook

WORDS = r"""A flow: $x = f(z)$, costs `$5`.

$$\log p(x) = \log p(z) + \sum_i s_i$$

\begin{align} a &= b \end{align}

$\left( x$ is broken."""


def page_of(tmp_path, *cells):
    notebook = new_notebook(cells=list(cells))
    notebook.metadata["widgets"] = {"application/vnd.jupyter.widget-state+json": {"state": {}}}
    nbformat.write(notebook, tmp_path / "notebook.ipynb")
    write_page(tmp_path)
    return (tmp_path / "notebook.html").read_text(encoding="utf-8")


def test_formulas_are_mathml_and_a_broken_one_stays_readable(tmp_path):
    text = page_of(tmp_path, new_markdown_cell(WORDS))
    assert text.count("<math") == 3 and "<mi>z</mi>" in text
    assert "<code>$5</code>" in text and r"<code>\left( x</code>" in text


def test_no_request_leaves_the_folder(tmp_path):
    picture = new_output("display_data", {"image/png": "aGk="}, metadata={"image/png": {"alt": "A <face>"}})
    text = page_of(tmp_path, new_markdown_cell(WORDS), new_code_cell("1", outputs=[picture]))
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", text) and "<script" not in text
    assert not re.findall(r"@import|url\(['\"]?(?:https?:)?//", text)
    assert 'alt="A &lt;face&gt;"' in text and "data:image/png;base64,aGk=" in text


def test_every_formula_of_the_course_becomes_mathml(tmp_path):
    labs = list_labs(project_root() / "notebooks")
    cells = [cell for lab in labs for cell in read_notebook(lab.path)["cells"] if cell["cell_type"] == "markdown"]
    text = page_of(tmp_path, *(new_markdown_cell(cell["source"]) for cell in cells))
    assert text.count("<math") > 200 and not re.findall(r"<code>\\\w|\$\$", text)
