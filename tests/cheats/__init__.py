"""Variants that lie, each in one way; the gate must catch every one. Planted into the table by `plant`."""

from __future__ import annotations

from resnet.variants import VARIANTS, Variant

# name -> what the record's reason must say
CHEATS = {
    "honest": "",
    "stale": "NaN or infinite",
    "remembers": "times that of plain torch",
    "half-precision": "times that of plain torch",
    "wrong-dtype": "which is not fp32",
    "unwritten": "NaN or infinite",
    "nan": "NaN or infinite",
    "turns-bad": "times that of plain torch",
    "changes-input": "changed its input",
    "wrong-shape": "has shape",
    "other-weights": "times that of plain torch",
}


def plant() -> None:
    """Add the cheats to the table of this process."""
    for name in CHEATS:
        row = Variant(name=name, module="eager", why="a test", serves={"cpu": ("fp32",)}, launches={"cpu": ("stream",)})
        VARIANTS[name] = row  # type: ignore[index]
