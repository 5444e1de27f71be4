"""A run's two kinds of pages in a real browser, from their folder: readable, light and dark, desktop and phone."""

import json

import pytest

from labkit.claims import BADGES, card_html
from labkit.course.pages.notebook_page import write_page
from labkit.course.pages.run_page import STATES, write_index
from labkit.course.run.labs import project_root
from labkit.files import write_json

pytest.importorskip("axe_playwright_python", reason="axe_playwright_python is not installed; the extra site holds it")

DESKTOP, PHONE = (1280, 900), (390, 844)
PAGES = {"of the run": "index.html", "of a lab": "lab-0/notebook.html"}
# Every kind of word that code has, so that each colour is on the page.
CODE = '''\
%matplotlib inline
@decorated
class Model(nn.Module):
    """What it is."""

    def forward(self, x: int = 3) -> "str":
        return None if x is not True else [len(self.rows), 1.5e-3, {"a": f"{x!r}"}]  # why


try:
    !ls
except ValueError as error:
    raise SystemExit(1) from error'''


def claim(number, verdict):
    words = {name: f"the {name}" for name in ("text", "expected", "on", "data", "protocol", "rule", "decides")}
    return {"id": f"C{number}", "verdict": verdict, "measured": {"a_very_long_name_" * 5: 3.0}, **words}


def outputs(claims):
    yield {"output_type": "stream", "name": "stdout", "text": "a long line " * 30}
    yield {"output_type": "stream", "name": "stderr", "text": "a warning"}
    yield {
        "output_type": "error",
        "ename": "E",
        "evalue": "\x1b[31mwrong\x1b[0m",
        "traceback": ["\x1b[31mE\x1b[0m: \x1b[32mx"],
    }
    for each in claims:
        yield {"output_type": "display_data", "metadata": {}, "data": {"text/html": card_html(each)}}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A lab in each state that the page knows, the first with claims of each verdict and code of each colour."""
    folder = tmp_path_factory.mktemp("pages") / "smoke"
    claims = [claim(number, verdict) for number, verdict in enumerate(BADGES)]
    sources = [{"label": f"{kind} faces", "real": kind == "real", "source": kind} for kind in ("real", "drawn")]
    for number, state in enumerate(STATES):
        lab = folder / f"lab-{number}"
        config = {"lab": f"0{number}", "device": "cpu", "seed": 0, "data": sources, "versions": {"torch": "2"}}
        write_json(lab / "config.json", config)
        write_json(lab / "claims.json", claims)
        message = "" if state == "ok" else "what went wrong"
        write_json(lab / "state.json", {"state": state, "message": message, "seconds": 60.0, "title": "A lab"})
    first = folder / "lab-0"
    notebook = json.loads((project_root() / "notebooks" / "03c_vae_conditional.ipynb").read_text(encoding="utf-8"))
    del notebook["cells"][9:]
    cell = {"cell_type": "code", "execution_count": 1, "metadata": {}, "source": CODE, "outputs": [*outputs(claims)]}
    notebook["cells"].append(cell)
    for number, each in enumerate(notebook["cells"]):
        each.setdefault("id", f"cell-{number}")
    (first / "notebook.ipynb").write_text(json.dumps(notebook))
    write_page(first)
    write_index(folder)
    return folder


@pytest.fixture
def visit(chromium, run):
    contexts = []

    def opened(name, size, scheme="light"):
        context = chromium.new_context(viewport=dict(zip(("width", "height"), size)), color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.goto((run / PAGES[name]).as_uri())
        page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
        return page

    yield opened
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation_of_contrast_or_of_another_kind(visit, name, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(visit(name, size, scheme), options={"preload": False}).response
    assert not [(each["id"], [node["html"] for node in each["nodes"]][:9]) for each in found["violations"]]
    looked_at = next(each for each in found["passes"] if each["id"] == "color-contrast")
    assert len(looked_at["nodes"]) > 50


@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_a_phone(visit, name):
    assert visit(name, PHONE).evaluate("document.documentElement.scrollWidth") <= PHONE[0]
