"""The numerical check, in the timed process, on outputs of the timed callable: a wrong variant gets no speed.

An output is compared with a float64 reference. The tolerance is no constant but a multiple of the error that plain
torch makes in the same precision on the same pictures. The error of a variant that computes in less precision than it
claims is larger by several powers of two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.worker.measure.clock import Clock
from bench.worker.truth import MAX_MULTIPLE, RMS_MULTIPLE, Truth, error_units, rms
from resnet.runner import DTYPES

# A 16-bit answer is of another precision if it is nearer to float32's than this share of what rounding the weights
# changes, over at least so many values: few may be near by chance. METHODOLOGY has how far honest variants are.
FLOAT32_SHARE, FLOAT32_VALUES = 1 / 3, 30

# The trials, and how often each runs the same new content. An answer was memoised if its first time is this many times
# its last; for honest variants the ratio is near 1.
TRIALS, REPEATS = 10, 4
MEMOISED_RATIO = 2.0


class Wrong(Exception):
    """A wrong answer, which the gate refuses; the message says what is wrong with it."""


def check(
    forward: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], buffers: Sequence[int], truth: Truth, clock: Clock
) -> dict[str, Any]:
    """Run each placed batch and judge its answer against the rows of `truth` for its number in `buffers`.

    Each output is poisoned before the next execution, so that an answer from before, or an unwritten part, is NaN. For
    the first batch the caller does that (`poison`), or has replaced the batch. Raises Wrong.
    """
    checksums = [_checksum(x) for x in inputs]
    outputs: list[tuple[int, Tensor]] = []
    for x, buffer in zip(inputs, buffers, strict=True):
        result = forward(x)
        # copied on the current stream, without waiting for the device: work on another stream is not there yet
        outputs.append((buffer, result.clone()))
        poison(result, clock)
    errors = judge(outputs, truth)
    for x, before in zip(inputs, checksums, strict=True):
        if _checksum(x) != before:
            raise Wrong("the callable changed its input")
    return errors


def judge(outputs: Sequence[tuple[int, Tensor]], truth: Truth) -> dict[str, Any]:
    """Return the errors of (buffer, logits [batch, classes]) pairs, as a record has them. Raises Wrong."""
    answers = [(buffer, _as_array(output, truth)) for buffer, output in outputs]
    answer = np.concatenate([values for _, values in answers])
    rows = np.concatenate([np.arange(truth.batch) + buffer * truth.batch for buffer, _ in outputs])
    exact, torch_logits = truth.exact[rows], truth.torch_logits[rows]
    error = answer - exact
    rms_unit, max_unit = error_units(truth.precision, exact, torch_logits)
    errors = {
        "rms": rms(error),
        "max": float(np.abs(error).max()),
        "rms_multiple": rms(error) / rms_unit,
        "max_multiple": float(np.abs(error).max()) / max_unit,
        "top1": float((answer.argmax(1) == exact.argmax(1)).mean()),
        "top1_plain": float((torch_logits.argmax(1) == exact.argmax(1)).mean()),
        "pictures": len(answer),
    }
    for norm, multiple, allowed in (
        ("rms", errors["rms_multiple"], RMS_MULTIPLE),
        ("largest", errors["max_multiple"], MAX_MULTIPLE),
    ):
        if not multiple <= allowed:  # a NaN is no error that is small enough
            reason = f"the {norm} error is {multiple:.3g} times that of plain torch in {truth.precision}"
            raise Wrong(f"{reason} (allowed: {allowed:g})")
    errors |= _nearest_float32(answer, rows, truth, rms_unit)
    _assert_repeated(answers, truth, rms_unit)
    return errors


def _nearest_float32(answer: np.ndarray, rows: np.ndarray, truth: Truth, unit: float) -> dict[str, float]:
    """Return how far a 16-bit answer is from float32 arithmetic on rounded weights, in `unit`; if known, else nothing.

    Raises Wrong if it is what float32 makes of weights that were not rounded. An honest variant may keep more in
    float32 between its layers than plain torch does; but its weights are 16-bit numbers.
    """
    if truth.float32 is None:
        return {}
    known = np.isfinite(truth.float32[:, rows]).all((0, 2))
    mine, rows = answer[known], rows[known]
    if mine.size < FLOAT32_VALUES:
        return {}
    unrounded, rounded = truth.float32[:, rows]
    nearest = min(_distance(mine, other, truth.precision) for other in (truth.exact[rows], unrounded))
    effect = rms(rounded - unrounded)
    if nearest < FLOAT32_SHARE * effect:
        raise Wrong(
            f"more precise than {truth.precision} can be: it computes in another precision, on weights that are not "
            f"rounded (rounding them changes the answer by {effect / unit:.2g} times plain torch's error, and it is "
            f"{nearest / unit:.2g} times that from float32's)"
        )
    return {"float32_multiple": _distance(mine, rounded, truth.precision) / unit}


def _distance(answer: np.ndarray, other: np.ndarray, precision: str) -> float:
    """Return the RMS difference of an answer from another, or from that rounded to the precision, if that is less."""
    as_rounded = torch.from_numpy(other).to(DTYPES[precision]).double().numpy()
    return min(rms(answer - other), rms(answer - as_rounded))


def _assert_repeated(answers: Sequence[tuple[int, np.ndarray]], truth: Truth, unit: float) -> None:
    """Raise Wrong if answers differ from the first ones to the same buffers by more than an answer may be off.

    Atomic additions come in another order each time, and so another rounding: their answers are as far apart as two
    honest variants are.
    """
    difference = rms(np.concatenate([values - truth.first.setdefault(buffer, values) for buffer, values in answers]))
    if not difference <= RMS_MULTIPLE * unit:
        raise Wrong(
            f"two answers to the same pictures differ by {difference / unit:.3g} times the error of plain torch in "
            f"{truth.precision} (allowed: {RMS_MULTIPLE:g})"
        )


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
        raise Wrong(f"{share:.2%} of the answer is NaN or infinite: wrong, unwritten, an old one again, or not ready")
    return values


def unseen_ratio(forward: Callable[[Tensor], Tensor], x: Tensor, clock: Clock) -> float:
    """Return the time of a new content of the placed batch `x` over the time of one that was run several times.

    An answer memoised by the content of the batch is right whenever it is checked, and fast whenever the content comes
    again, as it does while timing. Raises Wrong if the ratio exceeds MEMOISED_RATIO in every trial: a busy machine
    causes that in one, and the first trial in which it does not is the last. `x` holds noise afterwards.
    """
    ratio = 0.0
    for _ in range(TRIALS):
        with torch.inference_mode():
            x.mul_(0.9).add_(torch.rand_like(x), alpha=0.1)
        clock.wait()
        first, *_, last = (clock.sample(lambda: forward(x))[0] for _ in range(REPEATS))
        ratio = first / max(1, last)
        if ratio <= MEMOISED_RATIO:
            return ratio
    raise Wrong(f"a batch seen before takes 1/{ratio:.3g} of the time of one that is new: its answer is remembered")


def poison(result: Tensor, clock: Clock) -> None:
    """Fill an answer that was read with NaN, so that it cannot be read again."""
    with torch.inference_mode():  # it may write to all tensors, from inference mode or not
        result.fill_(float("nan") if result.is_floating_point() else 0)  # what is no float is refused
    clock.wait()


def overwrite(x: Tensor, unseen: Tensor) -> None:
    """Write an unseen batch over the placed batch `x`: an answer memoised by address is then wrong."""
    with torch.inference_mode():  # as above
        x.copy_(unseen)


def _checksum(x: Tensor) -> int:
    """Return the sum of a tensor's bits as integers, which is exact in any order of the additions."""
    dtype = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[x.element_size()]
    return int(x.detach().view(dtype).sum(dtype=torch.int64).item())
