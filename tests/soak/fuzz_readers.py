"""Spoilt records, imports, plans and other files put to every reader: none raises, hangs, or costs a whole record.

    python -m tests.soak.fuzz_readers --count 10000

prints as JSON how many files were put to the readers, how often these were called, and what went wrong. The files of
what went wrong are kept in --keep. A reader that takes LIMIT_S of processor time, or four times that of any, hangs.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
import tomllib
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import BenchError
from bench.records.comparable import FIELDS
from bench.records.frame import load
from bench.records.record import SCHEMA, Record, parse_each
from bench.records.store import FILE, Store
from tests.soak.mutations import spoilt, spoilt_bytes, spoilt_json, to_toml
from tests.soak.other_files import READERS

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = [ROOT / f"tests/bench/records/golden/schema{version}.jsonl" for version in range(1, SCHEMA + 1)]
LINES = [line for file in GOLDEN for line in file.read_text().splitlines()]
LINES += (ROOT / "results/cpu-quick" / FILE).read_text().splitlines()[::3]
SEEDS = [json.loads(line) for line in LINES]
GOOD = [json.dumps(data | {"round": 10_000 + place}) for place, data in enumerate(SEEDS[-6:])]
PLANS = [path.read_text() for path in sorted((ROOT / "bench/plans").glob("*.toml"))]
ALLOWED = [word for name in FIELDS for word in ("--allow", name)]
BATCH = 12  # spoilt lines in a folder that the commands read
LIMIT_S = 20
UNSAFE = {chr(code) for code in (*range(9), *range(11, 32), 127, *range(0x80, 0xA0), 0x202E, 0x200B)}


class Hang(BaseException):
    """Raised in a reader that takes too long."""


class Fuzz:
    """What was put to readers, and what went wrong, each with the folder that has the files."""

    def __init__(self, keep: Path) -> None:
        self.keep = keep
        self.files: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.places: Counter[tuple[str, ...]] = Counter()
        self.wrong: dict[str, list[str]] = {"tracebacks": [], "hangs": [], "lost records": [], "sent raw": []}
        signal.signal(signal.SIGVTALRM, self._stop)
        signal.signal(signal.SIGALRM, self._stop)

    @staticmethod
    def _stop(*_: Any) -> None:
        raise Hang

    def call(
        self, reader: str, function: Callable[[], Any], at: Path, allowed: tuple[type[Exception], ...] = ()
    ) -> Any:
        """Return what a reader returns; None where it raises what it may."""
        self.calls[reader] += 1
        signal.setitimer(signal.ITIMER_VIRTUAL, LIMIT_S)
        signal.setitimer(signal.ITIMER_REAL, 4 * LIMIT_S)
        try:
            return function()
        except Hang:
            self.report("hangs", reader, at, "".join(traceback.format_exc(limit=-4)))
        except (*allowed, BenchError):
            pass
        except Exception as error:
            self.report("tracebacks", reader, at, "".join(traceback.format_exception(error, limit=-6)))
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
        return None

    def report(self, what: str, reader: str, at: Path, text: str) -> None:
        """Keep the files of what went wrong, the first time that it did at this place in the source."""
        place = [line for line in text.splitlines() if line.startswith("  File")][-1:]
        self.places[what, *place] += 1
        if self.places[what, *place] > 1:
            return
        self.keep.mkdir(parents=True, exist_ok=True)
        kept = self.keep / f"{what.replace(' ', '-')}-{len(self.wrong[what])}"
        (shutil.copytree if at.is_dir() else shutil.copy)(at, kept)
        self.wrong[what].append(f"{reader}: {kept}\n{text}")

    def command(self, at: Path, *words: object) -> None:
        """Run a command in this process, and check that what it prints acts on no terminal."""
        result = self.call(f"bench {words[0]}", lambda: CliRunner().invoke(app, list(map(str, words))), at)
        if result is None:
            return
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            text = "".join(traceback.format_exception(result.exception, limit=-6))
            what = "hangs" if isinstance(result.exception, Hang) else "tracebacks"
            self.report(what, f"bench {' '.join(map(str, words))}", at, text)
        with suppress(UnicodeDecodeError):
            printed = UNSAFE & set((result.stdout_bytes + result.stderr_bytes).decode())
            if printed:
                self.report("sent raw", f"bench {' '.join(map(str, words))}", at, ascii(printed))

    def records(self, lines: list[bytes], draw: random.Random) -> None:
        """Put spoilt lines, beside good ones, to all that reads records."""
        self.files["records"] += len(lines)
        with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as name:
            base, head = Path(name, "base"), Path(name, "head")
            end = draw.choice((b"\n", b"\n", b"\n", b"\r\n", b"\r"))
            start, last = draw.choice((b"", b"\xef\xbb\xbf")), draw.choice((end, b""))
            good = [line.encode() for line in GOOD]
            for folder, chosen in ((base, good), (head, [*good[:3], *lines, *good[3:]])):
                folder.mkdir()
                (folder / FILE).write_bytes(start + end.join(chosen) + last)
            for line in lines:
                self.call("Record.parse", lambda line=line: list(parse_each([line])), head)
            self._nothing_lost(head)
            self._commands(base, head, draw)

    def _nothing_lost(self, head: Path) -> None:
        rounds = {json.loads(line)["round"] for line in GOOD}
        read = self.call("Store.read", Store(head).read, head)
        frames = [self.call("bench.load", partial(load, head, samples=samples), head) for samples in (False, True)]
        for reader, there in (
            ("Store.read", {record.round for record in read or ()}),
            *(("bench.load", set() if frame is None else set(frame["round"])) for frame in frames),
        ):
            if not rounds <= there:
                self.report("lost records", reader, head, f"without rounds {sorted(rounds - there)}")

    def _commands(self, base: Path, head: Path, draw: random.Random) -> None:
        forms: list[list[str]] = [[], ["--json"], ["--csv"], ["--markdown"]]
        self.command(
            head,
            "report",
            head,
            *draw.choice([*forms, ["--view", "energy"], ["--view", "accuracy"], ["--view", "tail"]]),
        )
        self.command(head, "compare", base, head, "--all", *ALLOWED, *draw.choice(forms))
        self.command(head, "recommend", head, *draw.choice([[], ["--p99-ms", "50"]]), *draw.choice(forms))
        self.command(head.parent, "history", head.parent, "--all", *draw.choice(forms))
        self.command(head, "capacity", head, *draw.choice(forms)) if draw.random() < 0.3 else None
        self.command(head, "export", head, "--format", draw.choice(("csv", "pytest-benchmark", "bencher")))
        self.command(head.parent, "report", head.parent, *draw.choice(forms))
        if draw.random() < 0.05:
            self.command(head, "report", head, "--html", head.parent / "page.html")
        if draw.random() < 0.2:
            self.command(head, "report", head, "--parquet", head.parent / "frame.parquet")

    def imported(self, content: bytes) -> None:
        self.files["imports"] += 1
        with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as name:
            file, out = Path(name, "in.json"), Path(name, "out")
            file.write_bytes(content)
            self.command(file, "import", file, "-o", out)
            if out.exists():
                read = self.call("Store.read", Store(out).read, file)
                if not read:
                    self.report("lost records", "bench import", file, "it left a folder without records")
                self.command(file, "report", out)

    def plan(self, content: bytes) -> None:
        self.files["plans"] += 1
        with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as name:
            file = Path(name, "plan.toml")
            file.write_bytes(content)
            self.command(file, "list", file)

    def other(self, kind: str, content: bytes) -> None:
        self.files["other files"] += 1
        suffix, read, allowed = READERS[kind][1:]
        with tempfile.TemporaryDirectory(prefix="bench-fuzz-") as name:
            file = Path(name, f"file{suffix}")
            file.write_bytes(content)
            self.call(kind, lambda: read(file), file, allowed)


def exported() -> list[dict[str, Any]]:
    """Return what `bench export --format pytest-benchmark` writes of some records."""
    from bench.records.formats import pytest_benchmark, with_latency

    records = [record for _, record in parse_each(line.encode() for line in LINES) if isinstance(record, Record)]
    chosen = with_latency(records)
    return [pytest_benchmark(chosen[first : first + 2]) for first in range(0, 6, 2)]


def run(count: int, keep: Path, number: int = 0) -> Fuzz:
    """Put `count` files, a spoilt line counted as one, to the readers: six tenths are records."""
    fuzz = Fuzz(keep)
    draw = random.Random(number)
    line = st.sampled_from(SEEDS).flatmap(spoilt_json).map(lambda content: content or b"{")
    plan = st.sampled_from(PLANS).flatmap(lambda text: _spoilt_plan(text))
    other = st.sampled_from(sorted(READERS)).flatmap(
        lambda kind: st.tuples(st.just(kind), READERS[kind][0]().flatmap(_spoilt_file))
    )
    imports = st.sampled_from(exported()).flatmap(spoilt_json)
    for share, strategy, put in (
        (0.6 / BATCH, st.lists(line, min_size=BATCH, max_size=BATCH), lambda lines: fuzz.records(lines, draw)),
        (0.1, imports, fuzz.imported),
        (0.15, plan, fuzz.plan),
        (0.15, other, lambda pair: fuzz.other(*pair)),
    ):
        _each(max(1, round(count * share)), number, strategy, put)
    return fuzz


def _spoilt_plan(text: str) -> st.SearchStrategy[bytes]:
    data = tomllib.loads(text)
    structure = spoilt(data).map(to_toml).map(lambda text: text.encode(errors="surrogatepass"))
    return structure | spoilt_bytes(text.encode(), to_toml(data).encode())


def _spoilt_file(content: Any) -> st.SearchStrategy[bytes]:
    return spoilt_bytes(content, content) if isinstance(content, bytes) else spoilt_json(content)


def _each(count: int, number: int, strategy: st.SearchStrategy[Any], put: Callable[[Any], None]) -> None:
    @seed(number)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def drawn(value: Any) -> None:
        put(value)

    drawn()


def main(words: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path(tempfile.gettempdir()) / "bench-fuzz-kept")
    asked = parser.parse_args(words)
    warnings.simplefilter("ignore")
    start = time.monotonic()
    fuzz = run(asked.count, asked.keep, asked.seed)
    for texts in fuzz.wrong.values():
        for text in texts:
            print(text, file=sys.stderr)
    counts = {"files": sum(fuzz.files.values()), "by kind": fuzz.files, "calls": fuzz.calls, "seed": asked.seed}
    counts |= {what: sum(count for (kind, *_), count in fuzz.places.items() if kind == what) for what in fuzz.wrong} | {
        "seconds": round(time.monotonic() - start)
    }
    print(json.dumps(counts, indent=1))
    return int(any(fuzz.wrong.values()))


if __name__ == "__main__":
    sys.exit(main())
