"""A network's last layers as a torch op, which networks call; kernels/head.py computes them.

packed = kernels.pack_linear(fc.weight, fc.bias, torch.float16).to("cuda")      # once
logits = kernels.pool_linear(x, packed)                                         # x: channels-last
"""

from __future__ import annotations

from torch import Tensor

from kernels.call import cached_layer, call_op, check_input, check_prologue, check_rows, compute_layer, register_op
from kernels.launch import Operands
from kernels.packing import Packed
from kernels.space.config import Config


def pool_linear(
    x: Tensor,
    packed: Packed,
    prologue: tuple[Tensor, Tensor] | None = None,
    out: Tensor | None = None,
    config: Config | None = None,
) -> Tensor:
    """Return mean(act'(x)) * weight + bias of x [N, C, h, w], channels-last: [N, classes] in x's dtype.

    `packed` is from `pack_linear`. `prologue` is scale and shift [C], float32: act'(x) = relu(x * scale + shift).
    `out`, if given, is written and returned, and shares no memory with x. `config` overrides the table. Raises
    ValueError, naming the argument, for arguments that do not fit.
    """
    if not isinstance(packed, Packed):
        raise ValueError(f"packed: a {type(packed).__name__}, not what kernels.pack_linear returns")
    if packed.kernel != (1, 1) or packed.c_in2:
        raise ValueError(f"packed: a {packed!r}, not what kernels.pack_linear returns")
    check_input(x, packed)
    if x.shape[2] < 1 or x.shape[3] < 1:
        raise ValueError(f"x: {x.shape[2]} x {x.shape[3]} pixels have no mean")
    check_rows(x.shape[0] * x.shape[2] * x.shape[3], "pixels")
    check_prologue(prologue, x)
    scale, shift = prologue if prologue is not None else (None, None)
    if out is not None and (out.shape != (x.shape[0], packed.c_out) or not out.is_contiguous()):
        raise ValueError(
            f"out: {list(out.shape)} of strides {out.stride()}, not {[x.shape[0], packed.c_out]}, contiguous"
        )
    if out is not None and (out.dtype != x.dtype or out.device != x.device):
        raise ValueError(f"out: {out.dtype} on {out.device}, and x {x.dtype} on {x.device}")
    operands = (x, packed.weight, packed.bias, scale, shift, packed.precision)
    return call_op("pool_linear", operands, config, out)


def _write(
    x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None, shift: Tensor | None, precision: str, config: str,
    out: Tensor,
) -> None:  # fmt: skip
    """Write out. `config` is text, or empty."""
    (n, c, h, w), classes, prologue = x.shape, bias.shape[0], scale is not None
    layer = cached_layer(n, h, w, c, classes, (1, 1), relu=False, prologue=prologue, dtype=precision, mean=True)
    compute_layer(layer, Operands(x, weight, bias, scale=scale, shift=shift), out, config)


def _empty(
    x: Tensor, weight: Tensor, bias: Tensor, scale: Tensor | None, shift: Tensor | None, precision: str, config: str
) -> Tensor:
    """Return memory for the result; its batch may be symbolic."""
    return x.new_empty(x.shape[0], bias.shape[0])


register_op("pool_linear", _write, _empty)
