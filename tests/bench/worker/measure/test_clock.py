"""The clock of a CPU, and what everything that is timed runs inside."""

import time

import pytest
import torch

from bench.worker.measure.clock import on_device


def test_gradients_are_off_for_all_that_is_timed_and_tensors_are_ordinary() -> None:
    with torch.enable_grad():
        with on_device("cpu"):
            assert not torch.is_grad_enabled()
            assert not torch.empty(1).is_inference()
        assert torch.is_grad_enabled()


def test_a_sample_is_the_call_and_nothing_else() -> None:
    with on_device("cpu") as clock:
        spent, answer = clock.sample(lambda: time.sleep(0.02) or "answer")
    assert answer == "answer"
    assert 20e6 <= spent < 200e6


def test_on_a_cpu_the_device_is_the_host() -> None:
    order: list[str] = []
    with on_device("cpu") as clock:
        timed = clock.device(lambda: order.append("call") or time.sleep(0.01), lambda: order.append("flush"))
    assert order == ["flush", "call"]
    assert timed.ns >= 10e6
    assert (clock.method, timed.retries) == ("", 0)


def test_flushing_writes_more_than_the_cache_and_is_no_part_of_a_sample() -> None:
    with on_device("cpu") as clock:
        assert clock.flush() == clock.flush() > 1 << 20
        spent = min(clock.device(lambda: None, clock.flush).ns for _ in range(5))
    assert spent < 1e6


@pytest.mark.gpu
def test_on_a_gpu_the_stream_is_ours() -> None:
    with on_device("cuda") as clock:
        assert not torch.is_grad_enabled()
        assert torch.cuda.current_stream().cuda_stream != 0
        assert clock.method == "held"
