import math

from simulate import Case, Seeds, Units

from labkit.claims import NOT_REPRODUCED, REPRODUCED, UNDECIDED


def by_rate(papers, claimed, larger, n=5):
    return dict(
        swing={"0.0002": Seeds(papers, 0.1, n), "0.002": Seeds(claimed, 0.1, n), "0.01": Seeds(larger, 0.3, n)}
    )


def by_beta(*means, n=5):
    keys = ("0.5 at 0.0002", "0.9 at 0.0002", "0.5 at 0.002", "0.9 at 0.002")
    return dict(swing={key: Seeds(mean, 0.1, n) for key, mean in zip(keys, means, strict=True)})


def net(r2, turn, mirror):
    return dict(
        r2=Units(r2, 0.5, 200, "latents"), turn=Units(turn, 1, 50, "walks"), mirror=Units(mirror, 0.5, 200, "latents")
    )


def gap(imbalanced, balanced, reversed_, n=5):
    means = {"imbalanced": imbalanced, "balanced": balanced, "reversed": reversed_}
    return dict(gap={name: Seeds(mean, 0.8, n) for name, mean in means.items()})


def pairs(mean):
    return Units(mean, 0.2, 8, "pairs")


BLANK = net(0.1, 0.3, 0.2)
CASES = {
    "D4": Case(
        by_rate(0.5, 0.6, 2),
        REPRODUCED,
        [
            (by_rate(0.5, 2, 4), NOT_REPRODUCED),
            (by_rate(0.5, 0.6, 0.3), NOT_REPRODUCED),
            (by_rate(0.5, 0.6, math.inf), REPRODUCED),
            (by_rate(0.5, math.inf, 2), NOT_REPRODUCED),
            (by_rate(0.5, 0.6, 2, n=1), UNDECIDED),
            (dict(swing={"0.0002": Seeds(0.5, 0.1), "0.002": Seeds(0.6, 0.1)}), NOT_REPRODUCED),
        ],
        [(by_rate(0.5, 1, 2), set()), (by_rate(0.5, 0.6, 0.6), set()), (by_rate(0.5, 1, 1), set())],
    ),
    "D5": Case(
        by_beta(0.5, 1.5, 1, 2.5),
        REPRODUCED,
        [
            (by_beta(0.5, 0.6, 1, 2.5), NOT_REPRODUCED),
            (by_beta(0.5, 1.5, 2, 1), NOT_REPRODUCED),
            (by_beta(0.5, 1.5, 1, math.inf), REPRODUCED),
            (by_beta(0.5, 1.5, 1, 2.5, n=4), UNDECIDED),
        ],
        [(by_beta(0.5, 0.75, 1, 2.5), set()), (by_beta(0.5, 0.75, 1, 1.5), set())],
    ),
    "D6": Case(
        dict(generator_change=Seeds(-0.6, 0.2), discriminator_change=Seeds(0.5, 0.2), epochs=30),
        REPRODUCED,
        [
            (dict(epochs=10), REPRODUCED),
            (dict(generator_change=Seeds(0.6, 0.2)), NOT_REPRODUCED),
            (dict(discriminator_change=Seeds(-0.5, 0.2)), NOT_REPRODUCED),
            (dict(discriminator_change=Seeds(-0.5, 0.2), epochs=29), UNDECIDED),
            (dict(generator_change=Seeds(-0.6, 0.2, 2), discriminator_change=Seeds(0.5, 0.2, 2)), UNDECIDED),
        ],
        [
            (dict(generator_change=Seeds(0, 0.2)), set()),
            (dict(generator_change=Seeds(0, 0.2), discriminator_change=Seeds(0, 0.2)), set()),
        ],
    ),
    "D8": Case(
        dict(after=net(0.6, 2, 0.95), before=(BLANK, BLANK, BLANK), shuffled=-0.05, epochs=30),
        REPRODUCED,
        [
            (dict(epochs=10), REPRODUCED),
            (dict(after=net(0.1, 2, 0.95)), NOT_REPRODUCED),
            (dict(after=net(0.6, 0.5, 0.95)), NOT_REPRODUCED),
            (dict(after=net(0.6, 2, 0.5)), NOT_REPRODUCED),
            (dict(after=net(0.6, 2, 0.5), epochs=29), UNDECIDED),
            (dict(after=None), UNDECIDED),
            (dict(before=(BLANK, net(0.6, 2, 0.95), BLANK), epochs=10), NOT_REPRODUCED),
            (dict(before=(BLANK, net(0.6, 2, 0.5), BLANK)), REPRODUCED),
            (dict(before=(net(math.nan, math.nan, math.nan), BLANK, BLANK)), REPRODUCED),
            (dict(shuffled=0.2), UNDECIDED),
        ],
        [
            (dict(after=net(0.3, 2, 0.95)), set()),
            (dict(after=net(0.3, 1, 0.8)), set()),
            (dict(before=(net(0.3, 2, 0.95), BLANK, BLANK)), set()),
            (dict(before=(net(0.6, 2, 0.8),) * 3), set()),
        ],
    ),
    "D9": Case(
        dict(arrived=pairs(0.4), others=pairs(-0.4), drawable=8),
        REPRODUCED,
        [
            (dict(arrived=pairs(-0.3)), NOT_REPRODUCED),
            (dict(others=pairs(0.4)), NOT_REPRODUCED),
            (dict(drawable=0), UNDECIDED),
            (dict(arrived=pairs(math.nan)), UNDECIDED),
        ],
        [
            (dict(arrived=pairs(0)), set()),
            (dict(others=pairs(0)), set()),
            (dict(arrived=pairs(0), others=pairs(0)), set()),
        ],
    ),
    "D10": Case(
        dict(gan=Seeds(0.02, 0.05), vae=Seeds(0.3, 0.06), chance={"gan": 0.02, "vae": 0.02}),
        REPRODUCED,
        [
            (dict(gan=Seeds(0.3, 0.05), vae=Seeds(0, 0.06)), NOT_REPRODUCED),
            (dict(gan=Seeds(0, 0.01), vae=Seeds(0, 0.01)), UNDECIDED),
            (dict(gan=Seeds(0.2, 0.01), vae=Seeds(0.2, 0.01)), UNDECIDED),
            (dict(vae=Seeds(0.03, 0.01), gan=Seeds(0, 0.01)), UNDECIDED),
            (dict(gan=Seeds(0.02, 0.05, 1), vae=Seeds(0.3, 0.06, 1)), UNDECIDED),
        ],
        [
            (dict(gan=Seeds(0, 0.05), vae=Seeds(0, 0.06)), set()),
            (dict(gan=Seeds(0.2, 0.05), vae=Seeds(0.2, 0.06)), set()),
        ],
    ),
    "D7": Case(
        gap(4, 0, -3) | dict(reader_light=0.99, reader_dark=0.97, epochs=30),
        REPRODUCED,
        [
            (dict(epochs=5), REPRODUCED),
            (gap(4, 4, -3), NOT_REPRODUCED),
            (gap(4, 4, -3) | dict(epochs=5), UNDECIDED),
            (gap(4, 0, 3), NOT_REPRODUCED),
            (gap(-4, -8, -9) | dict(epochs=5), NOT_REPRODUCED),
            (gap(4, 0, -3, n=1), UNDECIDED),
            (dict(reader_dark=0.89), UNDECIDED),
            (dict(reader_dark=math.nan), UNDECIDED),
        ],
        [(gap(0, 0, 0), set()), (gap(4, 2, -3), set()), (gap(4, 2, 0), set())],
    ),
}
