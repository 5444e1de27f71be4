"""The site in a real browser, opened from its folder: without a server, without a network."""

import base64
import io
import json
from itertools import pairwise

import pandas as pd
import pytest
import torch
from PIL import Image

from labkit.claims import BADGES, card_html, claims_html
from labkit.course.run.labs import project_root
from labkit.course.site.build import build_site
from labkit.plots import browser as explorer
from labkit.vae.conditional import ConditionalConfig, ConditionalVAE

for package in ("sphinx_book_theme", "myst_nb", "axe_playwright_python"):
    pytest.importorskip(package, reason=f"{package} is not installed; the extra site holds it")

DESKTOP, PHONE = (1280, 900), (390, 844)
LAB = "03c_vae_conditional"
KINDS = ("index", LAB, "claims", "explorer", "glossary", "instructors", "engineers", "search")
PICTURE = "document.querySelector('canvas').toDataURL()"


def figure():
    png = io.BytesIO()
    Image.new("RGB", (1400, 300), "orange").save(png, "PNG")
    return {"image/png": base64.b64encode(png.getvalue()).decode()}, {"image/png": {"alt": "an orange figure"}}


def claim(number, verdict):
    found = {"value": 3.0, "error": 0.5, "n": 5, "unit": "seeds"}
    measured = {"by_chance": found, "swing": {"0.0001": found, "a_very_long_name_" * 5: found}}
    words = {name: f"the {name}" for name in ("text", "expected", "on", "data", "protocol", "rule", "decides")}
    return {"id": f"C{number}", "verdict": verdict, "measured": measured, **words}


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Of one lab's text and code, with outputs of every kind that the labs show."""
    place = tmp_path_factory.mktemp("browser")
    lab = place / "smoke" / LAB
    claims = [claim(number, verdict) for number, verdict in enumerate(BADGES)]
    for run in ("smoke", "cpu"):
        (place / run / LAB).mkdir(parents=True, exist_ok=True)
        (place / run / LAB / "claims.json").write_text(json.dumps(claims))
    wide = pd.DataFrame([range(20)] * 3, columns=[f"column {i}" for i in range(20)], index=["a", "b", "c"])
    pages = [card_html(claims[0]), claims_html(claims), wide.to_html(), wide.style.to_html()]
    shown = [({"text/html": page}, {}) for page in pages] + [figure()]
    outputs = [{"output_type": "display_data", "data": data, "metadata": metadata} for data, metadata in shown]
    outputs.append({"output_type": "stream", "name": "stdout", "text": "a long line " * 30})
    notebook = json.loads((project_root() / "notebooks" / f"{LAB}.ipynb").read_text(encoding="utf-8"))
    del notebook["cells"][12:]  # axe looks at every word of the code
    wide = " + ".join(f"x_{{{i}}}^2" for i in range(30))
    notebook["cells"].insert(1, {"cell_type": "markdown", "metadata": {}, "source": f"A formula:\n\n$${wide}$$"})
    next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")["outputs"] = outputs
    (lab / "notebook.ipynb").write_text(json.dumps(notebook))
    torch.manual_seed(0)
    decoder = ConditionalVAE(ConditionalConfig(2, 8, (16, 16), 2)).decoder
    shown = explorer.Model(
        "a VAE", decoder, 8, {3: "3: +smile", 0: "0: −hair"}, {"Eyeglasses": 1, "Bangs": -1}, ("Eyeglasses",)
    )
    explorer.write(lab / "explorer", "it", shown)
    build_site(place / "smoke", place / "site")
    return place / "site"


@pytest.fixture
def visit(chromium, site):
    """Opens a page, desktop and light unless told; the test fails if a page complains or leaves the folder."""
    complaints, contexts = [], []

    def opened(name, size=DESKTOP, scheme="light"):
        context = chromium.new_context(viewport=dict(zip(("width", "height"), size)), color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        here = (site.as_uri() + "/", "data:")
        page.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda asked: None if asked.url.startswith(here) else complaints.append(asked.url))
        page.on("requestfailed", lambda asked: complaints.append(f"failed: {asked.url}"))
        page.goto(f"{site.as_uri()}/{name}")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not complaints


def test_every_page_loads_quietly_and_takes_nothing_from_elsewhere(site, visit):
    pages = {page.stem for page in site.glob("*.html")}
    assert pages == set(KINDS)
    for name in pages:
        assert visit(f"{name}.html").locator("h1:visible").count() == 1, name


@pytest.mark.parametrize("name", KINDS)
def test_nothing_is_wider_than_a_phone(visit, name):
    page = visit(f"{name}.html", PHONE)
    page.evaluate("document.querySelectorAll('details').forEach((each) => { each.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]


@pytest.mark.parametrize("scheme, size", [("light", DESKTOP), ("dark", PHONE)])
@pytest.mark.parametrize("name", ["index", LAB, "claims", "explorer", "glossary"])
def test_axe_finds_no_violation(visit, name, scheme, size):
    from axe_playwright_python.sync_playwright import Axe

    page = visit(f"{name}.html", size, scheme)
    assert page.locator("html").get_attribute("data-theme") == scheme
    found = (
        Axe().run(page, options={"preload": False}).response["violations"]
    )  # a preload asks for files, which file:// refuses
    assert not [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


@pytest.mark.parametrize("name", KINDS)
def test_headings_are_in_order_and_pictures_have_words_and_a_size(visit, name):
    page = visit(f"{name}.html")
    headings = page.locator(", ".join(f"main h{level}" for level in range(1, 7))).all()
    levels = [int(heading.evaluate("(heading) => heading.tagName[1]")) for heading in headings]
    assert levels[0] == 1 and all(after - before <= 1 for before, after in pairwise(levels))
    for image in page.locator("img").all():
        assert image.get_attribute("alt") not in (None, "", "figure")
        assert int(image.get_attribute("width")) <= 1200 and image.get_attribute("height")


def test_search_finds_a_word(visit):
    page = visit("index.html")
    page.keyboard.press("Control+K")
    page.keyboard.type("disentangled")
    page.keyboard.press("Enter")
    page.wait_for_url("**/search.html?q=disentangled")
    page.locator(f"#search-results a[href^='{LAB}.html']").first.wait_for()


def moved(page, move):
    """Whether the picture is another one after a move."""
    before = page.evaluate(PICTURE)
    move()
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    return page.evaluate(PICTURE) != before


def test_the_explorer_moves_by_mouse_and_keyboard_and_says_so(visit):
    page = visit("explorer.html")
    assert page.get_by_role("img", name="A face drawn by a VAE").is_visible()
    sliders = page.get_by_role("slider").all()
    assert len(sliders) == 3
    for slider in sliders:
        box = slider.bounding_box()
        spot = (box["x"] + 0.4 * box["width"], box["y"] + box["height"] / 2)
        assert moved(page, lambda spot=spot: page.mouse.click(*spot))
        assert moved(page, lambda: page.keyboard.press("ArrowRight"))
        assert page.locator(".explorer-status").inner_text().endswith(slider.input_value())
    assert page.get_by_role("slider", name="3: +smile").count() == 1
    assert moved(page, page.get_by_role("checkbox", name="Eyeglasses").click)
    assert moved(page, page.get_by_role("button", name="Another face").click)
    assert moved(page, page.get_by_role("button", name="Back to the start").click)


def test_the_link_keeps_the_state(site, visit):
    page = visit("explorer.html")
    page.get_by_role("slider", name="3: +smile").fill("2.5")
    page.get_by_role("checkbox", name="Eyeglasses").uncheck()
    assert moved(page, page.get_by_role("button", name="Another face").click)
    page.get_by_role("slider", name="0: −hair").fill("-1.5")
    moved(page, lambda: page.get_by_role("slider", name="from this face to another").fill("0.5"))
    other = visit("explorer.html" + page.url.partition(".html")[2])
    assert other.evaluate(PICTURE) == page.evaluate(PICTURE) != visit("explorer.html").evaluate(PICTURE)
    assert not other.get_by_role("checkbox", name="Eyeglasses").is_checked()
    assert other.get_by_role("slider", name="0: −hair").input_value() == "-1.5"
