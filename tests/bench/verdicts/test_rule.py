from math import inf, log, log1p, nan, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from bench.verdicts.rule import (
    AMBIGUOUS,
    FASTER,
    RULE,
    SAME,
    SLOWER,
    WORDS,
    Array,
    _prior,
    _trigamma_inverse,
    estimate,
    exact_verdict,
    holm,
    rounds_needed,
    separation,
    smallest_detected,
    verdicts,
)

rng = np.random.default_rng


def sides(change: float, noise: float, tests: int = 1, rounds: int = 10, seed: int = 0) -> tuple[Array, Array]:
    base, head = noise * rng(seed).standard_normal((2, tests, rounds))
    return base, head + log1p(change)


def words(base: Array, head: Array, paired: bool = False, minimum: float = 0.02, sign: int = 1) -> list[str]:
    estimates = estimate(base, head, paired)
    return [WORDS[index] for index in verdicts(estimates, holm(estimates.p), minimum, sign)]


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize(
    ("change", "word"), [(0.0, SAME), (0.1, SLOWER), (-0.1, FASTER), (0.02, AMBIGUOUS), (0.005, SAME)]
)
def test_a_change_is_called_what_it_is(change: float, word: str, paired: bool) -> None:
    assert words(*sides(change, 0.003), paired) == [word]


def test_less_is_worse_where_more_is_better() -> None:
    assert words(*sides(0.1, 0.003), sign=-1) == [FASTER]
    assert words(*sides(-0.1, 0.003), sign=-1) == [SLOWER]


def test_a_significant_change_below_the_minimum_is_same() -> None:
    base, head = sides(0.01, 0.001)
    assert estimate(base, head, False).p[0] < 1e-6
    assert words(base, head) == [SAME]
    assert words(base, head, minimum=0.005) == [SLOWER]


def test_a_large_change_within_the_noise_is_ambiguous() -> None:
    assert words(*sides(0.05, 0.1)) == [AMBIGUOUS]


@pytest.mark.parametrize("rounds", [1, 2, RULE.min_rounds - 1])
def test_too_few_rounds_are_ambiguous_whatever_they_show(rounds: int) -> None:
    assert words(*sides(1.0, 0.001, rounds=rounds)) == [AMBIGUOUS]
    assert words(*sides(0.0, 0.0001, rounds=rounds)) == [AMBIGUOUS]


def test_what_does_not_vary_has_no_error_and_no_part_in_the_correction() -> None:
    base = np.log(np.full((3, 8), 7.3))
    head = base + np.array([0.0, log1p(0.1), 0.0])[:, None]
    head[2, :4] += 0.001
    estimates = estimate(base, head, False)
    assert estimates.error[:2].tolist() == [0.0, 0.0]
    assert estimates.effect[0] == 0.0
    assert np.isnan(estimates.p[:2]).all()
    assert np.isfinite(estimates.p[2])
    assert np.isfinite(estimates.half_width()).all()


def test_a_round_that_left_nothing_is_left_out() -> None:
    base, head = sides(0.1, 0.003, rounds=12)
    base[0, 3], head[0, 7] = nan, -inf
    two, one = estimate(base, head, False), estimate(base, head, True)
    assert (two.base_rounds[0], two.head_rounds[0]) == (11, 11)
    assert (one.base_rounds[0], one.head_rounds[0]) == (10, 10)
    whole = np.delete(head - base, [3, 7], axis=-1)
    assert one.effect[0] == pytest.approx(whole.mean())


def test_without_moderation_it_is_what_scipy_says() -> None:
    base, head = sides(0.01, 0.02, tests=5)
    two = estimate(base, head, False, moderate=False)
    theirs = stats.ttest_ind(head, base, axis=-1, equal_var=False)
    assert two.p == pytest.approx(theirs.pvalue)
    assert two.df == pytest.approx(theirs.df)
    low = theirs.confidence_interval().low
    assert two.effect - two.half_width(0.05) == pytest.approx(low)
    one = estimate(base, head, True, moderate=False)
    assert one.p == pytest.approx(stats.ttest_rel(head, base, axis=-1).pvalue)


@settings(deadline=None)
@given(st.integers(0, 1000), st.floats(0.01, 100), st.floats(-0.2, 0.2), st.floats(0.0001, 0.1), st.booleans())
def test_units_order_and_sides_make_no_difference(
    seed: int, scale: float, change: float, noise: float, paired: bool
) -> None:
    base, head = sides(change, noise, tests=30, seed=seed)
    estimates, mirrored = estimate(base, head, paired), estimate(head, base, paired)
    scaled = estimate(base + log(scale), head + log(scale), paired)
    order = rng(seed).permutation(10)
    shuffled = estimate(base[:, order], head[:, order], paired)
    for other in (scaled, shuffled):
        assert other.p == pytest.approx(estimates.p, rel=1e-4, abs=1e-12)
        assert other.half_width() == pytest.approx(estimates.half_width(), rel=1e-4)
    assert mirrored.effect == pytest.approx(-estimates.effect)
    assert mirrored.p == pytest.approx(estimates.p)


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_holms_correction_is_what_its_definition_says(given_: list[float]) -> None:
    ordered, worst, expected = sorted(enumerate(given_), key=lambda pair: pair[1]), 0.0, [0.0] * len(given_)
    for rank, (place, p) in enumerate(ordered):
        worst = max(worst, p * (len(given_) - rank))
        expected[place] = min(worst, 1.0)
    assert holm(np.array(given_)).tolist() == pytest.approx(expected)


def test_what_is_no_test_is_not_counted() -> None:
    corrected = holm(np.array([nan, 0.01, nan, 0.02]))
    assert corrected[[1, 3]].tolist() == pytest.approx([0.02, 0.02])
    assert np.isnan(corrected[[0, 2]]).all()


@settings(deadline=None)
@given(st.floats(1e-4, 1e3))
def test_the_inverse_of_the_trigamma_function_is_one(x: float) -> None:
    assert special.polygamma(1, _trigamma_inverse(np.array([x])))[0] == pytest.approx(x, rel=1e-6)


def test_the_common_variance_and_how_alike_the_variances_are_is_found() -> None:
    draw = rng(1)
    true = 4.0 * 6 / draw.chisquare(6, 20000)  # scaled inverse chi-square of 6 degrees
    variances = true * draw.chisquare(9, 20000) / 9
    weight, common = _prior(variances, np.full(20000, 9.0))
    assert weight == pytest.approx(6, rel=0.1)
    assert common == pytest.approx(4, rel=0.05)


def test_a_quiet_case_lends_its_quiet_to_no_noisy_one() -> None:
    base, head = sides(0.0, 0.01, tests=100)
    base[0] *= 20
    alone = estimate(base[:1], head[:1], False)
    among = estimate(base, head, False)
    assert among.error[0] == pytest.approx(alone.error[0], rel=0.01)
    # and one that is quiet by luck is not believed
    base[1], head[1] = base[1] / 50, head[1] / 50
    assert estimate(base, head, False).error[1] > 10 * estimate(base[1:2], head[1:2], False).error[0]


def test_intervals_cover() -> None:
    for paired in (False, True):
        base, head = sides(0.0, 1.0, tests=20000, rounds=8, seed=3)
        estimates = estimate(base, head, paired)
        assert 0.945 < (np.abs(estimates.effect) <= estimates.half_width(0.05)).mean() < 0.985


@pytest.mark.parametrize(
    ("base", "head", "minimum", "sign", "word"),
    [
        (5, 5, 0.0, 1, SAME),
        (0, 0, 0.0, 1, SAME),
        (0, 1, 0.02, 1, SLOWER),
        (1, 0, 0.02, 1, FASTER),
        (0, 1, 0.02, -1, FASTER),
        (100, 101, 0.02, 1, SAME),
        (100, 103, 0.02, 1, SLOWER),
        (100, 97, 0.02, 1, FASTER),
        (100, 101, 0.0, 1, SLOWER),
    ],
)
def test_two_numbers_without_noise_are_compared_as_they_are(
    base: float, head: float, minimum: float, sign: int, word: str
) -> None:
    assert exact_verdict(base, head, minimum, sign) == word


def exactly(change: float, deviation: float, rounds: int) -> tuple[Array, Array]:
    """Sides whose means and standard deviations are these."""
    shape = rng(5).standard_normal(rounds)
    shape = (shape - shape.mean()) / shape.std(ddof=1)
    return deviation * shape[None, :], (deviation * shape + change)[None, :]


@pytest.mark.parametrize(("change", "settled"), [(0.03, SLOWER), (0.012, SAME), (0.0, SAME)])
def test_with_the_rounds_it_wants_a_test_is_settled_and_with_fewer_it_is_not(change: float, settled: str) -> None:
    estimates = estimate(*exactly(change, 0.04, 8), False)
    rounds = rounds_needed(estimates, 0, 0.02, 1, False)
    assert rounds
    assert rounds > 8
    assert words(*exactly(change, 0.04, rounds)) == [settled]
    assert words(*exactly(change, 0.04, int(0.8 * rounds))) == [AMBIGUOUS]


def test_no_number_of_rounds_settles_what_is_as_large_as_the_minimum() -> None:
    estimates = estimate(*exactly(log1p(0.02), 0.04, 8), False)
    assert rounds_needed(estimates, 0, 0.02, 1, False) is None


def test_more_looks_make_each_stricter() -> None:
    rule = RULE.per_look(5)
    assert (rule.family_alpha, rule.test_alpha) == (RULE.family_alpha / 5, RULE.test_alpha / 5)
    assert rule.interval_alpha == RULE.interval_alpha / 5
    base, head = exactly(0.03, 0.03 / 3.6 * sqrt(10 / 2), 10)
    estimates = estimate(base, head, False)
    assert WORDS[verdicts(estimates, holm(estimates.p), 0.02)[0]] == SLOWER
    assert WORDS[verdicts(estimates, holm(estimates.p), 0.02, rule=rule)[0]] == AMBIGUOUS


def test_a_noisier_side_has_a_prior_of_its_own() -> None:
    """One for both sides would call every fourth case of the noisier side quieter than it can be."""
    base, head = sides(0.0, 0.01, tests=450)
    estimates = estimate(base, 2 * head, False)
    least = sqrt((0.01**2 + 0.02**2) / 10)
    assert estimates.error.min() == pytest.approx(least, rel=0.06)


@pytest.mark.parametrize("noise", [0.01, 0.1])
@pytest.mark.parametrize("rounds", [3, 4, 5, 10])
def test_the_smallest_change_is_detected_nine_times_in_ten(rounds: int, noise: float) -> None:
    """With few rounds of 10 % noise their spread stands in the way, more than the gap of 10 %."""
    base, head = sides(0.0, noise, tests=450, rounds=rounds)
    smallest = smallest_detected(estimate(base, head, False), 0.02, 450)
    again, changed = sides(0.0, noise, tests=450, rounds=rounds, seed=1)
    changed = changed + np.median(smallest)
    estimates = estimate(again, changed, False)
    alone = np.minimum(estimates.p * 450, 1.0)
    slower = verdicts(estimates, alone, 0.02, separated=separation(again, changed)) == 0
    assert 0.85 < slower.mean() < 0.95


def test_nothing_is_detected_with_two_rounds() -> None:
    base, head = sides(0.0, 0.01, tests=450, rounds=2)
    assert np.isnan(smallest_detected(estimate(base, head, False), 0.02, 450)).all()


def test_rounds_are_apart_by_the_least_distance_and_not_where_they_spread_more() -> None:
    base, head = np.array([[1.0, 1.1, nan], [1.0, 1.1, 1.2]]), np.array([[1.3, 1.4, 1.5], [1.3, 1.4, 1.5]])
    assert separation(base[:1], head[:1]).tolist() == [0.0]  # 0.2, as far as head's own rounds
    assert separation(base[:1], head[:1], 0.3).tolist() == pytest.approx([0.5])
    assert separation(head[:1], base[:1], -0.3).tolist() == pytest.approx([-0.5])
    assert separation(base, head)[1] == 0.0
