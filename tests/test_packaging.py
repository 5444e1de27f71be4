import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest
import yaml
from ledger import document
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from labkit.course.grade.sandbox.container import RECIPE
from labkit.course.run.labs import labs_markdown, list_labs, project_root

ROOT = project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
INSTALLED_EXTRAS = ("test", "celeba", "sweep", "grade")  # by the Makefile and environment.yml


@pytest.mark.parametrize(
    "name", ["pyproject.toml", "constraints.txt", "environment.yml", "Makefile", "Dockerfile", ".ci/run"]
)
def test_no_package_source_is_named(name):
    text = re.sub(r"(?m)^Repository = .*$", "", (ROOT / name).read_text(encoding="utf-8"))  # the kit's own address
    assert not re.findall(r"https?://|git\+|--(?:extra-)?index-url|--find-links|--trusted-host", text)


def test_the_conda_environment_is_in_step_with_pyproject():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    *conda, last = environment["dependencies"]
    assert f"python{PROJECT['requires-python']}" in conda
    assert "pip" in conda
    constraint, project = last["pip"]
    assert constraint == "-c constraints.txt"
    extras = re.fullmatch(r"-e \.\[(.+)\]", project).group(1).split(",")
    assert set(INSTALLED_EXTRAS) <= set(extras)
    assert set(extras) <= set(PROJECT["optional-dependencies"])


def test_the_server_image_copies_all_that_is_installed_and_nothing_that_is_not_committed(tmp_path):
    recipe = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    for *sources, target in (line.split()[1:] for line in recipe.splitlines() if line.startswith("COPY ")):
        for source in sources:
            committed = ["git", "ls-files", "--error-unmatch", source]
            assert subprocess.run(committed, cwd=ROOT, capture_output=True).returncode == 0, source
            place = tmp_path / target / ("" if (ROOT / source).is_dir() else source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.symlink_to(ROOT / source)
    for name in (PROJECT["readme"], *PROJECT["license-files"], "Makefile", "constraints.txt", "labkit/course/cli.py"):
        assert (tmp_path / name).is_file(), name
    links = [path for path in (ROOT / "labkit").rglob("*") if path.is_symlink()]
    assert links and all((tmp_path / path.resolve().relative_to(ROOT)).exists() for path in links)
    python = re.search(r"(?m)^FROM python:(3\.\d+)$", recipe)[1]
    assert f"{python}.9" in SpecifierSet(PROJECT["requires-python"])


def test_the_table_of_labs_in_the_readme_is_that_of_the_notebooks():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- labs -->\n(.*?)\n<!-- end of labs -->", readme, re.DOTALL).group(1)
    assert table.strip() == labs_markdown(list_labs(ROOT / "notebooks")), "run: labkit labs --markdown"


def test_the_ledger_is_that_of_the_results():
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    table = re.search(r"<!-- ledger -->\n(.*?)\n<!-- end of ledger -->", page, re.DOTALL).group(1)
    assert table == document(), "run: python tests/benchmarks/ledger.py"


@pytest.mark.parametrize(
    ("machine", "sentence"),
    [
        ("sys.version_info = (3, 11, 4)", "needs Python 3.11.5 to 3.14"),
        ("sys.version_info = (3, 15, 0)", "needs Python 3.11.5 to 3.14"),
        ("platform.system = lambda: 'Darwin'; platform.machine = lambda: 'x86_64'", "Intel Macs"),
        ("shutil.disk_usage = lambda path: types.SimpleNamespace(free=1e9)", "free disk"),
        ("sys.platform = 'linux'; shutil.disk_usage = lambda path: types.SimpleNamespace(free=8e9)", "9 GB of free"),
    ],
)
def test_make_refuses_an_unfit_machine_before_it_installs(tmp_path, machine, sentence):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    python = tmp_path / "python"
    start = f"import platform, shutil, sys, types; sys.version_info = (3, 11, 5); {machine}; exec(sys.argv[1])"
    python.write_text(f'#!/bin/sh\n[ "$1" = -c ] || exit 1\nexec "{sys.executable}" -c "{start}" "$2"\n')
    python.chmod(0o755)
    made = subprocess.run(["make", "-s", "doctor", f"PYTHON={python}"], cwd=tmp_path, capture_output=True, text=True)
    assert made.returncode == 2
    assert sentence in made.stderr.splitlines()[0]
    assert not (tmp_path / ".venv").exists()


def test_a_pyproject_dated_in_the_future_installs_nothing_anew(tmp_path):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def planned():
        return subprocess.check_output(["make", "-n", "doctor"], cwd=tmp_path, text=True)

    (stamp,) = re.findall(r"^touch (.*)$", planned(), re.MULTILINE)
    (tmp_path / stamp).parent.mkdir()
    (tmp_path / stamp).touch()
    os.utime(tmp_path / "pyproject.toml", (2**32, 2**32))
    assert "touch" not in planned()


@pytest.mark.parametrize(
    ("uv", "used"), [(None, ["pip"]), ("exit 0", ["uv"]), ("exit 1", ["uv", "pip"])], ids=["none", "works", "fails"]
)
def test_make_installs_with_uv_where_it_works_and_else_with_pip(tmp_path, uv, used):
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "make", "cksum", "cut", "cat", "pwd", "rm", "cp", "mkdir", "touch", "echo"):
        (tools / name).symlink_to(shutil.which(name))
    python = tools / "python"
    python.write_text(
        '#!/bin/sh\ncase "$1 $2" in "-m venv") mkdir -p .venv/bin; cp "$0" .venv/bin/python;; '
        '"-m pip") echo "pip $* $TMPDIR" >>log;; esac\n'
    )
    if uv:
        (tools / "uv").write_text(f'#!/bin/sh\necho "uv $*" >>log\n{uv}\n')
    for path in tools.glob("[pu]*"):
        if not path.is_symlink():
            path.chmod(0o755)
    subprocess.run(["make", "-s", "doctor", "PYTHON=python"], cwd=tmp_path, env={"PATH": str(tools)}, check=True)
    log = (tmp_path / "log").read_text().splitlines()
    assert [line.split()[0] for line in log] == used
    assert all("-c constraints.txt -e .[test," in line for line in log)
    by_pip = [line for line in log if line.startswith("pip")]
    assert all("--no-cache-dir" in line and line.endswith(f" {tmp_path}/.venv/tmp") for line in by_pip)
    assert not (tmp_path / ".venv" / "tmp").exists()


def test_citation_and_changelog_name_the_version_of_pyproject():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["cff-version"] == "1.2.0"
    assert all(citation[key] for key in ("message", "title", "authors"))
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"].split(" AND ")[0]  # the software is cited, not the text
    assert f"\n## {PROJECT['version']}\n" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Names of the files in a wheel that is built from what git holds, by the way of its source distribution."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ("labkit", "notebooks", "pyproject.toml", "README.md", "LICENSE"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        more = {"symlinks": True, "ignore": shutil.ignore_patterns("__pycache__")} if copy is shutil.copytree else {}
        copy(ROOT / name, place / name, **more)
    build = "from setuptools import build_meta as b; import sys; getattr(b, 'build_' + sys.argv[1])('dist')"

    def run(what, folder):
        subprocess.run([sys.executable, "-c", build, what], cwd=folder, check=True, capture_output=True)

    run("sdist", place)
    (source,) = (place / "dist").glob("*.tar.gz")
    shutil.unpack_archive(source, place, filter="data")
    folder = place / source.name.removesuffix(".tar.gz")
    run("wheel", folder)
    (built,) = (folder / "dist").glob("*.whl")
    return built


def test_the_wheel_holds_the_whole_package_and_the_notebooks(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    package = [path for path in (ROOT / "labkit").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert {path.relative_to(ROOT).as_posix() for path in package} <= held
    given = [*(ROOT / "notebooks").glob("*.ipynb"), ROOT / "notebooks" / "LICENSE"]
    assert {f"labkit/course/notebooks/{path.name}" for path in given} <= held
    assert not [name for name in held if name.startswith(("tests/", "notebooks/"))]


def test_the_wheel_alone_gives_the_notebooks_and_knows_its_version(wheel, tmp_path):
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")

    def labkit(*arguments):
        command = [sys.executable, "-m", "labkit", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site")}
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)

    assert "`labkit notebooks`" in labkit("labs").stderr
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / "00_start_here.ipynb").write_text("mine")
    assert labkit("notebooks").returncode == 0
    assert (tmp_path / "notebooks" / "00_start_here.ipynb").read_text() == "mine"
    (tmp_path / "notebooks" / "00_start_here.ipynb").unlink()
    labkit("notebooks")
    assert "00_start_here" in labkit("labs").stdout
    (about,) = (tmp_path / "site").glob("*.dist-info")
    assert about.name == f"{canonicalize_name(PROJECT['name']).replace('-', '_')}-{PROJECT['version']}.dist-info"


@pytest.fixture
def bare(tmp_path):
    """A Python that has what this one has, except labkit."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for place in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for path in Path(place).iterdir():
            if "labkit" not in path.name:
                (packages / path.name).symlink_to(path)
    if not (packages / "pip").exists():
        pytest.skip("pip is not installed here, so the notebook cannot install the wheel")
    venv.create(tmp_path / "venv", symlinks=os.name != "nt")
    where = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    (Path(sysconfig.get_path("purelib", "venv", where)) / "packages.pth").write_text(str(packages))
    templates = Path("share", "jupyter", "nbconvert")  # of nbconvert, which looks for them beside its Python
    (tmp_path / "venv" / templates).parent.mkdir(parents=True)
    (tmp_path / "venv" / templates).symlink_to(Path(sysconfig.get_path("data")) / templates)
    return Path(sysconfig.get_path("scripts", "venv", where)) / "python"


def test_labs_run_from_the_wheel_alone_in_an_empty_folder(wheel, bare, tmp_path):
    """Lab 00 as in Colab, where its cell installs the wheel that lies beside it; lab 01a on the command line."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("LABKIT_", "PYTHON", "PYTEST_"))
    }
    alone = {"LABKIT_OFFLINE": "1", "LABKIT_CACHE": str(tmp_path / "cache"), "PIP_NO_INDEX": "1"}

    def python(*arguments):
        command = [bare, *arguments]
        return subprocess.run(command, cwd=folder, env={**kept, **alone}, capture_output=True, text=True)

    (folder := tmp_path / "folder").mkdir()
    assert "No module named 'labkit'" in python("-c", "import labkit").stderr
    shutil.copy(wheel, folder)
    name = "00_start_here.ipynb"
    (folder / name).write_bytes(zipfile.ZipFile(wheel).read(f"labkit/course/notebooks/{name}"))
    ran = python("-m", "papermill", name, "ran.ipynb", "-p", "PROFILE", "smoke", "--log-output")
    assert ran.returncode == 0, ran.stderr[-3000:]
    assert "installing it takes" in ran.stderr
    assert (folder / "runs" / "smoke" / "lab00" / "metrics.json").is_file()
    assert str(tmp_path) in python("-c", "import labkit; print(labkit.__file__)").stdout
    assert python("-m", "labkit", "notebooks").returncode == 0
    ran = python("-m", "labkit", "run", "01a", "--profile", "smoke", "--budget-factor", "2.5")
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]


def test_the_kit_asks_for_its_own_distribution_by_its_name():
    assert f'"{PROJECT["name"]}"' in (ROOT / "labkit" / "record.py").read_text(encoding="utf-8")
    assert f"uninstall --yes {PROJECT['name']} " in RECIPE
    for path in (ROOT / "labkit").rglob("*.py"):  # no advice to install what somebody else calls labkit
        assert not re.search(r"""pip install ['"]?labkit\b(?!-faces)""", path.read_text(encoding="utf-8")), path
