"""Which files of a checkout measure: where two commits differ in one, a difference may be the harness's own."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.machine.environment import ROOT
from bench.runs.worktree import Checkout, changed

FOLDERS = ("bench/worker", "bench/worker/measure")  # every module of them; other rooms of the worker time no case
FILES = ("bench/machine/watch.py", "bench/runs/job.py")


def measuring(root: Path = ROOT) -> list[str]:
    """The measuring modules of the checkout at `root`, by their paths in it."""
    modules = [path for folder in FOLDERS for path in (root / folder).glob("*.py")]
    modules += [root / file for file in FILES] + [root / "bench" / f"{name}.py" for name in _flat()]
    return sorted(path.relative_to(root).as_posix() for path in modules if path.is_file())


def harness_changes(base: Checkout, head: Checkout, repository: Path = ROOT) -> list[str]:
    """A sentence where the two commits do not measure by the same code."""
    files = changed(base.sha, head.sha, _joined(measuring(side.home.root) for side in (base, head)), repository)
    if not files:
        return []
    return [f"the measuring itself differs between the two ({', '.join(files)}): a difference may be its own"]


def _joined(paths: Iterable[list[str]]) -> list[str]:
    return sorted(set().union(*paths))


def _flat() -> set[str]:
    """The same modules by their names in a commit whose harness is one folder, bench/."""
    rooms = [*((ROOT / folder).glob("*.py") for folder in FOLDERS), [Path(file) for file in FILES]]
    names = {path.stem for room in rooms for path in room}
    return {name for name in names if not name.startswith("__")} | {"worker", "warmup"}
