"""A comparison for a reader: sentences, a table on the terminal, Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console

from bench.plans.case import Case
from bench.plans.words import summarize_cases
from bench.text import WORDS, digits, markdown_cell, markdown_table, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS, PROCESS
from bench.verdicts.rule import MAX_ROUNDS
from bench.verdicts.summary import change, interval, listed, summary

SHOWN = 20  # AMBIGUOUS verdicts that are listed without --all
UNPROVEN = 6  # where the rounds prove none of them
METRIC_WIDTH, WORD_WIDTH = max(map(len, METRICS)), len(AMBIGUOUS)
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


def print_comparison(out: Console, comparison: Comparison, every: bool = False) -> None:
    """Print the summary, the SLOWER and FASTER verdicts, the AMBIGUOUS ones with reasons, and cases without one.

    With `every`, SAME verdicts and all AMBIGUOUS ones are listed, too.
    """
    for place, text in enumerate(summary(comparison)):
        out.print(text, markup=False, style="bold" if place == 0 else None)
    out.print()
    changed = listed(comparison.of(SLOWER, FASTER, *([SAME] if every else [])), every)
    cells = [(v, (*amounts(v), change(v), interval(v), rounds(v))) for v in changed]
    _print_rows(out, ("base", "head", "change", "interval", "rounds"), cells)
    _print_ambiguous(out, comparison, every)
    if comparison.counts[SAME] and not every:
        out.print(f"{_same(comparison)} (--all lists them)", markup=False, style="dim")
    for text in without(comparison):
        out.print(text, markup=False, style="red" if text.startswith("failed") else "dim")
    if comparison.verdicts:
        out.print(MEANING, markup=False, style="dim")


def _listed(comparison: Comparison, every: bool) -> tuple[list[Verdict], list[str]]:
    """Return the AMBIGUOUS verdicts to list, the largest change first, and a note on those that are left out.

    Without `every`, they are the first SHOWN of those that have one, or fewer where nothing could be judged.
    """
    ambiguous = listed(comparison.of(AMBIGUOUS), every)
    shown = [verdict for verdict in ambiguous if every or verdict.ratio is not None]
    shown.sort(key=lambda verdict: -abs(verdict.worse))
    count = len(shown) if every else SHOWN if comparison.judged else UNPROVEN
    more = len(shown) - count
    return shown[:count], [f"and {more} more AMBIGUOUS, with smaller changes"] * (more > 0)


def _print_ambiguous(out: Console, comparison: Comparison, every: bool) -> None:
    ambiguous, notes = _listed(comparison, every)
    cells = [(v, (change(v), interval(v), rounds(v), wanted(v))) for v in sorted(ambiguous, key=lambda v: v.case)]
    _print_rows(out, ("change", "interval", "rounds", "needed"), cells)
    for note in notes:
        out.print(f"{note} (--all lists them)", style="dim")
    for text in without_zero(comparison) + by_reason(comparison.of(AMBIGUOUS)):
        out.print(text, markup=False, style="yellow")


def _print_rows(out: Console, titles: tuple[str, ...], rows: Sequence[tuple[Verdict, tuple[str, ...]]]) -> None:
    """Print a line a verdict below the name of its case, which is too long for a column of an 80-character table."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(titles, *(cells for _, cells in rows), strict=True)]

    def line(metric: str, word: str, cells: tuple[str, ...]) -> str:
        padded = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return f"  {metric:<{METRIC_WIDTH}} {word:<{WORD_WIDTH}} " + "  ".join(padded)

    out.print(line("metric", "verdict", titles), style="bold", markup=False)
    case = ""
    for verdict, cells in rows:
        if verdict.case != case:
            out.print(verdict.case, markup=False)
            case = verdict.case
        out.print(line(verdict.metric, verdict.word, cells), style=COLOURS[verdict.word], markup=False)
    out.print()


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


def _same(comparison: Comparison) -> str:
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


def comparison_markdown(comparison: Comparison, every: bool = False) -> str:
    """Return what `print_comparison` prints as Markdown; equal comparisons give equal text."""
    sentences = summary(comparison)
    lines = [f"**{sentences[0]}**", *sentences[1:], ""]
    ambiguous, notes = _listed(comparison, every)
    chosen = listed(comparison.of(SLOWER, FASTER), every) + ambiguous + (comparison.of(SAME) if every else [])
    if chosen:
        titles = ("case", "metric", "verdict", "base", "head", "change", "interval", "rounds", "why")
        rows = ((v.case, v.metric, v.word, *amounts(v), change(v), interval(v), rounds(v), v.reason) for v in chosen)
        lines += [*markdown_table(titles, rows, ("case", "metric", "verdict", "why")), ""]
    notes += without_zero(comparison) + ([] if every else by_reason(comparison.of(AMBIGUOUS)))
    if comparison.counts[SAME] and not every:
        notes.append(_same(comparison))
    lines += [f"- {markdown_cell(text)}" for text in notes + without(comparison)]
    return "\n".join([*lines, "", MEANING]) + "\n"
