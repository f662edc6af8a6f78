"""`bench kernels --bundle FILE`: kernels compiled on this machine, for a card elsewhere that is to lose no time.

A child compiles (`bench.worker.tune.bundle`); what it tells of goes into the file here, so that neither its death nor
an interrupt costs more than the candidates that were being compiled.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from bench.cli.console import FAILED, STOPPED, UNABLE, out, print_json, stop, tell
from bench.machine.environment import cpu
from bench.runs.process import Answer, ask
from kernels.cards.archs import ARCHS
from kernels.compiled.bundle import LIMIT, VARIABLE, Bundle, Maker
from kernels.space.layer import BYTES
from resnet.archs import Spec

CAP = 48  # candidates a layer: more than a quarter of an hour times of any
DEATHS = 20  # of compilers, before it is given up
LIMIT_S = 36_000.0
QUIET = 64  # candidates between two lines

File = Annotated[
    Path | None,
    typer.Option(
        "--bundle",
        metavar="FILE",
        help="Only compile what a network and a tuner need, into this file; for one --arch, sm_90 unless told.",
    ),
]
Models = Annotated[str, typer.Option(metavar="NAME,...", help="Of a bundle: networks.")]
Batches = Annotated[str, typer.Option(metavar="N,...", help="Of a bundle: batches.")]
Precisions = Annotated[str, typer.Option(metavar="NAME,...", help=f"Of a bundle, of {', '.join(BYTES)}.")]
Candidates = Annotated[int, typer.Option(min=1, metavar="N", help="Of a bundle: candidates a layer.")]
Budget = Annotated[float | None, typer.Option(min=1, metavar="SECONDS", help="Of a bundle: stop on time.")]


class Full(Exception):
    """The bundle has reached its limit."""


def asked(arch: str, models: str, batch: str, precision: str, candidates: int) -> dict[str, Any]:
    """The command line, read: what a child is told. Raises typer.BadParameter."""
    archs = {f"sm_{arch}": arch for arch in ARCHS}
    if arch not in archs:
        raise typer.BadParameter(f"--arch {arch}: a bundle is for one of {', '.join(archs)}")
    for name in models.split(","):
        try:
            Spec.parse(name)
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    batches = [int(word) if word.isdecimal() else 0 for word in batch.split(",")]
    if min(batches) < 1:
        raise typer.BadParameter(f"--batch {batch}: not positive numbers with commas between them")
    for word in precision.split(","):
        if word not in BYTES:
            raise typer.BadParameter(f"--precision {word}: there are kernels for {', '.join(BYTES)}")
    told = {"models": models.split(","), "batches": batches, "precisions": precision.split(","), "image": 224}
    return told | {"arch": archs[arch], "candidates": candidates}


def make(path: Path, wanted: dict[str, Any], budget: float | None, commit: str, as_json: bool) -> None:
    """Fills the file until all is in it, the time is up, it is full, or someone has enough."""
    start = time.monotonic()
    end = start + (budget or LIMIT_S)
    answer = _ask(wanted | {"what": "maker"}, end, lambda stage: None)
    if answer.status != "ok":
        stop(f"this machine cannot compile kernels: {answer.status}: {answer.reason}", UNABLE)
    about = {"commit": commit} | {name: wanted[name] for name in ("models", "batches", "precisions", "image")}
    try:
        bundle = Bundle(path, Maker(**answer.data["maker"]), about)
    except (OSError, ValueError) as error:
        stop(f"{error}; name another file", FAILED)
    if bundle.old:
        tell(f"{path} is made anew: {bundle.old}")
    before = len(bundle.keys)
    work, code = _Work(bundle), 0
    try:
        try:
            work.run(wanted, end)
        except Full:
            tell(f"It is full: {LIMIT / 1e6:.0f} MB.")
        except KeyboardInterrupt:
            code = STOPPED
        bundle.save()
    except OSError as error:
        stop(f"cannot write {path}: {error.strerror}", FAILED)
    seconds = time.monotonic() - start
    told = {"file": str(path), "bytes": path.stat().st_size, "kernels": len(bundle.keys), "layers": len(bundle.layers)}
    told |= {"candidates": sum(map(len, bundle.layers.values())), "made": len(bundle.keys) - before}
    told |= {"seconds": round(seconds, 1), "failed": work.failed, "complete": work.complete}
    if as_json:
        print_json(told)
    else:
        _show(told)
    raise typer.Exit(code)


def _show(told: dict[str, Any]) -> None:
    each = told["bytes"] / max(told["kernels"], 1)
    out.print(
        f"{told['file']}: {told['kernels']} kernels for {told['candidates']} candidates of {told['layers']} layers, "
        f"{told['bytes'] / 1e6:.1f} MB, {each / 1e3:.1f} kB each. {told['made']} of them now, "
        f"in {told['seconds']:.0f} s, {60 * told['made'] / told['seconds']:.0f} a minute.",
        markup=False,
        soft_wrap=True,
    )
    for layer, config, reason in told["failed"]:
        out.print(f"failed: {layer}: {config}: {reason}", markup=False, soft_wrap=True)
    if not told["complete"]:
        out.print("Not all that was asked for: the same command goes on.")
    out.print(f"Use: {VARIABLE}={told['file']}, or bench tune --bundle {told['file']}", markup=False)


def _ask(job: dict[str, Any], end: float, hear: Any) -> Answer:
    return ask({"job": "bundle"} | job, max(end - time.monotonic(), 0.0) + 300.0, hear)


class _Work:
    """Children, one after the other, until all is compiled; one that dies costs itself and what killed it."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.failed: list[tuple[str, str, str]] = []
        self.running: set[tuple[str, str]] = set()
        self.heard = 0
        self.complete = False

    def run(self, wanted: dict[str, Any], end: float) -> None:
        """Raises Full, and KeyboardInterrupt."""
        threads, deaths = cpu()["cores"], 0
        while (left := end - time.monotonic()) > 0:
            known = {layer: list(configs) for layer, configs in self.bundle.layers.items()}
            for layer, config, _ in self.failed:
                known.setdefault(layer, []).append(config)
            self.running.clear()
            job = wanted | {"what": "candidates", "known": known, "threads": threads, "seconds": left}
            answer = _ask(job, end, self.hear)
            if answer.status == "ok":
                self.complete = not answer.data["left"]
                return
            deaths += 1
            if deaths == DEATHS or not self.running:
                self.bundle.save()
                stop(f"the kernels could not be compiled: {answer.status}: {answer.reason}", FAILED)
            if len(self.running) == 1:
                self.failed.append((*self.running.pop(), answer.reason))
            threads = 1  # to see which it is, where there were several

    def hear(self, stage: str) -> None:
        """What a child tells: into the file. Raises Full."""
        verb, _, rest = stage.partition(" ")
        if verb == "try":
            self.running.add(tuple(json.loads(rest)))
        elif verb == "also":
            self.bundle.carry(map(Path, json.loads(rest)))
        elif verb == "done":
            told = json.loads(rest)
            self.running.discard((told["layer"], told["config"]))
            if "failed" in told:
                self.failed.append((told["layer"], told["config"], told["failed"]))
            else:
                self.bundle.add(told["layer"], told["config"], map(Path, told["folders"]))
            self.heard += 1
            if self.heard % QUIET == 0:
                tell(f"{self.heard} candidates, {len(self.bundle.keys)} kernels, {self.bundle.size / 1e6:.1f} MB")
            if self.bundle.size > 0.98 * LIMIT:
                raise Full
