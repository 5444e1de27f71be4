import math

from simulate import Case, PValue, Units

from labkit.claims import CORRECTED, NOT_REPRODUCED, REPRODUCED, UNDECIDED


def two(a, b):
    return {"new shots": a, "strangers": b}


def walk(unit):
    return Case(
        dict(
            plausible_share=Units(0.97, 0.05, 16, unit),
            largest_step=Units(0.22, 0.1, 16, unit),
            upward_steps=Units(0.97, 0.06, 16, unit),
        ),
        REPRODUCED,
        [
            (dict(plausible_share=Units(0.8, 0.05, 16, unit)), NOT_REPRODUCED),
            (dict(largest_step=Units(0.4, 0.1, 16, unit)), NOT_REPRODUCED),
            (dict(upward_steps=Units(0.8, 0.06, 16, unit)), NOT_REPRODUCED),
            (dict(largest_step=Units(math.nan, 0.1, 16, unit)), UNDECIDED),
        ],
        [
            (dict(plausible_share=Units(0.9, 0.05, 16, unit)), set()),
            (
                dict(
                    plausible_share=Units(0.9, 0.05, 16, unit),
                    largest_step=Units(1 / 3, 0.1, 16, unit),
                    upward_steps=Units(0.9, 0.06, 16, unit),
                ),
                set(),
            ),
        ],
    )


FINE = dict(strong_not_finite=two(Units(0.001, 0.001), Units(0.001, 0.001, 8)))
FINE |= dict(strong_median_margin=two(Units(2, 5), Units(2, 5, 8)))
CASES = {
    "A1": Case(
        dict(components_for_90=66), REPRODUCED, [(dict(components_for_90=65), NOT_REPRODUCED)], deterministic=True
    ),
    "A2": Case(
        dict(share_at_64=0.8974),
        REPRODUCED,
        [(dict(share_at_64=0.8976), NOT_REPRODUCED), (dict(share_at_64=0.8964), NOT_REPRODUCED)],
        deterministic=True,
    ),
    "A3": Case(
        dict(correlation=-0.71, one_sign_share=0.98, auc=Units(0.92, 0.3)),
        REPRODUCED,
        [
            (dict(correlation=0.5), NOT_REPRODUCED),
            (dict(one_sign_share=0.89), NOT_REPRODUCED),
            (dict(auc=Units(0.54, 0.3)), NOT_REPRODUCED),
            (dict(auc=Units(math.nan, 0.3)), UNDECIDED),
            (dict(auc=Units(0.92, 0.3, 1)), UNDECIDED),
        ],
        [(dict(auc=Units(0.75, 0.3)), set())],
    ),
    "A4": Case(
        dict(epochs=5000, slope_k14=Units(-20, 9, 9, "blocks"), slope_k8=Units(-1, 3, 9, "blocks")),
        REPRODUCED,
        [
            (dict(epochs=1500), UNDECIDED),
            (dict(slope_k14=Units(-2, 9, 9, "blocks")), NOT_REPRODUCED),
            (dict(slope_k8=Units(-9, 3, 9, "blocks")), NOT_REPRODUCED),
            (dict(slope_k8=Units(9, 3, 9, "blocks")), NOT_REPRODUCED),
        ],
        [
            (dict(slope_k14=Units(-6.4, 9, 9, "blocks")), set()),
            (dict(slope_k8=Units(6.4, 3, 9, "blocks")), set()),
            (dict(slope_k14=Units(-6.4, 9, 9, "blocks"), slope_k8=Units(-6.4, 3, 9, "blocks")), set()),
        ],
    ),
    "A5": Case(
        dict(early_epochs=500, late_epochs=5000, ratio=Units(1.0, 0.1)),
        REPRODUCED,
        [
            (dict(ratio=Units(1.2, 0.1)), NOT_REPRODUCED),
            (dict(ratio=Units(0.5, 0.1)), REPRODUCED),
            (dict(late_epochs=1500), UNDECIDED),
            (dict(early_epochs=1000), UNDECIDED),
        ],
        [(dict(ratio=Units(1.05, 0.1)), set())],
    ),
    "A6": Case(
        dict(p_value=0.001, rank_correlation=Units(-0.7, 0.5), epochs=5000),
        CORRECTED,
        [
            (dict(rank_correlation=Units(0.1, 0.5)), NOT_REPRODUCED),
            (dict(rank_correlation=Units(0.1, 0.5), epochs=1500), UNDECIDED),
            (dict(epochs=1500), CORRECTED),
            (dict(p_value=0.2), UNDECIDED),
        ],
        [(dict(rank_correlation=Units(-0.4, 0.5)), set()), (dict(p_value=PValue()), set())],
    ),
    "A7": Case(
        dict(r2_linear=Units(0.995, 0.01, 20, "blocks"), gain=Units(0.2, 0.1, 20, "blocks"), epochs=5000),
        REPRODUCED,
        [
            (dict(r2_linear=Units(0.7, 0.01, 20, "blocks")), NOT_REPRODUCED),
            (dict(gain=Units(-0.1, 0.1, 20, "blocks")), NOT_REPRODUCED),
            (dict(epochs=600), UNDECIDED),
        ],
        [
            (dict(r2_linear=Units(0.98, 0.01, 20, "blocks")), set()),
            (dict(gain=Units(0, 0.1, 20, "blocks")), set()),
        ],
    ),
    "A8": Case(
        dict(
            epochs=500,
            strong_not_finite=two(Units(0.3, 0.2), Units(0.6, 0.2, 8)),
            strong_median_margin=two(Units(-5, 9), Units(math.nan, 9, 8)),
            report_cure_margin=two(Units(3, 3), Units(4, 2, 8)),
        ),
        REPRODUCED,
        [
            (dict(report_cure_margin=two(Units(3, 3), Units(-4, 2, 8))), CORRECTED),
            (dict(report_cure_margin=two(Units(-3, 3), Units(-4, 2, 8))), NOT_REPRODUCED),
            (dict(report_cure_margin=two(Units(3, 3), Units(math.nan, 2, 8))), UNDECIDED),
            (FINE, UNDECIDED),
            (FINE | dict(epochs=5000), NOT_REPRODUCED),
            (FINE | dict(strong_median_margin=two(Units(-90, 5), Units(2, 5, 8))), REPRODUCED),
        ],
        [
            (dict(report_cure_margin=two(Units(0, 3), Units(4, 2, 8))), set()),
            (dict(report_cure_margin=two(Units(0, 3), Units(0, 2, 8))), set()),
            (
                dict(
                    epochs=5000,
                    strong_not_finite=two(Units(0.01, 0.03), Units(0.01, 0.03, 8)),
                    strong_median_margin=two(Units(-64, 9), Units(-64, 9, 8)),
                ),
                set(),
            ),
        ],
    ),
    "A9": walk("walks"),
    "A10": walk("people"),
    "A11": Case(
        dict(strong_usable=Units(0.2, 0.2, 8), weak_usable=Units(0.98, 0.03, 8), epochs=5000),
        REPRODUCED,
        [
            (dict(epochs=200), REPRODUCED),
            (dict(strong_usable=Units(0.7, 0.1, 8), epochs=200), UNDECIDED),
            (dict(strong_usable=Units(0.7, 0.1, 8)), NOT_REPRODUCED),
            (dict(weak_usable=Units(0.5, 0.2, 8), epochs=200), NOT_REPRODUCED),
        ],
        [
            (dict(strong_usable=Units(0.5, 0.2, 8)), set()),
            (dict(weak_usable=Units(0.9, 0.03, 8)), set()),
            (dict(strong_usable=Units(0.5, 0.2, 8), weak_usable=Units(0.9, 0.03, 8)), set()),
        ],
    ),
    "A12": Case(
        dict(
            quantiles={"Eyeglasses": Units(0.95, 0.2), "Beard": Units(0.92, 0.2), "Mustache": Units(0.1, 0.2)},
            likelihood_quantile=Units(0.005, 0.05),
            epochs=5000,
        ),
        REPRODUCED,
        [
            (dict(likelihood_quantile=Units(0.6, 0.05), epochs=100), UNDECIDED),
            (dict(likelihood_quantile=Units(0.6, 0.05)), NOT_REPRODUCED),
            (dict(quantiles={"Eyeglasses": Units(0.95, 0.2), "Beard": Units(0.2, 0.2)}), NOT_REPRODUCED),
            (dict(quantiles={"Eyeglasses": Units(0.95, 0.2), "Beard": Units(0.92, 0.2)}, epochs=9), REPRODUCED),
        ],
        [
            (
                dict(quantiles={"Eyeglasses": Units(0.95, 0.2), "B": Units(0.75, 0.2), "C": Units(0.75, 0.2)}),
                set(),
            ),
            (dict(likelihood_quantile=Units(0.05, 0.05)), set()),
        ],
    ),
    "B1": Case(
        dict(nearest_power_of_two=64),
        REPRODUCED,
        [(dict(nearest_power_of_two=128), NOT_REPRODUCED)],
        deterministic=True,
    ),
    "B2": Case(
        dict(final_loss=Units(-5.3, 1.0), final_loss_wrong_divisor=Units(-5.75, 1.0), epochs=150),
        REPRODUCED,
        [
            (dict(final_loss=Units(53, 1.0), final_loss_wrong_divisor=Units(57, 1.0)), NOT_REPRODUCED),
            (dict(final_loss=Units(53, 1.0)), REPRODUCED),
            (dict(final_loss=Units(math.nan, 1), final_loss_wrong_divisor=Units(math.nan, 1)), UNDECIDED),
            (dict(epochs=10), UNDECIDED),
        ],
        [
            (dict(final_loss=Units(-4.78, 1.0), final_loss_wrong_divisor=Units(-4.78, 1.0)), set()),
            (dict(final_loss=Units(-6.78, 1.0), final_loss_wrong_divisor=Units(-4.78, 1.0)), set()),
        ],
    ),
    "B3": Case(
        dict(low=Units(-29, 60, 1000, "samples"), high=Units(18, 60, 1000, "samples"), epochs=150),
        REPRODUCED,
        [
            (dict(low=Units(-66, 60, 1000, "samples")), NOT_REPRODUCED),
            (dict(high=Units(40, 60, 1000, "samples")), NOT_REPRODUCED),
            (dict(epochs=10), UNDECIDED),
        ],
        [
            (dict(low=Units(-36, 60, 1000, "samples")), set()),
            (dict(low=Units(-36, 60, 1000, "samples"), high=Units(25, 60, 1000, "samples")), set()),
        ],
    ),
}
