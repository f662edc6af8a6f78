"""Two results folders compared: read, narrowed, and refused where they were not measured alike."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from bench.errors import FAILED, UNDECIDED, ArgumentError, BenchError
from bench.plans.words import as_list, narrow
from bench.records import comparable
from bench.records.places import results_at
from bench.verdicts.lists import Lists, kept, read_lists
from bench.verdicts.metrics import metric_named, metric_names

if TYPE_CHECKING:
    from bench.verdicts.compare import Comparison

Sides = tuple[Lists, Lists]


def compare(
    base: str | Path,
    head: str | Path,
    *,
    cases: str | Iterable[str] = (),
    metrics: str | Iterable[str] = (),
    minimums: Mapping[str, float] | None = None,
    allow: str | Iterable[str] = (),
) -> Comparison:
    """Compare each case and metric of `head` with `base`: SLOWER, FASTER, SAME or AMBIGUOUS.

    `base` and `head` are results folders, or names that `--save` gave. `cases` are globs that narrow both; `metrics`
    are the metrics compared, all where none is named; `minimums` are metrics' minimum effects, relative (0.02 is 2 %);
    `allow` are fields that may differ (`torch`). Lines that cannot be read are left out, with a warning `Damage`.

        print(bench.compare("results/main", "results/mine").of("SLOWER"))

    Raises BenchError where the two have no case in common, and where they are not alike: of another machine, software,
    input or settings. Raises ArgumentError, a BenchError, for an unknown metric or field.
    """
    folders = results_at(base), results_at(head)
    sides = read_sides(*folders, as_list(cases))
    fields = comparable.parse_allowed(as_list(allow))
    return compare_sides(folders, sides, as_list(metrics), minimums or {}, fields)


def compare_sides(
    folders: tuple[Path, Path],
    sides: Sides,
    metrics: Collection[str],
    minimums: Mapping[str, float],
    allowed: Collection[str],
) -> Comparison:
    """Compare columns that `read_sides` gave; `allowed` are fields as `comparable.parse_allowed` gives them."""
    from bench.verdicts.compare import compare_lists

    names = metric_names(metrics)
    minimums = {metric_named(name): minimum for name, minimum in minimums.items()}
    if any(not 0 <= minimum < 10 for minimum in minimums.values()):
        raise ArgumentError("a minimum effect is relative, from 0 to 10: 0.02 is 2 %")
    differing, harmless = _differences(folders, sides)
    refused = [difference for difference in differing if difference.field not in allowed]
    if refused:
        fields = (difference.field for difference in refused)
        flags = " ".join(f"--allow {word}" for word in comparable.allow_words(fields))
        unlike = f"base and head are not alike ({'; '.join(map(str, refused))})"
        raise BenchError(f"{unlike}: measure both alike, or compare all the same with {flags}")
    comparison = compare_lists(*sides, names, minimums)
    comparison.allowed, comparison.harmless = [str(difference) for difference in differing], harmless
    return comparison


def read_sides(base: Path, head: Path, only: Collection[str], exclude: Collection[str] = ()) -> Sides:
    """Read both folders' rows of the cases that match, as `narrow` does; a glob may match on one side alone.

    Raises BenchError where they have no case in common.
    """
    if base.resolve() == head.resolve():
        raise BenchError(f"{base} and {head} are the same: name two results folders")
    both = _read(base), _read(head)
    cases = set(
        narrow(dict.fromkeys(case for side in both for case in side["case"]), only, exclude, f"{base} and {head}")
    )
    first, second = (kept(side, [case in cases for case in side["case"]]) for side in both)
    if not set(first["case"]) & set(second["case"]):
        sides = zip((base, head), both, strict=True)
        some = [
            f"{folder} has {min(side['case'])}{' and others' * (len(set(side['case'])) > 1)}" for folder, side in sides
        ]
        raise BenchError(f"{base} and {head} have no case in common{' that matches' * bool(only)}: {'; '.join(some)}")
    return first, second


def failing(comparison: Comparison, fail_on: Collection[str]) -> bool:
    """Return whether a gate fails: for a SLOWER or a new failure, and for `ambiguous` or `missing` where named.

    With `nothing` among `fail_on`, a gate reports and never fails.
    """
    if "nothing" in fail_on:
        return False
    undecided = "ambiguous" in fail_on and comparison.counts["AMBIGUOUS"] > 0
    return comparison.regressed or undecided or ("missing" in fail_on and bool(comparison.missing))


def gate_code(comparison: Comparison, fail_on: Collection[str]) -> int:
    """Return the exit code of a gate: FAILED where it fails, UNDECIDED where nothing could be judged, else 0.

    Nothing could be judged where rounds were missing, disturbed or unlike in every metric that varies, and where most
    cases got worse alike but none is SLOWER: between two sittings that is the machine, or the code, and in turns the
    code, though of no case by itself. Without a difference beyond their noise, and with rounds enough, cases are
    AMBIGUOUS, and the gate passes: no slowdown was shown.
    """
    if failing(comparison, fail_on):
        return FAILED
    undecided = not comparison.judged or bool(comparison.slowed_alike)
    return UNDECIDED if "nothing" not in fail_on and undecided else 0


def plan_of(side: Lists) -> str:
    """Return the name of the plan of all rows; empty if they are of several."""
    plans = set(side["plan"]) - {None}
    return str(plans.pop()) if len(plans) == 1 else ""


def _read(folder: Path) -> Lists:
    side = read_lists(folder)
    if not side["case"]:
        raise BenchError(f"{folder} has no record")
    return side


def _differences(folders: tuple[Path, Path], sides: Sides) -> tuple[list[comparable.FieldDifference], list[str]]:
    """Return the differences that forbid the comparison, and sentences on the harmless ones."""
    base, head = sides  # with what failed: on another machine it is no news of the code
    facts = comparable.read_sample_records(folders[0], base), comparable.read_sample_records(folders[1], head)
    return comparable.differing_fields(base, head, *facts), comparable.other_differences(*facts)
