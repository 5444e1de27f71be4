"""Two runs side by side."""

import pytest

from labkit.course.run.compare import compare_runs
from labkit.errors import LabkitError
from labkit.files import write_json


def estimate(value, error=0.1, n=5):
    return {"value": value, "error": error, "n": n, "unit": "seeds"}


def a_run(folder, lab="01a_x", verdict="reproduced", measured=1.0, error=0.1, n=5, faces=100, metric=2.0):
    config = {"lab": "01a", "device": "cpu", "data": [], "versions": {}, "sizes": {"faces": faces}}
    claim = {"id": "A1", "text": "x", "verdict": verdict, "measured": {"gain": estimate(measured, error, n)}}
    write_json(folder / lab / "config.json", config)
    write_json(folder / lab / "claims.json", [claim])
    write_json(folder / lab / "metrics.json", {"values": {"list": [1, metric]}})
    return folder


def test_equal_runs_are_the_same(tmp_path):
    assert compare_runs(a_run(tmp_path / "a"), a_run(tmp_path / "b")) == "01a_x\n  the same\n"


@pytest.mark.parametrize(
    "change, said",
    [
        ({"faces": 200}, "made with sizes.faces: 100 → 200"),
        ({"verdict": "undecided"}, "A1: reproduced → undecided"),
        ({"measured": 2.0}, "A1.gain: 1 (0.7224 to 1.278; 5 seeds) → 2"),
        ({"measured": 1.1}, "1 estimates changed within their intervals"),
        ({"measured": 1.1, "n": 1, "error": "nan"}, "A1.gain: 1 (0.7224 to 1.278; 5 seeds) → 1.1 (1 seed)"),
        ({"metric": 2.1}, "list.1: 2 → 2.1"),
    ],
)
def test_one_change_is_one_line(tmp_path, change, said):
    text = compare_runs(a_run(tmp_path / "a"), a_run(tmp_path / "b", **change))
    assert said in text and len(text.splitlines()) == 2


def test_the_page_holds_what_the_text_says(tmp_path):
    first, second = a_run(tmp_path / "a"), a_run(tmp_path / "b", verdict="<b>", measured=2.0, faces=200)
    compare_runs(first, a_run(second, lab="02_y"), tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    for words in ("sizes.faces", ">200<", "&lt;b&gt;", "1 (0.7224 to 1.278; 5 seeds)", f"Only in {second}: 02_y"):
        assert words in page
    assert "//" not in page.replace("</", "").replace(str(tmp_path), "")  # nothing from a network


def test_another_lab_is_named_and_none_in_common_is_a_sentence(tmp_path):
    first, second = a_run(tmp_path / "a"), a_run(a_run(tmp_path / "b"), lab="02_y")
    assert f"only in {second}: 02_y" in compare_runs(first, second)
    with pytest.raises(LabkitError, match="no lab in common"):
        compare_runs(first / "01a_x", second / "02_y")
    with pytest.raises(LabkitError, match="holds no record"):
        compare_runs(tmp_path, first)


@pytest.mark.parametrize(
    ("name", "held"),
    [
        ("claims.json", [{}]),
        ("claims.json", [{"id": "A1", "text": "x", "verdict": "reproduced"}]),
        ("claims.json", [{"id": "A1", "text": "x", "verdict": "y", "measured": estimate("many")}]),
        ("metrics.json", []),
        ("metrics.json", {"values": {"gain": estimate(None)}}),
        ("metrics.json", {"values": {"gain": 10**400}}),
        ("claims.json", [{"id": "A1", "text": "x", "verdict": "y", "measured": estimate(1.0, n=10**400)}]),
    ],
)
def test_a_record_of_another_shape_is_named(tmp_path, name, held):
    first, second = a_run(tmp_path / "a"), a_run(tmp_path / "b")
    write_json(second / "01a_x" / name, held)
    with pytest.raises(LabkitError, match=r"01a_x.* is damaged"):
        compare_runs(first, second)
