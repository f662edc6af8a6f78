"""The constants of a GPU in the cost model of kernels.space.conv: measured on cards of its name, or guessed.

`bench constants` measures them and writes results/<card>/constants.json; a process installs them with
`install_measured`. Constants of one card are never used for another, which keeps the guesses. Standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast

from kernels.cards import places, reading

SCHEMA = 1

P = ParamSpec("P")
T = TypeVar("T")


class ConstantsError(ValueError):
    """A file of constants cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Constant:
    """A number and its `source`: how and when it was measured, or where a guess comes from."""

    value: float
    measured: bool
    source: str


@dataclass(frozen=True)
class Constants:
    """The constants of one GPU: those in its file, and guesses (`guessed_constants`) for the rest."""

    l2_bytes_per_s: Constant  # from L2 into the shared memory of all SMs
    launch_us: Constant  # a kernel in a CUDA graph: gap and ramp
    launch_pdl_us: Constant  # the same with programmatic dependent launch
    tensor_share_ptr: Constant  # of the datasheet's rate, in a long main loop fed by pointer loads
    tensor_share_tma: Constant  # the same by bulk copies
    memory_share: Constant  # of the datasheet's bandwidth

    def launch_time_us(self, pdl: bool) -> float:
        """Return what a launch adds to a kernel's time, with or without programmatic dependent launch."""
        return (self.launch_pdl_us if pdl else self.launch_us).value

    def tensor_share(self, impl: str) -> float:
        """Return the share of the tensor cores' rate that a kernel of this `Config.impl` reaches."""
        return {"ptr": self.tensor_share_ptr, "tma": self.tensor_share_tma}[impl].value


NAMES = tuple(field.name for field in fields(Constants))
SHARES = ("tensor_share_ptr", "tensor_share_tma", "memory_share")  # fractions of a datasheet's rate: at most 1


def guessed_constants(sms: int) -> Constants:
    """Return the constants of an unmeasured GPU with `sms` SMs, from a study's model of an H200 with 132.

    The L2 bandwidth may be low: the fp8 matrix product rates published for that chip would need 7.1 to 7.9 TB/s.
    """
    study = "a study's model of an H200"
    shares = f"{study}: 0.55 to 0.62, without warp specialization"
    return Constants(
        l2_bytes_per_s=Constant(5.5e12 / 132 * sms, False, f"{study}, the same for each SM"),
        launch_us=Constant(2.3, False, study),
        launch_pdl_us=Constant(1.2, False, study),
        tensor_share_ptr=Constant(0.55, False, shares),
        tensor_share_tma=Constant(0.62, False, shares),
        memory_share=Constant(4.2 / 4.8, False, study),
    )


def read_constants(path: Path, gpu: str) -> dict[str, Constant]:
    """Return the model's constants that a file of `gpu` has, by name. Raises ConstantsError."""
    cure = "remove it, or measure again: bench constants"
    try:
        content = reading.read_json_file(path)
        if content["schema"] != SCHEMA:
            raise ConstantsError(f"{path}: schema {content['schema']}, and this version reads {SCHEMA}; {cure}")
        if places.slug(content["gpu"]) != places.slug(gpu):
            raise ConstantsError(f"{path}: measured on {content['gpu']}, which is not {gpu}; {cure}")
        date = str(content["provenance"]["date"])[:10]
        rows = {name: content["constants"][name] for name in NAMES if name in content["constants"]}
        return {name: Constant(_checked_value(name, row), True, f"{row['how']}, {date}") for name, row in rows.items()}
    except ConstantsError:
        raise
    except OSError as error:
        raise ConstantsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ConstantsError(f"{path}: not a file of measured constants ({reason}); {cure}") from None


def _checked_value(name: str, row: Mapping[str, Any]) -> float:
    """Return a file's value of a constant. Raises ValueError unless it is positive, and a share at most 1."""
    value = row["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise ValueError(f"{name}: {value!r} is no positive number")
    if name in SHARES and value > 1:
        raise ValueError(f"{name}: {value!r} is more than the whole")
    return float(value)


_installed: dict[str, dict[str, Constant]] = {}
_caches: list[Callable[[], None]] = []  # each drops what was computed from the constants


def install_constants(gpu: str, measured: Mapping[str, Constant]) -> None:
    """Install measured constants for GPUs of this name in this process; an empty mapping restores the guesses."""
    _installed[gpu] = dict(measured)
    for clear in _caches:
        clear()


def install_measured(gpu: str, results: Path = places.RESULTS) -> str:
    """Install the constants measured on cards of this name, and return `describe_constants`. Raises ConstantsError."""
    path = places.constants_path(gpu, results)
    install_constants(gpu, read_constants(path, gpu) if path.exists() else {})
    return describe_constants(gpu)


def constants_of(gpu: str, sms: int) -> Constants:
    """Return this process's constants for the GPU of this name, with `sms` SMs."""
    return replace(guessed_constants(sms), **_installed.get(gpu, {}))


def describe_constants(gpu: str) -> str:
    """Say in one line which of a GPU's constants in this process are measured and which are guesses."""
    measured = _installed.get(gpu, {})
    subject = f"the model's constants for {gpu or 'any card'}"
    if not measured:
        return f"{subject} are guesses, none is measured (on that card: bench constants)"
    guesses = [name for name in NAMES if name not in measured]
    return f"{subject}: measured: {', '.join(measured)}; guessed: {', '.join(guesses) or 'none'}"


def cached(function: Callable[P, T]) -> Callable[P, T]:
    """Cache a function's results until the installed constants change."""
    caching = cache(function)
    _caches.append(caching.cache_clear)
    return cast("Callable[P, T]", caching)
