"""How what commands cost grows with the number of records: CPU seconds and peak memory, with exponents.

    python -m tests.speed.scale                                   # every question at 1,000, 10,000 and 100,000 records
    python -m tests.speed.scale report load --sizes 1000,1000000  # a million are 7 GB of lines
    python -m tests.speed.scale --base CHECKOUT --json FILE       # in turns with another checkout

A question is a function of a size; it runs a fresh process on the checkout in `Here` and returns its Cost. `polars`
reads the same lines with polars, from a folder that `pip install --target DIR polars` filled and `--path DIR` names.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import date
from functools import cache
from math import log
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent.parent
SIZES = (1_000, 10_000, 100_000)
TEMPLATES = [ROOT / "results" / name / "records.jsonl" for name in ("cpu-quick", "cpu-precisions")]
DRAWS = 4  # different lines of a template; more of them change no cost
POLARS = "import sys, polars; print(polars.read_ndjson(sys.argv[1], infer_schema_length=1000).shape)"
LOAD = "import sys, bench; print(len(bench.load(sys.argv[1])))"


class Cost(NamedTuple):
    """CPU seconds of a process and of those that it waited for; the peak resident memory of the largest of them."""

    cpu_s: float
    peak_mib: float


class Here:
    """The checkout that is measured, the folder for what is written, and further folders of Python packages."""

    checkout = ROOT
    scratch = Path(tempfile.gettempdir())
    path = ""


def cost_of(*words: str | Path, cache_folder: Path | None = None) -> Cost:
    """Return the cost of `python WORDS` on the checkout, with its own cache unless one is given.

    Raises ChildProcessError, with the end of what it printed, unless it exits with 0. A process starts with the peak
    of the one that started it, so this one stays small.
    """
    own = Path(tempfile.mkdtemp(dir=Here.scratch)) if cache_folder is None else cache_folder
    variables = {"PYTHONPATH": f"{Here.checkout}{os.pathsep}{Here.path}", "RESNET_CACHE": str(own)}
    variables |= {"OMP_NUM_THREADS": "1", "COLUMNS": "80"}
    with tempfile.TemporaryFile(dir=Here.scratch) as output:
        child = subprocess.Popen(
            [sys.executable, *map(str, words)],
            env=os.environ | variables,
            cwd=Here.scratch,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        output.seek(-min(2000, output.seek(0, os.SEEK_END)), os.SEEK_END)
        printed = output.read().decode(errors="replace")
    if cache_folder is None:
        shutil.rmtree(own)
    if child.returncode:
        raise ChildProcessError(f"python {' '.join(map(str, words))} exits with {child.returncode}:\n{printed}")
    return Cost(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


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


def report(size: int, *options: str) -> Cost:
    """Return the cost of the table of so many records."""
    return cost_of("-m", "bench", "report", results(size), *options)


def load(size: int) -> Cost:
    """Return the cost of the frame of so many records that have no index."""
    return cost_of("-c", LOAD, results(size))


def indexed(size: int) -> Cost:
    """Return the cost of the frame of so many records that have an index."""
    index = Path(tempfile.mkdtemp(dir=Here.scratch))
    cost_of("-c", LOAD, results(size), cache_folder=index)
    cost = cost_of("-c", LOAD, results(size), cache_folder=index)
    shutil.rmtree(index)
    return cost


QUESTIONS: dict[str, Callable[[int], Cost]] = {
    "report": report,
    "report --json": lambda size: report(size, "--json"),
    "recommend": lambda size: cost_of("-m", "bench", "recommend", results(size)),
    "load": load,
    "indexed": indexed,
    "polars": lambda size: cost_of("-c", POLARS, results(size) / "records.jsonl"),
}


# ---- growth


def growth(costs: dict[int, Cost]) -> dict[str, float | None]:
    """Return the exponent of the CPU time, and the memory and time of a record: of what is over the smallest size."""
    sizes = sorted(costs)
    first, last = costs[sizes[0]], costs[sizes[-1]]
    memory = 1024 * (last.peak_mib - first.peak_mib) / (sizes[-1] - sizes[0])
    over = [(log(size - sizes[0]), log(max(1e-3, costs[size].cpu_s - first.cpu_s))) for size in sizes[1:]]
    (x0, y0), (x1, y1) = over[0], over[-1]
    exponent = (y1 - y0) / (x1 - x0) if x1 > x0 else None
    each_us = 1e6 * (last.cpu_s - first.cpu_s) / (sizes[-1] - sizes[0])
    return {"exponent": exponent, "us_a_record": each_us, "kib_a_record": memory}


def measure(question: Callable[[int], Cost], sizes: list[int], checkouts: dict[str, Path], times: int) -> Any:
    """Return the least cost of each size by checkout, measured in turns."""
    least: dict[str, dict[int, Cost]] = {name: {} for name in checkouts}
    for size in sizes:
        for _ in range(times):
            for name, checkout in checkouts.items():
                Here.checkout = checkout
                cost = question(size)
                before = least[name].get(size, cost)
                least[name][size] = Cost(*map(min, before, cost))
    return least


def main(questions: dict[str, Callable[[int], Cost]] = QUESTIONS, usual: tuple[int, ...] = SIZES) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=f"of {', '.join(questions)} (all)")
    parser.add_argument("--sizes", default=",".join(map(str, usual)), help="numbers of records (%(default)s)")
    parser.add_argument("--base", type=Path, metavar="CHECKOUT", help="measure another checkout in turns with this one")
    parser.add_argument("--times", type=int, default=2, help="measurements of each, of which the least counts")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the costs there")
    parser.add_argument("--path", default="", metavar="DIR", help="a folder with further packages, as polars")
    parser.add_argument("--scratch", type=Path, help="where the records are written (the usual temporary folder)")
    asked = parser.parse_args()
    checkouts = {"base": asked.base.resolve()} if asked.base else {}
    checkouts |= {"here": ROOT}
    wanted = asked.questions or [name for name in questions if name != "polars" or asked.path]
    sizes = [1, *sorted(map(int, asked.sizes.split(",")))]  # what one record costs is the start
    answers: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(dir=asked.scratch, prefix="bench-scale-") as scratch:
        Here.scratch, Here.path = Path(scratch), str(Path(asked.path).resolve()) if asked.path else ""
        for name in wanted:
            costs = measure(questions[name], sizes, checkouts, asked.times)
            answers[name] = {of: _as_json(by_size) for of, by_size in costs.items()}
            for of, by_size in costs.items():
                print(f"{name:14} {of}  {_in_words(by_size)}", flush=True)
    if asked.json:
        facts = {"date": date.today().isoformat(), "cores": os.cpu_count(), "sizes": sizes, "questions": answers}
        asked.json.write_text(json.dumps(facts, indent=1) + "\n")
    return 0


def _in_words(costs: dict[int, Cost]) -> str:
    cells = ", ".join(f"{size:,}: {cost.cpu_s:.2f} s {cost.peak_mib:.0f} MiB" for size, cost in costs.items())
    grown = growth(costs)
    exponent = "" if grown["exponent"] is None else f"n^{grown['exponent']:.2f}  "
    return f"{exponent}{grown['us_a_record']:.0f} us, {grown['kib_a_record']:.2f} KiB a record  ({cells})"


def _as_json(costs: dict[int, Cost]) -> dict[str, Any]:
    return {"costs": {str(size): cost._asdict() for size, cost in costs.items()}} | growth(costs)


if __name__ == "__main__":
    sys.exit(main())
