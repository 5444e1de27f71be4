"""Every notebook through nbval, on photographs, with comparison of cells tagged check-output.

The photographs are real where they are; else blots in CelebA's layout, half of them with attributes drawn by lot, so
that nothing can be learnt from them: no lab may need that a model has learnt something.
"""

import os
import subprocess
import sys

import nbformat
import pytest
from celeba_files import jpegs, labels, write_official
from nbformat.v4 import new_output

from labkit.course.run.labs import list_labs, project_root

ROOT = project_root()
LABS = list_labs(ROOT / "notebooks")

REAL_DATA = os.environ.get("LABKIT_DATA")
BLOTS = 800

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def photographs(tmp_path_factory):
    """The folder of real data, or one with a CelebA of blots."""
    if REAL_DATA:
        return REAL_DATA
    folder = tmp_path_factory.mktemp("data")
    images = jpegs(BLOTS)
    write_official(folder / "celeba", images, attributes=labels(images)["attributes"][: BLOTS // 2])
    return folder


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: lab.stem)
def test_its_checked_outputs_are_what_it_prints(lab, photographs, tmp_path):
    done = nbval(lab.path, tmp_path, LABKIT_DATA=str(photographs))
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]


@pytest.mark.parametrize(("printed", "status"), [("1", 0), ("2", 1)])
def test_nbval_compares_the_cells_tagged_check_output(tmp_path, make_lab, printed, status):
    path = make_lab(tmp_path, "01_checked", ["print(1)", "print(object())"])
    notebook = nbformat.read(path, 4)
    for cell in notebook.cells[-2:]:
        cell.outputs, cell.execution_count = [new_output("stream", text=f"{printed}\n")], 1
    notebook.cells[-2].metadata["tags"] = ["check-output"]
    nbformat.write(notebook, path)
    done = nbval(path, tmp_path)
    assert done.returncode == status, done.stdout[-6000:]


def nbval(path, out, **variables):
    """Execute a notebook in the smoke profile and compare the outputs of its cells tagged check-output."""
    program = (
        # Without what makes jsonschema a second slower to import, see `labkit.course.run.execute`.
        "import sys, pytest; sys.modules['rfc3987_syntax'] = None;"
        "from nbval import plugin; plugin.metadata_tags['check-output'] = 'check';"
        "sys.exit(pytest.main(sys.argv[1:]))"
    )
    options = ["--nbval-lax", "--nbval-current-env", "--nbval-cell-timeout=1200", "--timeout=1500", "-q"]
    isolated = ["-p", "no:cacheprovider", "-p", "no:xdist", "--rootdir", str(path.parent), "-c", os.devnull]
    environment = dict(os.environ, LABKIT_PROFILE="smoke", LABKIT_OUT=str(out), **variables)
    environment.setdefault("LABKIT_OFFLINE", "1")
    # A cache of its own: what a test prepares must not decide what is drawn afterwards, nor the reverse.
    environment["LABKIT_CACHE"] = str(out / "cache")
    for name in list(environment):
        if name.startswith("PYTEST_"):
            del environment[name]
    return subprocess.run(
        [sys.executable, "-c", program, *options, *isolated, str(path)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
