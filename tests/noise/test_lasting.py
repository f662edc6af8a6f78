"""Claims of the command line under noise that lasts, disturbs or throttles.

Bounds are those of `test_noise.py`, which a right product breaks once in 10,000 draws of the seed.
"""

from __future__ import annotations

import pytest

from tests.noise.comparing import many, moved_together
from tests.noise.histories import NIGHTS, false_changes, many_series, planted
from tests.noise.measured import Lab, Measured, bears
from tests.noise.shapes import SHAPES
from tests.noise.tails import medians, p99

NIGHT = {shape.name: shape for shape in NIGHTS}


def alarmed(lab: Lab, shape: str, design: str, sweeps: int, cases: int) -> Measured:
    """Count sweeps of identical code with a false alarm."""
    wrong = sum(bool(one.alarms) for one in many(lab, SHAPES[shape], design, sweeps, 10, cases))
    return Measured(f"false alarms {design}", shape, wrong, sweeps, most=0.05)


def test_a_machine_that_moved_is_one_sentence_and_no_alarm(lab: Lab) -> None:
    assert all(map(bears, moved_together(lab, 4, 20)))


@pytest.mark.parametrize("shape", ["ar.9", "drift", "throttled-s"])
def test_apart_noise_that_lasts_is_no_alarm(lab: Lab, shape: str) -> None:
    assert bears(alarmed(lab, shape, "apart", 8, 20))


def test_one_disturbed_round_hides_no_slowdown(lab: Lab) -> None:
    judged = many(lab, SHAPES["disturbed"], "apart", 5, 10, 30, 0.03)
    assert bears(Measured("power", "disturbed", sum(one.slower(0) for one in judged), 10, least=0.9))


def test_three_rounds_show_a_fifth(lab: Lab) -> None:
    judged = many(lab, SHAPES["normal"], "turns", 8, 3, 20, 0.2)
    assert bears(Measured("power", "normal", sum(one.slower(0) for one in judged), 16, least=0.84))


def test_a_bump_is_two_changes(lab: Lab) -> None:
    bump, _ = next(pair for pair in zip(*[iter(planted(lab, 3, cases=4))] * 2, strict=True))
    assert bears(bump)


def test_nights_that_are_alike_their_neighbours_are_no_change(lab: Lab) -> None:
    assert bears(false_changes(lab, NIGHT["ar.9"], 5, cases=8, commits=50))


def test_over_a_thousand_series_hide_no_doubling(lab: Lab) -> None:
    assert bears(many_series(lab, 501, 14))


@pytest.mark.parametrize("rho", [0.5, 0.9])
def test_the_interval_of_a_median_of_correlated_samples_covers_it(lab: Lab, rho: float) -> None:
    assert all(map(bears, medians(lab, rho, 2)))


def test_a_p99_of_correlated_samples_is_within_a_limit(lab: Lab) -> None:
    within, _ = p99(lab, "alike", 0.9, 2, 3, 250)
    assert bears(within)
