"""What two checkouts' code costs, in turns: A B B A, a process each, its CPU seconds and its peak memory.

    with sides("25ce197") as (base, head):
        spent = alternate([partial(spend, ["python", "-m", "bench", "--help"], side) for side in (base, head)], 10)
        before, after = ([one.cpu_s for one in runs] for runs in spent)
        print(ratio_of(after, before))

What two processes of a machine share, its cores and its clock, differs from one minute to the next; by turns both sides
have the same share of it, and a pair of neighbours gives a ratio.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import log
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryFile
from typing import IO, TypeVar

from bench.files import owned_folder
from bench.machine.environment import ROOT, child_variables
from bench.machine.facts import Commit
from bench.machine.provenance import commit_of
from bench.runs.snapshot import WORKING_TREE
from bench.runs.worktree import checkouts
from bench.stats import Ratio, ratio

LAUNCHER = Path(__file__).with_name("launcher.py")
LIMIT_S = 600.0
END_S = 15.0  # that a command has to end in order
KIB_A_MIB = 1024
CACHES = (
    "RESNET_CACHE",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
)  # what one side's code wrote the other may read
T = TypeVar("T")


class CostError(Exception):
    """A command that was to be measured failed: its end is in the message."""


@dataclass(frozen=True)
class Side:
    """A checkout whose code is run: `python` runs it, `variables` are set for it, `commit` is what it has."""

    name: str
    root: Path
    python: str = sys.executable
    variables: Mapping[str, str] = field(default_factory=dict)
    commit: Commit | None = None


@dataclass(frozen=True)
class Spent:
    """What a command took with all processes that it started; the peak is that of the largest one of them."""

    cpu_s: float
    peak_mib: float
    wall_s: float
    stdout: str


def spend(
    argv: Sequence[str], side: Side, variables: Mapping[str, str] | None = None, codes: Sequence[int] = (0,)
) -> Spent:
    """Run a command in a checkout, and return what it cost; the word `python` is the side's interpreter.

    Raises CostError where it ends with none of `codes`, or after LIMIT_S.
    """
    words = [side.python if word == "python" else word for word in argv]
    environment = child_variables(side.root) | dict(side.variables) | dict(variables or {})
    read, write = os.pipe()
    with TemporaryFile() as out, TemporaryFile() as errors, os.fdopen(read) as answer:
        try:
            launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(write), *words], cwd=side.root, env=environment,
                stdin=subprocess.DEVNULL, stdout=out, stderr=errors, pass_fds=[write], start_new_session=True,
            )  # fmt: skip
        finally:
            os.close(write)
        with _ended(launcher):
            launcher.wait(LIMIT_S)
        code, wall_s, cpu_s, peak_kib = ([*map(float, answer.read().split())] + [0.0] * 4)[:4]
        texts = [_whole(file) for file in (out, errors)]
    if launcher.returncode or code not in codes:
        lines = [line for text in texts for line in text.splitlines() if any(map(str.isalnum, line))]
        raise CostError(f"{' '.join(argv)} of {side.name} ends with {code:g}: {' / '.join(lines[-3:])}")
    return Spent(cpu_s, peak_kib / KIB_A_MIB, wall_s, texts[0])


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


@contextmanager
def _ended(launcher: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the command if this process is interrupted, or if it takes too long, which raises CostError."""
    try:
        yield
    except subprocess.TimeoutExpired:
        raise CostError(f"no end after {LIMIT_S:.0f} s: {launcher.args!r}") from None
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):  # in order first, then by force
            if launcher.poll() is None:
                os.killpg(launcher.pid, number)
                with suppress(subprocess.TimeoutExpired):
                    launcher.wait(END_S)


def alternate(works: Sequence[Callable[[], T]], repeats: int) -> list[list[T]]:
    """Return what each of some works gives, `repeats` times, in turns: A B, B A, A B and so on."""
    given: list[list[T]] = [[] for _ in works]
    for turn in range(repeats):
        places = range(len(works))
        for place in places if turn % 2 == 0 else reversed(places):
            given[place].append(works[place]())
    return given


def ratio_of(after: Sequence[float], before: Sequence[float]) -> Ratio:
    """Return the ratio of values of the same turns, with its 95 % interval from two turns on."""
    return ratio(list(zip(after, before, strict=True)))


def exponent(sizes: Sequence[float], values: Sequence[float]) -> float:
    """Return the power of the size that the values grow by: the slope of their logarithms, by least squares."""
    xs, ys = [log(size) for size in sizes], [log(value) for value in values]
    middle = fmean(xs)
    return sum((x - middle) * y for x, y in zip(xs, ys, strict=True)) / sum((x - middle) ** 2 for x in xs)


@contextmanager
def sides(base: str, repository: Path = ROOT) -> Iterator[tuple[Side, Side]]:
    """Check out a commit and the working tree as it is now, each with caches of its own, until the end of the block.

    `bench.runs.worktree.checkouts` makes both, so neither has bytecode, and later edits change nothing.
    """
    with (
        checkouts([base, WORKING_TREE], lambda text: print(text, file=sys.stderr), repository) as pair,
        owned_folder("costs") as folder,
    ):
        made = []
        for checkout, name in zip(pair, ("before", "after"), strict=True):
            caches = {variable: str(folder / name / variable.lower()) for variable in CACHES}
            home = checkout.home
            made.append(Side(name, home.root, home.python, home.variables | caches, checkout.provenance))
        yield made[0], made[1]


def this_checkout(name: str = "after") -> Side:
    """Return the checkout that this file is in, with the caches of its user."""
    return Side(name, ROOT, commit=commit_of(ROOT))
