"""The recipes of docs/CONTRIBUTING.md, carried out as they are written, in a copy of the checkout."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.repositories import copy_checkout

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "CONTRIBUTING.md").read_text()
RECIPES = dict(re.findall(r"^### (Add a .+?)\n(.*?)(?=^##)", PAGE, re.M | re.S))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def test_there_is_a_recipe_for_each_thing_that_is_added_often() -> None:
    assert [name.removeprefix("Add a ") for name in RECIPES] == ["variant", "plan", "metric", "command", "kernel"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    copy_checkout(folder)
    return folder


@pytest.fixture(scope="module")
def run(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Runs a command in the copy; what it prints, in words with a space between."""
    programs = tmp_path_factory.mktemp("programs")
    for name, module in (("python", ""), ("bench", "-m bench ")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    variables = os.environ | {"PATH": path, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "80"}

    def output_of(command: str) -> str:
        done = subprocess.run(
            command, shell=True, cwd=checkout, env=variables, capture_output=True, text=True, timeout=300, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return " ".join((done.stdout + done.stderr).split())

    return output_of


def write(folder: Path, block: str) -> None:
    """Make the block's file, or put the block below a line of it, as its first line says."""
    first, rest = block.split("\n", 1)
    name, _, anchor = first.removeprefix("# ").partition(", below: ")
    file = folder / name
    if not anchor:
        file.write_text(rest)
        return
    lines = file.read_text().splitlines(keepends=True)
    place = next((number for number, line in enumerate(lines, 1) if anchor in line), None)
    assert place, f"{name} has no line with {anchor!r}"
    file.write_text("".join([*lines[:place], rest, *lines[place:]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_does_what_it_says(name: str, checkout: Path, run: Callable[[str], str]) -> None:
    """In the page's order, in one copy: the last one holds all that was added against the rules of the house."""
    for language, text in BLOCK.findall(RECIPES[name]):
        if language != "console":
            write(checkout, text)
            continue
        for command, *lines in (part.splitlines() for part in re.split(r"^\$ ", text, flags=re.M) if part):
            output = run(command)
            assert [line for line in lines if " ".join(line.split()) not in output] == [], (command, output)
