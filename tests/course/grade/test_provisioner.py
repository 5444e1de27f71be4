"""The kernelspec `labkit-sandbox`, in the hands of jupyter_client, nbclient, papermill and nbval."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from kernels import SMALL
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook, new_output

from labkit.course.grade.sandbox import provisioner as module
from labkit.course.grade.sandbox.cgroup import make_group
from labkit.course.grade.sandbox.processes import LastWords
from labkit.course.grade.sandbox.provisioner import KERNEL, sandbox_kernel
from labkit.errors import LabkitError

pytest_plugins = ["kernels"]

# What only a kernel in the sandbox prints.
WHERE = "import os; print(os.getcwd(), os.getuid(), os.path.exists('/etc/passwd'))"
INSIDE = "/submission 1000 False\n"


@pytest.fixture
def kernelspec(sandbox, entry_points, tmp_path, monkeypatch):
    """The sandbox's kernelspec, in a folder that JUPYTER_PATH names."""
    name = sandbox_kernel(tmp_path / "jupyter", SMALL)
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return name


@pytest.fixture
def notebook():
    return new_notebook(cells=[new_code_cell(WHERE)])


def test_the_kernelspec_asks_for_messages_and_holds_its_settings(tmp_path):
    name = sandbox_kernel(tmp_path, SMALL, tmp_path, [tmp_path], environment={"A": "b"})
    spec = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")]).find_kernel_specs()
    assert spec[name] == str(tmp_path / "kernels" / name)
    found = json.loads((tmp_path / "kernels" / name / "kernel.json").read_text())
    settings = found["metadata"]["kernel_provisioner"]
    assert found["interrupt_mode"] == "message" and found["env"] == {"A": "b"}
    assert settings["provisioner_name"] == KERNEL
    assert settings["config"]["limits"] == SMALL.as_dict()
    assert settings["config"]["writable"] == str(tmp_path)


def test_nbclient_runs_in_it(kernelspec, notebook):
    NotebookClient(notebook, kernel_name=kernelspec, timeout=240).execute()
    assert notebook.cells[0].outputs[0]["text"] == INSIDE


def test_papermill_runs_in_it(kernelspec, notebook, tmp_path):
    papermill = pytest.importorskip("papermill")
    nbformat.write(notebook, tmp_path / "in.ipynb")
    papermill.execute_notebook(
        str(tmp_path / "in.ipynb"),
        str(tmp_path / "out.ipynb"),
        kernel_name=kernelspec,
        progress_bar=False,
        language="python",
    )
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs[0]["text"] == INSIDE


def test_nbval_runs_in_it(kernelspec, notebook, entry_points, tmp_path):
    notebook.cells[0].execution_count = 1
    notebook.cells[0].outputs = [new_output("stream", name="stdout", text=INSIDE)]
    nbformat.write(notebook, tmp_path / "lab.ipynb")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval"]
    command += ["--nbval-kernel-name", kernelspec, str(tmp_path / "lab.ipynb")]
    path = os.pathsep.join([str(entry_points), str(Path(module.__file__).parents[4])])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout


def test_the_submission_goes_in_and_stays_as_it_is(start_sandboxed, tmp_path):
    writable, secret = tmp_path / "work", tmp_path / "secret"
    writable.mkdir()
    secret.write_text("of someone else")
    (writable / "lab.ipynb").write_text("handed in")
    (writable / "leak").symlink_to(secret)
    session = start_sandboxed(writable)
    code = "import os; print(sorted(os.listdir()), open('lab.ipynb').read()); open('new', 'w').write('1.5')"
    assert session.run(code) == "['lab.ipynb'] handed in\n"
    private = session.manager.provisioner._folder
    session.manager.shutdown_kernel()
    assert sorted(path.name for path in writable.rglob("*")) == ["lab.ipynb", "leak"]
    assert secret.read_text() == "of someone else"
    assert not private.exists()


def test_a_restarted_kernel_is_a_new_sandbox_behind_the_same_sockets(start_sandboxed):
    session = start_sandboxed()
    first = session.manager.provisioner._inside
    assert session.run("open('/tmp/left', 'w').close(); x = 1; print(x)") == "1\n"
    session.manager.restart_kernel(now=True)
    session.client.wait_for_ready(timeout=240)
    assert session.run("import os; print('x' in globals(), os.path.exists('/tmp/left'))") == "False False\n"
    assert session.manager.provisioner._inside != first


def test_a_kernel_is_in_its_control_group_until_it_ends(start_sandboxed):
    trial = make_group(SMALL)
    if trial is None:
        pytest.skip("this user can make no control group")
    trial.remove()
    session = start_sandboxed()
    provisioner = session.manager.provisioner
    folders = provisioner._group.folders
    for folder in folders:
        assert str(provisioner._inside) in (folder / "cgroup.procs").read_text().split()
    session.close()
    assert not any(folder.exists() for folder in folders)


def test_it_is_reached_by_sockets_alone_and_inherits_nothing(start_sandboxed, monkeypatch):
    monkeypatch.setenv("LABKIT_SECRET", "of-the-parent")
    session = start_sandboxed(environment={"GIVEN": "yes"})
    assert session.manager.transport == "ipc"
    assert session.run("import os; print(os.environ['GIVEN'], 'LABKIT_SECRET' in os.environ)") == "yes False\n"
    assert "of-the-parent" not in Path(f"/proc/{session.manager.provisioner.pid}/environ").read_text()


def test_no_file_of_the_caller_is_open_in_the_kernel(start_sandboxed):
    """Not even its standard output, which could be a log."""
    code = """
import os
links = {os.readlink(f"/proc/{process}/fd/{number}") for process in (1, 2) for number in range(3)}
print(sorted({link.split(":")[0] for link in links}))
"""
    assert start_sandboxed().run(code) == "['/dev/null', 'pipe']\n"


def test_a_kernel_without_a_sandbox_is_not_started(kernelspec, notebook, monkeypatch):
    def none():
        raise LabkitError("There is no sandbox here.")

    monkeypatch.setattr(module, "require_sandbox", none)
    with pytest.raises(LabkitError, match="no sandbox"):
        NotebookClient(notebook, kernel_name=kernelspec, timeout=240).execute()


def test_a_sandbox_that_does_not_start_says_why(kernelspec, notebook, monkeypatch):
    failing = ["sh", "-c", "echo 'bwrap: out of luck' >&2; exit 1"]
    monkeypatch.setattr(module, "sandbox_command", lambda *args, **settings: failing)
    with pytest.raises(LabkitError, match=r"did not start.*out of luck"):
        NotebookClient(notebook, kernel_name=kernelspec, timeout=240).execute()


def test_last_words_are_the_end_of_what_was_said():
    process = subprocess.Popen(["sh", "-c", "seq 100000; echo end"], stdout=subprocess.PIPE)
    words = LastWords(process.stdout)
    process.wait()
    words.finish()
    assert words.text().endswith("100000\nend") and len(words.text()) <= LastWords.KEPT
    process.stdout.close()
