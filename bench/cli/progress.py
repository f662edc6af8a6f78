"""A sweep's progress: a live bar with the time left on a terminal; elsewhere a line per case, and where one takes long.

After each part of a sweep there is the answer so far. The time left goes by the plan's settings until a case has ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import mean
from threading import Event, Thread
from typing import Any

from rich.console import RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar
from rich.text import Text

from bench.cli.console import device_line, err, err_is_quiet, hint, is_live
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.records.record import Record
from bench.records.speed import images_per_second
from bench.report.answer import contests_of, describe_fastest
from bench.report.rows import rows_from_records
from bench.report.terminal import SENTENCES, describe_contests
from bench.runs.turns import Events
from bench.text import plural, visible

SILENCE_S = 8.0  # after which a pipe gets a line on what runs


class _Live(Bar):
    """A bar with the time left, and below it what runs, for how long: a case's name has a line of its own."""

    def __init__(self, left: Callable[[], str], running: Callable[[], str]) -> None:
        self.left, self.running_now = left, running
        columns = SpinnerColumn(), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.fields[left]}")
        super().__init__(*columns, console=err, transient=True, disable=not is_live())

    def get_renderables(self) -> Iterable[RenderableType]:
        for task in self.tasks:
            task.fields["left"] = self.left()
        yield from super().get_renderables()
        yield Text(visible(self.running_now()), "dim", overflow="fold")


class Progress(Events):
    """Prints to stderr; a context manager, so that the terminal is restored however the sweep ends."""

    def __init__(self, title: str, env: Environment, budget_s: float = float("inf")) -> None:
        self.began = self.last_end = time.monotonic()
        self.ends = self.began + budget_s
        self.expected_s: float | None = None  # of all cases to come, before any has ended
        self.total = self.count = 0
        self.took: list[float] = []  # wall seconds, of cases at once or in turns their share, for the time left
        self.what, self.at = "earlier records", "read"  # what started last, and its stage
        self.since = self.told = self.began  # of that stage, and of the last line
        self.over = Event()
        self.running: set[Case] = set()
        self.waiting: dict[Case, float] = {}  # for turns, with the median latency in ns
        self.choices: set[str] = set()  # made in reading weights and pictures, and said already
        self.bar = _Live(self._left, self._running)
        self.task = self.bar.add_task("", total=None, left="")
        hint(f"{title} on {device_line(env)}")

    def __enter__(self) -> Progress:
        self.bar.start()
        if not err.is_terminal:
            Thread(target=self._break_silence, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        self.over.set()
        self.bar.stop()

    @property
    def seen(self) -> int:
        """The number of cases that have a row or a record."""
        return self.count + len(self.waiting)

    def _say(self, text: str) -> None:
        hint(text)
        self.told = time.monotonic()

    def _break_silence(self) -> None:
        """Print what runs, and for how long in its stage, whenever nothing was printed for SILENCE_S."""
        while not self.over.wait(max(0.0, self.told + SILENCE_S - time.monotonic())):
            if time.monotonic() - self.told >= SILENCE_S:
                count = f"[{self.count}/{self.total}] " if self.total else ""
                left = self._left()
                self._say(f"{count}{self._running()}{left and f'; {left}'}")

    def _running(self) -> str:
        more = f" and {len(self.running) - 1} more" if len(self.running) > 1 else ""
        return f"{self.what}{more}: {self.at}, {time.monotonic() - self.since:.0f} s"

    def expected(self, seconds: float) -> None:
        """Take note of how long the cases to come should take."""
        self.began, self.expected_s = time.monotonic(), seconds

    def planned(self, total: int) -> None:
        self.total = total
        self.bar.update(self.task, total=total)

    def starts(self, case: Case | str) -> None:
        self.what = case.name if isinstance(case, Case) else case
        if isinstance(case, Case):
            self.running.add(case)
        elif not err.is_terminal:
            self._say(case)
        self._update("start")

    def stage(self, name: str) -> None:
        self._update(name)

    def ready(self, case: Case, p50_ns: float) -> None:
        """Print a row of a case that waits for its turns: its median latency, and the images per second of that."""
        self.running.discard(case)
        self.waiting[case] = p50_ns
        self.bar.update(self.task, completed=self.seen)
        self._say(f"{case.name}  so far {p50_ns / 1e6:.4g} ms, {case.batch / p50_ns * 1e9:.4g} images/s")

    def turn(self, case: Case, number: int) -> None:
        self.what = case.name
        self._update(f"turn {number}")

    def so_far(self, records: Sequence[Record], to_come: int) -> None:
        """Print which of the cases that were compared is fastest, as surely as they tell by now."""
        measured = [record for record in records if record.status == "ok"]
        if len(measured) > 1 and not err_is_quiet():
            contests = contests_of(rows_from_records(measured))
            self._say(f"So far, with {to_come} {plural(to_come, 'case')} and the last checks still to come:")
            many = len(contests) > SENTENCES
            err.print(describe_contests(contests) if many else describe_fastest(measured, contests), markup=False)

    def ended(self, record: Record) -> None:
        waited = self.waiting.pop(record.case, None)
        if record.status == "skipped" and not waited and record.case not in self.running:
            return  # it was not among those to come
        choice, note = record.network.get("choice"), record.input.get("note")
        for text in (choice and f"{record.case.model}: {choice}", note and f"--input: {note}"):
            if text and text not in self.choices:
                self.choices.add(text)
                err.print(text, markup=False, soft_wrap=True)
        self.count += 1
        now = time.monotonic()
        share = (now - self.last_end) / (1 + len(self.waiting))  # of those that end together
        self.took.append(share if waited else record.wall_s / max(1, len(self.running)))
        self.last_end = self.last_end + share if waited else now
        self.running.discard(record.case)
        self.bar.update(self.task, completed=self.seen)
        count = "" if err.is_terminal else f"[{self.count}/{self.total}] "
        if record.status != "ok":
            # the reason stands below the table
            colour = "dim" if record.status == "skipped" else "red"
            err.print(Text.assemble(count, (record.status, colour), f" {record.case.name}"), soft_wrap=True)
            return
        p50_ns = record.p50_ns("latency_ns")
        if p50_ns and record.throughput and not waited:
            self._say(f"{record.case.name}  {p50_ns / 1e6:.4g} ms, {images_per_second(record):.4g} images/s")
        if not err.is_terminal:
            self._say(f"{count}{record.case.name}  {record.wall_s:.0f} s  {self._left()}")

    def _update(self, stage: str) -> None:
        self.at, self.since = stage, time.monotonic()

    def _left(self) -> str:
        """The time left: by the settings until a case has ended, then from the mean of what ran, within the budget.

        The mean is fair where the order is shuffled.
        """
        now, rest = time.monotonic(), self.total - self.count
        if self.total and rest <= 0:
            return ""
        if self.took:
            case_s = mean(self.took)
            seconds = max(case_s * (rest - 1), case_s * rest - (now - self.last_end))
        elif self.expected_s is None:
            return ""
        else:
            seconds = self.began + self.expected_s - now
            if seconds < 0:
                return "longer than estimated"
        seconds = min(seconds, max(0.0, self.ends - now))
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"
