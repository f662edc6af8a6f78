"""`bench tune`: the fastest configuration of each layer on this GPU; what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table as Grid

from bench.cli.console import FAILED, STOPPED, UNABLE, err, out, tell
from bench.errors import TuningError
from bench.machine.environment import environment, no_cuda
from bench.runs.process import Answer, ask
from bench.tuning.trials import STATUSES, Kept, Trial, load
from bench.tuning.tuner import CAP, KNOWN, TUNED, Gpu, Network, Target, Tuner, predicted
from kernels.cards.archs import ARCHS
from kernels.cards.constants import use_measured
from kernels.compiled.bundle import VARIABLE
from kernels.kinds import default
from kernels.space.config import Config
from kernels.space.layer import BYTES, Layer
from kernels.space.machine import machine_of
from resnet.archs import Spec

BATCHES = "1,8,32,128,256"
DRY = replace(KNOWN["NVIDIA H200"], name="dry run, as NVIDIA H200")  # a name that no GPU has: its table is never used
NETWORKS_LIMIT_S = 300.0
LEGEND = (
    "us: measured, of a layer; of a network: all its layers. model: what was predicted of the best; ratio: us to "
    "that. untuned: the model's own choices, measured. +r: adds a residual, +d: adds a second convolution, +p: "
    "activates its input, pool: with the pool behind it, mean: with the average before it."
)


@dataclass(frozen=True)
class Asked:
    """The command line, read."""

    models: list[str]
    batches: list[int]
    precisions: list[str]
    image: int
    output: Path | None


def tune(
    models: Annotated[list[str] | None, typer.Argument(metavar="[MODEL...]", help="[default: resnet50]")] = None,
    batch: Annotated[str, typer.Option(metavar="N,...", help="Batches.")] = BATCHES,
    precision: Annotated[str, typer.Option(metavar="NAME,...", help=f"Of {', '.join(BYTES)}.")] = "fp16",
    image: Annotated[int, typer.Option(min=1, help="Side of the pictures.")] = 224,
    budget: Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Stop on time.")] = None,
    candidates: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"A layer, at most.  \\[default: {CAP}; with --budget, what it allows]"),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="The table.  \\[default: results/tuned/<GPU>.json]"),
    ] = None,
    dry: Annotated[
        bool, typer.Option("--dry", help="The whole way without a GPU, times by the host's clock; needs -o.")
    ] = False,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help=f"Kernels compiled beforehand.  \\[default: ${VARIABLE}]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find the fastest configuration of each layer on this GPU; right ones only.

    The best so far is in the table after every improvement. Run it again to go on where it was stopped.
    """
    start = time.monotonic()
    asked = Asked(
        [_model(name) for name in models or ("resnet50",)], _batches(batch), _precisions(precision), image, output
    )
    if dry and (output is None or output.resolve().is_relative_to(TUNED)):
        raise typer.BadParameter(f"--dry measures no GPU: name a file outside {TUNED} with -o")
    reason = None if dry else no_cuda(environment())
    if reason:
        tell(f"bench: this machine has no CUDA device to tune for: {reason}; --dry walks the whole way without one")
        raise typer.Exit(UNABLE)
    if output:
        load(output)  # so that a file that is no table is told before anything is worked out
    if bundle:
        os.environ[VARIABLE] = str(bundle.absolute())
    facts = _networks(asked)
    if facts["bundle"]:
        tell(f"Kernels compiled beforehand: {facts['bundle']}")
    gpu = DRY if dry else Gpu(**facts["gpu"])
    if gpu.arch not in ARCHS:
        tell(f"bench: the kernels are for sm_{', sm_'.join(map(str, ARCHS))}; {gpu.name} is sm_{gpu.arch}")
        raise typer.Exit(UNABLE)
    tell(_assumed(gpu))
    networks = [Network.read(network) for network in facts["networks"]]
    cap = candidates or (None if budget else CAP)
    kept = Kept(output or gpu.file)
    left = budget - (time.monotonic() - start) if budget else inf
    with Progress() as told:
        tuner = Tuner(gpu, facts["versions"], kept, networks, left, cap, "cpu" if dry else "cuda", told=told.trial)
        ended = _run(tuner)
    _print(tuner, ended, as_json)
    raise typer.Exit(ended or (FAILED if any(target.tried and not target.best for target in tuner.targets) else 0))


def _assumed(gpu: Gpu) -> str:
    """What the model that orders candidates takes for granted of this GPU, a line each. Installs what is measured."""
    known = use_measured(gpu.name)
    return "\n".join(filter(None, (known, machine_of(gpu.arch, gpu.sms, gpu.name).assumed)))


def _run(tuner: Tuner) -> int:
    """The exit code that its end asks for."""
    try:
        tuner.run()
    except KeyboardInterrupt:
        tell(f"\nStopped. What was found is in {tuner.kept.path}; the same command goes on from there.")
        return STOPPED
    except TuningError as error:
        tell(f"bench: {error}")
        return FAILED
    return 0


def _model(name: str) -> str:
    try:
        Spec.parse(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    return name


def _batches(text: str) -> list[int]:
    found = [int(word) if word.isdecimal() else 0 for word in text.split(",")]
    if min(found) < 1:
        raise typer.BadParameter(f"--batch {text}: not positive numbers with commas between them")
    return found


def _precisions(text: str) -> list[str]:
    for word in text.split(","):
        if word not in BYTES:
            raise typer.BadParameter(f"--precision {word}: there are kernels for {', '.join(BYTES)}")
    return text.split(",")


def _networks(asked: Asked) -> dict[str, Any]:
    """The layers of what was asked for, this GPU, the versions of the libraries: a child's answer."""
    job = {"job": "tune", "what": "networks"} | {
        name: value for name, value in asdict(asked).items() if name != "output"
    }
    answer: Answer = ask(job, NETWORKS_LIMIT_S)
    if answer.status != "ok":
        tell(f"bench: the networks could not be read: {answer.status}: {answer.reason}")
        raise typer.Exit(FAILED)
    return answer.data


class Progress:
    """What was found, a line each; how far it is, on a terminal."""

    def __init__(self) -> None:
        self.start = time.monotonic()
        self.tried = 0
        self.status = err.status("starting")

    def __enter__(self) -> Progress:
        self.status.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.status.stop()

    def trial(self, target: Target, trial: Trial) -> None:
        self.tried += 1
        self.status.update(f"{self.tried} tried; {trial.layer}")
        if trial.status == "won":
            before = f", before {trial.beside_us:.2f}" if trial.beside_us else ""
            self._line(f"{trial.layer}: {trial.us:.2f} us{before}, {trial.config}")
        elif trial.status in ("wrong", "failed"):
            self._line(f"{trial.status}: {trial.layer}: {trial.config}: {trial.reason}")

    def _line(self, text: str) -> None:
        err.print(f"{time.monotonic() - self.start:4.0f} s  {text}", markup=False, soft_wrap=True)


def _rows(tuner: Tuner) -> list[dict[str, Any]]:
    """A row a layer that was tried."""
    rows = []
    for target in tuner.targets:
        model = predicted(target.layer, target.best, tuner.gpu) if target.best else None
        row: dict[str, Any] = {"layer": target.layer.key, "share": target.share, "config": target.best}
        row |= {"predicted_us": model, "us": target.us, "ratio": target.us / model if target.us and model else None}
        row |= {"tried": len(target.tried), "left": len(target.left)}
        rows.append(row | {status: target.count(status) for status in STATUSES})
    return rows


def _totals(tuner: Tuner) -> list[dict[str, Any]]:
    """A row a network: the microseconds of its layers, where all of them have a best."""
    by_layer = {target.layer: target for target in tuner.targets}
    rows = []
    for network in tuner.networks:
        times = []
        for layer, count in network.layers.items():
            target = by_layer[layer]
            first = target.tried.get(str(default(layer, tuner.gpu.arch, tuner.gpu.sms, tuner.gpu.name)))
            if target.best and target.us:
                model = predicted(layer, target.best, tuner.gpu)
                times.append((count * model, count * target.us, count * ((first.us if first else None) or inf)))
        whole = len(times) == len(network.layers)
        sums = [sum(column) if whole else None for column in zip(*times, strict=True)] or [None] * 3
        named = dict(zip(("predicted_us", "us", "first_us"), sums, strict=True))
        named = {name: None if value == inf else value for name, value in named.items()}
        about = {"model": network.model, "batch": network.batch, "precision": network.precision}
        rows.append(about | {"layers": sum(network.layers.values())} | named)
    return rows


def _print(tuner: Tuner, ended: int, as_json: bool) -> None:
    rows, totals = _rows(tuner), _totals(tuner)
    left = sum(row["left"] for row in rows)
    if as_json:
        told = {"gpu": asdict(tuner.gpu), "file": str(tuner.kept.path), "left": left}
        print(json.dumps(told | {"layers": rows, "networks": totals}, indent=1))
        return
    by_kind: dict[tuple[str, int], list[tuple[Layer, dict[str, Any]]]] = {}
    for target, row in zip(tuner.targets, rows, strict=True):
        by_kind.setdefault((target.layer.dtype, target.layer.n), []).append((target.layer, row))
    for (dtype, batch), found in sorted(by_kind.items()):
        out.print(f"\n[bold]{dtype}, batch {batch}[/]")
        out.print(_layers(found))
    out.print()
    out.print(_networks_grid(totals))
    out.print(LEGEND, style="dim")
    counts = ", ".join(f"{sum(row[status] for row in rows)} {status}" for status in STATUSES)
    out.print(f"Tried {sum(row['tried'] for row in rows)}: {counts}. {left} left.", markup=False)
    if left and not ended:
        out.print("Out of time: the same command goes on.", markup=False)
    out.print(f"Table: {tuner.kept.path}", markup=False, soft_wrap=True)


def _layers(found: Iterable[tuple[Layer, dict[str, Any]]]) -> Grid:
    grid = _grid("layer", "model", "us", "ratio", "best", "tried")
    for layer, row in found:
        config = short(Config.parse(row["config"])) if row["config"] else "none"
        grid.add_row(
            brief(layer),
            _number(row["predicted_us"]),
            _number(row["us"]),
            _number(row["ratio"], 2),
            config,
            str(row["tried"]),
        )
    return grid


def _networks_grid(totals: list[dict[str, Any]]) -> Grid:
    grid = _grid("network", "precision", "batch", "model", "us", "ratio", "untuned")
    for row in totals:
        model, us = row["predicted_us"], row["us"]
        times = [_number(model), _number(us), _number(us / model if us else None, 2), _number(row["first_us"])]
        grid.add_row(row["model"], row["precision"], str(row["batch"]), *times)
    return grid


def _grid(*titles: str) -> Grid:
    grid = Grid(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in titles:
        left = title in ("layer", "best", "network", "precision")
        grid.add_column(title, justify="left" if left else "right", no_wrap=True)
    return grid


def _number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def brief(layer: Layer) -> str:
    """A layer without batch and precision: `56x56x64 1x1 256 +r`; r: residual, d: second operand, p: prologue.

    A stem and a head are told by what is in their kernel beside the product.
    """
    stride = f"/{layer.stride}" if layer.stride > 1 else ""
    more = "".join(
        letter for letter, there in (("r", layer.residual), ("d", layer.second), ("p", layer.prologue)) if there
    )
    kernel = "x".join(map(str, layer.kernel))
    joined = {"conv": "", "stem": " pool", "head": " mean"}[layer.kind]
    return f"{layer.h}x{layer.w}x{layer.c_in} {kernel}{stride} {layer.c_out}" + (f" +{more}" if more else "") + joined


def short(config: Config) -> str:
    """A configuration without what most have: `tma-2.8.8x64x64-w8-s4`."""
    return str(config).replace("-pdl", "").replace("-g8", "").replace("-k1", "" if config.split_k == 1 else "-k1")
