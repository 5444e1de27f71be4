"""Data sets of faces, and the batches drawn from them."""

from labkit.data.download import data_root, fetch
from labkit.data.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.data.olivetti import olivetti
from labkit.data.photo import load_photo
from labkit.data.resident import ResidentBatches
from labkit.data.splits import split_by_image, split_by_person

__all__ = [
    "TEST",
    "TRAIN",
    "VALIDATION",
    "FaceSet",
    "Provenance",
    "ResidentBatches",
    "data_root",
    "fetch",
    "load_photo",
    "olivetti",
    "split_by_image",
    "split_by_person",
]
