"""A comparison on the terminal and as CSV: the cases that changed, the roll-up, the sentences, the finding last."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf
from typing import Any

from rich.console import Console

from bench.plans.case import Case
from bench.plans.words import summarize_cases
from bench.text import WORDS, digits, percent_change, percent_interval, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS, PROCESS
from bench.verdicts.rollup import EXACT, RollUp
from bench.verdicts.rule import MAX_ROUNDS
from bench.verdicts.shown.finding import finding
from bench.verdicts.summary import change, interval, listed, summary

SHOWN_CASES = 10  # that changed and are listed without --all
SHOWN = 20  # of which there is no verdict
UNPROVEN = 6  # where the rounds prove none of them
SHOWN_ROWS, LEADING_METRICS = 18, 2  # of the roll-up
LEADING = ("latency", "throughput")
ROLLUP_TITLES = "slow  fast  same  open"
METRIC_WIDTH, WORD_WIDTH = max(map(len, METRICS)), len(AMBIGUOUS)
FINDING_COLOURS = {SLOWER: "red", FASTER: "green", AMBIGUOUS: "yellow", SAME: "green"}
COLOURS = {SLOWER: "red", FASTER: "green", AMBIGUOUS: "yellow", SAME: "dim"}
MEANING = (
    "SLOWER: worse, whatever the metric (more time, memory or energy; fewer images/s). change: head over base, by means"
    " over rounds; interval: its 95 % confidence interval, each line by itself; rounds: processes a side; needed:"
    f" rounds a side that would decide it. {WORDS}"
)


def amounts(verdict: Verdict) -> tuple[str, str]:
    """Return base and head as text, the second with the metric's unit; `-` for a missing one."""
    base, head = ("-" if value is None else digits(value) for value in (verdict.base, verdict.head))
    return base, f"{head} {METRICS[verdict.metric].unit}"


def rounds(verdict: Verdict) -> str:
    base, head = verdict.rounds
    return f"{min(verdict.rounds)}" if base == head else f"{base}, {head}"


def wanted(verdict: Verdict) -> str:
    """Return the rounds a side that would decide an AMBIGUOUS verdict; `-` where no number would."""
    if verdict.kind in (PROCESS, "common"):
        return "-"
    return str(verdict.wanted) if verdict.wanted else f">{MAX_ROUNDS}"


def print_comparison(out: Console, comparison: Comparison, every: bool = False, steps: Iterable[str] = ()) -> None:
    """Print the cases that changed or cannot be told, the roll-up, what is doubtful, the next `steps`, and the finding.

    The finding is last, next to the prompt. With `every`, SAME verdicts and all AMBIGUOUS ones are listed, too.
    """
    _print_cases(out, comparison, every)
    _print_rollup(out, comparison, every)
    for text in without_zero(comparison) + by_reason(comparison.of(AMBIGUOUS)):
        out.print(text, markup=False, style="yellow")
    if comparison.counts[SAME] and not every:
        out.print(f"{same_line(comparison)} (--all lists them)", markup=False, style="dim")
    for text in without(comparison):
        out.print(text, markup=False, style="red" if text.startswith("failed") else "dim")
    if comparison.verdicts:
        out.print(MEANING, markup=False, style="dim")
    out.print()
    for text in summary(comparison):
        out.print(text, markup=False)
    for step in steps:
        out.print(step, markup=False, soft_wrap=True)
    text, word = finding(comparison)
    out.print()
    out.print(text, markup=False, style=f"bold {FINDING_COLOURS[word]}")


def ordered_cases(comparison: Comparison, every: bool) -> tuple[list[list[Verdict]], list[Verdict]]:
    """Return the verdicts of each case that changed but SAME ones, the worst case first, and those of other cases.

    Of others those are listed of which no verdict is known, the largest change first. With `every`, SAME ones are in
    both.
    """
    wanted_words = (SLOWER, FASTER, AMBIGUOUS, SAME) if every else (SLOWER, FASTER, AMBIGUOUS)
    has_changed = {one.case for one in comparison.of(SLOWER, FASTER)}
    verdicts = [one for one in listed(comparison.of(*wanted_words), every) if every or one.ratio is not None]
    changed = by_case(one for one in verdicts if one.case in has_changed)
    changed.sort(key=lambda ones: -max(one.worse for one in ones if one.word in (SLOWER, FASTER)))
    return changed, sorted((one for one in verdicts if one.case not in has_changed), key=lambda one: -abs(one.worse))


def by_case(verdicts: Iterable[Verdict]) -> list[list[Verdict]]:
    """Return the verdicts of each case together, in the order of its first, and of metrics."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        groups.setdefault(verdict.case, []).append(verdict)
    return [sorted(ones, key=lambda one: list(METRICS).index(one.metric)) for ones in groups.values()]


def _print_cases(out: Console, comparison: Comparison, every: bool) -> None:
    """Print the cases of `ordered_cases`, a line a metric.

    Without `every` they are SHOWN_CASES that changed, and SHOWN verdicts on others; UNPROVEN where nothing was judged.
    """
    changed, others = ordered_cases(comparison, every)
    cases = len(changed) if every else SHOWN_CASES
    count = len(others) if every else SHOWN if comparison.judged else UNPROVEN
    rows = [
        (one, (change(one), interval(one), wanted(one) if one.word == AMBIGUOUS else "", *amounts(one), rounds(one)))
        for ones in changed[:cases] + by_case(others[:count])
        for one in ones
    ]
    _print_rows(out, ("change", "interval", "needed", "base", "head", "rounds"), rows)
    if (more := len(changed) - cases) > 0:
        out.print(f"and {more} more {plural(more, 'case')} that changed (--all lists them)", style="dim")
    if (more := len(others) - count) > 0:
        out.print(f"and {more} more AMBIGUOUS, with smaller changes (--all lists them)", style="dim")
    if rows:
        out.print()


def _print_rows(out: Console, titles: tuple[str, ...], rows: Sequence[tuple[Verdict, tuple[str, ...]]]) -> None:
    """Print a line a verdict below the name of its case, which is too long for a column of an 80-character table."""
    if not rows:
        return
    columns = list(zip(*(cells for _, cells in rows), strict=True))
    widths = [max(map(len, (title, *column))) for title, column in zip(titles, columns, strict=True)]
    room, fitting = out.width - 3 - METRIC_WIDTH - WORD_WIDTH, []
    for place, width in enumerate(widths):
        if any(columns[place]) and (room := room - width - 2) >= -1:
            fitting.append(place)
    if fitting and titles[fitting[-1]] == "base":  # which says nothing without head
        fitting.pop()

    def line(metric: str, word: str, cells: tuple[str, ...]) -> str:
        padded = (f"{cells[place]:>{widths[place]}}" for place in fitting)
        return f"  {metric:<{METRIC_WIDTH}} {word:<{WORD_WIDTH}} " + "  ".join(padded)

    out.print(line("metric", "verdict", titles), style="bold", markup=False)
    case = ""
    for verdict, cells in rows:
        if verdict.case != case:
            out.print(verdict.case, markup=False)
            case = verdict.case
        out.print(line(verdict.metric, verdict.word, cells).rstrip(), style=COLOURS[verdict.word], markup=False)


def listed_rollup(comparison: Comparison, every: bool) -> list[RollUp]:
    """Return the roll-ups of several cases in which something changed, or with `every` all: the worst variant first."""
    shown = [one for one in comparison.rollup if one.cases > 1 and (every or one.changed or (one.open and one.is_past))]
    worst: dict[str, float] = {}
    for one in shown:
        worst[one.name] = max(one.worse, worst.get(one.name, -inf))
    return sorted(shown, key=lambda one: (one.variant != "", -worst[one.name], one.name))


def leading_rollup(rows: Sequence[RollUp], most: int) -> list[RollUp]:
    """Return the rows to show first, about `most`: of LEADING's metrics and of the variants that changed most."""
    metrics = [name for name in dict.fromkeys((*LEADING, *METRICS)) if any(one.metric == name for one in rows)]
    leading = [one for one in rows if one.metric in metrics[:LEADING_METRICS]]
    size: dict[str, float] = {}
    for one in leading:
        size[one.name] = max(abs(one.worse) if one.variant else inf, size.get(one.name, 0.0))
    groups = max(1, most // max(1, min(len(metrics), LEADING_METRICS)))
    names = sorted(size, key=lambda name: -size[name])[:groups]
    return [one for one in leading if one.name in names]


def _print_rollup(out: Console, comparison: Comparison, every: bool) -> None:
    """Print a line a metric below the name of a variant: the geometric mean of its cases' ratios, and their counts."""
    rows = listed_rollup(comparison, every)
    shown = rows if every else leading_rollup(rows, SHOWN_ROWS)
    if not shown:
        return
    out.print(f"  {'by variant':<{METRIC_WIDTH}} {'change':>7} {'interval':>15}  {ROLLUP_TITLES}", style="bold")
    name = ""
    for one in shown:
        if one.name != name:
            out.print(one.name, markup=False)
            name = one.name
        counts = "  ".join(f"{count:>4}" for count in (one.slower, one.faster, one.same, one.open))
        cells = f"{rollup_change(one):>7} {rollup_interval(one):>15}  {counts}"
        out.print(f"  {one.metric:<{METRIC_WIDTH}} {cells}", markup=False)
    if more := len(rows) - len(shown):
        out.print(f"and {more} more {plural(more, 'row')} (--all lists them)", style="dim")
    out.print(rollup_basis(comparison.rollup), markup=False, style="dim")
    out.print()


def rollup_change(one: RollUp) -> str:
    """Return the geometric mean of a roll-up's ratios as a change in percent, or a dash."""
    return f"{percent_change(one.ratio)} %" if one.ratio is not None else "-"


def rollup_interval(one: RollUp) -> str:
    """Return a roll-up's interval in percent; `exact` where nothing varies, a dash where there is none."""
    if one.low is None or one.high is None:
        return EXACT if one.basis == EXACT else "-"
    return percent_interval(one.low, one.high)


def rollup_basis(rollup: Sequence[RollUp]) -> str:
    """Return the sentences on what roll-ups are, what their intervals rest on, and why some have none."""
    resting = ", ".join(dict.fromkeys(one.basis for one in rollup if one.low is not None))
    lacking = ", ".join(dict.fromkeys(one.basis for one in rollup if one.low is None and one.basis != EXACT))
    text = "By variant: the geometric mean of head over base of its cases"
    text += f", with Student's 95 % interval, of {resting}" if resting else ""
    text += f"; no interval: {lacking}" if lacking else ""
    shares = {one.metric: one.common for one in rollup if one.common}
    beyond = ", ".join(f"{metric} {percent_change(ratio)} %" for metric, ratio in shares.items())
    return f"{text}." + (f" Cases and variants are without what all share ({beyond}), which all has." if beyond else "")


def without_zero(comparison: Comparison) -> list[str]:
    """Return a line on the AMBIGUOUS changes past their minimum whose interval leaves out 0; none in an empty list."""
    verdicts = [verdict for verdict in comparison.of(AMBIGUOUS) if verdict.kind == "noise" and verdict.is_clear]
    if not verdicts:
        return []
    tests = sum(verdict.p is not None for verdict in comparison.verdicts)
    which = f"{_cases(verdict.case for verdict in verdicts)}: {_metrics(verdicts)}"
    why = f"an interval is 95 % sure by itself, and a verdict surer, corrected for {tests} {plural(tests, 'test')}"
    return [f"AMBIGUOUS although the interval leaves out 0: {which}: {why}"]


def by_reason(verdicts: Iterable[Verdict]) -> list[str]:
    """Return a line for each reason, other than noise, that left verdicts AMBIGUOUS."""
    groups: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        if verdict.kind not in ("noise", "common"):
            groups.setdefault(verdict.reason, []).append(verdict)
    return [
        f"AMBIGUOUS: {_cases(verdict.case for verdict in group)}: {_metrics(group)}: {reason}"
        for reason, group in groups.items()
    ]


def _metrics(verdicts: list[Verdict]) -> str:
    names = {verdict.metric for verdict in verdicts}
    return ", ".join(name for name in METRICS if name in names)


def _cases(names: Iterable[str]) -> str:
    return summarize_cases([Case.parse(name) for name in dict.fromkeys(names)])


def same_line(comparison: Comparison) -> str:
    same = comparison.of(SAME)
    return f"SAME: {_cases(verdict.case for verdict in same)}: {_metrics(same)}"


def without(comparison: Comparison) -> list[str]:
    """Return a line for each kind of case and metric that has no verdict, and for each harmless difference."""
    lines = [
        f"failed in head, {failed.rounds} of {failed.of} {plural(failed.of, 'round')}: {failed.case}: {failed.status}:"
        f" {failed.reason}"
        for failed in comparison.failed
    ]
    reasons: dict[str, list[str]] = {}
    for case, reason in comparison.missing.items():
        reasons.setdefault(reason, []).append(case)
    lines += [f"missing in head: {_cases(cases)}{': ' if reason else ''}{reason}" for reason, cases in reasons.items()]
    for text, cases in (
        ("new in head", comparison.new),
        ("measured, but not by these metrics", comparison.unmeasured),
        ("not measured on either side", comparison.nowhere),
    ):
        lines += [f"{text}: {_cases(cases)}"] if cases else []
    for metric, counts in comparison.one_sided.items():
        lines += [f"{metric}: {side} alone has it, in {n} {plural(n, 'case')}" for side, n in counts.items()]
    lines += [f"also differs, but the two can be compared: {text}" for text in comparison.harmless]
    return lines


def comparison_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return every verdict for `--csv`: the unit is that of its metric; then the cases without a verdict."""
    rows = []
    for verdict in comparison.of(SLOWER, FASTER, AMBIGUOUS, SAME):
        base, head = verdict.rounds
        row = {name: value for name, value in vars(verdict).items() if name != "rounds"}
        row |= {"unit": METRICS[verdict.metric].unit, "base_rounds": base, "head_rounds": head}
        rows.append({"case": verdict.case, "metric": verdict.metric, "verdict": row.pop("word")} | row)
    rows += [{"case": one.case, "verdict": "failed in head", "reason": one.reason} for one in comparison.failed]
    rows += [{"case": case, "verdict": "missing in head", "reason": why} for case, why in comparison.missing.items()]
    return rows + [{"case": case, "verdict": "new in head"} for case in comparison.new]
