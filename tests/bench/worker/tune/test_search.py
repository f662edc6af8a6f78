"""The tuner's child: who wins, and what is compiled for whom."""

from __future__ import annotations

import time
from dataclasses import asdict
from pathlib import Path

import pytest
import triton
from triton.backends.compiler import GPUTarget

from bench.runs.kernel_jobs import TryJob, VisitRow
from bench.worker.tune import search
from kernels.kinds import implementation
from kernels.launch import INTERPRETED, Operands, empty_output
from kernels.space.config import Config
from kernels.space.layer import Layer


@pytest.mark.parametrize(
    ("times", "won"), [([0.985] * 40, False), ([0.95] * 40, True), ([0.9] * 6 + [1.0] * 34, False)]
)
def test_a_challenger_wins_by_the_margin_and_twice(times: list[float], won: bool) -> None:
    drift = iter(range(1000))
    left = iter(times)
    # a clock that slows down by 30 % meets both
    found = search.contest(lambda: 1 + next(drift) / 250, lambda: next(left) * (1 + next(drift) / 250), (6, 30))
    assert found[2] is won


class Driver:
    """Enough of a CUDA driver for Triton's launcher to compile."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
@pytest.mark.parametrize("text", ["ptr-64x64x32-w4-s3-k2-g8-pdl", "tma-1.8.8x64x32-w4-s3-k1-g8-serial"])
def test_a_candidate_is_compiled_once_and_what_is_judged_is_launched(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged by one process, launched by another."""
    layer, config = Layer(2, 8, 8, 64, 64, (3, 3), 1, 1), Config.parse(text)
    heard = []
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    listen = lambda *, cache_hit, metadata, **_: heard.append((metadata["hash"], cache_hit))  # noqa: E731
    monkeypatch.setattr(triton.knobs.compilation, "listener", listen)
    visit: VisitRow = {"layer": asdict(layer), "best": None, "challengers": [(0, text)]}
    talk = search._Progress(lambda stage: None, time.monotonic() + 600)
    assert search.compile_all(TryJob([visit], [], "cpu", 90, 0, 2, 600.0), talk) == {0}
    made = [key for key, hit in heard if not hit]
    assert len(made) == len(set(made)) == (2 if config.split_k > 1 else 1)
    heard.clear()
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    operands, out = Operands.empty(layer, "cpu"), empty_output(layer, "cpu")
    for launch, arguments in implementation(layer, config).calls(layer, config, operands, out):
        launch.kernel.device_caches.clear()  # as a new process finds them
        launch.kernel.run(*arguments, grid=launch.grid, warmup=True, **launch.constants, **launch.options)
        launch.kernel.device_caches.clear()
    assert heard == [(key, True) for key in made]


# --- the judgement, by what a CPU can do
