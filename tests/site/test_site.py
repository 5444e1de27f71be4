"""A site made from a run of one small notebook."""

import base64
import io
import json
import re
import shutil
from itertools import pairwise

import pytest
from launch import write_launch
from PIL import Image

from labkit.course.run.labs import choose_labs, list_labs
from labkit.course.site import build
from labkit.course.site.build import build_site, newest_run
from labkit.errors import LabkitError
from labkit.fit.reference import verdicts

pytest.importorskip("sphinx_book_theme", reason='the extra "site" is not installed')
pytest.importorskip("myst_nb", reason='the extra "site" is not installed')

RESOURCE = re.compile(
    r'<(?:script|img|iframe|source)[^>]+src="(?:https?:)?//|<link[^>]+href="(?:https?:)?//[^>]*stylesheet'
)


def cell(kind, source, **more):
    return {"cell_type": kind, "metadata": {}, "source": source, **more}


@pytest.fixture(scope="module")
def sites(tmp_path_factory):
    """Pages by name: of the whole site, and of the students' one."""
    place = tmp_path_factory.mktemp("runs")
    lab = place / "smoke" / "01x_small"
    lab.mkdir(parents=True)
    png = io.BytesIO()
    Image.new("RGB", (40, 30), "red").save(png, "PNG")
    picture = {
        "output_type": "display_data",
        "data": {"image/png": base64.b64encode(png.getvalue()).decode()},
        "metadata": {"image/png": {"alt": "a red <box>"}},
    }
    code = "def f(x):\n    ### BEGIN SOLUTION\n    return secret\n    ### END SOLUTION"
    cells = [
        cell("markdown", "# Small lab\n\nAn inline $\\alpha^2$ and\n\n$$\\sum_i x_i$$\n\n## A chapter"),
        cell("code", "OUT = '/home/ada'", outputs=[]) | {"metadata": {"tags": ["injected-parameters"]}},
        cell("code", code, outputs=[picture], execution_count=1),
        cell(
            "code", "check()\n### BEGIN HIDDEN TESTS\nhidden()\n### END HIDDEN TESTS", outputs=[], execution_count=2
        ),
    ]
    notebook = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    (lab / "notebook.ipynb").write_text(json.dumps(notebook))
    claim = {"id": "A1", "text": "<b>x</b> is 3", "expected": "3", "measured": {"x": 3}, "verdict": "reproduced"}
    (lab / "claims.json").write_text(json.dumps([{**claim, "data": "drawn"}]))
    other = place / "study" / "01x_small"
    other.mkdir(parents=True)
    (other / "claims.json").write_text(
        json.dumps([{**claim, "data": "drawn", "measured": 4, "verdict": "corrected"}])
    )
    (other / "config.json").write_text(
        json.dumps({"lab": "01x", "seed": 17, "device": "cpu", "data": [], "versions": {}})
    )
    state = {"state": "failed", "message": "", "seconds": 1, "title": "", "fingerprint": {}, "record": {}}
    broken = place / "smoke" / "02x_broken"
    broken.mkdir()
    (broken / "notebook.ipynb").write_text(json.dumps(notebook))
    (broken / "state.json").write_text(json.dumps(state))
    found = {}
    for students in (False, True):
        build_site(place / "smoke", place / f"site{students}", students)
        found[students] = {page.name: page.read_text() for page in (place / f"site{students}").glob("*.html")}
    return found


def test_no_page_takes_anything_from_a_network(sites):
    assert RESOURCE.search('<script src="https://a.b/c.js">')
    assert not [name for pages in sites.values() for name, page in pages.items() if RESOURCE.search(page)]


def test_formulas_are_mathml(sites):
    page = sites[False]["01x_small.html"]
    assert page.count("<math") == 2 and "mathjax" not in page.lower()


def test_solutions_are_left_out_for_students_and_hidden_tests_for_all(sites):
    plain = {students: re.sub("<[^>]+>", "", pages["01x_small.html"]) for students, pages in sites.items()}
    assert "secret" in plain[False] and "secret" not in plain[True]
    assert "hidden()" not in plain[False] + plain[True]


def test_pictures_are_webp_with_words_and_headings_are_in_order(sites):
    for name, page in sites[False].items():
        assert all("alt=" in image for image in re.findall("<img[^>]+>", page)), name
        article = page[page.find("<article") : page.find("</article")]
        levels = [int(level) for level in re.findall(r"<h([1-6])", article)]
        assert all(after - before <= 1 for before, after in pairwise(levels)), name
    assert 'alt="a red &lt;box&gt;"' in sites[False]["01x_small.html"]
    assert ".webp" in sites[False]["01x_small.html"]


def test_a_lab_that_failed_has_no_page_and_is_named(sites):
    assert "02x_broken.html" not in sites[False] and "02x_broken" in sites[False]["index.html"]


def test_claims_are_shown_as_words(sites):
    assert "&lt;b&gt;x&lt;/b&gt; is 3" in sites[False]["claims.html"]


def test_a_claim_stands_beside_itself_in_other_runs(sites):
    page = sites[False]["claims.html"]
    rows = [re.findall("<td>(.*?)</td>", row) for row in re.findall("<tr>.*?</tr>", page, re.S)]
    assert ["smoke", "–", "reproduced", "x = 3"] in rows and ["study", "17", "corrected", "4"] in rows


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "run" / "lab").mkdir(parents=True)
    (tmp_path / "run" / "lab" / "notebook.ipynb").write_text("{}")
    with pytest.raises(LabkitError, match="something other than a site"):
        build_site(tmp_path / "run", tmp_path)
    with pytest.raises(LabkitError, match="no complete lab"):
        build_site(tmp_path, tmp_path / "out")


def test_a_newer_site_takes_the_place_of_the_older_and_leaves_what_others_put_there(tmp_path):
    site, link, built = tmp_path / "site", tmp_path / "link", tmp_path / "built"
    link.symlink_to(site)
    for pages in (("index.html", "old.html", "_static/a.css"), ("index.html", "new.html")):
        for name in pages:
            (built / name).parent.mkdir(parents=True, exist_ok=True)
            (built / name).write_text("-".join(pages))
        build._replace(link.resolve(), built)
        (site / ".git").mkdir(exist_ok=True)
        (site / "CNAME").write_text("faces.example")
        shutil.rmtree(built)
    assert sorted(file.name for file in site.iterdir()) == [".git", "CNAME", "index.html", "new.html", "site.json"]
    assert "new.html" in (site / "index.html").read_text() and link.is_symlink()


def test_a_run_on_a_gpu_is_found(tmp_path):
    record = tmp_path / "gpu" / "01x_small" / "notebook.ipynb"
    record.parent.mkdir(parents=True)
    record.touch()
    assert newest_run(tmp_path) == tmp_path / "gpu"


def test_a_list_of_pages_that_was_tampered_with_deletes_nothing_elsewhere(tmp_path):
    (tmp_path / "site").mkdir()
    (tmp_path / "mine.txt").touch()
    (tmp_path / "site" / "site.json").write_text('["..", "../mine.txt", "", ".", 3]')
    (tmp_path / "built").mkdir()
    (tmp_path / "built" / "index.html").touch()
    build._replace(tmp_path / "site", tmp_path / "built")
    assert (tmp_path / "mine.txt").is_file() and (tmp_path / "site" / "index.html").is_file()


def test_without_a_run_it_shows_the_labs_and_the_claims_of_the_reference(tmp_path, monkeypatch):
    assert newest_run(tmp_path / "runs") is None
    labs = choose_labs(["00", "03a"], list_labs())  # all of them take a minute
    monkeypatch.setattr(build, "list_labs", lambda: labs)
    start = build_site(None, tmp_path / "site").read_text()
    for lab in labs:
        assert f'href="{lab.stem}.html"' in start and (tmp_path / "site" / f"{lab.stem}.html").is_file()
    assert "No lab was executed" in start
    claims = (tmp_path / "site" / "claims.html").read_text()
    shown = {claim["id"] for claim in verdicts() if claim["lab"] == "03a"}
    lab = (tmp_path / "site" / "03a_vae_instance_norm.html").read_text()
    assert shown and all(f"<b>{name}</b>" in claims and name in lab for name in shown)
    assert "What the reference found" in lab and "side by side" not in claims


def test_a_page_links_to_its_source_where_there_is_one(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    shutil.copy(choose_labs(["00"], list_labs())[0].path, tmp_path / "notebooks")
    (tmp_path / "pyproject.toml").write_text(
        '[project]\nname = "kit"\nversion = "2.0"\nurls = { Repository = "https://code.example/team/kit.git" }'
    )
    (tmp_path / "README.md").touch()
    write_launch(tmp_path)  # its links in the notebook are not shown twice
    labs = list_labs(tmp_path / "notebooks")
    monkeypatch.setattr(build, "list_labs", lambda: labs)
    monkeypatch.setattr(build, "project_root", lambda: tmp_path)
    monkeypatch.setattr(build, "_readme_pages", lambda source: [])
    build_site(None, tmp_path / "site")
    page = (tmp_path / "site" / f"{labs[0].stem}.html").read_text()
    for address in ("https://code.example/team/kit/edit/main/notebooks/", "/github/team/kit/blob/v2.0/notebooks/"):
        assert page.count(f"{address}{labs[0].stem}.ipynb") == 1


@pytest.mark.parametrize("text", ["", "[tool.ruff]", '[project]\nurls = { Repository = "https://code.example/x" }'])
def test_a_project_that_says_less_of_itself_has_a_site_all_the_same(tmp_path, monkeypatch, text):
    (tmp_path / "pyproject.toml").write_text(text)
    monkeypatch.setattr(build, "project_root", lambda: tmp_path)
    assert build.repository(tmp_path) is None and build._readme_pages(tmp_path) == []


def test_no_path_of_the_machine_is_shown(sites):
    assert not any("/home/ada" in page for pages in sites.values() for page in pages.values())


def test_the_glossary_explains_each_word_once_in_order(sites):
    page = sites[False]["glossary.html"]
    words = [re.sub("<[^>]+>", "", term) for term in re.findall(r'<dt id="term-.*?>(.*?)<a class="headerlink"', page)]
    assert len(words) >= 40 and words == sorted(set(words), key=str.lower)
    assert page.count("<dd>") == len(words)


@pytest.mark.parametrize("picture", ["%%%", base64.b64encode(b"no picture").decode(), None])
def test_a_damaged_record_is_named(tmp_path, picture):
    output = {"output_type": "display_data", "data": {"image/png": picture}, "metadata": {}}
    (tmp_path / "01x_small").mkdir()
    record = tmp_path / "01x_small" / "notebook.ipynb"
    record.write_text(json.dumps({"cells": [cell("code", "", outputs=[output])], "metadata": {}}))
    with pytest.raises(LabkitError, match=r"01x_small.notebook\.ipynb: is damaged .* --force"):
        build_site(tmp_path, tmp_path / "site")
