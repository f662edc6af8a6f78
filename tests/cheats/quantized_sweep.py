"""The faults of `tests.cheats.quantized` through real processes; alone, all of them, and what passes is told.

python -m tests.cheats.quantized_sweep resnet50 --image 64 --seed 23
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.plan import ONCE, Settings, parse_plan
from bench.records.record import Record
from bench.records.store import Store
from bench.runs.sweep import Sweep
from tests.cheats.quantized import DECLARED, FAULTS

SETTINGS = Settings(
    **(ONCE | {"samples": 6, "throughput_s": 0.01, "steal": 1.0, "calibration_pictures": 4, "buffers": 2})  # type: ignore[arg-type]
)


def case_of(fault: str, model: str = "resnet18", batch: int = 2) -> Case:
    return Case(model, f"tests.cheats.quantized:prepare@fault={fault}", "int8", batch, 32, "stream")


def swept(
    model: str, faults: Sequence[str], machine: dict[str, Any], image: int = 32, seed: int = 7
) -> Iterator[tuple[str, Record]]:
    """Each fault with its record, from a process of its own; batches of four, as two rows of them are looked at."""
    names = [case_of(fault).variant for fault in faults]
    text = f'why = "8 bits."\n[[group]]\nwhy = "Every cheat."\nmodel = "{model}"\nvariant = {names}\n'
    plan = parse_plan(f'{text}precision = "int8"\nbatch = 4\nimage = {image}\n', "8", "8")
    with tempfile.TemporaryDirectory() as folder:
        sweep = Sweep(replace(plan, settings=SETTINGS), Store(Path(folder)), machine, source="noise", seed=seed)
        for record in sweep.run():
            yield record.case.variant.partition("fault=")[2], record


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.cheats.quantized_sweep", description=__doc__)
    parser.add_argument("model")
    parser.add_argument("faults", nargs="*", help="all of them without")
    parser.add_argument("--image", type=int, default=32)
    parser.add_argument("--seed", type=int, default=7)
    words = parser.parse_args()
    reasons, passed = {"honest": ""} | FAULTS | DECLARED, 0
    for name, record in swept(words.model, words.faults or [*reasons], environment(), words.image, words.seed):
        right = record.status == ("ok" if name == "honest" else "wrong") and reasons[name] in (record.reason or "")
        passed += not right
        print(f"{'' if right else 'NOT '}as it should be: {name}: {record.status} {record.reason}", flush=True)
    return int(passed > 0)


if __name__ == "__main__":
    sys.exit(main())
