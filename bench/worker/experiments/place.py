"""The device on which the parts run, with graphs and their times; a CPU only executes their code once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bench.worker.measure.clock import Clock, on_device
from bench.worker.tune.candidate import capture
from kernels.compiled.emit import emit
from kernels.launch import Compilation
from kernels.space.machine import Machine, machine_of

Run = Callable[[], object]

ARCH = 90  # a CPU compiles kernels for it
SAMPLES = 20
WARM_UP = 3


class Skip(Exception):
    """Raised for a part that this device cannot run, with the reason."""


@dataclass(frozen=True)
class Place:
    """A device. `arch` is an integer such as 90; for a CPU, that of the oldest card that the kernels support."""

    device: str
    clock: Clock
    card: str
    arch: int
    sms: int | None

    @property
    def dry(self) -> bool:
        """True on a CPU, where nothing is measured."""
        return self.device == "cpu"

    @property
    def machine(self) -> Machine:
        return machine_of(self.arch, self.sms, self.card)

    def on(self, card: Any, dry: Any) -> Any:
        """Return `card` on a card and `dry` on a CPU, which has smaller sizes."""
        return dry if self.dry else card

    def needs(self, arch: int, feature: str) -> None:
        """Raise Skip on a CPU, and on a card older than `arch`."""
        if self.dry:
            raise Skip(f"{feature} needs a GPU")
        if self.arch < arch:
            raise Skip(f"{feature} begins with sm_{arch}, and this is sm_{self.arch}")

    def compile_only(self, compilations: Iterable[Compilation]) -> None:
        """On a CPU, compile kernels for sm_90, and assert that none spills."""
        if self.dry:
            assert not any(emit(compilation, ARCH).spills for compilation in compilations)

    def graph(self, runs: Sequence[Run]) -> Run:
        """Return one call for all `runs`, which ran before: a CUDA graph; on a CPU they run one after the other."""
        if self.dry:
            return lambda: [run() for run in runs]
        return capture(list(runs))

    def times(self, call: Run, samples: int = SAMPLES) -> list[int]:
        """Return the device's nanoseconds of each call, without the time to enqueue it; on a CPU the host's, of two."""
        for _ in range(self.on(WARM_UP, 0)):
            call()
        return [self.clock.device(call).ns for _ in range(self.on(samples, 2))]


@contextmanager
def open_place(device: str) -> Iterator[Place]:
    """Yield this process's device, inside a new stream and without gradients."""
    with on_device(device) as clock, torch.inference_mode():
        if device == "cpu":
            yield Place(device, clock, "", 80, None)
            return
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        yield Place(
            device, clock, properties.name, 10 * properties.major + properties.minor, properties.multi_processor_count
        )
