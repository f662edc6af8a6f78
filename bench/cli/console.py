"""The parts that all commands share: what is said on stderr, how values are printed, and records read."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer import Option

from bench.cli.tables import Screen, out
from bench.errors import FAILED, UNDECIDED, BenchError, Lost, StoreError
from bench.files import ANOTHER, Replacing, sweep_folders, write_json

if TYPE_CHECKING:
    from rich.console import Console
    from rich.status import Status

    from bench.lines import Line
    from bench.machine.facts import Environment
    from bench.records.record import Record

err = Screen(stderr=True, highlight=False)


def tell(text: str) -> None:
    """Print a sentence on stderr, without markup and without line breaks, so that a path in it can be copied."""
    _Quiet.lost |= isinstance(text, Lost)
    err.print(text, markup=False, soft_wrap=True)


def hint(text: str) -> None:
    """Print as `tell` does what helps and is no error: `--quiet` leaves it out."""
    if not err_is_quiet():
        tell(text)


def err_is_quiet() -> bool:
    """Return whether `--quiet` leaves out progress and hints."""
    return _Quiet.on


def is_live() -> bool:
    """Return whether progress is shown live: on a terminal, and not with `--quiet`."""
    return err.is_terminal and not err_is_quiet()


def spinner(text: str) -> Status:
    """Return a spinner on stderr, a context manager; with `--quiet` one that shows nothing."""
    from rich.status import Status

    return Status(text, console=Screen(stderr=True, quiet=True) if err_is_quiet() else err)


class _Quiet:
    on = False
    lost = False  # a line was left out that no other stands for


def _set_quiet(context: typer.Context, value: bool) -> bool:
    """Keep the option for this command; before the command's name it counts, too."""
    _Quiet.lost = False
    _Quiet.on = bool(context.meta.setdefault("bench.quiet", False) or value)
    context.meta["bench.quiet"] = _Quiet.on
    return value


Quiet = Annotated[
    bool, Option("-q", "--quiet", help="No progress and no hints; errors stay.", callback=_set_quiet, is_eager=True)
]


def set_force(value: bool) -> bool:
    """Have this command replace files of any kind, or of their own kind alone; the callback of `--force`."""
    Replacing.force = value
    return value


Force = Annotated[bool, Option("--force", help="Replace a file of any kind.", callback=set_force, is_eager=True)]


def cache_warnings_as_sentences() -> None:
    """Have this process tell what the cache has to say in a sentence, once, and print other warnings as ever."""
    usual, told = warnings.showwarning, set[str]()

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        from resnet.cache import CacheWarning

        if not issubclass(category, CacheWarning):
            usual(message, category, *where, **more)
        elif str(message) not in told:
            told.add(str(message))
            tell(f"bench: {message}")

    warnings.showwarning = show


def prepare_folders() -> None:
    """Remove what killed processes left among the temporary files; raises StoreError where there is no cache folder."""
    from resnet.cache import cache_dir

    with suppress(OSError):  # a case that needs temporary files says so
        sweep_folders()
    try:
        cache_dir()
    except OSError as error:
        raise StoreError(str(error)) from None


def print_lines(lines: Iterable[Line], console: Console = out) -> None:
    """Print the lines of a text, as a room returns it."""
    for line in lines:
        console.print(line.content, style=line.style, markup=line.markup, soft_wrap=line.whole)


def read_records(
    folders: Sequence[Path], only: Iterable[str] = (), exclude: Iterable[str] = (), brief: bool = False
) -> list[Record]:
    """Return the records of results folders, of the cases that `narrow` keeps; no round of one is a round of another.

    Says on stderr which lines could not be read. `brief` is as in `Store.read`.
    """
    from bench.records.store import narrow_records, read_folders

    records, damage = read_folders(folders, apart=True, brief=brief)
    for line in damage:
        tell(type(line)(f"bench: {line}"))
    return narrow_records(records, only, exclude, folders)


def answer_code(code: int) -> int:
    """Return the exit code of an answer: UNDECIDED in place of 0 where a line that was left out may change it."""
    if code or not _Quiet.lost:
        return code
    tell("bench: the answer may be another with the lines left out: mend or delete them, or measure again")
    return UNDECIDED


@contextmanager
def damage_on_stderr() -> Iterator[None]:
    """Print the warnings of lines that `bench.load` left out, a sentence each."""
    from bench.records.frame import Damage

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", Damage)
        try:
            yield
        finally:
            for warning in caught:
                _Quiet.lost |= isinstance(warning.message, Damage) and warning.message.lost
                tell(f"bench: {warning.message}")


def stop(text: str, code: int) -> NoReturn:
    """End the command with a sentence on stderr and an exit code."""
    raise BenchError(text, code)


def device_line(env: Environment) -> str:
    """Describe the device that cases run on here; without a GPU, say why there is none."""
    from bench.machine.environment import device, hardware, no_cuda

    cpu, where = env["cpu"], device(env)
    name = hardware(where, env["gpu"].get("name"), cpu["name"], cpu["cores"])
    return name if where == "cuda" else f"{name} (no GPU: {no_cuda(env)})"


def write_output(value: Any, path: Path | None) -> None:
    """Write JSON to the file that -o names, if it names one."""
    if path is not None:
        write_json(path, value, ANOTHER, FAILED)
