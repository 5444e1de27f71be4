"""Densities that take a moment to fit: the bar for every model of codes."""

import numpy as np
from sklearn.covariance import EmpiricalCovariance, LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from labkit.errors import LabkitError

MIXTURE_SIZES = (1, 2, 4, 8)
KERNEL_WIDTHS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0)  # in standard deviations of each feature


def baseline_nll(train: np.ndarray, validation: np.ndarray, test: np.ndarray) -> dict[str, float]:
    """Mean negative log-likelihood of `test` (N, d) in nats under four simple densities.

    The full-covariance Gaussian by maximum likelihood; the same with Ledoit and Wolf's shrinkage (2004); a mixture
    of diagonal Gaussians; a Gaussian kernel density. The size of the mixture and the width of the kernel are those
    that score best on `validation` when fitted to `train`; then each model is fitted to both together. All work
    on features scaled to unit variance and answer in the unit of the input.

    Raises LabkitError: fewer training rows than the largest mixture has parts, numbers that are not finite, or a
        feature that never varies.
    """
    known = np.concatenate([train, validation])
    enough = len(train) >= MIXTURE_SIZES[-1] and len(validation) and len(test)
    if not enough or not np.isfinite(known).all() or not np.isfinite(test).all() or not np.ptp(known, 0).all():
        raise LabkitError(
            f"baseline_nll: needs finite features that vary, {MIXTURE_SIZES[-1]} rows or more to train on, and some "
            f"to validate and to test; got {len(train)}, {len(validation)} and {len(test)}."
        )
    spread = known.std(0)
    train, validation, known, test = (rows / spread for rows in (train, validation, known, test))

    def chosen(models: list) -> object:
        return max(models, key=lambda model: model.fit(train).score(validation)).fit(known)

    mixtures = [GaussianMixture(n, covariance_type="diag", random_state=0) for n in MIXTURE_SIZES]
    kernels = [KernelDensity(bandwidth=width) for width in KERNEL_WIDTHS]
    mean_score = {
        "Gaussian": EmpiricalCovariance().fit(known).score(test),
        "Ledoit-Wolf": LedoitWolf().fit(known).score(test),
        "mixture": chosen(mixtures).score(test),
        "kernel density": chosen(kernels).score(test) / len(test),  # scikit-learn sums this one
    }
    return {name: float(np.log(spread).sum() - score) for name, score in mean_score.items()}
