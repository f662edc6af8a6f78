"""Lines to rows: the records of a stretch of a file as Arrow, a long one parsed by several processes.

Two thirds of the time goes to `json.loads`, at 80 MB a second on a core of an AMD EPYC. To cut the samples out of the
text and have numpy read them would halve it, past `Record.parse` and its upgrades: not for what happens to a line once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.errors import RecordError
from bench.machine.environment import child_variables
from bench.records.columns import schema, values
from bench.records.record import Record

RANGE = 16 << 20  # bytes of lines parsed at once: what bounds the memory
HELPED = 4  # ranges that are worth the half second a process takes to start


@dataclass
class Part:
    """The rows (Arrow) of consecutive lines, how many lines, which were left out, and the offset they end at."""

    rows: Any
    lines: int
    damage: list[tuple[int, str]]  # number of the line, from 1, and what is wrong with it
    end: int


def parse(file: Path, start: int, stop: int, samples: bool) -> Part:
    """The lines between two offsets."""
    import pyarrow as pa

    with file.open("rb") as data:
        data.seek(start)
        text = data.read(stop - start)
    kinds = schema(samples, inner=True)
    row = values(kinds.names)
    rows: list[list[Any]] = []
    damage = []
    for number, line in enumerate(text.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(row(Record.parse(line.decode())))
        except UnicodeDecodeError:
            damage.append((number, "is not UTF-8 text"))
        except RecordError as error:
            damage.append((number, str(error)))
    found = zip(*rows, strict=True) if rows else ([] for _ in kinds)
    arrays = [pa.array(column, field.type) for column, field in zip(found, kinds, strict=True)]
    return Part(pa.record_batch(arrays, schema=kinds), text.count(b"\n"), damage, stop)


def _ranges(file: Path, start: int, stop: int) -> list[tuple[int, int]]:
    """Offsets that cut a stretch of a file at ends of lines, into pieces of RANGE bytes and a line at most."""
    found = []
    with file.open("rb") as data:
        while start < stop:
            data.seek(start + RANGE)
            data.readline()
            found.append((start, min(data.tell(), stop)))
            start = found[-1][1]
    return found


def parts(file: Path, start: int, stop: int, samples: bool) -> Iterator[Part]:
    """The lines between two offsets, range by range; those of a long stretch by several processes."""
    ranges = _ranges(file, start, stop)
    count = min(_cores(), len(ranges) // HELPED)
    with ExitStack() as stack:
        helpers: list[_Helper] = []
        if count > 1:
            with suppress(OSError):  # where no process can be started, this one does it all
                helpers = [stack.enter_context(_Helper(file, ranges[k::count], samples)) for k in range(count)]
        for number, (first, last) in enumerate(ranges):
            part = helpers[number % count].hear() if helpers else None
            # a helper that died (of want of memory) costs time alone
            yield part if part and part.end == last else parse(file, first, last, samples)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Helper:
    """A process that parses ranges, one after the other, no further ahead than a pipe holds.

    Not multiprocessing: its children import the caller's main module anew, or are forks of a process with threads.
    """

    def __init__(self, file: Path, ranges: list[tuple[int, int]], samples: bool) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-P", "-c", "from bench.records.parse import _help; _help()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=child_variables(),
            start_new_session=True,  # Ctrl-C is the parent's to handle
        )
        self.stream: Any = None
        assert self.child.stdin
        with suppress(BrokenPipeError), self.child.stdin as pipe:
            pipe.write(json.dumps([str(file), ranges, samples]).encode())

    def hear(self) -> Part | None:
        """The next of its ranges; None if it died."""
        import pyarrow as pa

        try:
            self.stream = self.stream or pa.ipc.open_stream(self.child.stdout)
            rows, told = self.stream.read_next_batch_with_custom_metadata()
            return Part(rows, **json.loads(told[b"bench"]))
        except (OSError, StopIteration, pa.ArrowException):
            return None

    def __enter__(self) -> _Helper:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        self.child.wait()
        assert self.child.stdout
        self.child.stdout.close()


def _help() -> None:
    """What a helper does."""
    import pyarrow as pa

    file, ranges, samples = json.load(sys.stdin)
    with pa.ipc.new_stream(sys.stdout.buffer, schema(samples, inner=True)) as stream:
        for start, stop in ranges:
            part = parse(Path(file), start, stop, samples)
            told = {"lines": part.lines, "damage": part.damage, "end": part.end}
            stream.write_batch(part.rows, custom_metadata={"bench": json.dumps(told)})
