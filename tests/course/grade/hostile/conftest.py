"""The course that the tests of hostile submissions share."""

import shutil
from copy import deepcopy

import nbformat
import pytest
from example_course import run_trusted
from hostile_course import VICTIM, hand_in

from labkit.course.grade.demo import fill
from labkit.course.grade.demo_lab import demo_lab
from labkit.course.grade.intake.prepare import prepare
from labkit.course.grade.layout import Place
from labkit.course.grade.marks.gradebook import ingest
from labkit.course.grade.release import release


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A course where an honest student has been graded."""
    course = tmp_path_factory.mktemp("course")
    lab = demo_lab(course)
    release(Place(course, lab))
    honest = nbformat.read(Place(course, lab).release, as_version=4)
    fill(honest)
    hand_in(course / "honest", {f"{VICTIM}/{lab.path.name}": honest})
    prepare(Place(course, lab), course / "honest")
    run_trusted(course, lab)
    ingest(Place(course, lab))
    return course, lab, honest


@pytest.fixture
def room(template, tmp_path):
    """A copy of that course, its lab and the honest notebook."""
    course, lab, honest = template
    return shutil.copytree(course, tmp_path / "course"), lab, deepcopy(honest)
