"""Sets of faces, their splits, and the batches drawn from them."""

from labkit.faces.batches import ResidentBatches
from labkit.faces.codes import pca_codes, unit_pixels
from labkit.faces.faceset import TEST, TRAIN, VALIDATION, FaceSet, Provenance
from labkit.faces.photo import load_photo
from labkit.faces.pixels import to_input, to_pixels
from labkit.faces.splits import split_by_image, split_by_person, split_stratified
