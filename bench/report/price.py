"""The cost of a precision, in words and against limits: how often it agrees with float32, how much less is right."""

from __future__ import annotations

from bench.records import quality
from bench.report.rows import Row
from bench.stats import pictures_to_tell

UNSCORED, UNLABELLED = "agreement not on record", "accuracy not on record"


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
    counts = row.score["lost"], row.score["gained"], share.pictures
    more = pictures_to_tell(*counts, most) if share.value <= most else None
    would = f"; some {more:,} might" if more else ""
    return "", f"loss within {points} not shown: {share.points()} of {share.pictures:,} pictures{would}"
