"""The metrics of a comparison: the direction, the unit and the minimum effect of each."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from bench.errors import ArgumentError


@dataclass(frozen=True)
class Metric:
    """A number that one case leaves in one round: the sum of `columns` of the frame (`bench.records.columns`).

    `minimum` is the minimum effect: the least relative change that a verdict calls one. With `lower`, less is better.
    A value of the frame divided by `scale` is in `unit`. Throttling spoils a `timed` metric, and shows in `samples`,
    the columns of the counts of samples that count and of those that were left out, or in its `windows`. An
    `exact` one is set by the code and has no noise, so that one round is enough. `alike` is the column whose word both
    sides must have in common (`bench.verdicts.rounds.ALIKE`): a forked process has its server's pages, and perhaps
    another speed.
    """

    columns: tuple[str, ...]
    unit: str
    minimum: float
    scale: float = 1.0
    lower: bool = True
    timed: bool = False
    exact: bool = False
    alike: str = ""
    samples: tuple[str, ...] = ()
    windows: bool = False

    @property
    def sign(self) -> int:
        """1 where more is worse, -1 where less is."""
        return 1 if self.lower else -1

    @property
    def of_machine(self) -> bool:
        """True of what a machine does to all cases alike, as its clock: of times, and of energy."""
        return self.timed or self.unit == "s"


MS, MIB = 1e6, float(1 << 20)
PROCESS = "process"
COLD = ("import_s", "build_s", "prepare_s", "place_s", "first_call_s")
# A minimum effect is one that a user would act on, and more than the instrument's error: the energy counter is
# accurate to 4 % over its shortest window, and the search for the largest batch ends with a gap of 1/32.
METRICS = {
    "latency": Metric(("p50_ns",), "ms", 0.02, MS, timed=True, alike=PROCESS, samples=("samples", "dropped")),
    "gpu": Metric(("gpu_p50_ns",), "ms", 0.02, MS, timed=True, alike=PROCESS, samples=("gpu_samples", "gpu_dropped")),
    "throughput": Metric(("images_per_s",), "img/s", 0.02, lower=False, timed=True, alike=PROCESS, windows=True),
    "cold-l2": Metric(
        ("flushed_p50_ns",), "ms", 0.03, MS, timed=True, alike=PROCESS, samples=("flushed_samples", "flushed_dropped")
    ),
    "cold-start": Metric(COLD, "s", 0.1, alike="caches"),
    "energy": Metric(("energy_j_per_image",), "J", 0.05, timed=True, alike=PROCESS),
    "weights": Metric(("memory_weights",), "MiB", 0.001, MIB, exact=True),
    "allocated": Metric(("memory_allocator_allocated_peak",), "MiB", 0.01, MIB),
    "reserved": Metric(("memory_allocator_reserved_peak",), "MiB", 0.02, MIB),
    "device": Metric(("memory_device_process",), "MiB", 0.02, MIB),
    "host": Metric(("memory_host_resident_peak",), "MiB", 0.03, MIB, alike=PROCESS),
    "largest": Metric(("largest_batch",), "images", 1 / 32, lower=False),
}


def metric_named(name: str) -> str:
    """Return the name of a metric, which is in METRICS. Raises ArgumentError for an unknown one."""
    if name not in METRICS:
        raise ArgumentError(f"unknown metric {name!r}; allowed: {', '.join(METRICS)}")
    return name


def metric_names(words: Collection[str]) -> list[str]:
    """Return the metrics that `words` name, in METRICS' order; all of them for none. Raises ArgumentError."""
    chosen = set(map(metric_named, words or METRICS))
    return [name for name in METRICS if name in chosen]
