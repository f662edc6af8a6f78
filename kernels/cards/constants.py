"""What the model of kernels.space.conv takes for granted of a GPU: measured on cards of its name, or guessed.

`bench constants` measures them and leaves results/<card>/constants.json; a process that is to use them installs them
with `use_measured`. What was measured on one card says nothing of another, which keeps the guesses. Standard library
only.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from math import isfinite
from pathlib import Path
from typing import Any

from kernels.cards import places

SCHEMA = 1


class ConstantsError(ValueError):
    """A file of constants that cannot be used; the message names it and says what to do."""


@dataclass(frozen=True)
class Constant:
    """`source`: how and when it was measured, or where a guess is from."""

    value: float
    measured: bool
    source: str


@dataclass(frozen=True)
class Constants:
    """Each is a guess unless a file of this GPU has it (`guessed` says where the guesses are from)."""

    l2_bytes_per_s: Constant  # from L2 into the shared memory of all SMs
    launch_us: Constant  # a kernel in a CUDA graph: gap and ramp
    launch_pdl_us: Constant  # the same with programmatic dependent launch
    tensor_share_ptr: Constant  # of the datasheet's rate, in a long main loop fed by pointer loads
    tensor_share_tma: Constant  # the same by bulk copies
    memory_share: Constant  # of the datasheet's bandwidth

    def launch(self, pdl: bool) -> float:
        """Microseconds."""
        return (self.launch_pdl_us if pdl else self.launch_us).value

    def tensor_share(self, impl: str) -> float:
        return {"ptr": self.tensor_share_ptr, "tma": self.tensor_share_tma}[impl].value


NAMES = tuple(one.name for one in fields(Constants))
SHARES = ("tensor_share_ptr", "tensor_share_tma", "memory_share")  # of what a datasheet promises: at most 1


def guessed(sms: int) -> Constants:
    """Of a GPU with so many SMs that nobody measured: what a study of these layers modelled for an H200 with 132.

    L2 may be low: the rates that products in fp8 are published with on this chip would need 7.1 to 7.9 TB/s.
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


def read(path: Path, gpu: str) -> dict[str, Constant]:
    """What a file has of the constants that the model knows. Raises ConstantsError."""
    cure = "remove it, or measure again: bench constants"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["schema"] != SCHEMA:
            raise ConstantsError(f"{path}: schema {found['schema']}, and this version reads {SCHEMA}; {cure}")
        if places.slug(found["gpu"]) != places.slug(gpu):
            raise ConstantsError(f"{path}: measured on {found['gpu']}, which is not {gpu}; {cure}")
        date = str(found["provenance"]["date"])[:10]
        told = {name: found["constants"][name] for name in NAMES if name in found["constants"]}
        return {name: Constant(_value(name, one), True, f"{one['how']}, {date}") for name, one in told.items()}
    except ConstantsError:
        raise
    except OSError as error:
        raise ConstantsError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = f"{type(error).__name__}: {error}"
        raise ConstantsError(f"{path}: not a file of measured constants ({why}); {cure}") from None


def _value(name: str, one: Mapping[str, Any]) -> float:
    value = one["value"]
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise ValueError(f"{name}: {value!r} is no positive number")
    if name in SHARES and value > 1:
        raise ValueError(f"{name}: {value!r} is more than the whole")
    return float(value)


_installed: dict[str, dict[str, Constant]] = {}
_told: list[Callable[[], None]] = []  # what keeps something that was made from them


def load(gpu: str, results: Path = places.RESULTS) -> dict[str, Constant]:
    """What was measured on cards of this name; nothing where no file is. Raises ConstantsError."""
    path = places.constants(gpu, results)
    return read(path, gpu) if path.exists() else {}


def use(gpu: str, measured: Mapping[str, Constant]) -> None:
    """Installs them for GPUs of this name in this process, in place of those before; none brings the guesses back."""
    _installed[gpu] = dict(measured)
    for forget in _told:
        forget()


def use_measured(gpu: str, results: Path = places.RESULTS) -> str:
    """Installs what was measured on cards of this name, if anything was; says which are measured and which guessed.

    Raises ConstantsError.
    """
    use(gpu, load(gpu, results))
    return said(gpu)


def constants_of(gpu: str, sms: int) -> Constants:
    """What this process has for a GPU by name, with so many SMs."""
    return replace(guessed(sms), **_installed.get(gpu, {}))


def said(gpu: str) -> str:
    """Which constants of a GPU by name this process has measured, and which are guesses, in a line."""
    known = _installed.get(gpu, {})
    whose = f"the model's constants for {gpu or 'any card'}"
    if not known:
        return f"{whose} are guesses, none is measured (on that card: bench constants)"
    rest = [name for name in NAMES if name not in known]
    return f"{whose}: measured: {', '.join(known)}; guessed: {', '.join(rest) or 'none'}"


def on_change(forget: Callable[[], None]) -> None:
    """Registers what is to be called when the installed constants change."""
    _told.append(forget)
