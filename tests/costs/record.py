"""The record of what the tool costs: rows of figures with their provenance, as JSON, and as the page's table."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from bench.files import write_file
from bench.machine.provenance import ROOT
from bench.stats import Ratio, ratio
from bench.text import digits, markdown_table
from tests.costs.alternate import exponent, ratio_of
from tests.costs.table import COSTS, Cost, Goal

RECORD = ROOT / "results/costs/costs.json"
PAGE = ROOT / "docs/PERFORMANCE.md"
SCHEMA = 1
TITLES = ("cost", "command", "measure", "before", "after", "after / before", "grows by", "goal", "")

Values = list[float]


def row_of(cost: Cost, measure: str, points: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a row of the record: the values of one measure at each size, and what follows from them.

    A point has its size and, under `before`, `after` and their units, the values of each turn.
    """
    for point in points:
        if "before" in point:
            point["ratio"] = _interval(ratio_of(point["after"], point["before"]))
        for side in ("before", "after"):
            if side not in point:
                continue
            point[f"{side}_median"] = median(point[side])
            if f"{side}_unit" in point:
                point[f"{side}_in_units"] = _interval(ratio_of(point[side], point[f"{side}_unit"]))
    row: dict[str, Any] = {"name": cost.name, "measure": measure, "points": points}
    if len(points) > 1:
        sizes = [point["size"] for point in points]
        sides = [side for side in ("before", "after") if f"{side}_median" in points[0]]
        row["exponents"] = {side: growth(sizes, [point[f"{side}_median"] for point in points]) for side in sides}
    if goal := cost.goals[measure]:
        row["goal"] = {"of": goal.of, "at_most": goal.at_most}
        row["standing"], row["figure"] = standing(goal, points)
    return row


def growth(sizes: list[int], values: Values) -> float:
    """Return the power that a measure grows by with the size, of what is over that at the smallest size."""
    over = [(size - sizes[0], value - values[0]) for size, value in zip(sizes, values, strict=True)]
    over = [(size, value) for size, value in over[1:] if value > 0]
    return exponent(*zip(*over, strict=True)) if len(over) > 1 else 0.0


def standing(goal: Goal, points: list[dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Return whether a goal is met, and the figure that says so; its interval, if there is one, lies on one side."""
    last = points[-1]
    if goal.of == "after":
        figure = _interval(ratio([(value, 1.0) for value in last["after"]]))
    else:
        figure = last["after_in_units" if goal.of == "unit" else "ratio"]
    low, high = figure["low"] or figure["value"], figure["high"] or figure["value"]
    if low <= goal.at_most < high:
        return "cannot tell", figure
    word = "met" if high <= goal.at_most else "not met"
    return word + ("" if figure["low"] else ", of one turn"), figure


def _interval(found: Ratio) -> dict[str, float | None]:
    return {"value": found.value, "low": found.low, "high": found.high}


# ---- the file


def read(path: Path = RECORD) -> dict[str, Any]:
    """Return the record, or one without rows. Raises ValueError where it is another version's."""
    if not path.exists():
        return {"schema": SCHEMA, "runs": {}, "rows": []}
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record.get("schema") != SCHEMA:
        raise ValueError(f"{path} is of schema {record.get('schema')}, not {SCHEMA}: remove it, and measure anew")
    return record


def replace(record: dict[str, Any], run: str, about: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
    """Put rows of one cost, of a run with its provenance, in the place of those that the record has of it."""
    rows = [row | {"run": run} for row in rows]
    names = {row["name"] for row in rows}
    kept = [row for row in record["rows"] if row["name"] not in names] + rows
    order = {cost.name: place for place, cost in enumerate(COSTS)}
    record["rows"] = sorted(kept, key=lambda row: order.get(row["name"], len(order)))
    record["runs"][run] = about
    used = {row["run"] for row in record["rows"]}
    record["runs"] = {name: record["runs"][name] for name in sorted(used)}


def write(record: dict[str, Any], path: Path = RECORD) -> None:
    """Write the record whole, or not at all."""
    write_file(path, json.dumps(record, indent=1) + "\n")


# ---- the table


def markdown(record: dict[str, Any]) -> str:
    """Return the record's rows as a Markdown table, and where and when they were measured."""
    rows = [_cells(row) for row in record["rows"]]
    lines = markdown_table(TITLES, rows, text=("cost", "command", "measure", "goal", ""))
    about: dict[str, list[str]] = {}  # where and when -> the rows
    for row in record["rows"]:
        about.setdefault(_describe(record["runs"][row["run"]]), []).append(row["name"])
    for text, names in about.items():
        lines += ["", (f"{', '.join(dict.fromkeys(names))}: " if len(about) > 1 else "") + text]
    measured = {row["name"] for row in record["rows"]}
    if missing := [f"`{cost.name}`" for cost in COSTS if cost.name not in measured]:
        lines += ["", f"Not measured yet: {', '.join(missing)}."]
    return "\n".join(lines)


def in_words(row: dict[str, Any]) -> str:
    """Return a row that has figures as a line: before -> after, their ratio, and its goal."""
    _, _, measure, before, after, change, powers, goal, word = _cells(row)
    at = f" at {row['points'][-1]['size']:,} {row['sizes_of']}" if row["sizes_of"] else ""
    growth = "" if powers == "-" else f", grows by {powers}"
    return f"{row['name']}, {measure}{at}: {before} -> {after}, {change}{growth}" + (
        f"; {goal}: {word}" if word else ""
    )


def _describe(about: dict[str, Any]) -> str:
    env, packages = about["environment"], about["environment"]["packages"]
    commits = (about[side]["sha"][:10] + ("+" if about[side]["dirty"] else "") for side in ("before", "after"))
    virtual = ", virtual" if env["virtual"] is True else ""
    return (
        f"Before: {next(commits)}, after: {next(commits)}. {env['cpu']['name']}, {env['cpu']['cores']} cores{virtual};"
        f" {env['system'].split()[0]}, {env['python']}, torch {packages.get('torch', 'none')}; {about['started'][:10]}."
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    name, shown, measure = f"`{row['name']}`: {row['question']}", f"`{row['command']}`", row["measure"]
    if reason := row.get("reason"):
        return name, shown, measure, "-", "-", "-", "-", "-", f"not measured: {reason}"
    last = row["points"][-1]
    unit = "after_in_units" in last and (row.get("goal", {}).get("of") == "unit" or row["unit"] == "pass")
    cells = []
    for side in ("before", "after"):
        figure = last.get(f"{side}_in_units", {}).get("value") if unit else last.get(f"{side}_median")
        cells.append("-" if figure is None else digits(figure))
    if unit:
        measure += f" / {row['unit']}"
    if last["size"]:
        shown += f", {last['size']:,} {row['sizes_of']}"
    powers = " > ".join(f"n^{power:.2f}" for power in row.get("exponents", {}).values()) or "-"
    change = _span(last["ratio"]) if "ratio" in last else "-"
    return name, shown, measure, *cells, change, powers, _goal(row), row.get("standing", "")


def _span(figure: dict[str, float]) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.3f}"
    return f"{figure['value']:.3f} [{figure['low']:.3f}, {figure['high']:.3f}]"


def _goal(row: dict[str, Any]) -> str:
    goal = row.get("goal")
    if not goal:
        return "-"
    at_most = f"{goal['at_most']:,g}"
    if goal["of"] == "ratio":
        return f"at most {at_most} of before"
    return f"at most {at_most}"
