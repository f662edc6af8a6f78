"""The command line: every command, in its group of `bench --help`, and how an error ends one.

Exit codes are those of `bench.errors`.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperGroup

from bench.cli.again import Command
from bench.cli.console import Force, Quiet, cache_warnings_as_sentences, tell
from bench.cli.kernels import counts, op, tune
from bench.cli.kernels import kernels as kernels_command
from bench.cli.machine import ceilings, constants, env, floors, pieces, selftest
from bench.cli.measure import ab, accuracy, campaign, layers, once, run, sensitivity, verify
from bench.cli.measure import list as list_command
from bench.cli.results import capacity, compare, formats, history, recommend, report
from bench.cli.streams import check_output, outlive_readers
from bench.commands import command_line
from bench.ends import end_in_order
from bench.errors import EXIT_CODES, USAGE, BenchError
from bench.files import Replacing
from bench.machine.provenance import describe_version
from bench.text import WORDS
from kernels.cards.constants import ConstantsError

# old name of a command -> its name now; an old name works for one version more, and --help does not list it
RENAMED = {"facts": "counts", "load": "capacity", "gpu": "campaign"}


class _Commands(TyperGroup):
    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command by its name, or by its name of the version before."""
        Replacing.force = None
        if name := RENAMED.get(args[0]):
            tell(f"bench: `bench {args[0]}` is called `bench {name}` now; the next version has only that name")
            args = [name, *args[1:]]
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # a context of typer's or of click's, as the version has it
        """Run the command; an error becomes its sentence on stderr and its exit code, here and nowhere else."""
        try:
            _check_current_folder()
            return super().invoke(ctx)
        except (BenchError, ConstantsError) as error:  # the second is of kernels/, which imports nothing of bench/
            tell(f"bench: {error}")
            raise typer.Exit(getattr(error, "exit_code", USAGE)) from None


def _check_current_folder() -> None:
    """Raise BenchError where the current folder was removed: relative paths and users' modules are looked up in it."""
    try:
        Path.cwd()
    except OSError as error:
        raise BenchError(
            f"there is no current folder any more ({error.strerror}): change to another, and try again"
        ) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Which way of running a ResNet is fastest on this machine, by how much, and is the answer still right?",
    epilog=f"{EXIT_CODES}\n\n{WORDS}",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(describe_version())
        raise typer.Exit


@app.callback()
def common(
    quiet: Quiet = False,
    version: Annotated[
        bool, Option("--version", help="Print the version and the commit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Take the options that stand before a command's name."""


def _with_shared(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes `--quiet`, too, and `--force` where it writes a file; the console keeps both."""
    signature = inspect.signature(command, eval_str=True)
    writes = any(  # or reads one: `--check FILE` stands beside `--accept FILE`
        annotation.__args__[0] == Path | None and annotation.__metadata__[0].metavar == "FILE"
        for parameter in signature.parameters.values()
        if hasattr(annotation := parameter.annotation, "__metadata__")
    )
    shared = {"quiet": Quiet} | ({"force": Force} if writes and "force" not in signature.parameters else {})
    keyword = inspect.Parameter.KEYWORD_ONLY
    added = [inspect.Parameter(name, keyword, default=False, annotation=shared[name]) for name in shared]

    @wraps(command)
    def with_them(*values: Any, **options: Any) -> None:
        command(*values, **{name: value for name, value in options.items() if name not in shared})

    with_them.__signature__ = signature.replace(parameters=[*signature.parameters.values(), *added])  # type: ignore[attr-defined]
    with_them.__annotations__ = command.__annotations__ | shared
    return with_them


# in the order of `bench --help`: first what a newcomer needs first
COMMANDS: tuple[tuple[str, dict[str, Callable[..., None]]], ...] = (
    ("Measure", {
        "list": list_command.list_,
        "run": run.run,
        "verify": verify.verify,
        "accuracy": accuracy.accuracy,
        "once": once.once,
        "layers": layers.layers,
        "sensitivity": sensitivity.sensitivity,
        "ab": ab.ab,
        "campaign": campaign.campaign,
    }),
    ("Results", {
        "report": report.report,
        "compare": compare.compare,
        "recommend": recommend.recommend,
        "capacity": capacity.capacity,
        "history": history.history,
        "export": formats.export,
        "import": formats.import_,
    }),
    ("Machine", {
        "env": env.env,
        "ceilings": ceilings.ceilings,
        "floors": floors.floors,
        "selftest": selftest.selftest,
        "pieces": pieces.pieces,
        "constants": constants.constants,
    }),
    ("Kernels", {
        "kernels": kernels_command.kernels,
        "counts": counts.counts,
        "tune": tune.tune,
        "op": op.op,
    }),
)  # fmt: skip
for panel, commands in COMMANDS:
    for name, command in commands.items():
        # typer keeps the line breaks inside a paragraph of a docstring, which a narrow terminal breaks once more
        text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")
        app.command(name, cls=Command, rich_help_panel=panel, help=text)(_with_shared(command))


def main() -> None:
    """Run the console script `bench`."""
    end_in_order()
    outlive_readers()
    cache_warnings_as_sentences()
    completing = {"--install-completion", "--show-completion"} & set(sys.argv[1:2])  # of the word `bench` in a shell
    try:
        app(prog_name="bench" if completing else command_line(), complete_var="_BENCH_COMPLETE")
    except SystemExit as end:
        if not end.code:
            check_output()
        raise
