"""The vendor libraries' convolutions with fused bias, residual and ReLU: oneDNN's on a CPU, cuDNN's on CUDA.

Both layers compute y = act(conv(x) + bias + residual) on channels-last tensors, with `residual` optional and `act` ReLU
or nothing: x [N, C, H, W], residual and y [N, K, H', W'].
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from resnet.runner import fastest

onednn = torch.ops.mkldnn

# The fused call is chosen up to this multiple of the separate kernels' time: a choice within the noise of a few timings
# would differ from process to process.
FUSED_MARGIN = 1.05

# The largest difference of the two, relative to the largest value: bf16 has 8 bits, and the separate kernels round
# three times. The fused ReLU passes cuDNN its uninitialised output as a residual times 0, which is not 0 if that
# memory has a NaN.
FUSED_TOLERANCE = 0.02


def as_conv(weight: Tensor, bias: Tensor | None, stride: int, padding: int, groups: int = 1) -> nn.Conv2d:
    """Return torch's convolution of a weight [K, C / groups, R, S] and a bias [K]."""
    k, c, r, s = weight.shape
    conv = nn.Conv2d(c * groups, k, (r, s), stride, padding, groups=groups, device="meta")
    conv.weight = nn.Parameter(weight.detach(), False)
    conv.bias = None if bias is None else nn.Parameter(bias.detach(), False)
    return conv


class OneDnnConv(nn.Module):
    """oneDNN's convolution, with its weight packed once for inputs of the given shape [N, C, H, W].

    A residual is accumulated in place, which saves an output: it is overwritten.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, shape: torch.Size) -> None:
        super().__init__()
        self.geometry = (*map(list, (conv.padding, conv.stride, conv.dilation)), conv.groups)
        weight = conv.weight.detach().to(dtype, memory_format=torch.channels_last)
        self.register_buffer("weight", onednn._reorder_convolution_weight(weight, *self.geometry, list(shape)))
        self.register_buffer("bias", None if conv.bias is None else conv.bias.detach().to(dtype))

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        weights = (self.weight, self.bias, *self.geometry)
        if residual is None:
            return onednn._convolution_pointwise(x, *weights, "relu" if relu else "none", [], "")
        return onednn._convolution_pointwise_(residual, x, *weights, "add", 1.0, "relu" if relu else None, [], None)


class OneDnnLinear(nn.Module):
    """oneDNN's matrix product [N, C] -> [N, K], its weight packed once; nn.Linear packs a bf16 weight at each call."""

    def __init__(self, linear: nn.Linear, dtype: torch.dtype, batch: int) -> None:
        super().__init__()
        self.register_buffer("weight", onednn._reorder_linear_weight(linear.weight.detach().to(dtype), batch))
        self.register_buffer("bias", linear.bias.detach().to(dtype))

    def forward(self, x: Tensor) -> Tensor:
        return onednn._linear_pointwise(x, self.weight, self.bias, "none", [], "")


class CudnnConv(nn.Module):
    """cuDNN's convolution, as one fused call or as torch's separate kernels, whichever `choose` timed faster.

    cuDNN has no fused engine for some shapes and dtypes, and on a channels-last 7x7 its fused call has been 17 times
    slower (pytorch#68506). The fused ops support only convolutions that end in a ReLU.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, conv: nn.Conv2d, dtype: torch.dtype, memory_format: torch.memory_format) -> None:
        super().__init__()
        assert not isinstance(conv.padding, str)
        self.geometry = (conv.stride, conv.padding, conv.dilation, conv.groups)
        self.fused = False
        self.choice: str | None = None
        self.register_buffer("weight", conv.weight.detach().to(dtype, memory_format=memory_format))
        # never None: without a bias the fused ops fill one with zeros at each call
        bias = torch.zeros(conv.out_channels) if conv.bias is None else conv.bias.detach()
        self.register_buffer("bias", bias.to(dtype))

    def forward(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> Tensor:
        return self._fused(x, residual) if relu and self.fused else self._separate(x, residual, relu)

    def choose(self, x: Tensor, residual: Tensor | None = None, relu: bool = False) -> None:
        """Compare and time the fused call and separate kernels on a real input; keep the choice and its reason."""
        if not relu:
            return
        calls = {"fused": partial(self._fused, x, residual), "separate": partial(self._separate, x, residual, True)}
        try:
            fused, separate = (call() for call in calls.values())
            _, us = fastest(calls, x.device)
        except RuntimeError as error:
            self.choice = str(error).splitlines()[0]
            return
        difference = float((fused - separate).abs().max() / separate.abs().max())
        if not difference < FUSED_TOLERANCE:  # also if NaN
            self.choice = f"the fused call is {difference:.2g} of the largest value apart"
            return
        self.fused = us["fused"] <= FUSED_MARGIN * us["separate"]
        self.choice = "fused {fused} us, separate {separate} us".format(**us)

    def _fused(self, x: Tensor, residual: Tensor | None) -> Tensor:
        if residual is None:
            return torch.cudnn_convolution_relu(x, self.weight, self.bias, *self.geometry)
        return torch.cudnn_convolution_add_relu(x, self.weight, residual, 1.0, self.bias, *self.geometry)

    def _separate(self, x: Tensor, residual: Tensor | None, relu: bool) -> Tensor:
        out = F.conv2d(x, self.weight, self.bias, *self.geometry)
        if residual is not None:
            out += residual
        return out.relu_() if relu else out


def choose_each(net: nn.Module, x: Tensor) -> dict[str, Any]:
    """Run one forward pass in which each cuDNN layer of `net` chooses on its input, and return the choices."""
    layers = {name: layer for name, layer in net.named_modules() if isinstance(layer, CudnnConv)}

    def hook(layer: CudnnConv, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        layer.choose(*args, **kwargs)

    hooks = [layer.register_forward_pre_hook(hook, with_kwargs=True) for layer in layers.values()]
    net(x)
    for handle in hooks:
        handle.remove()
    return {
        "convolutions": len(layers),
        "fused": sum(layer.fused for layer in layers.values()),
        "not_fused": {name: layer.choice for name, layer in layers.items() if layer.choice and not layer.fused},
    }
