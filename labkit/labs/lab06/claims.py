"""The claim of report C's plan that lab 06 puts to the test: depthwise convolutions and a hierarchy of latents."""

from labkit.claims import claim, decide
from labkit.statistics import above, all_of, fact, paired, unknown


@claim(
    "C10", "06",
    "depthwise convolutions widen the receptive field at few parameters; a deep hierarchy beats the flat VAE",
    expected="a stack of depthwise cells sees further than ordinary ones of as many weights; fewer bits per "
    "dimension than the flat VAE at equal parameters and at equal time",
    rule="two halves. Computed: the receptive field of a stack of depthwise cells, field_depthwise, exceeds "
    "field_ordinary, that of the deepest stack of ordinary 3×3 cells with no more weights, and a cell whose 5×5 "
    "convolution mixes all channels has at least twice the weights (weights_ratio); else it is not reproduced. "
    "Trained: bits (per dimension, of unseen faces, by the ELBO) of flat and of flat_longer less those of the "
    "hierarchical model have their intervals over paired seeds above 0. The flat VAE has the same cells and "
    "likelihood, at least as many parameters (parameter_ratio, flat over hierarchical, at least 1), and flat_longer "
    "at least as much training time (time_ratio at least 1); without either there is no verdict. Corrected where it "
    "wins at equal parameters and loses at equal time",
    protocol="ELBO of {unseen} faces of unseen people, {side} × {side}, {seeds} seeds, {epochs} and {longer} epochs "
    "of {training:,} faces; receptive fields for the weights of eight ordinary cells",
)  # fmt: skip
def C10(field_depthwise, field_ordinary, weights_ratio, bits, parameter_ratio, time_ratio):
    wide = fact(field_depthwise > field_ordinary and weights_ratio >= 2)
    fair = parameter_ratio >= 1 and time_ratio >= 1
    fewer = {rival: above(paired(bits[rival], bits["hierarchical"])) for rival in ("flat", "flat_longer")}
    return decide(
        all_of(wide, *fewer.values()),
        fails=~all_of(wide, fewer["flat"]),
        corrected=all_of(wide, fewer["flat"], ~fewer["flat_longer"]),
        needs=fact(True) if fair or wide.refuted else unknown("a flat rival as large and as long"),
    )
