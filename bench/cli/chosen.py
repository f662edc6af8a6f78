"""The results that a command reads: folders, saved names, or nothing for the latest run; and runs listed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from bench import paths
from bench.cli.complete import complete_results
from bench.cli.console import hint
from bench.cli.tables import Column, print_json, print_table
from bench.commands import command_line
from bench.errors import BenchError
from bench.records import places
from bench.records.places import Run, latest_like, latest_run, latest_two, results_at, runs_in, shown
from bench.records.store import FILE, Store
from bench.text import plural

DEFAULT = "Results folders, or names kept with --save.  \\[default: the latest run]"
Results = Annotated[list[Path] | None, Argument(metavar="[DIR...]", help=DEFAULT, autocompletion=complete_results)]
Save = Annotated[
    str | None, Option("--save", metavar="NAME", help="Keep a copy of these results under a name, as a baseline.")
]

COLUMNS = (
    Column("run", "run", text=True),
    Column("date", "started", lambda when: when[:16].replace("T", " "), text=True),
    Column("plan", "plan", text=True),
    Column("cases", "cases"),
    Column("failed", "failed"),
)


def chosen_folders(words: Sequence[Path] | None) -> list[Path]:
    """Return the folders that words mean; without words the latest run's, and say which that is."""
    if words:
        return [results_at(word) for word in words]
    run = latest_run()
    hint(f"The latest run: {run.describe()}")
    return [shown(run.folder)]


def chosen_sides(base: Path | None, head: Path | None) -> tuple[Path, Path]:
    """Return the two folders to compare, and say on stderr which were taken where they were not named.

    Without HEAD it is the latest run of the plan of BASE; without BASE, the run before that.
    """
    if base is not None and head is not None:
        return results_at(base), results_at(head)
    if base is None:
        first, last = latest_two()
        hint(f"Base: {first.describe()}")
    else:
        first = Run(results_at(base))
        last = latest_like(first)
    hint(f"Head: {last.describe()}")
    return shown(first.folder), shown(last.folder)


def store_of_runs(words: Sequence[Path] | None) -> Path | None:
    """Return the one folder that words name, if it holds runs and no records itself."""
    if not words or len(words) > 1 or not words[0].is_dir() or (words[0] / FILE).exists():
        return None
    return words[0] if any(words[0].glob(f"*/{FILE}")) else None


def print_runs(store: Path, as_json: bool, as_csv: bool, as_markdown: bool) -> None:
    """Print a row for each run in a folder, the latest last, and for each saved baseline where they are in it."""
    rows = [_row(run) for run in runs_in(store)]
    if store.resolve() == paths.LOCAL.resolve():
        rows += [_row(Run(paths.saved_folder() / name)) for name in places.saved_names()]
    if not rows:
        raise BenchError(f"{store} holds no run whose records can be read")
    if as_json:
        print_json(rows)
        return
    print_table(COLUMNS, rows, as_csv=as_csv, as_markdown=as_markdown)
    if not as_csv and not as_markdown:
        last = rows[-1]
        hint(f"`{command_line('report', last['run'] if last['saved_from'] else last['folder'])}` shows one.")


def _row(run: Run) -> dict[str, Any]:
    facts: dict[str, Any] = {"run": run.folder.name, "folder": str(shown(run.folder)), "started": run.started}
    facts |= {"plan": run.plan, "cases": len(run.statuses), "failed": run.failed, "commit": run.commit or None}
    return facts | {"saved_from": places.saved_facts(run.folder).get("from")}


def save_as(name: str | None, folders: Sequence[Path]) -> None:
    """Keep a copy of the records of a folder under a name, if one is given."""
    if name is not None:
        if len(folders) > 1:
            raise BenchError("--save keeps one results folder: name one")
        from bench.runs.ab import LOOKS

        hint(places.save(name, folders[0]))
        measured = [record.case for record in Store(folders[0]).read() if record.status == "ok"]
        rounds = min(Counter(measured).values(), default=0)
        if rounds < (least := LOOKS[0]):
            hint(f"It has {rounds} {plural(rounds, 'round')}, and a verdict takes {least} a side: --rounds {least}.")
