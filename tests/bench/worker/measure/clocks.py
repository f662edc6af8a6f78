"""Clocks whose time passes only when something runs, and readings of a machine that throttles."""

import torch
from torch import Tensor

from bench.machine.readings import Reading, Readings
from resnet.device_time import DeviceTime, StartedEarly

MS = 1_000_000
INPUTS = [torch.full((2, 3), float(k)) for k in range(3)]


def forever(value: int):
    while True:
        yield value


class FakeClock:
    """Time that passes only when something runs, by a law of the test's."""

    def __init__(self, law: object) -> None:
        self.law = iter(law)  # type: ignore[call-overload]
        self.time = 0
        self.waited = self.flushed = 0

    def run(self, x: Tensor) -> Tensor:
        self.time += next(self.law)
        return x.sum().reshape(1)

    method = ""

    def sample(self, call: object) -> tuple[int, Tensor]:
        before = self.time
        result = call()  # type: ignore[operator]
        return self.time - before, result

    def wait(self) -> None:
        self.waited += 1

    def ran(self) -> int:
        return self.time

    def waits(self) -> dict[str, int]:
        return {}

    def now(self) -> int:
        return self.time

    def flush(self) -> int:
        self.flushed += 1
        self.time += 3 * MS  # which must not be in the sample
        return 1000


class FakeGpu(FakeClock):
    """A device that takes a quarter of what its host does, behind a hold of 5 ms; `fails` from so many times on."""

    method = "held"
    fails = 10**9

    def __init__(self, law: object) -> None:
        super().__init__(law)
        self.order: list[str] = []

    def sample(self, call: object) -> tuple[int, Tensor]:
        self.order.append("latency")
        return super().sample(call)

    def flush(self) -> int:
        self.order.append("flush")
        return super().flush()

    def device(self, call: object, before: object = lambda: None) -> DeviceTime[Tensor]:
        before()  # type: ignore[operator]
        self.order.append("device")
        if self.order.count("device") > self.fails:
            raise StartedEarly("it waits")
        self.time += 5 * MS
        host, result = super().sample(call)
        return DeviceTime(host // 4, result, int(self.order.count("device") == 1))


def throttled_between(first_s: float, last_s: float, steal: int = 5) -> Readings:
    """Ten readings a second, of which those in the stretch saw a quarter of two cores' time stolen."""
    stolen, readings = 0, []
    for tick in range(400):
        stolen += steal if first_s < tick / 10 <= last_s else 0  # since the reading before
        readings.append(Reading(tick * 100 * MS, steal=stolen, ticks=20 * tick))
    return Readings(readings)
