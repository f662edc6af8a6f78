"""`bench kernels`: what the compiler emits for every kernel and architecture, against the accepted record."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from bench.cli.console import hint, print_lines, stop, tell
from bench.cli.kernels import bundle as cli_bundle
from bench.cli.kernels import predict as cli_predict
from bench.cli.kernels.options import ALL, Accept, Arch, Check, Layers, Tables
from bench.cli.kernels.progress import CompileBar
from bench.cli.options import Csv, Json, Markdown
from bench.cli.tables import console_for, print_csv, print_json
from bench.errors import FAILED, STOPPED, USAGE
from bench.files import OTHER, check_writable
from bench.kinds import ACCEPTED
from bench.static import predictions
from bench.static.compile import absolute, compile_kernels, parse_archs, tuned_tables
from bench.static.kernel_changes import as_json as changes_as_json
from bench.static.kernel_changes import compare_kernels, refused
from bench.static.kernels import Accepted, matching_entries
from bench.static.kernels_text import change_lines, kernel_lines
from bench.text import plural
from bench.tuning.bundle import CAP
from kernels.table import Table


def kernels(
    check: Check = None, accept: Accept = None, arch: Arch = ALL, filter: Layers = None, table: Tables = None,
    predict: cli_predict.File = None,
    gpu: cli_predict.Card = predictions.GPU.name,
    bundle: cli_bundle.File = None,
    models: cli_bundle.Models = "resnet50",
    batch: cli_bundle.Batches = "1,128",
    precision: cli_bundle.Precisions = "fp16",
    candidates: cli_bundle.Candidates = CAP,
    budget: cli_bundle.Budget = None,
    as_csv: Csv = False,
    as_markdown: Markdown = False,
    as_json: Json = False,
) -> None:  # fmt: skip
    """Show what the compiler emits for each kernel and architecture: registers, spills, tensor cores; needs no GPU."""
    if predict:
        return cli_predict.predict(predict, gpu, precision, as_json)
    if bundle:
        one, tables = arch if arch != ALL else "sm_90", absolute(_readable_tables(table))
        return cli_bundle.make_bundle(bundle, one, models, batch, precision, candidates, tables, budget, as_json)
    start = time.monotonic()
    if accept:
        check_writable(accept, ACCEPTED, f"{OTHER} with --accept")
    archs, globs = parse_archs(arch), filter or []
    before = Accepted.read(check) if check else None
    now = _compile(archs, globs, _readable_tables(table))
    changes = compare_kernels(matching_entries(before.entries, archs, globs), now.entries) if before else []
    if as_json:
        print_json(changes_as_json(now, changes, before, check))
    elif as_csv:
        print_csv(entry.as_row() for entry in now.entries)
    else:
        console = console_for(as_markdown)
        print_lines(kernel_lines(now, time.monotonic() - start, table=before is None), console)
        print_lines(change_lines(changes, before, now) if before else (), console)
    if accept:
        _save(now, accept)
    raise typer.Exit(FAILED if refused(now, changes, before) else 0)


def _readable_tables(paths: list[Path] | None) -> list[Path]:
    """Return the tables of `--table`, or this checkout's; end the command where one cannot be read."""
    tables = tuned_tables() if paths is None else paths
    for path in tables:
        try:
            Table.read(path)
        except OSError as error:
            stop(f"--table: cannot read {path}: {error.strerror}", USAGE)
        except ValueError as error:
            stop(f"--table: {error}", USAGE)
    return tables


def _compile(archs: list[int], globs: list[str], tables: list[Path]) -> Accepted:
    try:
        with CompileBar() as bar:
            compiled = compile_kernels(archs, globs, tables, bar.show)
    except KeyboardInterrupt:
        raise typer.Exit(STOPPED) from None
    for name in compiled.unknown:
        tell(f"bench: left out: the configurations for {name}, as kernels/cards/cards.py has no card of that name")
    if not compiled.record.entries:
        layer = "resnet50/fp16-n32-56x56x64-3x3-s1-p1-k64-relu"
        stop(f"no layer matches {' or '.join(globs)}; one is called {layer}", USAGE)
    return compiled.record


def _save(now: Accepted, path: Path) -> None:
    now.save(path)
    hint(f"Accepted: {len(now.entries)} {plural(len(now.entries), 'kernel')} at {now.commit}, in {path}")
    if now.commit.endswith("+"):
        hint("The + says that this checkout has changes: the commit alone does not make these kernels.")
