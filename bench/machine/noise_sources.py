"""Sources of noise in this machine's timings, each with its cure. Nothing is changed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from bench.commands import command_line
from bench.machine.facts import Environment, Gpu
from bench.machine.limits import free_memory
from bench.machine.provenance import unreadable
from bench.machine.readings import REASONS

MAX_STEAL = 0.02  # share of the time that the hypervisor may give to others
MIN_FREE = 2 << 30  # bytes of memory


class Source(NamedTuple):
    """A source of noise and its cure, in words."""

    noise: str
    cure: str


def noise_sources(env: Environment) -> list[Source]:
    """Return the sources of noise of the machine that `env` describes. Takes about half a second."""
    return [*_processor(env), *_load(env), *(() if "none" in env["gpu"] else _gpu(env["gpu"]))]


def _processor(env: Environment) -> Iterator[Source]:
    cpu = env["cpu"]
    governor, nodes, quota = cpu["governor"], cpu["numa_nodes"], cpu["quota"]
    if not unreadable(governor) and governor != "performance":
        yield Source(f"the CPU's governor is {governor}", "sudo cpupower frequency-set -g performance")
    no_turbo = _file_says("/sys/devices/system/cpu/intel_pstate/no_turbo", "0")
    if no_turbo or _file_says("/sys/devices/system/cpu/cpufreq/boost", "1"):
        yield Source("the CPU's clock may boost, and falls as it warms", "turn boost off in the firmware or in sysfs")
    if env.get("virtual") is True:
        cure = "compare within one sweep; add --rounds"
        yield Source("this is a virtual machine: its neighbours are not seen", cure)
    if cpu["smt"] is True:
        cure = "set OMP_NUM_THREADS to the whole cores, or: echo off | sudo tee /sys/devices/system/cpu/smt/control"
        yield Source("two hardware threads share each core", cure)
    if not unreadable(nodes) and nodes > 1:
        cure = f"numactl --cpunodebind=0 --membind=0 {command_line('run', 'quick')}"
        yield Source(f"memory is split over {nodes} NUMA nodes", cure)
    if isinstance(quota, float) and quota < cpu["cores"]:
        noise = f"the container may use {quota:g} of {cpu['cores']} cores, and is paused for the rest"
        yield Source(noise, f"give the container whole cores, or set OMP_NUM_THREADS={max(1, int(quota))}")


def _file_says(path: str, value: str) -> bool:
    try:
        return Path(path).read_text().strip() == value
    except OSError:
        return False


def _load(env: Environment) -> Iterator[Source]:
    load, cores = os.getloadavg()[0], env["cpu"]["cores"]
    if load > 0.25 * cores:
        yield Source(f"other work is running: load {load:.1f} on {cores} cores", "stop it, or wait for it")
    times = psutil.cpu_times_percent(interval=0.5)
    if (share := getattr(times, "steal", 0.0) / 100) > MAX_STEAL:
        yield Source(f"the hypervisor takes {share:.0%} of the time (steal)", "use dedicated cores")
    free = free_memory()
    if free < MIN_FREE:
        yield Source(f"only {free / 2**30:.1f} GiB of memory are free: pages may be swapped", "close what uses it")


def _gpu(gpu: Gpu) -> Iterator[Source]:
    reasons, limit, default = gpu["clock_reasons"], gpu["power_limit_w"], gpu["power_limit_default_w"]
    active = [] if unreadable(reasons) else [name for name, bit in REASONS.items() if reasons & bit]
    if active:
        noise = f"the GPU slows itself down at this moment ({', '.join(active)})"
        yield Source(noise, "let it cool; look at its airflow")
    if not unreadable(limit) and not unreadable(default) and limit < default:
        noise = f"the GPU's power limit is {limit:g} W of {default:g} W"
        yield Source(noise, f"where allowed: sudo nvidia-smi -pl {default:g}")
    if gpu["persistence"] is False:
        yield Source("persistence mode is off: the driver unloads between processes", "sudo nvidia-smi -pm 1")
    if not unreadable(gpu["processes"]) and gpu["processes"]:
        yield Source(f"{gpu['processes']} other process(es) use the GPU", "stop them: nvidia-smi lists them")
    if gpu["mig"] is True:
        yield Source("the GPU is split by MIG: other slices share its power and memory", "use a whole GPU")
    if not unreadable(gpu["clock_max_mhz"]):
        cure = f"where allowed: sudo nvidia-smi -lgc {gpu['clock_max_mhz']}; else trust ratios within one sweep"
        yield Source("the GPU's clock follows power and temperature", cure)
