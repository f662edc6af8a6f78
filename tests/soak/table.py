"""The counts of a soak as the rows of docs/RELIABILITY.md, between its markers."""

from __future__ import annotations

import platform
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from tests.soak.judge import COUNTS

# victim -> the outcome of a fault to it where no count is raised
OUTCOMES = {
    "the parent": "its sweep is complete after a resume, each record whole and once",
    "all processes": "the same as for the parent",
    "the timed child": "costs its own case at most; no speed that it changed is unmarked",
    "the watcher": "the case goes on, and its record says so where it was not watched",
    "the reference's child": "the references are made again; no case fails",
}
ROOT = Path(__file__).resolve().parents[2]


def commit() -> str:
    """The commit that is checked out, with a + where files differ from it."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty=+", "--exclude=*"]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip() or "no commit"


def markdown(
    result: Mapping[str, float], tried: Mapping[str, int], failures: Mapping[str, list[str]], command: str
) -> str:
    """The rows by fault, then a sentence with the counts, the command, the commit, the day and the machine."""
    lines = ["| fault, at a random moment | times | outcome |", "|---|---:|---|"]
    for name in sorted(tried):
        bad = failures.get(name, [])
        outcome = (
            f"not as it must be in {len(bad)}: trials {', '.join(bad)}" if bad else OUTCOMES[name.partition(":")[0]]
        )
        lines.append(f"| {name} | {tried[name]} | {outcome} |")
    counts = ", ".join(f"{result[name]:g} {name}" for name in COUNTS)
    memory = psutil.virtual_memory().total / 2**30
    machine = f"{psutil.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"
    lines += [
        "",
        f"{result['faults']:g} faults in {result['trials']:g} trials, of {result['runs']:g} commands and "
        f"{result['records']:g} records: **{counts}**. By `{command}` at "
        f"{commit()} on {datetime.now(UTC):%Y-%m-%d}; {machine}.",
    ]
    return "\n".join(lines)


def write(page: Path, rows: str, name: str = "soak") -> None:
    """Put rows between the markers `<!-- NAME -->` and `<!-- /NAME -->` of a page."""
    text = page.read_text(encoding="utf-8")
    pattern = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
    if not pattern.search(text):
        raise SystemExit(f"{page} has no markers of {name}")
    page.write_text(pattern.sub(lambda match: f"{match[1]}{rows}\n{match[2]}", text), encoding="utf-8")
