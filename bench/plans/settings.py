"""The settings of a case's measurement: those of a plan's [measure], and of the options that take their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from math import ceil
from typing import Any

from bench.stats import samples_needed
from resnet.calibration import METHOD, METHODS, PICTURES

# NVML's counter ticks ten times a second, so that the energy of five seconds has an error of up to 4 %
ENERGY_S = 5.0
# Samples for a p99: those that it needs, and a tenth more, of which a busy machine may spoil some. Where they follow
# each other they count as fewer, and it takes more rounds: the p99 is of all rounds together.
P99_SAMPLES = ceil(1.1 * samples_needed(0.99))
KINDS = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}
P99_LIMIT_S = 3600.0  # so many samples of five seconds each


@dataclass(frozen=True)
class Settings:
    """The settings of a case's measurement. Times are in seconds."""

    warmup_s: float = 0.5  # at least this long, then until the times are stationary
    warmup_limit_s: float = 5.0
    latency_s: float = 1.0  # at least this long, then until the median is as precise as `noise`
    latency_limit_s: float = 4.0
    samples: int = 10  # at least this many
    noise: float = 0.02  # target relative half-width of the median's 95 % confidence interval
    throughput_s: float = 1.0  # the unsynchronised window
    turns: int = 1  # on a CPU, at most this many windows in turns with other cases; 1: each case measures alone
    turn_s: float = 0.25  # the window of a turn
    group_s: float = 150.0  # the time of cases that take turns, which decides how many they take
    flush_batch: int = 4  # batches up to this are timed with flushed caches too: to larger ones they make no difference
    energy_s: float = 0.0  # the window energy is measured over: 0 for none, else at least 5
    ratio: float = 0.02  # target relative half-width of the 95 % confidence interval of the ratio to eager
    steal: float = 0.1  # samples are dropped while the hypervisor takes more than this share of the time
    limit_s: float = 300.0  # a case's process is killed after this
    host_memory_gib: float = 0.0  # of a `max` batch on a CPU: 0 means four fifths of what is free
    buffers: int = 3  # input batches in rotation, so that a small batch does not time the cache
    threads: int = 0  # of the libraries on the CPU: 0 for as many as they choose
    calibrate: str = METHOD  # how 8 bits' ranges are chosen, a key of METHODS
    calibration_pictures: int = PICTURES
    keep_wide: str = ""  # layers, separated by commas, that stay out of the 8 bits, or the number of them
    min_agreement: float = 0.0  # 8 bits are refused below this share of answers that agree with float32's
    score_pictures: int = 0  # of the score: 0 for all of --data, else as `bench.plans.scored` says

    def __post_init__(self) -> None:
        for item in fields(self):
            value, kind = getattr(self, item.name), type(item.default)
            if isinstance(value, bool) or not isinstance(value, int | float if kind is float else kind):
                raise ValueError(f"{item.name} = {value!r} is not {KINDS[kind]}")
        if self.calibrate not in METHODS:
            raise ValueError(f"calibrate = {self.calibrate!r} is not one of {', '.join(METHODS)}")
        if self.min_agreement > 1:
            raise ValueError(f"min_agreement = {self.min_agreement} is a share, at most 1")
        for name, value in vars(self).items():
            if isinstance(value, str):
                continue
            least = {"samples": 1, "buffers": 2, "turns": 1, "calibration_pictures": 1}.get(name, 0)
            if not value >= least or (name in ("noise", "ratio", "limit_s") and value <= 0):
                raise ValueError(f"{name} = {value} is too small")
        if 0 < self.energy_s < ENERGY_S:
            raise ValueError(f"energy_s = {self.energy_s} is too small: 0, or at least {ENERGY_S}")


def thread_variables(threads: int) -> dict[str, str]:
    """Return the environment variables that give the libraries on the CPU so many threads as they load; none for 0."""
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
    return dict.fromkeys(names, str(threads)) if threads else {}


def settings_from(values: Mapping[str, Any]) -> Settings:
    """Return the settings of a record, which another version may have made: the fields that this one has."""
    return Settings(**{field.name: values[field.name] for field in fields(Settings) if field.name in values})


# Words of the command line that are settings as they are; `score_pictures` is one of plans and programs alone.
EIGHT_BIT_WORDS = ("calibrate", "calibration_pictures", "keep_wide", "min_agreement")
EIGHT_BIT_SETTINGS = (*EIGHT_BIT_WORDS, "score_pictures")
PLAIN = ("samples", "threads", *EIGHT_BIT_SETTINGS)


def changed_settings(settings: Settings, words: Mapping[str, Any]) -> Settings:
    """Return `settings` with other values: those of PLAIN, and the least seconds `warmup` and `min_time`.

    With `p99` the samples are at least those that a p99 needs, none is with flushed caches, and a case may take an
    hour. A limit that a least time exceeds is raised to it. Raises ValueError for a value that is too small.
    """
    changes: dict[str, Any] = {name: words[name] for name in PLAIN if name in words}
    if "warmup" in words:
        changes |= {"warmup_s": words["warmup"], "warmup_limit_s": max(words["warmup"], settings.warmup_limit_s)}
    if "min_time" in words:
        least = words["min_time"]
        changes |= {"latency_s": least, "latency_limit_s": max(least, settings.latency_limit_s), "throughput_s": least}
    if words.get("p99"):
        changes |= {"samples": max(words.get("samples", settings.samples), P99_SAMPLES), "flush_batch": 0}
        changes["limit_s"] = max(settings.limit_s, P99_LIMIT_S)
    return replace(settings, **changes)


def of_preparation(settings: Settings) -> Settings:
    """Return the settings with which a case is prepared, threads and choices of 8 bits, and the usual ones besides."""
    return Settings(**{name: getattr(settings, name) for name in ("threads", *EIGHT_BIT_SETTINGS)})


# Settings of `bench verify`: one execution for each measurement
ONCE = dict.fromkeys(
    ("warmup_s", "warmup_limit_s", "latency_s", "latency_limit_s", "throughput_s", "energy_s"), 0.0
) | {"samples": 1, "flush_batch": 0, "turns": 1}
