"""Compiled losses: chosen by time alone, once, and otherwise without a trace; a resumed run goes the way it began."""

import signal

import pytest
import torch
from small_runs import ListBatches, exact_loss, net, noisy_loss, rows

from labkit.fit import Interrupted, Update, compiled, fit

pytestmark = pytest.mark.usefixtures("interruptible")
BATCHES = ListBatches([*rows(32).split(8), rows(5, seed=3)])
CHOICE = 4  # the epoch after which a run of five batches has made the steps that it needs


class Compiler:
    """In the place of torch.compile: a loss that differs in the fourth digit, so that one sees which was computed."""

    def __init__(self):
        self.sizes = []

    def __call__(self, loss, **options):
        def compiled(model, batch):
            self.sizes.append(len(batch))
            return loss(model, batch) * 1.0003

        return compiled


@pytest.fixture
def compiler(monkeypatch):
    """Every run is long enough, and what is compiled is taken."""
    compiler = Compiler()
    monkeypatch.setattr(compiled, "LONG", 0.0)
    monkeypatch.setattr(compiled, "SHARE", float("inf"))
    monkeypatch.setattr(compiled.torch, "compile", compiler)
    return compiler


def run(epochs=7, loss=noisy_loss, capturable=True, updates=1, **options):
    model = net()
    made = [
        Update(f"mse{i}", loss, torch.optim.Adam(model.parameters(), 1e-2), capturable=capturable)
        for i in range(updates)
    ]
    result = fit(model, made, BATCHES, epochs=epochs, progress=False, **options)
    return model.state_dict(), result.history.to_dict("list")


def plain(**options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compiled, "LONG", float("inf"))
        return run(**options)


def test_a_run_that_leaves_it_is_the_run_that_never_tried(compiler, monkeypatch, same):
    monkeypatch.setattr(compiled, "SHARE", 0.0)
    assert same(run(), plain()) and compiler.sizes == [8] * (1 + compiled.PAIRS)


def test_a_run_that_takes_it_computes_whole_batches_so(compiler, same):
    assert not same(run(), plain())
    assert compiler.sizes == [8] * (1 + compiled.PAIRS + 3 * 4)
    assert same(run(CHOICE), plain(epochs=CHOICE)), "the epochs before the choice are as ever"


@pytest.mark.parametrize("left", ["short", "losses that change", "several updates"])
def test_other_runs_do_not_try(compiler, monkeypatch, left):
    if left == "short":
        monkeypatch.undo()
        monkeypatch.setattr(compiled.torch, "compile", compiler)
    run(capturable=left != "losses that change", updates=1 + (left == "several updates"))
    assert not compiler.sizes


@pytest.mark.parametrize("stopped", [CHOICE - 1, CHOICE, CHOICE + 1])
def test_a_resumed_run_goes_the_way_it_began(compiler, monkeypatch, same, tmp_path, stopped):
    whole = run()
    run(stopped, run_dir=tmp_path)
    if stopped > CHOICE:  # what the clock would say now is not asked
        monkeypatch.setattr(compiled, "SHARE", 0.0)
    assert same(run(run_dir=tmp_path), whole)
    monkeypatch.setattr(compiled, "SHARE", 0.0)
    left = run(run_dir=tmp_path / "left")
    monkeypatch.setattr(compiled, "SHARE", float("inf"))
    assert same(run(9, run_dir=tmp_path / "left"), plain(epochs=9)) and same(left, plain())


def test_a_run_stopped_within_an_epoch_too(compiler, same, tmp_path):
    def stopping(model, batch):
        if len(compiler.sizes) == 1 + compiled.PAIRS + 4 + 2:  # the second batch of epoch CHOICE + 2
            signal.raise_signal(signal.SIGINT)
        return noisy_loss(model, batch)

    whole = run()
    compiler.sizes.clear()
    with pytest.raises(Interrupted):
        run(loss=stopping, run_dir=tmp_path)
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]
    assert (state["epoch"], state["step"], state["compiled"]) == (CHOICE + 1, 2, 8)
    assert same(run(run_dir=tmp_path), whole)


def test_without_a_compiler_a_run_goes_on(compiler, monkeypatch, same, tmp_path, capsys):
    def fails(loss, **options):
        def compiled(model, batch):
            raise RuntimeError("no C++ compiler\nat all")

        return compiled

    begun = run(CHOICE + 1, run_dir=tmp_path)
    monkeypatch.setattr(compiled.torch, "compile", fails)
    assert same(run(), plain())
    after = run(run_dir=tmp_path)[1]["mse0"]
    assert len(after) == 7 and after[: CHOICE + 1] == begun[1]["mse0"], "one that was compiled elsewhere"
    model = net()
    update = Update("mse", exact_loss, torch.optim.Adam(model.parameters()), capturable=True)
    fit(model, update, BATCHES, epochs=CHOICE + 1)
    assert "goes on without being compiled (no C++ compiler)" in capsys.readouterr().err


def test_the_tenth_run_of_a_process_is_compiled_like_the_first(monkeypatch):
    """torch counts how often it has compiled the same lines, and beyond eight calls them plainly."""
    made, torchs = [], torch.compile

    def backend(graph, inputs):
        made.append(graph)
        return graph

    monkeypatch.setattr(compiled.torch, "compile", lambda loss, **_: torchs(loss, backend=backend))

    def scaled(weight):
        return lambda model, batch: weight * exact_loss(model, batch)

    for each in range(10):
        before = len(made)
        compiled.compile_loss(scaled(float(each)))(net(), rows(8))
        assert len(made) > before


def test_what_torch_compiles_is_the_same_loss(monkeypatch, same, tmp_path):
    """With torch's own compiler: noise, moving statistics and dropout as in the plain run, up to rounding."""
    try:
        from torch._inductor.cpp_builder import get_cpp_compiler

        get_cpp_compiler()
    except Exception as error:
        pytest.skip(f"needs a C++ compiler: {error}")
    monkeypatch.setattr(compiled, "LONG", 0.0)
    monkeypatch.setattr(compiled, "SHARE", float("inf"))
    whole = run()
    # Losses, not weights: a bias before a batch normalisation has no gradient but rounding, which Adam magnifies.
    for name in ("mse0", "skipped"):
        torch.testing.assert_close(torch.tensor(whole[1][name]), torch.tensor(plain()[1][name]), rtol=1e-4, atol=0)
    run(CHOICE + 1, run_dir=tmp_path)
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["state"]["compiled"] == 8
    assert same(run(run_dir=tmp_path), whole)
