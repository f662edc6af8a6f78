"""The sentences on a comparison's outcome, the first of which has the counts."""

from __future__ import annotations

from collections.abc import Iterable

from bench.commands import command_line
from bench.text import percent_change, percent_interval, plural
from bench.verdicts.compare import AMBIGUOUS, FASTER, SAME, SLOWER, Comparison, Verdict
from bench.verdicts.rule import RULE
from bench.verdicts.serial import MIN_CASES
from bench.verdicts.verdict import LEAST_SHARED, Moved, Smallest

GAP = f"{100 * RULE.gap:g} %"


def summary(comparison: Comparison) -> list[str]:
    """Return sentences on the outcome: the counts, the worst and the best change, and what makes it doubtful."""
    cases = {verdict.case for verdict in comparison.verdicts}
    counts = ", ".join(f"{count} {word}" for word, count in comparison.counts.items())
    number = len(comparison.verdicts)
    sentences = [f"{counts}: {number} {plural(number, 'verdict')} on {len(cases)} {plural(len(cases), 'case')}."]
    if worst := comparison.of(SLOWER)[:1]:
        sentences.append(f"The worst: {_which(worst[0])}.")
    if best := comparison.of(FASTER)[-1:]:
        sentences.append(f"The best: {_which(best[0])}.")
    sentences += _moved(comparison)
    if not comparison.judged:
        sentences.append(_unjudged(comparison))
    sentences += _unproven(comparison)
    sentences += _disturbed_rounds(comparison)
    sentences += _smallest(comparison)
    if comparison.disturbed:
        sentences.append(comparison.disturbed)
    if comparison.failed:
        sentences.append(f"{len(comparison.failed)} failed in head and not in base.")
    if comparison.allowed:
        sentences.append(f"Compared although these differ (--allow): {'; '.join(comparison.allowed)}.")
    if comparison.apart and (comparison.judged or comparison.of(SLOWER, FASTER)):
        sentences += _apart(comparison)
    return sentences


def change(verdict: Verdict) -> str:
    """Return the change of a verdict in percent, or a dash."""
    return f"{percent_change(verdict.ratio)} %" if verdict.ratio is not None else "-"


def interval(verdict: Verdict) -> str:
    """Return the interval of a verdict's change; `exact` where nothing varies, a dash where there is none."""
    if verdict.low is None or verdict.high is None:
        return "exact" if verdict.word != AMBIGUOUS else "-"
    return percent_interval(verdict.low, verdict.high)


def _which(verdict: Verdict) -> str:
    """Return the case, the metric and the change of a verdict, with its interval and what it is without."""
    within = f" ({interval(verdict)})" if verdict.low is not None else ""
    shared = verdict.common if verdict.common and abs(verdict.common - 1) >= LEAST_SHARED else None
    beyond = f", beyond the {percent_change(shared)} % of all cases" if shared else ""
    return f"{verdict.case}, {verdict.metric} {change(verdict)}{within}{beyond}"


def _unjudged(comparison: Comparison) -> str:
    """Return a sentence where no metric that varies could be tested."""
    if any(verdict.by_separation for verdict in comparison.of(SLOWER, FASTER)):
        return f"Too few rounds for a test: only where every round is apart by more than {GAP} is there a verdict."
    settled = len(comparison.of(SLOWER, FASTER, SAME))
    by = " by a metric that varies" if settled else ""
    so = "" if comparison.of(SLOWER) else ", so this is neither a pass nor a failure"
    return f"No case could be judged{by}{so}."


def _unproven(comparison: Comparison) -> list[str]:
    """Return what a verdict takes that these rounds are not, and the largest change that is not proven, if any."""
    ambiguous = [verdict for verdict in comparison.of(AMBIGUOUS) if verdict.kind != "common"]
    rounds = [min(verdict.rounds) for verdict in ambiguous if verdict.kind == "rounds"]
    sentences = []
    if rounds:
        most = f"{max(rounds)}{' at most' * (min(rounds) < max(rounds))}"
        verb = plural(len(rounds), "has", "have")
        few = f"{len(rounds)} of {len(comparison.verdicts)} {verb} {most}" if comparison.judged else f"here are {most}"
        sentences.append(f"A verdict takes {RULE.min_rounds} rounds a side: {few}.")
    changed = [verdict for verdict in ambiguous if verdict.ratio is not None]
    if largest := max(changed, key=lambda verdict: abs(verdict.worse), default=None):
        sentences.append(f"The largest change, not proven: {_which(largest)}.")
    return sentences


def _moved(comparison: Comparison) -> list[str]:
    """Return a sentence on what most cases moved alike between two sittings, and one on it in turns."""
    sentences = []
    if apart := [one for one in comparison.moved if not one.paired]:
        past = any(one.past for one in apart)
        tells = f"`{command_line('ab', 'BASE', 'HEAD')}` would tell"
        so = tells if past else "within the minimum, and taken off before each was judged"
        open_ones = sum(verdict.kind == "common" for verdict in comparison.verdicts)
        sentences.append(f"{_list(apart)}: the machine, or what they share; {so}.")
        if open_ones:
            sentences.append(f"For that alone {open_ones} {plural(open_ones, 'verdict is', 'verdicts are')} AMBIGUOUS.")
    if turns := [one for one in comparison.moved if one.paired and one.past]:
        sentences.append(f"{_list(turns)}, in turns: so not the machine, but what they share.")
    return sentences


def _list(moved: list[Moved]) -> str:
    """Return how many cases moved alike, by how much in each metric."""
    by_share: dict[str, list[str]] = {}
    for one in moved:
        share = f"{one.cases} of {one.of}" if one.cases < one.of else f"all {one.of}"
        size = f"{percent_change(one.ratio)} % ({percent_interval(one.low, one.high)})"
        by_share.setdefault(share, []).append(f"{one.metric} by {size}")
    text = "; ".join(f"{share} cases moved alike, {', '.join(texts)}" for share, texts in by_share.items())
    return text[0].upper() + text[1:]


def _disturbed_rounds(comparison: Comparison) -> list[str]:
    """Return a sentence on the rounds of a side from which something was taken off."""
    by_round: dict[tuple[str, int], list[str]] = {}
    for one in comparison.disturbed_rounds:
        by_round.setdefault((one.side, one.round), []).append(f"{one.metric} {percent_change(one.ratio)} %")
    rounds = (f"round {number} of {side} ({', '.join(texts)})" for (side, number), texts in by_round.items())
    text = ", ".join(rounds)
    return [f"Disturbed as a whole, which is taken off: {text}."] if text else []


def _smallest(comparison: Comparison) -> list[str]:
    """Return a sentence on the smallest changes that this comparison detects nine times in ten."""
    sentences = []
    for tested in (True, False):
        texts = [_sizes(one) for one in comparison.smallest if one.tested == tested]
        if texts:
            rounds = max(one.rounds for one in comparison.smallest if one.tested == tested)
            few = f" with {rounds} rounds, if every round keeps apart by {GAP}" * (not tested)
            sentences.append(f"What this finds nine times in ten{few}: {'; '.join(texts)}.")
    return sentences


def _sizes(one: Smallest) -> str:
    median, noisiest = (f"{100 * size:.1f}" if size < 10 else ">1000" for size in (one.median, one.noisiest))
    alone = "" if median == noisiest else f" in the median case, {noisiest} % in the noisiest"
    return f"{one.metric} changes of {median} %{alone}"


def _apart(comparison: Comparison) -> list[str]:
    """Return what records of two sittings cannot tell."""
    text = "Base and head did not take turns, so a machine that changed between them would look like the code"
    latency = [verdict for verdict in comparison.verdicts if verdict.metric == "latency" and not verdict.paired]
    if len({verdict.case for verdict in comparison.verdicts if not verdict.paired}) >= MIN_CASES:
        serial = max(comparison.serial.values(), default=0.0)
        alike = f" Neighbouring rounds seem alike (correlation {serial:.2f}): intervals are wider for it." * bool(
            serial
        )
        return [f"{text} where it did not change all cases alike.{alike}"]
    text += ", and so would rounds that hang together"
    for word in (SLOWER, FASTER):
        ratios = sorted(verdict.ratio for verdict in latency if verdict.word == word and verdict.ratio)
        if len(latency) > 2 and len(ratios) > len(latency) / 2:
            which = f"the latency of {len(ratios)} of {len(latency)} cases"
            return [f"{text}: and {which} changed together, by about {percent_change(ratios[len(ratios) // 2])} %."]
    return [f"{text}."]


def listed(verdicts: Iterable[Verdict], every: bool) -> list[Verdict]:
    """Return the verdicts that have a line: not those for what all cases did alike, on which there is a sentence."""
    return [one for one in verdicts if every or (one.kind != "common" and (not one.alike or one.word == AMBIGUOUS))]
