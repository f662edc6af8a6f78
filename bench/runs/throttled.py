"""What a case comes to that ran while the machine throttled: another try, and no speed where too little is left."""

from __future__ import annotations

from typing import cast

from bench.records.record import Record
from bench.runs.job import CaseAnswer
from bench.runs.process import Answer

# The share of a case's samples, or of its throughput window, that may fall to throttling before it is run again.
TOO_MANY = 0.2
# and of the window, for it to have a speed after that
USELESS = 0.5


def worth_another(answer: Answer[CaseAnswer], timed: bool) -> str:
    """Why a second, fresh process may do better; empty if it would not.

    On a GPU that another process filled for a moment it may fit; on a machine that throttled for a moment it may not.
    """
    if answer.status == "memory":
        return answer.reason
    if not timed or answer.status != "ok" or fallen(answer.data) <= TOO_MANY:
        return ""
    return _throttled(answer.data)


def fallen(data: CaseAnswer) -> float:
    """The share of the latency samples taken while the machine throttled, or of the throughput window if larger."""
    told, samples, window = data.get("throttled", {}), data.get("latency_ns", ()), data.get("throughput", {})
    lost = sum(last - first + 1 for first, last in told.get("latency", ()))
    return max(lost / max(1, len(samples)), told.get("throughput_s", 0.0) * 1e9 / window.get("ns", 1e9))


def _throttled(data: CaseAnswer) -> str:
    reasons = ", ".join(data.get("watch", {}).get("spoilt_s", ())) or "see watch"
    return f"{fallen(data):.0%} of the samples, or of the throughput window, with the machine throttled ({reasons})"


def withhold(record: Record, samples: int) -> None:
    """No speed for what throttling left fewer than `samples` of; what was sampled stays."""
    if record.status != "ok" or not record.throttled:
        return
    data = CaseAnswer(
        throttled={**record.throttled},
        latency_ns=record.latency_ns,
        throughput=cast("dict[str, int]", record.throughput),
        watch={**record.watch},
    )
    few = len(record.kept("latency_ns")) < min(len(record.latency_ns), samples)
    window = record.throttled.get("throughput_s", 0.0) * 1e9 > USELESS * record.throughput.get("ns", float("inf"))
    if few or window:
        record.status, record.reason = "throttled", _throttled(data)
