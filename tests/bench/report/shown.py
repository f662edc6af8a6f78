"""A machine's ceilings, a card, and the cells of a row as views show them."""

from collections.abc import Callable

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
