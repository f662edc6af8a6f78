"""How long a sweep takes: by records of the case, else of its variant, else by the settings."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.plan import Plan, Settings
from bench.plans.settings import changed_settings
from bench.records.record import Record
from bench.records.same import SweepConditions
from bench.records.store import Store
from bench.runs.estimate import COMPILE_S, REFERENCE_S, START_S, earlier_records, estimate, in_words, measuring_s

EAGER = Case("resnet18", "eager", "fp32", 1, 64, "stream")
SETTINGS = Settings(warmup_s=1, latency_s=2, latency_limit_s=4, throughput_s=5, flush_batch=1)


def test_without_records_it_is_by_the_settings() -> None:
    assert measuring_s(SETTINGS, EAGER) == 1 + 3 + 3 + 5
    assert measuring_s(SETTINGS, replace(EAGER, batch=2)) == 1 + 3 + 5
    compiled = replace(EAGER, variant="compile")
    plan = Plan("test", "", (EAGER, compiled), settings=SETTINGS)
    time = estimate(plan, [EAGER, compiled, compiled], [])
    assert time.seconds == 3 * 12 + 3 * START_S + 2 * COMPILE_S + REFERENCE_S
    assert str(time).endswith("for 3 executions, from the plan's settings")


def test_records_tell_what_a_process_takes_beside_its_measuring() -> None:
    other = replace(EAGER, batch=8)
    records = [
        Record(EAGER, 0, "ok", wall_s=12 + 7.0, settings=asdict(SETTINGS)),
        Record(other, 0, "ok", wall_s=9 + 1.0, settings=asdict(SETTINGS) | {"of_a_newer_version": 1}),
        Record(EAGER, 1, "crash", wall_s=99.0, settings=asdict(SETTINGS)),
    ]
    quick = replace(SETTINGS, latency_s=0, latency_limit_s=0, throughput_s=0)
    plan = Plan("test", "", (EAGER,), settings=quick)
    assert estimate(plan, [EAGER], records).seconds == 1 + 7 + REFERENCE_S
    assert estimate(plan, [other], records).seconds == 1 + 1 + REFERENCE_S
    wide = replace(EAGER, batch=4)  # of the variant: the median of both
    assert estimate(plan, [wide], records).seconds == 1 + 4 + REFERENCE_S
    some = estimate(plan, [EAGER, replace(EAGER, variant="compile")], records)
    assert (some.executions, some.measured) == (2, 1)
    assert some.seconds == (1 + 7) + (1 + 4 + COMPILE_S) + REFERENCE_S  # its start is as of what has records
    assert "for 1 of them" in str(some)


def test_a_case_measured_so_before_takes_as_long_again() -> None:
    """Most samples are steady long before the limit, and no start is counted as less than none."""
    record = Record(EAGER, 0, "ok", wall_s=2.5, settings=asdict(SETTINGS))
    plan = Plan("test", "", (EAGER,), settings=SETTINGS)
    assert estimate(plan, [EAGER] * 8, [record]).seconds == 8 * 2.5 + REFERENCE_S
    assert estimate(plan, [replace(EAGER, variant="library-fused")], [record]).seconds == 12 + REFERENCE_S


def test_the_samples_of_a_p99_take_their_time_where_a_record_tells_it_and_are_named_where_none_does() -> None:
    settings = changed_settings(SETTINGS, {"p99": True})
    plan = Plan("test", "", (EAGER,), settings=settings)
    record = Record(EAGER, 0, "ok", wall_s=12 + 7.0, settings=asdict(SETTINGS), latency_ns=[200_000_000] * 9)
    time = estimate(plan, [EAGER], [record])
    assert time.seconds == pytest.approx(1 + settings.samples * 0.2 + 5 + 7 + REFERENCE_S)
    assert time.samples == 0
    assert estimate(plan, [EAGER], []).samples == settings.samples


def test_records_of_another_machine_do_not_count(tmp_path: Path) -> None:
    env = environment()
    now = SweepConditions.of(Plan("test", "", (EAGER,)), env, 0, "noise")
    for name, cpu in (("here", env["cpu"]["name"]), ("elsewhere", "another processor")):
        store = Store(tmp_path / "local" / name / "base")  # as of a run of two commits
        with store.writing():
            processor = {**env["cpu"], "name": cpu}
            store.append(
                Record(EAGER, 0, "ok", device=now.device, environment={**env, "cpu": processor}, seed=len(name))
            )
    assert [record.seed for record in earlier_records(now, tmp_path)] == [4]
    assert earlier_records(now, tmp_path / "nothing") == []


@pytest.mark.parametrize(("seconds", "words"), [(0.2, "1 s"), (80, "80 s"), (600, "10 minutes"), (9000, "2.5 hours")])
def test_a_time_is_in_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == f"About {words}"
