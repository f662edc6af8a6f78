"""What `bench selftest` found, as tables: for docs/METHODOLOGY.md and for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.store import StoreError

# What the rule was made to reach: shares of cases, of sweeps, of slowdowns of 3 % at 1 % noise.
PER_CASE, PER_SWEEP, POWER = 0.005, 0.05, 0.95
SCHEMA = 1


def read(path: Path) -> dict[str, Any]:
    """What `bench selftest -o` wrote. Raises StoreError for a file that is missing, or is another's."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"cannot read {path}: {error}") from None
    if not isinstance(found, dict) or found.get("schema") != SCHEMA or "rates" not in found:
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
    case, sweep = (max(row[key] for row in _held(found)) for key in ("per_case", "per_sweep"))
    said = f"False alarms: at most {_percent(case)} per case and {_percent(sweep)} per sweep (targets"
    said += f" {_percent(PER_CASE)}, {_percent(PER_SWEEP)}) of all noise but `sitting` apart, which no rule can tell"
    at = found["effects"].index(0.03)
    powers = [row["power"][at] for row in found["rates"] if row["shape"] == "normal" and row["noise"] == 0.01]
    if powers:
        said += f"; of +3 % at 1 % normal noise at least {_percent(min(powers))} are found (target {_percent(POWER)})"
    return said + "."


def met(found: dict[str, Any]) -> bool:
    """Whether false alarms are as rare as asked, to within what the simulation can tell; power is for the rounds."""
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
        lines += ["", f"{block.caption}:", "", _row(block.titles)]
        lines.append("|" + "|".join(["---"] * block.words + ["---:"] * (len(block.titles) - block.words)) + "|")
        lines += map(_row, block.rows)
        lines += ["", *(f"- {note}" for note in block.notes)] if block.notes else []
    return "\n".join(lines) + "\n"


def blocks(found: dict[str, Any]) -> list[Block]:
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


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _percent(share: float) -> str:
    return f"{_number(share)} %"


def _number(share: float) -> str:
    """Of 100, with as many digits as tell: 0.0045 is 0.45, 0.9712 is 97.1."""
    number = 100 * share
    if 0 < number < 0.01:
        return "<0.01"
    return f"{number:.3g}" if number >= 10 else f"{number:.2g}"
