"""FLOPs and bytes of any module, counted by running it on one picture without data; `resnet.counted` joins kernels."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from resnet.cost import taps
from resnet.counted import INPUT, Kernels, Node, Read, Row, join_kernels
from resnet.outside.branches import tensors_in
from resnet.outside.wrapper import OutsideModel, first_line

# Operations that torch does not tag as pointwise, and that can run within another kernel: each element of their result
# is of one element of their input, or of it and parameters.
RIDING = {
    *("_to_copy", "clone", "copy", "copy_", "constant_pad_nd", "roll", "flip", "repeat", "index", "index_select"),
    *("gather", "slice_scatter", "select_scatter", "reflection_pad2d", "replication_pad2d", "pixel_shuffle"),
    *("pixel_unshuffle", "channel_shuffle", "hardswish", "hardswish_", "hardsigmoid", "hardsigmoid_", "_prelu_kernel"),
    *("fill", "fill_", "zero_", "upsample_nearest2d"),
}
NORMS = {"native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm", "_batch_norm_no_update"}
JOINS = {"cat", "stack"}
CONVOLUTIONS = {"convolution", "_convolution"}
OVERWRITING = {"copy_", "fill_", "zero_"}  # of what they write into they read nothing
WINDOWS = {"max_pool2d_with_indices", "avg_pool2d", "max_pool2d"}
ATTENTION = torch.ops.aten.scaled_dot_product_attention.default


class CountError(ValueError):
    """A module that cannot be traced; the text says why."""


@dataclass(frozen=True)
class Counted:
    """The FLOPs of one image, as torch's counter has them, and the kernels; `how` is `meta` or `cpu`."""

    flops: int
    kernels: Kernels
    how: str

    @property
    def rows(self) -> list[Row]:
        return self.kernels.rows


def count_module(model: nn.Module, shape: tuple[int, ...]) -> Counted:
    """Count one execution for a batch of `shape`, [1, C, H, W]: without data where that is possible, else on the CPU.

    `model` is a float32 module on the CPU in eval mode, which is left as it was. Raises CountError.
    """
    errors = []
    for device in ("meta", "cpu"):  # what needs data, or has tensors that are no buffers, runs with data
        try:
            return _count(_copy(model, device), torch.zeros(shape, device=device), device)
        except Exception as error:  # any of any module's code
            errors.append(error)
    raise CountError(f"its operations cannot be counted: {first_line(errors[-1])}") from errors[-1]


def _copy(model: nn.Module, device: str) -> nn.Module:
    """Return a copy, as a module may keep something of a call; that on `meta` has weights without data."""
    bare: dict[int, Tensor] = {}
    if device == "meta":
        bare = {id(t): nn.Parameter(t.detach().to(device), requires_grad=False) for t in model.parameters()}
        bare |= {id(t): t.detach().to(device) for t in model.buffers()}
    return copy.deepcopy(model, bare)


def _count(model: nn.Module, example: Tensor, how: str) -> Counted:
    trace = Trace(example)
    # in inference mode composite operations are dispatched whole, and attention is seen as one
    with torch.inference_mode(), _names_of(model, trace), _Operations(trace):
        answer = model(example)
    results = map(trace.read, tensors_in(answer))
    kernels = join_kernels(trace.nodes, example.numel(), [read for read in results if read])
    return Counted(trace.flops, kernels, how)


def module_names(model: nn.Module) -> dict[nn.Module, str]:
    """Return the names of the modules in `model`; in a model from outside, those that its own code gives them."""
    names = {module: name for name, module in model.named_modules()}
    if isinstance(model, OutsideModel):
        names = {module: name.removeprefix("net").removeprefix(".") for module, name in names.items()}
    return names


class Trace:
    """The operations of one execution. A value is what a storage holds from one operation that writes it to the next.

    What depends on parameters alone is computed once, ahead of time: no operation of any execution.
    """

    def __init__(self, example: Tensor) -> None:
        self.nodes: list[Node] = []
        self.flops = 0
        self.calls: list[tuple[str, bool]] = []  # the modules that are running, and whether each has none inside
        self._values = {_address(example): INPUT}
        self._sizes = {INPUT: example.numel()}
        self._kept = [example.untyped_storage()]  # so that no address is used twice

    def read(self, tensor: Tensor, elements: int | None = None) -> Read | None:
        """Return what reading a tensor is; None for one that does not depend on the input."""
        value = self._values.get(_address(tensor))
        if value is None:
            return None
        view = (tensor.storage_offset(), tuple(tensor.shape), tuple(tensor.stride()))
        return Read(value, view, min(_elements(tensor), elements or self._sizes[value], self._sizes[value]))

    def add(
        self,
        operation: str,
        kind: Any,
        inputs: Iterable[Tensor],
        outputs: Iterable[Tensor],
        flops: tuple[int, int] = (0, 0),
        touched: int | None = None,
        weights: int | None = None,
    ) -> None:
        """Add an operation; `flops`: counted, needed; `touched`: elements read of the first input, by default all."""
        self.flops += flops[0]
        reads, constants = [], 0
        for place, tensor in enumerate(inputs):
            read = self.read(tensor, touched if place == 0 else None)
            if read:
                reads.append(read)
            elif tensor.is_floating_point():
                constants += _elements(tensor)
        written = [tensor for tensor in outputs if reads or _address(tensor) in self._values]
        if not written:
            return
        partial = [self._remainder(tensor) for tensor in written]
        module, is_leaf = self.calls[-1] if self.calls else ("", False)
        name = module if is_leaf else f"{module}.{operation.strip('_')}".strip(".")
        made = {self._new(tensor): _elements(tensor) for tensor in written}
        weights = constants if weights is None else weights
        self.nodes.append(Node(name, kind, tuple(reads), made, module, flops[1], weights))
        for value, rest in zip(made, partial, strict=True):
            if rest:
                self._rejoin(value, rest)

    def _remainder(self, tensor: Tensor) -> Read | None:
        """Return what of a storage stays when an operation writes a part of it."""
        value = self._values.get(_address(tensor))
        rest = self._sizes[value] - _elements(tensor) if value is not None else 0
        return Read(value, "rest", rest) if value is not None and rest > 0 else None

    def _rejoin(self, value: int, rest: Read) -> None:
        """Let the storage of the new `value` hold the rest of the old one, too."""
        part = Read(value, "all", self._sizes[value])
        whole = len(self._sizes)
        self._sizes[whole] = part.elements + rest.elements
        self._values = {address: whole if v == value else v for address, v in self._values.items()}
        self.nodes.append(Node("", "join", (rest, part), {whole: self._sizes[whole]}))

    def _new(self, tensor: Tensor) -> int:
        value = len(self._sizes)
        self._sizes[value] = _elements(tensor)
        self._values[_address(tensor)] = value
        self._kept.append(tensor.untyped_storage())
        return value


class _Operations(TorchDispatchMode):
    """Adds every operation that torch dispatches to a trace."""

    def __init__(self, trace: Trace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        counts = _attention_flops if func is ATTENTION else flop_registry.get(func._overloadpacket)
        if counts is None and func is not torch.ops.prim.device.default:
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        result = func(*args, **kwargs)
        if func.is_view or torch.Tag.inplace_view in func.tags or func.namespace == "prim":
            return result
        name = func._overloadpacket.__name__
        inputs, outputs = tensors_in(args, kwargs), tensors_in(result)
        if not func._schema.is_mutable:  # a view that is not called one
            addresses = set(map(_address, inputs))
            outputs = [tensor for tensor in outputs if _address(tensor) not in addresses]
        elif name in OVERWRITING:
            inputs = inputs[1:]
        is_riding = torch.Tag.pointwise in func.tags or name in RIDING or name in NORMS
        is_riding |= name in WINDOWS and set(args[1]) == {1}  # a pool that only leaves pixels out
        kind = "join" if name in JOINS else "pointwise" if is_riding else "kernel"
        flops = int(counts(*args, **kwargs, out_val=result)) if counts else 0
        needed = _without_padding(flops, result, args) if name in CONVOLUTIONS else flops
        # a norm is folded into the convolution before it, and leaves a bias
        shift = inputs[0].shape[1] if name in NORMS else None
        outputs = outputs[:1] if name in NORMS else outputs
        self.trace.add(name, kind, inputs, outputs, (flops, needed), _touched(name, args, outputs), shift)
        return result


def _without_padding(flops: int, out: Tensor, args: Sequence[Any]) -> int:
    """Return the FLOPs of a convolution with some arguments that multiply none of its padding."""
    x, weight, _, *steps, transposed = args[:7]
    placed, read, kernel = (each.shape[2:] for each in ((x, out, weight) if transposed else (out, x, weight)))
    valid = prod(taps(*axis) for axis in zip(placed, read, kernel, *map(cycle, steps), strict=False))
    return flops * valid // prod((*placed, *kernel))


def _attention_flops(query: Tensor, key: Tensor, value: Tensor, *rest: Any, **named: Any) -> int:
    return int(sdpa_flop_count(_in_heads(query), _in_heads(key), _in_heads(value)))


def _in_heads(tensor: Tensor) -> tuple[int, int, int, int]:
    """Return the shape with its leading dimensions, but the last of them, as one."""
    *leading, heads, length, width = (1, 1, *tensor.shape)[-max(4, tensor.dim()) :]
    return (prod(leading), heads, length, width)


@contextmanager
def _names_of(model: nn.Module, trace: Trace) -> Iterator[None]:
    """Have a trace know which module of `model` is running; the second call of one is `name#2`."""
    names = module_names(model)
    times: Counter[nn.Module] = Counter()

    def before(module: nn.Module, args: Any) -> None:
        times[module] += 1
        name = names.get(module, "")
        trace.calls.append((numbered(name, times[module]), bool(name) and not any(module.children())))

    def after(module: nn.Module, args: Any, result: Any) -> None:
        trace.calls.pop()

    handles = [hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after)]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def numbered(name: str, call: int) -> str:
    """Return the name of a module's `call`-th call, from 1, in one execution: calls after the first have a number."""
    return f"{name}#{call}" if name and call > 1 else name


def _touched(name: str, args: Any, outputs: list[Tensor]) -> int | None:
    """Return the elements that a convolution or a pool reads of its input: with a stride above its window not all."""
    if name in CONVOLUTIONS and not args[6]:  # which says that it is transposed
        x, window = args[0], args[1].shape[2:]
    elif name in WINDOWS:
        x, window = args[0], args[1] * (2 if len(args[1]) == 1 else 1)
    else:
        return None
    sides = x.shape[-len(window) :]
    produced = outputs[0].shape[-len(window) :]
    read = (min(side, out * size) for side, out, size in zip(sides, produced, window, strict=True))
    return x.numel() // max(1, prod(sides)) * prod(read)


def _address(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata


def _elements(tensor: Tensor) -> int:
    """Return the number of different elements: an expanded dimension has one."""
    return prod(size for size, stride in zip(tensor.shape, tensor.stride(), strict=True) if stride)
