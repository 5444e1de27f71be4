import math

from simulate import Case, Seeds

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED

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
}
