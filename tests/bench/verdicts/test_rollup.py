"""The roll-up of a variant: which ratio, which interval, how often that holds the truth, and when there is none."""

from math import exp, log

import numpy as np
import pytest

from bench.records.record import Record
from bench.verdicts import judge
from bench.verdicts.alike import effects
from bench.verdicts.rollup import RollUp, roll_up
from bench.verdicts.rule import RULE
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders

CASES = {f"resnet50/{variant}/fp32/b{n}/i224/stream": 10.0 for variant in ("eager", "compile") for n in range(1, 5)}
SIMULATIONS = 400


def named(rolled: list[RollUp], name: str, metric: str = "latency") -> RollUp:
    (one,) = (one for one in rolled if one.name == name and one.metric == metric)
    return one


def simulated(draw: np.random.Generator, paired: bool, common: float, lost: float, cases: int) -> dict[str, bool]:
    """Whether each interval of one simulation holds the truth: the change of half of the cases is 1 %, in the mean.

    Rounds disturb all cases together, and in head those of a variant together.
    """
    rounds, half = 8, cases // 2
    names = [f"resnet50/{'eager' if n < half else 'compile'}/fp32/b{n + 1}/i224/stream" for n in range(cases)]
    is_second = np.arange(cases) >= half
    truth = 0.01 * is_second + draw.normal(0, 0.02, cases)
    turns = [draw.normal(0, 0.01, rounds)] * 2 if paired else [draw.normal(0, 0.01, rounds) for _ in range(2)]
    base, head = (turn + draw.normal(0, 0.01, (cases, rounds)) for turn in turns)
    head = head + np.where(is_second[:, None], draw.normal(0, 0.01, rounds), 0.0) + truth[:, None] + common
    gone = draw.random((cases, rounds)) < lost
    base, head = np.where(gone & paired, np.nan, base), np.where(gone, np.nan, head)
    none = [""] * cases
    test = judge.Tests(
        "latency", names, paired, np.exp(base), np.exp(head), effects(base, head, paired), none, none, 0.02, RULE
    )
    held = {}
    for one in roll_up([test], test.verdicts(test.p, cases)):
        assert one.low
        assert one.high
        of = truth if not one.variant else truth[is_second == (one.variant == "compile")]
        held[one.name] = one.low <= exp(of.mean() + common) / (one.common or 1.0) <= one.high
    return held


@pytest.mark.parametrize(
    ("paired", "common", "lost", "cases"),
    [(True, 0.0, 0.0, 10), (True, 0.0, 0.15, 10), (False, 0.0, 0.0, 10), (False, 0.05, 0.0, 40)],
)
def test_the_interval_holds_the_truth_nineteen_times_in_twenty(
    paired: bool, common: float, lost: float, cases: int
) -> None:
    draw = np.random.default_rng(5)
    held = [simulated(draw, paired, common, lost, cases) for _ in range(SIMULATIONS)]
    for name in ("all", "eager", "compile"):
        assert 0.92 <= np.mean([one[name] for one in held]) <= 0.985, name


def test_a_variant_s_change_is_the_geometric_mean_of_its_cases_and_its_verdicts_are_counted(folder: Folder) -> None:
    slow = {case: ms * (1.06 if "compile" in case else 1.0) for case, ms in CASES.items()}
    comparison = compare_folders(folder("base", CASES, turns=1), folder("head", slow, turns=2))
    one = named(comparison.rollup, "compile")
    ratios = [v.ratio for v in comparison.verdicts if "compile" in v.case and v.metric == "latency" and v.ratio]
    assert one.ratio == pytest.approx(exp(np.mean([log(ratio) for ratio in ratios])))
    assert one.low
    assert one.high
    assert 1.05 < one.low < one.ratio < one.high < 1.07
    assert (one.slower, one.faster, one.same, one.open) == (4, 0, 0, 0)
    assert (one.cases, one.basis, one.common) == (4, "8 rounds in turns", None)
    assert named(comparison.rollup, "eager").same == 4
    every = named(comparison.rollup, "all")
    assert (every.cases, every.slower, every.same) == (8, 4, 4)
    assert every.ratio == pytest.approx(1.06**0.5, abs=0.003)
    weights = named(comparison.rollup, "compile", "weights")
    assert (weights.ratio, weights.low, weights.basis, weights.same) == (1.0, None, "exact", 4)


def test_precisions_are_apart_where_there_are_several_and_one_variant_has_no_row_of_all(folder: Folder) -> None:
    both = {CASE: 10.0, CASE.replace("fp32", "fp16"): 5.0}
    comparison = compare_folders(folder("base", both), folder("head", both))
    assert {one.name for one in comparison.rollup} == {"all", "eager/fp32", "eager/fp16"}
    alone = compare_folders(folder("one", {CASE: 10.0}), folder("two", {CASE: 10.0}))
    assert {one.name for one in alone.rollup} == {"eager"}


def test_without_rounds_enough_there_is_a_ratio_and_no_interval(folder: Folder) -> None:
    base, head = folder("base", CASES, rounds=2), folder("head", CASES, rounds=2)
    one = named(compare_folders(base, head).rollup, "eager")
    assert one.ratio
    assert (one.low, one.high, one.basis, one.open) == (None, None, "under 3 rounds", 4)


def test_apart_variants_are_without_what_all_cases_share_and_all_has_it(folder: Folder) -> None:
    cases = {f"resnet50/{v}/fp32/b{n}/i224/stream": 10.0 for v in ("eager", "compile") for n in range(1, 21)}
    head = folder("head", {case: ms * 1.05 for case, ms in cases.items()})
    rolled = compare_folders(folder("base", cases), head).rollup
    every, eager = named(rolled, "all"), named(rolled, "eager")
    assert every.ratio == pytest.approx(1.05, abs=0.005)
    assert every.common is None
    assert eager.ratio == pytest.approx(1.0, abs=0.005)
    assert eager.common == pytest.approx(1.05, abs=0.005)
    assert every.basis == "8 and 8 rounds apart, as if independent"


def test_what_may_not_be_judged_is_in_no_mean(folder: Folder) -> None:
    def hot(record: Record) -> None:
        if record.case.name == OTHER and record.round < 4:
            record.status, record.reason = "throttled", "hot"

    both = {CASE: 10.0, OTHER: 10.0}
    rolled = compare_folders(folder("base", both), folder("head", both | {OTHER: 20.0}, change=hot)).rollup
    assert (named(rolled, "all").cases, named(rolled, "all").open) == (1, 1)
    assert named(rolled, "all").ratio == pytest.approx(1.0, abs=0.01)
    assert (named(rolled, "compile").ratio, named(rolled, "compile").basis) == (None, "no case that may be judged")
