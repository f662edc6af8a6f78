"""`bench op`: one convolution of a user's, judged on the layers of a network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Argument, Option

from bench.cli.again import again
from bench.cli.console import spinner, stop, write_output
from bench.cli.options import Csv, Json, Markdown, Seed, ToFile
from bench.cli.tables import Column, console_for, print_csv, print_json, print_table
from bench.errors import FAILED, UNABLE, USAGE
from bench.files import check_writable
from bench.kinds import VERDICTS
from bench.machine.environment import environment
from bench.ops.contest import Contest
from bench.ops.layers import ALL, ConvLayer, choose_layers, conv_layers
from bench.plans.case import Case
from bench.plans.eligible import why_not
from bench.text import digits, plural
from resnet.code import find_code
from resnet.names import canonical_outside

COLUMNS = (
    Column("layer", "name", text=True),
    Column("shape", "layer", text=True),
    Column("n", "count"),
    Column("error", "error", digits),
    Column("yours", "yours_us", digits),
    Column("library", "library_us", digits),
    Column("ours", "ours_us", digits),
    Column("times", "speedup", lambda value: f"{value:.2f}"),
    Column("95 %", "speedup_interval", lambda bounds: "{:.2f}-{:.2f}".format(*bounds)),
    Column("roof", "of_floor", lambda share: f"{share:.0%}"),
)
WIDE = 120  # columns of a terminal that has room for the shapes, too
LIST_COLUMNS = (Column("layer", "layer", text=True), Column("times", "count"), Column("names", "names", text=True))


def op(
    code: Annotated[
        str | None, Argument(metavar="MODULE:FUNCTION", help="Your convolution, in the current folder or installed.")
    ] = None,
    layer: Annotated[
        list[str] | None,
        Option("--layer", metavar="KEY|GLOB|all", help="Layers by key or by name, as layer1.0.conv2; repeat for more."),
    ] = None,
    model: Annotated[str, Option(help="The network whose layers it is judged on.")] = "resnet50",
    batch: Annotated[int, Option(min=1, help="Images.")] = 8,
    precision: Annotated[str, Option(metavar="NAME", help="fp32, tf32, fp16 or bf16.")] = "fp32",
    image: Annotated[int, Option(min=32, help="Side of the images in pixels.")] = 224,
    list_: Annotated[bool, Option("--list", help="Print the layers, and judge nothing.")] = False,
    seconds: Annotated[float, Option(min=0, help="Seconds of timing a layer.")] = 1.0,
    output: Annotated[Path | None, ToFile(help="Write the result as JSON.")] = None,
    seed: Seed = 0,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """Judge a convolution of your own on each layer of a network: is it right, and how fast?

    It is a function (x, weight, bias, residual, stride, padding, relu) -> y, checked against float64 and timed in turns
    with the vendor library's fused convolution and this project's. Exit code 1: it is wrong on a layer.
    """
    case = Case(model, "library-fused", precision, batch, image, "stream")
    layers = choose_layers(_layers(case), layer or [ALL])
    if list_:
        rows = [{"layer": item.key, "count": len(item.names), "names": ", ".join(item.names)} for item in layers]
        print_json(rows) if as_json else print_table(LIST_COLUMNS, rows, as_csv=as_csv, as_markdown=as_markdown)
        return
    if code is None:
        stop(f"name your convolution, as mymodule:conv; `{again(list_=True)}` shows the layers", USAGE)
    try:
        name = canonical_outside(code)
    except ValueError as error:
        stop(str(error), USAGE)
    env = environment()
    if reason := why_not(case, env):
        stop(
            f"the library's convolutions, beside which yours is timed, do not run here in {precision}: {reason}", UNABLE
        )
    if reason := find_code(name):
        stop(reason, USAGE)
    if output is not None:
        check_writable(output, VERDICTS)
    with spinner("start") as status:
        contest = Contest(
            name, case.model, batch, image, precision, layers, env, seconds, seed=seed, show=status.update
        )
        result = contest.judge()
    write_output(result, output)
    if as_json:
        print_json(result)
    elif as_csv:
        print_csv(result["rows"])
    else:
        _print(result, as_markdown)
    raise typer.Exit(0 if all(row["status"] == "ok" for row in result["rows"]) else FAILED)


def _layers(case: Case) -> list[ConvLayer]:
    try:
        return conv_layers(case.model, case.batch, case.image, case.precision)
    except ValueError as error:
        stop(f"bench op judges on the layers of this project's ResNets alone: {error}", USAGE)


def _print(result: dict[str, Any], as_markdown: bool) -> None:
    """Print the table, what was wrong, and the sentence."""
    console, case = console_for(as_markdown), result["case"]
    title = (
        f"{result['code']['name']} on {case['model']}, {case['precision']}, batch {case['batch']}, {result['machine']}"
    )
    console.print(title, style="bold", markup=False)
    rows = [row | {"name": row["names"][0]} for row in result["rows"]]
    narrow = {"layer"} if console.width < WIDE and not as_markdown else set()
    shown = [c for c in COLUMNS if c.key not in narrow and any(row[c.key] is not None for row in rows)]
    print_table(shown, rows, as_markdown=as_markdown)
    console.print()
    for text in _remarks(rows):
        console.print(text, markup=False)
    console.print(_sentence(result), markup=False)
    console.print(
        "n: how often the network has such a layer; error: RMS error against float64, a multiple of the library's; "
        "yours, library, ours: the median of a call in us; times: the library's time over yours, turn by turn, with "
        "the median's 95 % interval; roof: the least time of one kernel by this machine's ceilings, over yours. One "
        "process: another may differ. --list: the shapes. Words: docs/GLOSSARY.md.",
        style="dim",
    )  # fmt: skip


def _remarks(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what was wrong, and what is said of the other contestants, each with the layers that it is about."""
    places: dict[str, list[str]] = {}
    for row in rows:
        texts = [f"{who}: {text}" for who, text in row["notes"].items()]
        texts += [] if row["status"] == "ok" else [f"{row['status']}: {row['reason']}"]
        for text in texts:
            places.setdefault(text, []).append(row["name"])
    for text, names in places.items():
        yield text if len(names) == len(rows) > 1 else f"{', '.join(names)}: {text}"


def _sentence(result: dict[str, Any]) -> str:
    rows, together = result["rows"], result["sum"]
    right = sum(row["status"] == "ok" for row in rows)
    faster = sum(bool(row["speedup_interval"]) and row["speedup_interval"][0] > 1 for row in rows)
    text = f"Right on {right} of {len(rows)} {plural(len(rows), 'layer')}, "
    text += f"faster than the library on {faster} beyond the interval."
    if together and len(rows) > 1:
        text += (
            f" All {together['count']} together: {digits(together['yours_us'])} us, the library's "
            f"{digits(together['library_us'])} us: {together['speedup']:.2f} times as fast."
        )
    return text
