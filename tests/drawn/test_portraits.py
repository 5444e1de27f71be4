"""Synthetic CelebA: numbering, parts, attributes and the cache of pixels."""

import functools
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from labkit.data.celeba.celeba import celeba
from labkit.drawn import synthetic_celeba as module_or_function
from labkit.drawn.attributes import RULES, SYNTHETIC_ATTRIBUTES, attributes_of
from labkit.drawn.factors import FACTOR_NAMES, FACTORS
from labkit.drawn.people import celeba_factors
from labkit.drawn.portraits import cached_files, synthetic_celeba
from labkit.drawn.renderer.render import render
from labkit.errors import LabkitError
from labkit.faces.words import ATTRIBUTES, SIZES, parse_size

MANY = torch.arange(40_000)
MODULE = sys.modules["labkit.drawn.portraits"]
RECIPE = sys.modules["labkit.drawn.recipe"]
FORK = multiprocessing.get_context("fork") if "fork" in multiprocessing.get_all_start_methods() else None
needs_fork = pytest.mark.skipif(FORK is None, reason="needs fork()")


@functools.cache
def labels(skin_tone="celeba"):
    factors = celeba_factors(0, MANY, 0 * MANY, skin_tone).numpy()
    return factors, attributes_of(factors)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    return tmp_path / "synthetic"


def pixel_files(folder):
    """Everything with pixels, unfinished files too; a lock has none."""
    return [path for path in folder.iterdir() if path.suffix == ".npy"]


def phi(one, other):
    columns = [labels()[1][:, SYNTHETIC_ATTRIBUTES.index(name)] for name in (one, other)]
    return np.corrcoef(*columns)[0, 1]


def test_exported():
    assert module_or_function is synthetic_celeba


def test_face_i_is_the_same_for_every_n():
    few, many = (synthetic_celeba(n, seed=3, cache=False) for n in (13, 47))
    for name in ("images", "factors", "attributes", "identity", "split"):
        np.testing.assert_array_equal(getattr(few, name), getattr(many, name)[:13], err_msg=name)
    assert (synthetic_celeba(13, seed=4, cache=False).images != few.images).any()


def test_ten_shots_and_no_person_in_two_parts():
    faces = synthetic_celeba(3000, size="64", cache=True)
    assert (np.bincount(faces.identity) == 10).all() and len(np.bincount(faces.identity)) == 300
    assert all(len(set(faces.split[faces.identity == person])) == 1 for person in range(300))
    np.testing.assert_allclose(np.bincount(faces.split, minlength=3) / 3000, (0.8, 0.1, 0.1), atol=0.05)
    assert faces.provenance.stand_in_for == "CelebA" and not faces.real


@pytest.mark.parametrize("word", SIZES)
def test_sizes(word):
    height, width = parse_size(word)
    assert synthetic_celeba(2, size=word, cache=False).images.shape == (2, 3, height, width)


def test_a_crop_is_the_middle_of_the_square():
    square, cut = (synthetic_celeba(3, size=size, cache=False).images for size in ("64", "64x48"))
    np.testing.assert_array_equal(cut, square[..., 8:56])


def test_bad_arguments_are_refused():
    for options in ({"size": "65"}, {"skin_tone": "green"}, {"n": 0}):
        with pytest.raises(LabkitError):
            synthetic_celeba(**{"n": 2, **options})


def test_names_are_celebas_in_order():
    assert len(SYNTHETIC_ATTRIBUTES) >= 24
    assert [ATTRIBUTES.index(name) for name in SYNTHETIC_ATTRIBUTES] == sorted(
        ATTRIBUTES.index(name) for name in SYNTHETIC_ATTRIBUTES
    )


def test_rules_compare_factors_with_their_bars():
    """On factors spread evenly over their ranges, in hundredths: every bar is met from both sides, and hit."""
    random = np.random.default_rng(0)
    factors = np.stack([random.uniform(each.low, each.high, 20_000).round(2) for each in FACTORS], 1)
    f = {each.name: factors[:, k] for k, each in enumerate(FACTORS)}
    found = dict(zip(SYNTHETIC_ATTRIBUTES, attributes_of(factors).T, strict=True))
    assert all(0 < holds.sum() < len(holds) for holds in found.values())
    brown = (f["hair_colour"] > 0.15) & (f["hair_colour"] <= 0.4) & (f["grey"] <= 0.35) & (f["hair_length"] > 0.12)
    np.testing.assert_array_equal(found["Brown_Hair"], brown)
    np.testing.assert_array_equal(found["Bald"], (f["hair_length"] < 0.05) & (f["hat"] < 0.5))
    np.testing.assert_array_equal(found["Narrow_Eyes"], f["eye_open"] * (0.5 + 0.24 * f["eye_size"]) < 0.39)
    np.testing.assert_array_equal(found["Oval_Face"], f["face_height"] - f["face_width"] > 0.15)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_prevalence_is_near_celebas(rule):
    """Within 6 points, and within a factor of two."""
    share = labels()[1][:, SYNTHETIC_ATTRIBUTES.index(rule.name)].mean()
    assert abs(share - rule.real) < 0.06 and 0.5 < share / rule.real < 2


@pytest.mark.parametrize(
    "one, other, sign, least",
    [
        ("No_Beard", "Mustache", -1, 0.4),
        ("Goatee", "Mustache", 1, 0.2),
        ("Wearing_Lipstick", "Heavy_Makeup", 1, 0.6),
        ("Gray_Hair", "Receding_Hairline", 1, 0.15),
        ("Gray_Hair", "Young", -1, 0.3),
        ("Bags_Under_Eyes", "Young", -1, 0.2),
        ("Wearing_Earrings", "Male", -1, 0.2),
        ("Heavy_Makeup", "Male", -1, 0.5),
        ("Blond_Hair", "Male", -1, 0.1),
        ("Smiling", "Mouth_Slightly_Open", 1, 0.1),
    ],
)
def test_correlations(one, other, sign, least):
    assert sign * phi(one, other) > least


def test_no_man_wears_make_up():
    wearing = labels()[1][:, [SYNTHETIC_ATTRIBUTES.index(name) for name in ("Wearing_Lipstick", "Heavy_Makeup")]]
    assert not wearing[labels()[1][:, SYNTHETIC_ATTRIBUTES.index("Male")]].any()


def test_no_two_attributes_are_one():
    """Of any two, each is sometimes there without the other, and both are sometimes there or absent together."""
    columns = labels()[1].T.astype(np.float64)
    alike = np.abs(np.corrcoef(columns)) - np.eye(len(columns))
    assert alike.max() < 0.95


def test_skin_tones():
    at = FACTOR_NAMES.index("skin_tone")
    tones = np.linspace(0, 1, 11)
    balanced = np.histogram(labels("balanced")[0][:, at], tones)[0] / len(MANY)
    np.testing.assert_allclose(balanced, 0.1, atol=0.01)
    light = labels()[0][:, at]
    np.testing.assert_allclose([np.mean(light < 0.35), np.mean(light > 0.65)], [0.8, 0.1], atol=0.02)


def test_cached_equals_drawn_and_is_mapped(own_cache):
    drawn = synthetic_celeba(600, cache=False)
    for _ in range(2):
        cached = synthetic_celeba(600)
        assert isinstance(cached.images, np.memmap)
        np.testing.assert_array_equal(cached.images, drawn.images)
    (entry,) = cached_files()
    assert entry[1] == 600 and pixel_files(own_cache) == [entry[0]]


@pytest.mark.parametrize("option", [{"size": "64x48"}, {"seed": 1}, {"skin_tone": "balanced"}], ids=str)
def test_the_cache_tells_options_apart(option):
    synthetic_celeba(20)
    cached, drawn = synthetic_celeba(20, **option), synthetic_celeba(20, cache=False, **option)
    np.testing.assert_array_equal(cached.images, drawn.images)


@needs_fork
def test_of_two_processes_at_once_one_draws(own_cache, monkeypatch):
    drawn, start, results = FORK.Value("i", 0), FORK.Barrier(2), FORK.Queue()

    def counted(factors, *options):
        time.sleep(0.2)  # the other process has seen by then that there is no file
        drawn.value += len(factors)
        return render(factors, *options)

    monkeypatch.setattr(MODULE, "render", counted)
    processes = [
        FORK.Process(target=lambda: (start.wait(), results.put(synthetic_celeba(600).checksum()))) for _ in range(2)
    ]
    for process in processes:
        process.start()
    checksums = {results.get(timeout=100) for _ in processes}
    for process in processes:
        process.join()
    assert drawn.value == 600
    assert checksums == {synthetic_celeba(600, cache=False).checksum()}
    assert pixel_files(own_cache) == [cached_files()[0][0]]


@needs_fork
def test_a_killed_drawing_leaves_nothing_broken(own_cache, monkeypatch):
    begun = FORK.Event()

    def stuck(factors, *options):
        if begun.is_set():
            time.sleep(100)
        begun.set()
        return render(factors, *options)

    monkeypatch.setattr(MODULE, "CHUNK", 8)
    with monkeypatch.context() as patch:
        patch.setattr(MODULE, "render", stuck)
        process = FORK.Process(target=synthetic_celeba, args=(20,))
        process.start()
        assert begun.wait(100)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    assert not cached_files() and len(pixel_files(own_cache)) == 1
    np.testing.assert_array_equal(synthetic_celeba(20).images, synthetic_celeba(20, cache=False).images)
    assert pixel_files(own_cache) == [cached_files()[0][0]]


def test_it_is_drawn_on_the_device_asked_for(monkeypatch):
    """A stand-in for a GPU, since there is none: what it draws is its own, and kept apart from the CPU's."""
    asked = []

    def elsewhere(factors, side, device):
        asked.append(device.type)
        return render(factors, side) // 2 if device.type == "cuda" else render(factors, side)

    monkeypatch.delenv("LABKIT_DATA", raising=False)
    monkeypatch.setattr(MODULE, "render", elsewhere)
    there = celeba(synthetic_n=20, device="cuda")
    again = synthetic_celeba(20, device=torch.device("cuda", 0))
    here = synthetic_celeba(20)
    assert asked == ["cuda", "cpu"]
    np.testing.assert_array_equal(there.images, again.images)
    np.testing.assert_array_equal(there.images, here.images // 2)
    for name in ("factors", "attributes", "identity", "split"):
        np.testing.assert_array_equal(getattr(there, name), getattr(here, name), err_msg=name)


def test_the_cache_is_read(own_cache):
    synthetic_celeba(3)
    path = cached_files()[0][0]
    np.save(path, np.zeros((3, 3, 64, 64), np.uint8))
    assert not synthetic_celeba(3).images.any()


@pytest.fixture
def fresh():
    """The recipe as a new process would find it; forgotten again afterwards."""

    def recipe():
        MODULE.recipe.cache_clear()
        return MODULE.recipe()

    yield recipe
    MODULE.recipe.cache_clear()


def test_a_stale_recipe_is_not_read(monkeypatch, fresh):
    with monkeypatch.context() as patch:
        patch.setattr(RECIPE, "PROBES", 3)
        fresh()
        synthetic_celeba(3)
        np.save(cached_files()[0][0], np.zeros((3, 3, 64, 64), np.uint8))
    fresh()
    assert synthetic_celeba(3).images.any()


def test_the_recipe_does_not_change_where_code_is_moved_or_reworded(tmp_path, fresh):
    """In a copy of the kit: every file of the drawn world reworded, its definitions in one more module."""
    kit = tmp_path / "labkit"
    home = Path(MODULE.__file__).parents[1]
    shutil.copytree(home, kit, ignore=shutil.ignore_patterns("__pycache__", "course", "labs", "reference"))
    for path in (kit / "drawn").rglob("*.py"):
        path.write_text("# other words\n" + path.read_text(encoding="utf-8") + "\n# and more\n", encoding="utf-8")
    (kit / "drawn" / "people.py").rename(kit / "drawn" / "moved.py")
    (kit / "drawn" / "people.py").write_text("from labkit.drawn.moved import *\n")
    program = "import labkit.drawn.portraits as p; print(p.__file__, p.recipe())"
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    where, found = done.stdout.split()
    assert Path(where).is_relative_to(tmp_path) and found == fresh()


CHANGES = {
    "a colour of hair": ("labkit.drawn.renderer.hair", "GREY"),
    "a colour of lips": ("labkit.drawn.renderer.features", "LIPSTICK"),
    "where the head leans": ("labkit.drawn.renderer.pose", "NECK"),
    "how many are dyed": ("labkit.drawn.people", "DYED"),
    "how many wear make-up": ("labkit.drawn.people", "MADE_UP"),
    "how many are men": ("labkit.drawn.people", "FEWER_MEN"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_recipe_changes_with_a_colour_a_feature_or_a_prior(monkeypatch, fresh, change):
    before = fresh()
    assert fresh() == before
    module, name = CHANGES[change]
    value = getattr(sys.modules[module], name)
    monkeypatch.setattr(
        sys.modules[module], name, tuple(0.5 * v for v in value) if isinstance(value, tuple) else 0.5 * value
    )
    assert fresh() != before


def test_the_recipe_changes_where_glasses_are_not_drawn(monkeypatch, fresh):
    before = fresh()
    at = FACTOR_NAMES.index("glasses")

    def bare(factors, *options, **named):
        factors = factors.clone()
        factors[:, at] = 0
        return render(factors, *options, **named)

    monkeypatch.setattr(RECIPE, "render", bare)
    assert fresh() != before


@pytest.mark.parametrize(("levels", "same"), [(1, True), (2, False)])
def test_the_recipe_forgives_rounding_and_no_more(monkeypatch, fresh, levels, same):
    before = fresh()

    def rounded(*options, **named):
        faces = render(*options, **named)
        faces[0, :, 20, 20:24] += levels * (faces[0, :, 20, 20:24] < 128).byte() * 2 - levels
        return faces

    monkeypatch.setattr(RECIPE, "render", rounded)
    assert (fresh() == before) == same


def test_the_kit_comes_with_the_probe_of_what_it_draws(monkeypatch, fresh, tmp_path):
    """Else no reference would fit: after a change on purpose, `labkit.drawn.recipe.write_probe()` makes it anew."""
    known, drawn = RECIPE.PROBE, RECIPE.probe()
    with np.load(known) as file:
        assert all(RECIPE._near(drawn[name], file[name]) for name in file)
    monkeypatch.setattr(RECIPE, "PROBE", tmp_path / "probe.npz")
    RECIPE.write_probe()
    with np.load(RECIPE.PROBE) as file:
        assert all(np.array_equal(drawn[name], file[name]) for name in drawn)


@pytest.mark.parametrize("left", [500, 0, "zip"])
def test_a_cut_file_is_drawn_anew(left):
    whole = synthetic_celeba(3).images.copy()
    path = cached_files()[0][0]
    if left == "zip":
        with open(path, "wb") as stream:
            np.savez(stream, whole)
    else:
        path.write_bytes(path.read_bytes()[:left])
    np.testing.assert_array_equal(synthetic_celeba(3).images, whole)


def test_a_folder_that_cannot_be_written(own_cache):
    own_cache.write_text("a file where the folder should be")
    assert synthetic_celeba(3).images.any()
