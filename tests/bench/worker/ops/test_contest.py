"""A user's convolution: right ones pass and are timed, each kind of wrong one is refused with its reason."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from bench.runs.kernel_jobs import OpEnd, OpJob
from bench.worker.ops import operands
from bench.worker.ops.contest import judge_convolution
from kernels.space.layer import Layer
from tests.resnet.sixteen_bits import skip_without_bf16

CODE = """
import torch
import torch.nn.functional as F

def conv(x, weight, bias, residual, stride, padding, relu):
    assert x.is_contiguous(memory_format=torch.channels_last)
    y = F.conv2d(x, weight, bias, stride, padding)
    if residual is not None:
        y += residual
    return y.relu_() if relu else y

def over_residual(x, weight, bias, residual, stride, padding, relu):
    y = conv(x, weight, bias, residual, stride, padding, relu)
    return y if residual is None else residual.copy_(y)

def packed(x, weight, bias, residual, stride, padding, relu):
    return conv(x, weight["half"] * 2, bias, residual, stride, padding, relu)

def pack(weight, bias, shape):
    return {"half": weight / 2, "shape": list(shape)}

packed.pack = pack

def no_residual(x, weight, bias, residual, stride, padding, relu):
    return conv(x, weight, bias, None, stride, padding, relu)

def bfloat16(x, weight, bias, residual, stride, padding, relu):
    return conv(x.bfloat16(), weight.bfloat16(), bias.bfloat16(), residual, stride, padding, relu).float()

def double(x, weight, bias, residual, stride, padding, relu):
    return conv(x, weight, bias, residual, stride, padding, relu).double()

kept = {}

def remembers(x, weight, bias, residual, stride, padding, relu):
    key = x.data_ptr()
    if key not in kept:
        kept[key] = conv(x, weight, bias, residual, stride, padding, relu)
    return kept[key].clone()

def stale(x, weight, bias, residual, stride, padding, relu):
    key = x.data_ptr()
    if key not in kept:
        kept[key] = conv(x, weight, bias, residual, stride, padding, relu)
    return kept[key]

def changes(x, weight, bias, residual, stride, padding, relu):
    y = conv(x, weight, bias, residual, stride, padding, relu)
    x.zero_()
    return y

def picky(x, weight, bias, residual, stride, padding, relu):
    if residual is not None:
        raise NotImplementedError("no residuals")
    return conv(x, weight, bias, residual, stride, padding, relu)

def shape(x, weight, bias, residual, stride, padding, relu):
    return conv(x, weight, bias, residual, stride, padding, relu)[:, :8]

def nothing(x, weight, bias, residual, stride, padding, relu):
    pass
"""
PLAIN = Layer(2, 9, 9, 16, 24, (3, 3), 2, 1, dtype="fp32")
LAYERS = [PLAIN, replace(PLAIN, relu=False, kernel=(1, 1), padding=0), replace(PLAIN, residual=True)]


@pytest.fixture
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., list[OpEnd]]]:
    """Judges a function of the module above, in this process; the ends of the layers."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "my_convolutions.py").write_text(CODE)

    def run(name: str, layers: list[Layer] = LAYERS, **changed: Any) -> list[OpEnd]:
        stages: list[str] = []
        numbered = [(number, asdict(layer)) for number, layer in enumerate(layers)]
        job = OpJob(f"my_convolutions:{name}", numbered, "cpu", "fp32", 0, seconds=0.0, samples=6)
        answer = judge_convolution(replace(job, **changed), stages.append)
        assert answer["code"]["file"] == "my_convolutions.py"
        ends = [json.loads(stage.split(" ", 2)[2]) for stage in stages if stage.startswith("done")]
        assert len(ends) == len(layers)
        return ends

    yield run
    sys.modules.pop("my_convolutions", None)


@pytest.mark.parametrize("name", ["conv", "over_residual", "packed"])
def test_a_right_convolution_is_timed_in_turns_with_the_librarys(name: str, judge: Callable[..., list[OpEnd]]) -> None:
    for end in judge(name):
        assert end["status"] == "ok", end["reason"]
        assert 0 < end["error"] < 3
        assert {who: len(ns) for who, ns in end["ns"].items()} == {"library": 6, "yours": 6}
        assert all(ns > 0 for samples in end["ns"].values() for ns in samples)
        assert "interpret" in end["notes"]["ours"]


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("no_residual", ["", "", "times the library's (allowed: 3)"]),
        ("bfloat16", ["times the library's (allowed: 3)"] * 3),
        ("double", ["returned torch.float64, not torch.float32"] * 3),
        ("shape", ["returned the shape [2, 8, 5, 5], not [2, 24, 5, 5]"] * 3),
        ("nothing", ["returned a NoneType, and not a tensor"] * 3),
        ("changes", ["changed its x"] * 3),
    ],
)
def test_a_wrong_convolution_has_its_reason_and_no_times(
    name: str, reasons: list[str], judge: Callable[..., list[OpEnd]]
) -> None:
    for end, reason in zip(judge(name), reasons, strict=True):
        assert end["status"] == ("wrong" if reason else "ok")
        assert reason in end["reason"]
        assert ("ns" in end) == (not reason)


@pytest.mark.parametrize(("name", "reason"), [("remembers", "after timing"), ("stale", "is NaN or infinite")])
def test_an_answer_from_before_is_noticed(name: str, reason: str, judge: Callable[..., list[OpEnd]]) -> None:
    (end,) = judge(name, LAYERS[:1])
    assert end["status"] == "wrong"
    assert reason in end["reason"]


def test_an_exception_is_of_one_layer_and_names_the_line(judge: Callable[..., list[OpEnd]]) -> None:
    ends = judge("picky")
    assert [end["status"] for end in ends] == ["ok", "ok", "error"]
    line = CODE.splitlines().index('        raise NotImplementedError("no residuals")') + 1
    assert ends[2]["reason"] == f"NotImplementedError: no residuals (my_convolutions.py:{line})"


def test_in_bf16_the_librarys_error_is_the_measure(judge: Callable[..., list[OpEnd]]) -> None:
    skip_without_bf16("library-fused", "bf16")
    layers = [replace(layer, dtype="bf16") for layer in LAYERS]
    assert [end["status"] for end in judge("conv", layers, precision="bf16")] == ["ok"] * 3


def test_operands_of_tf32_are_values_that_it_has() -> None:
    drawn = operands.draw(replace(PLAIN, dtype="tf32", residual=True), "cpu", 0)
    for tensor in (drawn.x, drawn.weight, drawn.bias, drawn.residual):
        assert tensor is not None
        assert not (tensor.view(torch.int32) & (1 << 13) - 1).any()
        assert tensor.unique().numel() > 8
