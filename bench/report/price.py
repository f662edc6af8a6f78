"""The cost of a precision, in words and against limits: how often it agrees with float32, how much less is right."""

from __future__ import annotations

from typing import NamedTuple

from bench.records import quality
from bench.report.rows import Row
from bench.stats import pictures_to_tell


class Limited(NamedTuple):
    """A limit on a cost: why a row violates it, or why that is open. Both are empty where the row is within it.

    What is open may be decided by so many `pictures` (0: as many as usual; None: by none), or by `labels`.
    """

    violated: str = ""
    undecided: str = ""
    pictures: int | None = None
    labels: bool = False


def agreement_limit(row: Row, least: float) -> Limited:
    """Judge how often a row agrees with float32, by the interval of its score.

    Out of 8 bits a row without a score is judged by the gate's few pictures, as they are.
    """
    share = quality.agreement(row.score)
    if share:
        if share.low >= least:
            return Limited()
        if share.high < least:
            return Limited(f"agreement under {least:g}")
        more = pictures_to_tell(share.pictures - row.score["agree"], None, share.pictures, 1 - least)
        why = f"agreement of {least:g} not shown: {share.percent()} of {share.pictures:,} pictures{_would(more)}"
        return Limited(undecided=why, pictures=more)
    top1 = None if row.is_eight_bits else row.worst("top1")
    if top1 is None:
        return Limited(undecided="agreement not on record, as it was not scored", pictures=0)
    return Limited(f"top-1 agreement under {least:g}" if top1 < least else "")


def loss_limit(row: Row, most: float) -> Limited:
    """Judge how much less a row has right than float32, by the interval of the paired difference.

    What is in fp32 has the answers that the others are compared with.
    """
    share, points = quality.loss(row.score), f"{100 * most:g} percentage points"
    if row.case.precision != "fp32" and row.right_by_chance:
        return Limited(undecided="its weights are synthetic, so that answers are right by chance", labels=True)
    if row.case.precision == "fp32" or (share and share.high <= most):
        return Limited()
    if share is None:
        scored = "its score is of pictures without labels" if row.score else "it was not scored"
        return Limited(undecided=f"accuracy not on record, as {scored}", labels=True)
    if share.low > most:
        return Limited(f"loss of accuracy over {points}")
    more = pictures_to_tell(row.score["lost"], row.score["gained"], share.pictures, most)
    why = f"loss within {points} not shown: {share.points()} of {share.pictures:,} pictures{_would(more)}"
    return Limited(undecided=why, pictures=more)


def _would(pictures: int | None) -> str:
    return f"; some {pictures:,} might" if pictures else ", too near for more of them to tell"
