"""The loop that starts a process again, with processes that are planted."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from bench.runs.process import Answer
from bench.runs.restart import Ending, InFlight, restart

OK, CRASH = Answer("ok", "", {}, 0.1), Answer("crash", "died by signal SIGSEGV", {}, 0.1)


class Fake:
    """Processes that see items through, but die of the deadly ones; `width` at once unless told to do one at a time."""

    def __init__(self, items: Iterable[str], deadly: Iterable[str] = (), width: int = 1) -> None:
        self.left, self.deadly, self.width = list(items), set(deadly), width
        self.in_flight: InFlight[str] = InFlight()
        self.done: list[str] = []
        self.blamed: dict[str, str] = {}
        self.alone: list[bool] = []

    def start(self, alone: bool) -> Answer | None:
        if not self.left:
            return None
        self.alone.append(alone)
        width = 1 if alone else self.width
        while self.left:
            group = self.left[:width]
            for item in group:
                self.in_flight.begin(item)
            if self.deadly & set(group):
                return CRASH
            for item in group:
                self.in_flight.end(item)
                self.done.append(item)
            del self.left[:width]
        return OK

    def blame(self, item: str, answer: Answer) -> None:
        self.blamed[item] = answer.reason
        self.left.remove(item)

    def run(self, **how: object) -> Ending:
        return restart(self.start, self.in_flight, self.blame, **how)  # type: ignore[arg-type]


def test_without_a_death_one_process_does_it_all() -> None:
    fake = Fake("abc")
    assert fake.run() == Ending(OK)
    assert (fake.done, fake.blamed, fake.alone) == (["a", "b", "c"], {}, [False])


def test_a_death_costs_the_item_at_hand() -> None:
    fake = Fake("abcd", deadly="bd")
    assert fake.run().gave_up is False
    assert fake.done == ["a", "c"]
    assert fake.blamed == {"b": CRASH.reason, "d": CRASH.reason}
    assert len(fake.alone) == 2  # behind d nothing is left


def test_of_several_in_hand_the_deadly_one_is_found_one_at_a_time() -> None:
    fake = Fake("abcd", deadly="c", width=4)
    fake.run()
    assert fake.blamed == {"c": CRASH.reason}
    assert fake.done == ["a", "b", "d"]
    assert fake.alone == [False, True, True]


@pytest.mark.parametrize(("deaths", "gave_up", "blamed"), [(2, True, 2), (3, False, 3)])
def test_so_many_deaths_are_survived(deaths: int, gave_up: bool, blamed: int) -> None:
    fake = Fake("abcde", deadly="bcd")
    ending = fake.run(deaths=deaths)
    assert ending.gave_up is gave_up
    assert len(fake.blamed) == blamed


@pytest.mark.parametrize("status", ["ok", "skipped", "error"])
def test_an_answer_about_the_whole_ends_it(status: str) -> None:
    fake = Fake("ab")
    answer = Answer(status, "why", {}, 0.1)
    fake.in_flight.begin("a")  # which is then not to blame
    assert restart(lambda alone: answer, fake.in_flight, fake.blame) == Ending(answer)
    assert fake.blamed == {}


def idle(answer: Answer, count: list[int]) -> Callable[[bool], Answer]:
    def start(alone: bool) -> Answer:
        count.append(1)
        return answer

    return start


@pytest.mark.parametrize("answer", [OK, CRASH, Answer("error", "ImportError", {}, 0.1)])
@pytest.mark.parametrize("strikes", [1, 2])
def test_processes_that_do_nothing_are_given_up(answer: Answer, strikes: int) -> None:
    count: list[int] = []
    in_flight: InFlight[str] = InFlight()
    ending = restart(idle(answer, count), in_flight, lambda item, answer: None, strikes=strikes, final=())
    assert ending == Ending(answer, gave_up=True)
    assert len(count) == strikes


def test_what_is_done_between_makes_a_strike_good() -> None:
    turns = iter(["", "a", "", "b", "", ""])
    in_flight: InFlight[str] = InFlight()

    def start(alone: bool) -> Answer:
        if item := next(turns):
            in_flight.begin(item)
            in_flight.end(item)
        return CRASH

    assert restart(start, in_flight, lambda item, answer: None, strikes=2).gave_up
    assert next(turns, "none left") == "none left"


def test_one_that_cannot_do_one_at_a_time_is_given_up() -> None:
    in_flight: InFlight[str] = InFlight()

    def start(alone: bool) -> Answer:
        in_flight.begin("a")
        in_flight.begin("b")
        return CRASH

    assert restart(start, in_flight, lambda item, answer: None).gave_up


def test_one_that_begins_an_item_and_ends_well_without_it_is_given_up() -> None:
    in_flight: InFlight[str] = InFlight()
    count: list[int] = []

    def start(alone: bool) -> Answer:
        count.append(1)
        assert len(count) < 9, "it never ends"
        in_flight.begin("a")
        return OK

    assert restart(start, in_flight, lambda item, answer: None, strikes=3, final=()) == Ending(OK, gave_up=True)
    assert len(count) == 3


def test_none_is_started_when_the_time_is_up() -> None:
    fake = Fake("abc", deadly="abc")
    clock = iter([0.0, 5.0, 10.0])
    ending = fake.run(until=9.0, now=lambda: next(clock))
    assert ending == Ending(CRASH)
    assert list(fake.blamed) == ["a", "b"]
    assert fake.run(until=0.0, now=lambda: 0.1) == Ending(None)


def test_a_process_that_tells_beginnings_alone() -> None:
    in_flight: InFlight[str] = InFlight()
    for item in "abc":
        in_flight.begin_next(item)
    assert (list(in_flight.items), in_flight.done) == (["c"], 2)


def test_what_interrupts_a_process_ends_it() -> None:
    def start(alone: bool) -> Answer:
        raise KeyboardInterrupt

    in_flight: InFlight[str] = InFlight()
    with pytest.raises(KeyboardInterrupt):
        restart(start, in_flight, lambda item, answer: None)
