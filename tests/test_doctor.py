import pytest

from labkit import doctor


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
    assert {"python", "torch", "device", "bf16", "cores", "memory", "C++ compiler", "Olivetti faces"} <= set(
        table.index
    )
    assert (table["value"].str.len() > 0).all()
    assert "synthetic stand-in" in table.loc["Olivetti faces", "value"]
    assert "LABKIT_DATA" in table.loc["Olivetti faces", "advice"]


def test_what_is_wrong_comes_with_advice(bare, monkeypatch):
    usage = doctor.shutil.disk_usage(".")
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda _: usage._replace(free=2**20))
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)
    monkeypatch.setattr(doctor, "PACKAGES", ("no-such-package-as-this",))
    table = doctor.examine()
    for item in ("data folder", "working folder", "C++ compiler", "no-such-package-as-this"):
        assert table.loc[item, "advice"], item
