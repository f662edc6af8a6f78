"""Where the parts of a prepared variant begin and end, and which of the model's modules each computes; in a child."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.profiler import record_function

from bench.worker.layers.trace import LAYER
from resnet.archs import Arch
from resnet.fold import fold
from resnet.fused.program import Conv, Step, program
from resnet.runner import TorchRunner

if TYPE_CHECKING:
    from resnet.fused.network import Network

Names = Callable[[str], tuple[str, ...]]
Mark = Callable[[str], object]


class Marks:
    """Where a variant's parts begin and end: hooks around its modules, or around our own network's launches.

    `names` says of a part which of the model's modules it computes.
    """

    def __init__(self, run: TorchRunner, model: Any, x: Tensor) -> None:
        self.root: nn.Module | None = None
        self.within: dict[nn.Module, str] = {}
        self.owners: list[str] = []  # of the launches, where they are no modules
        self.names: Names = lambda name: (name,)
        with self.around(lambda name: None, lambda name: None):
            run(x)
        assert self.root is not None, "a variant without modules is timed in another way"
        kind = type(self.root).__module__
        if kind == "resnet.variants.library_fused":
            self.names = partial(library_names, arch=model.spec.arch)
        elif kind in ("resnet.fused.network", "resnet.variants.mixed"):
            made = program(cast(Any, fold(model)), tuple(x.shape))
            self.names = partial(step_names, steps=made.steps)
            # on a CPU the steps are modules, and hooks see them
            if kind == "resnet.fused.network" and cast(Any, self.root).configs:
                self.owners = [f"steps.{place}" for place in cast("Network", self.root).owners]

    @contextmanager
    def around(self, enter: Mark, leave: Mark) -> Iterator[None]:
        """`enter` is called with a part's name as it begins, `leave` as it ends."""

        def before(module: nn.Module, args: Any) -> None:
            if module not in self.within:
                self.root = module if self.root is None else self.root
                self.within |= {part: name for name, part in module.named_modules()}
            enter(self.within[module])

        def after(module: nn.Module, args: Any, result: Any) -> None:
            leave(self.within[module])

        handles = [
            hooks.register_module_forward_pre_hook(before),
            hooks.register_module_forward_hook(after),
        ]
        try:
            with self._launches(enter, leave):
                yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def _launches(self, enter: Mark, leave: Mark) -> Iterator[None]:
        if not self.owners:
            yield
            return
        network = cast("Network", self.root)
        kept = network.first, network.calls
        first, *rest = self.owners
        network.first = _marked(network.first, first, enter, leave)
        network.calls = [_marked(call, owner, enter, leave) for call, owner in zip(network.calls, rest, strict=True)]
        try:
            yield
        finally:
            network.first, network.calls = kept

    def ranges(self) -> AbstractContextManager[None]:
        """Parts as ranges of the profiler."""
        opened: list[record_function] = []

        def enter(name: str) -> None:
            opened.append(record_function(LAYER + name))
            opened[-1].__enter__()

        return self.around(enter, lambda name: opened.pop().__exit__(None, None, None))


def _marked(call: Callable[..., Any], name: str, enter: Mark, leave: Mark) -> Callable[..., Any]:
    def marked(*args: Any) -> Any:
        enter(name)
        result = call(*args)
        leave(name)
        return result

    return marked


def library_names(name: str, arch: Arch) -> tuple[str, ...]:
    """The modules of the model that a module of `resnet.variants.library_fused` computes."""
    tops = {"stem": ("conv1",), "pool": ("maxpool",), "last": ("post_bn",)}
    if name.split(".")[0] in tops:
        return tops[name.split(".")[0]]
    found = re.match(r"blocks\.(\d+)\.(inner\.(\d+)|last|shortcut|activate)", name)
    if found is None:
        return (name,)
    blocks = [f"layer{stage}.{place}" for stage, count in enumerate(arch.counts, 1) for place in range(count)]
    block = blocks[int(found[1])]
    if found[3] is not None:
        return (f"{block}.conv{int(found[3]) + 1}",)
    last = "conv2" if arch.block == "basic" else "conv3"
    kinds = {"last": (last, "add"), "shortcut": ("downsample.0",), "activate": ("preact_bn",)}
    return tuple(f"{block}.{part}" for part in kinds[found[2]])


def step_names(name: str, steps: Sequence[Step]) -> tuple[str, ...]:
    """The modules of the model that a step computes; `name` is a network's `steps.3`, or of a part inside it."""
    found = re.match(r"steps\.(\d+)", name)
    if found is None:
        return (name,)
    step = steps[int(found[1])]
    if not isinstance(step, Conv):
        return {"stem": ("conv1", "maxpool"), "head": ("avgpool", "fc")}[step.name]
    block = step.name.rpartition(".")[0]
    if step.name.endswith(".preact"):
        return (f"{step.name}_bn",)
    joined = (f"{block}.add",) if step.residual is not None or step.shortcut is not None else ()
    return (step.name, *joined, *((f"{block}.downsample.0",) if step.shortcut is not None else ()))
