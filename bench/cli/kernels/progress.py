"""The progress of a child's work: live on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import time

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar
from rich.status import Status

from bench.cli.console import err, hint, is_live
from bench.text import plural
from bench.tuning.trials import Trial


class CompileBar(Bar):
    """A bar of layers whose kernels are compiled on a terminal; elsewhere a line for each tenth of them."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("compiling"), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.description}"),
            console=err, transient=True, disable=not is_live(),
        )  # fmt: skip
        self.task = self.add_task("", total=None)
        self.tenth = 0

    def show(self, done: int, total: int, name: str) -> None:
        """Show that `done` of `total` are compiled, and that `name` is begun."""
        self.update(self.task, completed=done, total=total, description=name[: err.width - 40])
        if not err.is_terminal and 10 * done // total > self.tenth:
            self.tenth = 10 * done // total
            hint(f"compiled {done} of {total} {plural(total, 'layer')}")


class TuneLog:
    """The configurations that won, a line each on stderr, and in a live status how many were tried."""

    def __init__(self, status: Status) -> None:
        self.start = time.monotonic()
        self.tried = 0
        self.status = status

    def trial(self, trial: Trial) -> None:
        """Take note of a configuration that was tried."""
        self.tried += 1
        self.status.update(f"{self.tried} tried; {trial.layer}")
        if trial.status == "won":
            before = f", before {trial.beside_us:.2f}" if trial.beside_us else ""
            self._line(f"{trial.layer}: {trial.us:.2f} us{before}, {trial.config}")
        elif trial.status in ("wrong", "failed"):
            self._line(f"{trial.status}: {trial.layer}: {trial.config}: {trial.reason}")

    def _line(self, text: str) -> None:
        hint(f"{time.monotonic() - self.start:4.0f} s  {text}")
