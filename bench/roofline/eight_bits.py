"""The reason why a network in 8 bits is not faster: what ran in 8 bits, what conversions cost, what memory bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.plans.case import Case
from bench.roofline.layers import CONVERSIONS, NOISE_LIMIT, JsonObject, layer_name
from bench.text import plural
from resnet.calibration import EIGHT_BITS

# kernels between formats: QuantizeLinear, aten::dequantize, a reorder; not QLinearConv or quantized::conv2d
CONVERSION = re.compile(r"(?i)(?<![a-z])(de)?quantize(?!d)|reorder|convertlayout")
# of compiled code: kernels that convert and compute, by a word that is neither of converting nor of their place
MIXED = re.compile(r"cpp_fused_(?!(?:(?:de)?quantize_per_tensor_|as_strided_|view_)*\d+$)")
NAMED = 3  # layers that the sentence names


def describe_eight_bits(timed: JsonObject) -> str:
    """Return the sentence for a comparison, `against` and `compared` in it, of 8 bits with more; empty of another."""
    sides = [timed, timed["against"]]
    eight = [Case.parse(side["case"]).precision in EIGHT_BITS for side in sides]
    if eight[0] == eight[1]:
        return ""
    ours, theirs = sides if eight[0] else reversed(sides)
    layers = [row for row in timed["compared"] if row["name"] != CONVERSIONS]
    slower = [row for row in layers if row["sure"] and (row["difference_us"] > 0) == eight[0]]
    clauses = [_what_ran(ours), _conversions(ours), _bounds(ours), _slower(slower) if layers else ""]
    return f"{_gain(ours, theirs)}: {'; '.join(filter(None, clauses))}."


def restless(side: JsonObject) -> bool:
    """Return whether times of a case differ by more than the noise, beyond what timing its parts added to them."""
    added = max(0.0, side["timed_us"] - side["whole_us"]) if side.get("device") != "cuda" else 0.0
    return bool(side["error_us"] - added > NOISE_LIMIT * side["whole_us"])


def _gain(ours: JsonObject, theirs: JsonObject) -> str:
    """Return how many times the speed, by the intervals of the whole executions, which nothing instruments."""
    ends = [side["whole_interval_us"] for side in (theirs, ours)]
    if None in ends:
        return "Too few executions to say how fast 8 bits are (a larger -n)"
    if restless(ours) or restless(theirs):
        return "How fast 8 bits are is unclear, as the machine was not quiet"
    low, high = ends[0][0] / ends[1][1], ends[0][1] / ends[1][0]
    if low < 1 < high:
        return f"Whether 8 bits are faster is unclear, at {low:.2f} to {high:.2f} times the speed"
    return f"8 bits run it at {theirs['whole_us'] / ours['whole_us']:.2f} times the speed ({low:.2f} to {high:.2f})"


def _what_ran(ours: JsonObject) -> str:
    quantized = ours["details"].get("quantized") or {}
    layers, wide, left = (quantized.get(name) for name in ("layers", "wide", "float_operations"))
    if layers is None:
        return "what ran in 8 bits is not on record"
    text = f"{layers} of {layers + len(wide or ())} layers ran in 8 bits"
    for what, names in (("kept wide", wide), ("left in float", left)):
        if names:
            text += f", {what}: {_named(names)}"
    return text


def _conversions(ours: JsonObject) -> str:
    """Return what kernels take that only convert between formats, and what of conversions cannot be seen."""
    us, hidden = 0.0, ours["how"] == "hooks" and bool((ours["details"].get("quantized") or {}).get("wide"))
    for row in ours["rows"]:
        names = [kernel["name"] for kernel in row["kernels"] if CONVERSION.search(kernel["name"])]
        mixed = {name for name in names if MIXED.search(name)}
        hidden = hidden or bool(mixed)
        alone = row["name"] == CONVERSIONS or (len(names) == len(row["kernels"]) > 0 and not mixed)
        us += row["us"] if alone else sum(k["us"] for k in row["kernels"] if k["name"] in set(names) - mixed)
    text = f"conversions between formats take {us / _time(ours):.1%} of the time"
    if hidden:
        return f"{text}, without those inside other kernels or layers, which cannot be told apart"
    return text if us else "conversions between formats cannot be seen here"


def _bounds(ours: JsonObject) -> str:
    """Return which part of the time is in layers that memory or a launch bounds, by the floors in 8 bits."""
    rows = [row for row in ours["rows"] if row["bound"]]
    if not any(row["operations"] for row in ours["rows"]):
        return "its kernels cannot be told apart by layers, so that none has a floor"
    if not rows:
        return "no floors, as this machine's ceilings in 8 bits are not measured"
    bound = [row for row in rows if row["bound"] != "compute"]
    us = sum(row["us"] for row in bound)
    if not bound:
        return "none of its layers is bound by memory"
    largest = sorted(bound, key=lambda row: -row["us"])
    names = _named([layer_name(row) for row in largest])
    count = f"{len(bound)} of {len(rows)} layers, sums and pools, with {us / _time(ours):.0%} of the time,"
    return f"{count} {plural(len(bound), 'is', 'are')} bound by memory, not arithmetic, by their floors ({names})"


def _time(ours: JsonObject) -> float:
    """Return the microseconds that shares are of: what no part has counts, as does what timing the parts adds."""
    return float(max(ours["sum_us"], ours["whole_us"]))


def _slower(rows: Sequence[JsonObject]) -> str:
    if not rows:
        return "no layer is slower for sure"
    names = _named([row["name"] for row in rows])
    return f"{len(rows)} {plural(len(rows), 'layer is', 'layers are')} slower for sure ({names})"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
