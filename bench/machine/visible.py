"""The device that this process and its children see, as the user names it: cpu, cuda or cuda:1."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from bench.errors import UNABLE, ArgumentError, BenchError
from bench.machine.environment import gpu, gpus_hidden

VISIBLE, ORDER = "CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"


@contextmanager
def device_visible(word: str | None) -> Iterator[None]:
    """Have this process and its children see one device until the context ends; None changes nothing.

    The device is chosen by CUDA_VISIBLE_DEVICES, which CUDA, NVML's readings here and every record obey and show.
    `cuda` is the first device that is visible, `cuda:1` the second. Raises ArgumentError for another word, BenchError
    where there is no such device.
    """
    before = {name: os.environ.get(name) for name in (VISIBLE, ORDER)}
    os.environ |= _variables(word)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def _variables(word: str | None) -> dict[str, str]:
    """Return the environment variables that leave only the device `word` visible; none where that is so already."""
    if word is None:
        return {}
    match = re.fullmatch(r"cpu|cuda(?::(\d+))?", word)
    if match is None:
        raise ArgumentError(f"device {word!r} is not one of cpu, cuda, cuda:1 and so on")
    if word == "cpu":
        return {} if gpus_hidden() or "none" in gpu() else {VISIBLE: ""}
    if "none" in (here := gpu()):
        raise BenchError(f"--device {word}: {here['none']}", UNABLE)
    number = int(match[1] or 0)
    if not number:
        return {}
    visible = os.environ.get(VISIBLE)
    devices = [name.strip() for name in visible.split(",")] if visible else [str(at) for at in range(_count())]
    if number >= len(devices):
        raise BenchError(f"--device {word}: the devices here are cuda:0 to cuda:{len(devices) - 1}", UNABLE)
    # NVML counts devices by their place on the bus; CUDA does so when asked
    return {VISIBLE: devices[number]} | ({} if ORDER in os.environ else {ORDER: "PCI_BUS_ID"})


def _count() -> int:
    import pynvml

    pynvml.nvmlInit()
    try:
        return int(pynvml.nvmlDeviceGetCount())
    finally:
        pynvml.nvmlShutdown()
