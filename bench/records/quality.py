"""The price of a precision, as records have it: agreement with float32, right answers, what was lost, bytes on disk.

A score is of pictures and weights, not of a batch or a launch, so the score of one record stands for all that compute
the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self

from bench.plans.case import Case
from bench.records.fields import Agreement, Quantized, Score
from bench.records.record import Record
from bench.records.same import Key, choices, group_key
from bench.stats import paired_interval, share_interval
from bench.text import plural
from resnet.calibration import EIGHT_BITS

GATES: tuple[Agreement, ...] = ("rms_multiple", "max_multiple", "top1")  # of the gate, columns of the frame
Right = Literal["top1", "top5", "plain_top1", "plain_top5"]
# columns of the frame: name -> kind, path, meaning, as in `bench.records.columns.COLUMNS`
COLUMNS: dict[str, tuple[str, str, str]] = {
    "disk_bytes": ("int", "derived.disk_bytes", "bytes of the weights' file in 8 bits; else of the weights"),
    "choices": ("word", "sweep.choices", "options in no name of a case: threads, choices of 8 bits, classes"),
    "calibrate": ("word", "quantized.calibrate", "of 8 bits: how the ranges of activations were chosen"),
    "calibration_pictures": ("int", "quantized.pictures", "of 8 bits: pictures that they were chosen on"),
    "ranges": ("word", "quantized.ranges", "of 8 bits: digest of the ranges"),
    "steps_8bit": ("int", "quantized.steps", "of 8 bits: steps from integers to integers"),
    "layers_8bit": ("int", "quantized.layers", "convolutions and products in 8 bits"),
    "layers_wide": ("word", "derived.wide", "of 8 bits: those that are not, separated by commas"),
    "float_operations": ("word", "derived.float_operations", "of 8 bits: what the backend left in float between them"),
    "checked": ("word", "quantized.checked", "of 8 bits: taps (integers of the timed network), or units"),
    "code_distance": ("float", "derived.code_distance", "of 8 bits: farthest code from its exact value, in steps"),
    "code_worst": ("word", "derived.code_worst", "of 8 bits: where that was"),
    "code_flips": ("float", "derived.code_flips", "of 8 bits: share of codes that are not the nearest, worst step"),
    "score_pictures": ("int", "score.pictures", "pictures of the score, which calibrated nothing"),
    "score_data": ("word", "score.data", "digest of these pictures and their labels"),
    "score_rms": ("float", "score.rms", "RMS difference of the logits to float32's, over the RMS of these"),
    "agreement": ("float", "derived.agreement", "share of these pictures with the top class of float32"),
    "agreement_low": ("float", "derived.agreement_low", "its 95 % interval, Clopper and Pearson's"),
    "agreement_high": ("float", "derived.agreement_high", ""),
    "accuracy": ("float", "derived.accuracy", "of labelled pictures: share of right top classes"),
    "accuracy_low": ("float", "derived.accuracy_low", "its 95 % interval, Clopper and Pearson's"),
    "accuracy_high": ("float", "derived.accuracy_high", ""),
    "accuracy_top5": ("float", "derived.accuracy_top5", "share with the right class among the five top ones"),
    "accuracy_loss": ("float", "derived.accuracy_loss", "float32's accuracy on the same pictures less this: a share"),
    "accuracy_loss_low": ("float", "derived.accuracy_loss_low", "its 95 % interval, Tango's for pairs"),
    "accuracy_loss_high": ("float", "derived.accuracy_loss_high", ""),
    "score_lost": ("int", "score.lost", "pictures that float32 alone has right"),
    "score_gained": ("int", "score.gained", "pictures that the case alone has right"),
}


@dataclass(frozen=True)
class Share:
    """A share of `pictures`, or a difference of two, with its 95 % interval."""

    value: float
    low: float
    high: float
    pictures: int

    @classmethod
    @cache  # rounds of a case have the same answers, and an interval takes 0.1 ms
    def of(cls, count: int, pictures: int) -> Self:
        return cls(count / pictures, *share_interval(count, pictures), pictures)

    @classmethod
    @cache
    def difference(cls, more: int, fewer: int, pictures: int) -> Self:
        """Return the share of `more` less that of `fewer`, which are different ones of the same pictures."""
        return cls((more - fewer) / pictures, *paired_interval(more, fewer, pictures), pictures)

    @property
    def half(self) -> float:
        """The longer half of the interval."""
        return max(self.high - self.value, self.value - self.low)

    @property
    def places(self) -> int:
        """The decimals of a share in percent, in prose and in tables: one where half the interval is under 2."""
        return 0 if self.half >= 0.02 else 1

    def percent(self) -> str:
        """Return a share as `83 % (78 to 87)`."""
        return self._in_percent(self.places, " %")

    def points(self, more: str = "", less: str = "") -> str:
        """Return a difference as `0.8 percentage points (-0.4 to 2.1)`, with words behind: `less` of one below 0."""
        if less and self.value < 0:
            return Share(-self.value, -self.high, -self.low, self.pictures).points(less)
        return self._in_percent(1, " percentage points") + f" {more}" * bool(more)

    def _in_percent(self, places: int, unit: str) -> str:
        one, low, high = (f"{100 * value:z.{places}f}" for value in (self.value, self.low, self.high))
        return f"{one}{unit} ({low} to {high})"


def wide_precisions(quantized: Quantized, device: str) -> dict[str, str]:
    """Return the precision in which layers that are out of the 8 bits compute, by their names."""
    precision = "fp16" if device == "cuda" else "fp32"
    return {name.removeprefix("net."): precision for name in quantized.get("wide", ())}


def is_eight_bits(case: Case) -> bool:
    """Return whether a case's precision is one that is calibrated, and answers otherwise than float32."""
    return case.precision in EIGHT_BITS


def agreement(score: Score) -> Share | None:
    """Return the share of answers with float32's top class; None of a record without a score."""
    return _share(score, "agree")


def accuracy(score: Score, count: Right = "top1") -> Share | None:
    """Return the share of right answers, of the case or (`plain_`) of float32; None without labels."""
    return _share(score, count) if score.get("labelled") else None


def loss(score: Score) -> Share | None:
    """Return float32's accuracy less the case's on the same pictures, paired; None without labels."""
    pictures, lost, gained = score.get("pictures"), score.get("lost"), score.get("gained")
    if not score.get("labelled") or not pictures or lost is None or gained is None or lost + gained > pictures:
        return None
    return Share.difference(lost, gained, pictures)


def _share(score: Score, name: Literal["agree", "top1", "top5", "plain_top1", "plain_top5"]) -> Share | None:
    pictures, count = score.get("pictures"), score.get(name)
    if not pictures or count is None or count > pictures:
        return None
    return Share.of(count, pictures)


def describe_score(score: Score) -> str:
    """Return `agrees with float32 on 83 % (78 to 87) of 512 pictures`; of labelled ones also what it has right."""
    agree, right, less = agreement(score), accuracy(score), loss(score)
    if agree is None:
        return "has no score on record, so that what it costs is not known"
    clauses = [f"agrees with float32 on {agree.percent()} of {agree.pictures:,} {plural(agree.pictures, 'picture')}"]
    if right and less:
        clauses.append(f"has {right.percent()} right, {less.points('less', 'more')} than float32")
    return " and ".join(clauses)


def disk_bytes(record: Record) -> int | None:
    """Return the bytes of the file that the weights are in; out of 8 bits those of the weights in memory."""
    return record.quantized.get("disk_bytes") or record.memory.get("weights")


def score_key(record: Record) -> Key:
    """Return what a score is of: machine and software, network, precision, weights, and in 8 bits the calibration."""
    case = record.case
    network = (case.model, case.variant, case.precision, case.image, record.weights)
    return (group_key(record), *network, *(value for name, value in choices(record).items() if name != "threads"))


def scored_records(records: Iterable[Record]) -> dict[Key, Record]:
    """Return the record whose score counts of each `score_key`: of labelled pictures if there is one, of the most."""
    best: dict[Key, Record] = {}
    for record in records:
        if record.score and record.status == "ok":
            key = score_key(record)
            if key not in best or _rank(record) >= _rank(best[key]):
                best[key] = record
    return best


def _rank(record: Record) -> tuple[bool, int]:
    return record.score.get("labelled", False), record.score.get("pictures", 0)


def worst_check(record: Record, name: Agreement) -> float | None:
    """Return the worst value of the gate's checks: the largest error, the least top-1 agreement; None without any."""
    values = [check[name] for check in record.gate.values() if name in check]
    return (min if name.startswith("top1") else max)(values) if values else None


def derived_values(record: Record) -> dict[str, Any]:
    """Return the values of COLUMNS that are computed."""
    values: dict[str, Any] = {name: worst_check(record, name) for name in GATES} if record.gate else {}
    if checks := [check for check in record.gate.values() if "code_distance" in check]:
        worst = max(checks, key=lambda check: check["code_distance"])
        values |= {name: worst.get(name) for name in ("code_distance", "code_worst")}
        values["code_flips"] = max((check["code_flips"] for check in checks if "code_flips" in check), default=None)
    if record.quantized:
        values["wide"] = ", ".join(record.quantized.get("wide", ())) or None
        values["float_operations"] = ", ".join(record.quantized.get("float_operations", ())) or None
    return values | {"disk_bytes": disk_bytes(record)} | (score_values(record.score) if record.score else {})


def score_values(score: Score) -> dict[str, float | None]:
    """Return the shares of a score, each with the ends of its interval; None where it has none."""
    shares = {"agreement": agreement(score), "accuracy": accuracy(score), "accuracy_loss": loss(score)}
    values: dict[str, float | None] = {}
    for name, share in shares.items():
        numbers = (share.value, share.low, share.high) if share else (None, None, None)
        values |= dict(zip((name, f"{name}_low", f"{name}_high"), numbers, strict=True))
    top5 = accuracy(score, "top5")
    return values | {"accuracy_top5": top5.value if top5 else None}
