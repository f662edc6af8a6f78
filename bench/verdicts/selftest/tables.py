"""The results of `bench selftest`, simulated or by real runs, as tables for docs/METHODOLOGY.md and the terminal."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import StoreError
from bench.files import read_json, reading
from bench.kinds import SELFTEST
from bench.stats import share_interval
from bench.text import markdown_table

# The targets of the rule: false alarms per case and per sweep, and power for +3 % at 1 % noise.
PER_CASE, PER_SWEEP, POWER = 0.005, 0.05, 0.95
SCHEMA = 1
# The file of real runs that the documents show, and the command that writes it.
REAL = Path("results/selftest/real.json")
HOW = f"bench selftest --real smoke -f eager/fp32 -f library-fused/fp32 --input noise --budget 480 -o {REAL}"
WORDS = SLOWER, _, _, FASTER = ("SLOWER", "AMBIGUOUS", "SAME", "FASTER")  # bench.verdicts.rule's, without its scipy
MIN_P = 0.001  # a self-test of a rule that just meets its target fails no more often than this


def section(root: Path, name: str) -> str:
    """Return the Markdown of the file `name` below `root`. Raises StoreError as `read_error_rates` does.

    Real runs need a quiet machine, so their file may be missing; then the section has the command that writes it.
    """
    if Path(name) == REAL and not (root / name).exists():
        return f"Not measured yet: `{HOW}` does, on a quiet machine, in a checkout without changes.\n"
    results = read_error_rates(root / name)
    with reading(root / name, SELFTEST, "make it anew"):
        return error_rates_markdown(results)


def read_error_rates(path: Path) -> dict[str, Any]:
    """Read a file of `bench selftest -o`. Raises StoreError for one that is missing or has other contents."""
    with reading(path, SELFTEST, "make it anew"):
        results = read_json(path, SCHEMA)
    if results["schema"] != SCHEMA or not results.keys() & {"rates", "tests"}:
        raise StoreError(f"{path} is not what this version's bench selftest -o writes: make it anew")
    return results


@dataclass(frozen=True)
class Block:
    """A table: its caption, its columns, the first `words` of which have words, its rows, and the notes below it."""

    caption: str
    titles: tuple[str, ...]
    words: int
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def provenance(results: dict[str, Any]) -> str:
    """Return sentences on the command, the day and the amount of data behind the results."""
    if "tests" in results:
        return _real_provenance(results)
    by, setting = results["made"], results["setting"]
    text = (
        f"Made by `{by['command']}` ({by['date']}, commit {by['commit']}): {setting['sweeps']} simulated sweeps of"
        f" {setting['cases']} cases with {setting['metrics']} metrics, all of one family, {setting['rounds']} rounds"
        " a side. Noise is the standard deviation between processes."
    )
    if spread := results["spread"]:
        text += (
            f" `measured` draws from the rounds of {spread['series']:.0f} series of records, whose noise is"
            f" {_percent(spread['quarter'])} to {_percent(spread['three_quarters'])} (quartiles), at the median"
            f" {_percent(spread['median'])}: {_measured_rates(results)}."
        )
    return text


def _measured_rates(results: dict[str, Any]) -> str:
    (row,) = (row for row in results["rates"] if row["shape"] == "measured")
    return f"false alarms in {_percent(row['per_case'])} of cases and {_percent(row['per_sweep'])} of sweeps"


def verdict(results: dict[str, Any]) -> str:
    """Return a sentence with the error rates and their targets."""
    if "tests" in results:
        return _real_verdict(results)
    case, sweep = (max(row[key] for row in _distinguishable(results)) for key in ("per_case", "per_sweep"))
    text = f"False alarms: at most {_percent(case)} per case and {_percent(sweep)} per sweep (targets"
    text += f" {_percent(PER_CASE)}, {_percent(PER_SWEEP)}) of all noise but `sitting` apart, which no rule can tell"
    at = results["effects"].index(0.03)
    powers = [row["power"][at] for row in results["rates"] if row["shape"] == "normal" and row["noise"] == 0.01]
    if powers:
        text += f"; of +3 % at 1 % normal noise at least {_percent(min(powers))} are found (target {_percent(POWER)})"
    return text + "."


def meets_targets(results: dict[str, Any]) -> bool:
    """Return whether false alarms are as rare as the targets, within the sampling error of their rates."""
    if "tests" in results:
        alarms, cases = false_alarms(results)
        return not results["failed"] and _p_value(alarms, cases) >= MIN_P
    sweeps, cases = results["setting"]["sweeps"], results["setting"]["cases"]
    case = PER_CASE + _sampling_error(PER_CASE, sweeps * cases)
    sweep = PER_SWEEP + _sampling_error(PER_SWEEP, sweeps)
    return all(row["per_case"] <= case and row["per_sweep"] <= sweep for row in _distinguishable(results))


def _sampling_error(share: float, count: int) -> float:
    """Return three standard errors of a share of `count`."""
    return 3 * (share * (1 - share) / count) ** 0.5


def _distinguishable(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rates but those of a machine that differs in the other sitting, as a change of the code would."""
    return [row for row in results["rates"] if (row["shape"], row["design"]) != ("sitting", "apart")]


def error_rates_markdown(results: dict[str, Any]) -> str:
    lines = [provenance(results), "", verdict(results)]
    for block in blocks(results):
        lines += ["", f"{block.caption}:", "", *markdown_table(block.titles, block.rows, block.words)]
        lines += ["", *(f"- {note}" for note in block.notes)] if block.notes else []
    return "\n".join(lines) + "\n"


def blocks(results: dict[str, Any]) -> list[Block]:
    if "tests" in results:
        return [_real(results)]
    blocks = [*_rates(results), _power(results)]
    blocks += [_fewer(results)] if results["fewer_rounds"] else []
    return blocks + (_rules(results) if results["rules"] else [])


def _grouped(rows: Iterable[dict[str, Any]], *keys: str) -> dict[tuple[Any, ...], list[dict[str, Any]]]:
    """Group rows by their values of some keys, in the order of the first of each group."""
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return groups


def _rates(results: dict[str, Any]) -> list[Block]:
    at = results["effects"].index(0.03)
    levels = tuple(map(_percent, results["noise"]))
    alarms, slowdowns = [], []
    simulated = (row for row in results["rates"] if row["shape"] != "measured")  # the measured noise has a single size
    for shape, rows in _grouped(simulated, "shape", "design").items():
        cases = _number(max(row["per_case"] for row in rows))
        alarms.append((*shape, cases, *(_number(row["per_sweep"]) for row in rows)))
        slowdowns.append((*shape, *(_number(row["power"][at]) for row in rows)))
    of_alarms = "False alarms on identical code in percent: of cases, and of sweeps by the size of the noise"
    of_slowdowns = "Slowdowns of 3 % in one case of a sweep that are found, in percent, by the size of the noise"
    meanings = tuple(f"{name}: {meaning}" for name, meaning in results["shapes"].items())
    return [
        Block(of_alarms, ("noise", "rounds", "cases", *levels), 2, alarms, meanings),
        Block(of_slowdowns, ("noise", "rounds", *levels), 2, slowdowns),
    ]


def _power(results: dict[str, Any]) -> Block:
    lines = []
    for row in results["rates"]:
        if row["shape"] in ("normal", "measured"):
            noise = "measured" if row["shape"] == "measured" else _percent(row["noise"])
            lines.append((row["design"], noise, *map(_number, [row["same"], *row["power"]])))
    titles = ("rounds", "noise", "SAME", *(f"+{_percent(effect)}" for effect in results["effects"]))
    caption = "Identical code that is SAME, and slowdowns that are SLOWER, of normal noise, in percent"
    return Block(caption, titles, 2, lines)


def _fewer(results: dict[str, Any]) -> Block:
    shapes = dict.fromkeys(row["shape"] for row in results["fewer_rounds"])
    lines = []
    for (rounds,), rows in _grouped(results["fewer_rounds"], "rounds").items():
        alone = _number(max(row["alone"] for row in rows))
        lines.append((str(rounds), *(_number(row["per_sweep"]) for row in rows), alone))
    caption = "False alarms with fewer rounds, of sweeps of one metric and of one case alone, at 5 % noise, in percent"
    return Block(caption, ("rounds", *shapes, "one case, at most"), 0, lines)


def _rules(results: dict[str, Any]) -> list[Block]:
    titles = ("rule", *dict.fromkeys(row["shape"] for row in results["rules"]))
    by_rule = _grouped(results["rules"], "rule")
    prefix = f"Other rules in {results['setting']['rounds']} rounds apart"
    captions = {"per_sweep": "false alarms of sweeps at 5 % noise", "power_3": "slowdowns of 3 % found at 1 % noise"}
    blocks = []
    for key, caption in captions.items():
        lines = [(name, *(_number(row[key]) for row in rows)) for (name,), rows in by_rule.items()]
        blocks.append(Block(f"{prefix}: {caption}, in percent", titles, 1, lines))
    return blocks


# ---- real runs


def _real_provenance(results: dict[str, Any]) -> str:
    by, setting = results["made"], results["setting"]
    repeats = len(_grouped(results["tests"], "delay", "repeat"))
    text = (
        f"Made by `{by['command']}` ({by['date']}, commit {by['commit']}): `bench ab` of one commit with itself,"
        f" {repeats} times, of {setting['rounds']} rounds at most, looked at after"
        f" {', '.join(map(str, setting['looks']))}. {results['machine']}"
    )
    text += " It was stopped early." if setting["cut"] else ""
    return text + "".join(f" Failed: {' '.join(line.split())}." for line in results["failed"])


def _real_verdict(results: dict[str, Any]) -> str:
    alarms, cases = false_alarms(results)
    text = f"Identical code: {alarms} of {cases} cases with a false alarm"
    if cases:
        upper = share_interval(alarms, cases, 0.9)[1]  # which its upper end alone holds with 95 %
        text += f" (the rate is, with 95 % confidence, at most {_percent(upper)}; target {_percent(PER_CASE)})"
    for (delay,), rows in sorted(_grouped(results["tests"], "delay").items()):
        slower = sum(row["word"] == SLOWER for row in rows)
        text += f"; of +{_percent(delay)}, {slower} of {len(rows)} verdicts SLOWER" if delay else ""
    return text + "."


def false_alarms(results: dict[str, Any]) -> tuple[int, int]:
    """Return how many cases of identical code had a SLOWER or FASTER in any metric, and how many cases there were."""
    cases = _grouped((row for row in results["tests"] if not row["delay"]), "repeat", "case")
    return sum(any(row["word"] in (SLOWER, FASTER) for row in rows) for rows in cases.values()), len(cases)


def _p_value(alarms: int, cases: int) -> float:
    """Return the chance of at least as many false alarms at the rate PER_CASE."""
    from scipy.stats import binom

    return float(binom.sf(alarms - 1, cases, PER_CASE))


def _real(results: dict[str, Any]) -> Block:
    lines = []
    groups = _grouped(results["tests"], "delay", "metric")
    for (delay, metric), rows in sorted(groups.items(), key=lambda group: group[0][0]):
        counts = (str(sum(row["word"] == word for row in rows)) for word in WORDS)
        cells = (f"+{_percent(delay)}" if delay else "none", metric, *counts)
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


def _percent(share: float) -> str:
    return f"{_number(share)} %"


def _number(share: float) -> str:
    """Return a share in percent, with two or three digits: 0.0045 is 0.45, 0.9712 is 97.1."""
    number = 100 * share
    if 0 < number < 0.01:
        return "<0.01"
    return f"{number:.3g}" if number >= 10 else f"{number:.2g}"
