import os
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.machine.readings import IDLE, REASONS, Reading, Readings, Span, overlap_ns, overlapping
from bench.machine.watch import Watch

MS = 1_000_000
S = 1000 * MS


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
