"""Does a latent mean something? What a traversal changes, and whether it changes one thing alone.

Protocol. For each latent, n images are decoded twice with only that latent moved to a low and to a high value (as
−2 and +2 in a standard normal prior), and a reader (the factor oracle, or a classifier of attributes) reads F factors
off both. The effect of latent l on factor f is the mean over the n pairs of reading(high) − reading(low), in standard
deviations of that factor's readings over real images: a sign that varies from image to image averages out. A mean of
n pairs has a standard error; an effect within `BEYOND` of them is taken for none.
"""

from dataclasses import dataclass

import numpy as np

from labkit.errors import LabkitError
from labkit.metrics.disentanglement.dci import concentration

BEYOND = 3.0  # standard errors


@dataclass(frozen=True)
class Selectivity:
    """What each of L latents moves, of F factors."""

    effect: np.ndarray  # (L, F), signed, in standard deviations of the factor
    standard_error: np.ndarray  # (L, F), of the effect

    @property
    def significant(self) -> np.ndarray:
        """|effect|, with 0 where it is within three standard errors of none, (L, F)."""
        size = np.abs(self.effect)
        return np.where(size > BEYOND * self.standard_error, size, 0.0)

    @property
    def top(self) -> np.ndarray:
        """Index of the factor that the latent moves most, (L,); −1 where it moves none."""
        return np.where(self.strength > 0, self.significant.argmax(1), -1)

    @property
    def strength(self) -> np.ndarray:
        """How far the latent moves its top factor, (L,), in standard deviations of that factor."""
        return self.significant.max(1)

    @property
    def margin(self) -> np.ndarray:
        """(top − second) / top of the effects' sizes, (L,): 1 for one factor alone, 0 for none."""
        ordered = np.sort(self.significant, 1)
        second = ordered[:, -2] if ordered.shape[1] > 1 else np.zeros(len(ordered))
        return (ordered[:, -1] - second) / np.where(self.strength > 0, self.strength, 1.0)

    @property
    def concentration(self) -> np.ndarray:
        """1 − entropy of the effects' shares / log F, (L,): 1 for one factor alone, 0 for all alike or none.

        The completeness of Eastwood and Williams (ICLR 2018), read along a latent.
        """
        return concentration(self.significant)


def selectivity(low: np.ndarray, high: np.ndarray, spread: np.ndarray) -> Selectivity:
    """What traversals change.

    Args:
        low, high: readings (L, n, F) at the two ends, of the same n images for every latent.
        spread: standard deviation of each factor's readings over real images, (F,). A factor that never varies
            there (0) is given no effect.

    Raises LabkitError: shapes that do not fit, fewer than two pairs, or a reading or a spread that is not finite.
    """
    low, high, spread = (np.asarray(values, np.float64) for values in (low, high, spread))
    fits = low.shape == high.shape and low.ndim == 3 and low.shape[1] >= 2 and spread.shape == low.shape[2:]
    if not fits or not all(np.isfinite(values).all() for values in (low, high, spread)) or (spread < 0).any():
        raise LabkitError(
            f"selectivity: needs finite readings (L, n, F) with n of at least 2 and spreads (F,), got {low.shape}, "
            f"{high.shape} and {spread.shape}."
        )
    change = (high - low) / np.where(spread > 0, spread, np.inf)
    return Selectivity(change.mean(1), change.std(1, ddof=1) / np.sqrt(low.shape[1]))
