"""The code blocks of a page, carried out as they are written: files written, commands run."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.M | re.S)


def sections(page: str, heading: str) -> dict[str, str]:
    """The text below each heading `### HEADING...` of a page, by the heading's words; `heading` is a pattern."""
    return dict(re.findall(rf"^### ({heading})\n(.*?)(?=^##|\Z)", page, re.M | re.S))


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


def shell(checkout: Path, programs: Path, **variables: str) -> Callable[..., str]:
    """Return a function that runs a command in a checkout, and returns what it prints, in words with a space between.

    `python` and `bench` are this interpreter and the checkout's; `programs` is an empty folder for them. `codes` are
    the exit codes that a command may have.
    """
    for name, module in (("python", ""), ("bench", "-m bench ")):
        (programs / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        (programs / name).chmod(0o755)
    path = os.pathsep.join((str(programs), os.environ["PATH"]))
    here = {"PATH": path, "PYTHONPATH": str(checkout), "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "80"}
    environment = os.environ | here | variables

    def output_of(command: str, codes: tuple[int, ...] = (0,)) -> str:
        done = subprocess.run(
            command, shell=True, cwd=checkout, env=environment, capture_output=True, text=True, timeout=600, check=False
        )
        assert done.returncode in codes, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return " ".join((done.stdout + done.stderr).split())

    return output_of
