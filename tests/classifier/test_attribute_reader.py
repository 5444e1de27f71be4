"""The saved classifier: what is read back reads alike, other files are refused in a sentence."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from labkit.classifier.attribute_reader import AttributeReader
from labkit.classifier.nets import ResNet18
from labkit.errors import LabkitError

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 3, 64, 64), dtype=np.uint8)


@pytest.fixture
def reader():
    torch.manual_seed(0)
    model = ResNet18(3, width=8)
    model(torch.rand(16, 3, 64, 64))  # statistics of batch norm that are not the default
    return AttributeReader(model, ("Smiling", "Young", "Bangs"), (64, 64), "trained on nothing")


def test_what_is_saved_reads_alike_after_loading(reader, tmp_path):
    path = reader.save(tmp_path / "new" / "classifier.safetensors")
    again = AttributeReader.load(path)
    assert (again.names, again.size, again.about) == (reader.names, reader.size, reader.about)
    assert np.array_equal(again.read(IMAGES), reader.read(IMAGES))
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_probabilities_of_images_in_any_form(reader):
    read = reader.read(IMAGES)
    assert read.shape == (5, 3) and read.dtype == np.float32 and ((read > 0) & (read < 1)).all()
    assert np.allclose(reader.read(torch.tensor(IMAGES).float() / 255), read, atol=1e-6)
    with torch.no_grad():
        logits = reader.model.eval()(torch.tensor(IMAGES).float() / 255)
    assert np.allclose(read, torch.sigmoid(logits).numpy(), atol=1e-6)
    plain = np.broadcast_to(IMAGES[:, :, :1, :1], (5, 3, 64, 64))  # one colour, so that resizing loses nothing
    large = np.broadcast_to(IMAGES[:, :, :1, :1], (5, 3, 150, 90))
    assert np.allclose(reader.read(large), reader.read(plain), atol=1e-6)
    assert reader.read(IMAGES[:0]).shape == (0, 3)
    with pytest.raises(LabkitError, match="colour"):
        reader.read(IMAGES[:, :1])


def test_what_is_no_classifier_is_refused(tmp_path):
    with pytest.raises(LabkitError, match=r"gone.*run lab 02"):
        AttributeReader.load(tmp_path / "gone.safetensors")
    (tmp_path / "text.safetensors").write_text("no weights")
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    for name in ("text", "other"):
        with pytest.raises(LabkitError, match="no classifier of lab 02"):
            AttributeReader.load(tmp_path / f"{name}.safetensors")
