"""The numerical check, in the timed process, on outputs of the timed callable: a wrong variant gets no speed.

What an output may be off by is the truth's to say (`bench.worker.truth`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.worker.failure import Wrong
from bench.worker.measure.clock import Clock
from bench.worker.truth import Truth
from resnet.calibration import EIGHT_BITS
from resnet.runner import DTYPES

# The trials, and how often each runs the same new content. An answer was memoised if its first time is this many times
# its last; for honest variants the ratio is near 1.
TRIALS, REPEATS = 10, 4
MEMOISED_RATIO = 2.0


def check(
    forward: Callable[[Tensor], Tensor], inputs: Sequence[Tensor], buffers: Sequence[int], truth: Truth, clock: Clock
) -> dict[str, Any]:
    """Run each placed batch and judge its answer against the rows of `truth` for its number in `buffers`.

    Each output is poisoned before the next execution, so that an answer from before, or an unwritten part, is NaN. For
    the first batch the caller does that (`poison`), or has replaced the batch. Of 8 bits, the codes that lead to the
    first answer are judged too. Raises Wrong.
    """
    checksums = [_checksum(x) for x in inputs]
    outputs: list[tuple[int, Tensor]] = []
    for x, buffer in zip(inputs, buffers, strict=True):
        result = forward(x)
        # copied on the current stream, without waiting for the device: work on another stream is not there yet
        outputs.append((buffer, result.clone()))
        poison(result, clock)
    errors = judge(outputs, truth) | truth.inspect(forward, inputs[0], *outputs[0])
    for x, before in zip(inputs, checksums, strict=True):
        if _checksum(x) != before:
            raise Wrong("the callable changed its input")
    return errors


def judge(outputs: Sequence[tuple[int, Tensor]], truth: Truth) -> dict[str, Any]:
    """Return the errors of (buffer, logits [batch, classes]) pairs, as a record has them. Raises Wrong."""
    return truth.judge([(buffer, _as_array(output, truth)) for buffer, output in outputs])


def _as_array(output: Tensor, truth: Truth) -> np.ndarray:
    shape = (truth.batch, truth.exact.shape[1])
    if tuple(output.shape) != shape:
        raise Wrong(f"the answer has shape {list(output.shape)}, not {list(shape)}")
    allowed = {torch.float32, DTYPES.get(truth.precision, torch.float32)}
    if truth.precision in EIGHT_BITS:
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
