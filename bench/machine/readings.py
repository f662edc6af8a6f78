"""Readings of the machine by time, and what they say: stretches of throttling, the samples in these, a summary."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from statistics import median
from typing import Any

PERIOD_S = 0.1  # between two readings
# seconds without a reading that a record tells of: nothing is known of throttling in them
GAP_S = 1.0
# A clock under this share of the window's median is a dip. (nvbench compares with the card's boost clock; a card at its
# power cap always runs below that, and would have no sample left.)
DIP = 0.75
# NVML's reason of a card that has nothing to run and lowers its clocks: it may be read between two launches of a small
# batch, and while clocks rise from rest. Such a clock is due to the load, and its samples are what a caller sees.
IDLE = 0x1
# Reasons that spoil samples. A power cap does not: large batches run at it, for users too.
REASONS = {"hw-slowdown": 0x8, "sw-thermal": 0x20, "hw-thermal": 0x40, "hw-power-brake": 0x80}
STOPPED = "stopped"
ALL_REASONS = REASONS | {"power-cap": 0x4}

Span = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """One reading; a value that this machine does not have is None. `ns` is the host clock's, as `Clock.now` has it."""

    ns: int
    steal: int | None = None  # ticks since boot, of all cores
    ticks: int | None = None
    others: int | None = None  # busy ticks of all but the timed process, its parent and the watching process
    cpu_mhz: float | None = None
    sm_mhz: float | None = None
    power_w: float | None = None
    temperature_c: float | None = None
    reasons: int | None = None
    stopped: int | None = None  # 1 if the timed process was, by a signal or a debugger


@dataclass(frozen=True)
class Readings:
    """The readings of a stretch of time, oldest first; `why` is the reason why there are none."""

    readings: list[Reading] = field(default_factory=list)
    why: str = ""

    def between(self, span: Span) -> Readings:
        """Return the readings of `span`: those in it, and the counters of the nearest one on either side.

        A clock just outside may be that of a device at rest.
        """
        first, last = span
        before = [r for r in self.readings if r.ns < first][-1:]
        after = [r for r in self.readings if r.ns > last][:1]
        inside = [r for r in self.readings if first <= r.ns <= last]
        first_counters, last_counters = (
            [Reading(r.ns, r.steal, r.ticks, r.others, stopped=r.stopped) for r in side] for side in (before, after)
        )
        return Readings(first_counters + inside + last_counters, self.why)

    def throttled_spans(self, steal: float) -> dict[str, list[Span]]:
        """Return the spans (first ns, last ns) of throttling, or of more than this share of steal, by reason."""
        spans: dict[str, list[Span]] = {}
        medians = {name: _median(_clock(r, name) for r in self.readings) for name in ("sm_mhz", "cpu_mhz")}
        for earlier, later in pairwise(_apart(self.readings)):
            for reason in _reasons(earlier, later, medians, steal):
                spans.setdefault(reason, []).append((earlier.ns, later.ns))
        return spans

    def share_of_others(self, span: Span) -> float:
        """Return the share of all cores' time that other processes took during `span`; 0 where it is not known."""
        readings = self.between(span).readings
        return (readings and _share("others", [(readings[0], readings[-1])])) or 0.0

    def summary(self, stretches: Sequence[Span] = ((0, 1 << 63),), steal: float = inf) -> dict[str, Any]:
        """Return what was read in these stretches of time, for the record: least, median and largest, shares of time.

        `spoilt_s` has the seconds of throttling, and of more than this share of steal, by reason.
        """
        parts = [part for part in (self.between(stretch) for stretch in stretches) if part.readings]
        readings = list(dict.fromkeys(reading for part in parts for reading in part.readings))
        if not readings:
            return {"unreadable": self.why or "no reading fell into the timing"}
        summary: dict[str, Any] = {"readings": len(readings), "period_s": PERIOD_S}
        gaps = [(later.ns - earlier.ns) / 1e9 for part in parts for earlier, later in pairwise(part.readings)]
        # readings go on after the timing, but those of a watching process that was stopped
        gaps += [(last - self.readings[-1].ns) / 1e9 for _, last in stretches[-1:] if last < 1 << 63]
        if self.why:
            summary["unreadable"] = self.why
        if gaps and max(gaps) > GAP_S:
            summary["gap_s"] = max(gaps)
        for name in ("sm_mhz", "cpu_mhz", "power_w", "temperature_c"):
            values = [value for r in readings if (value := getattr(r, name)) is not None]
            if values:
                summary[name] = [min(values), median(values), max(values)]
        for name in ("steal", "others"):
            share = _share(name, [(part.readings[0], part.readings[-1]) for part in parts])
            summary |= {} if share is None else {name: share}
        masks = [r.reasons for r in readings if r.reasons is not None]
        if masks:
            shares = {name: sum(bool(mask & bit) for mask in masks) / len(masks) for name, bit in ALL_REASONS.items()}
            summary["reasons"] = {name: share for name, share in shares.items() if share}
        spoilt: dict[str, int] = {}
        for stretch in stretches:
            for reason, spans in self.between(stretch).throttled_spans(steal).items():
                spoilt[reason] = spoilt.get(reason, 0) + overlap_ns(stretch, {reason: spans})
        seconds = {reason: ns / 1e9 for reason, ns in spoilt.items() if ns}
        return summary | ({"spoilt_s": seconds} if seconds else {})


def _apart(readings: Sequence[Reading]) -> list[Reading]:
    """Return the readings without those just before another: of so short a time a tick of 10 ms is a large share."""
    least_ns = PERIOD_S * 1e9 / 2
    return [one for one, later in pairwise(readings) if later.ns - one.ns >= least_ns] + list(readings[-1:])


def _clock(reading: Reading, name: str) -> float | None:
    """Return a clock in MHz; None for that of an idle GPU."""
    idle = name == "sm_mhz" and (reading.reasons or 0) & IDLE
    return None if idle else getattr(reading, name)


def _median(values: Any) -> float | None:
    numbers = [value for value in values if value is not None]
    return median(numbers) if numbers else None


def _reasons(earlier: Reading, later: Reading, medians: dict[str, float | None], steal: float) -> list[str]:
    """Return the reasons to drop samples between two readings."""
    reasons = [name for name, bit in REASONS.items() if (later.reasons or 0) & bit]
    for name, usual in medians.items():
        value = _clock(later, name)
        if usual and value is not None and value < DIP * usual:
            reasons.append(name.removesuffix("_mhz") + "-clock")
    if (_share("steal", [(earlier, later)]) or 0.0) > steal:
        reasons.append("steal")
    if earlier.stopped or later.stopped:
        reasons.append(STOPPED)
    return reasons


def _share(name: str, pairs: Sequence[tuple[Reading, Reading]]) -> float | None:
    """Return the share of all cores' time that went to `steal` (other guests of the hypervisor) or to `others`.

    It is None where the readings do not have it. Each pair is the first and the last reading of a stretch.
    """
    taken, whole = 0, 0
    for first, last in pairs:
        earlier, later = getattr(first, name), getattr(last, name)
        if earlier is None or later is None or first.ticks is None or last.ticks is None:
            return None
        taken += max(0, later - earlier)
        whole += last.ticks - first.ticks
    return taken / max(1, whole) if pairs else None


def overlapping(spans: Sequence[Span], throttled: dict[str, list[Span]]) -> list[int]:
    """Return the indices of those spans, which are in order of time, that touch throttled ones."""
    merged = _merged(throttled)
    ends = [last for _, last in merged] + [inf]
    starts = [first for first, _ in merged] + [inf]
    return [index for index, (first, last) in enumerate(spans) if starts[bisect_left(ends, first)] <= last]


def overlap_ns(span: Span, throttled: dict[str, list[Span]]) -> int:
    """Return how many nanoseconds of the span were throttled."""
    return sum(max(0, min(last, span[1]) - max(first, span[0])) for first, last in _merged(throttled))


def _merged(throttled: dict[str, list[Span]]) -> list[Span]:
    """Return the spans of all reasons in order, with those that touch merged."""
    merged: list[Span] = []
    for first, last in sorted(span for spans in throttled.values() for span in spans):
        if merged and first <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(last, merged[-1][1])
        else:
            merged.append((first, last))
    return merged
