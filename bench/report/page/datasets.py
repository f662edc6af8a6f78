"""The layers of a case, as rows of the page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.plans.case import Case
from bench.records import same
from bench.records.record import Record
from bench.report.page.settings import case_fields
from bench.roofline.layers import SCHEMA, layer_name
from kernels.cards.reading import read_json_file

KERNELS = 3  # named of each layer


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the files of `bench layers -o` in some folders, in ms: each begins where the one before ends.

    What cannot be read adds to `damage`. A file of a machine without records here is shown with every setting.
    """
    rows: list[dict[str, Any]] = []
    for path in [path for folder in folders if folder.is_dir() for path in sorted(folder.glob("*.json"))]:
        try:
            content = read_json_file(path)
            if not isinstance(content, dict) or "layers" not in content:
                continue
            if content["layers"] != SCHEMA:
                damage.append(f"{path}: left out: layers of format {content['layers']}, this version reads {SCHEMA}")
                continue
            of_file = _layers_of_file(content, settings)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            damage.append(f"{path}: left out: not what bench layers wrote ({type(error).__name__})")
            continue
        rows += [{"id": len(rows) + place} | row for place, row in enumerate(of_file)]
    return rows


def _layers_of_file(content: dict[str, Any], settings: dict[same.Key, int]) -> list[dict[str, Any]]:
    case = Case.parse(content["case"])
    key = same.group_key(Record(case, 0, "ok", device=content["device"], environment=content["environment"]))
    fields = {"setting": settings.get(key)} | case_fields(case)
    fields["panel"] = f"{fields['group']}: {fields['way']}"
    rows: list[dict[str, Any]] = []
    names: Counter[str] = Counter()
    start = 0.0
    for layer in content["rows"]:
        ms, floor = layer["us"] / 1e3, layer["floor_us"]
        kernels = [f"{kernel['name']} ({kernel['us']:.4g} µs)" for kernel in layer["kernels"]]
        more = [f"and {len(kernels) - KERNELS} more"] if len(kernels) > KERNELS else []
        name = layer_name(layer)
        # a network may run one kernel many times: a name is a place on the axis
        names[name] += 1
        row = {
            "layer": name + (f" #{names[name]}" if names[name] > 1 else ""),
            "start": start,
            "end": start + ms,
            "ms": ms,
            "share": float(layer["share"]),
            "floor": None if floor is None else floor / 1e3,
            "floor_end": None if floor is None else start + floor / 1e3,
            "bound": str(layer["bound"] or "-"),
            "kernels": "; ".join(kernels[:KERNELS] + more),
        }
        rows.append(fields | row)
        start += ms
    return rows
