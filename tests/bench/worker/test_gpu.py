"""What only a GPU can show of the harness: device time, that work on another stream is caught, the memory numbers."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest
import torch

from bench.records.record import Record
from bench.runs.job import NullJob
from bench.worker.measure import memory
from bench.worker.measure.clock import Clock, on_device
from bench.worker.measure.overhead import measure_overhead
from resnet.device_time import StartedEarly
from resnet.runner import CudaCapture
from tests import cheats
from tests.cheats.sweep import assert_caught, records

pytestmark = pytest.mark.gpu

KNOWN = 256 << 20
# of the allocator's rounding, and of what else is alive
SLACK = 4 << 20


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory, here: dict[str, Any]) -> dict[str, Record]:
    """The records of every cheat on the GPU, each through a real process, by variant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("CUDA_LAUNCH_BLOCKING", raising=False)  # it makes what is late wait
        return records(cheats.CHEATS | cheats.ON_GPU, tmp_path_factory.mktemp("cheats"), here)


@pytest.mark.timed
@pytest.mark.slow
def test_the_honest_twin_of_the_cheats_has_a_speed(caught: dict[str, Record]) -> None:
    record = caught["honest"]
    assert record.status == "ok", record.reason
    assert record.device == "cuda"
    assert record.gpu_how == "held"
    assert len(record.gpu_ns) >= record.settings["samples"]
    assert record.gpu_stop["late"] < len(record.gpu_ns) / 10
    assert median(record.gpu_ns) <= median(record.latency_ns)
    assert set(record.gate) == {"before", "during", "after"}


@pytest.mark.timed
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in cheats.CHEATS | cheats.ON_GPU if name != "honest"])
def test_a_cheat_has_a_record_and_no_speed(caught: dict[str, Record], name: str) -> None:
    """`side-stream` too: by the events of the current stream it takes no time at all.

    The model is so small that its work might be done when the gate reads it, and then the answer would be right, by
    luck. So that cheat sleeps on its stream before it writes its answer, as a large model would compute.
    """
    assert_caught(name, caught[name])


@pytest.mark.timed
def test_work_on_another_stream_has_no_part_in_the_device_time() -> None:
    """What the cheat would gain, and so why the gate must see it."""
    with on_device("cuda") as clock:
        side = torch.cuda.Stream()
        x = torch.zeros(1, device="cuda")

        def call(stream: torch.cuda.Stream) -> torch.Tensor:
            with torch.cuda.stream(stream):
                torch.cuda._sleep(100_000_000)
            return x

        here = torch.cuda.current_stream()
        clock.sample(lambda: call(here))  # loads the kernel
        aside, mine = clock.device(lambda: call(side)).ns, clock.device(lambda: call(here)).ns
        torch.cuda.synchronize()
    assert mine > 10_000_000  # a hundred million cycles at less than 10 GHz
    assert aside < mine / 10


KERNEL_CYCLES = 20_000  # some 10 us: on the host a launch takes less, and so it is the device that sets the pace


def chain(length: int, wait_s: float = 0.0) -> Callable[[], None]:
    """So many known kernels, which spin for KERNEL_CYCLES each; the host sleeps before the first."""

    def call() -> None:
        time.sleep(wait_s)
        for _ in range(length):
            torch.cuda._sleep(KERNEL_CYCLES)

    return call


def device_us(clock: Clock, call: Callable[[], object], times: int = 30) -> float:
    clock.sample(call)
    return median(clock.device(call).ns for _ in range(times)) / 1e3


def test_a_call_that_does_nothing_takes_the_device_next_to_nothing() -> None:
    with on_device("cuda") as clock:
        assert device_us(clock, lambda: None) < 10


def test_device_time_grows_with_the_kernels() -> None:
    """Twice and four times the chain: the same time more for each kernel, to 5 % or 0.5 us."""
    with on_device("cuda") as clock:
        short, middle, long = (device_us(clock, chain(length)) for length in (50, 100, 200))
    each = (long - middle) / 100
    assert each == pytest.approx((middle - short) / 50, rel=0.05, abs=0.5)
    assert short < 50 * each + 15  # what comes on top is no host's launch gap of every kernel


def test_a_host_that_sleeps_in_the_call_is_in_latency_and_not_in_device_time() -> None:
    with on_device("cuda") as clock:
        quick, slow = device_us(clock, chain(20)), device_us(clock, chain(20, wait_s=0.02))
        latency = clock.sample(chain(20, wait_s=0.02))[0]
    assert latency > 20e6
    assert slow == pytest.approx(quick, rel=0.1)


def test_device_time_is_no_longer_than_latency() -> None:
    with on_device("cuda") as clock:
        for length in (1, 10, 100):
            device = device_us(clock, chain(length))
            assert device <= median(clock.sample(chain(length))[0] for _ in range(30)) / 1e3


def test_a_graph_is_held_too() -> None:
    with on_device("cuda") as clock:
        x = torch.zeros(1, device="cuda")
        replay = CudaCapture()(lambda x: [x.add_(1) for _ in range(100)][-1], x)
        timed = clock.device(replay)
    assert timed.retries <= 1
    assert timed.ns < 1_000_000


def test_a_call_that_waits_for_the_device_is_refused_and_does_not_hang() -> None:
    with on_device("cuda") as clock, pytest.raises(StartedEarly):
        clock.device(torch.cuda.synchronize)


def test_the_cold_cache_is_cold_when_the_device_begins() -> None:
    """A read of half the L2 takes longer from memory than right after it was read."""
    with on_device("cuda") as clock:
        size = torch.cuda.get_device_properties(torch.cuda.current_device()).L2_cache_size // 2
        x = torch.zeros(size // 4, device="cuda")
        warm = device_us(clock, x.sum)
        cold = median(clock.device(x.sum, clock.flush).ns for _ in range(30)) / 1e3
    assert cold > 1.1 * warm


def test_what_the_harness_adds_on_a_gpu() -> None:
    told = measure_overhead(NullJob("cuda"), print)["overhead"]
    stream, graph = told["paths"]["stream"], told["paths"]["graph"]
    assert stream["sample_ns"] < 20_000  # a wait for an idle stream
    assert stream["gpu_ns"] < 10_000
    assert stream["gpu_ns"] <= graph["gpu_ns"] < graph["sample_ns"]


def used(call: Callable[[], object]) -> tuple[dict[str, Any], int]:
    """The memory numbers after `call`, and the bytes that were allocated before it."""
    memory.reset_peaks()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return memory.read_memory(None, "cuda"), before


def in_process(found: dict[str, Any]) -> int:
    if found["device_process"] is None:
        pytest.skip(found["device_process_unreadable"])
    return int(found["device_process"])


def test_a_known_allocation_is_in_every_number() -> None:
    def call() -> None:
        torch.empty(KNOWN, dtype=torch.uint8, device="cuda").zero_()  # and it is freed: a peak remembers

    found, before = used(call)
    peak = found["allocator_allocated_peak"]
    assert before + KNOWN <= peak < before + KNOWN + SLACK
    assert found["allocator_reserved_peak"] >= peak
    assert in_process(found) >= found["allocator_reserved_peak"]


def test_two_allocations_at_once_and_two_in_turn() -> None:
    def both() -> None:
        kept = [torch.empty(KNOWN, dtype=torch.uint8, device="cuda") for _ in range(2)]
        del kept

    def in_turn() -> None:
        for _ in range(2):
            torch.empty(KNOWN, dtype=torch.uint8, device="cuda")

    for call, size in ((both, 2 * KNOWN), (in_turn, KNOWN)):
        found, before = used(call)
        assert before + size <= found["allocator_allocated_peak"] < before + size + SLACK


def test_what_came_before_a_reset_is_no_part_of_the_peak() -> None:
    torch.empty(4 * KNOWN, dtype=torch.uint8, device="cuda")
    found, before = used(lambda: torch.empty(1 << 20, dtype=torch.uint8, device="cuda"))
    assert found["allocator_allocated_peak"] < before + SLACK
    assert found["allocator_reserved_peak"] < torch.cuda.memory_reserved() + KNOWN


def test_memory_outside_the_allocator_shows_in_the_process_alone() -> None:
    """As ONNX Runtime takes it."""
    before, _ = used(lambda: torch.zeros(1, device="cuda"))
    driver, address = ctypes.CDLL("libcuda.so.1"), ctypes.c_uint64()
    assert driver.cuMemAlloc_v2(ctypes.byref(address), ctypes.c_size_t(KNOWN)) == 0
    try:
        after = memory.read_memory(None, "cuda")
    finally:
        driver.cuMemFree_v2(address)
    assert in_process(after) >= in_process(before) + KNOWN
    assert after["allocator_reserved_peak"] == before["allocator_reserved_peak"]
