"""The seconds until `bench run quick` has its first row, its first answer and its last: once, as a user sees them.

    python -m tests.speed.first_answer                  # with the compile caches that are there
    python -m tests.speed.first_answer --empty-caches   # with none, references included, as on a new machine

It prints what the sweep prints, each line with its time. The machine must be quiet, as nothing here takes that out.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from bench.machine.environment import ROOT

# what is timed -> the line that shows it first
MARKS = {
    "first line": r".",
    "first row": r"so far [\d.]+ ms",
    "first answer": r"^So far, with",
    "an answer for each batch": r"^So far, with",  # the last of them
    "end": r"^Records: ",
}


def times(lines: Iterable[tuple[float, str]]) -> dict[str, float]:
    """Return the seconds of each of MARKS that came, of lines with their seconds."""
    seen: dict[str, float] = {}
    for seconds, line in lines:
        for mark, pattern in MARKS.items():
            if re.search(pattern, line) and (mark not in seen or mark.startswith("an answer")):
                seen[mark] = seconds
    return seen


def main() -> None:
    """Run the plan in a temporary folder, and print the times."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--empty-caches", action="store_true")
    parser.add_argument("words", nargs="*", default=["quick"], help="of `bench run`")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        new = Path(folder)
        names = ("RESNET_CACHE", "RESNET_COMPILED", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR", "XDG_CACHE_HOME")
        caches = {name: str(new / name.lower()) for name in names}
        command = [sys.executable, "-m", "bench", "run", *options.words, "--lenient", "-o", f"{new}/records"]
        start, lines = time.monotonic(), []
        run = subprocess.Popen(
            command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=os.environ | {"PYTHONUNBUFFERED": "1"} | (caches if options.empty_caches else {}),
        )  # fmt: skip
        for line in run.stdout or ():
            lines.append((time.monotonic() - start, line.rstrip()))
            print(f"{lines[-1][0]:7.2f} {lines[-1][1]}", flush=True)
        run.wait()
    print()
    for mark, seconds in times(lines).items():
        print(f"{seconds:7.1f} s  {mark}")
    sys.exit(run.returncode)


if __name__ == "__main__":
    main()
