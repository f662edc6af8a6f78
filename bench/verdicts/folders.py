"""Two results folders to verdicts: read, narrowed, refused where they are not alike, compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import ArgumentError, BenchError
from bench.plans.words import as_list, matches
from bench.records import comparable
from bench.records.frame import load
from bench.verdicts.metrics import METRICS, metric_named

if TYPE_CHECKING:
    from pandas import DataFrame

    from bench.verdicts.compare import Comparison

Sides = tuple["DataFrame", "DataFrame"]


def compare(
    base: str | Path,
    head: str | Path,
    *,
    cases: str | Iterable[str] = (),
    metrics: str | Iterable[str] = (),
    minimums: Mapping[str, float] | None = None,
    allow: str | Iterable[str] = (),
) -> Comparison:
    """Verdicts on each case and metric of `head` against `base`: SLOWER, FASTER, SAME or AMBIGUOUS.

    `base` and `head` are results folders. `cases` are globs that narrow both; `metrics` the metrics compared, all where
    none is named; `minimums` a metric's least change that is one, relative (0.02 is 2 %); `allow` fields that may
    differ (`torch`). Lines that cannot be read are left out, with a warning `Damage`.

        print(bench.compare("results/main", "results/mine").of("SLOWER"))

    Raises BenchError where the two have no case in common, and where they are not alike: of another machine, software,
    input or settings; ArgumentError, which is one, for a metric or a field that is none.
    """
    sides = matched(Path(base), Path(head), as_list(cases))
    least, fields = minimums or {}, comparable.parse_allowed(as_list(allow))
    return compared((Path(base), Path(head)), sides, as_list(metrics), least, fields)


def compared(
    folders: tuple[Path, Path],
    sides: Sides,
    metrics: Collection[str],
    minimums: Mapping[str, float],
    allowed: Collection[str],
) -> Comparison:
    """Compare frames that were read and narrowed; `allowed` are fields as `comparable.parse_allowed` gives them."""
    from bench.verdicts.compare import compare as compare_frames

    metrics, minimums = set(map(metric_named, metrics)), {metric_named(name): least for name, least in minimums.items()}
    if any(not 0 <= least < 10 for least in minimums.values()):
        raise ArgumentError("a least change is relative, from 0 to 10: 0.02 is 2 %")
    differing, told = _differences(folders, sides)
    refused = [one for one in differing if one.field not in allowed]
    if refused:
        flags = " ".join(f"--allow {field}" for field in comparable.allow_words(one.field for one in refused))
        said = "; ".join(map(str, refused))
        raise BenchError(
            f"base and head are not alike ({said}): measure both alike, or compare all the same with {flags}"
        )
    comparison = compare_frames(*sides, [name for name in METRICS if not metrics or name in metrics], minimums)
    comparison.allowed, comparison.told = [str(one) for one in differing], told
    return comparison


def matched(base: Path, head: Path, globs: list[str]) -> Sides:
    """Both folders' frames with the cases that match. Raises BenchError where they have none in common."""
    if base.resolve() == head.resolve():
        raise BenchError(f"{base} and {head} are the same: name two results folders")
    ours, theirs = (_matching(_load(folder), globs, folder) for folder in (base, head))
    cases = [set(frame["case"].unique()) for frame in (ours, theirs)]
    if not cases[0] & cases[1]:
        one, other = (sorted(names)[0] for names in cases)
        raise BenchError(f"{base} and {head} have no case in common: {one} and others; {other} and others")
    return ours, theirs


def failing(comparison: Comparison, fail_on: Collection[str]) -> bool:
    """Whether a gate ends red: for what is SLOWER or fails that did not, and for `ambiguous` or `missing` where named.

    `nothing` is for a gate that only tells.
    """
    if "nothing" in fail_on:
        return False
    undecided = "ambiguous" in fail_on and comparison.counts["AMBIGUOUS"] > 0
    return comparison.regressed or undecided or ("missing" in fail_on and bool(comparison.missing))


def plan_of(frame: DataFrame) -> str:
    """The plan of all rows; empty if they are of several."""
    plans = frame["plan"].dropna().unique()
    return str(plans[0]) if len(plans) == 1 else ""


def _load(folder: Path) -> DataFrame:
    frame = load(folder)
    if frame.empty:
        raise BenchError(f"{folder} holds no record")
    return frame


def _matching(frame: DataFrame, globs: list[str], folder: Path) -> DataFrame:
    """The rows whose case matches a glob; as in a plan, it may leave out the ends."""
    if not globs:
        return frame
    cases = [str(case) for case in frame["case"].unique()]
    kept = [case for case in cases if matches(case, globs)]
    if not kept:
        raise BenchError(f"no case of {folder} matches {', '.join(globs)}; it has {cases[0]} and {len(cases) - 1} more")
    return frame[frame["case"].isin(kept)]


def _differences(folders: tuple[Path, Path], sides: Sides) -> tuple[list[comparable.FieldDifference], list[str]]:
    """What forbids the comparison, and what else differs."""
    base, head = (frame[frame["status"] == "ok"] for frame in sides)
    facts = comparable.read_sample_records(folders[0], base), comparable.read_sample_records(folders[1], head)
    return comparable.differing_fields(base, head, *facts), comparable.other_differences(*facts)
