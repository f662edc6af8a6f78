"""The measurements of one process: samples and windows, and the fields of a record that they become."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, cast

from torch import Tensor

from bench.machine.readings import STOPPED, Readings, Span, overlapping
from bench.runs.job import CaseAnswer
from bench.worker.measure.windows import NS, Window, median_window, not_ours, window_fields

# A sample counts as stalled if it took more than these nanoseconds and this many times the median, and this process ran
# for less than this share of the processor time that is usual.
STALLED_NS, STALLED_TIMES, STALLED_SHARE = 100_000_000, 2, 0.25

# Fields of Measured that hold samples. A record's fields are these with `_ns` and `_stop` appended; its `throttled` has
# them as they are.
SAMPLE_FIELDS = ("latency", "gpu", "flushed", "flushed_gpu")

# the share of its window that may be throttled before an energy does not count; its counter is good to 4 %
ENERGY_SPOILT = 0.1


@dataclass
class Samples:
    """Executions one at a time: their nanoseconds, their spans in host time, and what stopped the sampling."""

    ns: list[int] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    stop: dict[str, Any] = field(default_factory=dict)
    witnesses: list[tuple[int, Tensor]] = field(default_factory=list)  # (buffer, output) pairs, for the gate
    ran_ns: list[int] = field(default_factory=list)  # processor time of each
    waited_ns: int | None = None  # how long the thread that waited longest had no core; None where it is not known

    @property
    def ran_share(self) -> float:
        """Processor time over host time, the median of the samples."""
        return median(ran / ns for ran, ns in zip(self.ran_ns, self.ns, strict=True)) if self.ran_ns else 0.0

    def spoilt(self, readings: Readings, steal: float) -> list[int]:
        """Return the indices of the samples during which the machine throttled, or this process did not run."""
        if not self.spans:
            return []
        throttled = readings.between((self.spans[0][0], self.spans[-1][1])).throttled_spans(steal)
        return sorted({*overlapping(self.spans, throttled), *self._stalled()})

    def stalled_ns(self) -> int:
        """Return the nanoseconds of the samples for most of which this process did not run."""
        return sum(self.ns[index] for index in self._stalled())

    def _stalled(self) -> list[int]:
        """Return the indices of samples far beyond the rest, for most of which this process did not run.

        A sample that shares its cores with other work is none: it runs for a good part of the time.
        """
        if not self.ran_ns:  # as of device times
            return []
        usual, far_ns = self.ran_share, max(STALLED_NS, STALLED_TIMES * median(self.ns))
        return [
            index
            for index, (ran, ns) in enumerate(zip(self.ran_ns, self.ns, strict=True))
            if ns > far_ns and ran < STALLED_SHARE * usual * ns
        ]


@dataclass
class Measured:
    """The measurements of one process."""

    warmup: dict[str, Any] = field(default_factory=dict)
    latency: Samples = field(default_factory=Samples)
    gpu: Samples = field(default_factory=Samples)  # device times; none on a CPU
    flushed: Samples = field(default_factory=Samples)
    flushed_gpu: Samples = field(default_factory=Samples)
    method: str = ""  # how device time is measured
    windows: list[Window] = field(default_factory=list)
    energy: dict[str, Any] = field(default_factory=dict)  # as `measure_energy` has it

    @property
    def p50_ns(self) -> float:
        return median(self.latency.ns)

    def fields(self, readings: Readings, steal: float) -> CaseAnswer:
        """Return the fields of a record; `throttled` names the samples that a throttling machine or a stop spoilt.

        Each timing has the readings of its own time: `watch` those of latency, device times and windows, and
        `flushed_watch` those of the samples with flushed caches; `energy` is left out if the machine spoilt it.
        """
        samples_of: dict[str, Samples] = {name: getattr(self, name) for name in SAMPLE_FIELDS}
        fields: dict[str, Any] = {"warmup": self.warmup, "gpu_how": self.method if self.gpu.ns else ""}
        for name, samples in samples_of.items():
            fields |= {f"{name}_ns": samples.ns, f"{name}_stop": samples.stop}
        spoilt = {name: samples.spoilt(readings, steal) for name, samples in samples_of.items()}
        throttled: dict[str, Any] = {name: as_ranges(indices) for name, indices in spoilt.items() if indices}
        rows, spoilt_ns = window_fields(self.windows, readings, steal, self.latency.ran_share)
        if rows:
            fields |= {"windows": rows, "throughput": median_window(rows)}
            throttled |= {"throughput_s": spoilt_ns / NS} if spoilt_ns else {}
        watch = readings.summary([*self._stretches("latency", "gpu"), *(window.span for window in self.windows)], steal)
        _tell_stops(watch, self.latency.stalled_ns() + sum(w["ns"] for w in rows if STOPPED in w.get("disturbed", "")))
        if self.latency.waited_ns:
            whole_ns = max(1, self.latency.spans[-1][1] - self.latency.spans[0][0])
            watch["waited"] = not_ours(self.latency.waited_ns, sum(self.latency.ran_ns), whole_ns) / whole_ns
        fields |= {"throttled": throttled, "watch": watch, "energy": self._energy_fields(readings, steal)}
        if flushed := self._stretches("flushed", "flushed_gpu"):
            fields["flushed_watch"] = readings.summary(flushed, steal)
            _tell_stops(fields["flushed_watch"], self.flushed.stalled_ns())
        return cast(CaseAnswer, fields)

    def _energy_fields(self, readings: Readings, steal: float) -> dict[str, Any]:
        if "start_ns" not in self.energy:
            return self.energy
        start_ns = self.energy["start_ns"]
        watch = readings.summary([(start_ns, start_ns + round(self.energy["s"] * NS))], steal)
        spoilt_s: dict[str, float] = watch.get("spoilt_s", {})
        if sum(spoilt_s.values()) <= ENERGY_SPOILT * self.energy["s"]:
            return self.energy
        seconds = f"{sum(spoilt_s.values()):.1f} of {self.energy['s']:.1f} s"
        return {"unreadable": f"the machine spoilt {seconds} of its window ({', '.join(spoilt_s)})"}

    def _stretches(self, *names: str) -> list[Span]:
        """Return the host time that fields of samples took, together."""
        spans = [span for name in names for span in getattr(self, name).spans]
        return [(spans[0][0], spans[-1][1])] if spans else []


def _tell_stops(watch: dict[str, Any], stopped_ns: int) -> None:
    """Add to a summary of readings the stops that no reading saw."""
    if stopped_ns and STOPPED not in watch.get("spoilt_s", {}):
        watch["spoilt_s"] = watch.get("spoilt_s", {}) | {STOPPED: stopped_ns / NS}


def as_ranges(indices: Sequence[int]) -> list[list[int]]:
    """Return ascending indices as [first, last] ranges."""
    ranges: list[list[int]] = []
    for index in indices:
        if ranges and index == ranges[-1][1] + 1:
            ranges[-1][1] = index
        else:
            ranges.append([index, index])
    return ranges
