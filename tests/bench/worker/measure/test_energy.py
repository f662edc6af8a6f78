"""Energy from a card's counter; the card is the one thing here that a CPU cannot stand in for."""

import sys
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from bench.plans.plan import Settings
from bench.worker.measure.energy import measure_energy

INPUTS = [torch.zeros(4, 3) for _ in range(3)]
WATTS = 350


class Card:
    """A card that draws WATTS whatever it does, whose executions take 10 ms, and whose counter is NVML's."""

    NVML_TEMPERATURE_GPU = 0
    method = "held"

    def __init__(self) -> None:
        self.ns = self.queued = 0
        self.counter_fails = False

    def run(self, x: Tensor) -> Tensor:
        self.queued += 1
        return x

    def wait(self) -> None:
        self.ns += self.queued * 10_000_000
        self.queued = 0

    def ran(self) -> int:
        return self.ns

    def waits(self) -> dict[str, int]:
        return {}

    def now(self) -> int:
        return self.ns

    def nvmlInit(self) -> None: ...
    def nvmlShutdown(self) -> None: ...
    def nvmlDeviceGetCount(self) -> int:
        return 1

    def nvmlDeviceGetHandleByIndex(self, number: int) -> int:
        return number

    def nvmlDeviceGetTemperature(self, handle: int, kind: int) -> int:
        return 40 + self.ns // 10**9

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        assert not self.queued, "read before the work was over"
        if self.counter_fails:
            raise RuntimeError("Not Supported")
        return round(self.ns / 1e9 * WATTS * 1000)  # millijoules since the driver was loaded


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    monkeypatch.setitem(sys.modules, "pynvml", made)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return made


def test_joules_are_the_counters_over_the_window(card: Card) -> None:
    told = measure_energy(card.run, INPUTS, card, 6.0, "cuda", 10e6)  # type: ignore[arg-type]
    assert 6.0 <= told["s"] <= 7.5
    assert told["joules"] == pytest.approx(WATTS * told["s"])
    assert told["images"] == pytest.approx(4 * 100 * told["s"])
    first, last = told["temperature_c"]
    assert first == 40
    assert last >= 46


def test_a_counter_that_cannot_be_read_is_told_before_time_is_spent(card: Card) -> None:
    card.counter_fails = True
    assert measure_energy(card.run, INPUTS, card, 6.0, "cuda", 10e6) == {"unreadable": "RuntimeError: Not Supported"}  # type: ignore[arg-type]
    assert card.ns == 0


def test_none_is_asked_for_and_none_on_a_cpu() -> None:
    nothing = SimpleNamespace()
    assert measure_energy(nothing, INPUTS, nothing, 0.0, "cuda", 1.0) == {}  # type: ignore[arg-type]
    assert "NVML" in measure_energy(nothing, INPUTS, nothing, 6.0, "cpu", 1.0)["unreadable"]  # type: ignore[arg-type]


def test_a_window_too_short_for_the_counter_is_refused() -> None:
    with pytest.raises(ValueError, match=r"energy_s = 2.0 is too small: 0, or at least 5"):
        Settings(energy_s=2.0)
