"""A student's way through lab 00 in JupyterLab, in a real browser: hints, an interruption, everything once more."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from labkit.course.run.labs import project_root
from labkit.ladder import NEXT

for package in ("playwright", "jupyterlab", "nbgrader"):
    pytest.importorskip(package, reason=f"{package} is not installed; the extras site and grade hold it")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium or Chrome")

LAB = "00_start_here.ipynb"
# The same mistake, written in three ways, then the answer.
FLIPPED = ("0.5 * x.square().sum(1)", "0.5 * (x * x).sum(1)", "0.5 * (x**2).sum(1)")
RIGHT = "-0.5 * (x.shape[1] * math.log(2 * math.pi) + x.square().sum(1))"
SLOW = """import time
from labkit.fit import every
result = train([every(1, lambda flow, epoch: time.sleep(0.5))])
print(len(result.history), "epochs in all")"""
EXPLORER = """from torch import nn
from labkit.plots import browser
decoder = nn.Sequential(nn.Linear(2, 12), nn.Unflatten(1, (3, 2, 2)))
browser.widget(browser.Model("a small model", decoder, 2, {1: "colour"}))"""
MINUTES = 60_000  # of milliseconds


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """A page and the notebook's file: JupyterLab as `make lab` opens it, on a new project that holds only lab 00."""
    from playwright.sync_api import sync_playwright

    project = tmp_path_factory.mktemp("project")
    (project / "notebooks").mkdir()
    shutil.copy(project_root() / "notebooks" / LAB, project / "notebooks")
    tracker = project / "settings" / "@jupyterlab" / "notebook-extension" / "tracker.jupyterlab-settings"
    tracker.parent.mkdir(parents=True)
    tracker.write_text(json.dumps({"windowingMode": "none"}))  # every cell is on the page, also those out of sight
    folders = {f"JUPYTER_{name}_DIR": str(project / name) for name in ("CONFIG", "RUNTIME", "DATA")}
    folders["JUPYTERLAB_SETTINGS_DIR"] = str(project / "settings")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--no-browser", "--allow-root", f"--ServerApp.port={port}", "--IdentityProvider.token=student"]
    server = subprocess.Popen(
        [sys.executable, "-m", "labkit", "lab", *options],
        cwd=project, env=os.environ | folders | {"LABKIT_PROFILE": "smoke"}, start_new_session=True,
        stderr=(project / "log").open("w"),
    )  # fmt: skip
    try:
        for _ in range(120):
            assert server.poll() is None, (project / "log").read_text()
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(1)
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM)
            page = browser.new_page()
            page.set_default_timeout(2 * MINUTES)
            page.goto(f"http://127.0.0.1:{port}/?token=student", wait_until="commit")
            yield page, project / "work" / LAB
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


class Notebook:
    """What a student does with the cells of the open notebook, found by what is written in them."""

    def __init__(self, page, path):
        self.page, self.path = page, path
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")
        settings = self.cell("PROFILE = None")
        while settings.locator(".jp-InputPrompt").inner_text() == "[ ]:":  # it says idle before it takes cells
            settings.locator(".cm-content").click()
            page.keyboard.press("Control+Enter")
            page.wait_for_timeout(2000)

    def cell(self, words):
        return self.page.locator(".jp-CodeCell", has=self.page.locator(".cm-content", has_text=words)).first

    def write(self, cell, text):
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+A")
        self.page.keyboard.insert_text(text)

    def start(self, cell):
        """Run a cell without waiting for its end."""
        cell.locator(".cm-content").click()
        self.page.keyboard.press("Control+Enter")
        cell.locator(".jp-InputPrompt", has_text="[*]").wait_for()

    def run(self, cell):
        """Run a cell; returns what it says, once the kernel is idle."""
        cell.locator(".cm-content").click()
        before = cell.locator(".jp-InputPrompt").inner_text()
        self.page.keyboard.press("Control+Enter")
        self.page.wait_for_function(
            "([cell, before]) => { const now = cell.querySelector('.jp-InputPrompt').innerText;"
            " return now !== before && /\\d/.test(now); }",
            arg=[cell.element_handle(), before],
        )
        return cell.locator(".jp-Cell-outputWrapper").inner_text()

    def errors(self):
        """Errors that the notebook holds, as it is saved."""
        before = self.path.stat().st_mtime_ns
        self.page.keyboard.press("Control+S")
        for _ in range(MINUTES // 100):
            if self.path.stat().st_mtime_ns != before:
                break
            self.page.wait_for_timeout(100)
        cells = json.loads(self.path.read_text(encoding="utf-8"))["cells"]
        outputs = [output for cell in cells for output in cell.get("outputs", [])]
        return [each["evalue"] for each in outputs if each["output_type"] == "error"]


def test_a_student_works_through_lab_00(opened):
    page, lab = opened[0], Notebook(*opened)
    answer, check = lab.cell("def log_density(x):"), lab.cell("run.check(lab00.first_check, log_density)")
    assert "BEGIN SOLUTION" not in answer.inner_text() and "hold_again" not in check.inner_text()
    for words in ("start_lab(", "run.sizes("):
        lab.run(lab.cell(words))

    said = []
    for wrong in (*FLIPPED, RIGHT):
        lab.write(answer, f"def log_density(x):\n    return {wrong}")
        lab.run(answer)
        said.append(lab.run(check))
    where, why, how, passed = said
    for rung, text in enumerate(said[:3], 1):
        assert [n for n, words in NEXT.items() if words in text] == [rung]
    assert "where:" in where and "why:" not in where and "write:" not in where
    assert "why: the sign is flipped." in why and "write:" not in why
    assert "write: the density falls away" in how and "The text on it:" in how
    assert not any(words in passed for words in NEXT.values())

    for words in ("def moons(", "def press_stop("):
        lab.run(lab.cell(words))
    resume = lab.cell("result = train()")
    lab.write(resume, SLOW)
    resume = lab.cell("epochs in all")
    lab.start(resume)
    page.wait_for_timeout(1500)
    page.locator("[data-jp-item-name='interrupt']").click()
    resume.get_by_text("to go on from there").wait_for()
    assert "20 epochs in all" in lab.run(resume)

    lab.write(resume, "result = train()\nresult.history.tail(3)")
    page.locator("[data-jp-item-name='restart-and-run']").click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    last = lab.cell("run.finish()")
    last.get_by_text("checks.json").wait_for()
    assert not lab.errors()


def test_the_explorer_moves_in_a_notebook_and_leaves_its_address_alone(opened):
    page, lab = opened[0], Notebook(*opened)
    settings = lab.cell("PROFILE = None")
    lab.write(settings, EXPLORER)
    for _ in range(2):  # run again, the cell has one explorer, and that one works
        lab.run(lab.cell("a small model"))
    address, face = page.url, page.get_by_role("img", name="A face drawn by a small model")
    before = face.evaluate("canvas => canvas.toDataURL()")
    page.get_by_role("slider", name="colour").fill("2.5")
    page.wait_for_function("([canvas, before]) => canvas.toDataURL() !== before", arg=[face.element_handle(), before])
    assert page.url == address and not lab.errors()
