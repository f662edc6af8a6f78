"""What a trial's faults cost: each count is of what must not be, with a sentence for each."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

from bench.machine.readings import GAP_S
from bench.records.record import Record, parse_each
from tests.soak.faults import Befallen
from tests.soak.processes import marked
from tests.soak.trial import PRECISIONS, ROUNDS, Trial, files_of

# name -> what it counts; all must be 0
COUNTS = {
    "lost": "records that were on disk and are no more, or that no resume brings",
    "doubled": "cases with two good records of one round",
    "torn": "lines that are no record",
    "wrong": "speeds that the fault changed, without a mark in the record",
    "unsaid": "watchers that were gone, without a word of it in the record",
    "spread": "failed records beyond the one whose process was hurt",
    "resume": "printed commands that do not go on",
    "tracebacks": "tracebacks that a user sees",
    "hangs": "commands that do not end",
    "processes": "processes left",
    "files": "files left in the temporary folder, home, current folder, caches and results",
}
GOOD = ("ok", "skipped")
# A speed below an unhurt run's by more than this factor is wrong: one within it may be the noise of the machine.
FACTOR = 1.5
OTHERS = 0.1  # from here on the table says that other work took the machine's time
OVERLAP = 0.2  # a window of which the process did not run this share is no window of its speed
CACHED = re.compile(r"[0-9a-f]{24}\.(npy|pt|json)(\.sha256)?$")
GRACE_S = 3.0
NS = 1e9


def read(data: bytes) -> tuple[list[Record], list[str]]:
    records, torn = [], []
    for _, record in parse_each(data.split(b"\n")):
        if isinstance(record, Record):
            records.append(record)
        else:
            torn.append(record)
    return records, torn


def lack(trial: Trial) -> str:
    """What a trial's folder lacks: "missing" records, then "failed" ones; empty where it is complete."""
    status: dict[tuple[str, int], str] = {}
    for record in read(trial.disk)[0]:
        status[record.case.precision, record.round] = record.status
    if set(status) != {(precision, number) for precision in PRECISIONS for number in range(ROUNDS)}:
        return "missing"
    return "" if all(value in GOOD for value in status.values()) else "failed"


def speeds(record: Record) -> dict[str, float]:
    """The kept speeds of a good record, in images per second and executions per second."""
    latency, throughput = record.kept("latency_ns"), record.throughput
    values = {"latency": NS / median(latency)} if latency else {}
    return values | ({"throughput": NS * throughput["images"] / throughput["ns"]} if throughput else {})


def excused(record: Record, metric: str) -> bool:
    """Whether a record says that its kept speed is not that of a quiet machine: other work took time, or none was seen.

    What it marks as stopped or throttled does not count, and so is no excuse for what does.
    """
    watch: dict[str, Any] = dict(record.watch)
    every_window = metric == "throughput" and all("disturbed" in window for window in record.windows)
    busy = max(watch.get("others", 0.0), watch.get("waited", 0.0)) > OTHERS
    return busy or every_window or says_unwatched(record)


def says_unwatched(record: Record) -> bool:
    """Whether a record says that nobody watched the machine, or not all of the time."""
    watch: dict[str, Any] = dict(record.watch)
    return bool(watch.get("unreadable") or watch.get("gap_s"))


def wrong(record: Record, trial: Trial, quiet: dict[str, dict[str, float]]) -> list[str]:
    """Sentences on speeds of a good record that a fault spoilt and that nothing marks."""
    name, sentences = record.case.name, []
    hurt = [fault for fault in trial.faults if fault.fault.victim == "child" and fault.fault.unseen]
    spans = [span for fault in hurt for span in fault.spans]
    for place, window in enumerate(record.windows):
        first, last = window["start_ns"], window["start_ns"] + window["ns"]
        gone = sum(max(0, min(last, end) - max(first, start)) for start, end in spans)
        rate = NS * window["images"] / window["ns"]
        slow = rate * FACTOR < quiet[record.case.precision]["throughput"]
        if "disturbed" not in window and gone > OVERLAP * window["ns"] and slow:
            sentences.append(f"{name}: window {place} stood still for {gone / window['ns']:.0%}, unmarked")
    kept = record.kept("latency_ns")
    for start, end in spans:
        pauses = [ns for ns in kept if 0.9 * (end - start) <= ns <= 1.5 * (end - start) and ns > 5 * median(kept)]
        if end - start > 0.15 * NS and pauses:
            sentences.append(f"{name}: a latency sample of {pauses[0] / NS:.2f} s holds the stop, unmarked")
    # the latency is sampled right before the windows
    hurt = [fault for fault in hurt if in_timing(record, fault.at * NS, fault.until * NS + NS)]
    for metric, value in speeds(record).items() if hurt else ():
        ratio = value / quiet[record.case.precision][metric]
        if ratio < 1 / FACTOR and not excused(record, metric):
            sentences.append(f"{name}: {metric} is {ratio:.2f} of the quiet run's, unmarked")
    return sentences


def unsaid(trial: Trial, records: list[Record]) -> list[str]:
    """Sentences on watchers that were killed or stopped for good in the timing, with nothing said of it."""
    sentences = []
    for fault in trial.faults:
        if fault.fault.name in ("the watcher: SIGKILL", "the watcher: stopped for good"):
            # of cases that take turns at that moment it was one's
            # one that is stopped, not dead, shows after a while (GAP_S)
            until = fault.at + (GAP_S + 0.2 if fault.fault.name.endswith("for good") else 0)
            timed = [
                r
                for r in records
                if in_timing(r, fault.at * NS, fault.at * NS) and in_timing(r, until * NS, until * NS)
            ]
            if timed and not any(says_unwatched(record) for record in timed):
                names = " or ".join(record.case.name for record in timed)
                sentences.append(f"{names}: its watcher was gone, and nothing says so")
    return sentences


def in_timing(record: Record, first: float, last: float) -> bool:
    """Whether the windows of a record were being taken at some time from `first` to `last`, in monotonic ns."""
    if not record.windows:
        return False
    return record.windows[0]["start_ns"] < last and first < record.windows[-1]["start_ns"]


def left_files(trial: Trial) -> list[str]:
    allowed = {trial.records, trial.records.parent / ".lock"}
    new = [path for path in files_of(trial) if path not in trial.before and path not in allowed]
    return [str(path) for path in new if not (path.parent == trial.cache and CACHED.match(path.name))]


def left_processes(mark: str) -> list[int]:
    deadline = time.monotonic() + GRACE_S
    while (alive := marked(mark)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return alive


def spread(trial: Trial, records: list[Record]) -> list[str]:
    """Failed records beyond what the faults may cost: one for a fault to a case's own process."""
    slowed = any(fault.fault.unseen for fault in trial.faults)  # `throttled` is a mark, not a loss
    failed = [r for r in records if r.status not in GOOD and not (slowed and r.status == "throttled")]
    if sum(fault.fault.victim == "reference" for fault in trial.faults) > 1:
        # twice is more than passes; a resume brings them, as `lost` counts
        failed = [record for record in failed if "no reference" not in record.reason]
    beyond = len(failed) - sum(fault.fault.costs for fault in trial.faults)
    return [f"{record.case.name}: {record.status}: {record.reason[:200]}" for record in failed[: max(0, beyond)]]


def judge(trial: Trial, quiet: dict[str, dict[str, float]]) -> dict[str, list[str]]:
    """Sentences by the count of COUNTS that each raises by one."""
    records, torn = read(trial.disk)
    good = [record for record in records if record.status in GOOD]
    twice = Counter((record.case.name, record.round) for record in good)
    sentences = {
        "lost": trial.lost + ([f"no resume completes it: {lack(trial)}"] if lack(trial) else []),
        "doubled": [f"{key}: {count} good records" for key, count in twice.items() if count > 1],
        "torn": torn,
        "wrong": [sentence for record in good for sentence in wrong(record, trial, quiet)],
        "unsaid": unsaid(trial, good),
        "spread": spread(trial, records),
        "resume": [" ".join(run.words) + f" ended with {run.code}" for run in trial.runs[1:] if run.code == 2],
        "tracebacks": [f"run {n}" for n, run in enumerate(trial.runs, 1) if tracebacks(run.said)],
        "hangs": [f"run {n}" for n, run in enumerate(trial.runs, 1) if run.hung],
        "processes": [str(process) for process in left_processes(trial.mark)],
        "files": left_files(trial),
    }
    return {name: sentences[name] for name in COUNTS}


def tracebacks(said: str) -> list[str]:
    """The tracebacks in a command's words, but for that of an interrupt as Python itself starts."""
    return [text for text in said.split("Traceback (most recent call last):")[1:] if 'File "<frozen site>"' not in text]


def quiet_speeds(trials: list[Trial]) -> dict[str, dict[str, float]]:
    """The median speeds of unhurt runs, by precision and metric."""
    values: dict[str, dict[str, list[float]]] = {}
    for trial in trials:
        for record in read(trial.disk)[0]:
            for metric, value in speeds(record).items():
                values.setdefault(record.case.precision, {}).setdefault(metric, []).append(value)
    return {precision: {name: median(v) for name, v in metrics.items()} for precision, metrics in values.items()}


def note(trial: Trial, path: Path, sentences: dict[str, list[str]], name: str) -> None:
    """Keep what was done and what was judged beside the trial's files."""
    faults = [describe(fault) for fault in trial.faults]
    runs = [{"words": run.words, "code": run.code, "s": round(run.seconds, 1)} for run in trial.runs]
    path.write_text(json.dumps({"trial": name, "faults": faults, "runs": runs, "judged": sentences}, indent=1))


def describe(befallen: Befallen) -> str:
    lengths = [round((last - first) / NS, 2) for first, last in befallen.spans]
    stopped = f", stopped {lengths[0]:g} s" if len(lengths) == 1 else ""
    return f"{befallen.fault.name} (process {befallen.victim}, {befallen.into:.1f} s into the run{stopped})"
