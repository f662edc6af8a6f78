"""Windows and samples that other work or a stop disturbed are known from those that nothing did, and no others are."""

import json
import os
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.machine.readings import Reading, Readings
from bench.machine.watch import OTHER_WORK, Watch
from bench.plans.plan import Settings
from bench.worker.measure.clock import QUOTA, Clock
from bench.worker.measure.measure import measure
from bench.worker.measure.windows import Window, longest_wait, measure_throughput, median_window, window_fields
from tests.bench.worker.measure.clocks import INPUTS, MS, FakeClock, forever

TURN_MS = 150


def windows(*kinds: tuple[float, float | None]) -> list[Window]:
    """A window for each pair: the cores that ran, and the share of it that a thread waited."""
    return [
        Window(
            10,
            (k * TURN_MS * MS, (k + 1) * TURN_MS * MS),
            ran_ns=int(ran * TURN_MS * MS),
            waited_ns=None if wait is None else int(wait * TURN_MS * MS),
        )
        for k, (ran, wait) in enumerate(kinds)
    ]


def reasons(measured: list[Window], readings: Readings = Readings(), ran_share: float = 0.0) -> list[str]:  # noqa: B008
    return [row.get("disturbed", "") for row in window_fields(measured, readings, 0.1, ran_share)[0]]


def test_a_window_that_waited_for_cores_is_other_works_and_one_that_did_not_run_was_stopped() -> None:
    quiet, crowded, halted, late = (1.97, 0.01), (1.3, 0.34), (0.9, 0.02), (1.9, 0.09)
    rows, spoilt_ns = window_fields(windows(quiet, crowded, quiet, halted, quiet, late), Readings(), 0.1)
    assert [row.get("disturbed", "") for row in rows] == ["", OTHER_WORK, "", "stopped", "", ""]
    assert spoilt_ns == TURN_MS * MS  # other work spoils nothing: the record keeps its speed


def test_one_window_alone_is_held_against_the_latency_samples() -> None:
    halted = windows((0.9, 0.02))
    assert reasons(halted, ran_share=1.97) == ["stopped"]
    assert reasons(halted, ran_share=1.0) == [""]
    assert reasons(halted) == [""]


def test_what_a_quota_holds_back_is_no_stop_however_it_falls_into_windows() -> None:
    held = [replace(window, held_back_ns=9 * MS) for window in windows((2.5, 0.0), (1.9, 0.0), (2.6, 0.0), (2.4, 0.0))]
    assert reasons(held) == ["", "", "", ""]
    assert reasons(held[1:2], ran_share=8.0) == [""]


def test_threads_that_wait_for_each_other_alone_are_not_kept_by_other_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.worker.measure.windows.cores", lambda: 2)
    assert reasons(windows((1.99, 0.75))) == [""]  # eight threads, which had both cores
    assert reasons(windows((1.7, 0.75), (1.7, 0.15))) == [OTHER_WORK, OTHER_WORK]


def test_where_waits_are_not_counted_the_work_of_others_is_read_beside() -> None:
    busy = Readings([Reading(k * 50 * MS, ticks=10 * k, others=0 if k < 4 else 5 * (k - 4)) for k in range(20)])
    assert reasons(windows((1.9, None), (1.9, None), (1.9, None)), busy) == ["", OTHER_WORK, OTHER_WORK]
    assert reasons(windows((1.9, 0.0), (1.9, 0.0), (1.9, 0.0)), busy) == ["", "", ""]


def test_the_thread_that_waited_longest_counts_without_what_a_quota_held_back() -> None:
    before, after = {"1": 5, "2": 100}, {"1": 45, "2": 110, "3": 7}
    assert longest_wait(before, after) == 40
    assert longest_wait(before | {QUOTA: 3}, after | {QUOTA: 33}) == 10
    assert longest_wait(before | {QUOTA: 3}, after | {QUOTA: 99}) == 0
    assert longest_wait({}, {}) is None
    waits = Clock().waits()
    assert not waits or (QUOTA in waits and str(os.getpid()) in waits)


def test_the_throughput_is_of_the_least_disturbed_windows() -> None:
    rows = [
        {"images": images, "ns": 100} | ({"disturbed": disturbed} if disturbed else {})
        for images, disturbed in ((9, ""), (5, OTHER_WORK), (6, OTHER_WORK), (1, "stopped"), (2, "steal, other work"))
    ]
    assert median_window(rows)["images"] == 9
    assert median_window(rows[1:])["images"] == 5
    assert median_window(rows[3:])["images"] == 1


def test_a_sample_in_which_the_process_stood_still_is_dropped_and_one_that_shared_its_cores_is_not() -> None:
    class Stalls(FakeClock):
        """Every 20th execution takes ten times as long: it has half the cores, or every other none for nine tenths."""

        count = stood = 0

        def run(self, x: Tensor) -> Tensor:
            before = self.time
            result = super().run(x)
            if self.time - before > 100 * MS:
                self.count += 1
                self.stood += (self.time - before) * 9 // 10 if self.count % 2 else (self.time - before) // 2
            return result

        def ran(self) -> int:
            return self.time - self.stood

    law = [20 * MS if k % 20 else 200 * MS for k in range(1, 10_000)]
    measured = measure((clock := Stalls(law)).run, INPUTS, clock, Settings())
    fields = measured.fields(Readings(), 0.1)
    dropped = [k for first, last in fields["throttled"]["latency"] for k in range(first, last + 1)]
    long = [k for k, ns in enumerate(fields["latency_ns"]) if ns > 100 * MS]
    assert dropped in (long[::2], long[1::2])
    assert fields["watch"]["spoilt_s"]["stopped"] >= 0.2


def test_a_cpu_window_ends_when_its_time_is_up_however_slow_its_executions_become() -> None:
    clock = FakeClock(forever(400 * MS))
    window = measure_throughput(clock.run, INPUTS, clock, 1.0, 20 * MS)
    assert (window.ns, window.images) == (1200 * MS, 3 * 2)


@pytest.mark.timed
def test_a_process_that_was_stopped_while_it_was_timed_says_so(tmp_path: Path) -> None:
    """By a real signal: of a fork of this process, with its watching process."""
    answer, ready = tmp_path / "answer", tmp_path / "ready"
    child = os.fork()
    if not child:
        try:
            with Watch() as watch:
                while len(watch.so_far().readings) < 2:
                    time.sleep(0.02)
                settings = Settings(warmup_s=0.0, latency_s=0.3, latency_limit_s=0.3, throughput_s=0.9)
                ready.touch()
                x = torch.zeros(1)
                measured = measure(lambda x: x + sum(range(100_000)), [x], Clock(), settings)
                time.sleep(0.2)
                answer.write_text(json.dumps(measured.fields(watch.so_far(), 0.5)))
        finally:
            os._exit(0)
    while not ready.exists() and not os.waitpid(child, os.WNOHANG)[0]:
        time.sleep(0.01)
    time.sleep(0.5)
    os.kill(child, signal.SIGSTOP)
    time.sleep(0.5)
    os.kill(child, signal.SIGCONT)
    os.waitpid(child, 0)
    fields = json.loads(answer.read_text())
    assert fields["watch"]["spoilt_s"]["stopped"] > 0.3
    disturbed = [window["ns"] for window in fields["windows"] if "stopped" in window.get("disturbed", "")]
    assert disturbed or "latency" in fields["throttled"]
