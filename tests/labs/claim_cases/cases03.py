import math

from simulate import Case, Seeds, Units

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED


def by_size(*means, sd):
    return {size: Seeds(mean, sd) for size, mean in zip(("32", "64", "256"), means, strict=True)}


def pictures(mean):
    return Units(mean, 0.3, 100, "people")


def rebuilt(mean):
    """Of fifteen people, ten shots each."""
    return Units(mean, 0.15, 15, "people")


def by_weight(*means, n=5):
    weights = ("0.001", "0.0001", "1e-05", "1e-06")
    return dict(distance={weight: Seeds(mean, 0.5, n) for weight, mean in zip(weights, means, strict=True)})


def by_latents(*means, sd=0.05):
    return {size: Seeds(mean, sd) for size, mean in zip(("32", "64", "128"), means, strict=True)}


NO_GAP = dict(gaps=by_size(10, 10, 10, sd=0.2), held_out=by_size(-300, -300, -300, sd=0.2))
FEW = dict(active=by_size(20, 20, 20, sd=1))
BLURRED = dict(samples_less=pictures(0.2), reconstructions_less=rebuilt(0.2))
CASES = {
    "C3": Case(
        dict(meaningful=Seeds(9, 2), by_chance=Seeds(3, 1.5), found=Seeds(4.4, 0.6), readable=5, epochs=12),
        REPRODUCED,
        [
            (dict(by_chance=Seeds(9.5, 0.2), meaningful=Seeds(9, 0.2)), CORRECTED),
            (dict(meaningful=Seeds(9, 2, 1), by_chance=Seeds(3, 1.5, 1), found=Seeds(4.4, 0.6, 1)), UNDECIDED),
            (dict(meaningful=Seeds(2, 0.5)), NOT_REPRODUCED),
            (dict(found=Seeds(2, 0.5)), NOT_REPRODUCED),
            (dict(found=Seeds(2, 0.5), epochs=9), UNDECIDED),
            (dict(found=Seeds(2, 0.5), readable=2), UNDECIDED),
            (dict(epochs=2), REPRODUCED),
        ],
        [
            (dict(by_chance=Seeds(9, 1.5)), {CORRECTED}),
            (dict(found=Seeds(3, 0.6)), set()),
            (dict(meaningful=Seeds(3, 1), by_chance=Seeds(0, 1), found=Seeds(3, 0.6)), set()),
        ],
    ),
    "C4": Case(
        dict(alone=Seeds(0.2, 0.1), margin=Seeds(0.29, 0.03), rotated=Seeds(0.29, 0.03), control=0.9, epochs=12),
        REPRODUCED,
        [
            (dict(margin=Seeds(0.45, 0.03)), CORRECTED),
            (dict(alone=Seeds(0.8, 0.1)), NOT_REPRODUCED),
            (dict(alone=Seeds(0.8, 0.1), epochs=9), UNDECIDED),
            (dict(control=0.5), UNDECIDED),
            (dict(control=math.nan), UNDECIDED),
            (dict(alone=Seeds(0.2, 0.1, 2), margin=Seeds(0.3, 0.03, 2), rotated=Seeds(0.3, 0.03, 2)), UNDECIDED),
        ],
        [
            ({}, {REPRODUCED}),
            (dict(margin=Seeds(0.39, 0.03)), {CORRECTED}),
            (dict(alone=Seeds(0.5, 0.1)), set()),
        ],
    ),
    "D1": Case(
        dict(time_ratio=3.8, distance_64=Seeds(30, 2), distance_128=Seeds(30, 2), distance_mean_face=100.0),
        REPRODUCED,
        [
            (dict(distance_128=Seeds(45, 2)), NOT_REPRODUCED),
            (dict(distance_128=Seeds(15, 2)), NOT_REPRODUCED),
            (dict(distance_mean_face=50.0), UNDECIDED),
            (dict(time_ratio=1.9, distance_mean_face=50.0), NOT_REPRODUCED),
            (dict(distance_64=Seeds(30, 2, 2), distance_128=Seeds(30, 2, 2)), UNDECIDED),
        ],
        [
            (dict(distance_128=Seeds(37.5, 2)), set()),
            (dict(distance_128=Seeds(24, 2)), set()),
            (dict(distance_mean_face=60.0), set()),
        ],
    ),
    "D2": Case(
        dict(
            gaps=by_size(10, 30, 60, sd=4),
            held_out=by_size(-300, -330, -360, sd=6),
            active=by_size(30, 60, 200, sd=1),
            skin_auc=Units(0.95, 0.3),
            smile_auc=Units(0.95, 0.3),
            epochs=10,
        ),
        REPRODUCED,
        [
            (dict(epochs=3), REPRODUCED),
            (dict(smile_auc=Units(0.5, 0.3)), NOT_REPRODUCED),
            (dict(smile_auc=Units(0.5, 0.3), epochs=3), UNDECIDED),
            (dict(skin_auc=Units(math.nan, 0.3)), UNDECIDED),
            (NO_GAP, NOT_REPRODUCED),
            (NO_GAP | FEW, CORRECTED),
            (NO_GAP | FEW | dict(epochs=9), UNDECIDED),
            (NO_GAP | FEW | dict(smile_auc=Units(0.5, 0.3)), NOT_REPRODUCED),
            (FEW, REPRODUCED),
        ],
        [
            (dict(gaps=by_size(10, 10, 60, sd=4), held_out=by_size(-300, -300, -360, sd=6)), {NOT_REPRODUCED}),
            (dict(smile_auc=Units(0.75, 0.3)), set()),
            (dict(gaps=by_size(10, 10, 10, sd=4), held_out=by_size(-300, -300, -300, sd=6)), {NOT_REPRODUCED}),
        ],
    ),
    "D3": Case(
        dict(
            samples_background=pictures(0.2),
            reconstructions_background=rebuilt(0.3),
            samples_less=pictures(-0.2),
            reconstructions_less=rebuilt(-0.2),
            epochs=10,
        ),
        REPRODUCED,
        [
            (dict(epochs=9), UNDECIDED),
            (dict(samples_background=pictures(0.7)), NOT_REPRODUCED),
            (dict(reconstructions_background=rebuilt(0.7)), NOT_REPRODUCED),
            (BLURRED, CORRECTED),
            (dict(samples_less=pictures(0.2)), CORRECTED),
        ],
        [
            (dict(samples_background=pictures(0.5)), set()),
            (dict(samples_background=pictures(0.5), reconstructions_background=rebuilt(0.5)), set()),
            (dict(samples_less=pictures(0), reconstructions_less=rebuilt(0)), set()),
        ],
    ),
    "E1": Case(
        dict(
            explained=Seeds(0.8, 0.02),
            odd_share=Seeds(0.3, 0.08),
            yaw_spread=Seeds(0.2, 0.08),
            change=Seeds(0.3, 0.08),
        ),
        REPRODUCED,
        [
            (dict(explained=Seeds(0.4, 0.02)), UNDECIDED),
            (dict(explained=Seeds(math.nan, 0.02)), UNDECIDED),
            (dict(yaw_spread=None), REPRODUCED),
            (dict(yaw_spread=Seeds(0.7, 0.08)), CORRECTED),
            (dict(odd_share=Seeds(0.7, 0.08)), CORRECTED),
            (dict(change=Seeds(0.7, 0.08)), CORRECTED),
            (dict(odd_share=Seeds(0.7, 0.08), change=Seeds(0.7, 0.08)), NOT_REPRODUCED),
        ],
        [
            (dict(odd_share=Seeds(0.5, 0.08)), set()),
            (dict(change=Seeds(0.5, 0.08)), set()),
            (dict(odd_share=Seeds(0.5, 0.08), yaw_spread=Seeds(0.5, 0.08), change=Seeds(0.5, 0.08)), set()),
        ],
    ),
    "E2": Case(
        by_weight(9, 7, 5, 8),
        REPRODUCED,
        [
            (by_weight(9, 3, 5, 8), CORRECTED),
            (by_weight(9, 3, 5, 3), NOT_REPRODUCED),
            (by_weight(9, 7, 5, 8, n=2), UNDECIDED),
        ],
        [(by_weight(9, 5, 5, 8), set()), (by_weight(9, 7, 5, 5), set()), (by_weight(5, 5, 5, 5), set())],
    ),
    "E3": Case(
        dict(
            explained=Seeds(0.8, 0.02),
            penalty=by_latents(1.6, 1.2, 1.6),
            largest_step=by_latents(1.2, 1.2, 1.3, sd=0.1),
        ),
        REPRODUCED,
        [
            (dict(explained=Seeds(0.4, 0.02)), UNDECIDED),
            (dict(penalty=by_latents(1.6, 1.5, 1.5)), CORRECTED),
            (dict(penalty=by_latents(1.6, 0.9, 1.6)), NOT_REPRODUCED),
            (dict(largest_step=by_latents(1.2, 2.5, 1.3, sd=0.1)), NOT_REPRODUCED),
        ],
        [
            (dict(penalty=by_latents(1.32, 1.2, 1.6)), set()),
            (dict(penalty=by_latents(1.32, 1.2, 1.32)), set()),
            (dict(penalty=by_latents(1.6, 1.0, 1.6)), set()),
        ],
    ),
    "E4": Case(
        dict(gradient_difference=0.1, moved=0.2),
        REPRODUCED,
        [
            (dict(gradient_difference=0.0, moved=0.0), NOT_REPRODUCED),
            (dict(moved=-0.1), NOT_REPRODUCED),
        ],
        deterministic=True,
    ),
    "E5": Case(
        dict(tabulated=(64, 48), mirrored=(64, 48)),
        REPRODUCED,
        [(dict(tabulated=(40, 32)), CORRECTED), (dict(tabulated=(40, 32), mirrored=(32, 24)), NOT_REPRODUCED)],
        deterministic=True,
    ),
}
