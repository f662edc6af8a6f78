"""Where a case's time goes, as tables on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from bench.roofline.layers import Told
from bench.text import WORDS

LEGEND = (
    "us: the median over executions; share: of the whole; floor us: the least time of one kernel that computes the "
    "layer, by the roofline model (bench floors); % of roof: floor over us; bound: what limits the floor; +n: together "
    f"with n other layers (a sum, a pool, a projection). Norms and ReLUs count to the layer before them. {WORDS}"
)
KERNELS_LEGEND = f"us: the median over executions; share: of the whole. {WORDS}"
NOISY = 0.1  # an error of the sum, relative, that says more of the machine than of the case
AGAINST_LEGEND = (
    f"The largest differences first; a negative one: the first case is faster; ~: within the noise. {WORDS}"
)


def show(out: Console, timed: Told) -> None:
    """Each layer of a case, or each kernel of code that knows no layers; then how far the sum may be trusted."""
    _head(out, timed)
    out.print(_by_layer(timed) if any(row["operations"] for row in timed["rows"]) else _by_kernel(timed))
    out.print(_error(timed), markup=False)
    if timed["note"]:
        out.print(f"{timed['note']}.", style="yellow", markup=False)
    elif timed["ceilings"] is None:
        out.print("No floors: this machine's ceilings are not measured; run bench ceilings.", markup=False)
    out.print(KERNELS_LEGEND if timed["note"] else LEGEND, style="dim", markup=False)


def _by_layer(timed: Told) -> Table:
    grid = _grid(("layer", "us", "share", "floor us", "% of roof", "bound", "kernels"))
    for row in timed["rows"]:
        cells = (_us(row["us"]), f"{row['share']:.1%}", _us(row["floor_us"]), _percent(row["of_floor"]))
        grid.add_row(_name(row), *cells, row["bound"] or "-", _kernels(row))
    floor = timed["floor_us"]
    grid.add_section()
    for name, us, share in _sums(timed):
        compared = name != "not in any layer"
        floors = (_us(floor), _percent(floor / us if floor else None)) if compared else ()
        grid.add_row(name, _us(us), share, *floors, style="bold" if name == "whole" else None)
    return grid


def _by_kernel(timed: Told) -> Table:
    """Of code that knows no layers."""
    grid = _grid(("#", "us", "share", "kernels"))
    for number, row in enumerate(timed["rows"], 1):
        grid.add_row(str(number), _us(row["us"]), f"{row['share']:.1%}", row["name"])
    grid.add_section()
    for name, us, share in _sums(timed):
        grid.add_row("", _us(us), share, "in no kernel" if name == "not in any layer" else name)
    return grid


def _sums(timed: Told) -> list[tuple[str, float, str]]:
    whole = timed["whole_us"]
    sums = (("sum", timed["sum_us"]), ("not in any layer", timed["outside_us"]), ("whole", whole))
    return [(name, us, f"{us / whole:.1%}") for name, us in sums]


def _error(timed: Told) -> str:
    error, whole = timed["error_us"], timed["whole_us"]
    text = f"The sum is that of an untouched execution to within {_us(error)} us ({error / whole:.1%} of it)."
    if error > NOISY * whole or timed["outside_us"] < -error:
        text += " The machine was not quiet: stop other work and run it again, with a larger -n."
    return text


def show_against(out: Console, timed: Told) -> None:
    """Two cases layer by layer, what differs most first."""
    other = timed["against"]
    for one in (timed, other):
        _head(out, one)
    grid = _grid(("layer", "us", "against us", "difference us", "percent"))
    for row in timed["compared"]:
        difference, percent = _difference(row["us"], row["against_us"])
        within = "" if row["sure"] else "~"
        grid.add_row(_name(row), _us(row["us"]), _us(row["against_us"]), within + difference, percent)
    grid.add_section()
    for name, key in (("sum", "sum_us"), ("not in any layer", "outside_us"), ("whole", "whole_us")):
        style = "bold" if name == "whole" else None
        grid.add_row(
            name,
            _us(timed[key]),
            _us(other[key]),
            *_difference(timed[key], other[key], key != "outside_us"),
            style=style,
        )
    out.print(grid)
    for one in (timed, other):
        if one["note"]:
            text = f"{one['case']}: {one['note']}, so that only the whole is compared."
            out.print(text, style="yellow", markup=False)
        out.print(f"{one['case']}: {_error(one)}", markup=False)
    out.print(AGAINST_LEGEND, style="dim", markup=False)


def _head(out: Console, timed: Told) -> None:
    gpu = f", {_us(timed['gpu_us'])} us on the GPU without the launching" if timed["gpu_us"] else ""
    whole = f"{_us(timed['whole_us'])} us, the median of {timed['executions']}"
    out.print(f"{timed['case']}: {whole}{gpu}", style="bold", markup=False)


def _grid(titles: tuple[str, ...]) -> Table:
    """A table whose kernels, names as long as a line, have what the other columns leave of the width."""
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold", expand="kernels" in titles)
    for title in titles:
        left = title in ("layer", "bound", "kernels")
        ratio = 1 if title == "kernels" else None
        grid.add_column(title, justify="left" if left else "right", no_wrap=True, overflow="ellipsis", ratio=ratio)
    return grid


def _name(row: Told) -> str:
    more = len(row["operations"]) - 1
    return row["name"] + (f" +{more}" if more > 0 else "")


def _kernels(row: Told) -> str:
    return ", ".join(
        kernel["name"] + (f" x{kernel['count']}" if kernel["count"] > 1 else "") for kernel in row["kernels"]
    )


def _us(value: float | None) -> str:
    """Three digits at least."""
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"


def _difference(us: float, against: float, relative: bool = True) -> tuple[str, str]:
    sign = "+" if us > against else ""
    return sign + _us(us - against), f"{us / against - 1:+.1%}" if against and relative else ""
