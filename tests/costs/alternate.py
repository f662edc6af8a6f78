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
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import log
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryFile
from typing import IO, TypeVar

from bench.files import owned_folder
from bench.machine.environment import ROOT, child_variables
from bench.machine.facts import Commit
from bench.machine.provenance import CODE, GitError, commit_of, run_git
from bench.machine.snapshot import take_snapshot
from bench.runs.worktree import changed_files, resolve_commit
from bench.stats import Ratio, ratio

LAUNCHER = Path(__file__).with_name("launcher.py")
LIMIT_S = 1800.0
END_S = 15.0  # that a command has to end in order
KIB_A_MIB = 1024
# a cache a side, as one side's code must not read what the other's wrote
CACHES = (
    "RESNET_CACHE",
    "TORCHINDUCTOR_CACHE_DIR",
    "TRITON_CACHE_DIR",
)
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
        raise CostError(f"of {side.name}: it ends with {code:g}: {_last_words(*texts)}")
    return Spent(cpu_s, peak_kib / KIB_A_MIB, wall_s, texts[0])


def _whole(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _last_words(stdout: str, stderr: str) -> str:
    """Return the last line with words of what a command printed, without folders of this machine, which may be kept."""
    lines = [line for text in (stdout, stderr) for line in text.splitlines() if any(map(str.isalnum, line))]
    return re.sub(r"/\S*/(?=\S)", "", (lines or ["it printed nothing"])[-1]).strip("│ ")


@contextmanager
def _ended(launcher: subprocess.Popen[bytes]) -> Iterator[None]:
    """End the command if this process is interrupted, or if it takes too long, which raises CostError."""
    try:
        yield
    except subprocess.TimeoutExpired:
        raise CostError(f"it has not ended after {LIMIT_S:.0f} s") from None
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

    Both have their bytecode, and later edits change nothing. This interpreter runs both, with its packages, where
    `bench.runs.worktree.checkouts` would set up those that the commit requires. Raises RevisionError.
    """
    head = resolve_commit("HEAD", repository)
    snapshot = take_snapshot(repository, head)
    with owned_folder("costs") as folder:
        try:
            pair = []
            for name, commit in (("before", resolve_commit(base, repository)), ("after", snapshot)):
                root = folder / name
                run_git(repository, "worktree", "add", "--quiet", "--detach", str(root), commit, limit_s=LIMIT_S)
                caches = {variable: str(folder / f"{name}-caches" / variable.lower()) for variable in CACHES}
                pair.append(Side(name, root, sys.executable, caches, commit_of(root)))
                spend(
                    ["python", "-m", "compileall", "-q", *(name for name in CODE if (root / name).is_dir())], pair[-1]
                )
            dirty = bool(changed_files(head, snapshot, CODE, repository))
            yield pair[0], replace(pair[1], commit=commit_of(pair[1].root) | {"sha": head, "dirty": dirty})
        finally:
            for name in ("before", "after"):
                with suppress(GitError):
                    run_git(repository, "worktree", "remove", "--force", str(folder / name))
    with suppress(GitError):
        run_git(repository, "worktree", "prune")


def this_checkout(name: str = "after") -> Side:
    """Return the checkout that this file is in, with the caches of its user."""
    return Side(name, ROOT, commit=commit_of(ROOT))
