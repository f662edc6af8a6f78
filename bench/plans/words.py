"""Labels and summaries of cases, and the globs that match their names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from functools import cache

from bench.plans.case import Case
from bench.text import at_pixels
from resnet.variants import RENAMED, warn_renamed


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
    """Return whether a case's or layer's name matches one of `globs`, which may omit the ends, or there are none."""
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


def as_list(words: str | Iterable[str]) -> list[str]:
    """Return `words` as a list, and a single string as a list of one."""
    return [words] if isinstance(words, str) else list(words)
