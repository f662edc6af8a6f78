"""A recommendation as text: the choice, the evidence, the runner-up, the undecided cases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.records import quality
from bench.records.again import NO_COMMAND
from bench.report import views
from bench.report.answer import times
from bench.report.cells import MIB, Column
from bench.report.evidence import describe_dependence
from bench.report.recommend import OBJECTIVES, Assessment, Choice
from bench.report.recommend_groups import Group, pareto_front
from bench.report.recommend_runs import SHOWN, describe_case, useful_runs
from bench.report.rows import P99, Row, all_disturbed
from bench.stats import LEAST_OF_EACH, LEAST_PROCESSES, samples_needed, share_interval
from bench.text import WORDS, digits, grid, plural, visible

COLUMNS = (*views.CASE, views.IMAGES_PER_S, views.P50, replace(views.P99_BOUND, title="p99 ≤ ms"), views.MEMORY)
AGREEMENT = replace(views.TOP1, show="{:.3g}".format)
PRICE = (views.AGREE, views.LOSS)
QUALITY = {
    AGREEMENT.title: "least share of pictures whose top class is that of a float64 reference",
    views.AGREE.title: "percent of further pictures with float32's, ± the longer half of its 95 % interval",
    views.LOSS.title: "percentage points that float32 has more right",
}


def print_recommendation(out: Console, groups: Sequence[Group], listed: bool) -> None:
    """Print each group's table and what was left out, then the legend, and last the answers.

    `listed`: the Pareto front in place of a choice.
    """
    tables = []
    for group in groups:
        out.print(group.heading, style="bold", markup=False)
        if shown := _front(group) if listed else _best_cases(group.choice):
            out.print(_table(shown))
            out.print()
            tables.append(shown)
        _print_beside(out, group.choice)
    if tables:
        _print_legend(out, tables)
    for group in groups:
        out.print()
        if len(groups) > 1:
            out.print(group.heading, style="bold", markup=False)
        _print_front(out, group) if listed else _print_choice(out, group.choice)
        _print_runs(out, group, runs=not listed or bool(group.choice.disturbed))


def _best_cases(choice: Choice) -> list[Assessment]:
    return [*choice.fitting[:SHOWN], *choice.promising[: SHOWN - 1]]


def _front(group: Group) -> list[Assessment]:
    return pareto_front([*group.choice.fitting, *group.choice.undecided])


def _print_choice(out: Console, choice: Choice) -> None:
    """Print the undecided cases, and below them the choice, its evidence and the runner-up."""
    objective, best = OBJECTIVES[choice.budget.objective], choice.best
    _print_undecided(out, choice)
    if not best:
        out.print(_why_no_choice(choice), style="bold", markup=False)
        return
    verb = "Choose" if choice.clear or not choice.runner_up else "Among the best, to choose:"
    if choice.disturbed:
        by_disturbed = objective is OBJECTIVES["throughput"] and all_disturbed(case.row for case in choice.fitting)
        ahead = "first, by disturbed windows alone, is" if by_disturbed else "ahead in this run was"
        verb = f"These records cannot tell, as {choice.disturbance}; {ahead}"
    sentence = f"{verb} {describe_case(best.row)}: {digits(best.value or 0)} {objective.unit}."
    out.print(sentence, style="bold", markup=False)
    out.print(f"Evidence: {_evidence(best.row)}.", markup=False)
    if choice.budget.p99_ns is not None:
        out.print(_shown_for(best.row, choice.budget.p99_ns), markup=False)
    out.print(_runner_up(choice), markup=False)


def _print_beside(out: Console, choice: Choice) -> None:
    """Print the evidence as below a table, and what was left out."""
    if choice.evidence:
        out.print(choice.evidence, style="dim", markup=False)
    if choice.eight_bits:
        out.print(_left_in_eight_bits(choice), markup=False)
    for reason, count in choice.excluded.most_common():
        out.print(f"Left out: {count} {plural(count, 'case')}, {reason}.", style="dim", markup=False)


def _print_runs(out: Console, group: Group, runs: bool) -> None:
    """Print the runs that would tell."""
    for why, command in useful_runs(group.choice, group.folders) if runs else ():
        words = command.startswith(NO_COMMAND)
        out.print(f"{why}: no command says all of it, but {command}" if words else f"{why}:", markup=False)
        if not words:
            out.print(f"  {command}", markup=False, soft_wrap=True)


def _left_in_eight_bits(choice: Choice) -> str:
    """Return the sentence of cases that are left out as they are in 8 bits: the best of them, and what lets them in."""
    count, first, unit = len(choice.eight_bits), choice.eight_bits[0], OBJECTIVES[choice.budget.objective].unit
    value = f"{describe_case(first.row)}, {digits(first.value or 0)} {unit}, {quality.describe_score(first.row.score)}"
    return (
        f"Left out: {count} {plural(count, 'case')} in 8 bits, as no limit says what they may cost: {value}. "
        "--max-accuracy-loss or --min-agreement lets them in."
    )


def _print_front(out: Console, group: Group) -> None:
    choice, cases = group.choice, [*group.choice.fitting, *group.choice.undecided]
    front, doubt, eight_bits = _front(group), "", any(case.row.is_eight_bits for case in cases)
    if choice.disturbed:
        doubt = f" Which these are is not known, as {choice.disturbance}."
    elif len(cases) > 1 and not any(case.row.images_per_s_interval for case in cases):
        doubt = " No speed here has an interval, so another run may show others."
    out.print(
        f"No limit is set: of {len(cases)} {plural(len(cases), 'case')}, {len(front)} that no other beats in "
        f"throughput, latency and memory (and energy{', and in 8 bits agreement' * eight_bits}) at once.{doubt}",
        style="bold",
        markup=False,
    )


def _why_no_choice(choice: Choice) -> str:
    if choice.answer == "no":
        return "No: nothing here is within the limits."
    why = (
        "no case is shown to be within the limits, and some may be" if choice.undecided else "nothing here was measured"
    )
    return f"These records cannot tell: {why}."


def _runner_up(choice: Choice) -> str:
    best, second = choice.best, choice.runner_up
    if not best or not second:
        return "No other case is shown to be within the limits."
    objective = OBJECTIVES[choice.budget.objective]
    text = f"Runner-up: {describe_case(second.row)}, {digits(second.value or 0)} {objective.unit}; they differ in "
    text += ", ".join(differing_axes(best.row, second.row)) + ". "
    advantage, rival = choice.advantage, choice.challenger or second
    # the lead is over all: it is that over the case that leaves it the least sure
    name = "" if rival is second else describe_case(rival.row)
    if advantage is None:
        shared = f"with {name}" if name else "by both"
        return text + f"Nothing is shared {shared}, so their difference may be the machine's drift."
    if advantage.low is None or advantage.high is None:
        text += f"The difference{name and f' to {name}'} of {abs(advantage.value - 1):.0%}"
        return text + " rests on one process each: it may be noise."
    interval = f"{advantage.low:.3f} to {advantage.high:.3f} over {advantage.samples} {advantage.basis}"
    verdict = "clear" if choice.clear else "a tie, within the noise"
    if advantage.low > 1 and not advantage.is_lead:
        verdict = "a tie, as other processes may be as far apart"
    if choice.disturbance:
        verdict = f"not told apart, as {choice.disturbance}"
    than = name and f" than {name}, the least sure of its leads"
    return text + f"The best is {advantage.value:.3f} times better{than}, {interval}: {verdict}."


def differing_axes(row: Row, other: Row) -> list[str]:
    """Return the axes and traits that two cases differ in, with both values."""
    values, others = (vars(one.case) | dict(one.traits) for one in (row, other))
    names = [name for name in values if values[name] != others.get(name, values[name])]
    return [f"{name} ({values[name]}, {others[name]})" for name in names]


def _print_undecided(out: Console, choice: Choice) -> None:
    """Print the cases that would be better than the choice, or fit at all, if they are within the limits."""
    objective, promising = OBJECTIVES[choice.budget.objective], choice.promising
    for case in promising[:SHOWN]:
        gain = ""
        if ratio := case.over_best:
            noise = f", {'of one process each' if ratio.samples else 'in no round of both'}" * (ratio.low is None)
            gain = f", {times(ratio)} times {'as good as ' * (not objective.more_is_better)}the choice{noise}"
        value = f"{digits(case.value or 0)} {objective.unit}{gain}"
        out.print(f"Undecided: {describe_case(case.row)}, {value}: {'; '.join(case.undecided)}.", markup=False)
    if (more := len(promising) - SHOWN) > 0:
        out.print(f"Undecided too: {more} more {plural(more, 'case')}.", markup=False)
    if count := len(choice.unmeasured):
        reason = "without a speed, as the machine throttled"
        out.print(f"Undecided: {count} {plural(count, 'case')} {reason}.", markup=False)
    if without := [case for case in choice.undecided if case.value is None]:
        count, reason = len(without), without[0].undecided[-1]
        out.print(f"Undecided: {count} {plural(count, 'case')}: {reason}.", markup=False)


def _evidence(row: Row) -> str:
    """Return what the records show of a case beside the objective, and from how many samples."""
    clauses = [f"{row.rounds} {plural(row.rounds, 'process', 'processes')}", _tail(row)]
    if row.memory is not None:
        where = "of this process on the device" if row.device == "cuda" else "resident on the host at most"
        clauses.append(f"{row.memory / MIB:,.0f} MiB {where}")
    if row.score:
        clauses.append(f"it {quality.describe_score(row.score)}")
    elif agreement := agreement_bound(row):
        top1, pictures, bound = agreement
        at_least = f"at least {bound:.2f}, with 95 % confidence"
        clauses.append(f"top-1 agreement {top1:.3g} on {pictures} pictures ({at_least})")
    return "; ".join(clauses)


def _tail(row: Row) -> str:
    """Return the p99 of these processes with its bound, and what may be another process's."""
    p99 = row.p99
    if not p99:
        few = " that follow each other" * (row.samples >= samples_needed(P99))
        return f"p99 not known ({row.samples:,} {plural(row.samples, 'sample')}{few})"
    of, another = "this process" if row.rounds == 1 else "these processes", row.p99_of_another
    count = f"{row.samples:,} samples{describe_dependence(p99.samples, p99.independent)}"
    tail = f"p99 of {of} {digits(p99.value / 1e6)} ms, with 99 % confidence at most {digits(p99.upper / 1e6)} ({count})"
    bound = f"at most {digits(another / 1e6)} if processes differ as these do" if another else "is not known"
    return f"{tail}, another process's {bound}"


def _shown_for(row: Row, limit_ns: float) -> str:
    """Return a sentence on the processes for which a limit of the p99 is shown, and what more rounds would add."""
    of, another = "this process alone" if row.rounds == 1 else f"these {row.rounds} processes", row.p99_of_another
    limit = f"The limit of {limit_ns / 1e6:g} ms is shown for {of}"
    if another is None:
        enough = f"{LEAST_PROCESSES} rounds of {LEAST_OF_EACH} samples or more"
        return f"{limit}: {enough} would show what another process may have."
    if another > limit_ns:
        return f"{limit}; another may be over it (at most {digits(another / 1e6)} ms): more rounds may narrow that."
    return f"{limit}, and for another if processes differ as these do: more rounds may find one that does not."


def agreement_bound(row: Row) -> tuple[float, int, float] | None:
    """Return the least top-1 agreement of all checks, its pictures, and its lower bound with 95 % confidence.

    The bound is Clopper and Pearson's, one-sided. None where no check has pictures.
    """
    checks = [check for record in row.records for check in record.gate.values() if check.get("pictures")]
    if not checks:
        return None
    worst = min(checks, key=lambda check: (check["top1"], check["pictures"]))
    agreed, pictures = round(worst["top1"] * worst["pictures"]), worst["pictures"]
    return worst["top1"], pictures, share_interval(agreed, pictures, 0.9)[0]


def _known(columns: Sequence[Column], cases: Sequence[Assessment]) -> list[Column]:
    return [column for column in columns if any(column.value(case.row) is not None for case in cases)]


def _table(cases: Sequence[Assessment]) -> Table:
    columns = [*COLUMNS, *(_known(PRICE, cases) or [AGREEMENT]), *_known([views.ENERGY], cases)]
    undecided = any(case.undecided for case in cases)
    table = grid(*(column.title for column in columns), *[""] * undecided, wrapped=["variant"])
    for case in cases:
        cells = [*(column.cell(case.row) for column in columns), "undecided" if case.undecided else ""]
        table.add_row(*map(Text, map(visible, cells[: len(table.columns)])))
    return table


def _print_legend(out: Console, tables: Sequence[Sequence[Assessment]]) -> None:
    """Print what the columns and marks of these tables mean."""
    cases = [case for shown in tables for case in shown]
    rows = [case.row for case in cases]
    on_gpu = any(row.device == "cuda" for row in rows)
    marks = f"! (images/s): {views.DISTURBED['!']}. " if any(row.is_disturbed for row in rows) else ""
    memory = "of the process on the device (NVML)" if on_gpu else "resident in the process at its peak"
    titles = {column.title for shown in tables for column in _known(PRICE, shown) or [AGREEMENT]}
    quality = "".join(f"{title}: {meaning}; " for title, meaning in QUALITY.items() if title in titles)
    undecided = "undecided: the records do not show whether it is within the limits; "
    out.print(
        "p99 ≤: the upper bound of these processes' p99 with 99 % confidence, whatever the distribution (of 662 "
        "samples, more where these follow each other); "
        f"MiB: memory {memory}, the largest of the rounds; {quality}{undecided * any(case.undecided for case in cases)}"
        f"a ratio's confidence interval is 95 %, over all comparisons with the best. {marks}{WORDS}",
        style="dim",
        markup=False,
    )
