"""`bench history`: cases over commits."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from bench import paths
from bench.cli.complete import complete_results
from bench.cli.console import answer_code, damage_on_stderr, stop, tell
from bench.cli.options import Csv, Exclude, Filter, Json, Markdown
from bench.cli.tables import out, print_csv, print_json, print_text
from bench.errors import FAILED, USAGE, ArgumentError
from bench.plans.words import narrow
from bench.records.places import store_at
from bench.runs.worktree import commit_order, is_shallow
from bench.text import plural
from bench.verdicts.metrics import METRICS, metric_named

if TYPE_CHECKING:
    from bench.history.series import Series

USUAL = ("latency", "throughput")


Machines = Annotated[
    list[str] | None, Option(metavar="TEXT", help="Machines whose description has this text alone; repeat.")
]
Since = Annotated[str | None, Option(metavar="WHEN", help="News began since: 7d, a date, or after a commit.")]


def history(
    stores: Annotated[
        list[Path] | None,
        Argument(
            metavar="[DIR...]",
            help="Stores of results, or names kept with --save.  \\[default: results/local]",
            autocompletion=complete_results,
        ),
    ] = None,
    filter: Filter = None,
    exclude: Exclude = None,
    metric: Annotated[
        list[str] | None,
        Option(metavar="NAME", help=f"Any of {', '.join(METRICS)}; repeat.  \\[default: {', '.join(USUAL)}]"),
    ] = None,
    all_: Annotated[bool, Option("--all", help="List the cases without a change, too.")] = False,
    machine: Machines = None,
    fail: Annotated[
        bool, Option("--fail-on-change", help="Exit 1 if news, not acknowledged nor mended, is for the worse.")
    ] = False,
    since: Since = None,
    commit: Annotated[
        str, Option("--acknowledge", metavar="COMMIT", help="Accept what got worse there, of -f and --metric.")
    ] = "",
    reason: Annotated[str, Option(metavar="TEXT", help="Why it is accepted.")] = "",
    acknowledged: Annotated[
        Path | None,
        Option(metavar="FILE", help="What is accepted, to be committed.  \\[default: results/acknowledged.toml]"),
    ] = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Every case over commits: where its level changed, between which commits, and the p-value of the change.

    A store is a folder of results folders, as a nightly `bench run PLAN -o STORE/$(date +%F)` leaves it. What is left
    by -f, --exclude, --metric and --machine is judged together: the fewer series, the smaller a change that is found.
    """
    from bench.history import accepted as gate  # numpy and pandas, for those who want them
    from bench.history import export, text
    from bench.history.history import judge_history

    names = list(map(metric_named, metric or USUAL))
    if bool(commit) != bool(reason.strip()):
        raise ArgumentError("--acknowledge COMMIT and --reason TEXT go together")
    file = acknowledged or gate.FILE
    accepted, order = gate.read_accepted(file), commit_order()
    start = gate.parse_since(since, order) if since is not None else None
    series = _series_of(stores or [paths.LOCAL], names, order, filter or (), exclude or (), machine)
    judged = judge_history(series, order)
    if commit:
        gate.mark_news(judged, accepted, order)
        entry, covered = gate.acknowledge(judged, order, commit, filter or (), metric or (), reason)
        gate.append_accepted(file, entry)
        accepted = [*accepted, entry]
        tell(f"{file}: {covered} {plural(covered, 'change')} at {commit} acknowledged; commit the file")
    news = gate.mark_news(judged, accepted, order, start)
    if as_json:
        print_json([export.as_json(one, judged) for one in series])
    elif as_csv:
        print_csv(row for one in series for row in export.as_rows(one))
    elif as_markdown:
        print_text(text.history_markdown(judged) + "\n")
    else:
        text.print_history(out, judged, all_)
    if fail:
        if said := text.gate_sentence(judged, news, file, stores or []):
            tell(f"bench: {said}")
        raise typer.Exit(answer_code(FAILED if news else 0))


def _series_of(
    stores: list[Path],
    metrics: list[str],
    order: dict[str, int],
    only: Iterable[str],
    exclude: Iterable[str],
    machines: list[str] | None,
) -> list[Series]:
    """Return the series of some stores that the options leave, not judged; what is to be known of them is told."""
    from bench.history.series import read_series
    from bench.history.text import order_sentence

    with damage_on_stderr():
        series = read_series([store_at(store) for store in stores], metrics, order, is_shallow())
    kept = narrow(dict.fromkeys(one.case for one in series), only, exclude, "these stores at a commit")
    if not series:
        stop(f"no case of these stores was measured at a commit with a value of {', '.join(metrics)}", USAGE)
    described = sorted({one.machine for one in series})
    series = [one for one in series if one.case in kept and _is_of(one.machine, machines)]
    if not series:
        of = f"--machine {', '.join(machines or ())} leaves no series"
        stop(f"{of}; these stores are of {'; '.join(described)}", USAGE)
    if guess := order_sentence(series, order):
        tell(f"bench: {guess}")
    return series


def _is_of(description: str, texts: list[str] | None) -> bool:
    return not texts or any(text.lower() in description.lower() for text in texts)
