"""Cases in turns, with played processes: who takes which turn, when it is enough, and what a death or a lack costs."""

import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest

from bench.machine.limits import busy_share
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.records.record import Record
from bench.records.speed import speed_ratio
from bench.runs.turns import LEAST, TAKES, WAIT_S, Ended, Group, next_turn
from tests.bench.runs.played import EAGER, FAST, LATE, LATER, SAME, SLOW, Machine

SETTINGS = Settings(turns=20, group_s=60.0)


def run(machine: Machine, cases: tuple[Case, ...] = (FAST, EAGER, SLOW), **rest: Any) -> dict[Case, Ended]:
    rest = {"settings": SETTINGS, "draw": random.Random(0), "free_memory": lambda: 1 << 40} | rest
    quiet = {"busy_share": lambda seconds: 0.0}
    group = Group(cases, machine.start, **(quiet | rest))
    return {ended.case: ended for ended in group.run() if isinstance(ended, Ended)}


def record(ended: Ended) -> Record:
    return Record(ended.case, 0, ended.answer.status, windows=ended.answer.data["windows"])


def test_windows_interleave_until_the_order_is_settled() -> None:
    machine = Machine()
    ended = run(machine)
    assert {one.answer.status for one in ended.values()} == {"ok"}
    assert all(machine.turns_of(case) == list(range(1, LEAST + 1)) for case in (EAGER, FAST, SLOW))
    orders = [tuple(case for case, turn in machine.log if turn == number) for number in range(1, LEAST + 1)]
    assert all(len(order) == 3 for order in orders)
    assert len(set(orders)) > 1  # the order within a turn is drawn anew
    assert machine.most_alive == 3
    ratio = speed_ratio([record(ended[FAST])], [record(ended[SLOW])])
    assert ratio
    assert (ratio.basis, ratio.samples) == ("turns", LEAST)
    assert ratio.low
    assert ratio.low > 1


def test_only_what_is_not_settled_goes_on_with_the_fastest() -> None:
    machine = Machine()
    run(machine, (EAGER, SLOW, FAST, SAME))
    assert len(machine.turns_of(SLOW)) == LEAST
    assert len(machine.turns_of(SAME)) == len(machine.turns_of(FAST)) == SETTINGS.turns  # 2 % apart, in noise of 10 %


def test_no_turn_begins_after_the_end_of_a_budget_that_others_have_used_meanwhile() -> None:
    machine, left = Machine(), [60.0]
    group = Group((EAGER, FAST, LATE), machine.start, SETTINGS, random.Random(0), free_memory=lambda: 1 << 40,
                  busy_share=lambda seconds: 0.0, left_s=lambda: left[0])  # fmt: skip
    for part in group.run():
        left = [0.0] if isinstance(part, list) else left  # other groups took the rest while this one slept
    assert machine.turns_of(FAST) == list(range(1, LEAST + 1))
    assert machine.turns_of(LATE) == []


def test_a_case_starts_when_its_process_does_and_not_before_what_comes_first() -> None:
    machine, begun = Machine(), dict[Case, datetime]()

    @contextmanager
    def start(case: Case) -> Iterator[Any]:
        while datetime.now(UTC).replace(microsecond=0) == before:  # as long as others compile, or a server imports
            time.sleep(0.01)
        begun[case] = datetime.now(UTC).replace(microsecond=0)
        with machine.start(case) as child:
            yield child

    before = datetime.now(UTC).replace(microsecond=0)
    (ended,) = (one for one in Group((EAGER,), start, SETTINGS, random.Random(0)).run() if isinstance(one, Ended))
    assert datetime.fromisoformat(ended.started) >= begun[EAGER]


def test_a_disturbed_window_is_taken_again_in_the_same_turn() -> None:
    machine = Machine(disturbed=lambda case, turn, take: case == SLOW and turn == 3 and take == 0)
    ended = run(machine)
    assert machine.turns_of(SLOW).count(3) == 2
    assert machine.turns_of(FAST) == list(range(1, LEAST + 1))
    ratio = speed_ratio([record(ended[FAST])], [record(ended[SLOW])])
    assert ratio
    assert ratio.samples == LEAST  # the second window of the turn counts


def test_on_a_busy_machine_nothing_is_waited_for_in_the_end_and_nothing_is_settled() -> None:
    machine, waited = Machine(disturbed=lambda case, turn, take: True), []
    ended = run(machine, busy_share=lambda seconds: waited.append(seconds) or 1.0)
    assert len(machine.turns_of(FAST)) == SETTINGS.turns
    assert WAIT_S < sum(waited) < SETTINGS.group_s / 4 + 1
    assert speed_ratio([record(ended[FAST])], [record(ended[SLOW])]) is None
    waited.clear()
    run(Machine(disturbed=lambda case, turn, take: True), busy_share=lambda seconds: waited.append(seconds) or 1.0,
        settings=replace(SETTINGS, turns=1))  # fmt: skip
    assert abs(sum(waited) - WAIT_S) < 0.2  # once in a turn
    machine = Machine(disturbed=lambda case, turn, take: turn == 1)
    run(machine)
    assert machine.turns_of(FAST).count(1) == TAKES


@pytest.mark.parametrize("room", [2, 3])
def test_where_memory_is_short_what_others_are_held_against_stays_and_they_take_turns_in_parts(room: int) -> None:
    machine = Machine()
    ended = run(machine, (SLOW, FAST, SAME, EAGER), free_memory=lambda: (1 << 40) * (len(machine.alive) < room))
    assert len(ended) == 4
    assert machine.most_alive == room
    first, second = machine.turns_of(SLOW), machine.turns_of(SAME)
    assert max(first) < min(second)  # so that no two parts share a turn
    assert set(first) < set(machine.turns_of(EAGER))
    assert set(second) & set(machine.turns_of(EAGER))
    assert (set(second) & set(machine.turns_of(FAST)) != set()) == (room == 3)  # the fastest, where there is room


def test_what_compiles_long_comes_later_beside_the_baseline_and_the_fastest() -> None:
    machine = Machine()
    group = Group(
        (LATE, FAST, EAGER, SLOW, LATER), machine.start, SETTINGS, random.Random(0), count(1), lambda: 1 << 40
    )
    parts: list[list[Case]] = [[]]
    for ended in group.run():
        if isinstance(ended, Ended):
            parts[-1].append(ended.case)
            continue
        assert {member.case for member in ended} == {EAGER, FAST} == machine.alive
        assert not machine.turns_of(LATE)
        parts.append([])
    assert [set(part) for part in parts] == [{SLOW}, {EAGER, FAST, LATE, LATER}]
    turns = set(machine.turns_of(LATE))
    assert len(turns) == LEAST
    assert turns <= set(machine.turns_of(EAGER)) & set(machine.turns_of(FAST))  # windows of the same moments


@pytest.mark.parametrize("turn", [0, 1])
def test_a_part_that_all_die_in_keeps_none_waiting(turn: int) -> None:
    machine = Machine(dies={(FAST, turn): "crash", (SLOW, turn): "crash", (EAGER, turn): "crash"})
    ended = run(machine, (FAST, EAGER, SLOW, LATE, LATER))
    assert {case: one.answer.status for case, one in ended.items() if case in (LATE, LATER)} == {
        LATE: "ok", LATER: "ok"
    }  # fmt: skip
    machine = Machine(dies={(LATE, 0): "crash"})
    assert len(run(machine, (FAST, EAGER, LATE, SLOW))) == 4


def test_where_two_do_not_fit_each_measures_on_its_own() -> None:
    machine = Machine()
    ended = run(machine, free_memory=lambda: 0)
    assert machine.most_alive == 1
    assert len(ended) == 3
    assert all(turn is None for _, turn in machine.log)


def test_a_case_without_memory_beside_others_is_run_again_on_its_own() -> None:
    for turn in (0, 2):
        machine = Machine(dies={(SLOW, turn): "memory"})
        ended = run(machine)
        assert ended[SLOW].answer.status == "ok"
        assert [attempt["status"] for attempt in ended[SLOW].attempts] == ["memory"]
        assert machine.log[-1] == (SLOW, None)
        assert ended[FAST].attempts == []


def test_a_death_in_a_turn_costs_that_case_alone() -> None:
    machine = Machine(dies={(SLOW, 2): "crash"})
    ended = run(machine)
    assert ended[SLOW].answer.status == "crash"
    assert ended[FAST].answer.status == ended[EAGER].answer.status == "ok"
    assert len(machine.turns_of(FAST)) == LEAST


def test_a_later_sitting_has_later_turns() -> None:
    first = run(Machine(), (EAGER, FAST))
    turn = next_turn([record(one) for one in first.values()], 0)
    assert turn == LEAST + 1
    assert next_turn([record(one) for one in first.values()], 1) == 1
    second = run(Machine(), (SLOW, SAME), numbers=count(turn))
    apart = speed_ratio([record(first[FAST])], [record(second[SLOW])])
    assert apart is not None
    assert apart.basis == "windows"  # as of processes that ran one after the other: no turn is that of both


@pytest.mark.parametrize("cores", [{0}, {0, 63}])
def test_cores_whose_numbers_are_not_those_that_are_read_stop_no_sweep(
    cores: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: cores)
    monkeypatch.setattr("psutil.cpu_percent", lambda seconds, percpu: [50.0, 100.0])
    assert busy_share(0.1) == (0.5 if cores == {0} else 0.75)
