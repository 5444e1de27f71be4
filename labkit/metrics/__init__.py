"""Measures that compare sets of pictures or codes, whatever model made them."""

from labkit.metrics.baselines import baseline_nll
from labkit.metrics.feature_reader import agreement, attribute_reader, oracle_reader, true_moves
from labkit.metrics.frechet import frechet_distance, lite0_extractor, oracle_extractor
from labkit.metrics.interpolation import linear, path_change, path_shape, spherical, typical_difference
from labkit.metrics.likelihood import PCAImageDensity, log_prob, shares
from labkit.metrics.manifold import manifold_score
from labkit.metrics.memorisation import copying, membership, shrunk
from labkit.metrics.neighbours import nearest
from labkit.metrics.peak_memory import peak_bytes
from labkit.metrics.probe import area_over_people, probe_auc, probe_interval
from labkit.metrics.sharpness import relative_sharpness, sharpness
