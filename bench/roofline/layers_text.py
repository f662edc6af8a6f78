"""Tables on a terminal of a case's time by layer."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.commands import command_line
from bench.roofline.eight_bits import describe_eight_bits, restless
from bench.roofline.layers import NOISE_LIMIT, JsonObject, layer_name
from bench.text import WORDS, grid

LEGEND = (
    "us: the median over executions; share: of the whole; floor us: the least time of one kernel that computes the "
    "layer, by the roofline model (bench floors), without products with padding, in the precision that it computes in; "
    "% of roof: floor over us, above 100 where a kernel is faster than the products and copies that measured the "
    "ceilings, or multiplies less (Winograd); bound: what limits the floor; +n: together with n other layers (a sum, a "
    f"pool, a projection). Norms and ReLUs count to the layer before them. {WORDS}"
)
KERNELS_LEGEND = f"us: the median over executions; share: of the whole. {WORDS}"
SUMS = (("sum", "sum_us"), ("not in any layer", "outside_us"), ("whole", "whole_us"))
AGAINST_LEGEND = (
    "rival us: of the case behind --against; the largest differences first; a negative one: the first case is faster; "
    f"~: within the noise. What only one of them tells apart is in the sums alone. {WORDS}"
)


def print_layers(out: Console, timed: JsonObject) -> None:
    """Print each layer of a case, or each kernel of code without layers; then how exact the sum is."""
    _head(out, timed)
    out.print(_by_layer(timed) if any(row["operations"] for row in timed["rows"]) else _by_kernel(timed))
    out.print(_error(timed), markup=False)
    if timed["note"]:
        out.print(f"{timed['note']}.", style="yellow", markup=False)
    elif timed["ceilings"] is None:
        measure = command_line("ceilings")
        out.print(f"No floors: this machine's ceilings are not measured; run {measure}", markup=False, soft_wrap=True)
    out.print(KERNELS_LEGEND if timed["note"] else LEGEND, style="dim", markup=False)


def _by_layer(timed: JsonObject) -> Table:
    table = _grid(("layer", "us", "share", "floor us", "% of roof", "bound", "kernels"))
    for row in timed["rows"]:
        cells = (_us(row["us"]), f"{row['share']:.1%}", _us(row["floor_us"]), _percent(row["of_floor"]))
        table.add_row(layer_name(row), *cells, row["bound"] or "-", _kernels(row))
    floor = timed["floor_us"]
    table.add_section()
    for name, us, share in _sums(timed):
        has_floor = name != "not in any layer"
        floors = (_us(floor), _percent(floor / us if floor else None)) if has_floor else ()
        table.add_row(name, _us(us), share, *floors, style="bold" if name == "whole" else None)
    return table


def _by_kernel(timed: JsonObject) -> Table:
    """Return the table of code without layers: a row for each kernel."""
    table = _grid(("#", "us", "share", "kernels"))
    for number, row in enumerate(timed["rows"], 1):
        table.add_row(str(number), _us(row["us"]), f"{row['share']:.1%}", row["name"])
    table.add_section()
    for name, us, share in _sums(timed):
        table.add_row("", _us(us), share, "in no kernel" if name == "not in any layer" else name)
    return table


def _sums(timed: JsonObject) -> list[tuple[str, float, str]]:
    return [(name, timed[key], f"{timed[key] / timed['whole_us']:.1%}") for name, key in SUMS]


def _error(timed: JsonObject) -> str:
    error, whole = timed["error_us"], timed["whole_us"]
    text = f"The sum is that of an untouched execution to within {_us(error)} us ({error / whole:.1%} of it)."
    if error > NOISE_LIMIT * whole or timed["outside_us"] < -error:
        quiet = " Most of that is what timing the parts adds: trust the whole, and of the parts their order."
        busy = " The machine was not quiet: stop other work and run it again, with a larger -n."
        text += busy if restless(timed) or timed.get("device") == "cuda" else quiet
    return text


def print_layer_comparison(out: Console, timed: JsonObject) -> None:
    """Print the layers of two cases side by side, the largest difference first."""
    other = timed["against"]
    _head(out, timed)
    _head(out, other, "the rival, ")
    table = _grid(("layer", "us", "rival us", "difference us", "percent"))
    for row in timed["compared"]:
        difference, percent = _difference(row["us"], row["against_us"])
        within = "" if row["sure"] else "~"
        table.add_row(layer_name(row), _us(row["us"]), _us(row["against_us"]), within + difference, percent)
    table.add_section()
    for name, key in SUMS:
        cells = _us(timed[key]), _us(other[key]), *_difference(timed[key], other[key], key != "outside_us")
        table.add_row(name, *cells, style="bold" if name == "whole" else None)
    out.print(table)
    for case in (timed, other):
        if case["note"]:
            text = f"{case['case']}: {case['note']}, so that only the whole is compared."
            out.print(text, style="yellow", markup=False)
        out.print(f"{case['case']}: {_error(case)}", markup=False)
    if sentence := describe_eight_bits(timed):
        out.print(sentence, style="bold", markup=False)
    out.print(AGAINST_LEGEND, style="dim", markup=False)


def _head(out: Console, timed: JsonObject, role: str = "") -> None:
    gpu = f", {_us(timed['gpu_us'])} us on the GPU without the launching" if timed["gpu_us"] else ""
    whole = f"{_us(timed['whole_us'])} us, the median of {timed['executions']}"
    out.print(f"{role}{timed['case']}: {whole}{gpu}", style="bold", markup=False)


def _grid(titles: tuple[str, ...]) -> Table:
    return grid(*titles, text=("layer", "bound", "kernels"), wrapped=("kernels",))


def _kernels(row: JsonObject) -> str:
    counts = ((kernel["name"], kernel["count"]) for kernel in row["kernels"])
    return ", ".join(f"{name} x{count}" if count > 1 else name for name, count in counts)


def _us(value: float | None) -> str:
    """Format microseconds with at least three digits."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _difference(us: float, against: float, relative: bool = True) -> tuple[str, str]:
    sign = "+" if us > against else ""
    return sign + _us(us - against), f"{us / against - 1:+.1%}" if against and relative else ""
