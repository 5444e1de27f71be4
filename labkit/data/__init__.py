"""Data sets of faces, and the batches drawn from them."""

from labkit.data.celeba import celeba
from labkit.data.download import data_root, fetch
from labkit.data.dsprites import dsprites
from labkit.data.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.data.factor_grid import FactorGrid, grid_faces
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
    "FactorGrid",
    "Provenance",
    "ResidentBatches",
    "celeba",
    "data_root",
    "dsprites",
    "fetch",
    "grid_faces",
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
