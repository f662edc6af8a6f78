"""The simulated server, against queueing theory, traces worked by hand, and a slow simulation of another build."""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.records.record import Record
from bench.serving.queue import Batching, Service, poisson, services, simulate_queue

Make = Callable[..., Record]
MS = 1e6
EXPONENTIAL = np.random.default_rng(5).exponential(MS, 100_000)


def latencies(
    arrivals: Sequence[float], times: dict[int, list[float]], wait: float = 0.0
) -> tuple[list[float], list[int]]:
    served = simulate_queue(np.array(arrivals, float), times, Batching(tuple(sorted(times)), wait), (0,))
    return served.latency_ns.tolist(), served.counts.tolist()


# ---- theory


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
@pytest.mark.parametrize(
    ("name", "times"),
    [("M/D/1", np.array([MS])), ("M/M/1", EXPONENTIAL), ("M/G/1", np.array([0.5 * MS] * 9 + [5.5 * MS]))],
)
def test_the_mean_wait_is_pollaczek_and_khinchines(name: str, times: np.ndarray, load: float) -> None:
    mean = times.mean()
    served = simulate_queue(poisson(400_000, (1,)) * (mean / load), {1: times}, Batching((1,)), (2,))
    predicted = load / mean * (times**2).mean() / (2 * (1 - load))
    assert served.latency_ns.mean() - mean == pytest.approx(predicted, rel=0.05), name


def test_the_p99_is_that_of_an_m_m_1_queue() -> None:
    # the time in an M/M/1 system is exponential, with rate 1/service - 1/arrival
    served = simulate_queue(poisson(400_000, (1,)) * 2 * MS, {1: EXPONENTIAL}, Batching((1,)), (2,))
    assert np.quantile(served.latency_ns, 0.99) == pytest.approx(np.log(100) * 2 * MS, rel=0.05)


def test_little_s_law_holds_with_batches() -> None:
    """Requests in the system, on average over time, are their rate times the time that each is there."""
    arrivals = poisson(100_000, (3,)) * 0.5 * MS
    served = simulate_queue(arrivals, {1: [MS], 4: [2 * MS]}, Batching((1, 4)), (4,))
    end = served.ends_ns[-1]
    moments = np.linspace(0, end, 50_001)
    leaves = np.sort(arrivals + served.latency_ns)
    inside = np.searchsorted(arrivals, moments, "right") - np.searchsorted(leaves, moments, "right")
    assert inside.mean() == pytest.approx(len(arrivals) / end * served.latency_ns.mean(), rel=0.02)


def test_a_queue_that_is_never_empty_is_served_at_the_largest_batch_s_rate() -> None:
    served = simulate_queue(np.zeros(8_000), {1: [MS], 8: [4 * MS]}, Batching((1, 8)), (0,))
    assert set(served.counts) == {8}
    assert served.ends_ns[-1] == 1_000 * 4 * MS


# ---- worked by hand


def test_an_idle_device_starts_a_lone_request_at_once() -> None:
    assert latencies([0, 100], {1: [10.0], 4: [16.0]}) == ([10, 10], [1, 1])


def test_what_came_meanwhile_goes_together_and_a_number_that_was_not_measured_is_padded() -> None:
    # the first runs 0-10; three wait by then and run as a batch of 4, 10-26; the last runs alone, 26-36
    assert latencies([0, 1, 5, 9, 20], {1: [10.0], 4: [16.0]}) == ([10, 25, 21, 17, 16], [1, 3, 1])


def test_more_than_the_largest_batch_wait_for_the_next() -> None:
    assert latencies([0, 1, 2, 3, 4, 5], {1: [10.0], 2: [10.0]}) == ([10, 19, 18, 27, 26, 35], [1, 2, 2, 1])


def test_a_request_that_comes_as_the_device_falls_idle_goes_with_the_others() -> None:
    assert latencies([0, 10], {1: [10.0], 2: [12.0]}) == ([10, 10], [1, 1])
    assert latencies([0, 5, 10], {1: [10.0], 2: [12.0]}) == ([10, 17, 12], [1, 2])


def test_with_a_longest_wait_a_batch_starts_when_it_is_full_or_its_oldest_request_has_waited() -> None:
    times = {1: [10.0], 2: [12.0], 3: [14.0]}
    # full at 4; then alone from 100 to 107
    assert latencies([0, 2, 4, 100], times, wait=7) == ([18, 16, 14, 17], [3, 1])
    # two by 7, the third is too late; it came at 8, and has waited long enough when the device is idle at 19
    assert latencies([0, 6, 8], times, wait=7) == ([19, 13, 21], [2, 1])


def test_a_busy_device_makes_nobody_wait_longer_than_they_did() -> None:
    # the second waits from 1 on for others; its wait is over at 6, while the device is busy until 10
    assert latencies([0, 1, 12], {1: [4.0], 2: [10.0]}, wait=5) == ([11, 10, 9], [2, 1])


def test_the_same_seed_draws_the_same_times_at_any_rate() -> None:
    unit = poisson(100, (7,))
    slow = simulate_queue(unit * 1e9, {1: EXPONENTIAL}, Batching((1,)), (1,))
    slower = simulate_queue(unit * 1e10, {1: EXPONENTIAL}, Batching((1,)), (1,))
    assert slow.latency_ns == pytest.approx(slower.latency_ns)
    other = simulate_queue(unit * 1e10, {1: EXPONENTIAL}, Batching((1,)), (2,))
    assert other.latency_ns[0] != slower.latency_ns[0]


# ---- another simulation


def stepped(arrivals: list[int], times: dict[int, int], wait: int) -> tuple[list[int], list[int]]:
    """The same server, moment by moment: at each, whoever comes is queued, and then it is decided."""
    sizes, waiting, latency, counts = sorted(times), list[int](), [0] * len(arrivals), list[int]()
    free = moment = arrived = 0
    while arrived < len(arrivals) or waiting:
        while arrived < len(arrivals) and arrivals[arrived] <= moment:
            waiting.append(arrived)
            arrived += 1
        if waiting and free <= moment and (len(waiting) >= sizes[-1] or moment >= arrivals[waiting[0]] + wait):
            batch, waiting = waiting[: sizes[-1]], waiting[sizes[-1] :]
            free = moment + times[min(size for size in sizes if size >= len(batch))]
            for number in batch:
                latency[number] = free - arrivals[number]
            counts.append(len(batch))
        moment += 1
    return latency, counts


@given(
    gaps=st.lists(st.integers(0, 12), min_size=1, max_size=40),
    times=st.dictionaries(st.integers(1, 6), st.integers(1, 20), min_size=1, max_size=3),
    wait=st.integers(0, 15),
)
def test_another_simulation_says_the_same(gaps: list[int], times: dict[int, int], wait: int) -> None:
    arrivals = np.cumsum(gaps).tolist()
    expected = stepped(arrivals, times, wait)
    assert latencies(arrivals, {size: [float(ns)] for size, ns in times.items()}, wait) == expected


# ---- from records


def test_a_service_is_a_way_of_running_a_model_at_all_its_batches(record: Make) -> None:
    grouped = services(
        [
            record("resnet50/eager/fp32/b1/i224/stream", ms=10),
            record("resnet50/eager/fp32/b8/i224/stream", ms=40),
            record("resnet50/eager/fp32/b8/i224/stream", ms=60, round=1),
            record("resnet50/eager/fp32/b2/i224/stream", status="wrong"),
            record("resnet50/eager/bf16/b1/i224/stream", ms=5),
            record("resnet50/eager/fp32/b1/i128/stream", ms=5),
        ]
    )
    assert [(service.case.name, service.sizes) for service in grouped] == [
        ("resnet50/eager/fp32/b8/i224/stream", (1, 8)),
        ("resnet50/eager/bf16/b1/i224/stream", (1,)),
        ("resnet50/eager/fp32/b1/i128/stream", (1,)),
    ]
    first = grouped[0]
    assert first.mean_ns == {1: 10e6, 8: 50e6}
    assert first.saturation(8) == pytest.approx(160)
    assert first.peak_rate == pytest.approx(160)
    assert first.few_samples == {1: 15, 8: 30}
    # each process in turn, of each batch those it has
    assert [np.median(first.times(number)[8]) for number in range(3)] == [40e6, 60e6, 40e6]
    assert first.times(0)[1] == first.times(1)[1]


def test_samples_that_fell_to_throttling_are_not_drawn(record: Make) -> None:
    fell = record("resnet50/eager/fp32/b1/i224/stream", latency_ns=[1, 2, 900, 900, 3], throttled={"latency": [[2, 3]]})
    assert services([fell])[0].times(0) == {1: (1, 2, 3)}


@pytest.mark.parametrize(("sizes", "wait"), [((), 0), ((4, 1), 0), ((0, 1), 0), ((1,), -1)])
def test_what_is_no_way_of_batching_is_refused(sizes: tuple[int, ...], wait: float) -> None:
    with pytest.raises(ValueError, match="no way of batching"):
        Batching(sizes, wait)


def test_padding_is_up_to_the_next_batch() -> None:
    batching = Batching((1, 4, 8))
    assert [batching.padded(requests) for requests in (1, 2, 4, 5, 8)] == [1, 4, 4, 8, 8]
    assert batching.up_to(4).sizes == (1, 4)


def test_a_service_that_was_never_measured_twice_has_one_process() -> None:
    from bench.plans.case import Case

    service = Service(Case.parse("resnet18/eager/fp32/b1/i64/stream"), {1: ((inf,),)})
    assert service.times(5) == {1: (inf,)}
