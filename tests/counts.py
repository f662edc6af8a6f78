"""Count what this project says of its own source, and hold it to limits: `make counts`.

    python -m tests.counts                  # a row a room, then the totals beside their limits
    python -m tests.counts --base REVISION  # the same beside another commit's

A vague word is one of seven that say nothing of what a name holds; an underscore ends a word. Lines are those of files,
comments and blanks included. The time of the tests is that of the last run of all of them in this checkout.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import subprocess
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bench", "kernels", "resnet")
VAGUE = re.compile(r"(?<![a-z])(found|told|made|known|asked|held|own)(?![a-z])", re.IGNORECASE)
NOT_A_SENTENCE = ("What", "Whether", "Of", "As", "Why")  # how a docstring begins that does not say what a thing is
ONE_MEANING = ("run", "load")  # public functions that may have one definition each, whoever reads the name
LAST_RUN = ROOT / ".pytest_cache" / "v" / "suite" / "last"  # written by tests/conftest.py

# name -> (what it counts, the most that is allowed)
LIMITS = {
    "vague": ("vague words in 1,000 lines", 8),
    "lines": ("lines of source", 59_400),
    "openings": ("docstrings that begin with " + ", ".join(NOT_A_SENTENCE), 0),
    "meanings": ("second definitions of " + " and ".join(ONE_MEANING), 0),
    "test_s": ("seconds of the last whole run of the tests", 480),
}


@dataclass
class Counts:
    """The counts of some source files."""

    files: int = 0
    lines: int = 0
    vague: int = 0
    openings: int = 0
    longest_file: int = 0
    longest_function: int = 0

    def add(self, source: str) -> None:
        lines = source.count("\n")
        self.files += 1
        self.lines += lines
        self.vague += len(VAGUE.findall(source))
        self.longest_file = max(self.longest_file, lines)
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                self.longest_function = max(self.longest_function, (node.end_lineno or 0) - node.lineno + 1)
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Module):
                words = (ast.get_docstring(node) or "").split()
                self.openings += words[:1] != [] and words[0] in NOT_A_SENTENCE

    def cells(self) -> tuple[int | str, ...]:
        per_thousand = f"{1000 * self.vague / max(1, self.lines):.1f}"
        return self.files, self.lines, per_thousand, self.openings, self.longest_file, self.longest_function


HEADERS = ("files", "lines", "vague", "openings", "longest file", "longest function")


def sources(revision: str | None = None) -> dict[str, str]:
    """Path -> text of every Python file of the packages, here or at another commit."""
    if revision is None:
        paths = (path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py")))
        return {path.relative_to(ROOT).as_posix(): path.read_text() for path in paths}
    archive = subprocess.run(["git", "archive", revision, *PACKAGES], cwd=ROOT, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        members = (member for member in tar if member.isfile() and member.name.endswith(".py"))
        return {member.name: tar.extractfile(member).read().decode() for member in members}


def meanings(files: dict[str, str]) -> Counter[str]:
    """The public functions of modules by name; commands, whose names users type, are left out."""
    names: Counter[str] = Counter()
    for path, text in files.items():
        if not path.startswith("bench/cli/"):
            names.update(node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    return names


def totals(files: dict[str, str]) -> tuple[dict[str, Counts], dict[str, float]]:
    """The counts of each room and of all, and the figures that LIMITS names."""
    rooms: dict[str, Counts] = {}
    for path, text in files.items():
        for room in (str(Path(path).parent), "all"):
            rooms.setdefault(room, Counts()).add(text)
    every, defined = rooms["all"], meanings(files)
    figures = {
        "vague": 1000 * every.vague / every.lines,
        "lines": every.lines,
        "openings": every.openings,
        "meanings": sum(max(0, defined[name] - 1) for name in ONE_MEANING),
    }
    return rooms, figures


def last_run() -> dict[str, float]:
    try:
        return json.loads(LAST_RUN.read_text())
    except (OSError, ValueError):
        return {}


def table(rooms: dict[str, Counts], base: dict[str, Counts] | None) -> list[str]:
    names = [*sorted(room for room in rooms.keys() | (base or {}).keys() if room != "all"), "all"]
    lines = [f"{'room':28}" + "".join(f"{header:>18}" for header in HEADERS)]
    for name in names:
        cells = rooms.get(name, Counts()).cells()
        before = base.get(name, Counts()).cells() if base is not None else cells
        pairs = (f"{old} > {new}" if old != new else str(new) for old, new in zip(before, cells, strict=True))
        lines.append(f"{name:28}" + "".join(f"{pair:>18}" for pair in pairs))
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--base", metavar="REVISION", help="show another commit's counts before these")
    base_revision = parser.parse_args().base
    rooms, figures = totals(sources())
    base = totals(sources(base_revision)) if base_revision else None
    print("\n".join(table(rooms, base[0] if base else None)))
    mutants = len(list((ROOT / "tests" / "mutants").glob("*.patch")))
    last = last_run()
    if last:
        figures["test_s"] = last["seconds"]
    print(f"\ntests: {last.get('tests', 'not run here')}, planted faults: {mutants}")
    over = 0
    for name, (label, limit) in LIMITS.items():
        if name not in figures:
            continue
        before = f" (before: {base[1][name]:,.1f})" if base and name in base[1] else ""
        verdict = "over the limit of" if figures[name] > limit else "at most"
        over += figures[name] > limit and name != "test_s"  # a slower machine is no fault of the source
        print(f"{figures[name]:>10,.1f} {label}, {verdict} {limit:,}{before}")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
