"""The places under results/ that belong to no card; `kernels.cards.places` has the others.

results/local/                          runs of this checkout, in no commit
results/local/quick-20260131-120000-7/  the records of a run without -o
results/kernels/accepted.json           written by `bench kernels --accept`
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from bench.errors import StoreError
from kernels.cards.places import RESULTS


def local(results: Path = RESULTS) -> Path:
    """Return the folder of the files that belong to this checkout alone."""
    return results / "local"


LOCAL = local()
ACCEPTED = RESULTS / "kernels" / "accepted.json"


def new_run_folder(name: str) -> Path:
    """Return a folder for a new run. Its number gives the order: clocks go back, and two runs may share a second."""
    number = max((number for number, _ in _run_folders(name)), default=0) + 1
    return LOCAL / f"{name}-{datetime.now():%Y%m%d-%H%M%S}-{number}"


def latest_run_folder(name: str) -> Path:
    """Return the folder of the newest run of this name. Raises StoreError where there is none."""
    folders = _run_folders(name)
    if not folders:
        raise StoreError(f"no earlier results of {name} to resume; name their folder with -o")
    return folders[-1][1]


def _run_folders(name: str) -> list[tuple[int, Path]]:
    """Return number and path of this plan's folders in order; the number of an old folder without one is 0."""
    pattern = re.compile(rf"{re.escape(name)}-\d{{8}}-\d{{6}}(?:-(\d+))?")
    return sorted((int(m[1] or 0), path) for path in LOCAL.glob("*") if (m := pattern.fullmatch(path.name)))
