"""The files of a checkout that measure: where two commits differ in one, a difference may come from the harness."""

from __future__ import annotations

from pathlib import Path

from bench.machine.environment import ROOT
from bench.runs.worktree import Checkout, changed_files

FOLDER = "bench/worker/measure"  # all its modules measure
# of bench/worker; the others time no case
WORKER_MODULES = ("__init__", "__main__", "case", "prepare", "gate", "runtime", "fits")
FILES = (
    *(f"bench/worker/{name}.py" for name in WORKER_MODULES),
    *(
        "bench/machine/readings.py",
        "bench/machine/watch.py",
        "bench/runs/job.py",
        "resnet/device_time.py",
        "resnet/runner.py",
    ),
)
# The same files in an older commit, whose harness is one folder.
OLDER_MODULES = ("worker", "clock", "measure", "warmup", "gate", "memory", "energy", "watch", "job", "runtime", "fit")
OLDER_FILES = (
    *(f"bench/{name}.py" for name in OLDER_MODULES),
    *("resnet/variants/held.py", "resnet/variants/runner.py", "resnet/held.py"),
)


def measuring_files(root: Path = ROOT) -> list[str]:
    """Return the modules that measure in the checkout at `root`, as paths relative to it."""
    modules = [*(root / FOLDER).glob("*.py"), *(root / file for file in (*FILES, *OLDER_FILES))]
    return sorted(path.relative_to(root).as_posix() for path in modules if path.is_file())


def harness_changes(base: Checkout, head: Checkout, repository: Path = ROOT) -> list[str]:
    """Return a sentence if the two commits do not measure with the same code, in a list; else an empty list."""
    paths = {path for side in (base, head) for path in measuring_files(side.home.root)}
    files = changed_files(base.commit, head.commit, sorted(paths), repository)
    if not files:
        return []
    return [f"the measuring code differs between the two ({', '.join(files)}): a difference may come from it"]
