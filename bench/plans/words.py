"""Labels and summaries of cases, and the globs that match their names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cache
from typing import TypeVar

from bench.errors import ArgumentError
from bench.plans.case import Case
from bench.text import at_pixels

NEAR = 4  # near misses that a sentence names
W = TypeVar("W", str, str | int)


def label(case: Case) -> str:
    """Return a case's variant, precision and, if it is a graph, launch: `fused/fp16/graph`."""
    return "/".join((case.variant, case.precision, *(("graph",) if case.launch == "graph" else ())))


def variant_cell(case: Case) -> str:
    """Return a case's variant as in the first column of tables: `fused+graph`."""
    return case.variant + ("+graph" if case.launch == "graph" else "")


def heading(model: str, image: int, machine: str) -> str:
    """Return the heading of a group of cases: the model, its image size if unusual, the machine."""
    return f"{model}{at_pixels(image)} on {machine}"


def matches(name: str, globs: Iterable[str]) -> bool:
    """Return whether a case's or layer's name matches one of `globs`, or there are none.

    A glob is a run of whole segments of the name, in each of which `*`, `?` and `[...]` match as in a shell: `b1` is
    not `b128`, `fused` is not `library-fused`, which `*fused` is.
    """
    patterns = list(globs)
    return not patterns or any(_has_run(name.split("/"), _segments(glob)) for glob in patterns)


def narrow(names: Iterable[str], only: Iterable[str], exclude: Iterable[str] = (), of: object = "this") -> list[str]:
    """Return the names that match a glob of `only` (all without one) and none of `exclude`, in their order.

    `of` says in errors what the names are of. Raises ArgumentError, with near misses, for a glob that matches no name,
    and where no name is left.
    """
    everything, only, exclude = list(names), list(only), list(exclude)
    for glob in (*only, *exclude):
        if not any(matches(name, [glob]) for name in everything):
            raise ArgumentError(f"no case of {of} matches {glob}{near_misses(glob, everything)}")
    left = [name for name in everything if matches(name, only) and not (exclude and matches(name, exclude))]
    if not left and everything:
        raise ArgumentError(f"--exclude {' --exclude '.join(exclude)} leaves no case of {of}")
    return left


def near_misses(glob: str, names: Iterable[str]) -> str:
    """Return ` (near it: ...)` with what in `names` comes near to a glob that matches none; else the first name.

    For a segment that no name has, these are the segments that contain it or are spelled like it; else the names with
    the most of the glob's segments.
    """
    by_name = {name: name.split("/") for name in names}
    every = list(dict.fromkeys(segment for segments in by_name.values() for segment in segments))
    near: list[str] = []
    for wanted in _segments(glob):
        if not any(fnmatchcase(segment, wanted) for segment in every):
            plain = wanted.strip("*")
            near += [segment for segment in every if plain and plain in segment] or _spelled_like(plain, every)
    if not near:
        counts = {
            name: sum(any(fnmatchcase(segment, wanted) for segment in segments) for wanted in _segments(glob))
            for name, segments in by_name.items()
        }
        near = sorted((name for name in counts if counts[name]), key=lambda name: -counts[name])
    if near:
        return f" (near it: {', '.join(dict.fromkeys(near[:NEAR]))})"
    first, *others = by_name or ["none"]
    return f"; it has {first}" + (f" and {len(others)} more" if others else "")


def _spelled_like(word: str, segments: list[str]) -> list[str]:
    """Return the segments that are spelled like a word, or have a part that is: library-fused for fusd."""
    parts = {part for segment in segments for part in (segment, *segment.split("-"))}
    near = get_close_matches(word, sorted(parts), n=NEAR)
    return [segment for part in near for segment in segments if part == segment or part in segment.split("-")]


def _has_run(segments: list[str], wanted: Sequence[str]) -> bool:
    """Return whether `wanted`, globs of one segment each, match that many segments in a row."""
    return any(all(map(fnmatchcase, segments[first:], wanted)) for first in range(len(segments) - len(wanted) + 1))


@cache
def _segments(glob: str) -> tuple[str, ...]:
    return tuple(glob.strip("/").split("/"))


def summarize_cases(cases: list[Case]) -> str:
    """Summarize cases by all values of each axis, in text that wraps at 80 columns."""
    if len(cases) == 1:
        return cases[0].name
    values = [
        ", ".join(dict.fromkeys(str(getattr(case, axis)) for case in cases))
        for axis in ("model", "variant", "precision", "launch")
    ]
    values.insert(3, "batch " + ", ".join(dict.fromkeys("max" if case.largest else str(case.batch) for case in cases)))
    return f"{len(cases)} cases ({'; '.join(values)})"


def as_list(words: W | Iterable[W]) -> list[W]:
    """Return `words` as a list, and a single string or number as a list of one."""
    return [words] if isinstance(words, str | int) else list(words)
