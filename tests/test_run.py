import json
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from jupyter_client.manager import start_new_kernel
from matplotlib.image import imread

from labkit import plots
from labkit import run as report
from labkit.checking import Property
from labkit.claims import BADGES, card_html, claim, claims_html, claims_text, decide, measured_text
from labkit.errors import CheckFailed, LabkitError
from labkit.faces.faceset import FaceSet, Provenance
from labkit.record import plain
from labkit.run import start_lab
from labkit.statistics import above, fact, over

STAND_IN = Provenance("Drawn", False, "drawn, seed 0", stand_in_for="Olivetti faces")
REAL = Provenance("Olivetti faces", True, "a file")


@pytest.fixture
def run(tmp_path):
    return start_lab("01", profile="smoke", seed=3, out=tmp_path / "out")


@claim(
    "Z1",
    "01",
    "66 components hold 90 %",
    expected="66",
    rule="components == 66",
    protocol="SVD of {images} images, {seeds} seeds",
    photographs=True,
)
def count_of_66(components):
    return decide(fact(components == 66))


@claim("Z2", "01", "it rises", expected="above 0", rule="change above 0", protocol="{seeds} seeds")
def rises(change):
    return decide(above(change))


def faces(provenance):
    return FaceSet(np.zeros((2, 1, 4, 4), np.uint8), provenance)


def written(run, name):
    return json.loads((run.folder / name).read_text(encoding="utf-8"))


def drawn(name="plot", run=None):
    figure, axes = plt.subplots()
    axes.plot([0, 1])
    run.figure(name, figure, alt="a rising line")
    return figure


def test_the_seed_decides_every_generator(tmp_path):
    def draw(seed):
        start_lab("01", profile="smoke", seed=seed, out=tmp_path)
        import random

        return [random.random(), np.random.rand(), torch.rand(1).item()]

    first, again, other = draw(5), draw(5), draw(6)
    assert first == again
    assert all(a != b for a, b in zip(first, other))


@pytest.mark.parametrize(
    ("given", "variable", "cuda", "chosen"),
    [
        (None, None, False, "cpu"),
        (None, None, True, "gpu"),
        (None, "smoke", True, "smoke"),
        ("gpu", "smoke", False, "gpu"),
        (None, "", False, "cpu"),
    ],
)
def test_the_profile_is_given_or_set_or_follows_the_device(monkeypatch, given, variable, cuda, chosen):
    monkeypatch.delenv("LABKIT_PROFILE", raising=False)
    if variable is not None:
        monkeypatch.setenv("LABKIT_PROFILE", variable)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert report.choose_profile(given) == chosen


def test_an_unknown_profile_is_refused_by_its_source(monkeypatch, tmp_path):
    with pytest.raises(LabkitError, match="PROFILE: there is no profile 'smok'; did you mean smoke"):
        start_lab("01", profile="smok", out=tmp_path)
    monkeypatch.setenv("LABKIT_PROFILE", "large")
    with pytest.raises(LabkitError, match="LABKIT_PROFILE: there is no profile 'large'; choose among"):
        report.choose_profile()


@pytest.mark.parametrize(("name", "value"), [("LABKIT_SCHEDULER", "nonsense"), ("REFERENCE", "no")])
def test_what_would_be_met_late_or_never_is_refused_before_a_lab_begins(monkeypatch, tmp_path, name, value):
    monkeypatch.setenv(name, value)
    given = {"reference": value} if name == "REFERENCE" else {}
    with pytest.raises(LabkitError, match=f"^{name}.*{value}"):
        start_lab("01", profile="smoke", out=tmp_path / "out", **given)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("language", "known"), [("", True), ("en", True), ("es", True), ("xx", False)])
def test_a_language_that_there_is_not_is_named_and_stops_no_lab(monkeypatch, tmp_path, capsys, language, known):
    monkeypatch.setenv("LABKIT_LANG", language)
    start_lab("01", profile="smoke", out=tmp_path)
    assert ("Hints are in English: LABKIT_LANG" in capsys.readouterr().out) is not known


def test_sizes_are_those_of_the_profile_and_else_those_of_cpu(run):
    sizes = run.sizes(smoke={"epochs": 2}, cpu={"epochs": 20, "layers": 8}, gpu={"epochs": 200})
    assert (sizes.epochs, sizes.layers) == (2, 8)
    assert written(run, "config.json")["sizes"] == {"epochs": 2, "layers": 8}
    with pytest.raises(LabkitError, match="cpu has no 'layer', gpu has; did you mean layers"):
        run.sizes(smoke={}, cpu={"layers": 1}, gpu={"layer": 2})


def test_a_figure_of_a_stand_in_says_so_and_hides_nothing(run):
    run.use(faces(STAND_IN))
    figure, axes = plt.subplots(figsize=(4, 2), layout="constrained")
    axes.set_title("a title that takes all of the width of it")
    axes.plot([1, 2], label="a line with a name as wide as the figure")
    figure.legend(loc="outside lower left")
    run.figure("plot", figure, alt="a line")
    (mark,) = figure.texts
    assert "synthetic stand-in for Olivetti faces" in mark.get_text()
    assert mark.get_window_extent().y0 > axes.get_tightbbox().y1
    mark.remove()
    figure.savefig(run.folder / "bare.png", dpi=report.FIGURE_DPI, bbox_inches="tight", facecolor="white")
    marked, bare = imread(run.folder / "figures" / "plot.png"), imread(run.folder / "bare.png")
    assert marked.shape[0] > bare.shape[0]
    below = bare.shape[0] // 3  # where axis and legend are
    width = min(marked.shape[1], bare.shape[1])
    difference = abs(marked[-below:, :width] - bare[-below:, :width]).mean(axis=(0, 1))
    assert (difference < 0.02).all(), difference


def test_a_figure_of_real_faces_is_not_marked(run):
    run.use(faces(REAL))
    assert not drawn("real", run).texts


def test_a_figure_carries_its_alt_text_into_the_record_and_the_notebook(run, monkeypatch):
    shown = []
    monkeypatch.setattr(report, "display", lambda *a, **k: shown.append(a[0]))
    drawn("plot", run)
    assert written(run, "figures.json") == [{"name": "plot", "file": "figures/plot.png", "alt": "a rising line"}]
    data, metadata = shown[0]._repr_mimebundle_()
    assert "image/png" in data
    assert metadata["image/png"]["alt"] == "a rising line"
    assert not plt.get_fignums()


@pytest.mark.parametrize(
    ("name", "alt", "words"),
    [("a", "  ", "give it a title"), ("../a", "x", "file name"), ("", "x", "file name")],
)
def test_a_figure_without_title_and_alt_text_or_with_a_bad_name_is_refused(run, name, alt, words):
    with pytest.raises(LabkitError, match=words):
        run.figure(name, plt.figure(), alt=alt)
    plt.close("all")


def test_finish_drops_figures_of_earlier_runs(run):
    drawn("old", run)
    again = start_lab("01", profile="smoke", out=run.folder)
    drawn("new", again)
    again.finish()
    assert [path.name for path in (run.folder / "figures").iterdir()] == ["new.png"]


def test_equal_seeds_give_equal_metrics_files_whatever_the_time(tmp_path):
    def metrics(folder):
        run = start_lab("01", profile="smoke", seed=1, out=folder)
        run.use(faces(STAND_IN))
        run.metric("loss", {"mean": np.float32(torch.rand(1).item()), "worst": float("nan"), "n": np.arange(2)})
        run.timing("fit", np.random.default_rng().random())
        run.finish()
        return (folder / "metrics.json").read_bytes()

    first = metrics(tmp_path / "a")
    assert first == metrics(tmp_path / "b")
    assert json.loads(first)["data"] == ["synthetic stand-in for Olivetti faces"]


def test_plain_keeps_values_and_refuses_what_json_cannot_hold():
    value = {"a": torch.tensor([1.5, float("inf")]), 2: (np.bool_(True), None, "x"), "n": float("nan")}
    assert plain(value) == {"a": [1.5, "inf"], "2": [True, None, "x"], "n": "nan"}
    with pytest.raises(LabkitError, match="not Linear"):
        plain({"model": torch.nn.Linear(1, 1)})


def test_a_check_is_recorded_and_a_missed_property_stops_the_cell_with_its_hint(run, capsys):
    def coupling(right):
        return [
            Property("round trip", True, ""),
            Property("log-determinant", right, "is its sign right?"),
        ]

    with pytest.raises(CheckFailed, match="coupling: 1 of 2 properties missed") as missed:
        run.check(coupling, False)
    out = capsys.readouterr().out
    assert "✓ round trip" in out and "✗ log-determinant" in out and "is its sign right?" in out
    assert missed.value._render_traceback_() == [f"CheckFailed: {missed.value}"]
    assert [each["passed"] for each in written(run, "checks.json")["coupling"]] == [True, False]
    run.check(coupling, True)
    assert [each["passed"] for each in written(run, "checks.json")["coupling"]] == [True, True]


def test_the_alt_text_names_what_is_drawn(run):
    series = {"training": ([1, 10], [3.0, 2.0]), "unseen": ([1, 10], [3.0, 2.5])}
    drawn = {
        "curves": plots.curves(series, title="It falls", xlabel="epoch", ylabel="loss (nats)", log_x=True),
        "bars": plots.bars([1.0, 2.0], labels=["VAE", "GAN"], title="Two", xlabel="model", ylabel="bits"),
        "rows": plots.image_rows({"real": np.zeros((2, 8, 8)), "drawn": np.full((2, 8, 8), np.nan)}, title="Rows"),
    }
    for name, figure in drawn.items():
        run.figure(name, figure, alt="Look." if name == "bars" else "")
    assert {each["name"]: each["alt"] for each in written(run, "figures.json")} == {
        "curves": "It falls. training; unseen; epoch; loss (nats).",
        "bars": "Two. Look. model; bits; VAE; GAN.",
        "rows": "Rows. real; drawn; not finite.",
    }


def test_the_title_is_the_alt_text_and_alt_adds_to_it(run):
    for name, alt, expected in (("a", "", "It rises."), ("b", "A line.", "It rises. A line.")):
        figure, axes = plt.subplots()
        (figure.suptitle if name == "a" else axes.set_title)("It\nrises")
        run.figure(name, figure, alt=alt)
        assert written(run, "figures.json")[-1]["alt"] == expected


def test_what_shows_no_data_has_no_mark_of_a_stand_in(run):
    run.use(faces(STAND_IN))
    figure, _ = plt.subplots()
    run.figure("computed", figure, alt="a line", of_data=False)
    assert not figure.texts


@pytest.mark.parametrize(
    ("origins", "components", "verdict", "on"),
    [
        ([REAL], 66, "reproduced", "photographs"),
        ([REAL], 65, "not reproduced", "photographs"),
        ([STAND_IN], 66, "needs photographs", "drawn faces"),
        ([REAL, STAND_IN], 66, "needs photographs", "drawn faces"),
        ([], 66, "needs photographs", "no data"),
    ],
)
def test_a_claim_is_judged_by_its_rule_and_names_its_data(run, origins, components, verdict, on):
    for origin in origins:
        run.use(faces(origin))
    run.sizes(smoke={"seeds": 2}, cpu={"seeds": 3}, gpu={"seeds": 5})
    run.claim(count_of_66, components=components, images=400)
    (recorded,) = written(run, "claims.json")
    assert (recorded["verdict"], recorded["on"]) == (verdict, on)
    assert recorded["measured"] == {"components": components}
    assert recorded["protocol"] == "SVD of 400 images, 2 seeds"
    assert recorded["data"] == (" + ".join(origin.label for origin in origins) or "none")


def test_each_claim_of_a_cell_shows_its_card_with_interval_verdict_and_data(run, monkeypatch):
    shown = []
    monkeypatch.setattr(report, "display", lambda data, **k: shown.append(data))
    run.use(faces(STAND_IN))
    run.sizes(smoke={"seeds": 5}, cpu={"seeds": 5}, gpu={"seeds": 5})
    run.claim(rises, change=[1.0, 1.1, 0.9, 1.0, 1.0])
    run.claim(rises, change=[1.0, -1.0])
    assert len(shown) == 2
    assert shown[0]["text/plain"].split("\n") == [
        "Z2 it rises",
        "  reproduced on drawn faces",
        "  change = 1 (0.9122 to 1.088; 5 seeds)",
    ]
    assert "undecided on drawn faces: more than 1,000 seeds would decide" in shown[1]["text/plain"]
    assert "reproduced</span> on drawn faces" in shown[0]["text/html"]


def test_a_claim_refuses_a_name_that_it_does_not_know(run):
    with pytest.raises(LabkitError, match="claim Z2: it reads no 'changes'; did you mean change"):
        run.claim(rises, changes=[1.0])


def test_numpys_whole_numbers_are_seeds_too(tmp_path):
    assert written(start_lab("01", profile="smoke", seed=np.int64(3), out=tmp_path), "config.json")["seed"] == 3


@pytest.mark.parametrize("given", ["", " ", 3, False, b"/tmp", ["/tmp"], "a\0b"])
@pytest.mark.parametrize("name", ["data", "out"])
def test_a_path_that_is_none_is_refused_in_a_sentence(tmp_path, monkeypatch, name, given):
    monkeypatch.chdir(tmp_path)  # which "" would mean
    with pytest.raises(LabkitError, match=r"= .*: give a path as text|cannot be looked at"):
        start_lab("01", profile="smoke", **({"out": "run"} | {name: given}))
    assert not any(tmp_path.rglob("*.json"))


def test_a_home_folder_is_found_from_a_notebook(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "ada"))
    monkeypatch.setenv("LABKIT_OUT", "~/runs")
    start_lab("01", profile="smoke", out="~/mine")
    start_lab("01", profile="smoke")
    assert {path.name for path in (tmp_path / "ada").iterdir()} == {"mine", "runs"}


@pytest.mark.parametrize("profile", [3, True, ["cpu"], {}])
def test_a_profile_that_is_no_text_is_refused_in_a_sentence(tmp_path, profile):
    with pytest.raises(LabkitError, match="PROFILE: there is no profile"):
        start_lab("01", profile=profile, out=tmp_path)


@pytest.mark.parametrize("name", ["LABKIT_JOBS", "LABKIT_BUDGET_SECONDS"])
def test_what_somebody_else_set_in_the_runners_variables_stops_no_lab(tmp_path, monkeypatch, name):
    monkeypatch.setenv(name, "many")
    assert written(start_lab("01", profile="smoke", out=tmp_path), "config.json")["jobs"] == 1


@pytest.mark.parametrize("seed", ["7", 1.5, True, None, -1, 2**32, 2**63])
def test_a_seed_that_is_none_is_refused_in_a_sentence(tmp_path, seed):
    with pytest.raises(LabkitError, match=r"SEED = .*: give a whole number from 0 to 4294967295"):
        start_lab("01", profile="smoke", seed=seed, out=tmp_path)


def test_data_that_are_not_there_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(LabkitError, match="DATA = '/nope': there is no such file or folder"):
        start_lab("01", profile="smoke", data="/nope", out=tmp_path)
    with pytest.raises(LabkitError, match="~nobody-here: cannot be looked at"):
        start_lab("01", profile="smoke", data="~nobody-here", out=tmp_path)
    start_lab("01", profile="smoke", data=str(tmp_path), out=tmp_path / "out")


def test_a_seed_changed_in_the_notebook_is_not_recorded_under_the_old_one(run, monkeypatch):
    notebook = SimpleNamespace(user_ns={"SEED": 3})
    monkeypatch.setattr(report, "get_ipython", lambda: notebook)
    run.metric("loss", 1.0)
    notebook.user_ns["SEED"] = 4
    for step in (lambda: run.metric("loss", 1.0), lambda: run.claim(rises, change=[1.0]), run.finish):
        with pytest.raises(LabkitError, match="SEED is 4 now, but this run began with 3"):
            step()


def test_the_record_says_how_many_threads_and_jobs_there_were(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_JOBS", "3")
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        config = written(start_lab("01", profile="smoke", out=tmp_path), "config.json")
    finally:
        torch.set_num_threads(before)
    assert config["threads"]["torch"] == 1 and config["threads"]["blas"] >= 1 and config["jobs"] == 3


def test_a_new_run_holds_nothing_of_the_old_one(run):
    run.claim(count_of_66, components=66, images=1, seeds=1)
    run.finish()
    (run.folder / "checkpoint.pt").touch()
    start_lab("01", profile="smoke", out=run.folder)
    assert {path.name for path in run.folder.iterdir()} == {"figures", "config.json", "checkpoint.pt"}


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(LabkitError, match=r"file/out: cannot hold results .*; choose another folder"):
        start_lab("01", profile="smoke", out=tmp_path / "file" / "out")


def test_by_default_results_go_below_the_project_under_the_notebooks_name(tmp_path, monkeypatch):
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks" / "01_flows.ipynb").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv("LABKIT_OUT", raising=False)
    assert report.default_folder("01", "cpu") == tmp_path / "runs" / "cpu" / "01_flows"
    monkeypatch.setenv("LABKIT_OUT", str(tmp_path / "else"))
    assert report.default_folder("01", "cpu") == tmp_path / "else" / "cpu" / "01_flows"


def test_the_table_of_claims_shows_every_verdict_in_words_and_escapes():
    rows = [
        {
            "id": f"A{i}",
            "text": "a < b",
            "expected": "66",
            "measured": {"x": 0.123456, "n": 12345},
            "rule": "x < 1",
            "verdict": verdict,
            "decides": "9 seeds would decide" if verdict == "undecided" else "",
            "on": "drawn faces",
            "data": "Olivetti faces",
            "protocol": "held-out",
        }
        for i, verdict in enumerate(BADGES)
    ]
    html, text = claims_html(rows), claims_text(rows)
    for verdict in ("reproduced", "not reproduced", "corrected", "undecided", "needs photographs"):
        assert f"{verdict}</span>" in html and any(f"{verdict}</span>" in card_html(row) for row in rows)
        assert verdict in text
    assert "a &lt; b" in html and "a < b" not in html
    assert "9 seeds would decide" in html and "9 seeds would decide" in text


def test_measurements_are_written_with_their_intervals():
    assert measured_text({"x": 0.123456, "n": 12345}) == "x = 0.1235, n = 12,345"
    assert measured_text({"q": {"beard": -0.5}, "ok": True, "none": float("nan")}) == (
        "q (beard = −0.5), ok = yes, none = not known"
    )
    assert measured_text(plain({"x": over([1.0, 3.0], "people")})) == "x = 2 (−10.71 to 14.71; 2 people)"
    assert measured_text(plain({"x": over([1.0])})) == "x = 1 (1 seed)"
    assert measured_text(plain({"x": over([float("nan")] * 5)})) == "x = not known"


def test_a_cell_that_meets_a_stub_says_in_one_line_what_it_waits_for(tmp_path):
    manager, client = start_new_kernel(kernel_name="python3")
    person = {"allow_stdin": True, "stdin_hook": lambda _: None, "timeout": 60}

    def error_of(code):
        printed = []
        reply = client.execute_interactive(code, output_hook=printed.append, **person)
        (shown,) = [each["content"] for each in printed if each["msg_type"] == "error"]
        assert reply["content"]["status"] == "error"
        return shown["ename"], shown["traceback"]

    try:
        start = f"from labkit.run import start_lab\nrun = start_lab('00', profile='smoke', out={str(tmp_path)!r})"
        assert client.execute_interactive(start, **person)["content"]["status"] == "ok"
        client.execute_interactive("def density(x):\n    raise NotImplementedError", **person)
        name, lines = error_of("density(1)")
        assert name == "NotImplementedError" and len(lines) == 1 and "waits for density" in lines[0]
        assert len(error_of("raise NotImplementedError")[1]) == 1
        error_of("shares, sizes = density(1), 2")
        name, lines = error_of("print(sizes)")
        assert name == "NameError" and len(lines) == 1 and "waits for sizes, which a cell above makes" in lines[0]
        # A slip of the pen, and an error of a library's, keep their trace.
        assert len(error_of("print(size)")[1]) > 1 and len(error_of("print(size)")[1]) > 1
        assert len(error_of("raise NotImplementedError('by torch')")[1]) > 1
        assert len(error_of("import torch\ntorch.distributions.Distribution().sample()")[1]) > 1
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
