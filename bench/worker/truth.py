"""The reference answers of a case, what an answer may be off by, and what they say of the gate itself: if it can judge.

In floating point the tolerance is no constant but a multiple of the error that plain torch makes in the same precision
on the same pictures. The error of a variant that computes in less precision than it claims is larger by several powers
of two. In 8 bits logits tell nothing, and the integers between the steps are judged (`resnet.quant.check`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.worker.failure import CannotJudge, Wrong
from resnet.quant.check import Refused, check_declaration, check_steps, one_code
from resnet.runner import DTYPES

# The allowed multiples of plain torch's error. A bit of mantissa less doubles the error, and the mantissas of float16
# and bfloat16 differ by three bits, so 4 distinguishes every pair of precisions. METHODOLOGY has the largest multiples
# of honest variants.
RMS_MULTIPLE = 3.0
MAX_MULTIPLE = 4.0
# The most that plain torch's error may be, in units of what the answers differ by from picture to picture. At a
# third of them an answer that has nothing to do with its picture would be within RMS_MULTIPLE of plain torch's error.
PLAIN_LIMIT = 0.3

# A 16-bit answer is of another precision if it is nearer to float32's than this share of what rounding the weights
# changes, over at least so many values: few may be near by chance. METHODOLOGY has how far honest variants are.
FLOAT32_SHARE, FLOAT32_VALUES = 1 / 3, 30

# In 8 bits two answers to the same pictures may differ by this share of the logits; and by so many times what one code
# at the input moves (0.8 % of them at least) if they came otherwise: unit by unit, in another row or batch.
REPEATED, CODES_APART = 1e-3, 3.0

# precision -> its unit roundoff
ROUNDOFF = {"fp32": 2.0**-24, "tf32": 2.0**-11, "fp16": 2.0**-11, "bf16": 2.0**-8, "fp8": 2.0**-4, "int8": 2.0**-7}
# RMS error of rounding to nearest, in units of the unit roundoff times the RMS of the values
ROUNDING_RMS = 0.4

# The names under which a reference job's answer has the files beside the logits.
LAYERS = "layers"
FLOAT32 = {precision: f"{precision} in float32" for precision in ("fp16", "bf16")}

Answers = Sequence[tuple[int, np.ndarray]]  # (buffer, logits [batch, classes]) pairs


@dataclass(frozen=True)
class Truth:
    """The reference answers of a case: float64 logits [pictures, classes], and what may be seen of an answer beside it.

    Rows `k * batch` to `(k + 1) * batch` belong to buffer `k`. `blind` names the layers that could be wrong throughout
    without the gate seeing it. `first` keeps the first answer to each buffer, which later ones must repeat.
    """

    precision: str
    batch: int
    exact: np.ndarray
    blind: tuple[str, ...] = field(default=(), kw_only=True)
    first: dict[int, np.ndarray] = field(default_factory=dict, kw_only=True)

    def judge(self, answers: Answers) -> dict[str, Any]:
        """Return the errors of answers, as a record has them. Raises Wrong."""
        answer = np.concatenate([values for _, values in answers])
        rows = np.concatenate([np.arange(self.batch) + buffer * self.batch for buffer, _ in answers])
        exact = self.exact[rows]
        return {
            "rms": rms(answer - exact),
            "max": float(np.abs(answer - exact).max()),
            "top1": float((answer.argmax(1) == exact.argmax(1)).mean()),
            "pictures": len(answer),
        } | self._judge(answer, rows, rms(np.concatenate([a - self.first.setdefault(k, a) for k, a in answers])))

    def admit(self, runner: Any, model: nn.Module) -> dict[str, Any]:
        """Hold what a prepared runner declares against its model; return a record's `quantized`. Raises Wrong."""
        return {}

    def inspect(self, runner: Any, x: Tensor, buffer: int, answer: Tensor) -> dict[str, Any]:
        """Judge how a runner came to its answer to the placed batch `x`; return what a record has. Raises Wrong."""
        return {}

    def _judge(self, answer: np.ndarray, rows: np.ndarray, repeated: float) -> dict[str, Any]:
        """Judge the errors, and how far the answers are from the first ones, as an RMS; return what a record has."""
        raise NotImplementedError


@dataclass(frozen=True)
class FloatTruth(Truth):
    """The truth of floating point, which has plain torch's answers in the case's precision: [pictures, classes].

    `float32`, of a 16-bit precision, is [2, pictures, classes]: float32 arithmetic on rounded pictures with the weights
    as they are, and with rounded ones; NaN for pictures beyond the first few.
    """

    torch_logits: np.ndarray
    float32: np.ndarray | None = None

    def _judge(self, answer: np.ndarray, rows: np.ndarray, repeated: float) -> dict[str, Any]:
        exact, torch_logits = self.exact[rows], self.torch_logits[rows]
        rms_unit, max_unit = error_units(self.precision, exact, torch_logits)
        errors = {
            "rms_multiple": rms(answer - exact) / rms_unit,
            "max_multiple": float(np.abs(answer - exact).max()) / max_unit,
            "top1_plain": float((torch_logits.argmax(1) == exact.argmax(1)).mean()),
        }
        for norm, multiple, allowed in (
            ("rms", errors["rms_multiple"], RMS_MULTIPLE),
            ("largest", errors["max_multiple"], MAX_MULTIPLE),
        ):
            if not multiple <= allowed:  # a NaN is no error that is small enough
                reason = f"the {norm} error is {multiple:.3g} times that of plain torch in {self.precision}"
                raise Wrong(f"{reason} (allowed: {allowed:g})")
        errors |= self._nearest_float32(answer, rows, rms_unit)
        # Atomic additions come in another order each time: two answers are then as far apart as two honest variants.
        if not repeated <= RMS_MULTIPLE * rms_unit:
            raise Wrong(
                f"two answers to the same pictures differ by {repeated / rms_unit:.3g} times the error of plain torch "
                f"in {self.precision} (allowed: {RMS_MULTIPLE:g})"
            )
        return errors

    def _nearest_float32(self, answer: np.ndarray, rows: np.ndarray, unit: float) -> dict[str, float]:
        """Return how far an answer is from float32 arithmetic on rounded weights, in `unit`, if there is that answer.

        Raises Wrong if it is what float32 makes of weights that were not rounded. An honest variant may keep more in
        float32 between its layers than plain torch does; but its weights are 16-bit numbers.
        """
        if self.float32 is None:
            return {}
        there = np.isfinite(self.float32[:, rows]).all((0, 2))
        mine, rows = answer[there], rows[there]
        if mine.size < FLOAT32_VALUES:
            return {}
        unrounded, rounded = self.float32[:, rows]
        nearest = min(_distance(mine, other, self.precision) for other in (self.exact[rows], unrounded))
        effect = rms(rounded - unrounded)
        if nearest < FLOAT32_SHARE * effect:
            raise Wrong(
                f"more precise than {self.precision} can be: it computes in another precision, on weights that are not "
                f"rounded (rounding them changes the answer by {effect / unit:.2g} times plain torch's error, and it "
                f"is {nearest / unit:.2g} times that from float32's)"
            )
        return {"float32_multiple": _distance(mine, rounded, self.precision) / unit}


@dataclass(frozen=True)
class QuantizedTruth(Truth):
    """The truth of 8 bits: the model's answers, which say what quantising costs, and pictures to judge the codes by.

    `pictures` has by buffer some of its rows, each with its picture, float32 [1, C, H, W], which take turns. Two
    answers to the same pictures may be `apart` at most, as an RMS.
    """

    pictures: Mapping[int, deque[tuple[int, Tensor]]]
    apart: float = 0.0

    def admit(self, runner: Any, model: nn.Module) -> dict[str, Any]:
        quantized = dict(runner.details.pop("quantized", {}))
        row, picture = self.pictures[0][0]
        logits = torch.from_numpy(self.exact[row : row + 1])
        try:
            counts = check_declaration(runner.steps, self.precision, quantized.get("wide", ()), model, picture, logits)
        except Refused as refused:
            raise Wrong(f"what it declares: {refused}") from None
        return quantized | counts | {"checked": runner.checked}

    def inspect(self, runner: Any, x: Tensor, buffer: int, answer: Tensor) -> dict[str, Any]:
        row, picture = self.pictures[buffer][0]
        self.pictures[buffer].rotate()
        taps = runner.taps(x)
        try:
            codes = check_steps(runner.steps, picture, taps, row)
        except Refused as refused:
            raise Wrong(str(refused)) from None
        tapped, timed = (logits.detach().cpu() for logits in (taps.logits, answer))
        if runner.checked == "taps" and not torch.equal(tapped, timed):
            raise Wrong("the logits of the tapped network are not those of the timed one, bit for bit")
        if runner.checked != "taps":
            _assert_near("its units, run one by one, and the timed network", runner, picture, (tapped - timed)[row])
        moved = _in_next_rows(runner, x) if len(x) == self.batch else timed  # else rows are not pictures
        _assert_near("the same pictures, each in the next row of the batch,", runner, picture, moved - timed)
        return codes

    def _judge(self, answer: np.ndarray, rows: np.ndarray, repeated: float) -> dict[str, Any]:
        logits = rms(self.exact[rows])
        allowed = self.apart or REPEATED * logits
        if not repeated <= allowed:
            raise Wrong(
                f"two answers to the same pictures differ by {repeated / logits:.2g} of the logits (allowed: "
                f"{allowed / logits:.2g})"
            )
        return {"rms_relative": rms(answer - self.exact[rows]) / logits}


def make_truth(
    precision: str,
    batch: int,
    rows: slice | np.ndarray,
    exact: np.ndarray,
    torch_logits: np.ndarray,
    float32: np.ndarray | None = None,
    sensitivities: Mapping[str, float] | None = None,
) -> FloatTruth:
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
    return FloatTruth(precision, batch, exact[rows], torch_logits[rows], rest, blind=blind)


def make_quantized_truth(
    precision: str, batch: int, rows: slice | np.ndarray, exact: np.ndarray, batches: Sequence[Tensor]
) -> QuantizedTruth:
    """Return the truth of 8 bits for `rows` of the reference; of each of `batches` it keeps two pictures.

    They are the last, where a kernel's last tile is, and one from the middle. Raises CannotJudge if the model itself
    answers with what is no number.
    """
    _assert_finite("the model itself answers", exact, "fp64")
    kept = {}
    for number, pictures in enumerate(batches):
        chosen = dict.fromkeys((len(pictures) - 1, len(pictures) // 3))  # in order, and one alone of a batch of one
        kept[number] = deque((row, pictures[row : row + 1].clone()) for row in chosen)
    return QuantizedTruth(precision, batch, exact[rows], kept)


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


def _in_next_rows(runner: Any, x: Tensor) -> Tensor:
    """Return the logits of a placed batch, which run with each picture in the next row: a fault of some rows shows."""
    kept, write = x.clone(), torch.inference_mode()(x.copy_)  # in which it may write to all tensors
    write(kept.roll(1, 0))
    moved = runner(x).detach().cpu().roll(-1, 0)
    write(kept)
    return moved


def _assert_near(who: str, runner: Any, picture: Tensor, difference: Tensor) -> None:
    """Raise Wrong if logits differ, in any row, by more than CODES_APART times what one code at the input moves."""
    apart = float(difference.double().square().mean(-1).max().sqrt())
    if apart and not (times := apart / one_code(runner.steps, picture)) <= CODES_APART:
        raise Wrong(f"{who} differ by {times:.3g} times what one code at the input moves (allowed: {CODES_APART:g})")


def _distance(answer: np.ndarray, other: np.ndarray, precision: str) -> float:
    """Return the RMS difference of an answer from another, or from that rounded to the precision, if that is less."""
    as_rounded = torch.from_numpy(other).to(DTYPES[precision]).double().numpy()
    return min(rms(answer - other), rms(answer - as_rounded))


def _assert_finite(who: str, answer: np.ndarray, precision: str) -> None:
    if bad := int((~np.isfinite(answer).all(1)).sum()):
        raise CannotJudge(
            f"cannot be judged in {precision}: {who} with NaN or infinity for {bad} of {len(answer)} pictures"
        )
