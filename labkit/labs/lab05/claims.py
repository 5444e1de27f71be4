"""Claims of report C's plan that lab 05 puts to the test: what β, labels and independence do for disentanglement."""

from labkit.claims import claim, decide
from labkit.statistics import Finding, above, all_of, any_of, below, enough, fact, paired, unknown

# The models of a shorter training have not learnt all factors yet, least of all at a large β.
EPOCHS_TRAINED = 30
WORTH = 0.02  # of a score: a smaller difference is not worth a choice
SETTING = "{train} faces, {epochs} epochs, {seeds} seeds, σ = {sigma}, {test} unseen faces"


def inverted_u(scores: dict[str, list[float]]) -> tuple[Finding, Finding]:
    """Whether one β above 1 beats β = 1 and both ends; and whether none does, by more than WORTH."""
    betas = sorted(scores, key=float)
    rivals = {betas[0], betas[-1], *(beta for beta in betas if float(beta) == 1)}
    candidates = [beta for beta in betas if float(beta) > 1 and beta not in rivals]
    if not candidates:
        return fact(False), fact(True)
    gains = [[paired(scores[beta], scores[rival]) for rival in rivals] for beta in candidates]
    best = any_of(*(all_of(*map(above, each)) for each in gains))
    none = all_of(*(any_of(*(below(gain, WORTH) for gain in each)) for each in gains))
    return best, none


@claim(
    "C5", "05b", "β > 1 disentangles better than a VAE; the score over β is an inverted U",
    expected="the best β is above 1, and scores fall off towards 1 and towards the largest β",
    rule="scores: Higgins' metric for each β, a number a seed. For one β above 1 the intervals over paired seeds of "
    "its score less those of β = 1, of the smallest and of the largest β lie above 0 (Holm over the β that could be "
    "it). Not reproduced where each of them lies within 0.02 of one of the three, or below. Corrected where that is "
    "so of Higgins' metric, which the claim is about, but the mutual information gap (gap_scores) shows the U: then "
    "it is the metric that does not see it. Refuted only from 30 epochs on: added after a first run of 10, whose "
    "models had not learnt all factors",
    protocol="{latents} latents, " + SETTING + "; L = 64, standardised",
)  # fmt: skip
def C5(scores, gap_scores, epochs):
    """Scores by β, a list over seeds for each."""
    (best, none), (by_gap, _) = inverted_u(scores), inverted_u(gap_scores)
    return decide(
        best, fails=none, corrected=all_of(none, by_gap), to_refute=enough(epochs, EPOCHS_TRAINED, "epochs")
    )  # fmt: skip


@claim(
    "C6", "05b", "a larger latent needs a larger β; β_norm = βM/N makes latent sizes comparable",
    expected="the best β grows with the number of latents, and curves over β_norm of different sizes lie closer",
    rule="best_log2_beta: log2 of the β of the best Higgins score for each size and seed. The first half: the "
    "interval over paired seeds of its growth from the smallest to the largest size lies above 0, and the growth is "
    "1 or more (β doubles); refuted where the interval lies below 1. The second half: apart_at_beta_norm, by how "
    "much the scores of two sizes differ at one β_norm, less half of apart_at_beta, the same at one β, lies below "
    "0. One half alone: corrected. Refuted only from 30 epochs on, as C5",
    protocol="{small} and {large} latents, " + SETTING + "; best of five β per seed",
)  # fmt: skip
def C6(best_log2_beta, apart_at_beta, apart_at_beta_norm, epochs):
    small, large = (pick(best_log2_beta, key=int) for pick in (min, max))
    grown = paired(best_log2_beta[large], best_log2_beta[small])
    larger = Finding(all_of(above(grown), fact(grown.value >= 1)).yes, below(grown, 1).yes, above(grown).needs)
    comparable = below(paired(apart_at_beta_norm, apart_at_beta, 0.5))
    return decide(
        all_of(larger, comparable),
        fails=all_of(~larger, ~comparable),
        corrected=any_of(all_of(larger, ~comparable), all_of(~larger, comparable)),
        to_refute=enough(epochs, EPOCHS_TRAINED, "epochs"),
    )


@claim(
    "C7", "05a", "PCA and ICA give independent latents, which are not disentangled",
    expected="no two latents of a code say anything of each other; its mutual information gap is small",
    rule="of PCA and of ICA, intervals over seeds: correlation, the largest between two latents of unseen pictures, "
    "below 0.1, and mig, the mutual information gap, below half of the 1 that a perfect code has; else it is not "
    "reproduced (Holm). Independent: dependence, the mutual information of two latents in nats, mean over pairs, "
    "less that of shuffled ones, below 0.05, as of a correlation of 0.3; corrected where that of one lies above",
    protocol="{latents} latents fitted to {train} faces of the grid, scored on {rows} others, {seeds} seeds; "
    "dependence: 8 bins of equal count, less shuffled",
)  # fmt: skip
def C7(correlation, dependence, mig):
    """Each for "PCA" and "ICA", a list over seeds."""
    plain = all_of(*(below(e, 0.1) for e in correlation.values()), *(below(e, 0.5) for e in mig.values()))
    independent = all_of(*(below(each, 0.05) for each in dependence.values()))
    return decide(all_of(plain, independent), fails=~plain, corrected=all_of(plain, ~independent))


@claim(
    "C8", "05b", "likelihood is a poor guide to disentanglement; reconstruction worsens as β grows",
    expected="the error rises with β, and models of a higher bound are not the more disentangled ones",
    rule="rank correlations (Spearman) over the β of one latent size, a number a seed: the intervals of "
    "elbo_higgins and elbo_mig, of the ELBO of unseen pictures with each score, lie below 0.5, and that of "
    "beta_error, of β with the error, above 0.9. Not reproduced where both scores go with the ELBO above 0.5; "
    "corrected where one does, or where the error does not rise with β; each refuted only from 30 epochs on, as in "
    "C5",
    protocol="{models} models with {latents} latents, " + SETTING + "; ELBO at β = 1",
)  # fmt: skip
def C8(elbo_higgins, elbo_mig, beta_error, epochs):
    poor, rises = [below(elbo_higgins, 0.5), below(elbo_mig, 0.5)], above(beta_error, 0.9)
    fails = all_of(*(~each for each in poor))
    return decide(
        all_of(*poor, rises),
        fails=fails,
        corrected=all_of(any_of(*(~each for each in poor), ~rises), fact(not fails.shown)),
        to_refute=enough(epochs, EPOCHS_TRAINED, "epochs"),
    )


@claim(
    "C9", "05b", "a few labels suffice to choose β",
    expected="the β chosen with 500 labelled pictures is nearly as good as the best",
    rule="lost, a number a seed: Higgins' score of the best β less that of the β which the same score chose on 500 "
    "labelled pictures, mean over draws of them; both scores on pictures that chose nothing. The interval of lost "
    "less a quarter of blind, what a β chosen without looking loses, lies below 0. No verdict where blind is not "
    "above 0.02: then there is nothing to choose; none below 30 epochs: of models that have not learnt all factors, "
    "the worst is easily told from the best",
    protocol="{draws} draws of labelled faces × {seeds} seeds, five β, {latents} latents; " + SETTING,
)  # fmt: skip
def C9(lost, blind, epochs):
    worth = above(blind, WORTH)
    choice = worth if worth.shown else unknown("models that differ")
    return decide(
        below(paired(lost, blind, 0.25)), needs=all_of(enough(epochs, EPOCHS_TRAINED, "epochs"), choice)
    )  # fmt: skip
