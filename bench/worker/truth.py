"""The reference answers of a case, and what they say of the gate itself: if it can judge, and what it cannot see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bench.worker.failure import CannotJudge

# The allowed multiples of plain torch's error. A bit of mantissa less doubles the error, and the mantissas of float16
# and bfloat16 differ by three bits, so 4 distinguishes every pair of precisions. METHODOLOGY has the largest multiples
# of honest variants.
RMS_MULTIPLE = 3.0
MAX_MULTIPLE = 4.0
# The most that plain torch's own error may be, in units of what the answers differ by from picture to picture. At a
# third of them an answer that has nothing to do with its picture would be within RMS_MULTIPLE of plain torch's error.
PLAIN_LIMIT = 0.3

# precision -> its unit roundoff
ROUNDOFF = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8, "fp8": 2.0**-4, "int8": 2.0**-7}
# RMS error of rounding to nearest, in units of the unit roundoff times the RMS of the values
ROUNDING_RMS = 0.4

# The names under which a reference job's answer has the files beside the logits.
LAYERS = "layers"
FLOAT32 = {precision: f"{precision} in float32" for precision in ("fp16", "bf16")}


@dataclass(frozen=True)
class Truth:
    """The reference answers of a case: float64 logits, and plain torch's in the case's precision.

    Both are [pictures, classes]; rows `k * batch` to `(k + 1) * batch` belong to buffer `k`. `float32`, of a 16-bit
    precision, is [2, pictures, classes]: float32 arithmetic on rounded pictures with the weights as they are, and with
    rounded ones; NaN for pictures beyond the first few. `blind` names the layers that could be wrong throughout without
    the gate seeing it. `first` keeps the first answer to each buffer, which later ones must repeat.
    """

    precision: str
    batch: int
    exact: np.ndarray
    torch_logits: np.ndarray
    float32: np.ndarray | None = None
    blind: tuple[str, ...] = ()
    first: dict[int, np.ndarray] = field(default_factory=dict)


def make_truth(
    precision: str,
    batch: int,
    rows: slice | np.ndarray,
    exact: np.ndarray,
    torch_logits: np.ndarray,
    float32: np.ndarray | None = None,
    sensitivities: Mapping[str, float] | None = None,
) -> Truth:
    """Return the truth of `rows` of the references, which are of all pictures; `float32` of the first few.

    `sensitivities` are those of `resnet.sensitivity`. Raises CannotJudge if plain torch's answers are no yardstick.
    """
    _assert_finite("the model itself answers", exact, "fp64")
    _assert_finite("plain torch itself answers", torch_logits, precision)
    unit, _ = error_units(precision, exact, torch_logits)
    spread = rms(exact - exact.mean(0))
    if not spread or not unit <= PLAIN_LIMIT * spread:
        share = f"{unit / spread:.2f} times what the answers differ by" if spread else "and all answers are the same"
        raise CannotJudge(
            f"cannot be judged in {precision}: plain torch itself is off by {share} from picture to picture (the most "
            f"is {PLAIN_LIMIT:g}), so that an answer to no picture at all would pass"
        )
    rest = None
    if float32 is not None:
        rest = np.full((2, *exact.shape), np.nan)
        rest[:, : float32.shape[1]] = float32
        rest = rest[:, rows]
    # a layer that is wrong throughout adds its error to that of the precision, which it is independent of
    unseen = unit * (RMS_MULTIPLE**2 - 1) ** 0.5
    blind = tuple(name for name, change in (sensitivities or {}).items() if not change > unseen)
    return Truth(precision, batch, exact[rows], torch_logits[rows], rest, blind)


def error_units(precision: str, exact: np.ndarray, torch_logits: np.ndarray) -> tuple[float, float]:
    """Return the RMS and the largest error of plain torch, which errors are multiples of.

    Plain torch may have been lucky: either is at least the error of rounding the exact answer.
    """
    error, rounding = torch_logits - exact, ROUNDING_RMS * ROUNDOFF[precision]
    return (
        max(rms(error), rounding * rms(exact)),
        max(float(np.abs(error).max()), rounding * float(np.abs(exact).max())),
    )


def rms(values: np.ndarray) -> float:
    """Return the root mean square of `values`."""
    return float(np.sqrt(np.mean(np.square(values))))


def _assert_finite(who: str, answer: np.ndarray, precision: str) -> None:
    bad = int((~np.isfinite(answer).all(1)).sum())
    if bad:
        raise CannotJudge(
            f"cannot be judged in {precision}: {who} with NaN or infinity for {bad} of {len(answer)} pictures"
        )
