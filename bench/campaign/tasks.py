"""The tasks for a rented card, in order of value: each is a command of this project with a time limit.

Words in braces in a command stand for values that the campaign fills in (`bench.campaign.campaign.Campaign.command`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bench.errors import ArgumentError

# The seconds that a call of a rented machine may take, without its start; a shorter stage has a budget of its own.
BUDGET_S = 480.0


@dataclass(frozen=True)
class Task:
    """A command that runs in a separate process group, so that a fault in it loses its results alone.

    `seconds` is its budget and hard limit; it is not begun with less than `least_s` left. A sweep writes records of
    `plan`, of the cases that match `only`, to {folder}. A dry run appends `dry` to the command.
    """

    name: str
    why: str
    argv: tuple[str, ...]
    seconds: float
    least_s: float = 15.0
    plan: str = ""
    only: tuple[str, ...] = ()
    case: str = ""
    dry: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stage:
    """Tasks that belong together. `seconds` is the default budget of the stage."""

    name: str
    why: str
    tasks: tuple[Task, ...]
    seconds: float = BUDGET_S


def _bench(command: str) -> tuple[str, ...]:
    return ("-m", "bench", *command.split())


def _sweep(name: str, why: str, plan: str, seconds: float, only: tuple[str, ...] = ()) -> Task:
    filters = tuple(word for glob in only for word in ("-f", glob))
    argv = _bench("run {plan} -o {folder} --retry --budget {seconds}") + filters
    return Task(name, why, argv, seconds, plan=plan, only=only)


def _gate(name: str, why: str, plan: str, seconds: float) -> Task:
    argv = _bench("verify {plan} -o {folder} --resume --budget {seconds} --jobs {jobs}")
    return Task(name, why, argv, seconds, plan=plan)


def _tests(name: str, why: str, marked: str, seconds: float, *options: str) -> Task:
    argv = ("-m", "pytest", "-q", "-m", marked, *options, "-rfE", "--tb=short", "--maxfail=50")
    argv += ("--junitxml", f"{{root}}/{name}.xml", "tests")
    return Task(name, why, argv, seconds, 60, dry=("--collect-only", "-qq"))


def _layers(batch: int, seconds: float) -> Task:
    case, against = (f"resnet50/{variant}/fp16/b{batch}/i224/graph" for variant in ("fused", "library-fused"))
    argv = _bench(f"layers {{case}} --against {against} -o {{root}}/layers/fused-b{batch}.json")
    why = f"Where the microseconds of a forward pass go at batch {batch}, layer by layer, beside the library's."
    return Task(f"layers-b{batch}", why, argv, seconds, case=case, dry=("-n", "3"))


ALIVE = Stage(
    "alive",
    "Does every path work here, and how fast are the first of them?",
    (
        Task("software", "What is installed, what of it imports, and how long that takes.",
             _bench("env --software -o {root}/software.json"), 30),
        Task("pieces", "The pieces before the network: launches, one graph, one kernel of each kind.",
             _bench("pieces -o {root}/pieces.json --budget {seconds}"), 55, dry=("--dry",)),
        _gate("gate-first", "Whether the answers of the variants that matter are right.", "gate-first", 75),
        _sweep("first", "The first speeds: eager, library-fused and fused at batch 128, 1 and 32.", "first", 120),
    ),
    seconds=280.0,
)  # fmt: skip
MEASURE = Stage(
    "measure",
    "What decides the next design, and the numbers with kernels tuned on this card.",
    (
        Task("constants", "Experiments whose outcome decides which kernel comes next.",
             _bench("constants -o {constants} --missing --budget {seconds}"), 60, dry=("--dry",)),
        Task("tune", "The fastest right configuration of each layer, the costliest first, at batches 1 and 128.",
             _bench("tune {model} --batch {batches} --budget {seconds} -o {tuned}"), 130, 40,
             dry=("--dry", "--image", "32", "--candidates", "1")),
        _sweep("tuned", "The fused variants with those configurations.", "headline", 90,
               only=("resnet50/fused/fp16/b128/*/graph", "resnet50/fused/fp16/b1/*/graph",
                     "resnet50/per-layer/fp16/b128/*/graph", "resnet50/per-layer/fp16/b1/*/graph")),
        Task("ceilings", "What this card can do at most.", _bench("ceilings -o {ceilings}"), 75,
             dry=("--quick", "--force")),
        _layers(128, 100),
        Task("harness", "What the harness itself adds to a sample.",
             _bench("env --cost -o {root}/harness.json"), 40),
        _gate("gate", "Every variant and precision, and the other designs, held against float64.", "correctness", 110),
        _sweep("headline", "ResNet-50 in fp16, every variant, from one picture to 256.", "headline", 400),
        _layers(1, 100),
    ),
)  # fmt: skip
TESTS = Stage(
    "tests",
    "The tests that need a GPU.",
    (
        _tests("tests", "Tests marked gpu, in parallel processes.", "gpu and not timed", 240, "-n", "{jobs}"),
        _tests("timed-tests", "Those of them that time something, alone.", "gpu and timed", 120),
    ),
)  # fmt: skip
MORE = Stage(
    "more",
    "The other tables: depths, precisions, energy, and this card's noise.",
    (
        Task("tune-8-bits", "The fastest right configuration of each layer in 8 bits.",
             _bench("tune {model} --batch {batches} --precision int8,fp8 --budget {seconds} -o {tuned}"), 150, 40,
             dry=("--dry", "--image", "32", "--candidates", "1")),
        _sweep("depths", "All five depths.", "depths", 450),
        _sweep("precisions", "Every precision that each variant serves.", "precisions", 450),
        _sweep("energy", "Joules per image.", "energy", 300),
        _sweep("noise", "The same cases over and over: this card's noise.", "noise", 450),
    ),
)  # fmt: skip

STAGES = {stage.name: stage for stage in (ALIVE, MEASURE, TESTS, MORE)}
TASKS = {task.name: task for stage in STAGES.values() for task in stage.tasks}


def stage_of(task: Task) -> Stage:
    return next(stage for stage in STAGES.values() if task in stage.tasks)


def select_tasks(names: Iterable[str]) -> list[Task]:
    """Return the tasks of the named stages and tasks, each once, in that order. Raises ArgumentError for others."""
    tasks: dict[str, Task] = {}
    for name in names:
        if name not in STAGES and name not in TASKS:
            allowed = f"{', '.join(STAGES)}; {', '.join(TASKS)}"
            raise ArgumentError(f"unknown stage or task {name!r}; allowed: {allowed}")
        tasks |= {task.name: task for task in (STAGES[name].tasks if name in STAGES else (TASKS[name],))}
    return list(tasks.values())


def budget_of(tasks: Iterable[Task]) -> float:
    """Return the default budget in seconds for some tasks: the sum of their stages'; without tasks, BUDGET_S."""
    return sum({stage_of(task).name: stage_of(task).seconds for task in tasks}.values()) or BUDGET_S
