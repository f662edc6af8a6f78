"""Latency over the request rate, plotted as text."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor, log10

from bench.serving.capacity import Point
from bench.text import digits

WIDTH, HEIGHT = 62, 14  # of the text plot's area, in characters: with its axis it fits 80 columns


def plot_text(points: Sequence[Point], limit_ns: float) -> list[str]:
    """Plot p50 (o) and p99 (*) over the rate, with the limit, as lines of text; latency has a logarithmic scale.

    Latency over eight times the limit and the least p99 is off the plot, because a growing queue has no bound.
    """
    top = 8 * max(limit_ns, points[0].p99_ns)
    bottom = min(point.p50_ns for point in points)
    low, high = log10(min(bottom, limit_ns)) - 0.02, log10(min(top, max(limit_ns, *(point.p99_ns for point in points))))

    def line(ns: float) -> int:
        return HEIGHT - 1 - round((log10(ns) - low) / (high - low) * (HEIGHT - 1))

    area = [[" "] * WIDTH for _ in range(HEIGHT)]
    area[line(limit_ns)] = ["-"] * WIDTH
    for mark, value in (("o", "p50_ns"), ("*", "p99_ns")):
        for point in points:
            row = line(getattr(point, value))
            if 0 <= row < HEIGHT:
                area[row][round(point.rate / points[-1].rate * (WIDTH - 1))] = mark
    ticks = {line(ns): f"{digits(ns / 1e6)}" for ns in _ticks(low, high)}
    ticks[line(limit_ns)] = digits(limit_ns / 1e6)
    lines = [f"{ticks.get(row, ''):>9} |{''.join(marks).rstrip()}" for row, marks in enumerate(area)]
    end = digits(points[-1].rate)
    axis = ["       ms +" + "-" * WIDTH, " " * 10 + "0" + f"{end} requests/s".rjust(WIDTH - 1)]
    return [*lines, *axis, " " * 11 + "o p50   * p99   - the limit"]


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times the powers of ten between two logarithms."""
    ticks = [factor * 10.0**power for power in range(floor(low), ceil(high) + 1) for factor in (1, 2, 5)]
    return [value for value in ticks if low <= log10(value) <= high]
