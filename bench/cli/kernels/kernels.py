"""`bench kernels`: what the compiler emits for every kernel and architecture, held against what was accepted."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from bench.cli.console import FAILED, UNABLE, USAGE, Json, err, out, print_json, stop, tell
from bench.cli.kernels import bundle as cli_bundle
from bench.machine.environment import cpu
from bench.machine.provenance import this_commit
from bench.runs.process import Answer, ask
from bench.static import predictions
from bench.static.kernels import POINTS, Accepted, Entry, chosen, compare, failures, unsafe
from bench.static.kernels_text import show, show_changes
from bench.tuning.tuner import KNOWN, Gpu, Network
from kernels.cards.cards import CARDS, named
from kernels.cards.constants import use_measured
from kernels.cards.places import tuned_folder
from kernels.table import Table as Tuned

CHILDREN = 4  # at most: each holds torch and a compiler, half a gigabyte
PART_LIMIT_S, NETWORKS_LIMIT_S = 3600.0, 300.0
DEATHS = 20  # of compilers, before a part is given up
TUNED = tuned_folder()  # configurations that were measured, a table for each GPU

ARCHS = {f"sm_{arch}": arch for arch in POINTS}
ALL = ",".join(ARCHS)


Check = Annotated[
    Path | None,
    typer.Option(
        "--check",
        metavar="FILE",
        help="Exit 1 if a kernel is worse than this record says, or may compute wrong numbers; "
        "if another Triton made the record, only if one can no longer be used.",
    ),
]
Predict = Annotated[
    Path | None,
    typer.Option("--predict", metavar="FILE", help="Only write what the model predicts of ResNet-50's layers."),
]


def kernels(
    check: Check = None,
    accept: Annotated[
        Path | None, typer.Option("--accept", metavar="FILE", help="Write what is emitted now as that record.")
    ] = None,
    arch: Annotated[str, typer.Option("--arch", metavar="sm_90,...", help="Only these.")] = ALL,
    filter: Annotated[
        list[str] | None,
        typer.Option("-f", "--filter", metavar="GLOB", help="Only layers that match, as resnet50/fp16-n32-*-3x3-*."),
    ] = None,
    table: Annotated[
        list[Path] | None,
        typer.Option("--table", metavar="FILE", help="Configurations, in place of those in results/tuned."),
    ] = None,
    predict: Predict = None,
    gpu: Annotated[
        str, typer.Option("--gpu", metavar="NAME", help="Of --predict: a card, as h100 or as its driver names it.")
    ] = predictions.GPU.name,
    bundle: cli_bundle.File = None,
    models: cli_bundle.Models = "resnet50",
    batch: cli_bundle.Batches = "1,128",
    precision: cli_bundle.Precisions = "fp16",
    candidates: cli_bundle.Candidates = cli_bundle.CAP,
    budget: cli_bundle.Budget = None,
    as_json: Json = False,
) -> None:
    """What the compiler emits for every kernel and architecture; no GPU needed."""
    if predict:
        return _predict(predict, _card(gpu), as_json)
    if bundle:
        wanted = cli_bundle.asked(arch if arch != ALL else "sm_90", models, batch, precision, candidates)
        tables = _tables(sorted(TUNED.glob("*.json")) if table is None else table)
        return cli_bundle.make(bundle, wanted | {"tables": tables}, budget, this_commit(), as_json)
    start = time.monotonic()
    archs, globs = _archs(arch), filter or []
    before = Accepted.load(check) if check else None
    entries, triton = _compiled(archs, globs, _tables(sorted(TUNED.glob("*.json")) if table is None else table))
    if not entries:
        stop(
            f"no layer matches {' or '.join(globs)}; one is called resnet50/fp16-n32-56x56x64-3x3-s1-p1-k64-relu", USAGE
        )
    now = Accepted(entries, triton, this_commit(), f"{datetime.now(UTC):%Y-%m-%d}")
    changes = compare(chosen(before.entries, archs, globs), entries) if before else []
    if as_json:
        told: dict[str, Any] = {"triton": triton, "commit": now.commit, "entries": [entry.row() for entry in entries]}
        if before:
            was = {"file": str(check), "triton": before.triton, "commit": before.commit, "when": before.when}
            told |= {"accepted": was, "changes": [asdict(change) for change in changes]}
        print_json(told)
    else:
        show(now, time.monotonic() - start, table=before is None)
        if before:
            show_changes(changes, before, now)
    if accept:
        now.save(accept)
        tell(f"Accepted: {len(entries)} kernels at {now.commit}, in {accept}")
        if now.commit.endswith("+"):
            tell("The + says that this checkout has changes: the commit alone does not make these kernels.")
    bad: list[Any] = [entry for entry in entries if unsafe(entry) or (entry.failed and not before)]
    bad += failures(changes, before.triton == triton) if before else []
    raise typer.Exit(FAILED if bad else 0)


def _card(name: str) -> Gpu:
    card = named(name) or next((card for card in CARDS if card.key == name.lower()), None)
    if card is None:
        stop(f"unknown card {name!r}; known: {', '.join(card.key for card in CARDS)}", USAGE)
    return KNOWN[card.name]


def _predict(path: Path, gpu: Gpu, as_json: bool) -> None:
    """The prediction of the docs, before it is measured; a child knows the networks."""
    known = use_measured(gpu.name)
    told = {"models": [predictions.MODEL], "precisions": [predictions.PRECISION], "batches": list(predictions.BATCHES)}
    answer = ask({"job": "tune", "what": "networks", "image": 224} | told, NETWORKS_LIMIT_S)
    if answer.status != "ok":
        stop(f"the network could not be read: {answer.status}: {answer.reason}", FAILED)
    networks = [Network.read(network) for network in answer.data["networks"]]
    command = f"bench kernels --predict {path}" + (f" --gpu '{gpu.name}'" if gpu != predictions.GPU else "")
    made = {"command": command, "date": f"{datetime.now(UTC):%Y-%m-%d}", "commit": this_commit(), "constants": known}
    found = predictions.save(path, networks, made, gpu)
    if as_json:
        print_json(found)
        return
    tell(known)
    out.print(f"{path}: {predictions.MODEL}, {predictions.PRECISION}, {found['gpu']}, by the model:", soft_wrap=True)
    for batch, rows in predictions.rows(found, Tuned()).items():
        us = sum(row.us for row in rows)
        out.print(f"batch {batch}: {us:,.0f} us, {1e6 * batch / us:,.0f} images/s")


def _archs(text: str) -> list[int]:
    words = text.split(",")
    for word in words:
        if word not in ARCHS:
            raise typer.BadParameter(f"unknown architecture {word!r}; allowed: {', '.join(ARCHS)}")
    return [arch for name, arch in ARCHS.items() if name in words]


def _tables(paths: list[Path]) -> list[str]:
    """Their names for the child, once they can be read."""
    for path in paths:
        try:
            Tuned.load(path)
        except OSError as error:
            stop(f"--table: cannot read {path}: {error.strerror}", USAGE)
        except ValueError as error:
            stop(f"--table: {error}", USAGE)
    return [str(path.absolute()) for path in paths]


def _compiled(archs: list[int], globs: list[str], tables: list[str]) -> tuple[list[Entry], str]:
    """Every kernel's entry, and Triton's version. Exits where this machine cannot compile."""
    count = min(cpu()["cores"], CHILDREN)
    job = {
        "job": "kernels",
        "points": {str(arch): POINTS[arch] for arch in archs},
        "globs": globs,
        "tables": tables,
        "parts": count,
    }
    with _Bar(count) as bar, ThreadPoolExecutor(count) as pool:
        try:
            answers = list(pool.map(lambda part: _part(job, part, bar), range(count)))
        except KeyboardInterrupt:  # leaving the pool would wait for the children; they die with this process
            bar.bar.stop()
            os._exit(130)
    for answer in answers:
        if answer.status == "skipped":
            stop(f"this machine cannot compile kernels: {answer.reason}; `pip install 'triton>=3.6'`", UNABLE)
        if answer.status != "ok":
            stop(f"the kernels could not be compiled: {answer.status}: {answer.reason}", FAILED)
    for name in answers[0].data["unknown"]:
        tell(f"bench: left out: the configurations for {name}, as kernels/cards/cards.py has no card of that name")
    # a part has every n-th kernel: in the order of the plan
    rows = [(place, part, row) for part, answer in enumerate(answers) for place, row in enumerate(answer.data["rows"])]
    ordered = sorted(rows, key=lambda row: row[:2])
    return [Entry.of(row) for _, _, row in ordered], answers[0].data["triton"]


def _part(job: dict[str, Any], part: int, bar: _Bar) -> Answer:
    """A child's share. What kills the compiler is a row's failure: a new child goes on behind it."""
    broken: dict[str, str] = {}
    while True:
        told = [""]

        def stage(text: str, told: list[str] = told) -> None:
            told[0] = text
            bar.stage(part, text)

        answer = ask(job | {"part": part, "broken": broken}, PART_LIMIT_S, stage)
        done, _, rest = told[0].partition(" ")
        if answer.status in ("ok", "skipped", "error") or not done.isdigit() or len(broken) == DEATHS:
            return answer
        broken[rest.partition(" ")[2]] = f"{answer.status}: {answer.reason}"


class _Bar:
    """How many are compiled: a live bar on a terminal, a line for each tenth elsewhere."""

    def __init__(self, children: int) -> None:
        self.children = children
        self.bar = Progress(
            TextColumn("compiling"), BarColumn(bar_width=12), MofNCompleteColumn(), TextColumn("{task.description}"),
            console=err, transient=True, disable=not err.is_terminal,
        )  # fmt: skip
        self.task = self.bar.add_task("", total=None)
        self.parts: dict[int, tuple[int, int]] = {}
        self.tenth = 0
        self.lock = Lock()

    def __enter__(self) -> _Bar:
        self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.stop()

    def stage(self, part: int, text: str) -> None:
        """`done total name` of one child; anything else is what it does before."""
        done, _, rest = text.partition(" ")
        if not done.isdigit():
            return
        total, _, name = rest.partition(" ")
        with self.lock:
            self.parts[part] = int(done), int(total)
            if len(self.parts) < self.children:  # the total is not known yet
                return
            done_all, total_all = map(sum, zip(*self.parts.values(), strict=True))
            self.bar.update(self.task, completed=done_all, total=total_all, description=name[: err.width - 40])
            if not err.is_terminal and 10 * done_all // total_all > self.tenth:
                self.tenth = 10 * done_all // total_all
                tell(f"compiled {done_all} of {total_all}")
