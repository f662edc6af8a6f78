"""The judgement of a candidate's numbers, by what a CPU can do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.runs.kernel_jobs import TryJob, VisitRow
from bench.worker.measure.clock import Clock
from bench.worker.tune import candidate as subject
from bench.worker.tune import search
from kernels.space.config import Config
from kernels.space.layer import Layer

LITTLE = Layer(2, 6, 6, 16, 32, (3, 3), 1, 1, residual=True, dtype="fp32")
CONFIG = Config.parse("ptr-16x16x16-w4-s2-k1-g8")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Tensor], object]], list[str]]:
    """What is told of a candidate whose kernel does `spoil` to the right output."""

    def judge(spoil: Callable[[Tensor], object]) -> list[str]:
        right = subject.launcher

        def spoilt(layer: Layer, config: Config, operands: Any, out: Tensor, parts: Any) -> Callable[[], object]:
            run = right(layer, config, operands, out, parts)
            return lambda: (run(), spoil(out))

        monkeypatch.setattr(subject, "launcher", spoilt)
        told: list[str] = []
        visit: VisitRow = {"layer": asdict(LITTLE), "best": None, "challengers": [(0, str(CONFIG))]}
        talk = search._Progress(told.append, time.monotonic() + 600)
        search._visit(visit, TryJob([], [], "cpu", 90, 0, 1, 600.0), Clock(), talk)
        return [line for line in told if line.startswith("done")]

    return judge


def test_what_is_right_is_timed(judged: Callable[..., list[str]]) -> None:
    (line,) = judged(lambda out: None)
    assert json.loads(line.split(" ", 2)[2])["status"] == "won"


CALLS = iter(range(99))


def behind(out: Tensor) -> None:
    """One element past the end of it."""
    torch.as_strided(out, (1,), (1,), out.storage_offset() + out.numel()).fill_(1.0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda out: out[1, 3, 2, 2].add_(1e-3), "1 of 2304 values are off"),
        (lambda out: out[0, 0].fill_(torch.nan), "36 are NaN or unwritten"),
        (lambda out: out[:, :, 5].zero_(), "values are off"),
        (lambda out: out.mul_(1 + 2.0**-23 * (next(CALLS) % 2)), "two runs"),
        (behind, "outside its output"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_never_timed(
    judged: Callable[..., list[str]], spoil: Callable[[Tensor], object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(*_: Any) -> None:
        raise AssertionError("a wrong candidate was timed")

    monkeypatch.setattr(subject.Subject, "timer", timed)
    (line,) = judged(spoil)
    ended = json.loads(line.split(" ", 2)[2])
    assert ended["status"] == "wrong"
    assert reason in ended["reason"]
    assert "us" not in ended


def test_what_is_wrong_only_back_to_back_has_no_time(judged: Callable[..., list[str]]) -> None:
    calls = iter(range(9))
    (line,) = judged(lambda out: out.add_(1.0) if next(calls) > 1 else None)
    assert json.loads(line.split(" ", 2)[2]) == {
        "status": "wrong",
        "reason": "launched back to back it writes something else than alone",
    }


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("shape", [{}, {"prologue": True}, {"second": (12, 12, 24, 2)}])
def test_rounding_is_allowed_and_a_missing_product_is_not(dtype: str, shape: dict[str, Any]) -> None:
    """The op's own aten is within the tolerance; without one channel of one tap it is not."""
    layer = replace(LITTLE, c_in=64, dtype=dtype, **shape)
    made = subject.Subject(layer, "cpu", Clock(), seed=1)
    assert made.check(CONFIG) == ""
    weight, _ = subject.unpack(made.sets[0].weight, layer)
    weight[:, 7, 1, 1] = 0
    assert "values are off" in made.check(CONFIG)


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (Layer(2, 22, 17, 3, 24, (7, 7), 2, 3, relu=False, pool=True), "ptr-32x32x32-w4-s1-k1-g2"),
        (Layer(3, 7, 5, 72, 40, (1, 1), relu=False, mean=True), "ptr-1x16x64-w8-s3-k1-g8"),
        (Layer(3, 7, 5, 72, 40, (1, 1), relu=False, prologue=True, mean=True), "ptr-16x16x32-w4-s2-k2-g8"),
    ],
    ids=["stem", "head in one kernel", "head in two"],
)
def test_a_stem_and_a_head_are_judged_as_a_convolution_is(layer: Layer, config: str, dtype: str) -> None:
    layer = replace(layer, dtype=dtype)
    made = subject.Subject(layer, "cpu", Clock(), seed=1)
    assert made.expected.abs().max() > 0.5
    assert made.check(Config.parse(config)) == ""
    made.sets[0].weight[:, 3:6] = 0
    assert "values are off" in made.check(Config.parse(config))


@torch.no_grad()
@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (replace(LITTLE, dtype="int8"), "ptr-32x32x32-w4-s2-k1-g8"),
        (replace(LITTLE, dtype="fp8"), "ptr-32x32x32-w4-s2-k1-g8"),
        (Layer(2, 9, 9, 3, 16, (7, 7), 2, 3, pool=True, writes="int8"), "ptr-16x16x32-w4-s1-k1-g1"),
        (Layer(2, 6, 6, 64, 16, (1, 1), relu=False, mean=True, reads="int8"), "ptr-16x16x64-w4-s2-k1-g8"),
    ],
    ids=lambda value: getattr(value, "key", None),
)
def test_layers_in_8_bits_are_judged(layer: Layer, config: str) -> None:
    """Half a code is right, one code is wrong."""
    made = subject.Subject(layer, "cpu", Clock(), 0)
    assert made.check(Config.parse(config)) == ""
    assert made.outs[0].float().abs().mean() > (0.1 if layer.mean else 5)
    made.expected += 0.1 * made.expected.abs() + 1
    assert "values are off" in made.check(Config.parse(config))
