"""What the ledger itself computes: the operations behind the ceiling, pairs of timings, tables."""

import json

import ledger
import pytest
import torch
from ceiling import Noted, ceiling
from ledger import contest, in_turn, markdown, paired
from torch import nn


def step_of_a_small_net():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 5), nn.Tanh())
    net(torch.zeros(4, 3, 8, 8)).sum().backward()


def test_each_product_and_convolution_is_noted_forward_and_backward_and_nothing_else():
    with Noted() as noted:
        step_of_a_small_net()
        step_of_a_small_net()
    found = {}
    for key, count in noted.counts.items():
        operation, (operands, _) = noted.calls[key]
        shapes = [tuple(x.shape) for x in operands if isinstance(x, torch.Tensor)]
        found[operation.overloadpacket.__name__, *shapes] = count
    image, kernel, output = (4, 3, 8, 8), (8, 3, 3, 3), (4, 8, 6, 6)
    assert found == {
        ("convolution", image, kernel, (8,)): 2,
        ("addmm", (5,), (4, 288), (288, 5)): 2,
        ("mm", (4, 5), (5, 288)): 2,  # the gradient of the linear layer's input
        ("mm", (5, 4), (4, 288)): 2,  # and of its weights
        ("convolution_backward", output, image, kernel): 2,
    }


@pytest.mark.parametrize("product", ["mm", "addmm", "bmm", "baddbmm"])
def test_products_into_given_memory_and_in_place_count_as_others(product):
    square = torch.ones(2, 3, 3) if "bmm" in product else torch.ones(3, 3)
    operands = [square.clone() for _ in range(3 if "add" in product else 2)]
    plain = getattr(torch, product)
    ways = [lambda: plain(*operands), lambda: plain(*operands, out=torch.empty_like(square))]
    if "add" in product:
        ways.append(lambda: getattr(operands[0], f"{product}_")(*operands[1:]))
    for way in ways:
        with Noted() as noted:
            way()
        assert list(noted.counts.values()) == [1] and noted.flops == 2 * 3 * square.numel()


def test_a_product_whose_flops_are_not_known_is_not_passed_over():
    with pytest.raises(KeyError, match="activation"), Noted():
        torch._addmm_activation(torch.ones(2), torch.ones(2, 2), torch.ones(2, 2))


def test_the_ceiling_counts_every_repetition(monkeypatch):
    monkeypatch.setattr("ceiling._fastest", lambda operation, operands: 1.0)
    macs = 4 * 8 * 36 * 27 * 2 + 4 * 288 * 5 * 3  # no gradient of the images is asked for
    limit = ceiling(lambda: [step_of_a_small_net() for _ in range(3)])
    assert limit["ceiling_seconds"] == 3 * 5
    assert limit["ceiling_gflops"] == pytest.approx(3 * 2 * macs / 1e9 / 15)


def test_functions_take_turns_and_the_first_round_does_not_count():
    calls = []
    seconds = in_turn({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=3)
    assert "".join(calls) == "abababab"
    assert [len(column) for column in seconds.values()] == [3, 3]


def test_a_ratio_is_the_median_of_pairs_not_the_ratio_of_medians():
    assert paired([1.0, 8.0, 6.0], [1.0, 2.0, 3.0])["ratio"] == 2.0
    assert paired([2.0, 9.0, 4.0], [4.0, 1.0, 2.0])["ratio"] == 2.0
    assert paired([2.0, 9.0, 4.0], [4.0, 1.0, 2.0])["fast_seconds"] == 2.0


@pytest.mark.parametrize(("limit", "share"), [(0.5, 0.25), (3.0, None)])
def test_a_contest_enters_a_row_for_each_loop_and_no_ceiling_above_the_whole(monkeypatch, tmp_path, limit, share):
    monkeypatch.setattr(ledger, "RESULTS", tmp_path)
    monkeypatch.setattr(ledger, "in_turn", lambda functions, rounds: {"a": [4.0], "b": [8.0], "fit": [2.0]})
    monkeypatch.setattr(ledger, "ceiling", lambda run: {"ceiling_seconds": limit})
    contest("net", {"a": None, "b": None}, "fit", None, items=6, rounds=1, more={"loss": 7.0})
    (path,) = tmp_path.iterdir()
    rows = json.loads(path.read_text(encoding="utf-8"))
    assert {name: row["ratio"] for name, row in rows.items()} == {"net: a against fit": 2, "net: b against fit": 4}
    for row in rows.values():
        assert (row["items_per_second"], row["loss"], row.get("ceiling")) == (3, 7, share)


def test_the_tables_show_timings_and_what_is_reached(tmp_path):
    path = tmp_path / "machine.json"
    rows = {
        "a": {"plain_seconds": 2.0, "fast_seconds": 0.05, "ratio": 41.2, "ceiling": 0.256},
        "b": {"plain_seconds": 2.0, "fast_seconds": 1.0, "ratio": 2.0},
        "c": {"faces_per_second": 1234.5},
        "quality": {"plain_mean": 1.0, "plain_sd": 0.25, "labkit_mean": 2.0, "labkit_sd": 0.5},
    }
    path.write_text(json.dumps(rows), encoding="utf-8")
    assert [line for line in markdown(path).splitlines() if line and "---" not in line] == [
        "| what | plain | labkit | ratio | of the ceiling |",
        "| a | 2.00 s | 50 ms | 41.2× | 26% |",
        "| b | 2.00 s | 1.00 s | 2× | – |",
        "| c | – | 1,234 faces/s | – | – |",
        "| what is reached, mean ± sd over seeds | plain | labkit |",
        "| quality | 1 ± 0.25 | 2 ± 0.5 |",
    ]
