import html.parser
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import pytest
from consoles import Recorder
from filelock import FileLock

from labkit.course.run import freshness, processes, run
from labkit.course.run.execute import Outcome
from labkit.course.run.labs import choose_labs, list_labs, read_lab
from labkit.course.run.results import Console, Result, results_table
from labkit.course.run.run import RunConfig, run_labs, validate
from labkit.errors import LabkitError
from labkit.record import LOG, STATE, read_record

GOOD = """
from types import SimpleNamespace
import matplotlib.pyplot as plt
import numpy as np
from labkit.faces.faceset import FaceSet, Provenance
from labkit.run import start_lab
run = start_lab("00", profile=PROFILE, seed=SEED, data=DATA, out=OUT)
origin = Provenance("Drawn", False, "drawn", stand_in_for="Olivetti faces")
run.use(FaceSet(np.zeros((2, 1, 4, 4), np.uint8), origin))
figure, axes = plt.subplots()
run.figure("line", figure, alt="Nothing <at all> & an empty plot.")
def coupling():
    return [SimpleNamespace(name="round trip", passed=True, hint="")]
run.check(coupling)
run.metric("draw", np.random.rand())
run.finish()
"""
PATIENT = "import time\ntry:\n    time.sleep(300)\nexcept KeyboardInterrupt:\n    print('before')"
LABS = {
    "00_good": [GOOD],
    "01_fails": [
        "# Training\n\n## The loop",
        "print('hello')",
        "raise ValueError('boom\\nmore')",
        "print('after')",
    ],
    "02_killed": ["print('before')", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"],
    "03_slow": [
        "# Patience",
        "print('before')",
        "import time\ntry:\n    time.sleep(300)\nexcept KeyboardInterrupt:\n    raise RuntimeError('I stop')",
    ],
    "04_stubborn": [
        "import time\nwhile True:\n    try:\n        time.sleep(1)\n    except KeyboardInterrupt:\n        pass"
    ],
    "05_orphan": ["import os, signal; os.kill(os.getppid(), signal.SIGKILL)"],
    "06_patient": [PATIENT, "print('after')"],
    "07_patient_at_the_end": [PATIENT],
    "08_more": [
        "assert PHOTO == 'me.png' and EPOCHS == 3",
        "import os\nassert os.path.isfile('08_more.ipynb') and float(os.environ['LABKIT_BUDGET_SECONDS']) == 120",
    ],
}
SHORT = ("03_slow", "04_stubborn", "06_patient", "07_patient_at_the_end")

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the planted accidents are POSIX signals")


@pytest.fixture(scope="module")
def session(tmp_path_factory, make_lab):
    """One run of every planted lab, two at a time, under kernelspecs that would not start."""
    root = tmp_path_factory.mktemp("project")
    (root / "pyproject.toml").touch()
    for place in ("user", "path"):
        spec = root / place / "kernels" / "python3" / "kernel.json"
        spec.parent.mkdir(parents=True)
        spec.write_text('{"argv": ["false"], "display_name": "another", "language": "python"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.setenv("JUPYTER_DATA_DIR", str(root / "user"))
        patch.setenv("JUPYTER_PATH", str(root / "path"))
        patch.delenv("LABKIT_DATA", raising=False)
        patch.delenv("LABKIT_CACHE", raising=False)
        # What is to meet its end must have begun before, and have time to end, however busy the machine is.
        empty = read_lab(make_lab(root / "empty", "00_empty", []))
        began = time.monotonic()
        run_labs([empty], validate(RunConfig("smoke", root / "empty"), [empty]), Recorder())
        took = time.monotonic() - began
        short = max(4.0, 1.5 * took)
        patch.setattr(run, "GRACE_SECONDS", max(15.0, 3 * took))
        for stem, sources in LABS.items():
            extra = "PHOTO = ''\nEPOCHS = 1" if stem == "08_more" else ""
            make_lab(root / "notebooks", stem, sources, budget=short if stem in SHORT else 120, extra=extra)
        console = Recorder()
        labs = list_labs()
        config = RunConfig("smoke", root / "runs", jobs=2)
        (config.folder(labs[0]) / LOG).parent.mkdir(parents=True)
        (config.folder(labs[0]) / LOG).write_text("an old complaint")
        results = run_labs(labs[:-1], validate(config, labs[:-1]), console)
        extra = RunConfig("smoke", root / "runs", extra={"PHOTO": "me.png", "EPOCHS": 3})
        results += run_labs(labs[-1:], validate(extra, labs[-1:]), console)
        yield root, {result.lab: result for result in results}, console


def folder(session, stem):
    return session[0] / "runs" / "smoke" / stem


def printed(session, stem):
    """Text that the cells of an executed notebook printed."""
    cells = json.loads((folder(session, stem) / "notebook.ipynb").read_text())["cells"]
    return "".join("".join(o.get("text", "")) for cell in cells for o in cell.get("outputs", []))


def test_a_lab_leaves_its_whole_record(session):
    results = session[1]
    assert results["00_good"].state == "ok"
    assert results["00_good"].checks == (1, 1)
    names = {path.name for path in folder(session, "00_good").iterdir()}
    assert {
        "notebook.ipynb",
        "notebook.html",
        "config.json",
        "metrics.json",
        "checks.json",
        "claims.json",
    } <= names
    assert (folder(session, "00_good") / "figures" / "line.png").is_file()
    assert "results go to" in printed(session, "00_good")
    assert "old" not in (folder(session, "00_good") / LOG).read_text()


def test_parameters_and_the_budget_reach_the_notebook_and_it_stands_in_its_folder(session):
    assert session[1]["08_more"].state == "ok"


@pytest.mark.parametrize(
    ("stem", "state", "words"),
    [
        ("01_fails", "failed", ["In [4]", "The loop", "ValueError: boom"]),
        ("02_killed", "killed", ["kernel died", "In [4]"]),
        ("03_slow", "timed out", ["In [4]", "Patience", "s were spent"]),
        ("04_stubborn", "timed out", ["took no interrupt"]),
        ("05_orphan", "killed", ["status -9"]),
        ("06_patient", "timed out", ["In [4]", "s were spent"]),
        ("07_patient_at_the_end", "timed out", ["In [3]", "s were spent"]),
    ],
)
def test_each_accident_gives_one_clear_line(session, stem, state, words):
    result = session[1][stem]
    lines = [line for line in session[2].lines if line.startswith(f"✗ {stem}")]
    assert result.state == state
    assert len(lines) == 1 and "\n" not in lines[0]
    for word in [*words, state]:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("stem", "text"),
    [
        ("01_fails", "hello"),
        ("02_killed", "before"),
        ("03_slow", "before"),
        ("06_patient", "before"),
        ("07_patient_at_the_end", "before"),
    ],
)
def test_the_partial_notebook_is_kept(session, stem, text):
    assert text in printed(session, stem)
    assert "after" not in printed(session, stem)


def test_what_ended_well_says_how_many_are_to_come(session):
    ends = [line for line in session[2].lines if line[0] in "✓✗"][: len(LABS) - 1]
    for left, line in enumerate(reversed(ends)):
        if line.startswith("✓"):
            assert line.endswith(f"; {left} to come" if left else " s")
    assert any("to come" in line for line in ends)


def test_nothing_is_left_running(session):
    def survivors():
        every = (p.info for p in psutil.process_iter(["cwd"]))
        return [info for info in every if (info["cwd"] or "").startswith(str(session[0] / "notebooks"))]

    # A kernel whose runner was killed notices within seconds that it is an orphan.
    until = time.monotonic() + 120
    while survivors() and time.monotonic() < until:
        time.sleep(0.5)
    assert not survivors()


def test_the_table_has_a_row_for_every_lab(session):
    table = results_table(list(session[1].values())).splitlines()
    assert len(table) == 2 + len(LABS)
    assert "1/1" in table[2] and table[2].endswith("ok")


def test_what_is_done_is_not_done_again(session):
    root, _, _ = session
    notebook = folder(session, "00_good") / "notebook.ipynb"
    before = notebook.stat().st_mtime_ns
    labs = choose_labs(["00"], list_labs(root / "notebooks"))
    console = Recorder()
    (again,) = run_labs(labs, validate(RunConfig("smoke", root / "runs", jobs=2), labs), console)
    assert again.state == "unchanged" and again.fine and again.checks == (1, 1)
    assert notebook.stat().st_mtime_ns == before
    assert console.lines == ["✓ 00_good: up to date"]


def test_every_cause_of_other_results_is_noticed(session, monkeypatch, tmp_path):
    root, _, _ = session
    (lab,) = choose_labs(["00"], list_labs(root / "notebooks"))
    parameters = RunConfig("smoke", root / "runs").parameters(lab)
    done = folder(session, "00_good")
    here = [root / "data"]
    fingerprint = freshness.fingerprint
    assert not freshness.why_stale(done, fingerprint(lab, parameters, here))
    assert freshness.why_stale(done, fingerprint(lab, {**parameters, "SEED": 1}, here)) == "its parameters changed"
    (tmp_path / "olivetti").mkdir()
    (tmp_path / "olivetti" / "faces.mat").write_bytes(b"x")
    assert freshness.why_stale(done, fingerprint(lab, parameters, [tmp_path, *here]))
    with monkeypatch.context() as patch:
        patch.setattr(freshness, "versions", lambda: {"torch": "another"})
        assert freshness.why_stale(done, fingerprint(lab, parameters, here))
    with monkeypatch.context() as patch:
        patch.setattr(freshness, "_package_hash", lambda: "another")
        assert freshness.why_stale(done, fingerprint(lab, parameters, here))
    source = lab.path.read_text()
    lab.path.write_text(source.replace("draw", "drawn"))
    assert freshness.why_stale(done, fingerprint(lab, parameters, here))
    lab.path.write_text(source)
    assert not freshness.why_stale(done, fingerprint(lab, parameters, here))
    assert freshness.why_stale(
        folder(session, "01_fails"), read_record(folder(session, "01_fails"), STATE, {})["fingerprint"]
    )


def test_a_lab_that_another_run_has_begun_anew_is_left_to_it(session, tmp_path):
    root, _, _ = session
    (lab,) = choose_labs(["00"], list_labs(root / "notebooks"))
    runner = run._Runner([lab], RunConfig("smoke", tmp_path), Console())
    runner.results[lab.stem] = Result(lab.stem, "ok")
    runner.settle_data()
    assert not list(tmp_path.rglob(STATE))


def begun(tmp_path, program):
    """A job whose process runs `program` in place of a lab."""
    process = processes.start(["-c", program], log=tmp_path / LOG, threads=1)
    lab = SimpleNamespace(stem="00_lab", title="A lab")
    return run.Job(lab, tmp_path, process, 60.0, {}, FileLock(tmp_path / ".lock"))


def test_what_a_child_prints_beside_its_messages_does_not_silence_it(tmp_path):
    noise = [
        "{",
        "{}",
        "{'a': 1}",
        '{"outcome": {"states": 1}}',
        '{"outcome": 3}',
        '{"cell": 1}',
        "[1]",
        "7",
        "[" * 99999,
    ]
    raw = "import sys; sys.stdout.buffer.write(bytes([255, 10])); sys.stdout.flush()"
    said = '{"outcome": {"state": "ok"}}'
    job = begun(tmp_path, f"{raw}\nfor line in {[*noise, said]!r}: print(line)")
    job.process.wait()
    assert job.result() == Outcome("ok")


def test_a_child_that_leaves_neither_a_word_nor_a_log_is_a_sentence(tmp_path):
    job = begun(tmp_path, "raise SystemExit(3)")
    job.process.wait()
    (tmp_path / LOG).unlink()
    assert job.result().message.startswith("its process ended with status 3: its log cannot be read")


def test_an_interrupt_keeps_what_a_lab_has_just_reported(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "INTERRUPT_SECONDS", 1.0)
    sleep = "; import time; time.sleep(60)"
    for said, state in (('{"outcome": {"state": "ok"}}', "ok"), ("nothing", "interrupted")):
        job = begun(tmp_path, f"print({said!r}){sleep}")
        runner = run._Runner([], RunConfig("smoke", tmp_path), Recorder())
        runner.running = [job]
        runner.interrupt()
        assert read_record(tmp_path, STATE, {})["state"] == state and job.process.poll() is not None


class Links(html.parser.HTMLParser):
    """Collects what a page refers to, its images' alt texts and its words."""

    def __init__(self, page):
        super().__init__()
        self.targets, self.alts, self.words = [], [], []
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        about = dict(attributes)
        self.targets += [about[name] for name in ("href", "src") if about.get(name)]
        if tag == "img":
            self.alts.append(about.get("alt"))

    def handle_data(self, data):
        self.words.append(data)


def test_the_report_page_links_to_what_exists_by_relative_paths(session):
    page = session[0] / "runs" / "smoke" / "index.html"
    links = Links(page)
    for target in links.targets:
        parts = urlsplit(target)
        assert not parts.scheme and not parts.netloc and not target.startswith("/")
        assert not parts.path or (page.parent / parts.path).is_file(), target
    text = " ".join(links.words)
    assert links.alts == ["Nothing <at all> & an empty plot."]
    assert "synthetic stand-in for Olivetti faces" in text
    assert "Nothing <at all> & an empty plot." in text
    for stem, result in session[1].items():
        assert f'id="{stem}"' in page.read_text(encoding="utf-8")
        assert result.message in text
    assert str(session[0]) not in page.read_text(encoding="utf-8").replace(session[1]["05_orphan"].message, "")


def test_the_executed_notebook_is_a_page_that_needs_no_network(session):
    page = folder(session, "00_good") / "notebook.html"
    text = page.read_text(encoding="utf-8")
    blocking = [
        tag for tag in text.split("<script")[1:] if "src=" in tag.split(">")[0] and "async" not in tag.split(">")[0]
    ]
    assert not blocking
    assert Links(page).alts == ["Nothing <at all> & an empty plot."]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"profile": "smok"}, "did you mean smoke?"),
        ({"extra": {"PHOT": 1}}, "08_more has no such parameter; did you mean PHOTO?"),
        ({"extra": {"SEED": 1}}, "use --seed"),
        ({"data": Path("nowhere")}, "--data nowhere: does not exist"),
        ({}, "LABKIT_DATA=nowhere: does not exist"),
        ({"jobs": 0}, "must be positive"),
        ({"out": Path("pyproject.toml/runs")}, "choose another folder"),
    ],
)
def test_bad_input_is_refused_before_anything_runs(session, changes, words, monkeypatch):
    monkeypatch.chdir(session[0])
    if not changes:
        monkeypatch.setenv("LABKIT_DATA", "nowhere")
    labs = choose_labs(["08"], list_labs())
    config = RunConfig(**{"profile": "smoke", "out": session[0] / "elsewhere", **changes})
    with pytest.raises(LabkitError, match=r"^[^\n]+$") as refusal:
        validate(config, labs)
    assert words in str(refusal.value)
    assert not (session[0] / "elsewhere" / "smoke" / "08_more").exists()


def test_a_full_disk_is_refused_before_anything_runs(session, monkeypatch, tmp_path):
    usage = run.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(run.shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    with pytest.raises(LabkitError, match="only 1 MB are free"):
        validate(RunConfig("smoke", tmp_path), [])


def test_jobs_share_the_cores(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert [run._share_of_cores(jobs) for jobs in (1, 2, 3, 16)] == [None, 4, 2, 1]
    monkeypatch.setenv("OMP_NUM_THREADS", "8,2")
    assert run._share_of_cores(2) == max(1, os.cpu_count() // 2)


def test_a_lab_that_another_run_is_writing_is_left_to_it(session):
    root, _, _ = session
    labs = choose_labs(["00"], list_labs(root / "notebooks"))
    config, kept = validate(RunConfig("smoke", root / "runs", force=True), labs), folder(session, "00_good")
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    with FileLock(kept.with_name(".00_good.lock")):
        (left,) = run_labs(labs, config, Recorder())
    assert left.state == "failed" and "another run is writing" in left.message
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("name", ["", "state.json/", "../.00_bad.lock/"])
def test_a_lab_whose_folder_cannot_be_written_stops_no_other(tmp_path, make_lab, monkeypatch, name):
    """In a path with braces, which papermill would fill in."""
    root = tmp_path / "{lab}"
    for stem in ("00_bad", "01_fine"):
        make_lab(root / "notebooks", stem, ["print('hello')"])
    wrong = root / "runs" / "smoke" / "00_bad" / name
    if name.endswith("/"):
        wrong.mkdir(parents=True)
    else:
        wrong.parent.mkdir(parents=True, exist_ok=True)
        wrong.write_text("")
    monkeypatch.chdir(root)
    labs = list_labs(root / "notebooks")
    bad, fine = run_labs(labs, validate(RunConfig("smoke", root / "runs"), labs), Recorder())
    assert (bad.state, fine.state) == ("failed", "ok") and str(root / "runs") in bad.message
