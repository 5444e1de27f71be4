import json

import pytest

from labkit.course import demo
from labkit.course.run.labs import project_root
from labkit.course.run.results import Console
from labkit.errors import LabkitError


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with the labs, without data and network."""
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").symlink_to(project_root() / "notebooks")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("LABKIT_DATA", raising=False)
    for name in ("LABKIT_CACHE", "SCIKIT_LEARN_DATA"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("LABKIT_OFFLINE", "1")
    return tmp_path


def test_the_page_shows_faces_a_failed_check_with_its_hint_and_a_verdict(project):
    page = demo.show(Console())
    assert page.is_relative_to(project)
    text = page.read_text(encoding="utf-8")
    assert text.count("<img") >= 3 and "One shot of each of" in text
    assert "1 of 4 properties missed" in text and "the constant is missing: the density" in text
    (claim,) = json.loads((page.parent / "claims.json").read_text(encoding="utf-8"))
    assert claim["verdict"] in text and claim["text"] in text
    (check,) = json.loads((page.parent / "checks.json").read_text(encoding="utf-8")).values()
    assert all(each["passed"] for each in check)
    assert "HIDDEN TESTS" not in text and "SOLUTION" not in text


def test_a_lab_without_one_of_its_cells_is_a_sentence(project, monkeypatch):
    monkeypatch.setattr(demo, "CELLS", (("00", "gone"),))
    with pytest.raises(LabkitError, match="lab 00 has no cell 'gone'"):
        demo.show(Console())
