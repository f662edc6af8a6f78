"""A comparison as a person reads it: sentences, a table on the terminal, Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console

from bench.plans.case import Case
from bench.plans.words import summarize_cases
from bench.text import WORDS, digits, markdown_cell, markdown_table, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import HOPELESS

SHOWN = 20  # of what is AMBIGUOUS, unless all is asked for
ENDLESS = 60  # rounds a side; more are not advised
METRIC, VERDICT = max(map(len, METRICS)), len(AMBIGUOUS)
COLOURS = {SLOWER: "red", FASTER: "green", AMBIGUOUS: "yellow", SAME: "dim"}
MEANING = (
    "SLOWER: worse, whatever the metric (more time, memory or energy; fewer images/s). change: head over base, by means"
    " over rounds; interval: its 95 % confidence interval, each line by itself; rounds: processes a side; needed:"
    f" rounds a side that would decide it. {WORDS}"
)


def sentences(found: Comparison) -> list[str]:
    """What came out: the counts, the worst, and what makes it doubtful."""
    cases = {one.case for one in found.verdicts}
    counts = ", ".join(f"{number} {word}" for word, number in found.counts.items())
    said = [f"{counts}: {len(found.verdicts)} verdicts on {len(cases)} {plural(len(cases), 'case')}."]
    if worst := found.of(SLOWER)[:1]:
        said.append(f"The worst: {worst[0].case}, {worst[0].metric} {change(worst[0])}{_interval_of(worst[0])}.")
    if best := found.of(FASTER)[-1:]:
        said.append(f"The best: {best[0].case}, {best[0].metric} {change(best[0])}{_interval_of(best[0])}.")
    if found.failed:
        said.append(f"{len(found.failed)} failed in head and not in base.")
    if found.allowed:
        said.append(f"Compared although these differ (--allow): {'; '.join(found.allowed)}.")
    if found.apart:
        said.append(_apart(found))
    return said


def _apart(found: Comparison) -> str:
    text = "Base and head did not take turns, so a machine that changed between them would look like the code"
    latency = [one for one in found.verdicts if one.metric == "latency" and not one.paired]
    for word in (SLOWER, FASTER):
        moved = sorted(one.ratio for one in latency if one.word == word and one.ratio)
        if len(latency) > 2 and len(moved) > len(latency) / 2:
            middle = _signed(moved[len(moved) // 2])
            return (
                f"{text}: and the latency of {len(moved)} of {len(latency)} cases changed together, by about {middle}."
            )
    return f"{text}."


def advice(found: Comparison, plan: str, head: str) -> list[str]:
    """What to do next: commands."""
    said = []
    if worst := found.of(SLOWER)[:1]:
        said.append(f"Where the time goes: bench layers {worst[0].case}")
    wanted = [one.wanted for one in found.of(AMBIGUOUS) if one.wanted and one.wanted <= ENDLESS]
    if wanted:
        which = f"{len(wanted)} of {found.counts[AMBIGUOUS]} AMBIGUOUS"
        more = f"bench run {plan or 'PLAN'} -o {head} --resume --rounds {max(wanted)}"
        said.append(f"To decide {which}, more rounds on both sides, each at its commit: {more}")
    return said


def _signed(ratio: float) -> str:
    return f"{100 * (ratio - 1):+.1f} %"


def change(one: Verdict) -> str:
    return _signed(one.ratio) if one.ratio is not None else "-"


def interval(one: Verdict) -> str:
    if one.low is None or one.high is None:
        return "exact" if one.word != AMBIGUOUS else "-"
    return f"{100 * (one.low - 1):+.1f} to {100 * (one.high - 1):+.1f}"


def _interval_of(one: Verdict) -> str:
    return f" ({interval(one)})" if one.low is not None else ""


def amounts(one: Verdict) -> tuple[str, str]:
    """Base and head, with as many digits as tell them apart."""
    unit = METRICS[one.metric].unit

    def said(value: float | None) -> str:
        return "-" if value is None else digits(value)

    return said(one.base), f"{said(one.head)} {unit}"


def rounds(one: Verdict) -> str:
    return f"{min(one.rounds)}" if one.rounds[0] == one.rounds[1] else f"{one.rounds[0]}, {one.rounds[1]}"


def wanted(one: Verdict) -> str:
    """Rounds a side that would decide it."""
    return str(one.wanted) if one.wanted else f">{HOPELESS}"


def show(out: Console, found: Comparison, every: bool = False) -> None:
    """The sentences, what is SLOWER and FASTER, what is AMBIGUOUS and why, and what has no verdict."""
    for place, text in enumerate(sentences(found)):
        out.print(text, markup=False, style="bold" if place == 0 else None)
    out.print()
    _changed(out, found.of(SLOWER, FASTER, *([SAME] if every else [])))
    _ambiguous(out, found.of(AMBIGUOUS), every)
    if found.counts[SAME] and not every:
        out.print(f"{_same(found)} (--all lists them)", markup=False, style="dim")
    for text in without(found):
        out.print(text, markup=False, style="red" if text.startswith("failed") else "dim")
    if found.verdicts:
        out.print(MEANING, markup=False, style="dim")


def _changed(out: Console, verdicts: list[Verdict]) -> None:
    cells = [(one, (*amounts(one), change(one), interval(one), rounds(one))) for one in verdicts]
    _lines(out, ("base", "head", "change", "interval", "rounds"), cells)


def _ambiguous(out: Console, verdicts: list[Verdict], every: bool) -> None:
    """Those that noise left open one by one; those without rounds to judge, together."""
    noisy = sorted((one for one in verdicts if one.kind == "noise" or every), key=lambda one: -abs(one.worse))
    listed = sorted(noisy if every else noisy[:SHOWN], key=lambda one: one.case)
    cells = [(one, (change(one), interval(one), rounds(one), wanted(one))) for one in listed]
    _lines(out, ("change", "interval", "rounds", "needed"), cells)
    if len(noisy) > len(listed):
        out.print(
            f"and {len(noisy) - len(listed)} more AMBIGUOUS, with smaller changes (--all lists them)", style="dim"
        )
    for text in together(verdicts):
        out.print(text, markup=False, style="yellow")


def _lines(out: Console, titles: tuple[str, ...], rows: Sequence[tuple[Verdict, tuple[str, ...]]]) -> None:
    """A line a verdict under the name of its case, which is longer than a column of 80 characters' share."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(titles, *(cells for _, cells in rows), strict=True)]

    def line(name: str, word: str, cells: tuple[str, ...]) -> str:
        set_right = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        return f"  {name:<{METRIC}} {word:<{VERDICT}} " + "  ".join(set_right)

    out.print(line("metric", "verdict", titles), style="bold", markup=False)
    last = ""
    for one, cells in rows:
        if one.case != last:
            out.print(one.case, markup=False)
            last = one.case
        out.print(line(one.metric, one.word, cells), style=COLOURS[one.word], markup=False)
    out.print()


def together(verdicts: Iterable[Verdict]) -> list[str]:
    """Of AMBIGUOUS verdicts that no noise is to blame for: a line for each reason."""
    groups: dict[str, list[Verdict]] = {}
    for one in verdicts:
        if one.kind != "noise":
            groups.setdefault(one.reason, []).append(one)
    return [
        f"AMBIGUOUS: {_cases(one.case for one in group)}: {_metrics(group)}: {reason}"
        for reason, group in groups.items()
    ]


def _metrics(verdicts: list[Verdict]) -> str:
    has = {one.metric for one in verdicts}
    return ", ".join(name for name in METRICS if name in has)


def _cases(names: Iterable[str]) -> str:
    return summarize_cases([Case.parse(name) for name in dict.fromkeys(names)])


def _same(found: Comparison) -> str:
    return f"SAME: {_cases(one.case for one in found.of(SAME))}: {_metrics(found.of(SAME))}"


def without(found: Comparison) -> list[str]:
    """A line for each kind of case and metric that has no verdict, and for what else differs."""
    said = [
        f"failed in head, {one.rounds} of {one.of} rounds: {one.case}: {one.status}: {one.reason}"
        for one in found.failed
    ]
    reasons: dict[str, list[str]] = {}
    for case, reason in found.missing.items():
        reasons.setdefault(reason, []).append(case)
    said += [f"missing in head: {_cases(cases)}{': ' if reason else ''}{reason}" for reason, cases in reasons.items()]
    for text, cases in (
        ("new in head", found.new),
        ("measured, but not by these metrics", found.unmeasured),
        ("not measured on either side", found.nowhere),
    ):
        said += [f"{text}: {_cases(cases)}"] if cases else []
    for metric, alone in found.one_sided.items():
        said += [f"{metric}: {side} alone has it, in {count} cases" for side, count in alone.items()]
    said += [f"also differs, but the two can be compared: {text}" for text in found.told]
    return said


def markdown(found: Comparison, every: bool = False) -> str:
    """As `show`, in Markdown; equal comparisons give equal text."""
    said = sentences(found)
    lines = [f"**{said[0]}**", *said[1:], ""]
    noisy = sorted((v for v in found.of(AMBIGUOUS) if v.kind == "noise" or every), key=lambda one: -abs(one.worse))
    shown = len(noisy) if every else SHOWN
    listed = found.of(SLOWER, FASTER) + noisy[:shown]
    listed += found.of(SAME) if every else []
    if listed:
        titles = ("case", "metric", "verdict", "base", "head", "change", "interval", "rounds", "why")
        rows = (
            (one.case, one.metric, one.word, *amounts(one), change(one), interval(one), rounds(one), one.reason)
            for one in listed
        )
        lines += [*markdown_table(titles, rows, ("case", "metric", "verdict", "why")), ""]
    notes = [f"and {len(noisy) - shown} more AMBIGUOUS, with smaller changes"] if len(noisy) > shown else []
    notes += [] if every else together(found.of(AMBIGUOUS))
    if found.counts[SAME] and not every:
        notes.append(_same(found))
    lines += [f"- {markdown_cell(text)}" for text in notes + without(found)]
    return "\n".join([*lines, "", MEANING]) + "\n"
