import shutil

import nbformat
import pytest
from hygiene import broken_links
from launch import MARKS, write_launch

from labkit.course.run.labs import project_root

ROOT = project_root()


@pytest.fixture
def copy(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns(".*"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def words(root):
    return (root / "README.md").read_text(encoding="utf-8").split(MARKS[0])[1].split(MARKS[1])[0]


def test_notebooks_and_readme_start_without_a_clone_as_pyproject_says(copy):
    write_launch(copy)
    for path in [copy / "README.md", *(copy / "notebooks").glob("*.ipynb")]:
        mine = (ROOT / path.relative_to(copy)).read_bytes()
        assert path.read_bytes() == mine, "run: python tests/notebooks/launch.py"


def test_an_address_in_pyproject_reaches_every_notebook_and_the_readme(copy):
    about = (copy / "pyproject.toml").read_text(encoding="utf-8")
    address = 'urls = { Repository = "https://code.example/team/kit.git" }\nversion = "9.1"'
    lines = [address if line.startswith("version =") else line for line in about.splitlines()]
    (copy / "pyproject.toml").write_text("\n".join(lines), encoding="utf-8")
    for _ in range(2):  # the second time in place of the first
        write_launch(copy)
    for path in (copy / "notebooks").glob("*.ipynb"):
        title, links = nbformat.read(path, 4).cells[:2]
        assert title.source.startswith("# ") and f"/gh/team/kit/v9.1?labpath=notebooks/{path.name})" in links.source
        cells = [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
        assert "parameters" in cells[0].metadata.tags
        assert [cell.id for cell in cells].count("launch") == 1
        assert '%pip install --quiet "labkit-faces @ git+https://code.example/team/kit@v9.1"' in cells[1].source
    assert "/github/team/kit/blob/v9.1/notebooks/00_start_here.ipynb)" in words(copy)
    assert "/gh/team/kit/v9.1?labpath=notebooks/00_start_here.ipynb)" in words(copy)
    assert not list(broken_links(ROOT / "README.md", words(copy)))
