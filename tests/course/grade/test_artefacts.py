"""Exported arrays: what was saved comes back, and what could harm or mislead is refused."""

import io
import os
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from labkit.course.grade.sandbox.artefacts import read_arrays
from labkit.errors import LabkitError

ARRAYS = {
    "images": np.arange(24.0).reshape(2, 3, 4),
    "labels": np.array([1, 0, 2]),
    "columns": np.asfortranarray(np.arange(6.0, dtype=np.float32).reshape(2, 3)),
    "one": np.array(3.5),
    "none": np.zeros((0, 4)),
}


@pytest.mark.parametrize("kind", ["npz", "packed.npz", "safetensors"])
def test_what_was_saved_comes_back(tmp_path, kind):
    path = tmp_path / f"arrays.{kind}"
    if kind == "safetensors":
        save_file({name: np.array(each, order="C") for name, each in ARRAYS.items()}, path)
    else:
        (np.savez if kind == "npz" else np.savez_compressed)(path, **ARRAYS)
    found = read_arrays(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype and found[name].shape == array.shape


class Attack:
    def __init__(self, witness):
        self.witness = witness

    def __reduce__(self):
        return os.mkdir, (self.witness,)


def test_a_pickle_is_refused_and_not_run(tmp_path):
    witness = tmp_path / "witness"
    path = tmp_path / "arrays.npz"
    np.savez(path, x=np.array([Attack(str(witness))], dtype=object))
    with pytest.raises(LabkitError, match="objects are not unpickled"):
        read_arrays(path)
    assert not witness.exists()
    np.load(path, allow_pickle=True)["x"]  # what would have happened
    assert witness.exists()


def test_a_plain_pickle_under_an_arrays_name_is_refused(tmp_path):
    path, witness = tmp_path / "arrays.npz", tmp_path / "witness"
    path.write_bytes(pickle.dumps(Attack(str(witness))))
    with pytest.raises(LabkitError, match="cannot be read"):
        read_arrays(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", pickle.dumps(Attack(str(witness))))
    with pytest.raises(LabkitError, match="cannot be read"):
        read_arrays(path)
    assert not witness.exists()


def test_the_huge_is_refused_before_it_is_unpacked(tmp_path):
    path = tmp_path / "bomb.npz"
    np.savez_compressed(path, x=np.zeros(4_000_000))
    assert path.stat().st_size < 100_000 < np.load(path)["x"].nbytes / 100  # what stock numpy would make of it
    with pytest.raises(LabkitError, match="unpacks to more"):
        read_arrays(path, limit_bytes=2**20)
    np.savez(path, x=np.zeros(4_000_000))
    with pytest.raises(LabkitError, match="larger than"):
        read_arrays(path, limit_bytes=2**20)


def test_a_header_that_promises_more_than_there_is_is_refused(tmp_path):
    path, stream = tmp_path / "lie.npz", io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**10)})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x.npy", stream.getvalue() + bytes(80))
    with pytest.raises(LabkitError, match="more than it does"):
        read_arrays(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_counted_and_named(tmp_path, value):
    path = tmp_path / "arrays.npz"
    np.savez(path, good=np.ones(3), bad=np.array([1.0, value, 2.0, value]))
    with pytest.raises(LabkitError, match="2 of 4 values of 'bad' are not finite"):
        read_arrays(path)
    assert len(read_arrays(path, finite=False)) == 2


def test_links_other_kinds_and_missing_files_are_refused(tmp_path):
    real = tmp_path / "real.npz"
    np.savez(real, x=np.ones(2))
    (tmp_path / "link.npz").symlink_to(real)
    (tmp_path / "weights.pt").write_bytes(b"x")
    (tmp_path / "broken.safetensors").write_bytes(b"\xff" * 40)
    np.savez(tmp_path / "text.npz", x=np.array(["a"]))
    for name in ("link.npz", "weights.pt", "missing.npz", "broken.safetensors", "text.npz"):
        with pytest.raises(LabkitError, match=name):
            read_arrays(tmp_path / name)
