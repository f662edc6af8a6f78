"""Plant each fault in a copy of the checkout, and show which test turns red: `make mutants`.

    python -m tests.mutants               # all of them
    python -m tests.mutants gate sweep    # those whose names begin so

A mutant is a patch in this folder, with its line of context. Its first line says what is broken, the second which tests
have to notice: `tests: FILE...`. A fault that they do not notice, and a patch that fits no more, end with exit code 1.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.repositories import copy_checkout

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Mutant:
    """A fault: what it breaks, in words, and the tests that have to fail with it."""

    patch: Path
    fault: str
    tests: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.patch.stem


def mutants(prefixes: tuple[str, ...] = ()) -> list[Mutant]:
    """Those whose names begin with one of the prefixes; all without any. A patch without a head is a ValueError."""
    chosen = []
    for patch in sorted(HERE.glob("*.patch")):
        if prefixes and not patch.stem.startswith(prefixes):
            continue
        head = re.match(r"(.+)\ntests: (.+)\n", patch.read_text())
        if head is None:
            raise ValueError(f"{patch.name} does not begin with a sentence and a line `tests: FILE...`")
        chosen.append(Mutant(patch, head[1], tuple(head[2].split())))
    return chosen


def apply(mutant: Mutant, folder: Path, *options: str) -> str:
    """What git says against the patch: empty where it fits."""
    command = ["git", "apply", *options, str(mutant.patch)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr.strip()


@cache
def red_before(tests: tuple[str, ...], folder: Path) -> str | None:
    """The first of these tests that fails without any fault: such a test would notice everything."""
    return first_red(tests, folder)


def first_red(tests: tuple[str, ...], folder: Path) -> str | None:
    """The first test that fails in the folder, by pytest's name."""
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--tb=no", "-p", "no:cacheprovider", *tests]
    # Where the checkout is installed as editable, the copy has to come before it, in children too.
    environment = {name: text for name, text in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    red = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", done.stdout, re.M)
    if red is None and done.returncode:
        raise RuntimeError(f"pytest ended with {done.returncode}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return red[1] if red else None


def judge(mutant: Mutant, folder: Path) -> tuple[bool, str]:
    """Whether a test notices the fault, planted in the folder and taken out again; and a line that says which."""
    if before := red_before(mutant.tests, folder):
        return False, f"{mutant.name}: {before} fails without the fault"
    if refusal := apply(mutant, folder):
        return False, f"{mutant.name} does not fit: {refusal}"
    red = first_red(mutant.tests, folder)
    apply(mutant, folder, "--reverse")
    if red is None:
        return False, f"{mutant.name} SURVIVES {' '.join(mutant.tests)}: {mutant.fault}"
    return True, f"{mutant.name}: {red}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", help="the beginnings of names; all mutants without")
    chosen, caught = mutants(tuple(parser.parse_args().names)), 0
    with tempfile.TemporaryDirectory() as name:
        copy_checkout(Path(name))
        for mutant in chosen:
            noticed, line = judge(mutant, Path(name))
            caught += noticed
            print(line, flush=True)
    print(f"{caught} of {len(chosen)} planted faults turn a test red")
    return 0 if chosen and caught == len(chosen) else 1


if __name__ == "__main__":
    sys.exit(main())
