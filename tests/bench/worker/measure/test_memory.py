"""The memory numbers against allocations of a known size; those of a GPU are in test_gpu.py."""

import torch

from bench.worker.measure import memory

MIB = 1 << 20
SIZE = 256 * MIB


def touched() -> torch.Tensor:
    return torch.full((SIZE,), 1, dtype=torch.uint8)  # written, as a page that never was is not resident


def test_the_hosts_peak_is_of_what_was_held_since_the_reset() -> None:
    memory.reset_peaks()
    before = memory.read_memory(None, "cpu")["host_resident_peak"]
    held = touched()
    with_it = memory.read_memory(None, "cpu")["host_resident_peak"]
    assert abs(with_it - before - SIZE) < 16 * MIB  # the kernel counts in batches, here too
    del held
    # freed, but it was held: that is what a peak is, and what a number read afterwards misses
    after = memory.read_memory(None, "cpu")["host_resident_peak"]
    assert abs(after - with_it) < 2 * MIB  # the kernel counts in batches
    memory.reset_peaks()
    assert memory.read_memory(None, "cpu")["host_resident_peak"] < before + 16 * MIB


def test_what_came_before_the_reset_is_not_counted() -> None:
    held = touched()
    memory.reset_peaks()
    held_now = memory.read_memory(None, "cpu")["host_resident_peak"]
    del held
    memory.reset_peaks()
    assert held_now - memory.read_memory(None, "cpu")["host_resident_peak"] > SIZE - 16 * MIB


def test_what_was_freed_in_small_pieces_and_circles_is_given_back_before() -> None:
    memory.reset_peaks()
    before = memory.read_memory(None, "cpu")["host_resident_peak"]
    circle: list[object] = [b"1" * (size << 10) for size in (60, 61, 62, 63) for _ in range(SIZE >> 18)]
    above = b"1" * (60 << 10)  # as it is held, the system's library has no reason to give back what is below it
    circle.append(circle)
    del circle
    memory.reset_peaks()
    assert memory.read_memory(None, "cpu")["host_resident_peak"] < before + 16 * MIB, len(above)


def test_a_number_that_cannot_be_read_is_null_with_its_reason(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(memory, "CLEAR_REFS", memory.Path("/proc/nothing"))
    memory.reset_peaks()
    told = memory.read_memory(7, "cpu")
    assert told["host_resident_peak"] is None
    assert "cannot be written" in told["host_resident_peak_unreadable"]
    assert told["weights"] == 7


def test_a_cpu_has_no_device_memory() -> None:
    told = memory.read_memory(7, "cpu")
    assert {name for name, value in told.items() if value is None} == {
        "allocator_allocated_peak",
        "allocator_reserved_peak",
        "device_process",
    }
