"""Variants that lie, each in one way; the gate must catch every one. Planted into the table by `plant`."""

from __future__ import annotations

from resnet.variants import VARIANTS, Variant

# name -> what the record's reason must say
CHEATS = {
    "honest": "",
    "stale": "NaN or infinite",
    "memoizes": "its answer is remembered",
    "remembers": "times that of plain torch",
    "half-precision": "times that of plain torch",
    "wrong-dtype": "which is not fp32",
    "unwritten": "NaN or infinite",
    "nan": "NaN or infinite",
    "turns-bad": "times that of plain torch",
    "changes-input": "changed its input",
    "wrong-shape": "has shape",
    "other-weights": "times that of plain torch",
    "late": "NaN or infinite",
}
# the same, of those that need a GPU
ON_GPU = {"side-stream": "NaN or infinite"}


def plant() -> None:
    """Add the cheats to the table of this process."""
    for name in CHEATS | ON_GPU:
        devices = ("cuda",) if name in ON_GPU else ("cpu", "cuda")
        VARIANTS[name] = Variant(  # type: ignore[index]
            name=name,
            why="a test",
            serves=dict.fromkeys(devices, ("fp32",)),
        )
