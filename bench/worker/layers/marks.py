"""Marks at which the parts of a prepared variant begin and end, and the modules of the model that each computes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

from torch import Tensor, nn
from torch.nn.modules import module as hooks
from torch.profiler import record_function

from bench.worker.layers.trace import LAYER
from resnet.outside.counting import module_names, numbered
from resnet.runner import TorchRunner

if TYPE_CHECKING:
    from resnet.fused.network import FusedNetwork

Names = Callable[[str], tuple[str, ...]]
Mark = Callable[[str], object]


class NoModules(Exception):
    """A call of the variant calls no module of the model, so that nothing marks its parts."""


class Marks:
    """Hooks around the modules of a variant, or around the launches of the fused network.

    `names` maps a part to the modules of the model that it computes. A module that is called again in an execution is
    another part. Raises NoModules.
    """

    def __init__(self, run: TorchRunner, x: Tensor) -> None:
        model = run.model() if run.model else None
        self.root: nn.Module | None = None
        self.names_of: dict[nn.Module, str] = {} if model is None else module_names(model)
        of_model, entered = set(self.names_of.values()), list[str]()
        self.owners: list[str] = []  # the step of each launch, where the parts are launches and not modules
        self.names: Names = lambda name: (name,)
        with self.around(entered.append, lambda name: None):
            run(x)
        if not entered or (run.model and not of_model & set(filter(None, entered))):
            raise NoModules
        self.names = getattr(self.root, "computes", self.names)  # the fused network has other modules, and maps them
        # on a CPU the steps are modules, and hooks see them
        if getattr(self.root, "configs", None):
            self.owners = [f"steps.{place}" for place in cast("FusedNetwork", self.root).step_indices]

    @contextmanager
    def around(self, enter: Mark, leave: Mark) -> Iterator[None]:
        """Call `enter` with a part's name as the part begins, and `leave` as it ends."""

        running: list[str] = []
        calls: Counter[nn.Module] = Counter()  # in this execution

        def before(module: nn.Module, args: Any) -> None:
            if module not in self.names_of:
                self.root = module if self.root is None else self.root
                self.names_of = module_names(module) | self.names_of
            if not running:
                calls.clear()
            calls[module] += 1
            running.append(numbered(self.names_of[module], calls[module]))
            enter(running[-1])

        def after(module: nn.Module, args: Any, result: Any) -> None:
            leave(running.pop())

        handles = [hooks.register_module_forward_pre_hook(before), hooks.register_module_forward_hook(after)]
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
        first, *rest = self.owners
        calls = [_marked(call, owner, enter, leave) for call, owner in zip(network.calls, rest, strict=True)]
        with patch.multiple(network, first=_marked(network.first, first, enter, leave), calls=calls):
            yield

    def ranges(self) -> AbstractContextManager[None]:
        """Mark each part as a range of the profiler."""
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
