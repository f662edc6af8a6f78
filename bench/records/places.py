"""Where results are: the runs in a folder and which is the latest, baselines saved under names, and what a word means.

results/local/quick-20260131-120000-7/  a run: `records.jsonl` lies in it
results/local/verify-quick-...-1/       no run: `bench verify` timed nothing
results/local/ab-quick-...-1/           no run: its two sides are
results/local/saved/main/               a copy of a run's records, and `saved.json`, which says of which run
"""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any

from bench import paths
from bench.commands import command_line
from bench.errors import ArgumentError, StoreError
from bench.files import read_json, reading, write_json, writing
from bench.machine.provenance import sha_of
from bench.plans.settings import ONCE
from bench.records.record import HEAD, Record, parse_each
from bench.records.store import FILE
from bench.text import did_you_mean, plural
from kernels.cards.reading import lines_of, open_lines, open_regular

SCHEMA = 1
MARK = "saved.json"  # in the folder of a saved baseline
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True)
class Run:
    """A folder of records, of which each fact is read when it is asked for."""

    folder: Path

    @cached_property
    def first(self) -> Record | None:
        """The first record that can be read, of a case that ran if there is one: a skipped case has no time."""
        with self._open() as file:
            records = (record for _, record in parse_each(lines_of(file)) if isinstance(record, Record))
            first = next(records, None)
            return next((record for record in chain([first], records) if record and record.started), first)

    @cached_property
    def statuses(self) -> dict[str, str]:
        """The last status of each case."""
        with self._open() as file:
            heads = (HEAD.match(line) for line in lines_of(file))
            return {match[1].decode(errors="replace"): match[3].decode() for match in heads if match and match[3]}

    def _open(self) -> IO[bytes]:
        try:
            return open_lines(self.folder / FILE)
        except OSError as error:
            raise StoreError(f"{self.folder} is no results folder ({FILE}: {error.strerror})") from None

    @property
    def plan(self) -> str:
        return str(self.first.plan.get("name", "")) if self.first else ""

    @property
    def started(self) -> str:
        """The time of its first record, ISO 8601 in UTC."""
        return self.first.started if self.first else ""

    @property
    def when(self) -> str:
        """The same to the minute, in words."""
        return self.started[:16].replace("T", " ")

    @property
    def failed(self) -> int:
        """The number of cases that failed."""
        return sum(status not in ("ok", "skipped") for status in self.statuses.values())

    @property
    def commit(self) -> str:
        """The commit of the code that was measured, with a + for changes; empty where it is unknown."""
        environment = self.first.environment if self.first else {}
        sha, git = sha_of(environment), environment.get("git")
        return sha[:12] + ("+" if isinstance(git, dict) and git.get("dirty") else "") if sha else ""

    @property
    def is_gate_only(self) -> bool:
        """True for a run of `bench verify`, by the folder's name or its settings: such times mean nothing."""
        parts = paths.split_run_name(self.folder.name)
        named = bool(parts and self.plan and parts[0] == f"verify-{self.plan}")
        return named or bool(self.first and self.first.settings.items() >= ONCE.items())

    def describe(self) -> str:
        """Return the folder, and in brackets the plan, the date and the number of cases."""
        count = len(self.statuses)
        return f"{shown(self.folder)} ({self.plan}, {self.when}, {count} {plural(count, 'case')})"


def shown(path: Path) -> Path:
    """Return a path as it is shortest to type: from the working folder, where it lies in that."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def runs_in(store: Path) -> list[Run]:
    """Return the runs whose folders lie in a folder, in the order in which they began.

    That is the order of their numbers for runs of one plan, as clocks go back, and else the order of their times.
    """
    folders = [path.parent for path in store.glob(f"*/{FILE}") if path.is_file()]
    numbered = [(paths.split_run_name(folder.name) or (str(folder), 0), Run(folder)) for folder in folders]
    order: list[tuple[str, int, Run]] = []
    latest: dict[str, str] = {}
    for (name, number), run in sorted(numbered, key=lambda pair: (pair[0], pair[1].started)):
        if run.first and not run.is_gate_only:
            latest[name] = max(latest.get(name, ""), run.started)
            order.append((latest[name], number, run))
    return [run for *_, run in sorted(order, key=lambda entry: entry[:2])]


def latest_run() -> Run:
    """Return the latest run of this checkout. Raises StoreError where there is none."""
    runs = runs_in(paths.LOCAL)
    if not runs:
        raise StoreError(
            f"there is no run in {shown(paths.LOCAL)} yet: name a results folder, or measure: "
            f"`{command_line('run', 'quick')}`"
        )
    return runs[-1]


def latest_two() -> tuple[Run, Run]:
    """Return the latest run, and before it the one of the same plan and of a case of it that came before.

    Raises StoreError where there are no two.
    """
    head = latest_run()
    for run in reversed(runs_in(paths.LOCAL)[:-1]):
        if run.plan == head.plan and run.statuses.keys() & head.statuses.keys():
            return run, head
    raise StoreError(
        f"no run before {head.describe()} is of the same plan and cases: measure again, or name two results folders"
    )


def latest_like(base: Run) -> Run:
    """Return the latest run of this checkout that is of the plan of `base`, and began after it.

    That is by order where this checkout has the run, or the one that it was saved from, and else by time. Raises
    StoreError where there is none.
    """
    runs, origin = runs_in(paths.LOCAL), saved_facts(base.folder).get("from", "")
    same = [run.folder.resolve() == base.folder.resolve() or run.folder.name == origin for run in runs]
    after = runs[same.index(True) + 1 :] if any(same) else [run for run in runs if run.started > base.started]
    for run in reversed(after):
        if run.plan == base.plan and run.statuses.keys() & base.statuses.keys():
            return run
    raise StoreError(
        f"no run after {base.describe()} is of the same plan and cases: measure now what is to be compared with it, "
        "or name its folder as HEAD"
    )


# ---- names


def check_name(name: str) -> None:
    """Raise ArgumentError for a name that no baseline may have, StoreError for one that is taken by something else."""
    if not NAME.fullmatch(name):
        raise ArgumentError(f"--save {name!r}: a name has up to 64 letters, digits, dots, dashes and underscores")
    folder = paths.saved_folder() / name
    if folder.exists() and not saved_facts(folder):
        raise StoreError(f"{shown(folder)} exists, and `--save` did not write it: save under another name")


def save(name: str, folder: Path) -> str:
    """Copy the records of a run to the baselines, and return what was done in a sentence.

    The copy stays as it is where the run goes on. Raises StoreError where it cannot be written, and as `check_name`.
    """
    check_name(name)
    target, run = paths.saved_folder() / name, Run(folder)
    earlier = Run(target).describe() if (target / FILE).is_file() else ""
    mark = {"schema": SCHEMA, "from": folder.resolve().name, "saved": datetime.now(UTC).isoformat()}
    try:
        with open_regular(folder / FILE) as records:
            write_json(target / MARK, mark)  # first: `check_name` takes records without it for somebody else's
            with writing(target / FILE) as copy:
                shutil.copyfileobj(records, copy)
    except OSError as error:
        raise StoreError(f"cannot read {folder / FILE}: {error.strerror or error}") from None
    instead = f", in place of {earlier}" if earlier else ""
    compare = f"`{command_line('compare', name)}` compares the latest run with it"
    return f"Saved as {name}: {run.describe()}{instead}. {compare}."


def saved_facts(folder: Path) -> dict[str, Any]:
    """Return what `--save` wrote beside a baseline's records; empty for a folder that is none."""
    path = folder / MARK
    if not path.is_file():
        return {}
    with reading(path, "mark of a saved baseline", "save under another name"):
        return read_json(path, SCHEMA)


def result_words() -> list[str]:
    """Return the words that mean results of this checkout: saved names, and the folders of runs."""
    folders = (path.parent for path in paths.LOCAL.glob(f"*/{FILE}"))
    return [*saved_names(), *sorted(str(shown(folder)) for folder in folders)]


def saved_names() -> list[str]:
    """Return the names of the saved baselines, without reading any."""
    return sorted(path.parent.name for path in paths.saved_folder().glob(f"*/{FILE}"))


# ---- words


def results_at(word: str | Path) -> Path:
    """Return the folder or file of results that a word means: a saved name, or a path.

    A path may be a results folder, a `.jsonl` or a `.parquet` file. Raises StoreError for a folder of runs, which it
    names, for a word that is neither, and for one that is a name and a path.
    """
    text, path = str(word), Path(word)
    names = saved_names()
    if text in names:
        saved = shown(paths.saved_folder() / text)
        holds_results = (path / FILE).is_file() or (path.suffix in (".jsonl", ".parquet") and path.is_file())
        if holds_results and not path.samefile(saved):
            raise StoreError(
                f"{text} is a saved name, and results are at that path: write {saved} or {path.absolute()}"
            )
        return saved
    if path.is_dir() and not (path / FILE).exists():
        if inside := sorted(found.parent for found in path.glob(f"*/{FILE}")):
            some = ", ".join(str(folder) for folder in inside[:3]) + (", ..." if len(inside) > 3 else "")
            raise StoreError(
                f"{path} holds runs, not records: name one ({some}); `{command_line('report', path)}` lists them"
            )
    elif not path.exists() and os.sep not in text:
        save_one = command_line("run", "quick", "--save", "main")
        known = f"; saved: {', '.join(names)}" if names else f"; nothing is saved yet, as `{save_one}` does"
        raise StoreError(f"{text} is neither a results folder nor a saved name{did_you_mean(text, names)}{known}")
    return path


def store_at(word: str | Path) -> Path:
    """Return the folder of results folders, or the one results folder, that a word means."""
    return Path(word) if Path(word).is_dir() and str(word) not in saved_names() else results_at(word)
