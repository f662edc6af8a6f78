"""Forked cases beside fresh ones: do both ways of starting a case give the same speed, and what does each cost?

    python -m tests.speed.starts                       # an hour; results/starts/*.json has each case's last outcome
    python -m tests.speed.starts resnet18/eager/fp32/b1/i64/stream --pairs 3 --output FOLDER

A pair is a fresh process and one that a new server forked, as in a round, both alive, taking bursts in turns: what
disturbs the machine disturbs both. A pair's ratio is of the p10 of the latencies, which other work changes least; a
case's is over its pairs. It passes where the interval of their ratio is narrow, and includes 1 or is about a ratio
within 1 % of it. CPU seconds are those of a process from its start to its first answer, with those of what it
started; a server's own stand apart.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import psutil

from bench.machine.environment import environment
from bench.machine.limits import busy_share
from bench.plans.case import Case
from bench.plans.settings import Settings
from bench.runs.forks import VARIABLE, Forks
from bench.runs.job import CaseJob
from bench.runs.process import Child, started
from bench.runs.wire import Command, Json
from bench.stats import Ratio, ratio
from kernels.cards.places import RESULTS

CASES = tuple(
    f"resnet18/{way}/b1/i64/stream"
    for way in (
        "eager/fp32", "eager/bf16", "channels-last-amp/bf16", "compile/fp32", "compile/bf16", "compile-max/fp32",
        "compile-max/int8", "compile-aot/fp32", "library-fused/fp32", "library-fused/bf16", "library-fused/int8",
        "onnxruntime/fp32", "onnxruntime/int8",
    )
)  # fmt: skip
WITHIN, NARROW = 0.01, 0.02  # a ratio's distance from 1, and half the width of its interval
WAYS = ("fresh", "forked")
MODULE = "tests.speed.bursts"
WARM, BURST_S, LIMIT_S = 20, 0.1, 600.0  # executions before the bursts, the time of a burst, of anything


class EndedError(SystemExit):
    """A process of a case ended before its bursts."""


@dataclass
class Outcome:
    """What came of a case: the p10 of the latencies of each pair's processes, and CPU seconds until they were ready."""

    case: str
    p10_ns: list[dict[str, float]] = field(default_factory=list)
    cpu_s: dict[str, list[float]] = field(default_factory=lambda: {way: [] for way in WAYS})
    server_cpu_s: list[float] = field(default_factory=list)

    @property
    def ratio(self) -> Ratio:
        return ratio([(pair["forked"], pair["fresh"]) for pair in self.p10_ns])

    @property
    def passes(self) -> bool:
        one = self.ratio
        if one.low is None or one.high is None or one.high - one.low > 2 * NARROW:  # of too few pairs, or too noisy
            return False
        return abs(one.value - 1) <= WITHIN or one.low <= 1 <= one.high

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"forked_over_fresh": asdict(self.ratio), "passes": self.passes}


@contextmanager
def prepared(job: CaseJob, forks: Forks | None, outcome: Outcome, way: str) -> Iterator[Child]:
    """Start a process of the case, wait until it pauses, and note its CPU seconds until it was ready."""
    with started(job.to_json(), module=MODULE, talks=True, forks=forks) as child:
        outcome.cpu_s[way].append(heard(child, child.work(LIMIT_S), outcome)["cpu_s"])
        if forks and child.runtime != {"process": "forked"}:
            raise SystemExit(f"{outcome.case} was not forked: {child.runtime}")
        yield child


def heard(child: Child, words: Json | None, outcome: Outcome) -> Json:
    if words is None:
        raise EndedError(f"{outcome.case}: {child.answer().reason}")
    return words


def measure_pair(job: CaseJob, bursts: int, draw: random.Random, outcome: Outcome) -> None:
    """Measure a fresh and a forked process of the case in turns."""
    with closing(Forks(MODULE)) as forks, ExitStack() as stack:
        forks.prepare(job.to_json())
        (server,) = forks._servers.values()
        times = psutil.Process(server.process.pid).cpu_times()
        outcome.server_cpu_s.append(times.user + times.system)
        members = {
            way: stack.enter_context(prepared(job, forks if way == "forked" else None, outcome, way))
            for way in draw.sample(WAYS, 2)
        }
        taken: dict[str, list[int]] = {way: [] for way in WAYS}
        size = WARM
        for number in range(bursts + 1):
            for way in draw.sample(WAYS, 2):
                ns = heard(members[way], members[way].go_on(asdict(Command(size)), LIMIT_S), outcome)["ns"]
                taken[way] += ns if number else []
            if not number:  # the first warms up, and says how many executions a burst has
                size = max(5, int(BURST_S * 1e9 / median(ns)))
        outcome.p10_ns.append({way: quantiles(taken[way], n=10)[0] for way in WAYS})


def why_unmeasured(job: CaseJob, case: str) -> str:
    """Return why this machine does not run a case, in a fresh process, which leaves the caches warm; empty if it does.

    One that ends later is an error: a forked process may end where a fresh one does not.
    """
    try:
        with prepared(job, None, Outcome(case), "fresh"):
            return ""
    except EndedError as error:
        return str(error)


def measure_case(job: CaseJob, outcome: Outcome, pairs: int, bursts: int) -> None:
    """Measure a case in `pairs` more pairs of processes."""
    draw = random.Random(f"{outcome.case} {len(outcome.p10_ns)}")
    for _ in range(pairs):
        measure_pair(job, bursts, draw, outcome)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cases", nargs="*", default=CASES)
    parser.add_argument("--pairs", type=int, default=7)
    parser.add_argument("--bursts", type=int, default=20)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--add", action="store_true", help="add the pairs to those that the file has")
    parser.add_argument("--output", type=Path, default=RESULTS / "starts")
    asked = parser.parse_args(words)
    os.environ[VARIABLE] = "fork"
    settings = Settings(threads=asked.threads)
    file = asked.output / f"cpu-{asked.threads}-threads.json"
    asked.output.mkdir(parents=True, exist_ok=True)
    facts = {
        "date": datetime.now(UTC).date().isoformat(), "busy_before": busy_share(3.0), "threads": asked.threads,
        "bursts": asked.bursts, "environment": environment(),
    }  # fmt: skip
    print(f"{'case':<45} forked/fresh   interval          CPU s, fresh  forked  server")
    outcomes = []
    earlier = json.loads(file.read_text())["starts"] if file.exists() else []
    for name in asked.cases:
        before = next((case for case in earlier if case["case"] == name and asked.add), {"case": name})
        one = Outcome(**{key: before[key] for key in Outcome.__dataclass_fields__ if key in before})
        job = CaseJob(Case.parse(name), settings, "cpu", 0, "noise", {})
        if not one.p10_ns and (why := why_unmeasured(job, name)):
            print(f"{why}, so it is left out", flush=True)
            continue
        measure_case(job, one, asked.pairs, asked.bursts)
        outcomes.append(one)
        costs = [median(values) for values in (one.cpu_s["fresh"], one.cpu_s["forked"], one.server_cpu_s)]
        interval = f"{one.ratio.low or 0:.4f} to {one.ratio.high or 0:.4f}"
        print(f"{name:<45} {one.ratio.value:.4f} {'' if one.passes else 'FAILS'}  {interval}  {costs}", flush=True)
        earlier = [*(case for case in earlier if case["case"] != name), one.as_json() | facts]
        file.write_text(json.dumps({"schema": 1, "starts": earlier}, indent=1) + "\n")
    return 0 if outcomes and all(one.passes for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
