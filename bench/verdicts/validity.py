"""The rounds that are no evidence of a metric of time, because the machine spoilt all that it is of.

A metric is of samples, or of throughput windows. Samples that were taken while the machine
throttled are left out, so that a round counts as long as half of them are left. A window cannot be mended: one that
throttled for a part of it is disturbed as a whole, and a round counts as long as it has one that is not.
"""

from __future__ import annotations

import numpy as np

from bench.machine.watch import ENOUGH
from bench.verdicts.lists import Lists
from bench.verdicts.metrics import Metric
from bench.verdicts.serial import Array, Mask


def throttled_rows(side: Lists, metric: Metric) -> Mask:
    """Return for each row whether throttling, or a stop, spoilt what the metric is of; false of an untimed one.

    Records up to schema 4 have one window, of which they tell the throttled seconds alone.
    """
    if not metric.timed:
        return np.zeros(len(side["case"]), dtype=bool)
    throttled = np.array([word == "throttled" for word in side["status"]], dtype=bool)
    if metric.windows:
        seconds = np.nan_to_num(_numbers(side, "throughput_throttled_s"))
        return throttled | ((seconds > 0) & ~(_numbers(side, "windows") > 0))
    if metric.samples:
        kept, dropped = (np.nan_to_num(_numbers(side, column)) for column in metric.samples)
        throttled |= kept < ENOUGH * (kept + dropped)
    return throttled


def disturbed_rows(side: Lists, metric: Metric) -> Mask:
    """Return for each row whether something else, as other work, disturbed all that the metric is of."""
    nothing_left = _numbers(side, "windows") == 0
    return nothing_left & ~throttled_rows(side, metric) if metric.windows else np.zeros(len(nothing_left), dtype=bool)


def _numbers(side: Lists, column: str) -> Array:
    return np.array(side[column], np.float64)
