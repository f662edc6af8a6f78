"""The series of cases over commits, as a store of results has them."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.errors import UNDECIDED, StoreError
from bench.machine.environment import hardware
from bench.records.again import command_at_commits
from bench.records.frame import Damage, load
from bench.records.places import MARK
from bench.records.same import FIELDS, SERIES, Kind
from bench.records.store import FILE
from bench.stats import Ratio
from bench.text import plural
from bench.verdicts.metrics import METRICS, PROCESS, Metric

if TYPE_CHECKING:
    from pandas import DataFrame

# columns of the frame: each combination of their values is a machine, with a series for itself
MACHINE = tuple(row.column for row in SERIES if row.column)
# a difference in one of these columns between two points may be the reason of a change
SOFTWARE = tuple(row.column for row in FIELDS if row.kind in (Kind.SOFTWARE, Kind.EXTRAS) and row.column)
# of the frame, too: what a point has of the last row of its commit
OF_POINT = ("case", "git_sha", "started", "plan", "input", "weights_from")


@dataclass(frozen=True)
class Point:
    """A commit, with the median of its rounds in the metric's unit."""

    sha: str
    when: Any  # of its first round
    value: float
    rounds: int
    plan: str
    seed: int
    source: str  # of the pictures
    weights: str  # where they come from
    software: dict[str, str]
    choices: str = ""  # as the frame's column has them
    low: float | None = None  # the least and the greatest of its rounds, where there are several
    high: float | None = None


def command_between(first: Point, last: Point, case: str) -> str:
    """Return the command that measures the commits of two points again, in turns."""
    commits = first.sha[:12], last.sha[:12]
    return command_at_commits(*commits, case, first.plan, last.seed, last.source, last.weights, last.choices)


def software_between(first: Point, last: Point) -> dict[str, tuple[str, str]]:
    """Return the versions at two points of what is not the same at both; a version that one lacks differs from none."""
    versions = {name: (first.software.get(name, new), new) for name, new in last.software.items()}
    return {name: (old, new) for name, (old, new) in versions.items() if old != new}


@dataclass(frozen=True)
class Change:
    """A change of a series' level between two neighbouring points."""

    before: Point
    after: Point
    ratio: Ratio  # the level after over that before; rounds: the points of both
    p: float  # over all splits of all series of the report
    worse: bool
    software: dict[str, tuple[str, str]]  # name -> versions before and after, of what changed with it
    # the point before the first commit that may have begun it, and the last such commit's
    earliest: Point
    latest: Point
    old: bool = False  # from before what the reader asked for
    acknowledged: str = ""  # the reason for which it is accepted
    mended: str = ""  # the commit of a later change that took one for the worse back

    def confirm(self, case: str) -> str:
        """Return the command that measures the two commits again, in turns."""
        return command_between(self.before, self.after, case)


@dataclass
class Series:
    """One metric of one case on one machine, in the order of the commits."""

    case: str
    metric: str
    machine: str
    points: list[Point]
    changes: list[Change] = field(default_factory=list)
    spikes: list[Point] = field(default_factory=list)
    choices: str = ""  # that tell it from another of its case
    unsure: str = ""  # of newest points that differ from the level before, and are too few for a change
    confirm: str = ""  # the command that measures the newest of these again, and the last before them
    flips: int = 0  # between two levels, where these are the noise
    noise: float = 0.0  # relative standard deviation of a point; 0 where points are too few
    detectable: float | None = None  # the least relative change that is detected in nine of ten, as it ends now

    @property
    def name(self) -> str:
        return self.case + (f" ({self.choices})" if self.choices else "")

    @property
    def values(self) -> list[float]:
        return [point.value for point in self.points]


def read_series(
    stores: Iterable[Path], metrics: Iterable[str], order: Mapping[str, int] | None = None, shallow: bool = False
) -> list[Series]:
    """Return the series of every case in some stores, not judged.

    `order` is the place of each commit by its full name. Where it has none of the stores' commits, they are in the
    order in which they were first measured; where it has some, the others are left out, with a warning, as their
    place is not known. Rows measured with uncommitted changes are left out, with a warning, too. Raises StoreError
    where any commit's place is missing as the clone is `shallow`: those are in the history, and their times may be in
    another order.
    """
    frame = load(*results_folders(stores))
    frame = frame[(frame["status"] == "ok") & frame["git_sha"].notna()]
    if dirty := int((changed := frame["git_dirty"].fillna(False).astype(bool)).sum()):
        what = f"{dirty} {plural(dirty, 'record')} measured with uncommitted changes, so of no commit"
        warnings.warn(
            f"left out: {what}: `git status` where they are measured shows what changed", Damage, stacklevel=3
        )
    frame = frame[~changed]
    commits = set(map(str, frame["git_sha"].unique()))
    unknown = commits - (order or {}).keys()
    if unknown and shallow and len(commits) > 1:
        raise StoreError(
            f"the order of {len(unknown)} of these commits is not known, as this clone is shallow: "
            "`git fetch --unshallow` brings it (fetch-depth: 0 in a workflow)",
            UNDECIDED,
        )
    if order and unknown and len(unknown) < len(commits):
        some = f"{min(unknown)[:10]}{' and others' if len(unknown) > 1 else ''}"
        what = f"{len(unknown)} {plural(len(unknown), 'commit')} that this checkout lacks ({some})"
        warnings.warn(f"left out: {what}: `git fetch` may bring their place in the history", Damage, stacklevel=3)
        frame = frame[~frame["git_sha"].isin(unknown)]
    return [series for name in metrics for series in _series(frame, name, METRICS[name], order or {})]


def _series(frame: DataFrame, name: str, metric: Metric, order: Mapping[str, int]) -> list[Series]:
    value = sum(frame[column].astype("float64") for column in metric.columns) / metric.scale
    way = choices = frame["choices"].astype("object").fillna("")
    if metric.alike == PROCESS:
        way = choices.mask(frame["process"] == "forked", (choices + ", forked").str.removeprefix(", "))
    seed = frame["seed"].fillna(0)
    rows = frame[[*OF_POINT, *MACHINE, *SOFTWARE]].assign(value=value, choices=choices, way=way, seed=seed)
    rows = rows[rows["value"] > 0]
    ways = rows[["case", "way"]].drop_duplicates()
    several = set(ways["case"][ways["case"].duplicated()])
    keys = rows.groupby(["case", "way", *MACHINE], observed=True, dropna=False, sort=False)
    rows = rows.assign(series=keys.ngroup())
    commits = rows.groupby(["series", "git_sha"], observed=True, sort=False)
    over_rounds = {"value": commits["value"].transform("median"), "started": commits["started"].transform("min")}
    over_rounds |= {"low": commits["value"].transform("min"), "high": commits["value"].transform("max")}
    rows = rows.assign(commit=commits.ngroup(), rounds=commits["value"].transform("size"), **over_rounds)
    series: dict[int, Series] = {}
    versions: dict[tuple[Any, ...], dict[str, str]] = {}
    points: Iterable[Any] = rows.drop_duplicates("commit", keep="last").sort_values("commit").itertuples(index=False)
    for row in points:
        if row.series not in series:
            machine = hardware(str(row.device), row.gpu, row.cpu, row.cores)
            words = (row.way or "as usual") if row.case in several else ""
            series[row.series] = Series(str(row.case), name, machine, [], choices=words)
        series[row.series].points.append(_point(row, versions))
    for one in series.values():
        one.points.sort(key=lambda point: (order.get(point.sha, len(order)), point.when))
    return list(series.values())


def _point(row: Any, versions: dict[tuple[Any, ...], dict[str, str]]) -> Point:
    """Return the point of the last row of a commit; `versions` has the one dict of all points of equal software."""
    words = tuple(getattr(row, name) for name in SOFTWARE)
    if words not in versions:
        versions[words] = {name: word for name, word in zip(SOFTWARE, words, strict=True) if isinstance(word, str)}
    source, weights = (word if isinstance(word, str) else "" for word in (row.input, row.weights_from))
    of_rounds = row.started, row.value, row.rounds
    low, high = (float(row.low), float(row.high)) if row.rounds > 1 else (None, None)
    plan, seed, software = str(row.plan), int(row.seed), versions[words]
    return Point(str(row.git_sha), *of_rounds, plan, seed, source, weights, software, row.choices, low, high)


# ---- folders of results


def results_folders(stores: Iterable[Path]) -> list[Path]:
    """Return every results folder in some stores, themselves and linked ones included, and stores that are files.

    Raises StoreError for a store without any.
    """
    folders: dict[Path, None] = {}
    for store in stores:
        folders_inside = _folders_inside(store) if store.is_dir() else []
        # a saved baseline is the copy of a run, which counts once
        inside = [folder for folder in folders_inside if folder == store or not (folder / MARK).exists()]
        if store.is_file() and store.suffix in (".jsonl", ".parquet"):
            inside = [store]
        if not inside:
            raise StoreError(f"{store} holds no {FILE}, and no folder that does: is it a store of results?")
        folders |= dict.fromkeys(inside)
    return list(folders)


def _folders_inside(store: Path) -> list[Path]:
    """Return the folders in a store that hold records, each once, however many links lead to it."""

    def unread(error: OSError) -> None:
        warnings.warn(f"{error.filename}: left out: {error.strerror}", Damage, stacklevel=4)

    folders, seen = [], set[str]()
    for folder, names, files in os.walk(store, onerror=unread, followlinks=True):
        names.sort()
        if (real := os.path.realpath(folder)) in seen:
            names.clear()  # a link to a folder around it would lead on for ever
        elif FILE in files:
            folders.append(Path(folder))
        seen.add(real)
    return sorted(folders)
