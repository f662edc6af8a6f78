"""What `bench selftest` found, simulated or by real runs, as tables: for docs/METHODOLOGY.md and for the terminal."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb
from pathlib import Path
from statistics import median
from typing import Any

from bench.errors import StoreError
from bench.files import read_json, reading
from bench.text import markdown_table

# What the rule was made to reach: shares of cases, of sweeps, of slowdowns of 3 % at 1 % noise.
PER_CASE, PER_SWEEP, POWER = 0.005, 0.05, 0.95
SCHEMA = 1
# The file of real runs that the documents show, and how it is made where it is not there.
REAL = Path("results/selftest/real.json")
HOW = f"bench selftest --real smoke -f eager/fp32 -f library-fused/fp32 --input noise --budget 480 -o {REAL}"
WORDS = SLOWER, _, _, FASTER = ("SLOWER", "AMBIGUOUS", "SAME", "FASTER")  # bench.verdicts.rule's, without its scipy
UNLUCKY = 0.001  # as rarely may a self-test fail that finds as many false alarms as are promised


def section(root: Path, name: str) -> str:
    """What a document shows of the file `name` below `root`, as Markdown. Raises StoreError as `read` does.

    Real runs need a quiet machine, and may be missing: then it says how to make them.
    """
    if Path(name) == REAL and not (root / name).exists():
        return f"Not measured yet: `{HOW}` does, on a quiet machine, in a checkout without changes.\n"
    return markdown(read(root / name))


def read(path: Path) -> dict[str, Any]:
    """What `bench selftest -o` wrote. Raises StoreError for a file that is missing, or is another's."""
    with reading(path, "JSON object", "make it anew"):
        found = read_json(path, SCHEMA)
    if found["schema"] != SCHEMA or not found.keys() & {"rates", "tests"}:
        raise StoreError(f"{path} is not what this version's bench selftest -o writes: make it anew")
    return found


@dataclass(frozen=True)
class Block:
    """A table: its caption, its columns, the first `words` of which are words, its rows, and a list below."""

    caption: str
    titles: tuple[str, ...]
    words: int
    rows: list[tuple[str, ...]]
    notes: tuple[str, ...] = ()


def made(found: dict[str, Any]) -> str:
    """By which command, when, from how much."""
    if "tests" in found:
        return _real_made(found)
    by, setting = found["made"], found["setting"]
    text = (
        f"Made by `{by['command']}` ({by['date']}, commit {by['commit']}): {setting['sweeps']} simulated sweeps of"
        f" {setting['cases']} cases with {setting['metrics']} metrics, all of one family, {setting['rounds']} rounds"
        " a side. Noise is the standard deviation between processes."
    )
    if spread := found["spread"]:
        text += (
            f" `measured` draws from the rounds of {spread['series']:.0f} series of records, whose noise is"
            f" {_percent(spread['quarter'])} to {_percent(spread['three_quarters'])} (quartiles), at the median"
            f" {_percent(spread['median'])}: {_measured(found)}."
        )
    return text


def _measured(found: dict[str, Any]) -> str:
    (row,) = (row for row in found["rates"] if row["shape"] == "measured")
    return f"false alarms in {_percent(row['per_case'])} of cases and {_percent(row['per_sweep'])} of sweeps"


def verdict(found: dict[str, Any]) -> str:
    """Whether the targets are met, in a sentence."""
    if "tests" in found:
        return _real_verdict(found)
    case, sweep = (max(row[key] for row in _held(found)) for key in ("per_case", "per_sweep"))
    said = f"False alarms: at most {_percent(case)} per case and {_percent(sweep)} per sweep (targets"
    said += f" {_percent(PER_CASE)}, {_percent(PER_SWEEP)}) of all noise but `sitting` apart, which no rule can tell"
    at = found["effects"].index(0.03)
    powers = [row["power"][at] for row in found["rates"] if row["shape"] == "normal" and row["noise"] == 0.01]
    if powers:
        said += f"; of +3 % at 1 % normal noise at least {_percent(min(powers))} are found (target {_percent(POWER)})"
    return said + "."


def met(found: dict[str, Any]) -> bool:
    """Whether false alarms are as rare as asked, to within what their number can tell; power is for the rounds."""
    if "tests" in found:
        alarms, cases = false_alarms(found)
        return not found["failed"] and _by_chance(alarms, cases) >= UNLUCKY
    sweeps, cases = found["setting"]["sweeps"], found["setting"]["cases"]
    case, sweep = PER_CASE + _doubt(PER_CASE, sweeps * cases), PER_SWEEP + _doubt(PER_SWEEP, sweeps)
    return all(row["per_case"] <= case and row["per_sweep"] <= sweep for row in _held(found))


def _doubt(share: float, count: int) -> float:
    """Three standard deviations of a share of so many."""
    return 3 * (share * (1 - share) / count) ** 0.5


def _held(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Without what cannot be told from a change of the code: a machine that is another in the other sitting."""
    return [row for row in found["rates"] if (row["shape"], row["design"]) != ("sitting", "apart")]


def markdown(found: dict[str, Any]) -> str:
    lines = [made(found), "", verdict(found)]
    for block in blocks(found):
        lines += ["", f"{block.caption}:", "", *markdown_table(block.titles, block.rows, block.words)]
        lines += ["", *(f"- {note}" for note in block.notes)] if block.notes else []
    return "\n".join(lines) + "\n"


def blocks(found: dict[str, Any]) -> list[Block]:
    if "tests" in found:
        return [_real(found)]
    made = [_alarms(found), _found(found), _power(found)]
    made += [_fewer(found)] if found["fewer_rounds"] else []
    return made + (_rules(found) if found["rules"] else [])


def _alarms(found: dict[str, Any]) -> Block:
    lines = [
        (shape, design, _number(max(row["per_case"] for row in rows)), *(_number(row["per_sweep"]) for row in rows))
        for (shape, design), rows in _by_shape(found).items()
    ]
    return Block(
        "False alarms on identical code in percent: of cases, and of sweeps by the size of the noise",
        ("noise", "rounds", "cases", *map(_percent, found["noise"])),
        2,
        lines,
        tuple(f"{name}: {meaning}" for name, meaning in found["shapes"].items()),
    )


def _found(found: dict[str, Any]) -> Block:
    at = found["effects"].index(0.03)
    lines = [
        (shape, design, *(_number(row["power"][at]) for row in rows))
        for (shape, design), rows in _by_shape(found).items()
    ]
    return Block(
        "Slowdowns of 3 % in one case of a sweep that are found, in percent, by the size of the noise",
        ("noise", "rounds", *map(_percent, found["noise"])),
        2,
        lines,
    )


def _by_shape(found: dict[str, Any]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    made: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in found["rates"]:
        if row["shape"] != "measured":  # has one size, its own
            made.setdefault((row["shape"], row["design"]), []).append(row)
    return made


def _power(found: dict[str, Any]) -> Block:
    lines = []
    for row in found["rates"]:
        if row["shape"] in ("normal", "measured"):
            noise = "measured" if row["shape"] == "measured" else _percent(row["noise"])
            lines.append((row["design"], noise, *map(_number, [row["same"], *row["power"]])))
    titles = ("rounds", "noise", "SAME", *(f"+{_percent(effect)}" for effect in found["effects"]))
    return Block(
        "Identical code that is SAME, and slowdowns that are SLOWER, of normal noise, in percent", titles, 2, lines
    )


def _fewer(found: dict[str, Any]) -> Block:
    shapes = dict.fromkeys(row["shape"] for row in found["fewer_rounds"])
    lines = []
    for rounds in dict.fromkeys(row["rounds"] for row in found["fewer_rounds"]):
        rows = [row for row in found["fewer_rounds"] if row["rounds"] == rounds]
        alone = _number(max(row["alone"] for row in rows))
        lines.append((str(rounds), *(_number(row["per_sweep"]) for row in rows), alone))
    return Block(
        "False alarms with fewer rounds, of sweeps of one metric and of one case by itself, at 5 % noise, in percent",
        ("rounds", *shapes, "one case, at most"),
        0,
        lines,
    )


def _rules(found: dict[str, Any]) -> list[Block]:
    shapes = list(dict.fromkeys(row["shape"] for row in found["rules"]))
    made = []
    for key, caption in (
        ("per_sweep", "Other rules in ten rounds apart: false alarms of sweeps at 5 % noise, in percent"),
        ("power_3", "Other rules in ten rounds apart: slowdowns of 3 % found at 1 % noise, in percent"),
    ):
        lines = []
        for name in dict.fromkeys(row["rule"] for row in found["rules"]):
            lines.append((name, *(_number(row[key]) for row in found["rules"] if row["rule"] == name)))
        made.append(Block(caption.replace("ten", str(found["setting"]["rounds"])), ("rule", *shapes), 1, lines))
    return made


# ---- real runs


def _real_made(found: dict[str, Any]) -> str:
    by, setting = found["made"], found["setting"]
    repeats = len({(row["delay"], row["repeat"]) for row in found["tests"]})
    text = (
        f"Made by `{by['command']}` ({by['date']}, commit {by['commit']}): `bench ab` of one commit with itself,"
        f" {repeats} times, of {setting['rounds']} rounds at most, looked at after"
        f" {', '.join(map(str, setting['looks']))}. {found['machine']}"
    )
    text += " It was stopped early." if setting["cut"] else ""
    return text + "".join(f" Failed: {' '.join(line.split())}." for line in found["failed"])


def _real_verdict(found: dict[str, Any]) -> str:
    from scipy.special import betaincinv

    alarms, cases = false_alarms(found)
    said = f"Identical code: {alarms} of {cases} cases with a false alarm"
    if cases:
        most = float(betaincinv(alarms + 1, cases - alarms, 0.95)) if alarms < cases else 1.0
        said += f" (the rate is, with 95 % confidence, at most {_percent(most)}; target {_percent(PER_CASE)})"
    for delay in _delays(found):
        rows = [row for row in found["tests"] if row["delay"] == delay]
        slower = sum(row["word"] == SLOWER for row in rows)
        said += f"; of +{_percent(delay)}, {slower} of {len(rows)} verdicts SLOWER" if delay else ""
    return said + "."


def false_alarms(found: dict[str, Any]) -> tuple[int, int]:
    """Of real runs of identical code: how many cases had a SLOWER or FASTER in any metric, and how many there were."""
    cases: dict[tuple[int, str], bool] = {}
    for row in found["tests"]:
        if not row["delay"]:
            key = row["repeat"], row["case"]
            cases[key] = cases.get(key, False) or row["word"] in (SLOWER, FASTER)
    return sum(cases.values()), len(cases)


def _by_chance(alarms: int, cases: int) -> float:
    """The chance of at least so many false alarms, at the rate that is promised."""
    return 1 - sum(comb(cases, k) * PER_CASE**k * (1 - PER_CASE) ** (cases - k) for k in range(alarms))


def _delays(found: dict[str, Any]) -> list[float]:
    return sorted({row["delay"] for row in found["tests"]})


def _real(found: dict[str, Any]) -> Block:
    lines = []
    for delay in _delays(found):
        for metric in dict.fromkeys(row["metric"] for row in found["tests"]):
            rows = [row for row in found["tests"] if (row["delay"], row["metric"]) == (delay, metric)]
            if rows:
                counts = (str(sum(row["word"] == word for row in rows)) for word in WORDS)
                asked = f"+{_percent(delay)}" if delay else "none"
                lines.append((asked, metric, *counts, _middle(rows, "slower", 1), _middle(rows, "noise", 0)))
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


def _middle(rows: list[dict[str, Any]], key: str, offset: float) -> str:
    """The median of a key, in percent beyond `offset`, with a sign where there is one."""
    known = [row[key] - offset for row in rows if row[key] is not None]
    if not known:
        return "-"
    return f"{100 * median(known):{'+' if offset else ''}.2f} %"


def _percent(share: float) -> str:
    return f"{_number(share)} %"


def _number(share: float) -> str:
    """Of 100, with as many digits as tell: 0.0045 is 0.45, 0.9712 is 97.1."""
    number = 100 * share
    if 0 < number < 0.01:
        return "<0.01"
    return f"{number:.3g}" if number >= 10 else f"{number:.2g}"
