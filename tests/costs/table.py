"""The costs of this tool that the project holds itself to, as data: a row a question, with the command that answers it.

In a command `python` is the interpreter of the side that runs it, and three words are filled in: {inputs}, the folder
that `prepare` wrote for the size; {size}; and {new}, an empty folder for one execution alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.costs import inputs

CPU, PEAK, WALL = "CPU-s", "peak MiB", "wall s"  # measures of `Spent`; others are printed: "12.3 s  NAME" on a line
BENCH = ("python", "-P", "-m", "bench")
PASS = ("python", "-c", "pass")


@dataclass(frozen=True)
class Goal:
    """The most that is allowed of a measure: of it `after`, of that in units (`unit`), of its `ratio` to before."""

    of: str
    at_most: float


@dataclass(frozen=True)
class Cost:
    """A question, the command that answers it, and what is wanted of the answer."""

    name: str  # of `--only`
    question: str
    shown: str  # the command as the page has it
    argv: tuple[str, ...]
    repeats: int
    goals: Mapping[str, Goal | None] = field(default_factory=lambda: {CPU: None})  # a row a measure
    before: bool = True  # whether the base can be asked at all
    unit: str = ""  # the name of what it is a multiple of
    unit_argv: tuple[str, ...] = ()
    sizes: tuple[int, ...] = (0,)
    sizes_of: str = ""
    prepare: Callable[[Path, int], object] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    codes: tuple[int, ...] = (0,)
    per: int = 1  # what the measures are divided by: the cases that it runs
    caches: bool = False  # it is run once before at each size, uncounted, as it writes what it then reads
    sweep: bool = False  # takes minutes, and a quiet machine: only with --with-sweeps


def command(name: str, question: str, shown: str, *words: str, at_most: float | None = None) -> Cost:
    """Return the cost of a short command, as a multiple of an interpreter that does nothing."""
    goal = Goal("unit", at_most) if at_most else None
    argv = (*BENCH, *(words or shown.split()[1:]))
    return Cost(name, question, shown, argv, 10, {CPU: goal}, unit="pass", unit_argv=PASS)


RUN = (*BENCH, "run", "{inputs}/plan.toml", "--input", "noise", "-o", "{new}/out")
LOAD = ("python", "-P", "-c", "import sys, bench; print(len(bench.load(sys.argv[1])))", "{inputs}")
POLARS = """import sys
sys.path.append(sys.argv[2])
import polars
print(polars.read_ndjson(sys.argv[1], infer_schema_length=1000).shape)"""
ONE_CORE = """import os, runpy, sys
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
runpy.run_module("bench", run_name="__main__", alter_sys=True)"""
KERNELS = ("kernels", "--arch", "sm_90", "-f", "resnet18/fp16-n32-*")
NO_INDEX = {"RESNET_CACHE": "{new}"}
CASES = 3  # that a sweep starts one after the other
SIZES = (1, 1_000, 10_000, 100_000)  # of records: what one costs is the start

FIRST_ANSWER = str(Path(__file__).parents[1] / "speed/first_answer.py")  # of this checkout, whichever side it runs
REPORT = Cost(
    "report", "the table of many records, nothing cached", "bench report FOLDER",
    (*BENCH, "report", "{inputs}"), 1, {CPU: None, PEAK: None},
    sizes=SIZES, sizes_of="records", prepare=inputs.sweep, variables=NO_INDEX,
)  # fmt: skip
QUICK = Cost("quick", "", "bench run quick", ("python", "-P", FIRST_ANSWER), 1, sweep=True)


def answers(limit_s: float) -> dict[str, Goal | None]:
    """Return the figures of `tests.speed.first_answer`, seconds of waiting, with their goals."""
    return {"first row": Goal("after", 30), "an answer for each batch": Goal("after", limit_s), "end": None}


COSTS = [
    command("help", "what a user sees first", "bench --help", at_most=7),
    command("list", "the cases of a plan", "bench list quick", at_most=9),
    command("list-full", "those of the largest plan", "bench list full"),
    replace(
        command(
            "compare", "two folders to verdicts", "bench compare BASE HEAD", "compare", "{inputs}/base",
            "{inputs}/head", at_most=25,
        ),
        prepare=inputs.two_sweeps, codes=(0, 4),
    ),
    command("report-quick", "the table of a small sweep", "bench report results/cpu-quick"),
    Cost(
        "start", "a case, from its start to its end, with one execution", "bench run PLAN", RUN, 2,
        prepare=inputs.plan("eager", CASES), per=CASES, caches=True,
    ),
    Cost(
        "compile", "a sweep of one compiled case, caches warm", "bench run PLAN", RUN, 2,
        prepare=inputs.plan("compile"), caches=True,
    ),
    Cost(
        "compile-max", "the same with frozen weights", "bench run PLAN", RUN, 2,
        prepare=inputs.plan("compile-max"), caches=True,
    ),
    Cost(
        "compile-aot", "the same from a package compiled ahead", "bench run PLAN", RUN, 2,
        prepare=inputs.plan("compile-aot"), caches=True, before=False,
    ),
    Cost(
        "history", "22 cases by 2 metrics over commits, nothing cached", "bench history STORE",
        (*BENCH, "history", "{inputs}"), 2, {CPU: Goal("after", 8), PEAK: None},
        sizes=(10, 50, 200), sizes_of="commits", prepare=inputs.nightly, variables=NO_INDEX,
    ),
    REPORT,
    replace(
        REPORT, name="report-million", question="the same of a million, 5 GB on a disk", sizes=(1_000_000,),
        goals={CPU: None, PEAK: Goal("after", 1024)}, before=False, sweep=True,
    ),
    Cost(
        "load", "the frame of records that have no index", "bench.load(FOLDER)", LOAD, 2, {CPU: None, PEAK: None},
        sizes=SIZES[:3], sizes_of="records", prepare=inputs.sweep, variables=NO_INDEX,
    ),
    Cost(
        "load-polars", "the same lines read by polars", "bench.load(FOLDER)", LOAD, 6, {CPU: Goal("unit", 2.0)},
        unit="polars", unit_argv=("python", "-c", POLARS, "{inputs}/records.jsonl", "{polars}"),
        sizes=(20_000,), sizes_of="records", prepare=inputs.sweep, variables=NO_INDEX,
    ),
    Cost(
        "load-indexed", "and of those that have one", "bench.load(FOLDER)", LOAD, 5, {CPU: Goal("ratio", 1.0)},
        sizes=SIZES[:3], sizes_of="records", prepare=inputs.sweep, caches=True,
    ),
    Cost(
        "page", "the page with charts, nothing cached", "bench report FOLDER --html FILE",
        (*BENCH, "report", "{inputs}", "--html", "{new}/page.html"), 2, {CPU: Goal("ratio", 0.5)},
        sizes=(5_000,), sizes_of="records", prepare=inputs.sweep, variables=NO_INDEX,
    ),
    Cost(
        "kernels", "kernels compiled on two cores, beside one", "bench kernels --arch sm_90 -f 'resnet18/fp16-n32-*'",
        (*BENCH, *KERNELS), 3, {WALL: Goal("unit", 0.6), CPU: None},
        unit="one core", unit_argv=("python", "-P", "-c", ONE_CORE, *KERNELS),
        variables={"TRITON_CACHE_DIR": "{new}/triton"},
    ),
    replace(
        QUICK, name="quick", question="the default sweep, its caches warm", goals=answers(120), caches=True,
    ),
    replace(
        QUICK, name="quick-cold", question="with no caches, as on a new machine", goals=answers(240),
        argv=(*QUICK.argv, "--empty-caches"),
    ),
]  # fmt: skip
