"""What only a GPU can show of the harness: that work on another stream is caught, and what the memory numbers are."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import pytest
import torch

from bench import memory
from bench.clock import on_device
from bench.record import Record
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
    assert len(record.gpu_ns) == len(record.latency_ns) > 0
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
        aside, mine = clock.sample(lambda: call(side))[1], clock.sample(lambda: call(here))[1]
        torch.cuda.synchronize()
    assert aside is not None
    assert mine is not None
    assert mine > 10_000_000  # a hundred million cycles at less than 10 GHz
    assert aside < mine / 10


def used(call: Callable[[], object]) -> tuple[dict[str, Any], int]:
    """The memory numbers after `call`, and the bytes that were allocated before it."""
    memory.reset()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return memory.numbers(None, "cuda"), before


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
        after = memory.numbers(None, "cuda")
    finally:
        driver.cuMemFree_v2(address)
    assert in_process(after) >= in_process(before) + KNOWN
    assert after["allocator_reserved_peak"] == before["allocator_reserved_peak"]
