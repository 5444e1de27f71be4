"""What the source reports claim, and the rule by which a run's measurement judges each claim.

A rule names the keys of `measured` that it reads. Bars were set by what the words of a claim ask for, in units that
mean something (a nat per dimension, a standard share), not by what a run happened to give; where one was set after
looking, its rule says so. Two conventions hold for all:

* a claim about the photographs, measured on a stand-in, is not judged: "needs full data" (`Claim.needs_real`);
* where a claim speaks of a long training, a shorter one that already shows what it asserts confirms it, but one that
  does not show it refutes nothing: "needs full data".
"""

from labkit.claims import CORRECTED, NEEDS_FULL_DATA, NOT_REPRODUCED, REPRODUCED, Claim
from labkit.labs.lab01.claims_a import CLAIMS_A
from labkit.labs.lab01.claims_b import CLAIMS_B
from labkit.labs.lab03.claims_c import CLAIMS_C
from labkit.labs.lab03.claims_d import CLAIMS_D
from labkit.labs.lab03.claims_e import CLAIMS_E
from labkit.labs.lab04.claims_faces import CLAIMS_D_FACES
from labkit.labs.lab04.claims_gan import CLAIMS_D_GAN
from labkit.labs.lab04.claims_rare import CLAIMS_D_RARE
from labkit.labs.lab05.claims import CLAIMS_C_DISENTANGLEMENT
from labkit.labs.lab06.claims import CLAIMS_C_HIERARCHY

__all__ = ["CLAIMS", "CORRECTED", "NEEDS_FULL_DATA", "NOT_REPRODUCED", "REPRODUCED", "Claim"]

CLAIMS: dict[str, Claim] = {
    claim.id: claim
    for claim in (
        *CLAIMS_A,
        *CLAIMS_B,
        *CLAIMS_C,
        *CLAIMS_C_DISENTANGLEMENT,
        *CLAIMS_C_HIERARCHY,
        *CLAIMS_D,
        *CLAIMS_D_GAN,
        *CLAIMS_D_FACES,
        *CLAIMS_D_RARE,
        *CLAIMS_E,
    )
}
