"""The layers of a case as a file of `bench layers -o` has them, checked, with what is worked out where it has less."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.plans.case import Case
from bench.records.quality import wide_precisions
from bench.records.record import Record
from bench.roofline.floors import measured_ceilings
from bench.roofline.layers import CONVERSIONS, NOISE_LIMIT, SCHEMA, JsonObject, add_work
from bench.roofline.pairs import UNKNOWN, stages_of
from resnet.cost import network_operations
from resnet.floors import Ceilings
from resnet.names import is_outside

LARGEST = 1e18  # of a number: what can be multiplied
NUMBERS = ("half_us", "floor_us", "flops", "bytes")  # of a row, each of which may be missing


@dataclass(frozen=True)
class Roofs:
    """The rates that bound a case: FLOP/s in its precision, bytes/s of memory and of the last-level cache."""

    flops: float
    bandwidth: float
    cache: float | None


@dataclass
class Timed:
    """The layers of a case; `record` says where it ran."""

    record: Record
    date: str
    whole_us: float
    outside_us: float
    error: float  # how far the sum of the rows may be off, relative to the whole
    is_layers: bool  # or kernels, in order
    rows: list[JsonObject]  # as in docs/FORMAT.md, with `stage`
    roofs: Roofs | None
    against: Timed | None = None

    @property
    def case(self) -> Case:
        return self.record.case

    @property
    def disturbed(self) -> bool:
        """Return whether nothing can be told from its parts: other work, or the timing, changed them too much."""
        return self.error > NOISE_LIMIT or self.outside_us < -self.error * self.whole_us


def read_timed(content: Mapping[str, Any]) -> Timed:
    """Return what a file holds. Raises ValueError, KeyError or TypeError for what `bench layers` did not write."""
    case = Case.parse(content["case"])
    record = Record(case, 0, "ok", device=content["device"], environment=content["environment"])
    rates = content.get("ceilings") or {}
    ceilings = measured_ceilings([record])
    rows = _complete([_checked(row) for row in content["rows"]], content, case, ceilings)
    if not rows:
        raise ValueError("a case without a layer")
    stages = stages_of([row["name"] for row in rows if row["operations"]])
    for row in rows:
        row["stage"] = stages.get(row["name"], CONVERSIONS if row["name"] == CONVERSIONS else UNKNOWN)
    whole = _number(content["whole_us"])
    if whole <= 0:
        raise ValueError(f"a whole of {whole} us")
    return Timed(
        record,
        str(content.get("date", "")),
        whole,
        _number(content["outside_us"]),
        _number(content["error_us"]) / whole,
        any(row["operations"] for row in rows),
        rows,
        _roofs(case.precision, rates) or _roofs(case.precision, vars(ceilings) if ceilings else {}),
        read_timed(content["against"]) if content.get("against") else None,
    )


def is_layers_file(content: Any) -> bool:
    """Return whether a document is one of `bench layers -o`, of any version; `bench sensitivity` names layers, too."""
    return isinstance(content, dict) and "layers" in content and "schema" not in content


def unread_version(content: Mapping[str, Any]) -> str:
    """Return why a file of layers cannot be read; empty where it can."""
    version = content["layers"]
    return "" if version == SCHEMA else f"layers of format {version}, this version reads {SCHEMA}"


def _checked(row: Mapping[str, Any]) -> JsonObject:
    kernels = [{"name": str(k["name"]), "us": _number(k["us"])} for k in row["kernels"]]
    checked = {"name": str(row["name"]), "operations": [str(name) for name in row["operations"]]}
    numbers = {name: _size(row[name]) for name in NUMBERS if row.get(name) is not None}
    return checked | numbers | {"us": _size(row["us"]), "bound": row.get("bound"), "kernels": kernels}


def _number(value: Any) -> float:
    number = float(value)
    if not abs(number) < LARGEST:
        raise ValueError(f"{value} is no number that was measured")
    return number


def _size(value: Any) -> float:
    if (size := _number(value)) < 0:
        raise ValueError(f"{value} is less than nothing")
    return size


def _complete(
    rows: list[JsonObject], content: Mapping[str, Any], case: Case, ceilings: Ceilings | None
) -> list[JsonObject]:
    """Return rows with the work and the floors that they lack: an older file has no work, and this machine's ceilings
    may have been measured since."""
    worked: list[JsonObject] = [{"operations": row["operations"], "us": row["us"]} for row in rows]
    quantized: Any = (content.get("details") or {}).get("quantized") or {}
    wide = wide_precisions(quantized, content["device"])
    about = (case.model, case.batch, case.image, case.precision)
    add_work(worked, () if is_outside(case.model) else network_operations(*about, {}, wide), ceilings)
    for row, work in zip(rows, worked, strict=True):
        for name in ("flops", "bytes", "floor_us"):
            row.setdefault(name, work[name])
        row.setdefault("half_us", None)
        row["bound"] = str(row["bound"] or work["bound"] or "") or None
    return rows


def _roofs(precision: str, rates: Mapping[str, Any]) -> Roofs | None:
    flops = rates.get("flops") or {}
    if precision not in flops:
        return None
    least, cache = flops.get("fp32", 0), rates.get("l2")
    compute, bandwidth = max(_size(flops[precision]), _size(least)), _size(rates["bandwidth"])
    return Roofs(compute, bandwidth, _size(cache) if cache else None) if compute and bandwidth else None
