"""The most that torch.compile can do: weights frozen into the graph, channels-last, kernels chosen by timing."""

from __future__ import annotations

from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.torch_version import TorchVersion

from resnet.calibration import Calibration
from resnet.code import Unserved
from resnet.fold import fold
from resnet.model import ResNet
from resnet.pt2e.network import float_kernels, generated_code, quantized_graph
from resnet.pt2e.taps import Recorder
from resnet.quant.network import SCHEMES, facts, float_steps, quantize
from resnet.quant.ranges import calibrate, digest
from resnet.quant.steps import Declared, QuantizedRunner, Step
from resnet.quiet import quiet
from resnet.runner import DTYPES, Runner, autocast, converted, weights_bytes, with_launch
from resnet.variants.compile import compiled_runner
from resnet.variants.table import NO_VNNI

# The first release whose Triton convolution keeps to 4 warps where a window is larger than a pixel. Before it 11 of the
# 17 candidates for each shape have 8 and compute wrong results (pytorch#173068), which autotuning does not check.
FIRST_RIGHT_CONVOLUTIONS = "2.13"
WHY_ATEN_CONVOLUTIONS = (
    "cuDNN's alone (max_autotune_conv_backends = ATEN): before torch 2.13 Inductor's convolution is wrong with 8 "
    "warps (pytorch#173068); 1x1 convolutions at stride 1 are matrix products, and autotuned"
)


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare the module compiled with frozen weights, channels-last; in 16 bits under autocast.

    Freezing folds batch norm in float32 and casts the folded weights once, at compile time, so autocast costs nothing
    at run time (0.99 times the time of weights cast beforehand: ResNet-18, bf16, 2-core Zen 4 VM, 2026-11). Only
    CUDA is autotuned: on a CPU autotuning is for matrix products, of which a ResNet has one.

    `details` has the options and, where convolutions are not autotuned, the reason.
    """
    dtype = DTYPES[precision]
    net = converted(model, example.device, torch.float32, "channels_last")
    options, notes = inductor_options(example.device.type, torch.__version__)
    forward = net if dtype == torch.float32 else autocast(net, dtype)
    # weights: as frozen, in the precision; the float32 originals stay resident beside them
    details = {"weights_bytes": weights_bytes(net) * dtype.itemsize // 4, "compile_options": options, **notes}
    return with_launch(compiled_runner(forward, options, example, dtype, "channels_last", details, net), launch)


def prepare_quantized(
    model: ResNet, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> QuantizedRunner:
    """Prepare a ResNet through torchao's PT2E, for the quantised operations of oneDNN that Inductor knows on an x86.

    Ranges and weights are ours, so torchao looks at no picture; of its choices only the form of the graph is left.
    The codes are seen at the library's calls in the compiled code itself. Raises Unserved where the CPU
    has no products of 8 bits, and RuntimeError where Inductor left a layer in float that was to be in 8 bits.
    """
    if not torch.cpu._is_vnni_supported():
        raise Unserved(NO_VNNI)
    folded, scheme = cast(ResNet, fold(model)), SCHEMES["uint8"]
    floats = float_steps(folded, merged=True)
    ranges = calibrate(floats, calibration, scheme)
    steps = quantize(floats, ranges, scheme, calibration.keep_wide)
    return QuantizedCompiled(folded, steps, example, facts(steps, calibration, digest(ranges)))


class QuantizedCompiled:
    """A compiled network in 8 bits as a Runner, whose codes are seen in the compiled code that is timed."""

    checked: Literal["taps", "units"] = "taps"

    def __init__(self, folded: ResNet, steps: tuple[Step, ...], example: Tensor, quantized: dict[str, Any]) -> None:
        options, notes = inductor_options("cpu", torch.__version__)
        stored = [weight.codes for step in steps for weight in step.weights]
        size = sum(codes.numel() * codes.element_size() for codes in stored)
        details = {"weights_bytes": size, "compile_options": options, **notes}
        placed = example.to(memory_format=torch.channels_last)
        folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        graph = quantized_graph(folded, steps, placed)
        with generated_code() as code, quiet():
            inner = compiled_runner(graph, options, example, torch.float32, "channels_last", details, graph)
        self._declared, self._forward, self.place = Declared(steps), inner._forward, inner.place
        self.taps = Recorder(self._declared, inner)
        self.taps.run(steps, inner.place(example))
        layers = {step.name for step in steps if any(not weight.wide for weight in step.weights)}
        if left := sorted(layers - set(self.taps.calls)):
            raise RuntimeError(f"Inductor left {', '.join(left)} in float, which were to be in 8 bits")
        seen = {"float_operations": float_kernels(code), "unseen": self.taps.unseen}
        self.details = inner.details | {"quantized": quantized | seen}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The declared steps."""
        return self._declared()

    def __call__(self, x: Tensor) -> Tensor:
        return self._forward(x)


def inductor_options(device: str, version: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return Inductor's options on a device for a version of torch, and notes on them for the record."""
    options: dict[str, Any] = {"freezing": True}
    if device != "cuda":
        return options, {}
    options |= torch._inductor.list_mode_options("max-autotune-no-cudagraphs")
    if TorchVersion(version) >= FIRST_RIGHT_CONVOLUTIONS:
        return options, {}
    return options | {"max_autotune_conv_backends": "ATEN"}, {"convolutions": WHY_ATEN_CONVOLUTIONS}
