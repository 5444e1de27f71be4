"""Claims of report C that lab 02 puts to the test: balance, and a pretrained start."""

import math
from itertools import pairwise

import numpy as np

from labkit.claims import claim, decide
from labkit.statistics import above, all_of, any_of, at_least, below, fact, paired, unknown


@claim(
    "C1", "02",
    "a balanced training set classifies better than an imbalanced one, the more so the heavier the imbalance",
    expected="balanced accuracy falls with the share of positives",
    rule="gains: balanced accuracy at 50 % positives minus that at each other share, equal training size, by paired "
    "seeds. The interval of the gain at the heaviest imbalance lies above 0, and so does that of its growth, the "
    "slope over the order of the shares in each seed. Not reproduced where a gain, or a step to the next heavier "
    "imbalance, lies below 0 (Holm over all)",
    protocol="{count} training faces each, {seeds} paired seeds, {imbalance_epochs} epochs, ResNet-18 of width 16, "
    "{tested:,} test faces of other people, threshold ½",
)  # fmt: skip
def C1(gains):
    """Gains by share of positives, in any order; a list over seeds for each."""
    by_share = [gains[share] for share in sorted(gains, key=float, reverse=True)]
    if len(by_share) < 2:  # no slope
        return decide(unknown("gains at two shares"))
    growth = np.polyfit(np.arange(len(by_share)), np.array(by_share, float), 1)[0]
    steps = [paired(heavier, milder) for milder, heavier in pairwise(by_share)]
    fails = any_of(*(below(each) for each in (*by_share, *steps)))
    return decide(all_of(above(by_share[-1]), above(list(growth)), fact(not fails.shown)), fails=fails)


@claim(
    "C2", "02", "a pretrained Inception v3 with heavy augmentation learns the attributes",
    expected="better than the majority guess on unseen people, and better than from a random start",
    rule="from a start of ImageNet weights: precision_gain, the average precision of an attribute over that of a "
    "guess, lies above 0 for at least 90 % of the measurable attributes (Holm), and so do accuracy_gain, accuracy "
    "over the majority guess, and over_random, the average precision of a head on the frozen net less that of one "
    "on the same net with random weights (means over attributes). All intervals are over people, however many "
    "pictures a test has of each; those of precision_gain over those who have the attribute",
    protocol="{net}, as Inception's weights are not always to be had; frozen head on {train:,} faces, {views} "
    "augmented view(s) of each, then {thawed:,} faces thawed for {thaw_epochs} epoch(s); {tested:,} test faces of "
    "{people:,} other people, {part}",
)  # fmt: skip
def C2(start, precision_gain, accuracy_gain, over_random):
    pretrained = fact(True) if start == "ImageNet" else unknown("ImageNet weights")
    count = math.ceil(0.9 * len(precision_gain))
    learnt = at_least(count, [above(each) for each in precision_gain.values()])
    return decide(all_of(learnt, above(accuracy_gain), above(over_random)), needs=pretrained)
