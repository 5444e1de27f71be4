import random

import pytest

from labkit.course.grade.marks.score import LateRule, parse_late_rule, penalty, score_exercise
from labkit.errors import LabkitError

DAY = 86400.0


def entry(*passed):
    return {"properties": [{"name": str(n), "passed": each, "hint": ""} for n, each in enumerate(passed)]}


@pytest.mark.parametrize(
    ("passed", "points"), [((True, True), 6), ((True, False), 3), ((False,), 0), ((True, True, False), 4)]
)
def test_points_are_the_share_of_properties_that_hold(passed, points):
    score = score_exercise(6.0, entry(*passed))
    assert score.points == pytest.approx(points)
    assert score.passed == sum(passed) and not score.reason


@pytest.mark.parametrize("exercise", [None, {}, {"properties": []}, "full marks", {"points": 6}, 6])
def test_what_names_no_property_gets_no_points_and_a_reason(exercise):
    score = score_exercise(6.0, exercise, "the kernel died.")
    assert score.points == 0 and score.reason == "the kernel died."


@pytest.mark.parametrize("forged", [1, "yes", [True], 1.0])
def test_only_true_itself_passes(forged):
    assert score_exercise(6.0, entry(forged)).points == 0


def test_a_period_begun_costs_its_share_of_what_was_earned():
    rule = parse_late_rule("10%/day", "1h")
    late = {0: 0, 3600: 0, 3601: 1, DAY + 3600: 1, DAY + 3601: 2, 20 * DAY: 10}
    for seconds, tenths in late.items():
        assert penalty(8.0, seconds, rule) == pytest.approx(0.8 * tenths), seconds


def test_a_penalty_is_never_more_than_the_score_nor_falls_with_time():
    generator = random.Random(0)
    for _ in range(200):
        rule = LateRule(generator.random(), generator.choice([3600.0, DAY]), generator.random() * DAY)
        score, first, second = (
            generator.random() * 10,
            *sorted(generator.random() * 30 * DAY for _ in range(2)),
        )
        assert 0 <= penalty(score, first, rule) <= penalty(score, second, rule) <= score


@pytest.mark.parametrize("nothing", [None, 0.0, -5.0])
def test_who_is_not_late_or_not_dated_loses_nothing(nothing):
    assert penalty(8.0, nothing, parse_late_rule("100%/hour")) == 0


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("2%/hour", LateRule(0.02, 3600.0)),
        ("12.5 % per day", LateRule(0.125, DAY)),
        ("none", LateRule()),
        (None, LateRule()),
    ],
)
def test_rules_are_read(text, rule):
    assert parse_late_rule(text) == rule


@pytest.mark.parametrize(("rule", "grace"), [("10", None), ("10%/year", None), ("101%/day", None), ("-1%/day", None)])
def test_what_is_no_rule_is_refused_in_a_sentence(rule, grace):
    with pytest.raises(LabkitError, match="10%/day"):
        parse_late_rule(rule, grace)
    with pytest.raises(LabkitError, match="--grace soon"):
        parse_late_rule("10%/day", "soon")


def test_a_grace_alone_does_not_take_the_rule_back():
    with pytest.raises(LabkitError, match="--grace 1h: belongs to a rule"):
        parse_late_rule(None, "1h")


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("30min", 1800), ("2 days", 2 * DAY), ("90s", 90)])
def test_graces_are_read(text, seconds):
    assert parse_late_rule("10%/day", text).grace_seconds == seconds


def test_a_claim_of_points_counts_for_nothing_and_a_reason_is_kept():
    score = score_exercise(6.0, entry(True, False) | {"points": 6, "reason": "no phi."})
    assert (score.points, score.reason) == (3, "no phi.")
