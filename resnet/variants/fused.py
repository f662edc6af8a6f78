"""This project's Triton kernels for every layer: one kernel a convolution, with the layers around it fused into it.

`resnet.fused.program` says what is fused and why, `resnet.fused.network` runs it, in 8 bits as `resnet.fused.quantized`
has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor

from kernels.tf32 import round_tf32
from resnet.calibration import Calibration
from resnet.code import Unserved
from resnet.fold import fold
from resnet.fused.buffers import peak_bytes
from resnet.fused.carried import bundle_details
from resnet.fused.eager_memory import eager_uses
from resnet.fused.launches import install_tuned
from resnet.fused.network import FusedNetwork
from resnet.fused.program import Program, build_program
from resnet.fused.quantized import HALF_INPUT, RULES, SCHEME_OF, CodedStep, activation_name, quantize_program
from resnet.model import ResNet
from resnet.quant.network import facts, float_steps
from resnet.quant.ranges import calibrate, digest
from resnet.quant.steps import QuantizedRunner, Step, Taps
from resnet.runner import DTYPES, Forward, Runner, TorchRunner, weights_bytes, with_launch


def prepare(model: ResNet, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the model as a static program for batches of `example`'s shape, channels-last.

    On a CPU, which the table does not list as served, tests run it: by the ops' aten, or with TRITON_INTERPRET=1 by the
    kernels themselves. `details` compares the memory of all activations with the least that eager needs.
    """
    program = build_program(cast(ResNet, fold(model)), tuple(example.shape))
    tuned = _install_tuned(example)
    network = FusedNetwork(program, precision, example.device)
    details = _details(network, model, example, DTYPES[precision]) | tuned
    return with_launch(KernelRunner(network, example, precision, details), launch)


def prepare_quantized(
    model: ResNet, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> QuantizedRunner:
    """Prepare the model in int8 or e4m3, from the stem's result to the averages: pictures and logits are fp16.

    Raises ValueError for a name in `keep_wide` that is no layer.
    """
    where = example.device
    if precision == "fp8" and where.type == "cuda" and torch.cuda.get_device_capability(where) < (8, 9):
        raise Unserved("fused/fp8 multiplies e4m3, which begins with sm_89 (Ada): this card has int8")
    folded = cast(ResNet, fold(model)).cpu()
    program = build_program(folded, tuple(example.shape))
    ranges = calibrate(float_steps(folded, merged=True), calibration, SCHEME_OF[precision])
    coded, steps = quantize_program(program, ranges, precision, calibration.keep_wide)
    tuned = _install_tuned(example)
    network = FusedNetwork(program, precision, example.device, coded)
    details = _details(network, model, example, torch.float16) | tuned
    details["quantized"] = _facts(steps, calibration, digest(ranges))
    runner: Any = with_launch(KernelRunner(network, example, "fp16", details), launch)
    runner.steps, runner.checked = steps, "taps"
    runner.taps = lambda x: _taps(program, precision, coded, x)
    return cast(QuantizedRunner, runner)


def _taps(program: Program, precision: str, coded: tuple[CodedStep, ...], x: Tensor) -> Taps:
    """Run the same kernels on memory that none uses twice, and return what is in it."""
    network = FusedNetwork(program, precision, x.device, coded, keep=True)
    logits = network(x)
    activations = {activation_name(step): network.values[step.name] for step in program.steps[:-1]}
    return Taps({HALF_INPUT: x.clone(), **activations, "avgpool": network.averages()}, logits)


def _facts(steps: tuple[Step, ...], calibration: Calibration, ranges: str) -> dict[str, Any]:
    """Return what a record says of the 8 bits, whose wide layers have other reasons too."""
    quantized = facts(steps, calibration, ranges)
    shared = dict.fromkeys(quantized["wide"], "its sums are added to those of a wide layer")
    reasons = shared | dict.fromkeys(calibration.keep_wide, "as asked") | dict(RULES)
    return quantized | {"why_wide": {name: reasons[name] for name in quantized["wide"]}, "float_operations": []}


def _install_tuned(example: Tensor) -> dict[str, Any]:
    on_gpu = example.device.type == "cuda"
    return install_tuned(torch.cuda.get_device_name(example.device)) if on_gpu else {"tables": []}


def _details(network: FusedNetwork, model: ResNet, example: Tensor, dtype: torch.dtype) -> dict[str, Any]:
    on_gpu = example.device.type == "cuda"
    return {
        "weights_bytes": weights_bytes(network),
        "steps": len(network.steps),
        "activation_bytes": network.activation_bytes,
        "eager_activation_bytes": peak_bytes(eager_uses(model, tuple(example.shape), dtype.itemsize)),
        "kernels": "triton" if on_gpu else "triton, interpreted" if network.configs else "aten",
        "triton_cached": network.cached,
        "configurations": {layer.key: str(config) for layer, config in network.configs.items()},
        **bundle_details(example.device.type),
    }


class KernelRunner(TorchRunner):
    """A runner that places batches as the kernels read them: channels-last, for tf32 rounded to it."""

    def __init__(self, forward: Forward, example: Tensor, precision: str, details: Mapping[str, Any]) -> None:
        super().__init__(forward, example, DTYPES[precision], "channels_last", details)
        self._rounds = precision == "tf32"

    def place(self, batch: Tensor) -> Tensor:
        x = super().place(batch)
        return round_tf32(x) if self._rounds else x
