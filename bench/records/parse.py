"""Lines to rows: the records of parts of files as Arrow; many are parsed by several processes.

A record of 5 KB takes some 0.16 ms on a core of an AMD EPYC (2026-11-29): half is its checks, a tenth its JSON, by
orjson. Fields that a sweep's records have alike are parsed and made cells once (`Record.parse`, `row_maker`); each line
is parsed only once.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from bench.machine.environment import PYTHON, child_variables, cores
from bench.records.columns import row_maker, schema
from bench.records.record import Record, parse_each
from kernels.cards.reading import lines_of, open_regular, pass_line

RANGE_BYTES = 16 << 20  # parsed at once: this bounds the memory
HELPER_BYTES = 4 * RANGE_BYTES  # fewer are not worth the half second that a process takes to start
Span = tuple[Path, int, int]  # a file, and two offsets at ends of its lines


@dataclass
class ParsedLines:
    """The rows (Arrow) of consecutive lines, the number of lines, those left out, and the offset of their end."""

    rows: Any
    lines: int
    damage: list[tuple[int, str, str, int]]  # number of the line, from 1, and its `LeftOut`
    end: int


def parse_lines(
    file: Path, start: int, stop: int, samples: bool, row_of: Callable[[Record], list[Any]] | None = None
) -> ParsedLines:
    """Parse the lines between two offsets of a file; `row_of` is the `row_maker` of the ranges before."""
    import pyarrow as pa

    columns = schema(samples, inner=True)
    row_of = row_of or row_maker(columns.names)
    rows, damage = list[list[Any]](), list[tuple[int, str, str, int]]()
    count = 0

    def counted(lines: Iterator[bytes]) -> Iterator[bytes]:
        nonlocal count
        for line in lines:
            count += 1
            yield line

    with open_regular(file) as data:
        for number, record in parse_each(counted(lines_of(data, start, stop))):
            if isinstance(record, Record):
                rows.append(row_of(record))
            else:
                damage.append((number, *record))
    transposed = zip(*rows, strict=True) if rows else ([] for _ in columns)
    arrays = [pa.array(column, field.type) for column, field in zip(transposed, columns, strict=True)]
    return ParsedLines(pa.record_batch(arrays, schema=columns), count, damage, stop)


def _ranges(file: Path, start: int, stop: int) -> list[tuple[int, int]]:
    """Return offsets that cut part of a file at ends of lines, into ranges of at most RANGE_BYTES and a line."""
    ranges = []
    with open_regular(file) as data:
        while start < stop:
            data.seek(start + RANGE_BYTES)
            pass_line(data, stop)
            ranges.append((start, min(data.tell(), stop)))
            start = ranges[-1][1]
    return ranges


def end_of_whole_lines(file: Path, start: int, size: int) -> int:
    """Return the offset after the last newline between two offsets; `start` if there is none."""
    with open_regular(file) as data:
        while size > start:
            first = max(start, size - (1 << 16))
            data.seek(first)
            newline = data.read(size - first).rfind(b"\n")
            if newline >= 0:
                return first + newline + 1
            size = first
    return start


def parse_parts(spans: Iterable[Span], samples: bool) -> Iterator[ParsedLines]:
    """Parse the lines between two offsets of each of some files, range by range; many bytes by several processes.

    The last part of a span ends where the span does; one without lines has no part.
    """
    ranges = [(file, *places) for file, start, stop in spans for places in _ranges(file, start, stop)]
    # a range of one endless line is no work that could be shared
    count = min(cores(), len(ranges) // 4, sum(end - begin for _, begin, end in ranges) // HELPER_BYTES)
    row_of = row_maker(schema(samples, inner=True).names)
    with ExitStack() as stack:
        helpers: list[_Helper] = []
        if count > 1:
            with suppress(OSError):  # where no process can be started, this one does it all
                helpers = [stack.enter_context(closing(_Helper(ranges[k::count], samples))) for k in range(count)]
        for number, (file, begin, end) in enumerate(ranges):
            part = helpers[number % count].receive() if helpers else None
            # what a helper that died (out of memory) did not send is parsed here
            yield part if part and part.end == end else parse_lines(file, begin, end, samples, row_of)


class _Helper:
    """A process that parses ranges, one after the other, no further ahead than a pipe holds.

    It is not multiprocessing's: those import the caller's main module anew, or are forks of a process with threads.
    """

    def __init__(self, ranges: list[Span], samples: bool) -> None:
        reader, writer = os.pipe()  # its stdout may have what others print there at an interpreter's start
        self.rows, self.stream = os.fdopen(reader, "rb"), cast(Any, None)
        try:
            self.child = subprocess.Popen(
                [*PYTHON, "-c", f"from bench.records.parse import _helper_main; _helper_main({writer})"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                pass_fds=(writer,),
                env=child_variables(),
                start_new_session=True,  # Ctrl-C is the parent's to handle
            )
        except OSError:
            self.rows.close()
            raise
        finally:
            os.close(writer)
        assert self.child.stdin
        with suppress(BrokenPipeError), self.child.stdin as pipe:
            pipe.write(json.dumps([ranges, samples], default=str).encode())

    def receive(self) -> ParsedLines | None:
        """Return the next of its ranges; None if it died."""
        import pyarrow as pa

        try:
            self.stream = self.stream or pa.ipc.open_stream(self.rows)
            rows, metadata = self.stream.read_next_batch_with_custom_metadata()
            return ParsedLines(rows, **json.loads(metadata[b"bench"]))
        except (OSError, StopIteration, pa.ArrowException):
            return None

    def close(self) -> None:
        self.child.kill()
        self.child.wait()
        self.rows.close()


def _helper_main(rows: int) -> None:
    """Parse the ranges that stdin names, and write them to the file descriptor `rows`: a helper process's program."""
    import pyarrow as pa

    ranges, samples = json.load(sys.stdin)
    row_of = row_maker(schema(samples, inner=True).names)
    with os.fdopen(rows, "wb") as file_of_rows, pa.ipc.new_stream(file_of_rows, schema(samples, inner=True)) as stream:
        for file, start, stop in ranges:
            part = parse_lines(Path(file), start, stop, samples, row_of)
            metadata = {"lines": part.lines, "damage": part.damage, "end": part.end}
            stream.write_batch(part.rows, custom_metadata={"bench": json.dumps(metadata)})
