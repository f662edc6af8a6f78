"""The numerical check, inside the timed process, on outputs of the timed callable: wrong answers get no speed.

An output is held against a float64 reference. How far off it may be is not a constant but a multiple of how far off
plain torch is in the same precision on the same pictures: a variant that computes in less than it claims is several
powers of two past that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.worker.measure.clock import Clock
from resnet.runner import DTYPES

# The allowed multiples of plain torch's error. One bit of mantissa less is a multiple of 2, and float16's and
# bfloat16's are three bits apart, so 4 tells every pair of precisions apart; the largest multiples seen of honest
# variants are in METHODOLOGY.
RMS_MULTIPLE = 3.0
MAX_MULTIPLE = 4.0

# Turns, the times that a new content comes in each, and the ratio of its first time to its last from which on the last
# was not computed. Honest variants come out near 1.
TURNS, TIMES = 10, 4
REMEMBERED = 2.0

# precision -> its unit roundoff
ROUNDOFF = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8, "fp8": 2.0**-4, "int8": 2.0**-7}
# RMS error of rounding values of all sizes to nearest, in units of the roundoff times their RMS
LAST_ROUNDING = 0.4


class Wrong(Exception):
    """An answer that the gate refuses; the message says what is wrong with it."""


@dataclass(frozen=True)
class Truth:
    """What the pictures of a case should give: float64 logits, and plain torch's in the case's precision.

    Both [pictures, classes]; rows `k * batch` to `(k + 1) * batch` belong to buffer `k`.
    """

    precision: str
    batch: int
    exact: np.ndarray
    plain: np.ndarray

    def rows(self, buffer: int) -> slice:
        return slice(buffer * self.batch, (buffer + 1) * self.batch)


def check(
    run: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], buffers: Sequence[int], truth: Truth, clock: Clock
) -> dict[str, Any]:
    """Run each placed batch and judge its answer; `buffers` says which rows of the truth each should give.

    Each output is poisoned before the next execution, so that an answer from before, or a part left unwritten, is NaN;
    for the first batch the caller sees to it (`poison`), or has put another batch there. Raises Wrong.
    """
    checksums = [_checksum(x) for x in inputs]
    outputs: list[tuple[int, Tensor]] = []
    for x, buffer in zip(inputs, buffers, strict=True):
        result = run(x)
        # copied on the current stream, without waiting for the device: work on another stream is not there yet
        outputs.append((buffer, result.clone()))
        poison(result, clock)
    told = judge(outputs, truth)
    for x, before in zip(inputs, checksums, strict=True):
        if _checksum(x) != before:
            raise Wrong("the callable changed its input")
    return told


def judge(outputs: Sequence[tuple[int, Tensor]], truth: Truth) -> dict[str, Any]:
    """Errors of (buffer, logits [batch, classes]) pairs, as a record keeps them. Raises Wrong."""
    found = [(buffer, _as_array(output, truth)) for buffer, output in outputs]
    error = np.concatenate([y - truth.exact[truth.rows(k)] for k, y in found])
    exact = np.concatenate([truth.exact[truth.rows(k)] for k, _ in found])
    plain = np.concatenate([truth.plain[truth.rows(k)] for k, _ in found])
    answer = np.concatenate([y for _, y in found])
    # plain torch may be luckier than one can ask for: rounding the exact answer costs this much
    roundoff = LAST_ROUNDING * ROUNDOFF[truth.precision]
    rms_yard = max(_rms(plain - exact), roundoff * _rms(exact))
    max_yard = max(float(np.abs(plain - exact).max()), roundoff * float(np.abs(exact).max()))
    told = {
        "rms": _rms(error),
        "max": float(np.abs(error).max()),
        "rms_multiple": _rms(error) / rms_yard,
        "max_multiple": float(np.abs(error).max()) / max_yard,
        "top1": float((answer.argmax(1) == exact.argmax(1)).mean()),
        "top1_plain": float((plain.argmax(1) == exact.argmax(1)).mean()),
        "pictures": len(answer),
    }
    for what, multiple, allowed in (
        ("rms", told["rms_multiple"], RMS_MULTIPLE),
        ("largest", told["max_multiple"], MAX_MULTIPLE),
    ):
        if multiple > allowed:
            far = f"the {what} error is {multiple:.3g} times that of plain torch in {truth.precision}"
            raise Wrong(f"{far} (allowed: {allowed:g})")
    return told


def _as_array(output: Tensor, truth: Truth) -> np.ndarray:
    shape = (truth.batch, truth.exact.shape[1])
    if tuple(output.shape) != shape:
        raise Wrong(f"the answer has shape {list(output.shape)}, not {list(shape)}")
    allowed = {torch.float32, DTYPES.get(truth.precision, torch.float32)}
    if truth.precision in ("fp8", "int8"):
        allowed |= {torch.float16, torch.bfloat16}
    if output.dtype not in allowed:
        raise Wrong(f"the answer is {output.dtype}, which is not {truth.precision}")
    values = output.detach().to(device="cpu", dtype=torch.float64).numpy()
    if not np.isfinite(values).all():
        share = 1 - np.isfinite(values).mean()
        raise Wrong(f"{share:.2%} of the answer is NaN or infinite: wrong, left unwritten, or not ready when read")
    return values


def unremembered(run: Callable[[Tensor], Tensor], x: Tensor, clock: Clock) -> float:
    """How much longer a content of the placed batch `x` takes when it is new than when it came several times.

    An answer remembered by what is in the batch is right whenever it is checked, and fast whenever a content comes
    again, as it does while timing. Raises Wrong if the new one took REMEMBERED times as long in each of TURNS turns: a
    busy machine does that to one turn, and an honest callable is done at the first that it does not happen in. `x` is
    left with noise in it.
    """
    ratio = 0.0
    for _ in range(TURNS):
        with torch.inference_mode():
            x.mul_(0.9).add_(torch.rand_like(x), alpha=0.1)
        clock.wait()
        new, *_, old = (clock.sample(lambda: run(x))[0] for _ in range(TIMES))
        ratio = new / max(1, old)
        if ratio <= REMEMBERED:
            return ratio
    raise Wrong(f"a batch seen before takes 1/{ratio:.3g} of the time of one that is new: its answer is remembered")


def poison(result: Tensor, clock: Clock) -> None:
    """Make an answer that has been read NaN, so that it cannot be read again."""
    with torch.inference_mode():  # which may write to tensors made inside and outside of it
        result.fill_(float("nan"))
    clock.wait()


def overwrite(x: Tensor, unseen: Tensor) -> None:
    """Put an unseen batch where a placed one was: an answer remembered by address is the wrong one then."""
    with torch.inference_mode():  # as above
        x.copy_(unseen)


def _checksum(x: Tensor) -> int:
    """The sum of a tensor's bits as integers: exact, whatever the order of the additions."""
    kind = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    return int(x.detach().view(kind).sum(dtype=torch.int64).item())


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))
