"""What this tool itself costs, before and after, in turns: the record and the table of docs/PERFORMANCE.md.

    python -m tests.costs --base HEAD --only help  # try one cost: what is not committed against the last commit
    python -m tests.costs --write                  # all but the sweeps, into the record; ten minutes
    python -m tests.costs --write --with-sweeps    # and those that want minutes and a quiet machine
    python -m tests.costs --splice                 # the table from the record again

The figures of each cost are printed, and with --write on disk, before the next begins. Ctrl-C keeps those, and removes
the checkouts.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from bench.ends import end_in_order
from bench.errors import BenchError
from bench.files import owned_folder
from bench.machine.environment import environment
from tests.costs import record as records
from tests.costs.alternate import CostError, Side, Spent, alternate, sides, spend
from tests.costs.table import COSTS, CPU, PEAK, WALL, Cost
from tests.soak import table as pages

BASE = "25ce197"  # of the work on these costs
MEASURES: dict[str, Callable[[Spent], float]] = {
    CPU: lambda spent: spent.cpu_s,
    PEAK: lambda spent: spent.peak_mib,
    WALL: lambda spent: spent.wall_s,
}
ABOUT = ("cpu", "memory_bytes", "system", "virtual", "python", "packages", "variables")


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def figures(measure: str, runs: Sequence[Spent], per: float = 1) -> list[float]:
    """Return a measure of what each run spent, or the seconds that it printed behind that name; none if one did not."""
    if measure in MEASURES:
        return [MEASURES[measure](spent) / per for spent in runs]
    printed = [re.search(rf"^ *([\d.]+) s  {re.escape(measure)}$", spent.stdout, re.M) for spent in runs]
    return [float(match[1]) / per for match in printed if match] if all(printed) else []


@dataclass(frozen=True)
class Place:
    """Where inputs are written, and what else a command's words are filled with."""

    folder: Path
    repeats: int | None = None  # in place of each cost's
    words: Mapping[str, str] = field(default_factory=dict)


def execute(cost: Cost, argv: Sequence[str], side: Side, inputs: Path, size: int, words: Mapping[str, str]) -> Spent:
    """Run a command of a cost once, in a checkout, with an empty folder that is removed behind it."""
    new = inputs.parent / f"new-{os.getpid()}"
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    fills = {"{inputs}": str(inputs), "{size}": str(size), "{new}": str(new), **words}

    def fill(word: str) -> str:
        for name, value in fills.items():
            word = word.replace(name, value)
        return word

    try:
        variables = {name: fill(value) for name, value in cost.variables.items()}
        return spend([*map(fill, argv)], side, variables, cost.codes)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def measure(cost: Cost, pair: Mapping[str, Side], place: Place) -> list[dict[str, Any]]:
    """Return the rows of a cost, one a measure; of one that fails, with the reason in place of figures."""
    shown = {"question": cost.question, "command": cost.shown, "unit": cost.unit, "sizes_of": cost.sizes_of}
    try:
        by_size = [_at(cost, size, pair, place) for size in cost.sizes]
    except CostError as error:
        return [{"name": cost.name, "measure": name, "reason": str(error)} | shown for name in cost.goals]
    rows = []
    for name in cost.goals:
        points = [{"size": size} | _values(cost, name, spent) for size, spent in zip(cost.sizes, by_size, strict=True)]
        if all("after" in point for point in points):
            rows.append(records.row_of(cost, name, points) | shown)
        else:
            rows.append({"name": cost.name, "measure": name, "reason": f"it prints no {name}"} | shown)
    return rows


def _values(cost: Cost, name: str, spent: Mapping[str, Sequence[Spent]]) -> dict[str, list[float]]:
    """Return the values of a measure by side, and of the units, of all that have it."""
    values = {key: figures(name, runs, 1 if key.endswith("_unit") else cost.per) for key, runs in spent.items()}
    return {key: numbers for key, numbers in values.items() if numbers}


def _at(cost: Cost, size: int, pair: Mapping[str, Side], place: Place) -> dict[str, list[Spent]]:
    """Return what a cost spent on each side at one size, and its unit, of the same turns."""
    inputs = place.folder / f"{cost.name}-{size}"
    if cost.prepare:
        cost.prepare(inputs, size)
    works = {}
    for name, side in pair.items():
        if name == "before" and not cost.before:
            continue
        works[name] = partial(execute, cost, cost.argv, side, inputs, size, place.words)
        if cost.unit_argv:
            works[f"{name}_unit"] = partial(execute, cost, cost.unit_argv, side, inputs, size, place.words)
    try:
        for work in works.values() if cost.caches else ():
            work()
        return dict(zip(works, alternate(list(works.values()), place.repeats or cost.repeats), strict=True))
    finally:
        shutil.rmtree(inputs, ignore_errors=True)


def measure_all(costs: Sequence[Cost], pair: Mapping[str, Side], path: Path | None, **choices: Any) -> int:
    """Measure some costs, print each as it ends, put it into the record, if one is named; return how many failed.

    `choices` are those of `Place`.
    """
    started = datetime.now(UTC).isoformat(timespec="seconds")
    env = environment()
    about = {"started": started, "environment": {name: env.get(name) for name in ABOUT}}
    about |= {name: side.commit for name, side in pair.items()}
    failed = 0
    tell("cost, measure: before -> after, after / before [95 % interval]; goal")
    with owned_folder("inputs") as folder:
        for cost in costs:
            load, begun = os.getloadavg()[0], time.monotonic()
            rows = measure(cost, pair, Place(folder, **choices))
            if path:
                record = records.read(path)
                records.replace(record, started, about, [row | {"load_before": round(load, 2)} for row in rows])
                records.write(record, path)
            for row in rows:
                if "reason" not in row:
                    print(records.in_words(row), flush=True)
            reasons = {row["reason"] for row in rows if "reason" in row}
            failed += bool(reasons)
            tell(f"{cost.name}: {time.monotonic() - begun:.0f} s" + "".join(f"; {reason}" for reason in reasons))
    return failed


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.costs", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--base", default=BASE, metavar="REVISION", help=f"the commit that is before; {BASE} by default"
    )
    names = [cost.name for cost in COSTS]
    help_only = f"measure this cost alone; repeat for more: {', '.join(names)}"
    parser.add_argument("--only", action="append", metavar="NAME", choices=names, help=help_only)
    parser.add_argument("--with-sweeps", action="store_true", help="also what wants minutes and a quiet machine")
    parser.add_argument("--repeats", type=int, metavar="N", help="turns of each cost, in place of its own number")
    parser.add_argument("--sizes", metavar="N,...", help="sizes of the costs that have some, in place of their own")
    parser.add_argument("--polars", default="", metavar="DIR", help="where polars is: pip install --target DIR polars")
    parser.add_argument("--write", action="store_true", help="put the rows into the project's record and its page")
    help_record = "put the rows into this record in place of the project's, and print its table"
    parser.add_argument("--record", type=Path, metavar="FILE", help=help_record)
    parser.add_argument("--splice", action="store_true", help="measure nothing; renew the page's table from the record")
    return parser.parse_args(argv)


def chosen(asked: argparse.Namespace) -> list[Cost]:
    """Return the costs that were asked for, at the sizes that were."""
    usual = [cost.name for cost in COSTS if asked.with_sweeps or not cost.sweep]
    costs = [cost for cost in COSTS if cost.name in (asked.only or usual)]
    if not asked.sizes:
        return costs
    sizes = tuple(sorted(map(int, asked.sizes.split(","))))
    return [replace(cost, sizes=sizes) if cost.sizes_of else cost for cost in costs]


def main(argv: Sequence[str] | None = None) -> int:
    asked = parse(argv)
    end_in_order()
    code, path = 0, asked.record or (records.RECORD if asked.write or asked.splice else None)
    if not asked.splice:
        try:
            with sides(asked.base) as (before, after):
                pair, words = {"before": before, "after": after}, {"{polars}": asked.polars}
                code = int(measure_all(chosen(asked), pair, path, repeats=asked.repeats, words=words) > 0)
        except BenchError as error:
            tell(f"costs: {error}")
            return error.exit_code
        except KeyboardInterrupt:
            tell("interrupted; what was measured is printed" + (f", and in {path}" if path else ""))
            code = 130
    if path == records.RECORD:
        pages.write(records.PAGE, records.markdown(records.read()), "costs")
    elif path:
        print(records.markdown(records.read(path)))
    return code


if __name__ == "__main__":
    sys.exit(main())
