"""The convolution as a torch op: what a network calls.

    packed = pack(conv.weight, conv.bias, torch.float16).to("cuda")          # once
    y = conv_bias_act(x, packed, stride=2, padding=1, residual=shortcut)      # x, shortcut, y: channels-last

The op runs under torch.compile, torch.export and CUDA graphs as one node. On CUDA it is the Triton kernel that the
installed table (`table.use`) or the model names; on a CPU it is plain aten in float32, and with TRITON_INTERPRET=1 the
Triton kernel itself, interpreted, except for bf16, which the interpreter multiplies wrong (reference/kernels.md, 2.1).

Nothing is copied, cast or re-laid: what does not fit is refused. `out` takes a buffer of the caller's, so that a
network can own its activations; configurations that split the depth still allocate their partial sums, from the graph's
own pool when captured. `out` may be `residual` itself, and shares no memory with `x` or `second`.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from kernels import conv, conv_tma
from kernels.config import Config, Layer, unfit
from kernels.launch import INTERPRETED, Operands, output
from kernels.pack import Packed
from kernels.space import default
from kernels.table import config_for

LARGEST_ROWS = 2**31 - 512  # rows are counted in 32 bits, and the last tile runs past the end


def conv_bias_act(
    x: Tensor,
    packed: Packed,
    stride: int = 1,
    padding: int = 0,
    residual: Tensor | None = None,
    relu: bool = True,
    second: tuple[Tensor, int] | None = None,
    prologue: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
    config: Config | None = None,
) -> Tensor:
    """act(conv(act'(x)) + conv1x1(x2) + bias + residual), [N, C, H, W] -> [N, K, H', W'] in x's dtype, channels-last.

    `act` is ReLU if `relu`. `second` is x2 [N, C2, H2, W2] and its stride, for weights packed with a second one.
    `prologue` is scale and shift [C], float32: act'(x) = relu(x * scale + shift), before the padding. `out` is written
    and returned. `config` overrides the table. Raises `ValueError`, naming the argument, for what it cannot take.
    """
    x2, stride2 = second if second is not None else (None, 1)
    scale, shift = prologue if prologue is not None else (None, None)
    _check_input(x, packed, stride, padding)
    _check_second(x, x2, stride2, packed)
    n, _, h, w = x.shape
    out_h, out_w = _out(h, packed.kernel[0], stride, padding), _out(w, packed.kernel[1], stride, padding)
    if out_h < 1 or out_w < 1:
        raise ValueError(f"x: {h} x {w} pixels leave no output of a {packed.kernel} window")
    if x2 is not None and (_out(x2.shape[2], 1, stride2, 0), _out(x2.shape[3], 1, stride2, 0)) != (out_h, out_w):
        raise ValueError(f"second: {list(x2.shape[2:])} at stride {stride2} do not give {out_h} x {out_w} pixels")
    for name, tensor in (("residual", residual), ("out", out)):
        if tensor is not None:
            _check_activation(name, tensor, x)
            if tensor.shape != (n, packed.c_out, out_h, out_w):
                raise ValueError(f"{name}: {list(tensor.shape)}, not {[n, packed.c_out, out_h, out_w]}")
    for tensor in (scale, shift):
        if tensor is not None and (tensor.shape != (packed.c_in,) or tensor.dtype != torch.float32):
            raise ValueError(f"prologue: {tensor.dtype} {list(tensor.shape)}, not float32 [{packed.c_in}]")
        if tensor is not None and (tensor.device != x.device or not tensor.is_contiguous()):
            raise ValueError(f"prologue: not contiguous on {x.device}")
    geometry = [*packed.kernel, stride, padding, stride2]
    text = "" if config is None else str(config)
    operands = (x, packed.weight, packed.bias, residual, x2, scale, shift, geometry, relu, packed.precision, text)
    if out is None:
        return torch.ops.resnet_bench.conv_bias_act(*operands)
    torch.ops.resnet_bench.conv_bias_act_out(*operands, out)
    return out


def _check_input(x: Tensor, packed: Packed, stride: int, padding: int) -> None:
    if not isinstance(packed, Packed):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.pack.pack returns")
    if x.dim() != 4:
        raise ValueError(f"x: of shape {list(x.shape)}, not [N, C, H, W]")
    if x.dtype != packed.dtype or packed.weight.dtype != packed.dtype or packed.bias.dtype != torch.float32:
        held = f"{packed.weight.dtype} and a bias of {packed.bias.dtype}"
        raise ValueError(f"packed: for {packed.dtype}, holding {held}; x is {x.dtype}")
    if packed.weight.device != x.device:
        raise ValueError(f"packed: on {packed.weight.device}, and x on {x.device}")
    if x.shape[1] != packed.c_in:
        raise ValueError(f"x: {x.shape[1]} channels, and weights packed for {packed.c_in}")
    if stride < 1:
        raise ValueError(f"stride: {stride} is less than one")
    if padding < 0:
        raise ValueError(f"padding: {padding} is less than zero")
    _check_activation("x", x, x)


def _check_second(x: Tensor, x2: Tensor | None, stride2: int, packed: Packed) -> None:
    if (x2 is not None) != (packed.c_in2 > 0):
        raise ValueError(
            f"second: {'given' if x2 is not None else 'missing'}, weights packed for {packed.c_in2} channels"
        )
    if x2 is None:
        return
    if stride2 < 1:
        raise ValueError(f"second: a stride of {stride2}")
    if x2.dim() != 4 or x2.shape[0] != x.shape[0] or x2.shape[1] != packed.c_in2:
        raise ValueError(f"second: {list(x2.shape)}, not [{x.shape[0]}, {packed.c_in2}, H2, W2]")
    _check_activation("second", x2, x)


def _check_activation(name: str, tensor: Tensor, x: Tensor) -> None:
    if tensor.dtype != x.dtype or tensor.device != x.device:
        raise ValueError(f"{name}: {tensor.dtype} on {tensor.device}, and x {x.dtype} on {x.device}")
    if not tensor.is_contiguous(memory_format=torch.channels_last):
        raise ValueError(f"{name}: strides {tensor.stride()} are not channels-last, and nothing is copied here")


def _out(size: int, kernel: int, stride: int, padding: int) -> int:
    return (size + 2 * padding - kernel) // stride + 1


@torch.library.custom_op("resnet_bench::conv_bias_act", mutates_args=(), tags=(torch.Tag.needs_exact_strides,))
def _conv_bias_act(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, x2: Tensor | None, scale: Tensor | None,
    shift: Tensor | None, geometry: list[int], relu: bool, precision: str, config: str,
) -> Tensor:  # fmt: skip
    """`geometry`: kernel height and width, stride, padding, the second operand's stride. `config`: text, or empty."""
    layer = _layer(
        x.shape, weight.shape[0], (*geometry,), None if x2 is None else x2.shape,
        residual is not None, relu, scale is not None, precision,
    )  # fmt: skip
    y = output(layer, x.device)
    _run(layer, Operands(x, weight, bias, residual, x2, scale, shift), y, config)
    return y


@_conv_bias_act.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, x2: Tensor | None, scale: Tensor | None,
    shift: Tensor | None, geometry: list[int], relu: bool, precision: str, config: str,
) -> Tensor:  # fmt: skip
    kernel_h, kernel_w, stride, padding, _ = geometry
    n, _, h, w = x.shape
    shape = (n, weight.shape[0], _out(h, kernel_h, stride, padding), _out(w, kernel_w, stride, padding))
    return torch.empty(shape, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)


@torch.library.custom_op(
    "resnet_bench::conv_bias_act_out", mutates_args=("out",), tags=(torch.Tag.needs_exact_strides,)
)
def _conv_bias_act_out(
    x: Tensor, weight: Tensor, bias: Tensor, residual: Tensor | None, x2: Tensor | None, scale: Tensor | None,
    shift: Tensor | None, geometry: list[int], relu: bool, precision: str, config: str, out: Tensor,
) -> None:  # fmt: skip
    layer = _layer(
        x.shape, weight.shape[0], (*geometry,), None if x2 is None else x2.shape,
        residual is not None, relu, scale is not None, precision,
    )  # fmt: skip
    _run(layer, Operands(x, weight, bias, residual, x2, scale, shift), out, config)


@_conv_bias_act_out.register_fake
def _(*_: object) -> None:
    return None


@cache
def _layer(
    shape: torch.Size, c_out: int, geometry: tuple[int, ...], second: torch.Size | None,
    residual: bool, relu: bool, prologue: bool, precision: str,
) -> Layer:  # fmt: skip
    n, c, h, w = shape
    kernel_h, kernel_w, stride, padding, stride2 = geometry
    x2 = None if second is None else (second[2], second[3], second[1], stride2)
    layer = Layer(n, h, w, c, c_out, (kernel_h, kernel_w), stride, padding, residual, relu, x2, prologue, precision)
    if layer.rows > LARGEST_ROWS:
        raise ValueError(f"x: {layer.rows} output pixels are more than 32 bits count")
    return layer


def _run(layer: Layer, operands: Operands, out: Tensor, text: str) -> None:
    device = out.device
    if out.numel() == 0:
        return
    if device.type != "cuda" and not (INTERPRETED and layer.dtype != "bf16"):
        out.copy_(conv.reference(layer, operands, torch.float32))
        return
    if text:
        config = Config.parse(text)
    elif device.type == "cuda":
        config = config_for(layer, *_gpu(device.index))
    else:
        config = default(layer, 80)
    _check_config(config, layer)
    launch = conv_tma.launch if config.impl == "tma" else conv.launch
    if device.type == "cuda":
        with torch.cuda.device(device):
            launch(layer, config, operands, out)
    else:
        launch(layer, config, operands, out)


@cache
def _check_config(config: Config, layer: Layer) -> None:
    reason = unfit(layer, config)
    if reason:
        raise ValueError(f"config: {config} for {layer.key}: {reason}")


@cache
def _gpu(index: int) -> tuple[str, int, int]:
    """Name, compute capability as 90, number of SMs."""
    found = torch.cuda.get_device_properties(index)
    return found.name, found.major * 10 + found.minor, found.multi_processor_count
