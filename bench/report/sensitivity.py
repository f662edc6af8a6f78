"""The cost of 8 bits by layer, or by way of calibrating: rows with intervals, and tables of them.

The sample of an error is the file that pictures are cut out of: pictures of one file are alike. Answers are counted by
picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import sqrt
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console

from bench.errors import StoreError
from bench.files import read_json, reading
from bench.kinds import SENSITIVITY
from bench.machine.provenance import short
from bench.records.quality import Share
from bench.stats import Ratio, ratio
from bench.text import WORDS, grid, markdown_table, percent_change, percent_interval
from resnet.calibration import ALL_WIDE, ALONE, FLOAT, METHOD, METHODS, WHOLE, WIDE

SCHEMA = 1
STANDARD = "minmax"  # the way of calibrating that others are compared with
BAR = 16  # characters of the longest bar
LAYER_LEGEND = (
    "RMS%: error of the logits with this layer alone in 8 bits, over the RMS of float32's; agree%: answers with "
    "float32's top class; right%: right answers; kept wide: change of the whole network's error where this layer alone "
    f"is kept out of 8 bits, with its 95% interval; ~: it may be none. {WORDS}"
)

JsonObject = dict[str, Any]


def compress(answer: Mapping[str, Any]) -> JsonObject:
    """Return a child's effects as files have them: mean squares by group, and by picture if it agrees, and is right."""
    groups, labels = answer["groups"], answer["labels"]
    top = answer["effects"][FLOAT]["top"]
    result: JsonObject = {}
    for name, effect in answer["effects"].items():
        by_group: dict[int, list[float]] = {}
        for group, square in zip(groups, effect["squares"], strict=True):
            by_group.setdefault(group, []).append(square)
        squares = [fmean(by_group[group]) for group in sorted(by_group)]
        result[name] = {"squares": squares, "agree": _marks(effect["top"], top)}
        if labels:
            result[name]["right"] = _marks(effect["top"], labels)
    return {"effects": result}


def _marks(mine: Sequence[int], other: Sequence[int]) -> str:
    return "".join("1" if one == two else "0" for one, two in zip(mine, other, strict=True))


def rms(data: JsonObject, name: str) -> tuple[float, float | None, float | None]:
    """Return a network's RMS error over the RMS of the float logits, and its 95 % interval from two files on."""
    unit = fmean(data["effects"][FLOAT]["squares"])
    squares = [square / unit for square in data["effects"][name]["squares"]]
    mean, n = fmean(squares), len(squares)
    if n < 2:
        return sqrt(mean), None, None
    from scipy.special import stdtrit

    half = float(stdtrit(n - 1, 0.975)) * stdev(squares) / sqrt(n)
    return sqrt(mean), sqrt(max(0.0, mean - half)), sqrt(mean + half)


def rms_ratio(data: JsonObject, name: str, other: str) -> Ratio | None:
    """Return the ratio of two networks' RMS errors, paired by file; None where one of them is without error."""
    pairs = zip(data["effects"][name]["squares"], data["effects"][other]["squares"], strict=True)
    roots = [(sqrt(mine), sqrt(theirs)) for mine, theirs in pairs]
    return ratio(roots) if all(map(all, roots)) else None


def share(data: JsonObject, name: str, what: str = "agree") -> Share:
    """Return the share of pictures on which a network agrees with float32, or is `right`."""
    marks = data["effects"][name][what]
    return Share.of(marks.count("1"), len(marks))


def share_difference(data: JsonObject, name: str, other: str, what: str = "agree") -> Share:
    """Return the share of a network less that of another on the same pictures."""
    mine, theirs = data["effects"][name][what], data["effects"][other][what]
    pairs = list(zip(mine, theirs, strict=True))
    gained, lost = pairs.count(("1", "0")), pairs.count(("0", "1"))
    return Share.difference(gained, lost, len(pairs))


def layer_rows(data: JsonObject) -> list[JsonObject]:
    """Return a row for each layer, the largest error alone in 8 bits first; of the whole network the first."""
    rows = [{"layer": WHOLE, **_error(data, WHOLE)}]
    for layer in data["layers"]:
        row = {"layer": layer, **_error(data, ALONE + layer)}
        kept = rms_ratio(data, WIDE + layer, WHOLE)
        if kept:
            row |= {"wide_ratio": kept.value, "wide_ratio_low": kept.low, "wide_ratio_high": kept.high}
        rows.append(row | {"wide_agreement": share(data, WIDE + layer).value})
    return rows[:1] + sorted(rows[1:], key=lambda row: -row["rms"])


def method_rows(data: JsonObject) -> list[JsonObject]:
    """Return a row for each way of calibrating, with its differences from STANDARD."""
    rows = []
    for method in data["effects"]:
        if method == FLOAT:
            continue
        row = {"method": method, **_error(data, method)}
        if (against := rms_ratio(data, method, STANDARD)) and method != STANDARD:
            row |= {"rms_ratio": against.value, "rms_ratio_low": against.low, "rms_ratio_high": against.high}
            more = share_difference(data, method, STANDARD)
            row |= {"agreement_gained": more.value, "gained_low": more.low, "gained_high": more.high}
        rows.append(row)
    return rows


def _error(data: JsonObject, name: str) -> JsonObject:
    error, low, high = rms(data, name)
    agree = share(data, name)
    row: JsonObject = {"rms": error, "rms_low": low, "rms_high": high}
    row |= {"agreement": agree.value, "agreement_low": agree.low, "agreement_high": agree.high}
    if "right" in data["effects"][name]:
        row["accuracy"] = share(data, name, "right").value
    return row


def print_layers(out: Console, data: JsonObject, most: int) -> None:
    """Print the `most` costly layers with a bar each, the first and the last layer, and the whole network."""
    whole, *rows = layer_rows(data)
    labelled = "accuracy" in whole
    titles = ["#", "layer", "RMS%", "", "agree%", *(["right%"] if labelled else []), "kept wide %"]
    table, longest = grid(*titles, text={"layer", ""}), BAR - 7 * labelled
    shown = [(place, row) for place, row in enumerate(rows, 1) if place <= most or row["layer"] in _ends(data)]
    for place, row in shown:
        bar = "█" * round(longest * row["rms"] / rows[0]["rms"]) if rows[0]["rms"] else ""
        table.add_row(str(place), row["layer"], *_errors(row, bar), _kept(data, row["layer"]))
    table.add_row("", "all layers", *_errors(whole, ""), "", style="bold")
    out.print(table)
    if len(shown) < len(rows):
        out.print(f"{len(rows) - len(shown)} layers of less are left out; --csv has them all.", markup=False)


def _errors(row: JsonObject, bar: str) -> list[str]:
    right = [f"{100 * row['accuracy']:.1f}"] if "accuracy" in row else []
    return [f"{100 * row['rms']:.2f}", bar, f"{100 * row['agreement']:.1f}", *right]


def describe_layers(data: JsonObject) -> list[str]:
    """Return sentences: what keeping layers wide can take off at most, and if the first and the last cost most."""
    rows = layer_rows(data)[1:]
    place = {row["layer"]: number for number, row in enumerate(rows, 1)}
    first, last = _ends(data)
    most, total = rows[0]["rms"], len(rows)
    cost = {row["layer"]: row["rms"] / most for row in rows}
    left, agree = rms(data, ALL_WIDE)[0], share(data, ALL_WIDE).value
    return [
        f"With every layer wide the error is {left:.2%}, and {agree:.1%} agree: so much is of activations, which "
        "--keep-wide leaves in 8 bits.",
        f"The first layer ({first}) is number {place[first]} of {total}, with {cost[first]:.0%} of the error of number "
        f"1; the last ({last}) number {place[last]}, with {cost[last]:.0%}.",
    ]


def print_methods(out: Console, data: JsonObject) -> None:
    """Print the ways of calibrating side by side."""
    table = grid("calibrate", "RMS%", f"% of {STANDARD}'s", "agree%", "more of it", text=1)
    for row in method_rows(data):
        method, against = row["method"], ["-", "-"]
        if method != STANDARD:
            more = share_difference(data, method, STANDARD)
            against = [_change(rms_ratio(data, method, STANDARD)), more.percent()]
        table.add_row(method, f"{100 * row['rms']:.2f}", against[0], share(data, method).percent(), against[1])
    out.print(table)


def _kept(data: JsonObject, layer: str) -> str:
    kept = rms_ratio(data, WIDE + layer, WHOLE)
    unsure = kept and kept.low is not None and kept.high is not None and kept.low <= 1 <= kept.high
    return ("~" if unsure else "") + _change(kept)


def _ends(data: JsonObject) -> tuple[str, str]:
    return data["layers"][0], data["layers"][-1]


def read_sensitivity(path: Path) -> JsonObject:
    """Read a file of `bench sensitivity -o`. Raises StoreError for one that is missing or has other contents."""
    with reading(path, SENSITIVITY, "make it anew"):
        data: JsonObject = read_json(path, SCHEMA)
    if data["schema"] != SCHEMA or "effects" not in data:
        raise StoreError(f"{path} was written by -o of another version: make it anew")
    return data


def calibration_markdown(folder: Path) -> str:
    """Return the ways of calibrating as Markdown: a row for each network of a folder's files, and for each format.

    The row of a format is the mean over its networks, whose interval is of networks. Raises StoreError.
    """
    by_formats: dict[str, list[JsonObject]] = {}
    for path in sorted(folder.glob("*.json"), key=_depth):
        data = read_sensitivity(path)
        by_formats.setdefault(data["formats"], []).append(data)
    if not by_formats:
        return "Not measured yet.\n"
    methods = [method for method in METHODS if method != STANDARD]
    titles = ["activations", "model", f"{STANDARD} RMS %", *(f"{method}, %" for method in methods)]
    titles += ["agree%", f"with {METHOD}"]
    rows = []
    for formats, networks in by_formats.items():
        ratios: dict[str, list[tuple[float, float]]] = {method: [] for method in methods}
        for data in networks:
            cells = []
            for method in methods:
                ratios[method].append((rms(data, method)[0], rms(data, STANDARD)[0]))
                cells.append(_change(rms_ratio(data, method, STANDARD)))
            agree = [share(data, method).percent() for method in (STANDARD, METHOD)]
            rows.append([formats, data["model"], f"{100 * rms(data, STANDARD)[0]:.1f}", *cells, *agree])
        means = [_change(ratio(ratios[method])) for method in methods]
        rows.append([formats, f"all {len(networks)}", "", *means, "", ""])
    data = next(iter(by_formats.values()))[0]
    return "\n".join([*markdown_table(titles, rows, text=2), "", _provenance(data)]) + "\n"


def _depth(path: Path) -> tuple[int, str]:
    digits = "".join(filter(str.isdigit, path.stem.partition("-")[0]))
    return int(digits or 0), path.name


def _change(against: Ratio | None) -> str:
    if against is None:
        return "-"
    if against.low is None or against.high is None:
        return percent_change(against.value)
    return f"{percent_change(against.value)} ({percent_interval(against.low, against.high)})"


def _provenance(data: JsonObject) -> str:
    environment = data["environment"]
    packages, cpu = environment.get("packages", {}), environment.get("cpu", {})
    return (
        f"{data['pictures']} pictures of {data['image']} pixels ({data['input'].get('source')}) judged, "
        f"{data['calibration_pictures']} others calibrated; {data['date'][:10]}, torch {packages.get('torch')}, "
        f"{cpu.get('name')}, commit {short(environment.get('git'))}."
    )
