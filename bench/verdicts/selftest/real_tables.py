"""The results of real runs of `bench selftest` as sentences and a table."""

from __future__ import annotations

from statistics import median
from typing import Any

from bench.stats import share_interval
from bench.verdicts.selftest.cells import Block, grouped, percent

PER_CASE = 0.005  # the target of false alarms per case
WORDS = SLOWER, _, _, FASTER = ("SLOWER", "AMBIGUOUS", "SAME", "FASTER")  # bench.verdicts.rule's, without its scipy


def provenance(results: dict[str, Any]) -> str:
    """Return sentences on the command, the machine and the number of comparisons behind the results."""
    by, setting = results["made"], results["setting"]
    repeats = len(grouped(results["tests"], "delay", "repeat"))
    text = (
        f"Made by `{by['command']}` ({by['date']}, commit {by['commit']}): `bench ab` of one commit with itself,"
        f" {repeats} times, of {setting['rounds']} rounds at most, looked at after"
        f" {', '.join(map(str, setting['looks']))}. {results['machine']}"
    )
    text += " It was stopped early." if setting["cut"] else ""
    return text + "".join(f" Failed: {' '.join(line.split())}." for line in results["failed"])


def verdict(results: dict[str, Any]) -> str:
    """Return a sentence with the false alarms, and with what each delay gave."""
    alarms, cases = false_alarms(results)
    text = f"Identical code: {alarms} of {cases} cases with a false alarm"
    if cases:
        upper = share_interval(alarms, cases, 0.9)[1]  # which its upper end alone holds with 95 %
        text += f" (the rate is, with 95 % confidence, at most {percent(upper)}; target {percent(PER_CASE)})"
    for (delay,), rows in sorted(grouped(results["tests"], "delay").items()):
        slower = sum(row["word"] == SLOWER for row in rows)
        text += f"; of +{percent(delay)}, {slower} of {len(rows)} verdicts SLOWER" if delay else ""
    return text + "."


def false_alarms(results: dict[str, Any]) -> tuple[int, int]:
    """Return how many cases of identical code had a SLOWER or FASTER in any metric, and how many cases there were."""
    cases = grouped((row for row in results["tests"] if not row["delay"]), "repeat", "case")
    return sum(any(row["word"] in (SLOWER, FASTER) for row in rows) for rows in cases.values()), len(cases)


def p_value(alarms: int, cases: int) -> float:
    """Return the chance of at least as many false alarms at the rate PER_CASE."""
    from scipy.stats import binom

    return float(binom.sf(alarms - 1, cases, PER_CASE))


def table(results: dict[str, Any]) -> Block:
    """Return the table of verdicts by delay and metric."""
    lines = []
    groups = grouped(results["tests"], "delay", "metric")
    for (delay, metric), rows in sorted(groups.items(), key=lambda group: group[0][0]):
        counts = (str(sum(row["word"] == word for row in rows)) for word in WORDS)
        cells = (f"+{percent(delay)}" if delay else "none", metric, *counts)
        lines.append((*cells, _median(rows, "slower", 1), _median(rows, "noise", 0)))
    return Block(
        "Real runs: cases by verdict, over all repeats",
        ("delay", "metric", *WORDS, "measured", "noise"),
        2,
        lines,
        (
            "measured: how much slower head was, the median over cases and repeats",
            "noise: standard deviation of log(head / base) between rounds, the median; of two alike processes that are"
            " independent, 1.4 times that of one, which is what the simulation's noise is",
        ),
    )


def _median(rows: list[dict[str, Any]], key: str, offset: float) -> str:
    """Return the median of a key minus `offset` in percent, with a sign where there is an offset."""
    values = [row[key] - offset for row in rows if row[key] is not None]
    if not values:
        return "-"
    return f"{100 * median(values):{'+' if offset else ''}.2f} %"
