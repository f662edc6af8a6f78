"""A sweep of records, a file of layers, and the page of the records of this checkout."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench.machine.environment import ROOT
from bench.records.record import Record
from bench.records.store import Store
from bench.report.page.document import render_page

Make = Callable[..., Record]


def stored(folder: Path, records: list[Record]) -> Path:
    store = Store(folder)
    with store.writing():
        for record in records:
            store.append(record)
    return folder


def sweep(record: Make, **fields: Any) -> list[Record]:
    """Two depths, batches and precisions, three variants, three rounds; compile-max wins."""
    made = []
    for round in range(3):
        for model, cost in (("resnet18", 1.0), ("resnet50", 3.0)):
            for variant, gain in (("eager", 1.0), ("compile", 1.3), ("compile-max", 2.0)):
                for precision, speed in (("fp32", 1.0), ("bf16", 1.7)):
                    for batch in (1, 8):
                        name = f"{model}/{variant}/{precision}/b{batch}/i224/stream"
                        ms = cost * (1 + batch) / gain / speed * (1 + round / 100)
                        cold = {
                            "import_s": 1.0,
                            "build_s": 0.5,
                            "prepare_s": 2.0,
                            "first_call_s": 0.1,
                            "caches": "warm",
                        }
                        made.append(record(name, ms=ms, round=round, cold=cold, **fields))
    return made


@cache
def quick() -> str:
    """The page of the records of this checkout."""
    return render_page([ROOT / "results" / "cpu-quick"])


def unpacked(packed: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows that the page's script makes of columns."""
    rows: list[dict[str, Any]] = [{} for _ in range(packed["n"])]
    for field, column in packed["of"].items():
        for row, value in zip(rows, unpacked_column(column), strict=True):
            if value is not None:
                row[field] = value
    return rows


def unpacked_column(column: Any) -> list[Any]:
    if isinstance(column, list):
        return column
    return [column["words"][place - 1] if place else None for place in column["at"]]


def another(environment: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return environment | changes


def layers_file(case: str, here: dict[str, Any], times: dict[str, float] | None = None, **changes: Any) -> str:
    """A file of `bench layers -o` of an older version: microseconds by the operations, joined by `+`, of each layer."""
    of = times or {"conv1": 2000.0, "fc": 500.0}
    rows = []
    for names, us in of.items():
        floor = {"floor_us": us / 2, "bound": "memory", "of_floor": 0.5}
        row = {"name": names.split("+")[0], "operations": names.split("+"), "us": us, "half_us": us / 100}
        rows.append(row | {"kernels": [], "share": 0.5} | floor)
    total = sum(of.values())
    about = {"layers": 1, "case": case, "device": "cpu", "environment": here, "date": "2026-11-29T00:00:00+00:00"}
    about |= {"whole_us": 1.1 * total, "outside_us": 0.1 * total, "error_us": 0.01 * total, "note": ""}
    return json.dumps(about | {"details": {}, "ceilings": None, "rows": rows} | changes)
