"""The people of synthetic CelebA: the renderer's population, bent towards CelebA's shares.

Every step is a function of (seed, person) alone, so a face does not depend on how many are drawn. Coins come from the
factors of a second person who is never drawn.
"""

import numpy as np
import torch
from torch import Tensor

from labkit.drawn.factors import FACTOR_NAMES, sample_factors
from labkit.errors import LabkitError

SKIN_TONES = ("celeba", "balanced")
# Share of the population, and the tone up to which it reaches: 80 % light, 10 % between, 10 % dark.
TONES = ((0.0, 0.0), (0.8, 0.35), (0.9, 0.65), (1.0, 1.0))
FEWER_MEN = 1 / 3  # of the first candidates who are men give way to the second: 0.5 − FEWER_MEN / 4 are men
KEPT = {"glasses": 0.32, "beard": 0.72, "moustache": 0.40}
MADE_UP = 0.5  # of the women whom the prior leaves without make-up wear some
DYED = 0.17  # of the women of light skin are blond by dye
EARRINGS_MEN, EARRINGS_WOMEN = 0.3, 0.5  # of those who have some keep them; of all women wear some
THINNING = 0.85  # of the grey-haired men have a receding hairline
_COINS = 0x5EED  # the second person is drawn from this other population


def celeba_factors(seed: int, person: Tensor, shot: Tensor, skin_tone: str = "celeba") -> Tensor:
    """Factors float32 (N, F) of pictures `shot` (N,) of people `person` (N,).

    From `sample_factors`, with: 41.7 % men; fewer glasses, beards and moustaches; earrings on more women and fewer
    men; make-up on most women and on no man; blond dye on some light-skinned women; receding hairlines on grey-haired
    men; and light skin for 80 % ("celeba") or every tone as often ("balanced").

    Raises LabkitError: an unknown `skin_tone`.
    """
    if skin_tone not in SKIN_TONES:
        raise LabkitError(f"skin_tone: {skin_tone!r} is unknown; choose one of {', '.join(SKIN_TONES)}.")
    a, b, c = (_columns(sample_factors(seed + _COINS, person, shot)) for shot in range(3))
    factors = sample_factors(seed, _candidate(seed, person, a), shot)
    f = _columns(factors)
    man = f["masculine"] > 0.5
    # Each coin is another uniform factor of that second person, so all are independent.
    f["glasses"].mul_(a["background_hue"] < KEPT["glasses"])
    on_men = f["earrings"] * (a["clothes"] < EARRINGS_MEN)
    on_women = f["earrings"].maximum((a["clothes"] < EARRINGS_WOMEN).float())
    f["earrings"].copy_(torch.where(man, on_men, on_women))
    thinning = man & (f["grey"] > 0.5) & (b["background_light"] < 0.05 + 0.9 * THINNING)
    f["receding"].copy_(torch.where(thinning, f["receding"].clamp(min=0.45), f["receding"]))
    shaved = a["skin_tone"] >= KEPT["beard"]
    f["beard"].mul_(~shaved)
    f["moustache"].mul_(~shaved & (b["background_hue"] < KEPT["moustache"]))
    bare = ~man & (f["makeup"] == 0) & (b["clothes"] < MADE_UP)
    f["makeup"].copy_(torch.where(bare, 0.25 + 0.75 * c["background_hue"], f["makeup"]))
    f["makeup"].mul_(~man)
    if skin_tone == "celeba":
        share, tone = np.array(TONES).T
        f["skin_tone"].copy_(torch.from_numpy(np.interp(f["skin_tone"].numpy(), share, tone)))
    dyed = ~man & (f["skin_tone"] < 0.4) & (c["clothes"] < DYED)
    f["hair_colour"].copy_(torch.where(dyed, 0.7 + 0.3 * f["hair_colour"], f["hair_colour"]))
    return factors


def _columns(factors: Tensor) -> dict[str, Tensor]:
    """Views of the columns by name; writing to one writes to `factors`."""
    return {name: factors[:, k] for k, name in enumerate(FACTOR_NAMES)}


def _candidate(seed: int, person: Tensor, coins: dict[str, Tensor]) -> Tensor:
    """The index in the renderer's population: 2 p, or 2 p + 1 where a man gives way."""
    first = sample_factors(seed, 2 * person)[:, FACTOR_NAMES.index("masculine")] > 0.5
    gives_way = first & (coins["background_light"] < 0.05 + 0.9 * FEWER_MEN)
    return 2 * person + gives_way.long()
