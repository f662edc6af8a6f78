"""Types of a record's description of the machine: the environment of a sweep, and readings taken during the timing.

Every key may be missing, as older versions did not read it, and a value may be `Unreadable`: the reason why there is
none. `bench.records.typed` checks records against these types.
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, NewType, TypedDict

# A string that starts with "unreadable:" and says why.
Unreadable = NewType("Unreadable", str)


class Least(NamedTuple):
    """An annotation of numbers: the least allowed value, and the largest."""

    value: int
    most: int = (1 << 63) - 1


class Like(NamedTuple):
    """An annotation: the JSON is checked as this type; for a dataclass, as an object with some of its fields."""

    annotation: Any


Count = Annotated[int, Least(0)]
Seconds = Annotated[float, Least(0, 10**9)]  # 30 years
# [least, median, largest] of the readings
Spread = Annotated[list[float], Like(tuple[float, float, float])]


class Processor(TypedDict, total=False):
    """The processor, and the part of it that this process may use."""

    name: str
    cores: Annotated[int, Like(int | Unreadable)]  # that the process may run on
    quota: float | Unreadable | None  # cores' worth of time that a control group allows; None without a limit
    flags: list[str]
    governor: str
    cache_bytes: int | Unreadable  # of all last-level caches of these cores
    smt: bool | Unreadable
    numa_nodes: int | Unreadable


class Gpu(TypedDict, total=False):
    """The first GPU that the process may see; without one only `none`, the reason."""

    none: str
    name: str
    capability: list[int]
    driver: str
    cuda_driver: int | Unreadable
    memory_bytes: int | Unreadable
    power_limit_w: float | Unreadable
    power_limit_default_w: float | Unreadable
    clock_reasons: int | Unreadable
    clock_max_mhz: float | Unreadable
    clock_memory_max_mhz: float | Unreadable
    clock_mhz: float | Unreadable
    temperature_c: float | Unreadable
    ecc: bool | Unreadable
    mig: bool | Unreadable
    vbios: str
    pcie: str
    persistence: bool | Unreadable
    processes: int | Unreadable


class Commit(TypedDict, total=False):
    """The commit of this project, and whether files that can change a result differ from it (`dirty`)."""

    sha: str | None
    dirty: bool | Unreadable | None
    code: str  # digest
    source: str  # `git`, or `file`
    reason: str  # why there is no `sha`


class Environment(TypedDict, total=False):
    """A machine and its software, as `bench.machine.environment.environment` describes them."""

    cpu: Processor
    memory_bytes: int | Unreadable
    system: str
    libc: str
    virtual: bool | Unreadable
    python: str
    gpu: Gpu
    packages: dict[str, str]  # distribution -> version
    torch_cuda: str | None
    git: Commit | Unreadable
    variables: dict[str, str]


class Watch(TypedDict, total=False):
    """Readings taken during the timing; only `unreadable`, the reason, without any."""

    unreadable: str
    readings: Count
    period_s: Seconds
    sm_mhz: Spread
    cpu_mhz: Spread
    power_w: Spread
    temperature_c: Spread
    steal: float  # share of all cores' time
    others: float
    waited: float  # share of the latency samples' time in which the thread that waited longest had no core
    gap_s: Seconds  # the longest time without a reading, where that is long
    reasons: dict[str, float]  # shares of the readings, by the reason why clocks were lowered
    spoilt_s: dict[str, float]  # seconds of throttling and of stops, by reason
