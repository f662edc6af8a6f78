"""How `bench history` and the page grow with the records of nightly runs, a folder a commit, 22 records each.

python -m tests.speed.history                           # every question at 550 to 4,400 records: 25 to 200 commits
python -m tests.speed.history history --sizes 550,4400  # with the options of `python -m tests.speed.scale`
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from tests.costs.alternate import Spent
from tests.speed.scale import Here, cost_of, main
from tests.speed.stores import measured, write_nightly, write_sweep

SIZES = (550, 1_100, 2_200, 4_400)


@cache
def nightly(size: int) -> Path:
    """Return a store of about so many records: at least of one commit."""
    store = Here.scratch / f"nightly-{size}"
    write_nightly(store, max(1, size // len(measured())))
    return store


@cache
def sweep(size: int) -> Path:
    """Return one folder of about so many records, of several models and batches."""
    folder = Here.scratch / f"sweep-{size}"
    write_sweep(folder, size)
    return folder


def history(store: Path, cache_folder: Path | None = None) -> Spent:
    """Return the cost of the history of a store."""
    return cost_of("-m", "bench", "history", store, "--json", cache_folder=cache_folder)


def page(*folders: Path, cache_folder: Path | None = None) -> Spent:
    """Return the cost of the page of some folders, and tell its size."""
    file = Here.scratch / "page.html"
    cost = cost_of("-m", "bench", "report", *folders, "--html", file, "--force", cache_folder=cache_folder)
    print(f"  {len(folders)} folders: a page of {file.stat().st_size / 1e6:.2f} MB", file=sys.stderr)
    return cost


def again(question: Callable[..., Spent], *places: Path) -> Spent:
    """Return what a question costs the second time, when its cache has what the first left."""
    folder = Path(tempfile.mkdtemp(dir=Here.scratch))
    question(*places, cache_folder=folder)
    cost = question(*places, cache_folder=folder)
    shutil.rmtree(folder)
    return cost


QUESTIONS: dict[str, Callable[[int], Spent]] = {
    "history": lambda size: history(nightly(size)),
    "history again": lambda size: again(history, nightly(size)),
    "page": lambda size: page(*sorted(nightly(size).iterdir())),
    "page again": lambda size: again(page, *sorted(nightly(size).iterdir())),
    "page of one": lambda size: page(sweep(size)),
}


if __name__ == "__main__":
    sys.exit(main(QUESTIONS, SIZES))
