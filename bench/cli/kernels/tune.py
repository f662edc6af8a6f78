"""`bench tune`: the fastest configuration of each layer on this GPU."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Annotated

import typer
from typer import Argument, Option

from bench.cli.console import hint, print_lines, spinner, stop, tell
from bench.cli.kernels.options import parse_models
from bench.cli.kernels.progress import TuneLog
from bench.cli.options import Csv, Json, Markdown, ToFile
from bench.cli.tables import console_for, print_csv, print_json
from bench.cli.words import parse_batches, parse_words
from bench.errors import FAILED, STOPPED, UNABLE, TuningError
from bench.files import check_rewritable
from bench.kinds import TABLE
from bench.machine.environment import devices, no_cuda
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
    models: Annotated[list[str] | None, Argument(metavar="[MODEL...]", help="Networks.  \\[default: resnet50]")] = None,
    batch: Annotated[str, Option(metavar="N,...", help="Batch sizes.")] = BATCHES,
    precision: Annotated[str, Option(metavar="NAME,...", help=f"Any of {', '.join(BYTES)}.")] = "fp16",
    image: Annotated[int, Option(min=1, help="Side of the images in pixels.")] = 224,
    budget: Annotated[float | None, Option(min=1, metavar="SECONDS", help="Stop after this time.")] = None,
    candidates: Annotated[
        int | None,
        Option(
            min=1,
            metavar="N",
            help=f"Configurations tried per layer.  \\[default: {CAP}; with --budget, as many as fit]",
        ),
    ] = None,
    output: Annotated[Path | None, ToFile(help="Table of the best.  \\[default: results/tuned/<GPU>.json]")] = None,
    dry: Annotated[
        bool, Option("--dry", help="Try every step without a GPU, timed by the host's clock; needs -o.")
    ] = False,
    bundle: Annotated[
        Path | None,
        Option(
            metavar="FILE", help=f"Kernels that `bench kernels --bundle` compiled.  \\[default: ${BUNDLE_VARIABLE}]"
        ),
    ] = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:
    """The fastest configuration of each layer's kernel on this GPU, among those whose results are right.

    The table holds the best so far after every improvement. Run it again to go on where it was stopped.
    """
    start = time.monotonic()
    precisions = parse_words("precision", precision, BYTES)
    wanted = parse_models(models or ["resnet50"]), parse_batches(batch), precisions, image
    if output:
        check_rewritable(output, TABLE)
    _check_machine(dry, output)
    if output:  # a file that is no table is refused before the work begins
        read_table(output)
    if bundle:
        os.environ[BUNDLE_VARIABLE] = str(bundle.absolute())
    networks = read_networks(*wanted)
    if networks.bundle:
        hint(f"Kernels compiled beforehand: {networks.bundle}")
    gpu = _usable(DRY if dry else networks.gpu)
    cap, device = candidates or (None if budget else CAP), "cpu" if dry else "cuda"
    left = budget - (time.monotonic() - start) if budget else inf
    with spinner("starting") as status:
        store, log = TrialStore(output or gpu.file), TuneLog(status)
        tuner = Tuner(gpu, networks.versions, store, networks.networks, left, cap, device, on_trial=log.trial)
        code = _run(tuner)
    if as_json:
        print_json(summary.as_json(tuner))
    elif as_csv:
        print_csv(map(dict, summary.layer_rows(tuner)))
    else:
        print_lines(summary.summary_lines(tuner, out_of_time=not code), console_for(as_markdown))
    raise typer.Exit(code or (FAILED if any(target.tried and not target.best for target in tuner.targets) else 0))


def _check_machine(dry: bool, output: Path | None) -> None:
    if dry and (output is None or output.resolve().is_relative_to(TUNED)):
        raise typer.BadParameter(f"--dry measures no GPU: name a file outside {TUNED} with -o")
    if not dry and (reason := no_cuda(devices())):
        stop(f"this machine has no CUDA device to tune for: {reason}; --dry walks the whole way without one", UNABLE)


def _usable(gpu: Gpu | None) -> Gpu:
    """Return the GPU if there are kernels for it, and say what the model that orders candidates assumes of it."""
    if gpu is None:
        stop("the process that reads the networks finds no CUDA device", UNABLE)
    if gpu.arch not in ARCHS:
        stop(f"the kernels are for sm_{', sm_'.join(map(str, ARCHS))}; {gpu.name} is sm_{gpu.arch}", UNABLE)
    hint(install_constants(gpu))
    return gpu


def _run(tuner: Tuner) -> int:
    """Run the tuner; return the exit code."""
    try:
        tuner.tune()
    except KeyboardInterrupt:
        tell(f"\nStopped. The best so far is in {tuner.store.path}; the same command goes on from there.")
        return STOPPED
    except TuningError as error:
        tell(f"bench: {error}")
        return FAILED
    return 0
