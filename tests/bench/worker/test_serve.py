"""The real server: its policy with an executor that sleeps, and a variant under load beside its prediction."""

import threading
import time

import pytest

from bench.plans.case import Case
from bench.runs.job import LoadJob
from bench.serving.check import default_batches, predict_load, serve_load, times_alone, times_under_load
from bench.serving.queue import NS, Batching
from bench.worker.serve import serve_requests

MS = 1_000_000


def test_every_request_is_answered_once_and_takes_at_least_an_execution() -> None:
    sizes: list[int] = []

    def execute(size: int) -> None:
        sizes.append(size)
        time.sleep(0.004)

    due = [number * MS for number in range(30)]
    served = serve_requests(execute, due, Batching((1, 4, 8)))
    assert len(served.latency) == len(served.fed_late) == 30
    assert sum(served.counts) == 30
    assert min(served.latency) >= 4 * MS
    assert min(served.spent) >= 4 * MS
    assert max(served.counts) <= 8
    # those that came during an execution went together, padded to the next batch
    assert len(sizes) < 30
    assert sizes == [Batching((1, 4, 8)).padded(count) for count in served.counts]


def test_a_full_batch_does_not_wait_and_the_last_waits_no_longer_than_asked() -> None:
    start = time.perf_counter()
    served = serve_requests(lambda size: None, [0, 0, 0, 0, 0], Batching((4,), wait_ns=0.2 * NS))
    assert served.counts == [4, 1]
    assert max(served.latency[:4]) < 0.2 * NS <= served.latency[4]
    assert time.perf_counter() - start < 5


def test_an_idle_server_answers_at_once_and_a_late_feeder_counts() -> None:
    served = serve_requests(lambda size: None, [0, 50 * MS], Batching((8,)))
    assert served.counts == [1, 1]
    assert all(latency >= late for latency, late in zip(served.latency, served.fed_late, strict=True))
    assert all(late >= 0 for late in served.fed_late)


def test_batches_run_in_the_thread_that_owns_the_device() -> None:
    seen = set()
    serve_requests(lambda size: seen.add(threading.get_ident()), [0, MS], Batching((1,)))
    assert seen == {threading.get_ident()}


def told(counts: list[int], latency: list[int]) -> dict[str, object]:
    times = {"1": [10 * MS], "4": [16 * MS]}
    due = [number * 20 * MS for number in range(len(latency))]
    return {"due": due, "latency": latency, "counts": counts, "spent": [12 * MS] * len(counts), "times": times}


def test_a_prediction_beside_a_run_that_went_as_simulated_has_no_error() -> None:
    data = told([1] * 200, [10 * MS] * 200)
    lines = {number.name: number for number in predict_load(data, times_alone(data), 0)}
    assert lines["p50 ms"].measured == lines["p50 ms"].predicted == 10
    assert {line.error for line in lines.values()} == {0}
    assert lines["per batch"].measured == 1
    assert lines["requests/s"].measured == pytest.approx(200 / 3.99)


def test_an_error_is_relative_to_what_was_measured() -> None:
    data = told([1] * 200, [20 * MS] * 200)
    lines = {number.name: number for number in predict_load(data, times_alone(data), 0)}
    assert lines["p50 ms"].error == pytest.approx(-0.5)


def test_a_p99_is_not_told_of_few_requests() -> None:
    few, many = (told([1] * n, [10 * MS] * n) for n in (600, 662))
    assert "p99 ms" not in {number.name for number in predict_load(few, times_alone(few), 0)}
    assert "p99 ms" in {number.name for number in predict_load(many, times_alone(many), 0)}


def test_times_under_load_stand_for_those_alone_where_a_batch_came_up() -> None:
    data = told([1, 1], [10 * MS] * 2)
    assert times_under_load(data) == {1: [12 * MS, 12 * MS], 4: [16 * MS]}


def test_batches_are_doublings_up_to_the_case_s() -> None:
    assert default_batches(1) == (1,)
    assert default_batches(8) == (1, 2, 4, 8)
    assert default_batches(12) == (1, 2, 4, 8, 12)


def ask(name: str, rate: float | None, seconds: float) -> LoadJob:
    case = Case.parse(name)
    return LoadJob(case, default_batches(case.batch), rate, seconds, 0.0, "cpu", "noise", 0)


@pytest.mark.slow
@pytest.mark.timed
def test_a_real_load_is_as_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    """At half of saturation, from the times under load: the median within 35 %, the mean batch within 18 %.

    One thread, as two that meet at every layer lose most of a core that others use too. Of the same runs, a model
    without a queue was 36 to 55 % under the median, one that pads to the largest batch 83 to 154 % over it, and one
    without batching 21 to 33 % under the mean batch (three runs, 2026-11-24, 2 cores shared with a load of 4).
    """
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    answer = serve_load(ask("resnet18/eager/fp32/b4/i64/stream", None, 5))
    assert answer.status == "ok", answer.reason
    data = answer.data
    assert data["rate"] == pytest.approx(data["saturation"] / 2)
    assert len(data["due"]) == pytest.approx(data["rate"] * 5, rel=0.5)
    lines = {number.name: number for number in predict_load(data, times_under_load(data), 0)}
    assert abs(lines["p50 ms"].error) < 0.35, lines
    assert abs(lines["per batch"].error) < 0.18, lines
    assert abs(lines["requests/s"].error) < 0.05, lines


@pytest.mark.slow
def test_a_rate_beyond_saturation_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    answer = serve_load(ask("resnet18/eager/fp32/b1/i32/stream", 1e6, 1))
    assert answer.status == "error"
    assert "the queue would only grow; lower --rate" in answer.reason
