"""The product's command line, called in this process or as one of its own; nothing else of it is used."""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What a command said: its exit code, and its JSON (None where it printed none)."""

    code: int
    json: Any


def _parsed(text: str) -> Any:
    return json.loads(text) if text.strip() else None


def call(*words: str | Path) -> Answer:
    """Run `bench WORDS --json` in this process, which spares the second that a start takes."""
    from bench.cli import app  # the public app, as `python -m bench` runs it

    answer, errors = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(answer), contextlib.redirect_stderr(errors):
        try:
            app([*map(str, words), "--json", "--quiet"], standalone_mode=True)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    if code == 2:
        raise RuntimeError(f"bench {' '.join(map(str, words))}: {errors.getvalue()}")
    return Answer(code, _parsed(answer.getvalue()))


def call_apart(*words: str | Path) -> Answer:
    """Run the same as a user does, in a process of its own."""
    command = [sys.executable, "-m", "bench", *map(str, words), "--json", "--quiet"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode == 2:
        raise RuntimeError(f"bench {' '.join(map(str, words))}: {ran.stderr}")
    return Answer(ran.returncode, _parsed(ran.stdout))
