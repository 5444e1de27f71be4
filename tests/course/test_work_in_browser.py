"""A student's way through lab 00 in JupyterLab, in a real browser: hints, an interruption, everything once more."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys

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
FAILED = "[data-mime-type='application/vnd.jupyter.error']"
MINUTES = 60_000  # of milliseconds


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """JupyterLab as `make lab` opens it, on a new project that holds only lab 00."""
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
        with sync_playwright() as started:
            browser = started.chromium.launch(executable_path=CHROMIUM)
            page = browser.new_page()
            page.set_default_timeout(2 * MINUTES)
            for _ in range(120):
                try:
                    page.goto(f"http://127.0.0.1:{port}/?token=student")
                    break
                except Exception:
                    assert server.poll() is None, (project / "log").read_text()
                    page.wait_for_timeout(1000)
            yield page
            browser.close()
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)


class Notebook:
    """What a student does with the cells of the open notebook, found by what is written in them."""

    def __init__(self, page):
        self.page = page
        page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status='idle']")

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
        cell.locator(".jp-InputPrompt", has_text="[*]").or_(self.done(cell)).first.wait_for()

    def done(self, cell):
        return cell.locator(".jp-InputPrompt").get_by_text("]:").filter(has_not_text="*")

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


def test_a_student_works_through_lab_00(page):
    lab = Notebook(page)
    answer, check = lab.cell("def log_density(x):"), lab.cell("run.check(lab00.first_check, log_density)")
    assert "BEGIN SOLUTION" not in answer.inner_text() and "hold_again" not in check.inner_text()
    for words in ("PROFILE = None", "start_lab("):
        lab.run(lab.cell(words))

    said = []
    for wrong in (*FLIPPED, RIGHT):
        lab.write(answer, f"def log_density(x):\n    return {wrong}")
        lab.run(answer)
        said.append(lab.run(check))
    where, why, how, passed = said
    for rung, text in enumerate(said[:3], 1):
        assert [n for n, words in NEXT.items() if words in text] == [rung]
    assert "the sign is flipped" not in where and "|x|²/2" not in where
    assert "the sign is flipped" in why and "−|x|²/2" not in why.split("the sign is flipped")[1]
    assert "−|x|²/2" in how
    assert not any(words in passed for words in NEXT.values())
    assert not check.locator(FAILED).count()

    for words in ("def moons(", "def press_stop("):
        lab.run(lab.cell(words))
    resume = lab.cell("result = train()")
    lab.write(resume, SLOW)
    resume = lab.cell("epochs in all")
    lab.start(resume)
    page.wait_for_timeout(1500)
    page.locator("[data-command='notebook:interrupt-kernel'], [data-jp-item-name='interrupt'] button").first.click()
    resume.get_by_text("to go on from there").wait_for()
    assert "20 epochs in all" in lab.run(resume)

    lab.write(resume, "result = train()\nresult.history.tail(3)")
    page.locator("[data-jp-item-name='restart-and-run']").click()
    page.locator(".jp-Dialog .jp-mod-accept").click()
    last = lab.cell("run.finish()")
    last.get_by_text("record.json").wait_for()
    assert not page.locator(FAILED).count()
