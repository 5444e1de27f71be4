import json

import nbformat
import pytest
from jupyter_client.manager import start_new_kernel
from nbclient import NotebookClient

from labkit import predictions
from labkit import run as run_module
from labkit.claims import claim, decide
from labkit.errors import LabkitError
from labkit.predictions import somebody_is_there
from labkit.run import start_lab
from labkit.statistics import fact


@claim("Z1", "01", "66 components", expected="66", rule="components is 66", protocol="counted")
def of_66(components):
    return decide(fact(components == 66))


@claim("Z2", "01", "it rises", expected="up", rule="up is true", protocol="looked at")
def rises(up):
    return decide(fact(up))


WAYS = {"choices": ["up", "down"]}


@pytest.fixture
def shown(monkeypatch):
    """What is displayed, oldest first."""
    things = []
    monkeypatch.setattr(run_module, "display", lambda thing, **_: things.append(thing))
    return things


@pytest.fixture
def run(tmp_path, shown):
    return start_lab("01", profile="smoke", out=tmp_path / "out")


@pytest.fixture
def somebody(monkeypatch):
    monkeypatch.setattr(run_module, "somebody_is_there", lambda: True)


def parts(form):
    """Field, button and what it said."""
    _, field, (button, said) = form.children[0], form.children[1], form.children[2].children
    return field, button, said


def test_guess_and_measurement_are_shown_side_by_side_at_the_end(run, shown):
    run.predict(of_66, "How many components?", unit="components", guess=50)
    run.predict(rises, "Which way?", **WAYS, guess="down")
    run.claim(of_66, components=71)
    run.claim(rises, up=True)
    shown.clear()
    run.finish()
    guesses, claims = shown
    for word in ("How many components?", "50 components", "71", "not reproduced", "down", "reproduced"):
        assert word in guesses["text/html"] and word in guesses["text/plain"]
    assert "you:" not in claims["text/plain"]


def test_nothing_is_shown_of_a_guess_without_a_measurement_or_a_measurement_without_a_guess(run, shown):
    run.predict(rises, "Which way?", **WAYS, guess="down")
    run.claim(of_66, components=71)
    shown.clear()
    run.finish()
    assert len(shown) == 1 and "Which way?" not in shown[0]["text/html"]


def test_guesses_outlive_a_new_run_and_a_cell_that_is_run_again(run, somebody, shown):
    run.predict(rises, "Which way?", **WAYS, guess="down")
    again = start_lab("01", profile="smoke", out=run.folder)
    again.predict(rises, "Which way?", **WAYS)
    field, _, said = parts(shown[-1])
    assert field.value == "down" and "down" in said.value
    again.claim(rises, up=False)
    shown.clear()
    again.finish()
    assert "you: down" in shown[0]["text/plain"]


def test_the_form_keeps_what_is_chosen_until_it_is_measured(run, somebody, shown):
    run.predict(of_66, "How many?", unit="components")
    field, button, said = parts(shown[-1])
    button.click()
    assert "first" in said.value
    for typed, answer in (("many", "number"), ("60,5", "kept: 60.5 components")):
        field.value = typed
        button.click()
        assert answer in said.value
    run.claim(of_66, components=66)
    field.value = "66"
    button.click()
    assert "measured already" in said.value
    assert json.loads((run.folder / "predictions.json").read_text())["Z1"]["guess"] == "60.5 components"


@pytest.mark.parametrize("content", ["", "[", "3", "[]", '{"Z1": 3}', '{"Z1": {"guess": "up"}}', "[" * 100_000])
def test_a_file_of_another_shape_holds_no_guess(run, content):
    (run.folder / "predictions.json").write_text(content)
    assert predictions.kept(run.folder) == {}
    run.claim(of_66, components=66)
    run.finish()


@pytest.mark.parametrize(
    ("options", "guess"), [(WAYS, "sideways"), ({}, "many"), (WAYS, 3)], ids=["choice", "number", "kind"]
)
def test_a_guess_of_the_wrong_kind_is_named(run, options, guess):
    with pytest.raises(LabkitError, match=str(guess)):
        run.predict(of_66, "How many?", **options, guess=guess)
    assert not (run.folder / "predictions.json").exists()


def test_a_question_is_text_and_no_markup(run, shown):
    run.predict(of_66, "<b>How</b> many?", guess=1)
    run.claim(of_66, components=66)
    run.finish()
    assert "&lt;b&gt;How" in shown[-2]["text/html"]


def test_unattended_it_neither_waits_nor_keeps_a_guess_and_prints_the_same_each_time(run, capsys, shown):
    capsys.readouterr()
    for _ in range(2):
        run.predict(rises, "Which way?", **WAYS)
    first, second = capsys.readouterr().out.splitlines()
    assert first == second and "guess=" in first and "up, down" in first
    assert not shown and not (run.folder / "predictions.json").exists()
    run.finish()
    assert not shown


@pytest.mark.timeout(120)
def test_a_notebook_that_runs_unattended_gets_a_line_and_one_that_somebody_runs_a_form(tmp_path):
    source = (
        "from labkit.labs import lab01\nfrom labkit.run import start_lab\n"
        f"run = start_lab('01a', profile='smoke', out={str(tmp_path / 'out')!r})\n"
        "run.predict(lab01.A1, 'How many?')"
    )
    kinds = {}
    for somebody in (False, True):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
        client = NotebookClient(notebook, kernel_name="python3", allow_errors=False, store_widget_state=False)
        with client.setup_kernel():
            client.kc.allow_stdin = somebody
            client.execute_cell(notebook.cells[0], 0)
        kinds[somebody] = [output for output in notebook.cells[0].outputs if output.output_type == "display_data"]
    assert not kinds[False]
    assert "application/vnd.jupyter.widget-view+json" in kinds[True][0]["data"]


def test_somebody_is_there_only_where_the_front_end_could_ask():
    assert not somebody_is_there()  # no notebook at all
    manager, client = start_new_kernel(kernel_name="python3")
    code = "from labkit.predictions import somebody_is_there\nprint(somebody_is_there())"
    try:
        for allowed in (True, False):
            printed = []
            client.execute_interactive(
                code, allow_stdin=allowed, stdin_hook=lambda _: None, output_hook=printed.append, timeout=60
            )
            text = [each["content"]["text"] for each in printed if each["msg_type"] == "stream"]
            assert text == [f"{allowed}\n"]
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
