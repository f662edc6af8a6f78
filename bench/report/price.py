"""The cost of a precision, in words and against limits: how often it agrees with float32, how much less is right."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

from bench.records import quality
from bench.report.rows import Row
from bench.stats import paired_interval, share_interval

GROWTH, MOST_STEPS = 1.1, 60  # up to 300 times as many pictures: what takes more is as close as makes no difference


class Limited(NamedTuple):
    """A limit on a cost: why a row violates it, or why that is open. Both are empty where the row is within it.

    What is open may be decided by so many `pictures` (0: as many as usual; None: by none), or by `labels`.
    """

    violated: str = ""
    undecided: str = ""
    pictures: int | None = None
    labels: bool = False


def describe_price(row: Row) -> str:
    """Return `agrees with float32 on 83 % (78 to 87) of 512 pictures`; of labelled ones also what it has right."""
    return quality.describe_score(row.score)


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
        agree, pictures = row.score["agree"], share.pictures
        more = pictures_to_decide(pictures, least, lambda n: share_interval(round(agree * n / pictures), n))
        why = f"agreement of {least:g} not shown: {share.percent()} of {pictures:,} pictures{_would(more)}"
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
    pictures, lost, gained = share.pictures, row.score["lost"], row.score["gained"]

    def interval(count: int) -> tuple[float, float]:
        return paired_interval(round(lost * count / pictures), round(gained * count / pictures), count)

    more = pictures_to_decide(pictures, most, interval)
    why = f"loss within {points} not shown: {share.points()} of {pictures:,} pictures{_would(more)}"
    return Limited(undecided=why, pictures=more)


def pictures_to_decide(pictures: int, limit: float, interval: Callable[[int], tuple[float, float]]) -> int | None:
    """Return how many pictures, more than these, would show on which side of a limit a share is; None of very many.

    `interval` returns that of so many, if they answer as those of the score.
    """
    counts = (100 * ceil(pictures * GROWTH**step / 100) for step in range(1, MOST_STEPS))
    return next((count for count in counts if not interval(count)[0] < limit < interval(count)[1]), None)


def _would(pictures: int | None) -> str:
    return f"; some {pictures:,} might" if pictures else ", too near for more of them to tell"
