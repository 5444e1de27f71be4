import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from labkit.course import cli
from labkit.course.run import processes
from labkit.errors import LabkitError


@pytest.fixture(scope="module")
def project(tmp_path_factory, make_lab):
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    make_lab(root / "notebooks", "00_quick", ["print('hello')"])
    make_lab(root / "notebooks", "01_long", ["print('before')", "import time; time.sleep(600)"], budget=600)
    return root


def labkit(project, *arguments):
    command = [sys.executable, "-m", "labkit", *arguments]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, encoding="utf-8", timeout=300)


def test_a_run_that_ends_well_has_status_0_a_table_and_a_page(project):
    first = labkit(project, "run", "00", "--profile", "smoke")
    assert first.returncode == 0, first.stderr
    assert "00_quick" in first.stdout and "checks" in first.stdout
    assert (project / "runs" / "smoke" / "index.html").is_file()
    again = labkit(project, "run", "00", "--profile", "smoke")
    assert again.returncode == 0
    assert "unchanged" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "07"], "there is no lab '07'"),
        (["run", "--profile", "smok"], "did you mean smoke?"),
        (["run", "00", "-p", "EPOCHS=3"], "00_quick has no such parameter"),
        (["run", "00", "-p", "EPOCHS"], "is not NAME=VALUE"),
        (["run", "--data", "nowhere"], "does not exist"),
        (["run", "--out", "pyproject.toml"], "choose another folder"),
        (["run", "--jobs", "many"], "--jobs"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(project, arguments, words):
    refused = labkit(project, *arguments)
    assert refused.returncode == 2
    assert words in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_there_is_and_leaves_nothing_running(project, sign):
    out = project / f"out-{sign.name}"
    command = [sys.executable, "-m", "labkit", "run", "01", "00", "--profile", "smoke", "--out", str(out)]
    process = subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    partial = out / "smoke" / "01_long" / "notebook.ipynb"
    until = time.monotonic() + 120
    while not (partial.exists() and "before\\n" in partial.read_text()):
        if time.monotonic() > until or process.poll() is not None:
            processes.kill_tree(process)
            pytest.fail(f"it never came to the cell to interrupt: {process.communicate()}")
        time.sleep(0.2)
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) >= 2
    os.kill(process.pid, sign)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in stdout
    assert "before\\n" in partial.read_text()
    psutil.wait_procs(family, timeout=10)
    assert not [each for each in family if each.is_running() and each.status() != psutil.STATUS_ZOMBIE]


def test_labs_are_listed_plainly_and_as_markdown(project):
    assert "01_long" in labkit(project, "labs").stdout
    table = labkit(project, "labs", "--markdown").stdout.splitlines()
    assert table[0].startswith("| lab") and len(table) == 4
    assert table[2] == "| [00](notebooks/00_quick.ipynb) | About quick | 0.1, 2, 3 | 1 | A |"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("EPOCHS=3", 3),
        ("RATE=1e-4", 1e-4),
        ("PHOTO=me.png", "me.png"),
        ("X=None", None),
        ("A=b=c", "b=c"),
        ("S=", ""),
    ],
)
def test_a_parameter_is_read_as_python_or_else_as_text(text, value):
    assert cli._parameter(text)[1] == value
    with pytest.raises(LabkitError):
        cli._parameter("=3")


def test_help_and_refusals_do_not_wait_for_torch():
    program = "import sys, labkit.course.cli, labkit.course.run.run; print({'torch', 'papermill'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"
