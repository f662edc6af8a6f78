import os
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.readings import IDLE, REASONS, Reading, Readings, Span, overlap_ns, overlapping
from bench.machine.watch import Watch

MS = 1_000_000
S = 1000 * MS


def soon(holds: Callable[[], bool]) -> bool:
    """Whether it holds before long, on a machine however busy."""
    end = time.monotonic() + 60
    while not holds() and time.monotonic() < end:
        time.sleep(0.02)
    return holds()


def readings(**values: list[float | int | None]) -> Readings:
    """A reading each tenth of a second, with these values in turn."""
    count = len(next(iter(values.values())))
    rows = [{name: found[k] for name, found in values.items()} for k in range(count)]
    return Readings([Reading(k * 100 * MS, **row) for k, row in enumerate(rows)])  # type: ignore[arg-type]


def test_this_machine_is_watched_by_another_process_that_dies_with_it() -> None:
    with Watch() as watch:
        end = time.monotonic() + 20
        while len(watch.so_far().readings) < 5 and time.monotonic() < end:
            time.sleep(0.05)
        found = watch.so_far()
        child = watch._child
    assert child is not None
    assert child.returncode is not None
    assert len(found.readings) >= 5
    times = [reading.ns for reading in found.readings]
    assert times == sorted(times)
    assert abs(times[-1] - time.perf_counter_ns()) < 20 * S  # one clock for both processes
    told = found.summary()
    assert 0 <= told["steal"] <= 1
    assert 0 <= told["others"] <= 1


@pytest.mark.timed
def test_other_work_is_seen_and_the_timed_process_is_not_other_work() -> None:
    def share(seconds: float) -> float:
        with Watch() as watch:
            while not watch.so_far().readings:
                time.sleep(0.05)
            begun, end = time.perf_counter_ns(), time.monotonic() + seconds
            while time.monotonic() < end:
                pass  # this process is busy throughout
            return watch.so_far().summary([(begun, time.perf_counter_ns())])["others"]

    alone = share(1.5)
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        crowded = share(1.5)
    finally:
        hog.kill()
        hog.wait()
    assert crowded > alone
    assert crowded > 0.3 / (os.cpu_count() or 1)


def test_a_watch_that_cannot_start_is_told_not_raised(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("bench.machine.watch.PYTHON", ("/nowhere/python",))
    with Watch() as watch:
        assert "did not start" in watch.so_far().summary()["unreadable"]


@pytest.mark.parametrize(
    ("harm", "why"),
    [
        (lambda watch: watch._child.kill(), "ended (exit status -9)"),
        (lambda watch: os.write(watch._log, b'rubbish\n[1]\n{"ns": "now"}\n{"nano": 1}\n\xff\n\n'), "no reading"),
    ],
)
def test_a_watching_process_that_fails_is_told_and_leaves_its_readings(
    harm: Callable[[Watch], object], why: str
) -> None:
    with Watch() as watch:
        assert soon(lambda: len(watch.so_far().readings) >= 2)
        harm(watch)
        assert soon(lambda: watch.so_far().why != "")
        found = watch.so_far()
    assert why in found.summary()["unreadable"]
    assert found.summary()["readings"] >= 2


def test_a_paused_watching_process_reads_nothing_and_goes_on_when_told() -> None:
    with Watch() as watch:
        assert soon(lambda: len(watch.so_far().readings) >= 2)
        paused_ns = time.perf_counter_ns()
        watch.pause(True)
        watch.pause(True)
        assert soon(lambda: watch.so_far().readings[-1].ns >= paused_ns)  # the last, for which none need wait
        count = len(watch.so_far().readings)
        time.sleep(0.3)
        assert len(watch.so_far().readings) == count
        watch.pause(False)
        assert soon(lambda: len(watch.so_far().readings) > count)


def test_a_long_time_without_a_reading_is_told() -> None:
    found = Readings([Reading(0), Reading(100 * MS), Reading(1900 * MS), Reading(2000 * MS)])
    assert found.summary()["gap_s"] == 1.8
    assert "gap_s" not in found.summary([(1910 * MS, 1990 * MS)])
    assert "gap_s" not in readings(steal=[0, 0, 0]).summary()


def test_a_stop_that_was_seen_spoils_the_time_from_the_reading_before_to_the_next() -> None:
    found = readings(stopped=[None, None, 1, 1, None, None])
    assert found.throttled_spans(0.1) == {"stopped": [(k * 100 * MS, (k + 1) * 100 * MS) for k in (1, 2, 3)]}
    assert found.summary([(250 * MS, 450 * MS)])["spoilt_s"] == {"stopped": 0.15}


def test_a_tick_of_steal_just_before_a_pause_is_no_throttling() -> None:
    """Of the 20 ms before the last reading a tick of 10 ms on one of two cores is a quarter, of 120 ms it is 4 %."""
    taken = [Reading(ns, ticks=ticks, steal=steal) for ns, ticks, steal in ((0, 0, 0), (100 * MS, 20, 0))]
    assert Readings([*taken, Reading(120 * MS, ticks=24, steal=1)]).throttled_spans(0.1) == {}
    assert Readings([*taken, Reading(120 * MS, ticks=24, steal=4)]).throttled_spans(0.1) == {"steal": [(0, 120 * MS)]}


def test_shares_are_of_the_stretches_that_were_timed_and_of_no_time_between_them() -> None:
    """As where a process sleeps while others, whose work must not count, have the machine."""
    found = readings(ticks=[0, 20, 40, 60, 80, 100], others=[0, 2, 4, 24, 26, 28])
    assert found.summary()["others"] == pytest.approx(0.28)
    assert found.summary([(110 * MS, 190 * MS), (310 * MS, 490 * MS)])["others"] == pytest.approx(0.1)
    assert found.share_of_others((210 * MS, 290 * MS)) == pytest.approx(1.0)
    assert Readings().share_of_others((0, MS)) == 0


def test_thermal_slowdown_spoils_and_a_power_cap_does_not() -> None:
    cap = 0x4
    found = readings(reasons=[0, cap, cap | REASONS["hw-thermal"], cap, 0])
    assert found.throttled_spans(0.1) == {"hw-thermal": [(100 * MS, 200 * MS)]}
    assert found.summary()["reasons"] == {"hw-thermal": 0.2, "power-cap": 0.6}


def test_a_dip_of_the_clock_spoils_and_a_steady_low_clock_does_not() -> None:
    dip = readings(sm_mhz=[1980, 1980, 1200, 1980, 1980])
    assert dip.throttled_spans(0.1) == {"sm-clock": [(100 * MS, 200 * MS)]}
    assert readings(sm_mhz=[1200] * 5).throttled_spans(0.1) == {}
    assert dip.summary()["sm_mhz"] == [1200, 1980, 1980]


def test_a_clock_that_is_low_for_want_of_work_is_no_throttling() -> None:
    """As at batch 1, where the card is idle for most of the time: its reasons say so. A dip at work is one still."""
    clocks: list[float | int | None] = [345, 1980, 1980, 1200, 345, 1980, 1200, 1980]
    found = readings(sm_mhz=clocks, reasons=[IDLE, 0, 0, 0, IDLE, 0, IDLE, 0])
    assert found.throttled_spans(0.1) == {"sm-clock": [(200 * MS, 300 * MS)]}
    # mostly idle: what is usual is the clock at work
    rarely = readings(sm_mhz=[345, 345, 345, 1980, 345, 1200], reasons=[IDLE, IDLE, IDLE, 0, IDLE, 0])
    assert rarely.throttled_spans(0.1) == {}
    assert readings(sm_mhz=[345] * 5, reasons=[IDLE] * 5).throttled_spans(0.1) == {}


def test_stolen_time_spoils_from_the_share_that_is_set() -> None:
    """Of 20 ticks of all cores between two readings, 0, 4 and 1 went to other guests."""
    stolen = readings(steal=[0, 0, 4, 5], ticks=[0, 20, 40, 60])
    assert stolen.throttled_spans(0.1) == {"steal": [(100 * MS, 200 * MS)]}
    assert stolen.throttled_spans(0.2) == {}
    assert stolen.summary()["steal"] == 5 / 60


def test_a_clock_at_rest_outside_the_window_says_nothing_of_it() -> None:
    found = readings(sm_mhz=[345, 1980, 1980, 1980, 345], steal=[0, 0, 0, 0, 0], ticks=[0, 20, 40, 60, 80])
    window = found.between((90 * MS, 350 * MS))
    assert window.throttled_spans(0.1) == {}
    assert window.summary()["sm_mhz"] == [1980, 1980, 1980]
    assert found.throttled_spans(0.1) != {}


def test_a_watching_process_that_was_stopped_is_a_gap_to_the_end_of_the_timing() -> None:
    readings = Readings([Reading(ns) for ns in range(0, 10**9, 10**8)])
    assert "gap_s" not in readings.summary([(0, 10**9)])
    assert readings.summary([(0, 10**8), (10**8, 5 * 10**9)])["gap_s"] == 4.1


def test_a_machine_that_tells_nothing_says_so() -> None:
    assert "unreadable" in Readings([], "no reason given").summary()


spans = st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 100)), max_size=30).map(
    lambda pairs: [(first, first + length) for first, length in sorted(pairs)]
)


@given(spans, st.dictionaries(st.sampled_from("abc"), spans, max_size=3))
def test_what_overlaps_is_what_a_plain_search_finds(samples: list[Span], bad: dict[str, list[Span]]) -> None:
    flat = [span for found in bad.values() for span in found]
    plain = [k for k, (a, b) in enumerate(samples) if any(low <= b and a <= high for low, high in flat)]
    assert overlapping(samples, bad) == plain
    for a, b in samples:
        covered = sum(any(low <= at and at + 1 <= high for low, high in flat) for at in range(a, b))
        assert overlap_ns((a, b), bad) == covered
