"""The finding of a comparison in one line: what got slower or faster by how much, or that nothing did, or why not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from bench.commands import command_line
from bench.plans.case import Case
from bench.text import percent_change, percent_interval, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.metrics import METRICS
from bench.verdicts.rule import RULE
from bench.verdicts.summary import interval
from bench.verdicts.verdict import LEAST_SHARED

MOST_METRICS, MOST_VARIANTS = 3, 3  # that the line names


class Finding(NamedTuple):
    """The line, and the word for what it comes to."""

    text: str
    word: str  # SLOWER, FASTER, SAME or AMBIGUOUS


def finding(comparison: Comparison) -> Finding:
    """Return the line, in plain text; a change that is shown comes first, then what cannot be told."""
    clauses = [_changed(comparison, word) for word in (SLOWER, FASTER)]
    failed = len(comparison.failed)
    if failed:
        clauses.insert(1, f"{failed} {plural(failed, 'case')} failed in head that did not in base")
    text = ". ".join(filter(None, clauses))
    alike = _alike(comparison)
    if text:
        word = SLOWER if comparison.regressed else FASTER
        return Finding(". ".join(filter(None, (text, alike))) + ".", word)
    if alike or not comparison.judged:
        return Finding(f"Cannot tell: {alike or _unjudged(comparison)}.", AMBIGUOUS)
    same, open_ones = comparison.of(SAME), comparison.of(AMBIGUOUS)
    if not open_ones:
        return Finding(f"No change in {_cases(same)} beyond {_minimums(same)}.", SAME)
    which = f"{len(open_ones)} of {len(comparison.verdicts)} verdicts"
    shown = f"No change shown: {len(same)} are the same within {_minimums(same)}, " if same else "No change shown: "
    return Finding(f"{shown}{which} cannot be told{_settle(open_ones)}.", SAME if same else AMBIGUOUS)


def word_of(verdict: Verdict) -> str:
    """Return a verdict as a word for a reader: what is no time is worse or better, and not slower or faster."""
    slower, faster = ("slower", "faster") if METRICS[verdict.metric].of_machine else ("worse", "better")
    return {SLOWER: slower, FASTER: faster, SAME: "same"}.get(verdict.word, "?")


def _changed(comparison: Comparison, word: str) -> str:
    """Return what got worse or better: the case if it is one, else how many, of which variants; by how much."""
    verdicts = comparison.of(word)
    if not verdicts:
        return ""
    heads = {word_of(verdict) for verdict in verdicts}
    head = " and ".join(sorted(heads, key=("slower", "faster", "worse", "better").index)).capitalize()
    cases = list(dict.fromkeys(verdict.case for verdict in verdicts))
    by_metric: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_metric.setdefault(verdict.metric, []).append(verdict)
    metrics = sorted(by_metric, key=lambda name: (not METRICS[name].of_machine, list(METRICS).index(name)))
    sizes = [_size(name, by_metric[name]) for name in metrics[:MOST_METRICS]]
    if more := len(metrics) - MOST_METRICS:
        sizes += [f"and {more} more {plural(more, 'metric')}"] * (more > 0)
    if len(cases) == 1:
        return f"{head}: {cases[0]}: {', '.join(sizes)}"
    of = len({verdict.case for verdict in comparison.verdicts})
    return f"{head}: {len(cases)} of {of} cases ({_variants(comparison, cases)}): {', '.join(sizes)}"


def _variants(comparison: Comparison, cases: list[str]) -> str:
    """Return the variants of some cases, those with most cases first, each with the number that were compared."""
    compared = {verdict.case for verdict in comparison.verdicts}
    totals, counts = (Counter(Case.parse(case).variant for case in group) for group in (compared, cases))
    texts = [
        name if totals[name] == 1 else f"{share(count, totals[name])} of {name}"
        for name, count in counts.most_common(MOST_VARIANTS)
    ]
    more = len(counts) - len(texts)
    return ", ".join(texts) + (f", {more} more {plural(more, 'variant')}" if more else "")


def share(count: int, of: int) -> str:
    return f"all {of}" if count == of else f"{count} of {of}"


def _size(metric: str, verdicts: list[Verdict]) -> str:
    """Return the change of a metric, with its interval where it is one case's, or the range of several."""
    ratios = [verdict.ratio for verdict in verdicts if verdict.ratio is not None]
    if not ratios:
        return metric
    low, high = min(ratios), max(ratios)
    alone = percent_change(low) == percent_change(high)
    text = f"{metric} {percent_change(low) if alone else percent_interval(low, high)} %"
    if len(verdicts) == 1 and verdicts[0].low is not None:
        text += f" ({interval(verdicts[0])})"
    shared = verdicts[0].common
    return (
        f"{text} beyond the {percent_change(shared)} % of all cases"
        if shared and abs(shared - 1) >= LEAST_SHARED
        else text
    )


def _alike(comparison: Comparison) -> str:
    """Return what most cases did alike past the minimum, which one verdict each does not say."""
    past = [one for one in comparison.moved if one.past and (one.worse or not one.paired)]
    if not past:
        return ""
    one = past[0]
    size = f"{one.metric} {percent_change(one.ratio)} % ({percent_interval(one.low, one.high)})"
    so = "in turns, so not the machine" if one.paired else "the machine, or what they share"
    tells = "" if one.paired else f"; `{command_line('ab', 'BASE', 'HEAD')}` would tell"
    return f"{share(one.cases, one.of)} cases moved alike, {size}: {so}{tells}"


def _unjudged(comparison: Comparison) -> str:
    """Return why no metric that varies could be judged, and what would settle it."""
    varying = [one for one in comparison.of(AMBIGUOUS) if not METRICS[one.metric].exact] or comparison.of(AMBIGUOUS)
    if not varying:
        return "the two sides have no measured metric in common"
    kind, _ = Counter(one.kind for one in varying).most_common(1)[0]
    rounds = [min(one.rounds) for one in varying if one.kind == kind]
    if kind == "rounds":
        few = f"{max(rounds)}{' at most' * (min(rounds) < max(rounds))}"
        rounds_of = plural(max(rounds), "round")
        return f"{few} {rounds_of} a side, and a verdict takes {RULE.min_rounds}: `--rounds {RULE.min_rounds}` may do"
    reason, _ = Counter(one.reason for one in varying if one.kind == kind).most_common(1)[0]
    return f"{reason}{_settle(varying)}"


def _settle(verdicts: list[Verdict]) -> str:
    """Return how many rounds a side would decide some of these, where any number would."""
    wanted = [verdict.wanted for verdict in verdicts if verdict.wanted]
    if not wanted:
        return ""
    which = "it" if len(verdicts) == 1 else "them" if len(wanted) == len(verdicts) else f"{len(wanted)} of them"
    return f"; {max(wanted)} rounds a side would settle {which}"


def _minimums(verdicts: list[Verdict]) -> str:
    """Return the least changes that count, each with the metrics that it is of."""
    limits: dict[float, list[str]] = {}
    compared = {verdict.metric: verdict.minimum for verdict in verdicts}
    for name in METRICS:
        if name in compared:
            limits.setdefault(compared[name], []).append(name)
    return ", ".join(f"{100 * limit:g} % ({', '.join(names)})" for limit, names in limits.items())


def _cases(verdicts: Iterable[Verdict]) -> str:
    number = len({verdict.case for verdict in verdicts})
    return f"{number} {plural(number, 'case')}"
