"""What a precision costs, in words: how often it agrees with float32, and how much less it has right."""

from __future__ import annotations

from bench.records import quality
from bench.report.rows import Row


def describe_price(row: Row) -> str:
    """Return `agrees with float32 on 83 % (78 to 87) of 512 pictures`; of labelled ones also what it has right."""
    agreement, right, loss = (value(row.score) for value in (quality.agreement, quality.accuracy, quality.loss))
    if agreement is None:
        return "has no score on record, so that what it costs is not known"
    clauses = [f"agrees with float32 on {agreement.percent()} of {agreement.pictures:,} pictures"]
    if right and loss:
        clauses.append(f"has {right.percent()} right, {loss.points()} less than float32")
    return " and ".join(clauses)
