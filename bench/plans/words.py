"""Cases in few words: the way one runs its model, several of them together, a group's heading."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

from bench.plans.case import Case
from bench.text import at_pixels
from resnet.variants import RENAMED, warn_renamed


def way(case: Case) -> str:
    """The variant and the precision, with `graph` where it is launched as one: `fused/fp16/graph`."""
    return "/".join((case.variant, case.precision, *(("graph",) if case.launch == "graph" else ())))


def variant_cell(case: Case) -> str:
    """The variant as a table's first column has it: `fused+graph`."""
    return case.variant + ("+graph" if case.launch == "graph" else "")


def heading(model: str, image: int, machine: str) -> str:
    """Of a group of cases: the model, its image size where it is not the usual, the machine."""
    return f"{model}{at_pixels(image)} on {machine}"


def matches(name: str, globs: Iterable[str]) -> bool:
    """Whether a case or a layer, by its name, matches a glob, which may leave out the ends; without globs all do."""
    patterns = list(globs)
    return not patterns or any(fnmatchcase(name, f"*{_with_new_names(glob)}*") for glob in patterns)


@cache
def _with_new_names(glob: str) -> str:
    """Return `glob` with the new name of each variant that it gives an old name, and say so on stderr."""
    for old, new in RENAMED.items():
        glob, count = re.subn(rf"(?<![\w-]){old}(?![\w-])", new, glob)
        if count:
            warn_renamed(old)
    return glob


def summary(cases: list[Case]) -> str:
    """Cases in few words, which a line of 80 columns can break: every word of each axis."""
    if len(cases) == 1:
        return cases[0].name
    words = [
        ", ".join(dict.fromkeys(str(getattr(case, axis)) for case in cases))
        for axis in ("model", "variant", "precision", "launch")
    ]
    words.insert(3, "batch " + ", ".join(dict.fromkeys("max" if case.largest else str(case.batch) for case in cases)))
    return f"{len(cases)} cases ({'; '.join(words)})"


def words(given: str | Iterable[str]) -> list[str]:
    """Several words, or one that was given alone: as letters it would mean something else."""
    return [given] if isinstance(given, str) else list(given)
