"""Which files of a checkout measure: where two commits differ in one, a difference may be the harness's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.machine.environment import ROOT
from bench.runs.worktree import Checkout, changed

FOLDER = "bench/worker/measure"  # every module of it
WORKER = ("__main__", "start", "case", "prepare", "gate", "runtime", "fits")  # others of bench/worker time no case
FILES = (
    *(f"bench/worker/{name}.py" for name in WORKER),
    *("bench/machine/watch.py", "bench/runs/job.py", "resnet/device_time.py", "resnet/runner.py"),
)
# The same in a commit whose harness is one folder.
FLAT = ("worker", "clock", "measure", "warmup", "gate", "memory", "energy", "watch", "job", "runtime", "fit")
OLDER = (
    *(f"bench/{name}.py" for name in FLAT),
    "resnet/variants/held.py",
    "resnet/variants/runner.py",
    "resnet/held.py",
)


def measuring(root: Path = ROOT) -> list[str]:
    """The measuring modules of the checkout at `root`, by their paths in it."""
    modules = [*(root / FOLDER).glob("*.py"), *(root / file for file in (*FILES, *OLDER))]
    return sorted(path.relative_to(root).as_posix() for path in modules if path.is_file())


def harness_changes(base: Checkout, head: Checkout, repository: Path = ROOT) -> list[str]:
    """A sentence where the two commits do not measure by the same code."""
    files = changed(base.sha, head.sha, _joined(measuring(side.home.root) for side in (base, head)), repository)
    if not files:
        return []
    return [f"the measuring itself differs between the two ({', '.join(files)}): a difference may be its own"]


def _joined(paths: Iterable[list[str]]) -> list[str]:
    return sorted(set().union(*paths))
