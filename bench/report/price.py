"""The cost of a precision, in words and against limits: how often it agrees with float32, how much less is right."""

from __future__ import annotations

from math import ceil

from bench.records import quality
from bench.records.fields import Score
from bench.report.rows import Row
from bench.stats import paired_interval

UNSCORED, UNLABELLED = "agreement not on record", "accuracy not on record"
GROWTH, MOST_STEPS = 1.1, 60  # up to 300 times as many pictures: what takes more is as close as makes no difference


def describe_price(row: Row) -> str:
    """Return `agrees with float32 on 83 % (78 to 87) of 512 pictures`; of labelled ones also what it has right."""
    return quality.describe_score(row.score)


def agreement_limit(row: Row, least: float) -> tuple[str, str]:
    """Return why a row agrees too little for sure, and why it may: one of the two, or two empty texts.

    By the interval of a score. Out of 8 bits a row without one is judged by the gate's few pictures, as they are.
    """
    share = quality.agreement(row.score)
    if share:
        if share.low >= least:
            return "", ""
        if share.high < least:
            return f"agreement under {least:g}", ""
        return "", f"agreement of {least:g} not shown: {share.percent()} of {share.pictures:,} pictures"
    top1 = None if row.is_eight_bits else row.worst("top1")
    if top1 is None:
        return "", UNSCORED
    return ("", "") if top1 >= least else (f"top-1 agreement under {least:g}", "")


def loss_limit(row: Row, most: float) -> tuple[str, str]:
    """Return why a row has too much less right than float32 for sure, and why it may: as `agreement_limit` does.

    By the interval of the paired difference. What is in fp32 has the answers that the others are compared with.
    """
    share, points = quality.loss(row.score), f"{100 * most:g} percentage points"
    if row.case.precision == "fp32" or (share and share.high <= most):
        return "", ""
    if share is None:
        return "", UNLABELLED
    if share.low > most:
        return f"loss of accuracy over {points}", ""
    more = pictures_to_show(row.score, most)
    would = f"; some {more:,} might" if more else ""
    return "", f"loss within {points} not shown: {share.points()} of {share.pictures:,} pictures{would}"


def pictures_to_show(score: Score, most: float) -> int | None:
    """Return how many pictures would show a loss within `most`, if they differ as often as those of the score."""
    pictures, lost, gained = score["pictures"], score["lost"], score["gained"]
    for step in range(1, MOST_STEPS):
        times = GROWTH**step
        high = paired_interval(round(lost * times), round(gained * times), round(pictures * times))[1]
        if high <= most:
            return ceil(pictures * times / 100) * 100
    return None
