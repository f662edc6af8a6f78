"""The reason why a network in 8 bits is not faster: what ran in 8 bits, what conversions cost, what memory bounds."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.plans.case import Case
from bench.roofline.layers import NOISE_LIMIT, JsonObject, layer_name
from bench.text import plural
from resnet.calibration import EIGHT_BITS

# kernels between formats: QuantizeLinear, aten::dequantize, a reorder; not QLinearConv or quantized::conv2d
CONVERSION = re.compile(r"(?i)(?<![a-z])(de)?quantize(?!d)|reorder|convertlayout")
NAMED = 3  # layers that the sentence names


def describe_eight_bits(timed: JsonObject) -> str:
    """Return the sentence for a comparison, `against` and `compared` in it, of 8 bits with more; empty of another."""
    sides = [timed, timed["against"]]
    eight = [Case.parse(side["case"]).precision in EIGHT_BITS for side in sides]
    if eight[0] == eight[1]:
        return ""
    ours, theirs = sides if eight[0] else reversed(sides)
    slower = [row for row in timed["compared"] if row["sure"] and (row["difference_us"] > 0) == eight[0]]
    clauses = [_what_ran(ours), _conversions(ours), _bounds(ours), _slower(slower)]
    gain = f"8 bits run it at {theirs['whole_us'] / ours['whole_us']:.2f} times the speed"
    if any(side["error_us"] > NOISE_LIMIT * side["whole_us"] for side in sides):
        gain = "How fast 8 bits are is unclear, as the machine was not quiet"
    return f"{gain}: {'; '.join(filter(None, clauses))}."


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
    """Return what the kernels that only convert between formats take, as far as each is large enough to be listed."""
    kernels = [kernel for row in ours["rows"] for kernel in row["kernels"]]
    us = sum(kernel["us"] for kernel in kernels if CONVERSION.search(kernel["name"]))
    if not kernels:
        return ""
    return (
        f"conversions between formats take {us / ours['sum_us']:.1%} of the layers' time"
        if us
        else "no conversion is seen"
    )


def _bounds(ours: JsonObject) -> str:
    """Return which part of the time is in layers that memory or a launch bounds, by the floors in 8 bits."""
    rows = [row for row in ours["rows"] if row["bound"]]
    if not rows:
        return "no floors, as this machine's ceilings in 8 bits are not measured"
    bound = [row for row in rows if row["bound"] != "compute"]
    us = sum(row["us"] for row in bound)
    if not bound:
        return "no layer is bound by memory"
    largest = sorted(bound, key=lambda row: -row["us"])
    count = f"{len(bound)} of {len(rows)} layers with {us / ours['sum_us']:.0%} of their time are"
    return f"{count} bound by memory, not arithmetic, by their floors ({_named([layer_name(row) for row in largest])})"


def _slower(rows: Sequence[JsonObject]) -> str:
    if not rows:
        return "no layer is slower for sure"
    names = _named([row["name"] for row in rows])
    return f"{len(rows)} {plural(len(rows), 'layer is', 'layers are')} slower for sure ({names})"


def _named(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + f" and {len(names) - NAMED} more" * (len(names) > NAMED)
