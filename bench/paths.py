"""Where things lie under results/ that are no card's: `kernels.cards.places` has those.

results/local/                          what this checkout ran, in no commit
results/local/quick-20260131-120000-7/  the records of a run that was given no folder
results/kernels/accepted.json           what `bench kernels --accept` wrote
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from bench.errors import StoreError
from kernels.cards.places import RESULTS


def local(results: Path = RESULTS) -> Path:
    """The folder of what belongs to this checkout alone."""
    return results / "local"


LOCAL = local()
ACCEPTED = RESULTS / "kernels" / "accepted.json"


def fresh(name: str) -> Path:
    """A folder for a new run. Its number tells the order, not its date: clocks go back, two runs share a second."""
    number = max((number for number, _ in _earlier(name)), default=0) + 1
    return LOCAL / f"{name}-{datetime.now():%Y%m%d-%H%M%S}-{number}"


def latest(name: str) -> Path:
    """The folder of the newest run of this name. Raises StoreError where there is none."""
    earlier = _earlier(name)
    if not earlier:
        raise StoreError(f"no earlier results of {name} to resume; name their folder with -o")
    return earlier[-1][1]


def _earlier(name: str) -> list[tuple[int, Path]]:
    """Number and path of this plan's folders, as they were begun; an old one without a number is before all."""
    folder = re.compile(rf"{re.escape(name)}-\d{{8}}-\d{{6}}(?:-(\d+))?")
    return sorted((int(m[1] or 0), path) for path in LOCAL.glob("*") if (m := folder.fullmatch(path.name)))
