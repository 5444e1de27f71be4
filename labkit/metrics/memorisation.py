"""Does a generator know its training images by heart? Two tests that ask the same of any kind of model.

Copying: are its samples nearer to training images than to as many held-out ones (Meehan, Chaudhuri and
Dasgupta, arXiv:2004.05675, in its plainest form)? Where the model has learnt the population and not the
images, a sample's nearest image is of the training half half of the time. Samples share their neighbours,
so that the count is no binomial one: its null distribution is found by dealing out the labels "training"
and "held out" anew.

Membership: does its own score of an image tell who was trained on (Hayes et al., arXiv:1705.07663)? The
score is minus the reconstruction error of a VAE, the logit of a GAN's discriminator; the area under the
curve is in one unit for both, 0.5 where nothing is given away. A generator can be free of copies while its
discriminator knows all images.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from labkit.errors import LabkitError
from labkit.metrics.neighbours import nearest

DRAWS = 2000


@dataclass(frozen=True)
class Copying:
    """The test of copying."""

    share: float  # of samples whose nearest image is a training image; 0.5 on average where nothing is copied
    null_std: float  # standard deviation of that share under labels dealt out anew
    p: float  # share of those deals that give at least `share`, the observed one counted
    to_training: float  # median distance of a sample to the nearest training image, in the unit of a pixel
    to_held_out: float  # the same to the nearest held-out image
    samples: int  # how many
    images: int  # how many on each side

    @property
    def excess(self) -> float:
        """`share` − 0.5: 0 where nothing is copied, 0.5 where every sample is nearest to a training image."""
        return self.share - 0.5


def copying(
    samples: np.ndarray, training: np.ndarray, held_out: np.ndarray, draws: int = DRAWS, seed: int = 0
) -> Copying:
    """Whether `samples` (M, …) are nearer to `training` (N, …) than to `held_out` (N, …) images or features.

    Distances are root mean squared differences. Both sides must come from one population and share no image.

    Two images of one person are near each other although nobody copied: take one of each.

    Raises LabkitError: sides of different size (the larger one would be nearer by its size alone), no samples, or
        shapes that do not fit.
    """
    if len(training) != len(held_out) or not len(training) or not len(samples):
        raise LabkitError(
            f"copying: {len(training)} training and {len(held_out)} held-out images for {len(samples)} samples; "
            "give as many of one as of the other, and at least one sample."
        )
    to_training, to_held_out = (nearest(samples, side) for side in (training, held_out))
    first, second = to_training[1], to_held_out[1]
    vote = np.where(first == second, 0.5, first < second)  # of each sample, for the training side
    weight = np.zeros(2 * len(training))
    np.add.at(weight, to_training[0], vote)
    np.add.at(weight, len(training) + to_held_out[0], 1 - vote)
    weight /= len(samples)
    share = float(weight[: len(training)].sum())
    rng, labels = np.random.default_rng(seed), np.arange(2 * len(training)) < len(training)
    null = np.array([weight[rng.permutation(labels)].sum() for _ in range(draws)])
    p = (1 + (null >= share - 1e-12).sum()) / (1 + draws)
    medians = (float(np.median(found[1])) for found in (to_training, to_held_out))
    return Copying(share, float(null.std()), float(p), *medians, len(samples), len(training))


def membership(training: np.ndarray, held_out: np.ndarray) -> float:
    """Area under the curve with which scores (N,) of training and (M,) of held-out images tell them apart.

    0.5 is chance, 1 means that every training image has a higher score than every held-out one.

    Raises LabkitError: no scores, or some that are not finite.
    """
    training, held_out = np.asarray(training, float), np.asarray(held_out, float)
    scores = np.concatenate([training.ravel(), held_out.ravel()])
    if not (training.size and held_out.size and np.isfinite(scores).all()):
        raise LabkitError("membership: needs finite scores of training and of held-out images.")
    return float(roc_auc_score(np.arange(len(scores)) < training.size, scores))


def shrunk(images: np.ndarray, side: int = 16) -> np.ndarray:
    """uint8 images (N, C, H, W) averaged over blocks to a height of `side`, float32: neither sharp nor noisy.

    At full size the nearest image of a noisy sample and of a blurred one are found by their noise and blur.

    Raises LabkitError: a height that `side` does not divide.
    """
    n, channels, height, width = images.shape
    factor = height // side
    if factor < 1 or height % side or width % factor:
        raise LabkitError(f"shrunk: {height}×{width} pixels cannot be averaged to a height of {side}.")
    blocks = images.reshape(n, channels, side, factor, width // factor, factor)
    return blocks.mean((3, 5), dtype=np.float32)
