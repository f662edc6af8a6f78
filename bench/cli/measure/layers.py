"""`bench layers`: where a case's time goes, and against another case where it is won or lost."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.status import Status
from rich.table import Table

from bench.cli.console import FAILED, UNABLE, Input, Json, Seed, err, out, print_json, stop
from bench.files import ANOTHER, write_json
from bench.machine.environment import environment
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.roofline.layers import Told, compared
from bench.roofline.layers import layers as timed

LEGEND = (
    "us: the median over executions; share: of the whole; floor: the least time of one kernel that computes the layer, "
    "and what sets it (bench floors says how); +n: together with so many other layers (a sum, a pool, a projection). "
    "Norms and ReLUs count to the layer before them."
)
KERNELS_LEGEND = "us: the median over executions; share: of the whole."
NOISY = 0.1  # an error of the sum, relative, that says more of the machine than of the case
AGAINST_LEGEND = "Sorted by what matters most; a negative difference: the first is faster; ~: within the noise."


def layers(
    case: Annotated[str, typer.Argument(metavar="CASE", help="A case's name, as `bench list` prints it.")],
    against: Annotated[str | None, typer.Option("--against", metavar="CASE", help="Another, side by side.")] = None,
    executions: Annotated[int, typer.Option("-n", min=1, help="Executions, whole and in parts each.")] = 30,
    trace: Annotated[
        Path | None,
        typer.Option("--trace", metavar="FILE", help="One execution of CASE, for Perfetto or chrome://tracing."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FILE", help="Keep it as JSON, for the report page.")
    ] = None,
    input: Input = "photos",
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Where a case's time goes: each layer's time, kernels, share and floor.

    The answers are checked first. The layers' sum stands beside the case's own time, measured untouched in the same
    process.
    """
    cases = [Case.parse(name) for name in (case, against) if name is not None]
    facts = environment()
    for one in cases:
        reason = why_not(one, facts)
        if reason:
            stop(f"this machine cannot run {one.name}: {reason}", UNABLE)
    if input not in ("photos", "noise") and not Path(input).is_dir():
        raise typer.BadParameter(f"--input {input}: neither photos, noise, nor a folder")
    for path in (trace, output):
        if path is not None and not path.resolve().parent.is_dir():
            raise typer.BadParameter(f"{path}: there is no folder {path.resolve().parent}")
    found = []
    for number, one in enumerate(cases):
        with err.status(one.name) as status:
            stage = partial(_stage, status, one.name)
            found.append(timed(one, facts, executions, input, seed, None if number else trace, stage))
            _keep(found[0], output)  # whatever becomes of the other case
    mine = found[0] | ({"against": found[1], "compared": compared(*found)} if against else {})
    _keep(mine, output)
    if as_json:
        print_json(mine)
        return
    _show_against(mine) if against else _show(mine)
    for path, what in ((trace, "Trace"), (output, "Kept")):
        if path is not None:
            out.print(f"{what}: {path}", markup=False, soft_wrap=True)


def _stage(status: Status, name: str, stage: str) -> None:
    status.update(f"{name}: {stage}")


def _keep(told: Told, path: Path | None) -> None:
    if path is not None:
        write_json(path, told, ANOTHER, FAILED)


def _show(told: Told) -> None:
    _head(told)
    out.print(_by_layer(told) if any(row["operations"] for row in told["rows"]) else _by_kernel(told))
    out.print(_error(told), markup=False)
    if told["note"]:
        out.print(f"{told['note']}.", style="yellow", markup=False)
    elif told["ceilings"] is None:
        out.print("No floors: this machine's ceilings are not measured; run bench ceilings.", markup=False)
    out.print(KERNELS_LEGEND if told["note"] else LEGEND, style="dim", markup=False)


def _by_layer(told: Told) -> Table:
    grid = _grid(("layer", "us", "share", "floor us", "of floor", "bound", "kernels"))
    for row in told["rows"]:
        cells = (_us(row["us"]), f"{row['share']:.1%}", _us(row["floor_us"]), _percent(row["of_floor"]))
        grid.add_row(_name(row), *cells, row["bound"] or "-", _kernels(row))
    floor = told["floor_us"]
    grid.add_section()
    for name, us, share in _sums(told):
        compared = name != "not in any layer"
        floors = (_us(floor), _percent(floor / us if floor else None)) if compared else ()
        grid.add_row(name, _us(us), share, *floors, style="bold" if name == "whole" else None)
    return grid


def _by_kernel(told: Told) -> Table:
    """Of code that knows no layers."""
    grid = _grid(("#", "us", "share", "kernels"))
    for number, row in enumerate(told["rows"], 1):
        grid.add_row(str(number), _us(row["us"]), f"{row['share']:.1%}", row["name"])
    grid.add_section()
    for name, us, share in _sums(told):
        grid.add_row("", _us(us), share, "in no kernel" if name == "not in any layer" else name)
    return grid


def _sums(told: Told) -> list[tuple[str, float, str]]:
    whole = told["whole_us"]
    found = (("sum", told["sum_us"]), ("not in any layer", told["outside_us"]), ("whole", whole))
    return [(name, us, f"{us / whole:.1%}") for name, us in found]


def _error(told: Told) -> str:
    error, whole = told["error_us"], told["whole_us"]
    text = f"The sum is that of an untouched execution to within {_us(error)} us ({error / whole:.1%} of it)."
    if error > NOISY * whole or told["outside_us"] < -error:
        text += " The machine was not quiet: stop other work and run it again, with a larger -n."
    return text


def _show_against(told: Told) -> None:
    other = told["against"]
    for one in (told, other):
        _head(one)
    grid = _grid(("layer", "us", "against us", "difference us", "percent"))
    for row in told["compared"]:
        difference, percent = _difference(row["us"], row["against_us"])
        within = "" if row["sure"] else "~"
        grid.add_row(_name(row), _us(row["us"]), _us(row["against_us"]), within + difference, percent)
    grid.add_section()
    for name, key in (("sum", "sum_us"), ("not in any layer", "outside_us"), ("whole", "whole_us")):
        style = "bold" if name == "whole" else None
        grid.add_row(
            name, _us(told[key]), _us(other[key]), *_difference(told[key], other[key], key != "outside_us"), style=style
        )
    out.print(grid)
    for one in (told, other):
        if one["note"]:
            text = f"{one['case']}: {one['note']}, so that only the whole is compared."
            out.print(text, style="yellow", markup=False)
        out.print(f"{one['case']}: {_error(one)}", markup=False)
    out.print(AGAINST_LEGEND, style="dim", markup=False)


def _head(told: Told) -> None:
    gpu = f", {_us(told['gpu_us'])} us on the GPU without the launching" if told["gpu_us"] else ""
    whole = f"{_us(told['whole_us'])} us, the median of {told['executions']}"
    out.print(f"{told['case']}: {whole}{gpu}", style="bold", markup=False)


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
