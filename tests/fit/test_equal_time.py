"""Training for as long as another model took."""

from types import SimpleNamespace

import pytest
from small_runs import ListBatches, net, quick, rows

from labkit.fit import fit_for
from labkit.fit.checkpoint import NAME, trained_epochs


@pytest.mark.parametrize(("seconds", "pace"), [(10.0, 1.0), (3.4, 1.0), (0.1, 1.0), (100.0, 0.7)])
def test_it_ends_within_half_an_epoch_of_the_time_and_never_above_what_fits(seconds, pace, tmp_path):
    asked = []

    def train(epochs):
        asked.append(epochs)
        return SimpleNamespace(seconds=epochs * pace)

    result = fit_for(seconds, train, tmp_path)
    assert asked == sorted(asked)
    assert result.seconds == pace or abs(result.seconds - seconds) <= pace / 2


def test_done_again_it_trains_nothing(tmp_path):
    batches, before = ListBatches(list(rows().split(8))), []

    def train(epochs):
        result = quick(net(), batches, epochs=epochs, run_dir=tmp_path)
        before.append(epochs)
        return SimpleNamespace(seconds=0.5 * epochs, history=result.history)

    first = fit_for(3.0, train, tmp_path)
    assert len(first.history) == trained_epochs(tmp_path) == 6
    before.clear()
    assert len(fit_for(3.0, train, tmp_path).history) == 6
    assert before == [6]


def test_epochs_of_no_run_and_of_a_damaged_one_are_none(tmp_path):
    assert trained_epochs(tmp_path) == 0
    (tmp_path / NAME).write_bytes(b"no checkpoint")
    assert trained_epochs(tmp_path) == 0
