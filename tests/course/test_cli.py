import os
import shutil
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


def runs(process):
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it may end between any two looks
        return False


def test_a_run_that_ends_well_has_status_0_a_table_and_a_page(project):
    first = labkit(project, "run", "00", "--profile", "smoke")
    assert first.returncode == 0, first.stderr
    assert "00_quick" in first.stdout and "checks" in first.stdout
    opening = first.stdout.splitlines()[0]
    assert opening.startswith("1 lab, about 1 min;") and opening.endswith(os.path.join("runs", "smoke", "index.html"))
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
        (["run", "--budget-factor", "nan"], "must be positive"),
        (["run", "--budget-factor", "1e308"], "at most 10,000"),
        (["run", "--seed", "18446744073709551616"], "--seed 18446744073709551616: must be from 0"),
        (["run", "--scheduler", "nonsense"], "is no address"),
        (["run", "--data", "~nosuchuser/faces"], "no such home folder"),
        (["run", "-p", "EPOCHS=1e999"], "finite number"),
        (["run", "--data", ""], "an argument is empty"),
        (["grade", "run", "00", "--student="], "--student= is empty"),
        (["oracle", "train", "--seed", "-1"], "--seed"),
        (["oracle", "train", "--seed", "9" * 30], "--seed"),
        (["oracle", "train", "--out", "notebooks"], "it is a folder"),
        (["reference", "build"], "holds no lab; run `make study` first"),
    ],
)
def test_bad_input_is_one_sentence_and_status_2(project, arguments, words, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["labkit", *arguments])
    with pytest.raises(SystemExit) as end:  # any other exception would be a traceback
        cli.main()
    assert end.value.code == 2
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "named"), [([], "LABKIT_PROFILE: "), (["--profile", "big"], "--profile: ")])
def test_where_a_profile_that_there_is_not_was_named_is_said(arguments, named, project, monkeypatch, capsys):
    monkeypatch.chdir(project)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv("LABKIT_PROFILE", "turbo")
    monkeypatch.setattr(sys, "argv", ["labkit", "run", *arguments])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"labkit: {named}there is no profile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "value", "arguments", "words"),
    [
        ("LABKIT_SCHEDULER", "nonsense", ["run", "00"], "LABKIT_SCHEDULER nonsense: is no address"),
        ("LABKIT_LANG", "xx", ["labs"], "LABKIT_LANG: there is no language 'xx'; choose among en, "),
        ("LABKIT_OUT", "pyproject.toml", ["run", "00"], "pyproject.toml: cannot hold results (Not a directory);"),
        ("LABKIT_OUT", "elsewhere", ["reference", "build"], os.path.join("elsewhere", "study: holds no lab")),
    ],
)
def test_what_is_wrong_in_the_environment_is_said_at_the_door(
    name, value, arguments, words, project, monkeypatch, capsys
):
    monkeypatch.chdir(project)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["labkit", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and words in said and not {"--out", "--scheduler"} & {*said.split()}


@pytest.mark.parametrize("written", [["--course=~/course"], ["--course", "~/course"]])
def test_a_home_folder_that_the_shell_left_as_it_is(written, monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["labkit", "release", "demo", *written])
    with pytest.raises(SystemExit):
        cli.main()
    assert f"{tmp_path / 'course'}: is no example course" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["LABKIT_DATA", "LABKIT_CACHE", "LABKIT_OUT"])
def test_a_relative_path_in_the_environment_means_the_same_place_in_a_notebook(name, project, monkeypatch):
    monkeypatch.chdir(project)
    monkeypatch.setenv(name, "near")
    monkeypatch.setattr(sys, "argv", ["labkit", "labs"])
    with pytest.raises(SystemExit):
        cli.main()
    assert os.environ[name] == str(project / "near")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("place", ["notebooks/02_pipe.ipynb", "runs/smoke/00_quick/metrics.json"])
def test_a_pipe_where_a_file_should_be_is_not_waited_for(project, tmp_path, place):
    """Reading one never ends."""
    shutil.copytree(project, tmp_path, dirs_exist_ok=True)
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).unlink(missing_ok=True)
    os.mkfifo(tmp_path / place)
    (tmp_path / "notebooks" / "01_long.ipynb").unlink()
    done = labkit(tmp_path, "run", "--profile", "smoke")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert place.startswith("runs") or "it is a pipe, a socket or a device, and no file" in done.stderr


def test_bad_input_ends_a_process_with_status_2_and_no_traceback(project):
    refused = labkit(project, "run", "07")
    assert refused.returncode == 2
    assert "there is no lab '07'" in refused.stderr and "Traceback" not in refused.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_keeps_what_there_is_and_leaves_nothing_running(project, sign):
    out = project / f"out-{sign.name}"
    command = [sys.executable, "-m", "labkit", "run", "01", "00", "--profile", "smoke", "--out", str(out)]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background it is ignored
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
    stdout, _ = process.communicate(timeout=240)
    assert process.returncode == 130
    assert "interrupted" in stdout
    assert "before\\n" in partial.read_text()
    _, left = psutil.wait_procs(family, timeout=60)
    assert not [each for each in left if runs(each)]


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_ctrl_c_is_a_sentence_and_no_workers_traceback(project):
    """As a terminal sends it, to the command and to all that it has started."""
    started = project / "started"
    work = "def work(path):\n    import pathlib, time\n    pathlib.Path(path).touch()\n    time.sleep(60)\n"
    (project / "slow.py").write_text(work)
    program = (
        "from slow import work\nfrom labkit.course import cli\n"
        "from labkit.course.grade.limited import run_limited\n\n\n"
        "@cli.app.command()\ndef slow():\n    run_limited(work, 'started')\n\n\n"
        "if __name__ == '__main__':\n    cli.main()\n"
    )
    (project / "program.py").write_text(program)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    command = [sys.executable, "program.py", "slow"]
    process = subprocess.Popen(command, cwd=project, stderr=subprocess.PIPE, text=True, start_new_session=True)
    until = time.monotonic() + 120
    while not started.exists() and time.monotonic() < until and process.poll() is None:
        time.sleep(0.1)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, "labkit: stopped; the same command begins again.\n")


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
        ("REFERENCE=false", False),
        ("REFERENCE=TRUE", True),
        ("X=null", None),
    ],
)
def test_a_parameter_is_read_as_python_or_else_as_text(text, value):
    assert cli._parameter(text)[1] == value
    with pytest.raises(LabkitError):
        cli._parameter("=3")


def test_a_parameter_that_names_a_file_here_names_it_in_a_notebook_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me.png").touch()
    assert cli._parameter("PHOTO=me.png") == ("PHOTO", str(tmp_path / "me.png"))


def test_a_lab_that_did_not_end_well_keeps_no_other_out_of_the_reference(project, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(project)
    for stem in ("00_quick", "01_long"):
        (tmp_path / stem).mkdir()

    def build(folder, models):
        if folder.name == "00_quick":
            raise LabkitError(f"{folder}: is no run that ended well.")
        return 2**20

    monkeypatch.setattr("labkit.fit.reference.build", build)
    monkeypatch.setattr(sys, "argv", ["labkit", "reference", "build", "--run", str(tmp_path)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    said = capsys.readouterr()
    assert end.value.code == 2 and "00_quick: is no run that ended well" in said.err and "01_long: 1.0 MB" in said.out


def test_help_and_refusals_do_not_wait_for_torch():
    program = "import sys, labkit.course.cli, labkit.course.run.run; print({'torch', 'papermill'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


VALUES = [
    "",
    "-1",
    "0",
    "nan",
    "inf",
    "1e999",
    "9" * 30,
    "x" * 300,
    "~nosuchuser",
    "/dev/null/x",
    "nonsense",
    "[",
    "{1, 2}",
]
VALUES += ["\udcff", "\u202e", "-", "--", "a=b", "PROFILE=1", "tcp://", "tcp://[", "%s{}"]
OPTIONS = {
    "run": [
        "",
        "--profile",
        "--data",
        "--out",
        "--jobs",
        "--seed",
        "-p",
        "--budget-factor",
        "--scheduler",
        "--no-such",
    ],
    "labs": ["", "--markdown", "--no-such"],
    "release": ["", "--out", "--no-such"],
    "doctor": ["", "--no-such"],
    "oracle": ["", "--no-such"],
    "data": ["", "--no-such"],
    "grade": ["", "--no-such"],
}
CALLS = [[command, *([option] if option else []), value] for command, all_of in OPTIONS.items() for option in all_of
         for value in VALUES]  # fmt: skip


def test_no_malformed_call_ends_in_a_traceback(project, monkeypatch, capsys, tmp_path):
    """Everything but the execution of labs is real."""
    monkeypatch.chdir(project)
    monkeypatch.setenv("LABKIT_OUT", str(tmp_path))
    monkeypatch.setattr("labkit.course.run.run.run_labs", lambda *_: [])
    monkeypatch.setattr("labkit.scheduler.CONNECT_SECONDS", 1)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    assert len(CALLS) > 200
    for call in CALLS:
        monkeypatch.setattr(sys, "argv", ["labkit", *call])
        with pytest.raises(SystemExit) as end:  # any other exception would be a traceback
            cli.main()
        said = capsys.readouterr()
        assert end.value.code in (None, 0, 1, 2), call
        assert "Traceback" not in said.err + said.out, call


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX")
@pytest.mark.parametrize(("redirect", "status"), [(">&-", 0), (">&- 2>&-", 0), (">/dev/full", 2)])
def test_a_closed_or_full_stream_is_no_traceback(project, redirect, status):
    if "full" in redirect and not os.path.exists("/dev/full"):
        pytest.skip("this system has no /dev/full")
    command = f"'{sys.executable}' -m labkit labs {redirect}"
    ended = subprocess.run(command, shell=True, cwd=project, stderr=subprocess.PIPE, text=True, timeout=300)
    assert ended.returncode == status and "Traceback" not in ended.stderr
    assert ended.stderr == "" if status == 0 else "No space left" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="a folder in use cannot be removed there")
def test_a_working_folder_that_is_gone_is_named(tmp_path):
    script = f"mkdir gone && cd gone && rmdir ../gone && '{sys.executable}' -m labkit labs"
    ended = subprocess.run(script, shell=True, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 2 and "the working folder is not there any more" in ended.stderr


def test_options_that_the_kit_does_not_know_reach_jupyterlab(project, monkeypatch):
    started = []

    class Server:
        def __init__(self, command, env):
            started.append(command)

        def wait(self):
            return 0

    monkeypatch.chdir(project)
    monkeypatch.setattr(subprocess, "Popen", Server)
    monkeypatch.setattr(sys, "argv", ["labkit", "lab", "--source", "--allow-root", "--port", "8899"])
    with pytest.raises(SystemExit):
        cli.main()
    assert started[0][2] == "jupyterlab" and started[0][-3:] == ["--allow-root", "--port", "8899"]
    assert f"--ServerApp.root_dir={project / 'notebooks'}" in started[0]


def test_make_takes_the_profile_from_the_environment(tmp_path):
    kit = tmp_path / "kit"
    kit.write_text('#!/bin/sh\nprintf "%s " "$@"\n')
    kit.chmod(0o755)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for given, typed, taken in (("smoke", [], "smoke"), ("smoke", ["PROFILE=gpu"], "gpu"), ("", [], "cpu")):
        command = ["make", "-s", "-C", root, "run", f"KIT={kit}", "READY=", *typed]
        environment = {**os.environ, "LABKIT_PROFILE": given}
        said = subprocess.check_output(command, env=environment, text=True, timeout=300)
        assert f"--profile {taken} " in said


def test_data_may_have_blanks_and_a_home_folder(project, tmp_path):
    """`make` hands on what was typed; the kit makes a path of it, the same one in every notebook's folder."""
    home, kit = tmp_path / "home", tmp_path / "kit"
    (home / "my faces").mkdir(parents=True)
    kit.write_text('#!/bin/sh\nprintf %s "$LABKIT_DATA"\n')
    kit.chmod(0o755)
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    make = ["make", "-s", "-C", root, "doctor", f"KIT={kit}", "READY="]
    for typed in ("~/my faces", "/data/my faces", "../$faces"):
        raw = subprocess.run([*make, f"DATA={typed}"], capture_output=True, text=True, timeout=300).stdout
        assert raw == typed
    program = "import os, sys; from labkit.course import cli; sys.argv = ['labkit', 'labs']\n"
    program += "try:\n    cli.main()\nexcept SystemExit:\n    print(os.environ['LABKIT_DATA'])"
    environment = {**os.environ, "HOME": str(home), "LABKIT_DATA": "~/my faces"}
    said = subprocess.check_output([sys.executable, "-c", program], cwd=project, env=environment, text=True)
    assert said.splitlines()[-1] == str(home / "my faces")
