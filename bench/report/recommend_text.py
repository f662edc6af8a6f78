"""A recommendation as a person reads it, and as JSON: the choice, what it rests on, the runner-up, what is open."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from bench.plans.words import variant_cell
from bench.report.recommend import OBJECTIVES, Choice, Judged, agreement, differing, joules, pareto, samples_of
from bench.report.recommend_groups import Group
from bench.report.recommend_runs import SHOWN, Runs, named
from bench.report.rows import Row
from bench.text import WORDS, digits, grid, plural

MIB = 1 << 20


def show(out: Console, groups: Sequence[Group], listed: bool) -> None:
    """Each group under its heading, then what the columns mean; `listed`: the cases that none beats, not a choice."""
    for group in groups:
        out.print(group.heading, style="bold", markup=False)
        _show_pareto(out, group.choice) if listed else _show_choice(out, group)
        out.print()
    _legend(out, [judged.row for group in groups for judged in (*group.choice.fitting, *group.choice.open)])


def _show_choice(out: Console, group: Group) -> None:
    choice, aim = group.choice, OBJECTIVES[group.choice.budget.objective]
    best = choice.best
    if best:
        said = f"Choose {named(best.row)}: {digits(best.value or 0)} {aim.unit}."
        out.print(said, style="bold", markup=False)
        out.print(f"Evidence: {_evidence(best.row)}.", markup=False)
        out.print(_runner_up(choice), markup=False)
    else:
        out.print(_nothing(choice), style="bold", markup=False)
    _show_open(out, choice)
    for reason, count in choice.excluded.most_common():
        out.print(f"Left out: {count} {plural(count, 'case')}, {reason}.", style="dim", markup=False)
    for why, command in Runs(choice, group.origin).useful():
        out.print(f"{why}:", markup=False)
        out.print(f"  {command}", markup=False, soft_wrap=True)
    if shown := [*choice.fitting[:SHOWN], *choice.promising[: SHOWN - 1]]:
        out.print()
        out.print(_table(shown))


def _show_pareto(out: Console, choice: Choice) -> None:
    known = [*choice.fitting, *choice.open]
    front = pareto(known)
    out.print(
        f"No limit is set: of {len(known)} {plural(len(known), 'case')}, {len(front)} that no other beats in "
        "throughput, latency and memory (and energy) at once.",
        markup=False,
    )
    out.print()
    out.print(_table(front))


def _nothing(choice: Choice) -> str:
    if choice.open:
        return "These records cannot answer: no case is shown to be within the budget."
    if choice.excluded:
        return "Nothing here is within the budget."
    return "Nothing here was measured."


def _runner_up(choice: Choice) -> str:
    best, second = choice.best, choice.runner_up
    if not best or not second:
        return "No other case is shown to be within the budget."
    aim = OBJECTIVES[choice.budget.objective]
    said = f"Runner-up: {named(second.row)}, {digits(second.value or 0)} {aim.unit}; they differ in "
    said += ", ".join(differing(best.row, second.row)) + ". "
    ahead = choice.ahead
    if ahead is None:
        return said + "No round has both, so their difference may be the machine's drift."
    if ahead.low is None or ahead.high is None:
        gain = abs(aim.gain(best.value or 0, second.value or 1) - 1)
        return said + f"The difference of {gain:.1%} rests on one process each: it may be noise."
    spread = f"{ahead.value:.3f} times better, {ahead.low:.3f} to {ahead.high:.3f} over {ahead.rounds} rounds"
    return said + f"The best is {spread}: {'clear' if choice.clear else 'within the noise'}."


def _show_open(out: Console, choice: Choice) -> None:
    """The cases that would be better, or would do, if they are within the limits."""
    aim, best = OBJECTIVES[choice.budget.objective], choice.best
    promising = choice.promising
    for found in promising[:SHOWN]:
        gain = f", {aim.gain(found.value or 0, best.value or 1):.2f} times the choice" if best else ""
        value = f"{digits(found.value or 0)} {aim.unit}{gain}"
        out.print(f"Undecided: {named(found.row)}, {value}: {'; '.join(found.open)}.", markup=False)
    if (more := len(promising) - SHOWN) > 0:
        out.print(f"Undecided too: {more} more {plural(more, 'case')}.", markup=False)
    without = [found for found in choice.open if found.value is None]
    if without:
        out.print(f"Undecided: {len(without)} {plural(len(without), 'case')}: {without[0].open[-1]}.", markup=False)


def as_json(group: Group, listed: bool) -> dict[str, Any]:
    """The choice of a group, or with `listed` the cases that none beats, as `--json` prints it."""
    choice = group.choice
    told: dict[str, Any] = {"group": group.heading, "objective": choice.budget.objective}
    if listed:
        return told | {"pareto": [_plain(found) for found in pareto([*choice.fitting, *choice.open])]}
    ahead = choice.ahead
    return told | {
        "best": choice.best and _plain(choice.best),
        "runner_up": choice.runner_up and _plain(choice.runner_up),
        "ahead": ahead and {"ratio": ahead.value, "interval": [ahead.low, ahead.high], "rounds": ahead.rounds},
        "clear": choice.clear,
        "fitting": [found.row.case.name for found in choice.fitting],
        "undecided": [_plain(found) for found in choice.open],
        "excluded": dict(choice.excluded),
        "runs": [{"why": why, "command": command} for why, command in Runs(choice, group.origin).useful()],
    }


def _plain(found: Judged) -> dict[str, Any]:
    row, p99 = found.row, found.row.p99
    return {
        "case": row.case.name,
        "value": found.value,
        "rounds": row.rounds,
        "images_per_s": row.images_per_s,
        "p50_ns": row.p50_ns,
        "p99_ns": p99 and p99.value,
        "p99_upper_ns": p99 and p99.upper,
        "samples": len(samples_of(row)),
        "memory_bytes": row.memory,
        "joules_per_image": row.middle(joules),
        "top1": row.worst("top1"),
        "undecided": found.open,
    }


def _evidence(row: Row) -> str:
    """What is known of a case beside the objective, and how well."""
    count, p99 = len(samples_of(row)), row.p99
    tail = f"p99 {digits(p99.value / 1e6)} ms, with 99 % confidence at most {digits(p99.upper / 1e6)}" if p99 else ""
    said = [f"{row.rounds} {'process' if row.rounds == 1 else 'processes'}", tail or "p99 not known"]
    said[1] += f" ({count:,} samples)"
    if row.memory is not None:
        where = "of this process on the device" if row.device == "cuda" else "resident on the host at most"
        said.append(f"{row.memory / MIB:,.0f} MiB {where}")
    if seen := agreement(row):
        share, pictures, least = seen
        said.append(f"top-1 agreement {share:.3g} on {pictures} pictures (at least {least:.2f}, with 95 % confidence)")
    return "; ".join(said)


def _table(shown: Sequence[Judged]) -> Table:
    energy = any(judged.row.middle(joules) is not None for judged in shown)
    titles = ["variant", "prec", "batch", "images/s", "p50 ms", "p99 ≤ ms", "MiB", "top-1", *(["J/image"] * energy)]
    table = grid(*titles, "")
    for judged in shown:
        row, case = judged.row, judged.row.case
        numbers = [row.images_per_s, row.p50_ns / 1e6, row.p99.upper / 1e6 if row.p99 else None]
        memory, top1, joule = row.memory, row.worst("top1"), row.middle(joules)
        cells = [variant_cell(case), case.precision, str(case.batch)]
        cells += ["-" if value is None else digits(value) for value in numbers]
        cells += ["-" if memory is None else f"{memory / MIB:.0f}", "-" if top1 is None else f"{top1:.3g}"]
        cells += ["-" if joule is None else f"{joule:.4f}"] * energy
        table.add_row(*cells, "undecided" if judged.open else "")
    return table


def _legend(out: Console, shown: Sequence[Row]) -> None:
    on_gpu = any(row.device == "cuda" for row in shown)
    memory = "of the process on the device (NVML)" if on_gpu else "resident in the process at its peak"
    out.print(
        "p99 ≤: the upper bound of the p99 with 99 % confidence, whatever the distribution (of 662 samples or more); "
        f"MiB: memory {memory}, the largest of the rounds; top-1: least share of pictures whose top class is that of a "
        "float64 reference; undecided: the records do not show whether it is within the limits; a ratio's confidence "
        f"interval is 95 %, over all comparisons with the best. {WORDS}",
        style="dim",
        markup=False,
    )
