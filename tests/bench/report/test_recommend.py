import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bench.records.record import Record
from bench.report.exported import group_as_json
from bench.report.recommend import (
    GIB,
    MAX_SAMPLES,
    OBJECTIVES,
    Assessment,
    Budget,
    Choice,
    advantage,
    assess,
    choose,
    samples_to_decide,
)
from bench.report.recommend_groups import Group, pareto_front
from bench.report.recommend_runs import rounds_to_separate, useful_runs
from bench.report.recommend_text import agreement_bound, differing_axes, print_recommendation
from bench.report.rows import rows_from_records
from bench.stats import quantile_places, samples_needed
from tests.bench.report.shown import windows

Make = Callable[..., Record]
MS = 1_000_000
EAGER, COMPILE, FUSED = (f"resnet50/{variant}/fp32/b1/i224/stream" for variant in ("eager", "compile", "library-fused"))


def speed(images_per_s: float) -> dict[str, Any]:
    return {"throughput": {"images": 1000, "ns": round(1e12 / images_per_s)}}


def steady(ms: float, count: int = 700, slow: int = 0, slow_ms: float = 100.0) -> dict[str, Any]:
    """Latencies, of which `slow` are slow ones, far apart as independent ones are."""
    ns = [round(ms * MS)] * count
    for place in range(slow):
        ns[(2 * place + 1) * count // (2 * slow)] = round(slow_ms * MS)
    return {"latency_ns": ns}


def judged(record: Record, **budget: Any) -> Assessment:
    (row,) = rows_from_records([record])
    return assess(row, Budget(**budget))


# ---- one limit at a time


def test_a_p99_is_within_the_limit_if_its_upper_bound_is(record: Make) -> None:
    within = judged(record(EAGER, **steady(10)), p99_ns=10 * MS)
    assert within.fits
    # 5 of 700 slow: the p99 is 10 ms, and its 99 % bound is not
    between = judged(record(EAGER, **steady(10, 700, 5)), p99_ns=50 * MS)
    assert (between.violated, len(between.undecided)) == ([], 1)
    assert "between 10 and 100" in between.undecided[0]
    assert between.samples_missing > 0
    over = judged(record(EAGER, **steady(10, 700, 20)), p99_ns=50 * MS)
    assert (over.violated, over.undecided) == (["p99 over 50 ms"], [])
    # 8 of 700 slow: the p99 is over the limit, and its lower bound is not, so that luck may be behind it
    near = judged(record(EAGER, **steady(10, 700, 8)), p99_ns=50 * MS)
    assert (near.violated, len(near.undecided)) == ([], 1)


def test_too_few_samples_leave_a_p99_open_and_say_how_many_more(record: Make) -> None:
    few = judged(record(EAGER, **steady(10, 100)), p99_ns=50 * MS)
    assert few.undecided == ["p99 within 50 ms not shown (100 samples, p99 needs 662)"]
    assert few.samples_missing == 562


def test_few_samples_that_are_nearly_all_slow_are_over_the_limit(record: Make) -> None:
    assert judged(record(EAGER, **steady(10, 12)), p99_ns=5 * MS).violated == ["p99 over 5 ms"]
    # one slow one of twelve happens in one process of nine with a p99 that is within the limit
    assert judged(record(EAGER, **steady(10, 12, 1)), p99_ns=50 * MS).violated == []


def test_a_share_close_to_one_in_a_hundred_asks_for_another_look_not_for_days(record: Make) -> None:
    assert samples_to_decide(1000, 9) > 50_000
    found = judged(record(EAGER, **steady(10, 1000, 9)), p99_ns=50 * MS)
    assert found.samples_missing == 3 * 1000
    assert judged(record(EAGER, **steady(10, 50, 1)), p99_ns=50 * MS).samples_missing == 612


@given(count=st.integers(1, 3000), beyond=st.integers(0, 40))
def test_the_samples_wanted_show_the_p99_if_as_many_are_beyond(count: int, beyond: int) -> None:
    beyond = min(beyond, count)
    needed = samples_to_decide(count, beyond)
    assert needed >= max(count, samples_needed(0.99))
    if needed < 20_000:
        slow = -(-beyond * needed // count)
        places = quantile_places(needed, 0.99)
        assert places
        assert places[2] < needed - slow  # the upper bound is none of the slow ones
    if beyond / count >= 0.01:
        assert needed == MAX_SAMPLES


def test_memory_is_the_process_s_on_its_device(record: Make) -> None:
    used = {"memory": {"host_resident_peak": 3 * GIB, "device_process": GIB}}
    assert judged(record(EAGER, **used), memory_bytes=2 * GIB).violated == ["memory over 2 GiB"]
    assert judged(record(EAGER, **used, device="cuda"), memory_bytes=2 * GIB).fits


def test_memory_that_was_not_read_is_open_with_its_reason(record: Make) -> None:
    unread = {"memory": {"host_resident_peak": None, "host_resident_peak_unreadable": "OSError: no"}}
    assert judged(record(EAGER, **unread), memory_bytes=GIB).undecided == ["memory not on record (OSError: no)"]
    assert judged(record(EAGER, memory={}), memory_bytes=GIB).undecided == ["memory not on record (an older record)"]


def test_agreement_is_the_worst_check_s(record: Make) -> None:
    gate = {"before": {"top1": 1.0, "pictures": 16}, "after": {"top1": 0.9375, "pictures": 16}}
    one = record(EAGER, gate=gate)
    assert judged(one, agreement=0.95).violated == ["top-1 agreement under 0.95"]
    assert judged(one, agreement=0.9).fits
    share, pictures, least = agreement_bound(rows_from_records([one])[0]) or (0, 0, 0)
    assert (share, pictures) == (0.9375, 16)
    # Clopper and Pearson: with that probability of agreement, 15 or 16 of 16 would come in one case of twenty
    assert 16 * least**15 * (1 - least) + least**16 == pytest.approx(0.05)
    assert judged(record(EAGER, gate={}), agreement=0.9).undecided == ["agreement not on record, as it was not scored"]


def test_pictures_that_all_agree_bound_the_agreement(record: Make) -> None:
    gate = {"before": {"top1": 1.0, "pictures": 299}}
    found = agreement_bound(rows_from_records([record(EAGER, gate=gate)])[0])
    assert found
    assert found[2] == pytest.approx(0.05 ** (1 / 299))


def test_energy_that_was_not_read_is_open(record: Make) -> None:
    read = record(EAGER, energy={"joules": 50.0, "images": 100})
    assert judged(read, objective="energy").value == 0.5
    told = judged(record(EAGER), objective="energy").undecided
    assert told == ["no energy on record (only a GPU's counter is read)"]


def test_beside_other_work_no_p99_is_shown_over_a_limit_and_nothing_is_clear(record: Make) -> None:
    busy = {"watch": {"others": 0.8}}
    over = judged(record(EAGER, **steady(100), **busy), p99_ns=50 * MS)
    assert (over.violated, len(over.undecided), over.disturbed) == ([], 1, True)
    assert judged(record(EAGER, **steady(10), **busy), p99_ns=50 * MS).fits  # which other work does not do
    rounds = [record(EAGER, round=k, **speed(100), **busy) for k in range(8)]
    rounds += [record(COMPILE, round=k, **speed(200 + k), **busy) for k in range(8)]
    assert choose(rounds, Budget()).clear is False
    for one in rounds:
        one.watch = {}
    assert choose(rounds, Budget()).clear is True


# ---- what failed, and what is not known


def test_a_case_that_failed_in_a_round_is_not_recommended_for_its_others(record: Make) -> None:
    rounds = [record(EAGER, **speed(100)), record(COMPILE, **speed(50))]
    for status, answer in (("wrong", ([], {"wrong in 1 of 2 rounds": 1})), ("crash", ([EAGER], {}))):
        found = choose([*rounds, record(EAGER, round=1, status=status, reason="no")], Budget(memory_bytes=GIB))
        assert [case.row.case.name for case in found.fitting] == [COMPILE]
        assert ([case.row.case.name for case in found.undecided], dict(found.excluded)) == answer
    # a round lost to a throttling machine says nothing about the case
    found = choose([*rounds, record(EAGER, round=1, status="throttled", reason="no")], Budget())
    assert [case.row.case.name for case in found.fitting] == [EAGER, COMPILE]


@pytest.mark.parametrize(
    ("statuses", "answer"),
    [
        (["throttled", "skipped"], "cannot tell"),
        (["skipped", "wrong"], "no"),
        ([], "cannot tell"),
    ],
)
def test_a_speed_that_throttling_withheld_is_unknown_and_a_failure_is_no(
    statuses: list[str], answer: str, record: Make
) -> None:
    names = (EAGER, COMPILE)
    records = [record(name, status=status, reason="x") for name, status in zip(names, statuses, strict=False)]
    assert choose(records, Budget(p99_ns=MS)).answer == answer


# ---- the choice


def test_the_best_under_the_budget_is_not_the_fastest_of_all(record: Make) -> None:
    records = [
        record(EAGER, **steady(10), **speed(100)),
        record(COMPILE, **steady(8), **speed(120)),
        record(FUSED, **steady(30), **speed(300)),
        record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="no"),
    ]
    found = choose(records, Budget(p99_ns=20 * MS))
    assert [one.row.case.name for one in found.fitting] == [COMPILE, EAGER]
    assert found.excluded == {"p99 over 20 ms": 1, "skipped: this machine cannot run it": 1}
    assert found.best
    assert found.best.value == pytest.approx(120)
    assert differing_axes(found.best.row, found.runner_up.row) == ["variant (compile, eager)"]  # type: ignore[union-attr]


@pytest.mark.parametrize(("objective", "best"), [("throughput", FUSED), ("latency", COMPILE), ("energy", EAGER)])
def test_each_objective_has_its_best(record: Make, objective: str, best: str) -> None:
    records = [
        record(EAGER, **steady(10), **speed(100), energy={"joules": 1, "images": 10}),
        record(COMPILE, **steady(8), **speed(120), energy={"joules": 2, "images": 10}),
        record(FUSED, **steady(30), **speed(300), energy={"joules": 3, "images": 10}),
    ]
    found = choose(records, Budget(objective=objective))
    assert found.best
    assert found.best.row.case.name == best


def test_a_lead_is_clear_where_its_interval_over_rounds_excludes_one(record: Make) -> None:
    def pair(lead: list[float]) -> list[Record]:
        # the machine slows down, and both with it
        base = [100.0, 80.0, 60.0, 50.0]
        return [
            made
            for k, (speed_, factor) in enumerate(zip(base, lead, strict=True))
            for made in (
                record(EAGER, round=k, **speed(speed_)),
                record(COMPILE, round=k, **speed(speed_ * factor)),
            )
        ]

    clear = choose(pair([1.20, 1.21, 1.19, 1.20]), Budget())
    assert clear.clear is True
    assert rounds_to_separate(clear) is None
    assert clear.advantage
    assert clear.advantage.value == pytest.approx(1.2, abs=0.01)
    noisy = choose(pair([1.4, 0.9, 1.3, 0.95]), Budget())
    assert noisy.clear is False
    assert (rounds_to_separate(noisy) or 0) > 8
    hopeless = choose(pair([1.4, 0.72, 1.4, 0.72]), Budget())
    assert rounds_to_separate(hopeless) is None


def test_one_round_tells_no_difference(record: Make) -> None:
    found = choose([record(EAGER, **speed(100)), record(COMPILE, **speed(200))], Budget())
    assert found.clear is None
    assert rounds_to_separate(found) == 8


def test_a_lead_that_is_a_tie_in_the_answer_is_not_clear(record: Make) -> None:
    def pair(lead: float) -> list[Record]:
        rates = {EAGER: 100, COMPILE: 100 * lead}
        return [record(case, **windows([rate] * 8)) for case, rate in rates.items()]

    assert choose(pair(1.01), Budget()).clear is False
    assert choose(pair(1.03), Budget()).clear is True


def test_beside_other_work_the_run_that_tells_two_apart_is_a_new_one(record: Make, tmp_path: Path) -> None:
    """Rounds added to those beside other work would leave the two as unclear as they were."""
    busy = {"watch": {"others": 0.8}}
    found = choose([record(EAGER, **speed(100), **busy), record(COMPILE, **speed(200), **busy)], Budget())
    (why, command), *_ = useful_runs(found, [tmp_path])
    assert why.startswith("Once this machine is quiet: ")
    assert "--rounds 8" in command
    assert "--resume" not in command


def test_the_turns_that_another_case_of_the_group_spoilt_count_for_no_pair(record: Make) -> None:
    """The answer drops them for all; and where they are most, neither names a best."""

    def found(spoilt: int) -> Choice:
        rates = {COMPILE: [100.0] * 4 + [130.0] * 6, EAGER: [99.0] * 10}
        records = [record(case, **windows(of_case)) for case, of_case in rates.items()]
        records.append(record(FUSED, **windows([50] * 10, disturbed=range(spoilt))))
        return choose(records, Budget())

    for spoilt in (0, 4):
        choice = found(spoilt)
        assert choice.advantage
        assert (choice.advantage.samples, choice.answer) == (10 - spoilt, "case")
    assert (found(6).answer, found(6).disturbance) == ("cannot tell", "6 of 10 turns were disturbed")


def test_an_order_by_disturbed_windows_alone_says_that_it_is(record: Make, capsys: pytest.CaptureFixture[str]) -> None:
    for disturbed, said in ((range(10), "first, by disturbed windows alone, is"), (range(6), "ahead in this run was")):
        busy = [
            record(case, **windows([rate] * 10, disturbed=disturbed)) for case, rate in ((EAGER, 99), (COMPILE, 120))
        ]
        print_recommendation(Console(width=200), [Group("here", choose(busy, Budget()), [])], False)
        assert f"{said} compile/fp32" in capsys.readouterr().out


def test_a_disturbed_machine_leaves_what_no_speed_decides(record: Make) -> None:
    busy = [record(name, watch={"others": 0.68}, energy={"joules": 1, "images": 10}) for name in (EAGER, COMPILE)]
    assert choose(busy, Budget()).answer == choose(busy, Budget(objective="latency")).answer == "cannot tell"
    assert choose(busy, Budget(objective="energy")).answer == "case"
    assert choose(busy[:1], Budget()).answer == "case"
    assert "OTHER WORK took up to 68%" in choose(busy[:1], Budget()).evidence


def test_a_best_of_many_needs_a_clearer_lead(record: Make) -> None:
    """Picked after a look at all, it is held against as many as there are."""
    leads = [1.05, 1.12, 1.02, 1.09]
    two = [record(EAGER, round=k, **speed(100)) for k in range(4)]
    two += [record(COMPILE, round=k, **speed(100 * lead)) for k, lead in enumerate(leads)]
    assert choose(two, Budget()).clear is True
    names = [f"resnet50/{v}/bf16/b{b}/i224/stream" for v in ("eager", "compile", "library-fused") for b in (1, 2, 4, 8)]
    many = [record(name, round=k, **speed(50)) for name in names for k in range(4)]
    assert choose(two + many, Budget()).clear is False


def test_a_best_is_held_against_every_case_that_fits_not_the_runner_up_alone(record: Make) -> None:
    """The noisy third may be the best: its median is behind, and in some rounds it is far ahead."""
    noisy = [1.5, 0.8, 1.4, 0.75, 1.3, 0.8]
    records = [record(EAGER, round=k, **speed(100)) for k in range(6)]
    records += [record(COMPILE, round=k, **speed(120 + k % 2)) for k in range(6)]
    clear = choose(records, Budget())
    assert (clear.clear, clear.challenger) == (True, clear.runner_up)
    found = choose([*records, *(record(FUSED, round=k, **speed(90 * noisy[k])) for k in range(6))], Budget())
    assert found.best
    assert found.runner_up
    assert found.challenger
    assert found.best.row.case.name == COMPILE
    assert found.runner_up.row.case.name == EAGER
    assert found.challenger.row.case.name == FUSED
    assert found.clear is False
    assert found.advantage
    assert found.advantage.low
    assert found.advantage.low < 1
    assert (rounds_to_separate(found) or 0) >= 8


def test_the_lead_that_is_printed_is_the_least_sure_and_says_of_which_case(
    record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rates = {EAGER: [100.0] * 6, COMPILE: [120.0, 121.0] * 3, FUSED: [60.0, 110.0] * 3}
    records = [
        record(name, round=k, **speed(rate)) for name, of_case in rates.items() for k, rate in enumerate(of_case)
    ]
    choice = choose(records, Budget())
    print_recommendation(Console(width=400), [Group("here", choice, [Path()])], False)
    said = capsys.readouterr().out
    assert "Runner-up: eager/fp32" in said
    assert " times better than library-fused/fp32, batch 1, the least sure of its leads, " in said
    ahead = group_as_json(Group("here", choice, [Path()]), False)["ahead"]
    assert ahead["over"] == FUSED
    assert ahead["interval"][0] < 1


def test_what_shares_no_round_with_the_best_leaves_its_lead_open(record: Make) -> None:
    records = [record(EAGER, round=k, **speed(100)) for k in range(6)]
    records += [record(COMPILE, round=k, **speed(120 + k % 2)) for k in range(6)]
    found = choose([*records, record(FUSED, round=7, **speed(90))], Budget())
    assert found.clear is None
    assert found.challenger
    assert found.challenger.row.case.name == FUSED
    assert rounds_to_separate(found) == 8


# ---- of which processes a p99 is


def scattered(seed: int, level_ms: float, count: int = 729) -> dict[str, Any]:
    draw = random.Random(seed)
    return {"latency_ns": [round(level_ms * MS * draw.lognormvariate(0, 0.01)) for _ in range(count)]}


@pytest.mark.parametrize(
    ("levels", "limit", "sentence"),
    [
        (
            [10],
            12,
            "is shown for this process alone: 3 rounds of 100 samples or more would show what another process may have",
        ),
        ([10, 10.1], 12, "is shown for these 2 processes: 3 rounds of 100 samples or more would"),
        ([10, 10.5, 11], 12, "is shown for these 3 processes; another may be over it (at most "),
        ([10, 10.01, 10.02], 12, "is shown for these 3 processes, and for another if processes differ as these do"),
    ],
)
def test_a_limit_is_shown_for_these_processes_and_another_s_bound_stands_beside_it(
    levels: list[float], limit: float, sentence: str, record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = [record(EAGER, round=k, **scattered(k, level)) for k, level in enumerate(levels)]
    choice = choose(rounds, Budget(p99_ns=limit * MS))
    assert choice.best
    print_recommendation(Console(width=600), [Group("here", choice, [Path()])], False)
    said = capsys.readouterr().out
    assert f"The limit of {limit:g} ms {sentence}" in said
    assert f"p99 of {'this process' if len(levels) == 1 else 'these processes'} " in said
    assert ("another process's is not known" in said) is (len(levels) < 3)
    another = group_as_json(Group("here", choice, [Path()]), False)["best"]["p99_another_upper_ns"]
    assert (another is None) is (len(levels) < 3)


def test_samples_that_follow_each_other_show_no_p99_until_there_are_more(record: Make) -> None:
    draw, ns, last = random.Random(0), list[int](), 0.0
    for _ in range(729):
        last = 0.9 * last + 0.44 * draw.gauss(0, 1)
        ns.append(round(10 * MS * (1 + 0.01 * last)))
    open_ = judged(record(EAGER, latency_ns=ns), p99_ns=12 * MS)
    assert not open_.fits
    assert "729 samples that count as " in open_.undecided[0]
    assert open_.samples_missing > 700
    assert judged(record(EAGER, latency_ns=draw.sample(ns, 729)), p99_ns=12 * MS).fits  # the same as independent ones


def test_for_latency_and_energy_less_is_ahead(record: Make) -> None:
    one, other = rows_from_records(
        [record(EAGER, ms=20, round=k) for k in range(3)] + [record(FUSED, ms=10, round=k) for k in range(3)]
    )
    assert one.case.name == FUSED
    found = advantage(one, other, OBJECTIVES["latency"])
    assert found
    assert found.value == pytest.approx(2)


def test_rounds_that_only_one_has_do_not_count(record: Make) -> None:
    one, other = rows_from_records([record(EAGER, round=0), record(COMPILE, round=1)])
    assert advantage(one, other, OBJECTIVES["throughput"]) is None


def test_an_open_case_that_would_be_better_is_promising(record: Make) -> None:
    records = [
        record(EAGER, **steady(10), **speed(100)),
        record(COMPILE, **steady(8, 50), **speed(120)),
        record(FUSED, **steady(8, 50), **speed(90)),
    ]
    found = choose(records, Budget(p99_ns=20 * MS))
    assert [one.row.case.name for one in found.promising] == [COMPILE]
    assert [one.row.case.name for one in choose(records[1:], Budget(p99_ns=20 * MS)).promising] == [COMPILE, FUSED]


def test_what_an_open_case_gains_rests_on_the_rounds_of_both(record: Make) -> None:
    """The other folder's round of the choice was twice as fast: no ratio of medians over all rounds is of it."""
    records = [
        record(EAGER, **steady(10), **speed(100)),
        record(COMPILE, **steady(8, 50), **speed(180)),
        record(EAGER, round=1, **steady(10), **speed(300)),
    ]
    (one,) = choose(records, Budget(p99_ns=20 * MS)).promising
    assert one.over_best
    assert one.over_best.value == pytest.approx(1.8)


def test_one_ahead_in_the_rounds_of_both_is_chosen_whatever_the_medians_are(record: Make) -> None:
    rounds = [record(name, round=0, **speed(rate)) for name, rate in ((EAGER, 100), (COMPILE, 120))]
    found = choose([*rounds, record(EAGER, round=1, **speed(900))], Budget())
    assert found.best
    assert found.best.row.case.name == COMPILE


def test_the_front_has_what_none_beats_in_everything(record: Make) -> None:
    def one(name: str, ms: float, rate: float, mib: int) -> Record:
        return record(name, ms=ms, **speed(rate), memory={"host_resident_peak": mib << 20})

    records = [
        one(EAGER, 10, 100, 400),  # the least memory
        one(COMPILE, 8, 120, 500),
        one(FUSED, 9, 110, 600),  # beaten in all three
        one("resnet50/compile/fp32/b8/i224/stream", 40, 200, 900),  # the most throughput
        one("resnet50/eager/fp32/b8/i224/stream", 40, 200, 900),  # as good: both stay
    ]
    front = [found.row.case.name for found in pareto_front(choose(records, Budget()).fitting)]
    assert sorted(front) == sorted(made.case.name for made in records if made.case.name != FUSED)
