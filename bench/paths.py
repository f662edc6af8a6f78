"""The places under results/ that belong to no card; `kernels.cards.places` has the others.

results/local/                          runs of this checkout, in no commit
results/local/quick-20260131-120000-7/  the records of a run without -o
results/local/saved/main/               a baseline that `--save main` keeps
results/kernels/accepted.json           written by `bench kernels --accept`
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from bench.errors import StoreError
from kernels.cards.places import RESULTS


def local(results: Path = RESULTS) -> Path:
    """Return the folder of the files that belong to this checkout alone."""
    return results / "local"


LOCAL = local()
ACCEPTED = RESULTS / "kernels" / "accepted.json"


def saved_folder() -> Path:
    """Return the folder of the baselines that `--save` keeps, each under its name."""
    return LOCAL / "saved"


def new_run_folder(name: str) -> Path:
    """Return a folder for a new run. Its number gives the order: clocks go back, and two runs may share a second."""
    number = max((number for number, _ in _run_folders(name)), default=0) + 1
    return LOCAL / f"{name}-{datetime.now():%Y%m%d-%H%M%S}-{number}"


def latest_run_folder(name: str, fits: Callable[[Path], bool] = lambda folder: True) -> Path:
    """Return the folder of the newest run of this name that `fits`. Raises StoreError where there is none."""
    folder = next((folder for _, folder in reversed(_run_folders(name)) if fits(folder)), None)
    if folder is None:
        raise StoreError(f"no earlier results of {name} to resume; name their folder with -o")
    return folder


def _run_folders(name: str) -> list[tuple[int, Path]]:
    """Return number and path of this plan's folders in order."""
    places = ((split_run_name(path.name), path) for path in LOCAL.glob("*"))
    return sorted((parts[1], path) for parts, path in places if parts and parts[0] == name)


def split_run_name(name: str) -> tuple[str, int] | None:
    """Return what a run's folder is named for and its number, 0 of an old folder without one; None of another name."""
    match = re.fullmatch(r"(.+)-\d{8}-\d{6}(?:-(\d+))?", name)
    return (match[1], int(match[2] or 0)) if match else None
