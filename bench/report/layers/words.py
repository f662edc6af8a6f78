"""The layers of a case in words: where its time goes, what is far from its floor, where a rival is faster."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.plans.words import label
from bench.roofline.timed import Timed
from bench.text import plural

Row = dict[str, Any]
OUTSIDE = "in no layer"  # the stage of what the whole takes beyond its layers
MINUS = "\N{MINUS SIGN}"
UNITS = ((1e3, "s"), (1.0, "ms"), (1e-3, "µs"), (1e-6, "ns"))


def si_time(ms: float, sign: str = "") -> str:
    """Return a time with three digits and its unit; with `sign` "+", a plus where it is not negative."""
    factor, unit = next(((factor, unit) for factor, unit in UNITS if abs(ms) >= 0.9995 * factor), UNITS[-1])
    return f"{ms / factor:{sign}#.3g}".rstrip(".").replace("-", MINUS) + f" {unit}"


def signed(percent: float | None) -> str:
    """Return a difference in whole percent with its sign; empty where there is none."""
    return "" if percent is None else f"{percent:+.0f} %".replace("-", MINUS)


def describe_layers(
    timed: Timed, rival: Timed | None, stages: Sequence[Row], bars: Sequence[Row], layers: Sequence[Row]
) -> dict[str, str]:
    """Return what the layers of a case say, and of that what is far from its floor: no more than its times can tell."""
    who = f"{timed.case.model}, batch {timed.case.batch}, {label(timed.case)}: "
    if timed.disturbed:
        unsure = (
            f"{who}its parts are known to within {timed.error:.0%} of the whole alone, so none is named; "
            "a quieter machine, or a larger -n, tells more."
        )
        return dict.fromkeys(("says", "largest", "furthest", "against"), unsure)
    furthest = _furthest([row for row in layers if row.get("above") is not None])
    clauses = [_largest(stages or bars), furthest]
    if rival and not rival.disturbed:
        clauses.append(_beside(label(rival.case), [bar for bar in bars if bar["rival_ms"] is not None]))
    elif rival:
        clauses.append(f"nothing can be told against {label(rival.case)}, whose times are too unsure")
    parts = {"says": "; ".join(filter(None, clauses)), "largest": clauses[0], "furthest": furthest}
    parts["against"] = clauses[-1] if rival else clauses[0]
    return {name: f"{who}{words}." for name, words in parts.items() if words}


def _leaders(rows: Sequence[Row], value: str) -> list[Row]:
    """Return the row with the largest value, and those whose intervals reach that of its time."""
    first, *others = sorted(rows, key=lambda row: -row[value])
    half = first["half"] or 0.0
    return [first, *(row for row in others if row[value] + (row["half"] or 0.0) >= first[value] - half)]


def _named(rows: Sequence[Row], name: str) -> str:
    names = [f"what is {row[name]}" if row[name] == OUTSIDE else row[name] for row in rows]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _largest(rows: Sequence[Row]) -> str:
    leaders, name = _leaders(rows, "ms"), "stage" if "of" in rows[0] else "layer"
    if len(leaders) > 3:
        return f"{len(leaders)} of its parts take about as much as the largest"
    share = " and ".join(f"{row['share']:.0%}" for row in leaders[:2]) if len(leaders) < 3 else "about as much"
    return f"{_named(leaders, name)} {plural(len(leaders), 'takes', 'take')} the most time ({share})"


def _furthest(layers: Sequence[Row]) -> str:
    """Return which layer is furthest above its floor: where the most time could be saved."""
    if not layers:
        return ""
    leaders = _leaders(layers, "above")
    if len(leaders) > 3:
        return f"{len(leaders)} layers are about as far above their floors as the furthest"
    of = " and ".join(f"{row['of_floor']:.0%}" for row in leaders)
    by = f"by {si_time(leaders[0]['above'])} ({of} of the floor)"
    whose = plural(len(leaders), "its floor is", "their floors are")
    return f"furthest above {whose} {_named(leaders, 'layer')}, {by}"


def _beside(rival: str, bars: Sequence[Row]) -> str:
    if not bars:
        return f"no layer can be compared with {rival}"
    faster = sorted((bar for bar in bars if bar["sure"] and bar["difference"] > 0), key=lambda bar: -bar["difference"])
    slower = sum(bar["sure"] and bar["difference"] < 0 for bar in bars)
    if not faster:
        return f"{rival} is faster in none of {len(bars)} layers for sure, slower in {slower}"
    most = f"most in {faster[0]['layer']}, by {si_time(faster[0]['difference'])}"
    return f"{rival} is faster in {len(faster)} of {len(bars)} layers ({most}), slower in {slower}"
