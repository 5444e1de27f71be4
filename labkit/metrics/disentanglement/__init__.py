"""Does each factor have its own latent? Five published answers, all on one table of codes, computed once.

They do not agree on what the question means, so a number without its metric and protocol says nothing:

- Higgins' (β-VAE) metric asks whether the fixed factor of a set of pairs can be told from the mean |z1 − z2|.
- The FactorVAE score asks whether the latent that varies least tells it.
- MIG and SAP ask for a gap: the best latent of a factor must be far ahead of the second.
- DCI asks whether a latent predicts one factor only (disentanglement), and a factor needs one latent only
  (completeness).

What they say of codes whose answer is known (5 factors of 6 levels, 4,000 rows, L = 64; the tests hold them to it):

| code | Higgins | FactorVAE | MIG | DCI | SAP |
| --- | --- | --- | --- | --- | --- |
| perfect | 1 | 1 | 1 | 1 | 1 |
| every latent twice | 1 | 1 | 0 | 1 | 0 |
| one factor missing | 1 | 0.8 | 0.8 | 0.69 | 0.8 |
| two factors missing | 0.8 | 0.6 | 0.6 | 0.41 | 0.6 |
| two of five rotated by 45° | 0.8 | 0.8 | 0.59 | 0.83 | 0.61 |
| all rotated at random | 0.92 | 0.75 | 0.06 | 0.35 | 0.14 |
| noise | 0.2 | 0.2 | 0 | 0 | 0 |
"""

from labkit.metrics.disentanglement.dci import dci
from labkit.metrics.disentanglement.factor_vae import factor_vae_score
from labkit.metrics.disentanglement.gaps import mig, sap
from labkit.metrics.disentanglement.higgins import higgins_score
from labkit.metrics.disentanglement.table import CodeTable, DisentanglementScore, code_table
