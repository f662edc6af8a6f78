"""What `bench layers -o` left in results folders, as rows: each layer begins where those before it end."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.errors import CaseError
from bench.plans.case import Case
from bench.records import same
from bench.records.record import Record
from bench.report.page.numbers import number, short
from bench.report.page.settings import axes
from bench.roofline.layers import SCHEMA

KERNELS = 3  # named of each layer


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """The rows of all layers files in some folders, times in ms; what cannot be read is added to `damage`.

    A file of a machine that has no records here belongs to no setting: it is shown with all.
    """
    rows: list[dict[str, Any]] = []
    for path in [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))]:
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(told, dict) or "layers" not in told:
                continue
            if told["layers"] != SCHEMA:
                damage.append(f"{path}: left out: layers of format {told['layers']}, this version reads {SCHEMA}")
                continue
            made = _rows(told, settings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, CaseError) as error:
            damage.append(f"{path}: left out: not what bench layers wrote ({type(error).__name__})")
            continue
        rows += [{"id": len(rows) + place} | row for place, row in enumerate(made)]
    return rows


def _rows(told: dict[str, Any], settings: dict[same.Key, int]) -> list[dict[str, Any]]:
    case = Case.parse(told["case"])
    key = same.group_key(Record(case, 0, "ok", device=told["device"], environment=told["environment"]))
    about = {"setting": settings.get(key)} | axes(case)
    about["panel"] = f"{about['group']}: {about['way']}"
    made: list[dict[str, Any]] = []
    start = 0.0
    for row in told["rows"]:
        ms = row["us"] / 1e3
        floor = number(row["floor_us"])
        kernels = [f"{kernel['name']} ({kernel['us']:.4g} µs)" for kernel in row["kernels"]]
        more = [f"and {len(kernels) - KERNELS} more"] if len(kernels) > KERNELS else []
        joined = len(row["operations"]) - 1
        made.append(
            about
            | {
                "layer": str(row["name"]) + (f" +{joined}" if joined > 0 else ""),
                "start": short(start),
                "end": short(start + ms),
                "ms": short(ms),
                "share": short(number(row["share"])),
                "floor": None if floor is None else short(floor / 1e3),
                "floor_end": None if floor is None else short(start + floor / 1e3),
                "bound": str(row["bound"] or "-"),
                "kernels": "; ".join(kernels[:KERNELS] + more),
            }
        )
        start += ms
    # a network may run one kernel many times: a name is a place on the axis
    seen: dict[str, int] = {}
    for row in made:
        seen[row["layer"]] = seen.get(row["layer"], 0) + 1
        row["layer"] += f" #{seen[row['layer']]}" if seen[row["layer"]] > 1 else ""
    return made
