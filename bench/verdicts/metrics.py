"""What a comparison compares: of each number its direction, its unit, and the least change that matters."""

from __future__ import annotations

from dataclasses import dataclass

from bench.errors import ArgumentError


@dataclass(frozen=True)
class Metric:
    """A number that one case leaves in one round: the sum of `columns` of the frame (`bench.records.columns`).

    `minimum` is the least relative change that is called one; `lower` whether less is better; `scale` what a value of
    the frame is divided by to be in `unit`. `timed`: throttling spoils it. `exact`: the code sets it and no noise does,
    so that one round is enough.
    """

    columns: tuple[str, ...]
    unit: str
    minimum: float
    scale: float = 1.0
    lower: bool = True
    timed: bool = False
    exact: bool = False

    @property
    def sign(self) -> int:
        """1 where more is worse, -1 where less is."""
        return 1 if self.lower else -1


MS, MIB = 1e6, float(1 << 20)
COLD = ("import_s", "build_s", "prepare_s", "place_s", "first_call_s")
# A minimum is what a user would act on, and more than the instrument itself errs by: the energy counter is good to 4 %
# over its least window, a search for the largest batch ends with a gap of 1/32.
METRICS = {
    "latency": Metric(("p50_ns",), "ms", 0.02, MS, timed=True),
    "gpu": Metric(("gpu_p50_ns",), "ms", 0.02, MS, timed=True),
    "throughput": Metric(("images_per_s",), "img/s", 0.02, lower=False, timed=True),
    "cold-l2": Metric(("flushed_p50_ns",), "ms", 0.03, MS, timed=True),
    "cold-start": Metric(COLD, "s", 0.1),
    "energy": Metric(("energy_j_per_image",), "J", 0.05, timed=True),
    "weights": Metric(("memory_weights",), "MiB", 0.0, MIB, exact=True),
    "allocated": Metric(("memory_allocator_allocated_peak",), "MiB", 0.01, MIB),
    "reserved": Metric(("memory_allocator_reserved_peak",), "MiB", 0.02, MIB),
    "device": Metric(("memory_device_process",), "MiB", 0.02, MIB),
    "host": Metric(("memory_host_resident_peak",), "MiB", 0.03, MIB),
    "largest": Metric(("largest_batch",), "images", 1 / 32, lower=False),
}
# Metrics that had another name in the version before, which is understood for one version more.
RENAMED = {"flushed": "cold-l2", "cold": "cold-start"}


def metric_named(name: str) -> str:
    """The name of a metric in METRICS, of a name in either version. Raises ArgumentError for one that is unknown."""
    current = RENAMED.get(name, name)
    if current not in METRICS:
        raise ArgumentError(f"unknown metric {name!r}; allowed: {', '.join(METRICS)}")
    return current
