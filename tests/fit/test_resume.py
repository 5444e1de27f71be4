"""A run that is stopped, however and whenever, ends as if it had not been."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import nn

from labkit.errors import LabkitError
from labkit.faces.batches import ResidentBatches
from labkit.fit import Interrupted, Update, every, fit

pytestmark = pytest.mark.usefixtures("interruptible")
JOB = str(Path(__file__).with_name("job.py"))
KILLS = int(os.environ.get("LABKIT_KILLS", "5"))


def content(run_dir):
    return torch.load(run_dir / "checkpoint.pt", weights_only=True)


@pytest.fixture(scope="module")
def reference(one_thread, job, tmp_path_factory):
    """The folder and the result of a run that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("reference")
    return run_dir, job.run_job(run_dir)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="kills forked processes")
def test_killed_at_random_moments_it_ends_bit_identical(reference, same, tmp_path):
    """`LABKIT_KILLS` sets how often; 25 is the full strength."""
    seed = str(int.from_bytes(os.urandom(2)))
    done = subprocess.run(
        [sys.executable, JOB, "kill", str(tmp_path), str(KILLS), seed], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    places = [int(word) for word in done.stdout.split()]
    assert len(places) == KILLS and len(set(places)) > 1, places
    for round_dir in tmp_path.iterdir():
        assert same(content(round_dir), content(reference[0])), f"seed {seed}"
        assert [file.name for file in round_dir.iterdir()] == ["checkpoint.pt"]


def test_the_job_has_what_must_survive(reference):
    _, result = reference
    state = content(reference[0])["state"]
    assert result.skipped["d"] > 0 and result.skipped["g"] == 0
    assert result.best_epoch not in (None, 12)
    assert state["steps"][0]["optimizer"]["state"] and state["steps"][1]["optimizer"]["state"]
    assert sorted(result.kept) == ["means", "samples"]


@pytest.mark.parametrize("at_call", [1, 12, 13, 40, 12 * 12])
def test_interrupted_in_any_batch_and_resumed_it_is_the_same_run(reference, same, job, tmp_path, at_call):
    calls = 0
    original = nn.functional.softplus

    def counting(*args):
        nonlocal calls
        calls += 1
        if calls == 3 * at_call - 1:  # softplus is called three times a batch
            signal.raise_signal(signal.SIGINT)
        return original(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.functional, "softplus", counting)
        with pytest.raises(Interrupted, match="checkpoint") as stopped:
            job.run_job(tmp_path, checkpoint_seconds=1e9)
    assert calls == 3 * at_call, "the step that had begun is finished, and no other begun"
    assert str(tmp_path / "checkpoint.pt") in str(stopped.value)
    assert content(tmp_path)["state"]["step"] == (at_call - 1) % 12 + 1
    result = job.run_job(tmp_path)
    assert same(content(tmp_path), content(reference[0]))
    assert same(result.model.state_dict(), reference[1].model.state_dict())
    assert same(result.kept, reference[1].kept)
    assert same(result.history.to_dict("list"), reference[1].history.to_dict("list"))


def tiny(run_dir, epochs=4, **options):
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    adam = torch.optim.Adam(model.parameters())
    calls = []

    def loss(model, batch):
        calls.append(1)
        return (model(batch) + torch.randn(len(batch), 1)).square().mean()

    batches = ResidentBatches(torch.ones(10, 3), batch_size=4)
    options = {"progress": False, **options}
    return fit(model, Update("mse", loss, adam), batches, epochs=epochs, run_dir=run_dir, **options), calls


def test_a_finished_run_returns_at_once(same, tmp_path):
    first, calls = tiny(tmp_path)
    before = (tmp_path / "checkpoint.pt").read_bytes()
    second, no_calls = tiny(tmp_path)
    assert len(calls) == 12 and not no_calls
    assert same(first.model.state_dict(), second.model.state_dict())
    assert first.history.equals(second.history)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


def test_more_epochs_prolong_a_finished_run_and_fewer_are_refused(same, tmp_path):
    straight, _ = tiny(None, epochs=6)
    tiny(tmp_path, epochs=4)
    longer, calls = tiny(tmp_path, epochs=6)
    assert len(calls) == 6
    assert same(straight.model.state_dict(), longer.model.state_dict())
    with pytest.raises(LabkitError, match=r"checkpoint\.pt: has trained for 6 epochs already"):
        tiny(tmp_path, epochs=5)


def test_early_stopping_remembers_over_a_resume(same, tmp_path):
    def validate(model):
        return {"v": [5.0, 3.0, 4.0, 4.0, 4.0, 4.0][int(model.epoch)]}

    def options(stop_at=None):
        def count(model, epoch):
            model.epoch = epoch
            if epoch == stop_at:
                signal.raise_signal(signal.SIGINT)

        nn.Linear.epoch = 0
        return {"validate": validate, "watch": "v", "patience": 3, "callbacks": [every(1, count)]}

    try:
        straight, _ = tiny(None, epochs=6, **options())
        with pytest.raises(Interrupted):
            tiny(tmp_path, epochs=6, **options(stop_at=3))
        resumed, _ = tiny(tmp_path, epochs=6, **options() | {"validate": lambda model: {"v": 4.0}})
    finally:
        del nn.Linear.epoch
    assert (straight.stopped, straight.best_epoch, len(straight.history)) == ("early", 2, 5)
    assert (resumed.stopped, resumed.best_epoch, len(resumed.history)) == ("early", 2, 5)
    assert same(straight.model.state_dict(), resumed.model.state_dict())
    again, calls = tiny(tmp_path, epochs=9, **options())
    assert again.stopped == "early" and not calls


def test_callbacks_of_finished_epochs_are_not_repeated(tmp_path):
    calls = []

    def look(model, epoch):
        calls.append(epoch)
        if calls == [1, 2]:
            signal.raise_signal(signal.SIGINT)
        return epoch

    with pytest.raises(Interrupted):
        tiny(tmp_path, callbacks=[every(1, look)])
    result, _ = tiny(tmp_path, callbacks=[every(1, look)])
    assert calls == [1, 2, 3, 4]
    assert result.kept == {"look": {1: 1, 2: 2, 3: 3, 4: 4}}


def stopped_by(number, **options):
    return {"callbacks": [every(2, lambda model, epoch: signal.raise_signal(number), "stop")], **options}


def test_without_a_folder_an_interrupt_says_that_nothing_is_saved():
    with pytest.raises(Interrupted, match="nothing is saved"):
        tiny(None, **stopped_by(signal.SIGINT))


def test_handlers_are_put_back(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    tiny(tmp_path / "a")
    with pytest.raises(Interrupted):
        tiny(tmp_path / "b", **stopped_by(signal.SIGINT))
    assert before == [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


def test_an_ignored_signal_stays_ignored(tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    result, _ = tiny(tmp_path, **stopped_by(signal.SIGINT))
    assert result.stopped == "finished" and signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_a_second_interrupt_stops_at_once(tmp_path):
    def twice(model, epoch):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt) as stopped:
        tiny(tmp_path, callbacks=[every(1, twice)])
    assert not isinstance(stopped.value, Interrupted)


def test_in_another_thread_it_trains_without_handlers(tmp_path):
    results = []
    thread = threading.Thread(target=lambda: results.append(tiny(tmp_path)[0].stopped))
    thread.start()
    thread.join()
    assert results == ["finished"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows ends a process at once")
def test_sigterm_leaves_a_checkpoint_and_a_message_and_ends_the_process(tmp_path, same, reference, job):
    with subprocess.Popen(
        [sys.executable, JOB, "run", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready 1\n"
        process.send_signal(signal.SIGTERM)
        _, error = process.communicate(timeout=240)
    assert process.returncode == -signal.SIGTERM
    first, *more = error.splitlines()
    assert f"the checkpoint is {tmp_path / 'checkpoint.pt'}" in first
    if sys.version_info >= (3, 14):  # which says of a process that was ended so that it leaves joblib's semaphore
        more = [line for line in more if "resource_tracker" not in line and "warnings.warn(" not in line]
    assert not more
    assert content(tmp_path)["state"]["epoch"] == 1
    resumed = job.run_job(tmp_path)
    assert same(content(tmp_path)["state"]["model"], content(reference[0])["state"]["model"])
    assert resumed.stopped == "finished"


def test_a_notebook_shows_one_line_when_its_stop_button_is_pressed(tmp_path):
    from jupyter_client.manager import start_new_kernel

    code = f"import sys; sys.path.insert(0, {str(Path(JOB).parent)!r}); sys.argv = ['', 'run', {str(tmp_path)!r}]\n"
    code += "import runpy; runpy.run_path(" + repr(JOB) + ", run_name='__main__')"
    manager, client = start_new_kernel(kernel_name="python3")
    try:
        client.execute(code)
        while True:
            message = client.get_iopub_msg(timeout=240)
            if "ready 1" in message["content"].get("text", ""):
                manager.interrupt_kernel()
            if message["msg_type"] == "error":
                break
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    (line,) = message["content"]["traceback"]
    assert line.startswith("Interrupted: stopped by request after") and str(tmp_path) in line
    assert content(tmp_path)["state"]["epoch"] >= 1
