"""A machine's ceilings, a card, throughput windows, and the cells of a row as views show them."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from bench.records.record import Record
from bench.report.rows import Row
from bench.report.views import VIEWS
from resnet.floors import Ceilings

Make = Callable[..., Record]
CEILINGS = Ceilings("this machine", {"fp32": 2e11, "bf16": 4e11}, 2e10, None, 0.0, "measured")
CARD = {"name": "NVIDIA H200", "memory_bytes": 1 << 37, "power_limit_w": 700.0, "mig": False}
SPEED = VIEWS["speed"]


def cells(row: Row) -> tuple[str, ...]:
    return SPEED.cells(row)


def floor_cells(row: Row) -> dict[str, str]:
    return dict(zip(VIEWS["floor"].titles, VIEWS["floor"].cells(row), strict=True))


def windows(rates: Sequence[float], apart: bool = False, disturbed: Collection[int] = ()) -> dict[str, Any]:
    """The fields of a record with a window for each of `rates`, images/s: each a turn, or `apart` all of one."""
    made = [
        {"turn": 0 if apart else place, "start_ns": place * 10**9, "images": round(1000 * rate), "ns": 10**12}
        | ({"disturbed": "stopped"} if place in disturbed else {})
        for place, rate in enumerate(rates)
    ]
    good = sorted((w for w in made if "disturbed" not in w), key=lambda w: w["images"]) or made
    middle = good[(len(good) - 1) // 2]
    return {"windows": made, "throughput": {"images": middle["images"], "ns": middle["ns"]}}
