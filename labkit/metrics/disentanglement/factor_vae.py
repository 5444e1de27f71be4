"""The FactorVAE score: which latent varies least while a factor is held?

Kim and Mnih, "Disentangling by Factorising", ICML 2018, section 4.
"""

import numpy as np

from labkit.errors import LabkitError
from labkit.metrics.disentanglement.table import CodeTable, DisentanglementScore


def _votes(table: CodeTable, votes: int, rows: int, rng: np.random.Generator) -> np.ndarray:
    """Counts (D, F): how often a latent varied least while a factor was held; as many votes for each factor."""
    codes = table.codes[:, table.live]
    codes = codes / codes.std(0)
    each = -(-votes // len(table.names))
    counts = np.zeros((table.codes.shape[1], len(table.names)), np.int64)
    for factor in range(len(table.names)):
        held = codes[table.fellows(factor, each, rows, rng)]
        least = held.var(1, ddof=1).argmin(1)
        np.add.at(counts[:, factor], table.live[least], 1)
    return counts


def factor_vae_score(
    table: CodeTable, *, rows: int = 64, training_votes: int = 2000, test_votes: int = 1000, seed: int = 0
) -> DisentanglementScore:
    """Accuracy of a majority vote that names the held factor from the latent that varies least; chance is 1 / F.

    A vote: hold a level of one factor, draw rows that have it, and name the latent of least variance, each latent
    divided by its standard deviation over the table. Training votes fix which factor a latent stands for; the score
    is the accuracy on other votes. There is nothing to tune in the classifier, and the order, sign and scale of the
    latents do not matter. Two latents may share a factor at no cost. A factor that is missing from the code costs its
    whole share, 1 / F, as long as every latent stands for another factor; a latent of mere noise wins votes only
    when the missing factor is held, and is then taken for it (0.91 in place of 0.8 with four factors of five and
    three latents of noise). The paper therefore leaves out the latents that collapsed to the prior: see `active=` of
    `code_table`. Latents that do not vary at all take no part.

    Args:
        rows: drawn for a vote, with replacement.
        training_votes, test_votes: rounded up to a multiple of F.

    Returns:
        matrix: the training votes (D, F). per_factor: the accuracy on votes of that factor.

    Raises LabkitError: fewer than two rows a vote, or no votes.
    """
    if rows < 2 or min(training_votes, test_votes) < 1:
        raise LabkitError("factor_vae_score: a vote needs 2 rows or more, and there must be votes.")
    count = len(table.names)
    if not len(table.live):
        nothing = np.zeros((table.codes.shape[1], count), np.int64)
        return DisentanglementScore("FactorVAE", 0.0, table.protocol(rows_a_vote=rows), np.zeros(count), nothing)
    rng = np.random.default_rng(seed)
    training, test = (_votes(table, votes, rows, rng) for votes in (training_votes, test_votes))
    stands_for = training.argmax(1)
    right = np.where(stands_for[:, None] == np.arange(count), test, 0).sum(0)
    per_factor = right / test.sum(0)
    protocol = table.protocol(
        rows_a_vote=rows,
        training_votes=int(training.sum()),
        test_votes=int(test.sum()),
        classifier="majority vote",
        seed=seed,
    )
    return DisentanglementScore("FactorVAE", float(per_factor.mean()), protocol, per_factor, training)
