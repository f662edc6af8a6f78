"""Invented results folders of a base and a head, and their verdicts."""

from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import Record
from bench.records.store import FILE
from bench.verdicts.compare import Comparison, compare_lists
from bench.verdicts.lists import read_lists

Make = Callable[..., Record]
Folder = Callable[..., Path]
CASE = "resnet50/eager/fp32/b1/i224/stream"
OTHER = "resnet50/compile/fp32/b1/i224/stream"
START = datetime(2026, 1, 31, 12, tzinfo=UTC)


def folders_in(root: Path, record: Make) -> Folder:
    """Makes a results folder: cases with the median latency of each in ms, noise between its rounds, and what else."""

    def make(
        name: str,
        cases: dict[str, float],
        *,
        rounds: int = 8,
        noise: float = 0.003,
        turns: int = 0,
        change: Callable[[Record], None] | None = None,
        **fields: Any,
    ) -> Path:
        """`turns`: 0 for a sitting of its own, 1 or 2 for the first or second turn of an interleaved one."""
        draw = np.random.default_rng(sum(map(ord, name)))
        sitting = draw.integers(100, 200) * 24
        lines = []
        for number in range(rounds):
            for place, (case, ms) in enumerate(cases.items()):
                started = START + timedelta(
                    hours=float(number + turns / 4 if turns else sitting + number), seconds=place
                )
                one = record(
                    case,
                    ms=ms * float(np.exp(noise * draw.standard_normal())),
                    round=number,
                    started=started.isoformat(),
                    weights="w",
                    **deepcopy(fields),
                )
                one.memory = {"weights": 100 << 20, "host_resident_peak": 500 << 20}
                if change:
                    change(one)
                lines.append(one.line() + "\n")
        (root / name).mkdir()
        (root / name / FILE).write_text("".join(lines))
        return root / name

    return make


def run(*words: Any) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["compare", *map(str, words)], env={"COLUMNS": "80"})
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, " ".join(result.output.split())


def compare_folders(base: Path, head: Path, **options: Any) -> Comparison:
    return compare_lists(read_lists(base), read_lists(head), **options)


def words(comparison: Comparison, case: str = CASE) -> dict[str, str]:
    return {verdict.metric: verdict.word for verdict in comparison.verdicts if verdict.case == case}


def changed(path: str, value: Any) -> Callable[[Record], None]:
    def change(record: Record) -> None:
        record.environment = place = deepcopy(record.environment)
        *parts, last = path.split(".")
        for part in parts:
            place = place[part]
        place[last] = value

    return change
