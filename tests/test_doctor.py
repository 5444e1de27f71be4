import tomllib

import pytest

from labkit import doctor
from labkit.course.run.labs import project_root


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine without real data."""
    for name in ("LABKIT_DATA", "SCIKIT_LEARN_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_every_item_has_a_value_and_stand_ins_are_called_that(bare):
    table = doctor.examine()
    assert {"python", "torch", "device", "bf16", "cores", "memory", "Olivetti faces"} <= set(table.index)
    assert (table["value"].str.len() > 0).all()
    assert "synthetic stand-in" in table.loc["Olivetti faces", "value"]
    assert "LABKIT_DATA" in table.loc["Olivetti faces", "advice"]


def test_what_is_wrong_comes_with_advice(bare, monkeypatch):
    usage = doctor.shutil.disk_usage(".")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package-as-this",))
    table = doctor.examine()
    for item in ("data folder", "working folder", "no-such-package-as-this"):
        assert table.loc[item, "advice"], item


@pytest.mark.parametrize(
    ("version", "fit"), [((3, 11, 4), False), ((3, 11, 5), True), ((3, 14, 9), True), ((3, 15, 0), False)]
)
def test_a_python_that_the_pins_do_not_fit_comes_with_advice(monkeypatch, version, fit):
    monkeypatch.setattr(doctor.sys, "version_info", version)
    advice = {name: advice for name, _, advice in doctor._software()}["python"]
    assert (advice == "") is fit


def test_an_intel_mac_comes_with_advice(monkeypatch):
    monkeypatch.setattr(doctor.platform, "system", lambda: "Darwin")
    for machine, fit in (("arm64", True), ("x86_64", False)):
        monkeypatch.setattr(doctor.platform, "machine", lambda machine=machine: machine)
        advice = {name: advice for name, _, advice in doctor._software()}["system"]
        assert (advice == "") is fit


def test_the_pythons_of_the_doctor_are_those_of_pyproject():
    project = tomllib.loads((project_root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    first, end = (".".join(map(str, each)) for each in (doctor.FIRST_PYTHON, doctor.END_OF_PYTHON))
    assert project["requires-python"] == f">={first},<{end}"
