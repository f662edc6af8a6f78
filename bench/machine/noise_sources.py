"""What makes this machine's timings noisy, each with its cure. Looks, and changes nothing."""

from __future__ import annotations

import os
import time
from pathlib import Path

import psutil

from bench.machine.environment import unreadable
from bench.machine.facts import Environment, Gpu
from bench.machine.watch import REASONS

# share of the time that the hypervisor gave to others, over a short look, above which a timing means little
STEAL = 0.02
SCARCE = 2 << 30


def noisy(env: Environment) -> list[tuple[str, str]]:
    """(what is noisy, its cure) pairs for this machine as `environment()` describes it. Takes about half a second."""
    found = [*_processor(env), *_load(env)]
    return found if "none" in env["gpu"] else found + _gpu(env["gpu"])


def _processor(env: Environment) -> list[tuple[str, str]]:
    found = []
    governor = env["cpu"]["governor"]
    if not unreadable(governor) and governor != "performance":
        found.append((f"the CPU's governor is {governor}", "sudo cpupower frequency-set -g performance"))
    if _reads("/sys/devices/system/cpu/intel_pstate/no_turbo", "0") or _reads(
        "/sys/devices/system/cpu/cpufreq/boost", "1"
    ):
        found.append(("the CPU's clock may boost, and falls as it warms", "turn boost off in the firmware or in sysfs"))
    if env.get("virtual") is True:
        found.append(
            ("this is a virtual machine: its neighbours are not seen", "compare within one sweep; add --rounds")
        )
    if env["cpu"]["smt"] is True:
        cure = "set OMP_NUM_THREADS to the whole cores, or: echo off | sudo tee /sys/devices/system/cpu/smt/control"
        found.append(("two hardware threads share each core", cure))
    nodes = env["cpu"]["numa_nodes"]
    if not unreadable(nodes) and nodes > 1:
        found.append(
            (
                f"memory is split over {nodes} NUMA nodes",
                "numactl --cpunodebind=0 --membind=0 bench ...",
            )
        )
    quota = env["cpu"]["quota"]
    if isinstance(quota, float) and quota < env["cpu"]["cores"]:
        cure = f"give the container whole cores, or set OMP_NUM_THREADS={max(1, int(quota))}"
        found.append(
            (f"the container may use {quota:g} of {env['cpu']['cores']} cores, and is paused for the rest", cure)
        )
    return found


def _reads(path: str, value: str) -> bool:
    try:
        return Path(path).read_text().strip() == value
    except OSError:
        return False


def _load(env: Environment) -> list[tuple[str, str]]:
    found = []
    load, cores = os.getloadavg()[0], env["cpu"]["cores"]
    if load > 0.25 * cores:
        found.append((f"other work is running: load {load:.1f} on {cores} cores", "stop it, or wait for it"))
    stolen = _stolen(0.5)
    if stolen is not None and stolen > STEAL:
        found.append((f"the hypervisor takes {stolen:.0%} of the time (steal)", "use dedicated cores"))
    free = psutil.virtual_memory().available
    if free < SCARCE:
        found.append((f"only {free / 2**30:.1f} GiB of memory are free: pages may be swapped", "close what holds it"))
    return found


def _stolen(seconds: float) -> float | None:
    """The share of time stolen while this sleeps; None where /proc/stat does not say."""

    def read() -> list[int]:
        return [int(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]

    try:
        before = read()
        time.sleep(seconds)
        spent = [b - a for a, b in zip(before, read(), strict=True)]
    except (OSError, ValueError):
        return None
    return spent[7] / max(1, sum(spent))


def _gpu(gpu: Gpu) -> list[tuple[str, str]]:
    found = []
    reasons = gpu["clock_reasons"]
    now = [] if unreadable(reasons) else [name for name, bit in REASONS.items() if reasons & bit]
    if now:
        found.append(
            (f"the GPU slows itself down at this moment ({', '.join(now)})", "let it cool; look at its airflow")
        )
    limit, usual = gpu["power_limit_w"], gpu["power_limit_default_w"]
    if not unreadable(limit) and not unreadable(usual) and limit < usual:
        found.append(
            (f"the GPU's power limit is {limit:g} W of {usual:g} W", f"where allowed: sudo nvidia-smi -pl {usual:g}")
        )
    if gpu["persistence"] is False:
        found.append(("persistence mode is off: the driver unloads between processes", "sudo nvidia-smi -pm 1"))
    if not unreadable(gpu["processes"]) and gpu["processes"]:
        found.append((f"{gpu['processes']} other process(es) use the GPU", "stop them: nvidia-smi lists them"))
    if gpu["mig"] is True:
        found.append(("the GPU is split by MIG: other slices share its power and memory", "use a whole GPU"))
    if not unreadable(gpu["clock_max_mhz"]):
        cure = f"where allowed: sudo nvidia-smi -lgc {gpu['clock_max_mhz']}; else trust ratios within one sweep"
        found.append(("the GPU's clock follows power and temperature", cure))
    return found
