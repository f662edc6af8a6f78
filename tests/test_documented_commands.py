"""Every command in README.md and docs is one that the command line takes: no flag in prose that does not exist."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import typer.main

from bench.cli import PLACES, app

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
NAMES = set(PLACES)
GROUP: Any = typer.main.get_command(app)
BLOCK = re.compile(r"^```(?:console|bash|sh|shell)?\n(.*?)^```$", re.M | re.S)
INLINE = re.compile(r"(?<!`)`([^`]+)`(?!`)")
PROGRAM = re.compile(r"(?:^|[\s;(])(?:\.venv/bin/)?(?:python -m )?bench\s+(?=[a-z])(.*)", re.S)
ENDS = {"|", "&&", "||", ";", "&", ">", ">>", "2>", "2>&1", "#"}


def commands_in(page: str) -> list[tuple[list[str], bool]]:
    """The words of each command in a page behind `bench`, and whether it is whole: a line of a block."""
    found = []
    for block in BLOCK.findall(page):
        for line in block.replace("\\\n", " ").splitlines():
            found.append((line.removeprefix("$ "), True))
    found += [(" ".join(text.split()), False) for text in INLINE.findall(BLOCK.sub("", page))]
    return [(words, whole) for text, whole in found if (words := words_of(text)) and words[0] in NAMES]


def words_of(text: str) -> list[str]:
    """The words behind `bench` in a line, up to what a shell would take for the end of the command."""
    text = re.sub(r"\[(-[^]]*|[A-Z.]+)\]", r"\1", text)  # what may be left out, in tables
    match = PROGRAM.search(re.sub(r"\$\([^)]*\)", "DATE", text))
    if match is None:
        return []
    try:
        words = shlex.split(match[1], comments=True)
    except ValueError:  # an apostrophe: prose
        return []
    end = next((place for place, word in enumerate(words) if word in ENDS), len(words))
    return [word for word in words[:end] if word != "..."]


def refusal(words: list[str], whole: bool) -> str:
    """Why the command line does not take the words.

    In prose a command may lack what it needs, end in an option, and have N or NAME for a value.
    """
    try:
        with GROUP.make_context("bench", list(words)) as context:
            name, command, rest = GROUP.resolve_command(context, [*context._protected_args, *context.args])
            command.make_context(name, rest, parent=context)
    except Exception as error:
        text = str(getattr(error, "message", "") or error)
        partial = type(error).__name__ == "MissingParameter" or "requires an argument" in text
        partial = partial or (type(error).__name__ == "BadParameter" and any(map(str.isupper, words)))
        return "" if partial and not whole else f"{type(error).__name__}: {text}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_command_line_takes_every_command_of_the_page(page: Path) -> None:
    refused = [
        f"bench {shlex.join(words)}: {reason}"
        for words, whole in commands_in(page.read_text())
        if (reason := refusal(words, whole))
    ]
    assert refused == []


def test_a_flag_that_does_not_exist_is_noticed() -> None:
    block = "```console\n$ .venv/bin/bench layers a --agianst b | head\n```\n"
    found = commands_in(f"Say `bench run smoke [--no-such]`, or `bench ab`.\n\n{block}")
    assert [words for words, _ in found] == [
        ["layers", "a", "--agianst", "b"],
        ["run", "smoke", "--no-such"],
        ["ab"],
    ]
    assert [bool(refusal(*one)) for one in found] == [True, True, False]


def test_the_pages_have_commands() -> None:
    assert sum(len(commands_in(page.read_text())) for page in PAGES) > 100
