"""Where the parts run: a card, or a CPU that walks their code; graphs, and times of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.worker.measure.clock import Clock, on_device
from bench.worker.tune.candidate import capture
from kernels.space.machine import Machine, machine_of

Run = Callable[[], object]

SAMPLES = 20
WARM_UP = 3


class Skip(Exception):
    """A part that this place cannot run; why."""


@dataclass(frozen=True)
class Place:
    """`arch` as 90; on a CPU of the oldest card that the kernels are for. `dry`: nothing is measured."""

    device: str
    clock: Clock
    card: str
    arch: int
    sms: int | None

    @property
    def dry(self) -> bool:
        return self.device == "cpu"

    @property
    def machine(self) -> Machine:
        """What its datasheet promises."""
        return machine_of(self.arch, self.sms, self.card)

    def on(self, card: Any, dry: Any) -> Any:
        """The size of something on a card, and when walked on a CPU."""
        return dry if self.dry else card

    def needs(self, arch: int, what: str) -> None:
        """Raises Skip on a CPU and on an older card."""
        if self.dry:
            raise Skip(f"{what} needs a GPU")
        if self.arch < arch:
            raise Skip(f"{what} begins with sm_{arch}, and this is sm_{self.arch}")

    def graph(self, runs: Sequence[Run]) -> Run:
        """One call for all: a CUDA graph of runs that were run before; on a CPU one after the other."""
        if self.dry:
            return lambda: [run() for run in runs]
        return capture(list(runs))

    def times(self, call: Run, samples: int = SAMPLES) -> list[int]:
        """Nanoseconds of each call on the device, held until all is enqueued; on a CPU the host's of a few calls."""
        for _ in range(self.on(WARM_UP, 0)):
            call()
        return [self.clock.device(call).ns for _ in range(self.on(samples, 2))]


@contextmanager
def opened(device: str) -> Iterator[Place]:
    """This process's place, on a stream of its own, without gradients."""
    with on_device(device) as clock, torch.inference_mode():
        if device == "cpu":
            yield Place(device, clock, "", 80, None)
            return
        found = torch.cuda.get_device_properties(torch.cuda.current_device())
        yield Place(device, clock, found.name, 10 * found.major + found.minor, found.multi_processor_count)


def lost() -> bool:
    """Whether the GPU refuses this process all that follows, as after an illegal access; else its memory is freed."""
    if not torch.cuda.is_available():
        return False
    try:
        torch.cuda.synchronize()
        torch.cuda.empty_cache()
    except Exception:
        return True
    return False
