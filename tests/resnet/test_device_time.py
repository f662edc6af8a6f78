"""Holding a stream. What no CPU can do is simulated: a timeline of a host that launches and a device that executes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from resnet import device_time
from resnet.device_time import FIRST_CYCLES, LEAST_NS, LIMIT_NS, TRIES, DeviceTimer, SpinLength, StartedEarly

US, MS = 1_000, 1_000_000

pytestmark = pytest.mark.usefixtures("without_gradients")


class Card:
    """A stream on a device of `ghz`: launching costs the host, executing the device; both in ns."""

    def __init__(self, ghz: float = 2.0, depth: int = 1024) -> None:
        self.ghz, self.depth = ghz, depth
        self.host = 0
        self.ends: list[float] = [0.0]  # of what was launched, by the device
        self.log: list[str] = []

    def launch(self, took_ns: float, costs_ns: int = 2 * US) -> float:
        self.host += costs_ns
        if len(self.ends) > self.depth:  # a full queue: the host waits until there is room
            self.host = max(self.host, int(self.ends[-self.depth]))
        self.ends.append(max(self.ends[-1], self.host) + took_ns)
        return self.ends[-1]

    def sleep(self, cycles: int) -> None:
        self.log.append("spin")
        self.launch(cycles / self.ghz)

    def call(self, kernels: int, each_ns: float, first: Callable[[], object] = lambda: None) -> Callable[[], str]:
        def run() -> str:
            self.log.append("work")
            first()
            for _ in range(kernels):
                self.launch(each_ns, 5 * US)
            return "answer"

        return run

    def busy(self, ns: int) -> None:
        self.host += ns

    def wait(self) -> None:
        self.host = max(self.host, int(self.ends[-1]))


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()

    class Event:
        def __init__(self, enable_timing: bool) -> None:
            self.at = 0.0

        def record(self, stream: object) -> None:
            self.at = made.launch(0, US)

        def query(self) -> bool:
            return self.at <= made.host

        def synchronize(self) -> None:
            made.host = max(made.host, int(self.at))

        def elapsed_time(self, end: Event) -> float:
            return (end.at - self.at) / 1e6

    monkeypatch.setattr(device_time.torch.cuda, "Event", Event)
    monkeypatch.setattr(device_time.torch.cuda, "_sleep", made.sleep)
    monkeypatch.setattr(device_time.time, "perf_counter_ns", lambda: made.host)
    return made


def timer(card: Card) -> DeviceTimer:
    return DeviceTimer(None)  # type: ignore[arg-type]  # every event is the card's


def test_what_the_host_takes_to_launch_has_no_part(card: Card) -> None:
    """Between events on an idle stream it is 500 us: the host's launches."""
    timed = timer(card).time(card.call(100, 2 * US))
    assert timed.ns == 200 * US
    assert timed.result == "answer"


@pytest.mark.parametrize("kernels", [0, 1, 10, 100, 700])
def test_device_time_grows_with_the_kernels_and_nothing_else(card: Card, kernels: int) -> None:
    assert timer(card).time(card.call(kernels, 3 * US)).ns == kernels * 3 * US


def test_a_host_that_sleeps_in_the_call_has_no_part(card: Card) -> None:
    time = timer(card).time
    call = card.call(10, 4 * US, lambda: card.busy(20 * MS))
    assert time(call).ns == 40 * US
    assert time(call).retries == 0  # by then the spin is long enough


@pytest.mark.parametrize("ghz", [0.6, 1.1, 2.0, 2.6])
def test_the_hold_is_longer_than_the_enqueueing_whatever_the_clock(card: Card, ghz: float) -> None:
    time, call = timer(card).time, card.call(300, US)
    time(call)
    card.ghz = ghz  # which it has from the second on
    fell = [time(call).retries for _ in range(20)]
    assert sum(fell) == sum(fell[:1]) <= 1
    assert time(call).ns == 300 * US


def test_what_was_late_falls_and_is_counted(card: Card) -> None:
    time, costs = timer(card).time, iter([0, 0, 50 * MS, 0, 0])
    call = card.call(10, US, lambda: card.busy(next(costs)))
    assert [time(call).retries for _ in range(4)] == [0, 0, 1, 0]


def test_a_hiccup_of_the_host_is_forgotten(card: Card) -> None:
    time, costs = timer(card).time, iter([30 * MS, *[0] * 50])
    call = card.call(10, US, lambda: card.busy(next(costs)))
    for _ in range(2 * device_time.RECENT):
        time(call)
    before = card.host
    time(call)
    assert card.host - before < MS


def test_a_call_that_waits_for_the_device_cannot_be_held_and_does_not_hang(card: Card) -> None:
    with pytest.raises(StartedEarly, match=f"{TRIES} times in a row"):
        timer(card).time(card.call(1, US, card.wait))
    assert card.host < 1000 * MS


def test_more_launches_than_a_stream_holds_cannot_be_held(card: Card) -> None:
    with pytest.raises(StartedEarly, match="more than a stream holds"):
        timer(card).time(card.call(5000, US))


def test_flushing_comes_before_the_hold_of_every_try(card: Card) -> None:
    costs = iter([50 * MS, 0, 0])
    timed = timer(card).time(card.call(1, US, lambda: card.busy(next(costs))), lambda: card.log.append("flush"))
    assert timed.retries == 1
    assert card.log == ["flush", "spin", "work"] * 2


def test_the_first_hold_may_have_a_modules_loading_in_it() -> None:
    spin = SpinLength()
    spin.update(10 * US, 40 * MS)  # 400,000 cycles that seemed to take 40 ms
    assert spin.cycles / 2 >= LEAST_NS / 4  # at 2 GHz: short, but of use
    assert FIRST_CYCLES > 2 * LEAST_NS


def test_a_hold_has_a_limit() -> None:
    spin = SpinLength()
    for _ in range(5):
        spin.update(10_000 * MS, spin.cycles / 2)
    assert spin.cycles == 2 * LIMIT_NS
