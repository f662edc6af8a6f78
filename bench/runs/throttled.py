"""A case of which throttling, or a stop of its process, left too little is run again, and then gets no speed.

Enough is at least half of the samples and half of the windows, and as many samples as an interval of the median takes.
Other work spoils none: it may never end, and stands beside every number.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Any

from bench.machine.watch import OTHER_WORK
from bench.records.record import Record
from bench.runs.job import CaseAnswer
from bench.runs.process import Answer
from bench.stats import LEAST_SAMPLES

ENOUGH = 0.5


def reason_to_retry(answer: Answer[CaseAnswer], timed: bool) -> str:
    """Return why a second, fresh process may do better; empty if it would not.

    Another process may have filled the GPU for a moment, or the machine may have throttled for a moment.
    """
    if answer.status == "memory":
        return answer.reason
    return describe_loss(answer.data) if timed and answer.status == "ok" else ""


def withhold(record: Record) -> None:
    """Set the status of a record to `throttled` if what is left is too little; the samples stay in it."""
    if record.status == "ok" and (reason := describe_loss(vars(record))):
        record.status, record.reason = "throttled", reason


def describe_loss(data: Mapping[str, Any]) -> str:
    """Return how much of a record's fields was spoilt, and by what, if too little is left; else an empty string."""
    throttled, windows = data.get("throttled", {}), data.get("windows", ())
    samples, throughput_s = len(data.get("latency_ns", ())), data.get("throughput", {}).get("ns", 0) / 1e9
    lost = sum(last - first + 1 for first, last in throttled.get("latency", ()))
    again = {window["turn"] for window in windows if window["turn"] and "disturbed" not in window}  # and well then
    reasons_of = [w.get("disturbed", "").split(", ") for w in windows if w["turn"] not in again]
    spoilt = [names for reasons in reasons_of if (names := [name for name in reasons if name not in ("", OTHER_WORK)])]
    if samples - lost < max(ENOUGH * samples, min(samples, LEAST_SAMPLES)):
        loss = f"{lost} of {samples} samples"
    elif len(spoilt) > (1 - ENOUGH) * len(windows):
        loss = f"{len(spoilt)} of {len(windows)} throughput windows"
    elif not windows and throttled.get("throughput_s", 0.0) > (1 - ENOUGH) * throughput_s:
        loss = "most of the throughput window"  # of a commit that had one
    else:
        return ""
    reasons = dict.fromkeys([*data.get("watch", {}).get("spoilt_s", ()), *chain.from_iterable(spoilt)])
    return f"{loss} spoilt by the machine ({', '.join(reasons) or 'see watch'})"
