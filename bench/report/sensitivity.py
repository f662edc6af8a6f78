"""The cost of 8 bits by layer, or by way of calibrating: rows with intervals, and tables of them.

The sample of an error is the file that pictures are cut out of: pictures of one file are alike. Answers are counted by
picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from operator import sub
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from rich.console import Console

from bench.errors import StoreError
from bench.files import read_json, reading
from bench.kinds import SENSITIVITY
from bench.machine.provenance import short
from bench.plans.scored import least_pictures
from bench.records.quality import Share
from bench.report.cells import percent_share
from bench.stats import Ratio, loss_interval, ratio
from bench.text import WORDS, grid, markdown_table, percent_change, percent_interval, plural
from resnet.calibration import ALL_WIDE, ALONE, FLOAT, METHOD, METHODS, WHOLE, WIDE

SCHEMA = 1
STANDARD = "minmax"  # the way of calibrating that others are compared with
BAR = 12  # characters of the longest bar
LAYER_LEGEND = (
    "#: the places that a layer may have, as its error is not surely another than theirs; RMS%: error of the logits "
    "with this layer alone in 8 bits, over the RMS of float32's; agree%: answers with float32's top class; right%: "
    "right answers; ±: the longer half of a 95% interval, as if pictures were drawn independently; kept wide: change "
    "of the whole network's error where this layer alone is kept out of 8 bits, with its 95% interval; ~: it may be "
    f"none. {WORDS}"
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
    mean, half = _mean([square / unit for square in data["effects"][name]["squares"]])
    if half is None:
        return sqrt(mean), None, None
    return sqrt(mean), sqrt(max(0.0, mean - half)), sqrt(mean + half)


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and half of its 95 % interval from two values on: Student's."""
    from scipy.special import stdtrit

    n = len(values)
    return fmean(values), float(stdtrit(n - 1, 0.975)) * stdev(values) / sqrt(n) if n > 1 else None


def rms_ratio(data: JsonObject, name: str, other: str) -> Ratio | None:
    """Return the ratio of two networks' RMS errors, paired by file; None where one of them is without error."""
    pairs = zip(data["effects"][name]["squares"], data["effects"][other]["squares"], strict=True)
    roots = [(sqrt(mine), sqrt(theirs)) for mine, theirs in pairs]
    return ratio(roots) if all(map(all, roots)) else None


def share(data: JsonObject, name: str, what: str = "agree") -> Share:
    """Return the share of pictures on which a network agrees with float32, or is `right`."""
    marks = data["effects"][name][what]
    return Share.of(marks.count("1"), len(marks))


def share_difference(data: JsonObject, name: str, other: str) -> Share:
    """Return the share of a network that agrees with float32 less that of another on the same pictures."""
    pairs = list(zip(*(data["effects"][one]["agree"] for one in (name, other)), strict=True))
    return Share.difference(pairs.count(("1", "0")), pairs.count(("0", "1")), len(pairs))


def layer_rows(data: JsonObject) -> list[JsonObject]:
    """Return a row for each layer, the largest error alone in 8 bits first; of the whole network the first.

    A layer may have the places `place_low` to `place_high`: between them are those whose mean squares, paired by file,
    are not surely other ones.
    """
    rows = []
    for layer in data["layers"]:
        row = {"layer": layer, **_error(data, ALONE + layer), "place_low": 1, "place_high": len(data["layers"])}
        if kept := rms_ratio(data, WIDE + layer, WHOLE):
            row |= {"wide_ratio": kept.value, "wide_ratio_low": kept.low, "wide_ratio_high": kept.high}
        rows.append(row | {"wide_agreement": share(data, WIDE + layer).value})
    rows.sort(key=lambda row: -row["rms"])
    for one, other in combinations(rows, 2):
        pair = (data["effects"][ALONE + row["layer"]]["squares"] for row in (one, other))
        more, half = _mean(list(map(sub, *pair)))
        if half is not None and more > half:
            one["place_high"] -= 1
            other["place_low"] += 1
    return [{"layer": WHOLE, **_error(data, WHOLE)}, *rows]


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
    row: JsonObject = {"rms": error, "rms_low": low, "rms_high": high}
    for key, what in (("agreement", "agree"), ("accuracy", "right")):
        if what in data["effects"][name]:
            one = share(data, name, what)
            row |= {key: one.value, f"{key}_low": one.low, f"{key}_high": one.high}
    return row


def print_layers(out: Console, data: JsonObject, most: int) -> None:
    """Print the `most` costly layers with a bar each, the first and the last layer, and the whole network."""
    whole, *rows = layer_rows(data)
    labelled = "accuracy" in whole
    titles = ["#", "layer", "RMS%", "", "agree%", *(["right%"] if labelled else []), "kept wide %"]
    table, longest = grid(*titles, text={"layer", ""}), BAR - 7 * labelled
    ends = data["layers"][:: len(rows) - 1]
    shown = [row for place, row in enumerate(rows, 1) if place <= most or row["layer"] in ends]
    for row in shown:
        bar = "█" * round(longest * row["rms"] / rows[0]["rms"]) if rows[0]["rms"] else ""
        table.add_row(_places(row), row["layer"], *_errors(data, ALONE + row["layer"], bar), _kept(data, row["layer"]))
    table.add_row("", "all layers", *_errors(data, WHOLE, ""), "", style="bold")
    out.print(table)
    if left := len(rows) - len(shown):
        out.print(f"Left out: {left} {plural(left, 'layer')} of less error; --csv has them all.", markup=False)


def _places(row: JsonObject) -> str:
    first, last = row["place_low"], row["place_high"]
    return str(first) if first == last else f"{first}-{last}"


def _errors(data: JsonObject, name: str, bar: str) -> list[str]:
    shares = (share(data, name, what) for what in ("agree", "right") if what in data["effects"][name])
    return [f"{100 * rms(data, name)[0]:.2f}", bar, *map(percent_share, shares)]


def describe_layers(data: JsonObject) -> list[str]:
    """Return sentences: what keeping layers wide can take off at most, and if the first and the last cost most."""
    rows = {row["layer"]: row for row in layer_rows(data)[1:]}
    error, low, high = (None if end is None else f"{100 * end:.3g}" for end in rms(data, ALL_WIDE))
    within, agree = f" ({low} to {high})" if low else "", share(data, ALL_WIDE).percent()
    ends = data["layers"][:: len(rows) - 1]
    first, last = (f"({layer}) is number {_places(rows[layer])} of {len(rows)}" for layer in ends)
    return [
        f"With every layer wide the error is {error} %{within}, and {agree} agree: so much is of activations, which "
        "--keep-wide leaves in 8 bits.",
        f"By its error the first layer {first}; the last {last}.",
    ]


def describe_search(data: JsonObject, limit: float) -> str:
    """Return what the layers that a search kept wide lose, of how many pictures, and why of so many."""
    search = data["found"]
    count, pictures = len(search["wide"]), search["pictures"]
    chosen, checked = (_loss(search, part) for part in ("chosen", "checked"))
    if search["checked"][1] is None:
        lost = f"{chosen.percent()} of the answers are not float32's", checked.percent()
    else:
        lost = f"float32 has {chosen.points()} more right, net,", checked.points()
    why = f"{pictures // data['pictures']} for each that ranked (-n)"
    if pictures == least_pictures(limit):
        why = f"as of fewer not even no loss could be told from {100 * limit:g} %"
    more = " More (-n) may show that fewer layers do." if search["met"] and count else ""
    return (
        f"With {count} {plural(count, 'layer')} wide {lost[0]} on {pictures} pictures that choose, and {lost[1]} on as "
        f"many others, that check. So many, {why}.{more}"
    )


def _loss(search: JsonObject, part: str) -> Share:
    """Return the share of answers that is lost, or of right ones net of those gained, as `bench.records.quality`."""
    (lost, gained), pictures = search[part], search["pictures"]
    return Share((lost - (gained or 0)) / pictures, *loss_interval(lost, gained, pictures), pictures)


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
    every = [data for networks in by_formats.values() for data in networks]
    return "\n".join([*markdown_table(titles, rows, text=2), "", *dict.fromkeys(map(_provenance, every))]) + "\n"


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
