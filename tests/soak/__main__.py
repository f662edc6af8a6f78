"""Put faults to the real command line, and count what they cost.

    python -m tests.soak --count 200 --seed 1                              # print the counts
    python -m tests.soak --count 200 --seed 1 --write docs/RELIABILITY.md  # and put them into the table
    python -m tests.soak --only 17 --seed 1                                # a trial again, its folder kept

A trial that any count but 0 comes of is printed with its number, and its folder is kept. It exits with 1 then.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import fields
from pathlib import Path
from random import Random
from statistics import median

from bench.plans.settings import Settings
from tests.soak.judge import COUNTS, describe, judge, lack, note, quiet_speeds, read
from tests.soak.table import markdown, write
from tests.soak.trial import Trial, go_through, remove

TAKES = {field.name for field in fields(Settings)}  # an older commit's cases take no turns
QUIET = 2  # unhurt runs, for the speeds and lives of a run


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200, help="faults to put")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, help="one trial alone")
    parser.add_argument("--turns", choices=("no", "half", "all"), default="half", help="trials whose cases take turns")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no trial after these")
    parser.add_argument("--folder", type=Path, help="where trials are kept; else a new temporary folder")
    parser.add_argument("--write", type=Path, metavar="FILE", help="put the rows between the markers of a page")
    return parser.parse_args()


def quiet_runs(
    folder: Path, cache: Path, turns: tuple[bool, ...]
) -> tuple[dict[str, dict[str, float]], dict[str, float]]:
    """The speeds of unhurt runs, and how long, in seconds, each role lives."""
    trials, lives = [], dict[str, list[float]]()
    for number in range(QUIET + 1):  # the first makes the weights, which takes long
        trial = Trial(folder / f"quiet{number}", cache)
        trial.prepare(turns[number % len(turns)])
        done = trial.run(trial.first(False))
        if done.code != 0 or lack(trial):
            sys.exit(f"an unhurt run fails: {done.said[-2000:]}")
        if number:
            assert trial.roles
            trials.append(trial)
            lives.setdefault("parent", []).append(done.seconds)
            for role, seconds in trial.roles.lives.items():
                lives.setdefault(role, []).extend(seconds)
    typical = {role: median(seconds) for role, seconds in lives.items() if seconds}
    return quiet_speeds(trials), {"reference": 1.5, "child": 2.0, "watcher": 1.5} | typical


def main() -> int:
    asked = parse()
    # a background job of a shell ignores interrupts, and so would every process of a trial
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="soak-"))
    cache = folder / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    turns = {"no": (False,), "half": (False, True), "all": (True,)}[asked.turns if "turns" in TAKES else "no"]
    quiet, lives = quiet_runs(folder, cache, turns)
    counts, tried, failures = Counter[str](), Counter[str](), dict[str, list[str]]()
    total, number, began = Counter[str](), -1, time.monotonic()
    while sum(tried.values()) < asked.count and time.monotonic() - began < asked.seconds:
        number += 1
        if asked.only is not None and number != asked.only:
            if number > asked.only:
                break
            continue
        trial = Trial(folder / f"trial{number}", cache)
        trial.prepare(turns[number % len(turns)])
        go_through(trial, Random(f"{asked.seed} {number}"), lives, lack)
        sentences = judge(trial, quiet)
        tried.update(fault.fault.name for fault in trial.faults)
        total.update({"trials": 1, "runs": len(trial.runs), "records": len(read(trial.disk)[0])})
        counts.update({name: len(listed) for name, listed in sentences.items()})
        note(trial, trial.folder / "judged.json", sentences, f"--seed {asked.seed} --only {number}")
        what = "; ".join(map(describe, trial.faults)) or "no fault: it ended before"
        took = sum(run.seconds for run in trial.runs)
        print(f"{number}: {what}: {len(trial.runs)} runs, {took:.0f} s", file=sys.stderr, flush=True)
        if any(sentences.values()):
            for name, listed in sentences.items():
                for sentence in listed:
                    print(f"    {name.upper()} {sentence}", file=sys.stderr, flush=True)
            print(f"    kept: {trial.folder}", file=sys.stderr, flush=True)
            for name in {fault.fault.name for fault in trial.faults}:
                failures.setdefault(name, []).append(str(number))
        elif asked.only is None:
            remove(trial.folder)
    result = {**{name: counts[name] for name in COUNTS}, "faults": sum(tried.values()), **total}
    print(json.dumps(result | {"seed": asked.seed, "seconds": round(time.monotonic() - began)}))
    limit = "" if asked.seconds == float("inf") else f" --seconds {asked.seconds:g}"
    command = f"python -m tests.soak --count {asked.count} --seed {asked.seed}{limit}"
    rows = markdown(result, tried, failures, command)
    print(rows)
    if asked.write:
        write(asked.write, rows)
    if not any(counts.values()) and asked.only is None and not asked.folder:
        remove(folder)
    return 1 if any(counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
