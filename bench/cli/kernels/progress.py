"""How far a child's work is: live on a terminal, and elsewhere a line now and then."""

from __future__ import annotations

import time
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
from rich.progress import Progress as Bar

from bench.cli.console import err, tell
from bench.tuning.order import Target
from bench.tuning.trials import Trial


class CompileBar:
    """How many kernels are compiled: a live bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self) -> None:
        self.bar = Bar(
            TextColumn("compiling"), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.description}"),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None)
        self.tenth = 0

    def __enter__(self) -> CompileBar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def show(self, done: int, total: int, name: str) -> None:
        """So many of so many are compiled; `name` is one that is begun."""
        self.bar.update(self.task, completed=done, total=total, description=name[: err.width - 40])
        if not err.is_terminal and 10 * done // total > self.tenth:
            self.tenth = 10 * done // total
            tell(f"compiled {done} of {total}")


class CountStatus:
    """Which case is counted, on a terminal alone."""

    def __init__(self) -> None:
        self.status = err.status("counting")

    def __enter__(self) -> CountStatus:
        if err.is_terminal:
            self.status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.status.stop()

    def show(self, done: int, total: int, name: str) -> None:
        """So many of so many are counted; `name` is begun."""
        self.status.update(f"counting {done} of {total}: {name}"[: err.width - 4])


class TuneStatus:
    """What was found, a line each; how far it is, on a terminal."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.tried = 0
        self.status = err.status("starting")

    def __enter__(self) -> TuneStatus:
        self.status.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.status.stop()

    def trial(self, target: Target, trial: Trial) -> None:
        """A candidate of a layer has ended so."""
        self.tried += 1
        self.status.update(f"{self.tried} tried; {trial.layer}")
        if trial.status == "won":
            before = f", before {trial.beside_us:.2f}" if trial.beside_us else ""
            self._line(f"{trial.layer}: {trial.us:.2f} us{before}, {trial.config}")
        elif trial.status in ("wrong", "failed"):
            self._line(f"{trial.status}: {trial.layer}: {trial.config}: {trial.reason}")

    def _line(self, text: str) -> None:
        err.print(f"{time.monotonic() - self.start:4.0f} s  {text}", markup=False, soft_wrap=True)
