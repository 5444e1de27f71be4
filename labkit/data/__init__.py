"""Data sets of faces, and the batches drawn from them."""

from labkit.data.celeba import celeba
from labkit.data.download import data_root, fetch
from labkit.data.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.data.factors import FACTORS, sample_factors
from labkit.data.olivetti import olivetti
from labkit.data.photo import load_photo
from labkit.data.render import render
from labkit.data.resident import ResidentBatches
from labkit.data.splits import split_by_image, split_by_person, split_stratified
from labkit.data.synthetic import synthetic_faces, synthetic_olivetti
from labkit.data.synthetic_celeba import synthetic_celeba

__all__ = [
    "FACTORS",
    "TEST",
    "TRAIN",
    "VALIDATION",
    "FaceSet",
    "Provenance",
    "ResidentBatches",
    "celeba",
    "data_root",
    "fetch",
    "load_photo",
    "olivetti",
    "render",
    "sample_factors",
    "split_by_image",
    "split_by_person",
    "split_stratified",
    "synthetic_celeba",
    "synthetic_faces",
    "synthetic_olivetti",
]
