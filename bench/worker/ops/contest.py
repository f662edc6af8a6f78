"""A user's convolution on layers: checked against float64, and timed in turns with the library's and this project's.

`conv(x, weight, bias, residual, stride, padding, relu)` returns act(conv(x) + bias + residual), act ReLU or nothing:
`bench.worker.ops.operands.Operands` describes the tensors, `residual` may be None or be overwritten, and the result is
valid until the next call. If the function has an attribute `pack`, `pack(weight, bias)` is called once, untimed, and
what it returns stands in for `weight`; parameters of `pack` called `shape` (of x), `stride`, `padding` get these.
"""

from __future__ import annotations

import inspect
import json
import random
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from bench.runs.job import Notify
from bench.runs.kernel_jobs import OpAnswer, OpEnd, OpJob
from bench.tuning.networks import layer_from_json
from bench.worker.failure import describe_failure
from bench.worker.measure.clock import Clock, on_device
from bench.worker.ops import operands as ops
from bench.worker.ops.operands import Operands
from bench.worker.runtime import describe_runtime
from kernels.space.layer import Layer
from resnet.code import Code, load_code
from resnet.device_time import StartedEarly
from resnet.library.ops import CudnnConv, OneDnnConv
from resnet.runner import DTYPES, set_torch_flags

YOURS, LIBRARY, OURS = "yours", "library", "ours"
NO_KERNELS = "our kernels are compiled for NVIDIA GPUs; a CPU can only interpret them"
WARM_UP_TURNS = 3

Call = Callable[[], Tensor]
Make = Callable[[Layer, Operands], Call]  # packs weights, and returns the call on these operands


def judge_convolution(job: OpJob, notify: Notify) -> OpAnswer:
    """Check and time the job's convolution on each of its layers; a stage says when a layer begins and how it ended."""
    code = load_code(job.code)
    set_torch_flags(torch.device(job.device), job.precision)
    makers = contestants(code, job.device)
    with on_device(job.device) as clock:
        for number, data in job.layers:
            notify(f"layer {number}")
            try:
                end = judge_layer(layer_from_json(data), makers, clock, job)
            except Exception as error:  # of the user's code, with its line; the other layers are judged all the same
                failure = describe_failure(error)
                end = {"status": failure["status"], "reason": failure["reason"]}
            notify(f"done {number} {json.dumps(end)}")
    described = {"name": job.code, "file": code.file.name, "digest": code.digest, "version": code.version}
    return {"status": "ok", "code": described, "runtime": describe_runtime(job.device)}


def contestants(code: Code, device: str) -> dict[str, Make]:
    """Return the makers of the contestants' calls on a device, by their names."""
    makers: dict[str, Make] = {LIBRARY: _library, YOURS: partial(_users, code)}
    if device == "cuda":
        from resnet.fused.launches import install_tuned

        install_tuned(torch.cuda.get_device_name())
        makers[OURS] = _ours
    return makers


def judge_layer(layer: Layer, makers: Mapping[str, Make], clock: Clock, job: OpJob) -> OpEnd:
    """Check the user's answers on every set of operands, time the contestants in turns, and check once more."""
    sets = [ops.draw(layer, job.device, job.seed)]
    sets += [sets[0].clone() for _ in range(ops.set_count(layer, job.device) - 1)]
    calls = {name: [make(layer, operands) for operands in sets] for name, make in makers.items()}
    right = ops.right_answer(layer, sets[0])
    library = _answer(calls[LIBRARY][0], sets[0], clock)
    notes = {} if OURS in makers else {OURS: NO_KERNELS}
    before = _check(layer, sets, calls[YOURS], library, right, clock)
    if before["status"] != "ok":
        return before
    if OURS in calls:
        _check_ours(layer, sets[0], calls, library, right, clock, notes)
    ns = time_in_turns(calls, sets, clock, job)
    for operands in sets:
        operands.x.mul_(0.5)  # another input at the same places: an answer that was remembered is now wrong
    right, library = ops.right_answer(layer, sets[0]), _answer(calls[LIBRARY][0], sets[0], clock)
    after = _check(layer, sets, calls[YOURS], library, right, clock)
    if after["status"] != "ok":
        return {**after, "reason": f"after timing: {after['reason']}"}
    worst = {key: max(before[key], after[key]) for key in ("error", "largest")}
    numbers: OpEnd = {"error": worst["error"], "largest": worst["largest"], "ns": ns, "notes": notes}
    return {"status": "ok", "reason": "", **numbers}


def time_in_turns(
    calls: Mapping[str, list[Call]], sets: list[Operands], clock: Clock, job: OpJob
) -> dict[str, list[float]]:
    """Return nanoseconds a call of each contestant, turn by turn: in each turn every contestant runs all sets once.

    The order is drawn anew for each turn. On a GPU it is device time, unless a contestant waits for the device: then it
    is the host's, of all of them.
    """
    order, draw = list(calls), random.Random(job.seed)
    by_host = False

    def take(name: str) -> float:
        nonlocal by_host
        for operands in sets:
            operands.restore()
        clock.wait()
        run = partial(_run_all, calls[name])
        if not by_host:
            try:
                return clock.device(run).ns / len(sets)
            except StartedEarly:
                by_host = True
        return clock.sample(run)[0] / len(sets)

    for _ in range(WARM_UP_TURNS):
        for name in order:
            take(name)
    turns: list[dict[str, float]] = []
    end = time.monotonic() + job.seconds
    while time.monotonic() < end or len(turns) < job.samples:
        was_by_host = by_host
        turn = {name: take(name) for name in draw.sample(order, len(order))}
        if by_host and not was_by_host:  # times of two kinds are no comparison
            turns.clear()
            continue
        turns.append(turn)
    return {name: [turn[name] for turn in turns] for name in order}


def _run_all(calls: list[Call]) -> None:
    for call in calls:
        call()


def _answer(call: Call, operands: Operands, clock: Clock) -> Tensor:
    """Return a copy of the answer of a call, whose memory is poisoned: what is read of it later is NaN."""
    operands.restore()
    answer = call()
    if not isinstance(answer, Tensor):
        return answer
    copy = answer.clone()
    answer.fill_(torch.nan)
    clock.wait()
    return copy


def _check(
    layer: Layer, sets: list[Operands], calls: list[Call], library: Tensor, right: Tensor, clock: Clock
) -> OpEnd:
    """Return the worst errors of the calls on sets that hold equal values, or the first reason why one is wrong."""
    worst = (0.0, 0.0)
    for operands, call in zip(sets, calls, strict=True):
        kept = {name: getattr(operands, name).clone() for name in ("x", "weight", "bias")}
        answer = _answer(call, operands, clock)
        if reason := ops.why_no_answer(layer, answer):
            return {"status": "wrong", "reason": reason}
        error, largest = ops.multiples(layer, answer, library, right)
        if reason := ops.why_wrong(error, largest):
            return {"status": "wrong", "reason": reason, "error": error, "largest": largest}
        for name, before in kept.items():
            if not torch.equal(getattr(operands, name), before):
                return {"status": "wrong", "reason": f"changed its {name}"}
        worst = max(worst[0], error), max(worst[1], largest)
    return {"status": "ok", "reason": "", "error": worst[0], "largest": worst[1]}


def _check_ours(
    layer: Layer, operands: Operands, calls: dict[str, list[Call]], library: Tensor, right: Tensor, clock: Clock,
    notes: dict[str, str],
) -> None:  # fmt: skip
    """Take this project's convolution out of `calls`, with a note, where its answer is wrong."""
    answer = _answer(calls[OURS][0], operands, clock)
    reason = ops.why_no_answer(layer, answer) or ops.why_wrong(*ops.multiples(layer, answer, library, right))
    if reason:
        del calls[OURS]
        notes[OURS] = reason


def _library(layer: Layer, operands: Operands) -> Call:
    conv = nn.Conv2d(layer.c_in, layer.c_out, layer.kernel, layer.stride, layer.padding, device="meta")
    conv.weight, conv.bias = nn.Parameter(operands.weight, False), nn.Parameter(operands.bias, False)
    dtype = DTYPES[layer.dtype]
    if not operands.x.is_cuda:
        module: nn.Module = OneDnnConv(conv, dtype, operands.x.shape)
    else:
        cudnn = CudnnConv(conv, dtype, torch.channels_last)
        cudnn.choose(operands.x, operands.residual, layer.relu)
        operands.restore()
        module = cudnn
    return partial(module, operands.x, operands.residual, layer.relu)


def _ours(layer: Layer, operands: Operands) -> Call:
    import kernels

    packed = kernels.pack(operands.weight, operands.bias, tf32=layer.dtype == "tf32")
    return partial(
        kernels.conv_bias_act, operands.x, packed, layer.stride, layer.padding, operands.residual, layer.relu
    )


def _users(code: Code, layer: Layer, operands: Operands) -> Call:
    weight: Any = operands.weight
    pack = getattr(code.function, "pack", None)
    if pack is not None:
        words = {"shape": operands.x.shape, "stride": layer.stride, "padding": layer.padding}
        wanted = inspect.signature(pack).parameters
        weight = pack(weight, operands.bias, **{name: value for name, value in words.items() if name in wanted})
    return partial(
        code.function, operands.x, weight, operands.bias, operands.residual, layer.stride, layer.padding, layer.relu,
        **code.arguments,
    )  # fmt: skip
