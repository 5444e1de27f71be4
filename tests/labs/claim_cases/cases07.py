import math

from simulate import Case, Seeds, Units

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED


def by_model(matching, gan, vae, sd=1.0, n=5):
    return {"flow matching": Seeds(matching, sd, n), "GAN": Seeds(gan, sd, n), "VAE": Seeds(vae, sd, n)}


CASES = {
    "F1": Case(
        dict(realnvp_epochs=150, epochs=400, doublings=Seeds(2.0, 0.6)),
        REPRODUCED,
        [
            (dict(doublings=Seeds(-1.0, 0.3)), NOT_REPRODUCED),
            (dict(doublings=[-math.inf] * 5), NOT_REPRODUCED),
            (dict(doublings=[1.5, 1.6, 1.4, 1.5, -math.inf]), UNDECIDED),
            (dict(doublings=Seeds(2.0, 0.6, n=1)), UNDECIDED),
            (dict(realnvp_epochs=3), UNDECIDED),
            (dict(epochs=8, doublings=Seeds(-1.0, 0.3)), UNDECIDED),
        ],
        [(dict(doublings=Seeds(0.0, 0.6)), set())],
    ),
    "F2": Case(
        dict(epochs=400, plain=Seeds(30.0, 8.0), cured=Seeds(-20.0, 3.0)),
        REPRODUCED,
        [
            (dict(plain=Seeds(-10.0, 2.0)), NOT_REPRODUCED),
            (dict(cured=Seeds(10.0, 2.0)), NOT_REPRODUCED),
            (dict(plain=Seeds(-10.0, 2.0), epochs=8), UNDECIDED),
            (dict(plain=Seeds(30.0, 8.0, n=1), cured=Seeds(-20.0, 3.0, n=1)), UNDECIDED),
        ],
        [(dict(plain=Seeds(0.0, 8.0)), set()), (dict(cured=Seeds(0.0, 3.0)), set())],
    ),
    "F3": Case(
        dict(epochs=400, bend=Seeds(-0.7, 0.1), few_steps=Seeds(-0.4, 0.1)),
        REPRODUCED,
        [
            (dict(few_steps=Seeds(0.3, 0.1)), CORRECTED),
            (dict(bend=Seeds(0.2, 0.1)), NOT_REPRODUCED),
            (dict(bend=Seeds(0.2, 0.1), epochs=8), UNDECIDED),
            (dict(few_steps=Seeds(-0.4, 0.1, n=1)), UNDECIDED),
        ],
        [(dict(few_steps=Seeds(0.0, 0.1)), set()), (dict(bend=Seeds(0.0, 0.1)), set())],
    ),
    "F4": Case(
        dict(
            epochs=20,
            distance={"flow matching": Seeds(8.0, 1.0), "GAN": Seeds(16.0, 2.0), "VAE": Seeds(20.0, 1.0)},
            recall={"flow matching": Seeds(0.6, 0.03), "GAN": Seeds(0.4, 0.05), "VAE": Seeds(0.3, 0.03)},
        ),
        REPRODUCED,
        [
            (dict(distance=by_model(8.0, 5.0, 20.0)), NOT_REPRODUCED),
            (dict(distance=by_model(8.0, 16.0, 5.0)), NOT_REPRODUCED),
            (dict(distance=by_model(8.0, 5.0, 20.0), epochs=3), UNDECIDED),
            (dict(recall=by_model(0.4, 0.6, 0.3, 0.03)), CORRECTED),
            (dict(distance=by_model(8.0, 16.0, 20.0, n=1), recall=by_model(0.6, 0.4, 0.3, 0.03, n=1)), UNDECIDED),
        ],
        [
            (dict(distance=by_model(8.0, 8.0, 20.0)), set()),
            (dict(recall=by_model(0.6, 0.6, 0.3, 0.03)), set()),
        ],
    ),
    "F5": Case(
        dict(
            fidelity=Units(0.05, 0.02, 5, "seeds"),
            recall=Units(-0.15, 0.05, 5, "seeds"),
            listens=Units(0.2, 0.03, 5, "seeds"),
        ),
        REPRODUCED,
        [
            (dict(fidelity=Units(-0.05, 0.01, 5, "seeds")), NOT_REPRODUCED),
            (dict(recall=Units(0.1, 0.02, 5, "seeds")), CORRECTED),
            (dict(listens=Units(0.0, 0.03, 5, "seeds")), UNDECIDED),
            (dict(fidelity=Units(0.05, 0.02, 2, "seeds")), UNDECIDED),
        ],
        [
            (dict(fidelity=Units(0.0, 0.02, 5, "seeds")), set()),
            (dict(recall=Units(0.0, 0.05, 5, "seeds")), set()),
        ],
    ),
    "F6": Case(
        dict(vae_epochs=40, repaired=Seeds(-3.0, 0.8), left=Seeds(6.0, 1.0)),
        REPRODUCED,
        [
            (dict(repaired=Seeds(2.0, 0.5)), NOT_REPRODUCED),
            (dict(repaired=Seeds(2.0, 0.5), vae_epochs=2), UNDECIDED),
            (dict(left=Seeds(-1.0, 0.3)), CORRECTED),
            (dict(repaired=Seeds(-3.0, 0.8, n=1)), UNDECIDED),
        ],
        [(dict(repaired=Seeds(0.0, 0.8)), set()), (dict(left=Seeds(0.0, 1.0)), set())],
    ),
}
