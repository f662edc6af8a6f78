"""A sweep's progress: a live bar with the time left on a terminal, a line per case elsewhere."""

from __future__ import annotations

import time
from statistics import mean
from typing import Any

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, SpinnerColumn, TextColumn
from rich.progress import Progress as Bar

from bench.cli.console import device_line, err, hint, is_live
from bench.machine.facts import Environment
from bench.plans.case import Case
from bench.records.record import Record
from bench.runs.turns import Events


class Progress(Events):
    """Prints to stderr; a context manager, so that the terminal is restored however the sweep ends."""

    def __init__(self, title: str, env: Environment, budget_s: float = float("inf")) -> None:
        self.ends = time.monotonic() + budget_s
        self.total = self.count = 0
        self.took: list[float] = []  # wall seconds, of cases at once their share, for the time left
        self.what = ""  # what started last
        self.running: set[Case] = set()
        self.choices: set[str] = set()  # made in reading weights and pictures, and said already
        self.bar = Bar(
            SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=12), MofNCompleteColumn(),
            TextColumn("{task.fields[left]}"), console=err, transient=True, disable=not is_live(),
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None, left="")
        hint(f"{title} on {device_line(env)}")

    def __enter__(self) -> Progress:
        self.bar.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.stop()

    def stop(self) -> None:
        self.bar.stop()

    def planned(self, total: int) -> None:
        self.total = total
        self.bar.update(self.task, total=total)

    def ahead(self, done: int, total: int) -> None:
        self.what = "compiling ahead"
        self._update(f"{done} of {total}")
        if not err.is_terminal:
            hint(f"compiling ahead: {done} of {total}")

    def starts(self, case: Case | str) -> None:
        self.what = case.name if isinstance(case, Case) else case
        if isinstance(case, Case):
            self.running.add(case)
        elif not err.is_terminal:
            hint(f"making {case}")
        self._update("start")

    def stage(self, name: str) -> None:
        self._update(name)

    def ready(self, case: Case, p50_ns: float) -> None:
        """Print a row of a case that waits for its turns: its median latency, and the images per second of that."""
        self.running.discard(case)
        rate = case.batch / p50_ns * 1e9
        hint(f"{case.name}  so far {p50_ns / 1e6:.4g} ms, {rate:.4g} images/s")

    def turn(self, case: Case, number: int) -> None:
        self.what = case.name
        self._update(f"turn {number}")

    def ended(self, record: Record) -> None:
        if record.status == "skipped":
            return
        choice, note = record.network.get("choice"), record.input.get("note")
        for text in (choice and f"{record.case.model}: {choice}", note and f"--input: {note}"):
            if text and text not in self.choices:
                self.choices.add(text)
                err.print(text, markup=False, soft_wrap=True)
        self.count += 1
        self.took.append(record.wall_s / max(1, len(self.running)))
        self.running.discard(record.case)
        self.bar.update(self.task, completed=self.count, left=self._left())
        if record.status != "ok":
            # the reason stands below the table
            err.print(f"[red]{record.status}[/] {escape(record.case.name)}", soft_wrap=True)
        elif not err.is_terminal:
            hint(f"[{self.count}/{self.total}] {record.case.name}  {record.wall_s:.0f} s  {self._left()}")

    def _update(self, stage: str) -> None:
        more = f" and {len(self.running) - 1} more" if len(self.running) > 1 else ""
        self.bar.update(self.task, description=f"{self.what}{more} [dim]{stage}[/]")

    def _left(self) -> str:
        """The time left, from the mean of what ran: fair where the order is shuffled, and no more than the budget's."""
        seconds = min(mean(self.took) * (self.total - self.count), max(0.0, self.ends - time.monotonic()))
        return f"about {seconds / 60:.0f} min left" if seconds > 90 else f"about {seconds:.0f} s left"
