"""The command line: every command, in its group of `bench --help`, and how an error ends one.

Exit codes are those of `bench.errors`.
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option
from typer.core import TyperCommand, TyperGroup

from bench.cli.again import Command
from bench.cli.console import Force, Quiet, cache_warnings_as_sentences, tell
from bench.cli.light import Light
from bench.cli.streams import check_output, outlive_readers
from bench.commands import command_line
from bench.ends import end_in_order
from bench.errors import EXIT_CODES, USAGE, BenchError
from bench.files import Replacing
from bench.text import WORDS
from kernels.cards.constants import ConstantsError


class _Commands(Light, TyperGroup):
    """The commands, by names alone until one is called: `bench --help` imports none of them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.commands = {name: TyperCommand(name, rich_help_panel=panel) for name, panel in PANELS.items()}

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command as lists of them need it: its name and its first sentence."""
        if command := super().get_command(ctx, cmd_name):
            command.help = summary(cmd_name)
        return command

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command by its name, and import it."""
        Replacing.force = None
        name, _, words = super().resolve_command(ctx, args)
        return name, name and load(name), words

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
        from bench.machine.provenance import describe_version

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


# In the order of `bench --help`, first what a newcomer needs first. A command is the function of its name in the module
# of its name, in the folder that is called as its panel, but for those of ELSEWHERE; it is imported when it is called.
COMMANDS = {
    "Measure": [
        "list", "run", "verify", "accuracy", "once", "layers", "sensitivity", "ab", "campaign",
    ],
    "Results": [
        "report", "compare", "recommend", "capacity", "history", "export", "import",
    ],
    "Machine": [
        "env", "ceilings", "floors", "selftest", "pieces", "constants",
    ],
    "Kernels": [
        "kernels", "counts", "tune", "op",
    ],
}  # fmt: skip
ELSEWHERE = {"list": "measure.list:list_", "export": "results.formats:export", "import": "results.formats:import_"}
# Commands that measure nothing and record no environment: threads of linear algebra took a third of compare's CPU time
READING = {"report", "compare", "history", "export", "import"}
PANELS = {name: panel for panel, names in COMMANDS.items() for name in names}
PLACES = {name: ELSEWHERE.get(name, f"{panel.lower()}.{name}:{name}") for name, panel in PANELS.items()}


def summary(name: str) -> str:
    """Return the first paragraph of a command's docstring, read from its module, which is not imported."""
    module, function = PLACES[name].split(":")
    source = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py").read_text("utf-8")
    docstring = source.split(f"\ndef {function}(", 1)[1].split('"""', 2)[1]
    return " ".join(docstring.split("\n\n")[0].split())


@cache
def load(name: str) -> Any:
    """Import the module of a command, and return the command as typer has it."""
    module, function = PLACES[name].split(":")
    command = getattr(import_module(f"bench.cli.{module}"), function)
    # typer keeps the line breaks inside a paragraph of a docstring, which a narrow terminal breaks once more
    text = re.sub(r"(?<!\n)\n(?!\n)", " ", inspect.getdoc(command) or "")
    alone = typer.Typer(add_completion=False)
    alone.command(name, cls=Command, help=text)(_with_shared(command))
    return typer.main.get_command(alone)


def main() -> None:
    """Run the console script `bench`."""
    end_in_order()
    outlive_readers()
    cache_warnings_as_sentences()
    completing = {"--install-completion", "--show-completion"} & set(sys.argv[1:2])  # of the word `bench` in a shell
    if READING.intersection(sys.argv[1:2]):
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        app(prog_name="bench" if completing else command_line(), complete_var="_BENCH_COMPLETE")
    except SystemExit as end:
        if not end.code:
            check_output()
        raise
