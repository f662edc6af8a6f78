"""What a child tells of a case's layers, made up, and what any answer must add up to."""

from __future__ import annotations

from typing import Any

import pytest

from bench.plans.case import Case
from resnet.cost import operations
from resnet.floors import Ceilings

CASE = Case.parse("resnet18/eager/fp32/b1/i64/stream")


def part(name: str, ns: list[float], *modules: str) -> dict[str, Any]:
    return {"name": name, "modules": modules, "ns": ns, "kernels": [{"name": f"k_{name}", "us": 1.0, "count": 1}]}


def told(parts: list[dict[str, Any]], whole: list[int], **rest: Any) -> dict[str, Any]:
    about = {
        "whole_ns": whole,
        "timed_ns": whole,
        "gpu_ns": [],
        "device": "cpu",
        "how": "hooks",
        "note": "",
        "network": {},
        "modules": {},
        "details": {},
    }
    return about | {"parts": parts} | rest


def ceilings() -> Ceilings:
    return Ceilings("a machine", {"fp32": 1e11}, 1e10, None, 0.0, "measured")


def consistent(found: dict[str, Any], case: Case) -> None:
    """Rows, what is in none and the whole add up, and no execution had more in its parts than it took."""
    assert found["sum_us"] == pytest.approx(sum(row["us"] for row in found["rows"]))
    assert found["sum_us"] + found["outside_us"] == pytest.approx(found["whole_us"])
    assert abs(found["whole_us"] - found["timed_us"]) <= found["error_us"]
    network = {operation.name for operation in operations(case.model, case.batch, case.image, case.precision)}
    names = [name for row in found["rows"] for name in row["operations"]]
    assert len(names) == len(set(names))
    assert set(names) == network
    # what they sum to is not more than the same executions took, but for the stated error
    assert found["sum_us"] <= found["timed_us"] + found["error_us"]
