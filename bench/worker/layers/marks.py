"""Where the parts of a prepared variant begin and end, and which of the model's modules each computes; in a child."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.profiler import record_function

from bench.worker.layers.trace import LAYER
from resnet.runner import TorchRunner

if TYPE_CHECKING:
    from resnet.fused.network import FusedNetwork

Names = Callable[[str], tuple[str, ...]]
Mark = Callable[[str], object]


class Marks:
    """Where a variant's parts begin and end: hooks around its modules, or around our own network's launches.

    `names` says of a part which of the model's modules it computes.
    """

    def __init__(self, run: TorchRunner, x: Tensor) -> None:
        self.root: nn.Module | None = None
        self.within: dict[nn.Module, str] = {}
        self.owners: list[str] = []  # of the launches, where they are no modules
        self.names: Names = lambda name: (name,)
        with self.around(lambda name: None, lambda name: None):
            run(x)
        assert self.root is not None, "a variant without modules is timed in another way"
        self.names = getattr(self.root, "computes", self.names)  # a network of modules of its own says so
        # on a CPU the steps are modules, and hooks see them
        if getattr(self.root, "configs", None):
            self.owners = [f"steps.{place}" for place in cast("FusedNetwork", self.root).step_indices]

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
        network = cast("FusedNetwork", self.root)
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
