"""The recipes of docs/CONTRIBUTING.md, carried out as they are written, in a copy of the checkout."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.pages import BLOCK, sections, shell, write
from tests.repositories import copy_checkout

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "CONTRIBUTING.md").read_text()
RECIPES = sections(PAGE, "Add a .+?")


def test_there_is_a_recipe_for_each_thing_that_is_added_often() -> None:
    assert [name.removeprefix("Add a ") for name in RECIPES] == ["variant", "plan", "metric", "command", "kernel"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    return folder


@pytest.fixture(scope="module")
def run(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    return shell(checkout, tmp_path_factory.mktemp("programs"))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_it_says(name: str, checkout: Path, run: Callable[..., str]) -> None:
    """In the page's order, in one copy: the last one holds all that was added against the rules of the house."""
    for language, text in BLOCK.findall(RECIPES[name]):
        if language != "console":
            write(checkout, text)
            continue
        for command, *lines in (part.splitlines() for part in re.split(r"^\$ ", text, flags=re.M) if part):
            # which case is best cannot be told where other work disturbs this machine
            output = run(command, (0, 4) if command.startswith("bench recommend") else (0,))
            assert [line for line in lines if " ".join(line.split()) not in output] == [], (command, output)
