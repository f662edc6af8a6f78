"""The integers between the steps of a compiled network, seen at the library's calls in the code that Inductor wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from torch import Tensor

from resnet.quant.network import INPUT
from resnet.quant.steps import Declared, Step, Taps

# Arguments of oneDNN's operations by position: the codes, the weight's scales, and the residual of a sum.
_X, _SCALES, _RESIDUAL = 0, 4, 6
_PRODUCTS = ("qconv_pointwise", "qconv2d_pointwise", "qlinear_pointwise")


class Recorder:
    """Runs a compiled network with the library's operations replaced by ones that keep copies of what they see.

    It is the same compiled code that is timed, with the same kernels. Codes that Inductor's kernels alone read and
    write, between two layers that are kept wide, are computed from the steps, and named in `unseen`.
    """

    def __init__(self, declared: Declared, forward: Callable[[Tensor], Tensor]) -> None:
        self._declared, self._forward = declared, forward
        self._steps: Sequence[Step] = ()  # of a run that is in progress
        # of the last run: steps whose products ran in 8 bits, and those whose codes no call showed
        self.calls: list[str] = []
        self.unseen: list[str] = []
        self._codes: dict[str, Tensor] = {}

    def __call__(self, x: Tensor) -> Taps:
        """Return the codes and the logits for a placed batch."""
        return self.run(self._declared(), x)

    def run(self, steps: Sequence[Step], x: Tensor) -> Taps:
        """Run a placed batch of the declared steps, and return what is seen of it; nothing else is kept."""
        self._steps, self.calls, self._codes = steps, [], {}
        self._waiting = [step for step in steps if any(not weight.wide for weight in step.weights)]
        with _replaced(self._product, self._pool):
            logits = self._forward(x).clone()
        self.unseen = [step.name for step in steps if step.output is not None and step.name not in self._codes]
        activations = self._complete(x)
        self._steps, self._waiting, self._codes = (), [], {}
        return Taps(activations, logits)

    def _product(self, operation: Callable[..., Any], overload: str, arguments: tuple[Any, ...]) -> Any:
        """Run an operation with a weight in 8 bits, by whose scales its step is recognised."""
        scales = cast(Tensor, arguments[_SCALES])
        step = next(s for s in self._waiting if any(torch.equal(w.scale.float(), scales) for w in s.weights))
        self._waiting.remove(step)
        self.calls.append(step.name)
        self._see(step.reads[0], arguments[_X])
        adds = overload.startswith("binary")
        if adds:
            self._see(step.reads[1], arguments[_RESIDUAL])
        result = operation(*arguments)
        self._see(step.name, arguments[_RESIDUAL] if adds else result)
        return result

    def _pool(self, operation: Callable[..., Any], overload: str, arguments: tuple[Any, ...]) -> Any:
        """Run the maximum of codes, of which there is one that is over more than single pixels."""
        result = operation(*arguments)
        if arguments[1] == [3, 3]:
            step = next(step for step in self._steps if step.pool in ("max", "max_zeros"))
            if step.pool == "max":
                self._see(step.reads[0], arguments[_X])
            self._see(step.name, result)
        return result

    def _see(self, name: str, codes: Tensor) -> None:
        """Keep a copy of codes; raises RuntimeError where two readers of an activation read different ones."""
        step = next((step for step in self._steps if step.name == name and step.output is not None), None)
        if step is None or codes.dtype != torch.uint8:
            return
        before = self._codes.setdefault(name, codes.clone())
        if before.shape == codes.shape and not torch.equal(before, codes):
            raise RuntimeError(f"two steps of the compiled network read different codes of {name}")

    def _complete(self, x: Tensor) -> dict[str, Tensor]:
        activations, grids = {INPUT: x}, {step.name: step.output for step in self._steps}

        def values(name: str) -> Tensor:
            grid = grids.get(name)
            return activations[name].double() if grid is None else grid.values(activations[name])

        for step in self._steps[:-1]:
            if step.name in self._codes:
                activations[step.name] = self._codes[step.name]
                continue
            value = step.value({name: values(name) for name in step.reads})
            activations[step.name] = value.to(step.dtype) if step.output is None else step.output.codes(value)
        del activations[INPUT]
        return activations


class _Packet:
    """Stands for an operation of torch: its overloads call `run` with the real one."""

    def __init__(self, packet: Any, run: Callable[..., Any]) -> None:
        self._packet, self._run = packet, run

    def __getattr__(self, overload: str) -> Callable[..., Any]:
        operation = getattr(self._packet, overload)
        return lambda *arguments: self._run(operation, overload, arguments)


@contextmanager
def _replaced(product: Callable[..., Any], pool: Callable[..., Any]) -> Iterator[None]:
    """Replace the operations by which the generated code calls the library, as it looks them up at each call."""
    places: Mapping[tuple[Any, str], Callable[..., Any]] = {
        **{(torch.ops.onednn, name): product for name in _PRODUCTS},
        (torch.ops.quantized, "max_pool2d"): pool,
    }
    originals = {(space, name): getattr(space, name) for space, name in places}
    try:
        for (space, name), run in places.items():
            setattr(space, name, _Packet(originals[space, name], run))
        yield
    finally:
        for (space, name), packet in originals.items():
            setattr(space, name, packet)
