"""The harness: which way of running a ResNet is fastest here, by how much, and is the answer still right?

    import bench

    frame = bench.run("quick", "results/mine", cases=["resnet50/*/fp32/b1/*"])  # pandas, a row per case and round
    print(frame[["case", "status", "p50_ns"]])
    print(bench.compare("results/main", "results/mine").of("SLOWER"))  # verdicts, the worst first
    frame = bench.run(model="resnet18", variant=["eager", "compile"], batch=[1, 8])
    frame = bench.load("results/main", "results/mine")
    plan = bench.load_plan("quick").only("resnet50/*/fp32/b1/*")

Importing it imports neither torch nor pandas. `run` runs a `Sweep`; a program that wants each record at once
uses it directly. Every error that the user can cure is a `BenchError`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bench import ends  # noqa: F401 - first, so that an interrupt may come while the others load

if TYPE_CHECKING:
    from bench.errors import BenchError
    from bench.plans.case import Case
    from bench.plans.plan import Plan, Settings, load_plan
    from bench.records.frame import load
    from bench.records.record import Record
    from bench.records.store import Store
    from bench.runs.run import run
    from bench.runs.sweep import Sweep
    from bench.verdicts.folders import compare

__all__ = [
    "BenchError", "Case", "Plan", "Record", "Settings", "Store", "Sweep", "compare", "load", "load_plan", "run",
]  # fmt: skip
_HOME = {
    "BenchError": "errors", "Case": "plans.case", "Plan": "plans.plan", "Record": "records.record",
    "Settings": "plans.plan", "Store": "records.store", "Sweep": "runs.sweep", "compare": "verdicts.folders",
    "load": "records.frame", "load_plan": "plans.plan", "run": "runs.run",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"bench.{_HOME[name]}"), name)
    globals()[name] = value  # later lookups find it there
    return value


def __dir__() -> list[str]:
    return list(__all__)
