"""Claims that lab 07 puts to the test: papers on flow matching, on the codes of lab 01 (07a) and in pixels (07b)."""

from labkit.claims import claim, decide
from labkit.statistics import above, all_of, below, enough, paired, unknown

EPOCHS_REALNVP = 150  # of lab 01b's prize
EPOCHS_BY_HEART = 300  # in batches of 128; RealNVP has learnt by heart after a fifth of the steps
EPOCHS_PIXELS = 10  # below, a net for pictures draws blots


@claim(
    "F1", "07a",
    "flow matching trains a continuous flow without simulating it; on the same codes it reaches a RealNVP's held-out "
    "likelihood in less time",
    expected="less training time to the RealNVP's best mean NLL of unseen shots",
    rule="doublings, log₂ of the RealNVP's training seconds up to its best epoch over the seconds after which flow "
    "matching is first seen at or below that NLL (infinitely slow if never), has its interval above 0; the RealNVP "
    "had its realnvp_epochs ≥ 150; refuted only where flow matching had its epochs as well, as in F2",
    protocol="K = 14, and an MLP of {hidden} units, both with noise 0.5 on the codes, one thread; {seeds} splits and "
    "seeds, mean NLL of unseen shots; looks at the NLL are not counted as training",
)  # fmt: skip
def F1(realnvp_epochs, epochs, doublings):
    return decide(
        above(doublings),
        needs=enough(realnvp_epochs, EPOCHS_REALNVP, "epochs"),
        to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"),
    )


@claim(
    "F2", "07a", "flow matching learns by heart too, and noise on the data cures it",
    expected="without noise, worse than a Gaussian on unseen shots; with noise, better",
    rule="mean NLL of unseen shots less that of the full Gaussian: the interval of plain above 0 and that of cured, "
    "with noise 0.5 and as many steps, below 0; not refuted before 300 epochs",
    protocol="{epochs} epochs in batches of 128, {seeds} splits and seeds, exact divergence",
)  # fmt: skip
def F2(epochs, plain, cured):
    return decide(all_of(above(plain), below(cured)), to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"))


@claim(
    "F3", "07a", "mini-batch optimal transport straightens paths: fewer steps for the same quality",
    expected="less bend, and better faces from four steps",
    rule="optimal against independent pairing, seed by seed: the intervals of bend, a log ratio of squared "
    "deviations from a straight line, and of few_steps, a difference of energy distances to the faces of the "
    "split after four Euler steps, both below 0; corrected where the paths are straighter and the faces "
    "after four steps are not better; not refuted before 300 epochs",
    protocol="noise 0.5 on the codes, {epochs} epochs in batches of 128, {seeds} seeds, {samples:,} samples",
)  # fmt: skip
def F3(epochs, bend, few_steps):
    straighter, better = below(bend), below(few_steps)
    return decide(
        all_of(straighter, better),
        fails=~straighter,
        corrected=all_of(straighter, ~better),
        to_refute=enough(epochs, EPOCHS_BY_HEART, "epochs"),
    )


@claim(
    "F4", "07b",
    "samples are nearer to the data than a GAN's and a VAE's at equal data and time, with higher recall",
    expected="a smaller Fréchet distance than both, and more of the real faces within reach of the samples",
    rule="distance (Fréchet, to faces of unseen people) and recall by model, seed by seed: the intervals of flow "
    "matching's distance less the GAN's and less the VAE's below 0, and those of its recall less theirs above 0; "
    "corrected where it is nearer than both and its recall is lower than that of one (Holm); not refuted before 10 "
    "epochs of flow matching",
    protocol="each model {seconds:.0f} s on the same {training:,} faces of {side} pixels, {seeds} seed(s); {test} "
    "samples against {test} faces, recall with 5 neighbours, {extractor}",
)  # fmt: skip
def F4(distance, recall, epochs):
    nearer, wider = (
        [paired(values["flow matching"], values[model]) for model in ("GAN", "VAE")] for values in (distance, recall)
    )
    nearer, wider = all_of(*map(below, nearer)), all_of(*map(above, wider))
    return decide(
        all_of(nearer, wider),
        fails=~nearer,
        corrected=all_of(nearer, ~wider),
        to_refute=enough(epochs, EPOCHS_PIXELS, "epochs"),
    )


@claim(
    "F5", "07b", "guidance buys fidelity to the attribute and pays in recall",
    expected="more of the requested attributes are seen, and less of the real faces is within reach",
    rule="samples with the labels of unseen faces, guided and plain from the same noise, seed by seed: the interval "
    "of fidelity, the change in the share of requested attributes that the reader sees, above 0 and that of recall, "
    "the change in recall against those faces, below 0; corrected where fidelity grows and recall grows too. No "
    "verdict unless listens, the plain model's fidelity less that with the labels of other faces, is above 0",
    protocol="{seeds} model(s), weight {weight:g}; for each {each} samples and as many unseen faces, recall with 5 "
    "neighbours; {reader}",
)  # fmt: skip
def F5(fidelity, recall, listens):
    """Estimates over seeds."""
    bought, paid = above(fidelity), below(recall)
    listening = above(listens)
    heard = listening if listening.shown else unknown("longer training")
    return decide(all_of(bought, paid), fails=~bought, corrected=all_of(bought, ~paid), needs=heard)


@claim(
    "F6", "07b", "a learnt prior over a VAE's latents repairs its samples, not its reconstructions",
    expected="samples move nearer to real faces; reconstructions stay further away than real faces are",
    rule="Fréchet distances to faces of unseen people, seed by seed: the interval of repaired, samples with latents "
    "from flow matching less samples with latents from N(0, 1), below 0; and that of left, reconstructions of "
    "unseen faces less real training faces, above 0: the decoder's share of the blur, which no prior changes. "
    "Corrected where samples are repaired and nothing is left; not refuted where vae_epochs are fewer than 10",
    protocol="the VAE of F4, {latents} latents, {vae_epochs} epochs; flow matching on the latents' posterior means "
    "and noise for {prior_epochs} epochs; {test} samples, {seeds} seed(s), {extractor}",
)  # fmt: skip
def F6(repaired, left, vae_epochs):
    better, remains = below(repaired), above(left)
    return decide(
        all_of(better, remains),
        fails=~better,
        corrected=all_of(better, ~remains),
        to_refute=enough(vae_epochs, EPOCHS_PIXELS, "epochs"),
    )
