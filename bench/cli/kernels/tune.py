"""`bench tune`: the fastest configuration of each layer on this GPU."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer

from bench.cli.console import FAILED, STOPPED, UNABLE, Json, print_json, show, stop, tell
from bench.cli.kernels.options import batches_of, models_of, precisions_of
from bench.cli.kernels.progress import TuneStatus
from bench.errors import TuningError
from bench.machine.environment import environment, no_cuda
from bench.tuning import summary
from bench.tuning.gpus import PREDICTABLE, TUNED, Gpu, install_constants
from bench.tuning.networks import read_networks
from bench.tuning.trials import TrialStore, read_table
from bench.tuning.tuner import CAP, Tuner
from kernels.cards.archs import ARCHS
from kernels.compiled.bundle import BUNDLE_VARIABLE
from kernels.space.layer import BYTES

BATCHES = "1,8,32,128,256"
DRY = replace(
    PREDICTABLE["NVIDIA H200"], name="dry run, as NVIDIA H200"
)  # no GPU has this name: its table is never used


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
        typer.Option("--bundle", metavar="FILE", help=f"Kernels compiled beforehand.  \\[default: ${BUNDLE_VARIABLE}]"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Find the fastest configuration of each layer on this GPU; right ones only.

    The best so far is in the table after every improvement. Run it again to go on where it was stopped.
    """
    start = time.monotonic()
    wanted = (models_of(models or ["resnet50"]), batches_of(batch), precisions_of(precision), image)
    _check_machine(dry, output)
    if output:  # so that a file that is no table is told before anything is worked out
        read_table(output)
    if bundle:
        os.environ[BUNDLE_VARIABLE] = str(bundle.absolute())
    read = read_networks(*wanted)
    if read.bundle:
        tell(f"Kernels compiled beforehand: {read.bundle}")
    gpu = _usable(DRY if dry else read.gpu)
    cap, device = candidates or (None if budget else CAP), "cpu" if dry else "cuda"
    left = budget - (time.monotonic() - start) if budget else inf
    with TuneStatus() as status:
        store = TrialStore(output or gpu.file)
        tuner = Tuner(gpu, read.versions, store, read.networks, left, cap, device, on_trial=status.trial)
        code = _run(tuner)
    if as_json:
        print_json(summary.as_json(tuner))
    else:
        show(summary.summary_lines(tuner, out_of_time=not code))
    raise typer.Exit(code or (FAILED if any(target.tried and not target.best for target in tuner.targets) else 0))


def _check_machine(dry: bool, output: Path | None) -> None:
    if dry and (output is None or output.resolve().is_relative_to(TUNED)):
        raise typer.BadParameter(f"--dry measures no GPU: name a file outside {TUNED} with -o")
    if not dry and (reason := no_cuda(environment())):
        stop(f"this machine has no CUDA device to tune for: {reason}; --dry walks the whole way without one", UNABLE)


def _usable(gpu: Gpu | None) -> Gpu:
    """A GPU that there are kernels for; tells what the model that orders candidates takes for granted of it."""
    if gpu is None:
        stop("the process that reads the networks finds no CUDA device", UNABLE)
    if gpu.arch not in ARCHS:
        stop(f"the kernels are for sm_{', sm_'.join(map(str, ARCHS))}; {gpu.name} is sm_{gpu.arch}", UNABLE)
    tell(install_constants(gpu))
    return gpu


def _run(tuner: Tuner) -> int:
    """The exit code that its end asks for."""
    try:
        tuner.tune()
    except KeyboardInterrupt:
        tell(f"\nStopped. What was found is in {tuner.store.path}; the same command goes on from there.")
        return STOPPED
    except TuningError as error:
        tell(f"bench: {error}")
        return FAILED
    return 0
