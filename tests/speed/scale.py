"""How what commands cost grows with the number of records: CPU seconds and peak memory, with exponents.

    python -m tests.speed.scale                                   # every question at 1,000, 10,000 and 100,000 records
    python -m tests.speed.scale report load --sizes 1000,1000000  # a million are 7 GB of lines
    python -m tests.speed.scale --base CHECKOUT --json FILE       # in turns with another checkout

A question is a function of a size that runs a process on the checkout in `Here` and returns what it cost. `polars`
reads the same lines with polars, from a folder that `pip install --target DIR polars` filled and `--path DIR` names.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from functools import cache, partial
from pathlib import Path
from typing import Any

from bench.machine.environment import ROOT
from tests.costs.alternate import Side, Spent, alternate, exponent, spend

SIZES = (1_000, 10_000, 100_000)
TEMPLATES = [ROOT / "results" / name / "records.jsonl" for name in ("cpu-quick", "cpu-precisions")]
DRAWS = 4  # different lines of a template; more of them change no cost
POLARS = "import sys, polars; print(polars.read_ndjson(sys.argv[1], infer_schema_length=1000).shape)"
LOAD = "import sys, bench; print(len(bench.load(sys.argv[1])))"


class Here:
    """The checkout that is measured, the folder for what is written, and further folders of Python packages."""

    side = Side("here", ROOT)
    scratch = Path(tempfile.gettempdir())
    path = ""


def cost_of(*words: str | Path, cache_folder: Path | None = None) -> Spent:
    """Return the cost of `python WORDS` on the checkout, with its own cache unless one is given.

    Raises CostError unless it exits with 0.
    """
    with tempfile.TemporaryDirectory(dir=Here.scratch) as own:
        path = os.pathsep.join(filter(None, (str(Here.side.root), Here.path)))
        variables = {"PYTHONPATH": path, "RESNET_CACHE": str(cache_folder or own), "OMP_NUM_THREADS": "1"}
        return spend(["python", *map(str, words)], Here.side, variables | {"COLUMNS": "80"})


# ---- records


@cache
def results(size: int) -> Path:
    """Return a results folder with so many records, as two plans wrote them, of 5 to 7 KB.

    Half of the growth, by its logarithm, is in cases (image sizes), the other half in rounds.
    """
    folder = Here.scratch / f"results-{size}"
    folder.mkdir()
    with (folder / "records.jsonl").open("w") as file:
        for line in lines(size):
            file.write(line)
    return folder


def lines(size: int) -> Iterator[str]:
    """Yield the lines of so many records."""
    drawn = drawn_lines()
    images = max(1, round((size / len(drawn)) ** 0.5))
    for number in range(size):
        case, place = number % len(drawn), number // len(drawn)
        round_, image = divmod(place, images)
        head, tail = drawn[case][place % DRAWS]
        yield head % (224 + 32 * image, round_) + tail


def drawn_lines() -> list[list[tuple[str, str]]]:
    """Return DRAWS lines for each case that a template has with a speed: a pattern of its head, and the rest."""
    found: dict[str, list[tuple[str, str]]] = {}
    draw = random.Random(0)
    for record in (json.loads(line) for file in TEMPLATES for line in file.read_text().splitlines()):
        if record["status"] == "ok" and "/i224/" in record["case"]:
            head = f'{{"schema":{record.pop("schema")},"case":"{record.pop("case")}","round":'
            pattern = head.replace("%", "%%").replace("/i224/", "/i%d/") + "%d,"
            record.pop("round")
            found.setdefault(pattern, [])
            while len(found[pattern]) < DRAWS:
                found[pattern].append((pattern, json.dumps(_varied(record, draw), separators=(",", ":"))[1:] + "\n"))
    return list(found.values())


def _varied(record: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """Return a record with other times, as another process of its case would have them."""
    speed = draw.lognormvariate(0, 0.02)

    def other(ns: int) -> int:
        return int(ns * speed * draw.lognormvariate(0, 0.01))

    samples = {name: [other(ns) for ns in record[name]] for name in record if name.endswith("_ns")}
    windows = [window | {"ns": other(window["ns"])} for window in record["windows"]]
    cold = {name: value * speed if name.endswith("_s") else value for name, value in record["cold"].items()}
    return record | samples | {"windows": windows, "cold": cold, "wall_s": record["wall_s"] * speed}


# ---- questions


def report(size: int, *options: str) -> Spent:
    """Return the cost of the table of so many records."""
    return cost_of("-m", "bench", "report", results(size), *options)


def load(size: int) -> Spent:
    """Return the cost of the frame of so many records that have no index."""
    return cost_of("-c", LOAD, results(size))


def indexed(size: int) -> Spent:
    """Return the cost of the frame of so many records that have an index."""
    index = Path(tempfile.mkdtemp(dir=Here.scratch))
    cost_of("-c", LOAD, results(size), cache_folder=index)
    cost = cost_of("-c", LOAD, results(size), cache_folder=index)
    shutil.rmtree(index)
    return cost


QUESTIONS: dict[str, Callable[[int], Spent]] = {
    "report": report,
    "report --json": lambda size: report(size, "--json"),
    "recommend": lambda size: cost_of("-m", "bench", "recommend", results(size)),
    "load": load,
    "indexed": indexed,
    "polars": lambda size: cost_of("-c", POLARS, results(size) / "records.jsonl"),
}


# ---- growth


def growth(costs: dict[int, Spent]) -> dict[str, float | None]:
    """Return the exponent of the CPU time, and the memory and time of a record: of what is over the smallest size."""
    first, *others = sorted(costs)
    last, start = others[-1], costs[first]
    over = [max(1e-3, costs[size].cpu_s - start.cpu_s) for size in others]
    each_us, memory = (
        value / (last - first) for value in (1e6 * over[-1], 1024 * (costs[last].peak_mib - start.peak_mib))
    )
    power = exponent([size - first for size in others], over) if others[1:] else None
    return {"exponent": power, "us_a_record": each_us, "kib_a_record": memory}


def on(side: Side, question: Callable[[int], Spent], size: int) -> Spent:
    """Return the answer to a question on a checkout."""
    Here.side = side
    return question(size)


def measure(question: Callable[[int], Spent], sizes: list[int], pair: list[Side], times: int) -> Any:
    """Return the least CPU time and peak of each size by checkout, measured in turns."""
    least: dict[str, dict[int, Spent]] = {side.name: {} for side in pair}
    for size in sizes:
        for side, spent in zip(
            pair, alternate([partial(on, side, question, size) for side in pair], times), strict=True
        ):
            peak = min(one.peak_mib for one in spent)
            least[side.name][size] = replace(min(spent, key=lambda one: one.cpu_s), peak_mib=peak)
    return least


def main(questions: dict[str, Callable[[int], Spent]] = QUESTIONS, usual: tuple[int, ...] = SIZES) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(questions)} (all)")
    parser.add_argument("--sizes", default=",".join(map(str, usual)), help="numbers of records (%(default)s)")
    parser.add_argument("--base", type=Path, metavar="CHECKOUT", help="measure another checkout in turns with this one")
    parser.add_argument("--times", type=int, default=2, help="measurements of each, of which the least counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the costs there")
    parser.add_argument("--path", default="", metavar="DIR", help="a folder with further packages, as polars")
    parser.add_argument("--scratch", type=Path, help="where the records are written (the usual temporary folder)")
    asked = parser.parse_args()
    pair = [*([Side("base", asked.base.resolve())] if asked.base else []), Side("here", ROOT)]
    wanted = asked.questions or [name for name in questions if name != "polars" or asked.path]
    sizes = [1, *sorted(map(int, asked.sizes.split(",")))]  # what one record costs is the start
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=asked.scratch, prefix="bench-scale-") as scratch:
        Here.scratch, Here.path = Path(scratch), str(Path(asked.path).resolve()) if asked.path else ""
        for name in wanted:
            costs = measure(questions[name], sizes, pair, asked.times)
            answers[name] = {of: _as_json(by_size) for of, by_size in costs.items()}
            for of, by_size in costs.items():
                print(f"{name:14} {of}  {_in_words(by_size)}", flush=True)
    if asked.json:
        facts = {"date": date.today().isoformat(), "cores": os.cpu_count(), "sizes": sizes, "questions": answers}
        asked.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def _in_words(costs: dict[int, Spent]) -> str:
    cells = ", ".join(f"{size:,}: {cost.cpu_s:.2f} s {cost.peak_mib:.0f} MiB" for size, cost in costs.items())
    grown = growth(costs)
    exponent = "" if grown["exponent"] is None else f"n^{grown['exponent']:.2f}  "
    return f"{exponent}{grown['us_a_record']:.0f} us, {grown['kib_a_record']:.2f} KiB a record  ({cells})"


def _as_json(costs: dict[int, Spent]) -> dict[str, Any]:
    figures = {str(size): {"cpu_s": cost.cpu_s, "peak_mib": cost.peak_mib} for size, cost in costs.items()}
    return {"costs": figures} | growth(costs)


if __name__ == "__main__":
    sys.exit(main())
