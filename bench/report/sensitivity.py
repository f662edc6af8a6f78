"""The cost of 8 bits by layer, or by way of calibrating: rows with intervals, and tables of them.

The sample of an error is the file that pictures are cut out of, as those of one are alike; of an answer, the picture.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, groupby
from math import exp, sqrt
from operator import itemgetter, sub
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
from bench.stats import Ratio, ratio
from bench.text import WORDS, grid, markdown_table, percent_change, percent_interval, plural
from resnet.calibration import ALL_WIDE, ALONE, FLOAT, METHOD, METHODS, WHOLE, WIDE

SCHEMA = 1
STANDARD = "minmax"  # the way of calibrating that others are compared with
BAR = 12  # characters of the longest bar
METHOD_LEGEND = (
    "RMS%: error of the logits in 8 bits, over the RMS of float32's; % of minmax's: change against minmax's, paired by "
    "file of pictures; agree%: answers with float32's top class; more of it: percentage points more than minmax's; "
    f"in brackets: 95% intervals, each by itself. {WORDS}"
)
LAYER_LEGEND = (
    "#: the places that a layer may have, as its error is not surely another than theirs; RMS%: error of the logits "
    "with this layer alone in 8 bits, over the RMS of float32's; agree%: answers with float32's top class; {right}±: "
    "the longer half of a 95% interval, as if pictures were drawn independently; kept wide: change of the whole "
    f"network's error where this layer alone is kept out of 8 bits, with its 95% interval; ~: it may be none. {WORDS}"
)

JsonObject = dict[str, Any]


def compress(answer: Mapping[str, Any]) -> JsonObject:
    """Return a child's effects as files have them: mean squares by group, and by picture if it agrees, and is right."""
    groups, labels, top = answer["groups"], answer["labels"], answer["effects"][FLOAT]["top"]
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
    low, high = (None, None) if half is None else (sqrt(max(0.0, mean - half)), sqrt(mean + half))
    return sqrt(mean), low, high


def _mean(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean, and half of its 95 % interval from two values on: Student's."""
    from scipy.special import stdtrit

    n = len(values)
    return fmean(values), float(stdtrit(n - 1, 0.975)) * stdev(values) / sqrt(n) if n > 1 else None


def rms_ratio(data: JsonObject, name: str, other: str) -> Ratio | None:
    """Return the ratio of two networks' RMS errors over all files; None where one of them is without error.

    Its interval is by each file's part in either. A mean of the files' own ratios may be under 1 where this is over it.
    """
    mine, theirs = (data["effects"][one]["squares"] for one in (name, other))
    if not (any(mine) and any(theirs)):
        return None
    units, pairs = (fmean(mine), fmean(theirs)), zip(mine, theirs, strict=True)
    value, (_, half) = sqrt(units[0] / units[1]), _mean([one / units[0] - two / units[1] for one, two in pairs])
    low, high = (None, None) if half is None else (value * exp(-half / 2), value * exp(half / 2))
    return Ratio(value, low, high, len(mine))


def _is_more(against: Ratio | None) -> bool:
    return against is not None and against.low is not None and against.low > 1


def share(data: JsonObject, name: str, what: str = "agree") -> Share:
    """Return the share of pictures on which a network agrees with float32, or is `right`."""
    marks = data["effects"][name][what]
    return Share.of(marks.count("1"), len(marks))


def _agree_more(data: JsonObject, name: str, other: str) -> Share:
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
    for method in filter(METHODS.__contains__, data["effects"]):
        row = {"method": method, **_error(data, method)}
        if (against := rms_ratio(data, method, STANDARD)) and method != STANDARD:
            row |= {"rms_ratio": against.value, "rms_ratio_low": against.low, "rms_ratio_high": against.high}
            more = _agree_more(data, method, STANDARD)
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


def print_layers(out: Console, data: JsonObject, table_rows: Sequence[JsonObject], most: int) -> None:
    """Print the `most` costly of `layer_rows` with a bar each, the first and the last, all, and what it means."""
    whole, *rows = table_rows
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
    out.print("\n".join(describe_layers(data, table_rows)), markup=False)
    out.print(LAYER_LEGEND.format(right="right%: right answers; " * labelled), style="dim", markup=False)


def _places(row: JsonObject) -> str:
    first, last = row["place_low"], row["place_high"]
    return str(first) if first == last else f"{first}-{last}"


def _errors(data: JsonObject, name: str, bar: str) -> list[str]:
    shares = (share(data, name, what) for what in ("agree", "right") if what in data["effects"][name])
    return [f"{100 * rms(data, name)[0]:.2f}", bar, *map(percent_share, shares)]


def describe_layers(data: JsonObject, table_rows: Sequence[JsonObject]) -> list[str]:
    """Return sentences: what keeping layers wide can take off at most, and if the first and the last cost most."""
    rows = {row["layer"]: row for row in table_rows[1:]}
    error, low, high = (None if end is None else f"{100 * end:.3g}" for end in rms(data, ALL_WIDE))
    within, agree = f" ({low} to {high})" if low else "", share(data, ALL_WIDE).percent()
    more = rms_ratio(data, ALL_WIDE, WHOLE)
    part = "that it is less is not sure, as --keep-wide leaves activations in 8 bits"
    if _is_more(more):
        part = "errors cancel, and wide layers undo that: calibrate on more pictures, or otherwise (--methods)"
    elif _is_more(rms_ratio(data, WHOLE, ALL_WIDE)):
        part = "so much is of activations, which --keep-wide leaves in 8 bits"
    ends = data["layers"][:: len(rows) - 1]
    first, last = (f"({layer}) is number {_places(rows[layer])} of {len(rows)}" for layer in ends)
    return [
        f"With every layer wide the error is {error} %{within}, and {agree} agree; against that with none wide, in %: "
        f"{_change(more)}; {part}.",
        f"By its error the first layer {first}; the last {last}.",
    ]


def describe_search(data: JsonObject, limit: float) -> str:
    """Return what the layers that a search kept wide lose, of how many pictures, and why of so many."""
    search, count, pictures = data["found"], len(data["found"]["wide"]), data["found"]["pictures"]
    chosen, checked = (
        Share.of(lost, pictures) if gained is None else Share.difference(lost, gained, pictures)
        for lost, gained in (search["chosen"], search["checked"])
    )
    if search["checked"][1] is None:
        lost = f"{chosen.percent()} of the answers are not float32's", checked.percent()
    else:
        lost = f"float32 has {chosen.points()} more right, net,", checked.points()
    why = f"{pictures // data['pictures']} for each that ranked (-n)"
    if pictures == least_pictures(limit):
        why = f"as of fewer not even no loss could be told from {100 * limit:g} %"
    more = " More (-n) may show that fewer layers do." * bool(search["met"] and count)
    return (
        f"With {count} {plural(count, 'layer')} wide {lost[0]} on {pictures} pictures that choose, and {lost[1]} on as "
        f"many others, that check. So many, {why}.{more}"
    )


def print_methods(out: Console, data: JsonObject) -> None:
    """Print the ways of calibrating side by side."""
    table = grid("calibrate", "RMS%", f"% of {STANDARD}'s", "agree%", "more of it", text=1)
    for method in filter(METHODS.__contains__, data["effects"]):
        against = [_change(rms_ratio(data, method, STANDARD)), _agree_more(data, method, STANDARD).percent()]
        change, more = against if method != STANDARD else ["-", "-"]
        table.add_row(method, f"{100 * rms(data, method)[0]:.2f}", change, share(data, method).percent(), more)
    out.print(table)


def describe_methods(data: JsonObject) -> tuple[str, bool]:
    """Return which way of calibrating errs least, against the next, the default and all that may; and if it is sure."""
    best, *others = sorted(filter(METHODS.__contains__, data["effects"]), key=lambda method: rms(data, method)[0])
    more = {method: rms_ratio(data, method, best) for method in others}
    named = {method: method + " (the default)" * (method == METHOD) for method in (best, *others)}
    near = [one for one in others if one in (others[0], METHOD) or not _is_more(more[one])]
    is_sure, errors = all(map(_is_more, more.values())), ", ".join(f"{named[one]} {_change(more[one])}" for one in near)
    unsure = f"{data['pictures']} pictures cannot tell which costs least: ahead is {named[best]}"
    return f"{f'{named[best]} costs least' if is_sure else unsure}; errors against its, in %: {errors}.", is_sure


def _kept(data: JsonObject, layer: str) -> str:
    kept, other = rms_ratio(data, WIDE + layer, WHOLE), rms_ratio(data, WHOLE, WIDE + layer)
    return "~" * (kept is not None and not (_is_more(kept) or _is_more(other))) + _change(kept)


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
    every = [read_sensitivity(path) for path in folder.glob("*.json")]
    every.sort(key=lambda data: (data["formats"], len(data["model"]), data["model"]))  # deeper ones have longer names
    if not every:
        return "Not measured yet.\n"
    methods = [method for method in METHODS if method != STANDARD]
    titles = ["activations", "model", f"{STANDARD} RMS %", *(f"{method}, %" for method in methods)]
    rows = []
    for formats, group in groupby(every, itemgetter("formats")):
        networks = list(group)
        for data in networks:
            cells = [_change(rms_ratio(data, method, STANDARD)) for method in methods]
            agree = [share(data, method).percent() for method in (STANDARD, METHOD)]
            rows.append([formats, data["model"], f"{100 * rms(data, STANDARD)[0]:.1f}", *cells, *agree])
        pairs = ([(rms(data, method)[0], rms(data, STANDARD)[0]) for data in networks] for method in methods)
        rows.append([formats, f"all {len(networks)}", "", *map(_change, map(ratio, pairs)), "", ""])
    table = markdown_table([*titles, "agree%", f"with {METHOD}"], rows, text=2)
    return "\n".join([*table, "", *dict.fromkeys(map(_provenance, every))]) + "\n"


def _change(against: Ratio | None) -> str:
    if against is None:
        return "-"
    within = "" if against.low is None or against.high is None else f" ({percent_interval(against.low, against.high)})"
    return percent_change(against.value) + within


def _provenance(data: JsonObject) -> str:
    environment = data["environment"]
    packages, cpu = environment.get("packages", {}), environment.get("cpu", {})
    return (
        f"{data['pictures']} pictures of {data['image']} pixels ({data['input'].get('source')}) judged, "
        f"{data['calibration_pictures']} others calibrated; {data['date'][:10]}, torch {packages.get('torch')}, "
        f"{cpu.get('name')}, commit {short(environment.get('git'))}."
    )
