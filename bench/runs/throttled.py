"""A case that ran while the machine throttled is run again, and gets no speed where too few samples are left."""

from __future__ import annotations

from typing import cast

from bench.records.record import Record
from bench.runs.job import CaseAnswer
from bench.runs.process import Answer

# A case is run again if more than this share of its samples, or of its throughput window, was throttled.
RETRY_SHARE = 0.2
# It gets no speed if more than this share of the throughput window was.
WITHHOLD_SHARE = 0.5


def reason_to_retry(answer: Answer[CaseAnswer], timed: bool) -> str:
    """Return why a second, fresh process may do better; empty if it would not.

    Another process may have filled the GPU for a moment, or the machine may have throttled for a moment.
    """
    if answer.status == "memory":
        return answer.reason
    if not timed or answer.status != "ok" or throttled_share(answer.data) <= RETRY_SHARE:
        return ""
    return _describe_throttling(answer.data)


def throttled_share(data: CaseAnswer) -> float:
    """The share of the latency samples taken while the machine throttled, or of the throughput window if larger."""
    throttled, samples = data.get("throttled", {}), data.get("latency_ns", ())
    lost_samples = sum(last - first + 1 for first, last in throttled.get("latency", ()))
    return max(lost_samples / max(1, len(samples)), throttled.get("throughput_s", 0.0) * 1e9 / _windows_ns(data))


def _windows_ns(data: CaseAnswer) -> float:
    """Return the nanoseconds of all throughput windows."""
    return sum(window["ns"] for window in data.get("windows", ())) or data.get("throughput", {}).get("ns", 1e9)


def _describe_throttling(data: CaseAnswer) -> str:
    reasons = ", ".join(data.get("watch", {}).get("spoilt_s", ())) or "see watch"
    share = throttled_share(data)
    return f"{share:.0%} of the samples, or of the throughput window, with the machine throttled ({reasons})"


def withhold(record: Record, samples: int) -> None:
    """Set the status of a record to `throttled` if fewer than `samples` samples are left; the samples stay in it."""
    if record.status != "ok" or not record.throttled:
        return
    too_few_samples = len(record.kept("latency_ns")) < min(len(record.latency_ns), samples)
    throttled_ns = record.throttled.get("throughput_s", 0.0) * 1e9
    if too_few_samples or throttled_ns > WITHHOLD_SHARE * _windows_ns(cast(CaseAnswer, vars(record))):
        record.status, record.reason = "throttled", _describe_throttling(cast(CaseAnswer, vars(record)))
