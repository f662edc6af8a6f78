"""A plot of latency over the batch as text: logarithmic axes, a letter for each way of running the model."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10
from string import ascii_letters

from bench.plans.words import label
from bench.report.rows import Row
from bench.text import at_pixels

HEIGHT = 18  # lines of the plot's area
AXIS_WIDTH = 10  # columns of the latency axis
MIN_WIDTH = 24  # columns of the plot's area
MAX_SERIES = HEIGHT - 1  # of one plot: its legend stands beside it

Points = list[tuple[float, float]]


def plot_lines(rows: Sequence[Row], width: int = 80) -> list[str]:
    """Return the lines of a plot for each model and image size: the p50 of each way of running it over its batches."""
    families: dict[tuple[str, int], dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        case = row.case
        families[case.model, case.image][label(case)].append((case.batch, row.p50_ns / 1e6))
    lines: list[str] = []
    for (model, image), series in families.items():
        title = f"{model}{at_pixels(image)}: p50 latency in ms over the batch, both logarithmic"
        lines += [title, *_plot(series, width), ""]
    return lines[:-1]


def _plot(series: dict[str, Points], width: int) -> list[str]:
    """Return the lines of one plot; the series that ends highest is first in the legend."""
    names = sorted(series, key=lambda name: -max(series[name])[1])
    omitted = len(names) - MAX_SERIES
    series = {name: series[name] for name in names[max(0, omitted) :]}
    letters = dict(zip(series, ascii_letters, strict=False))
    legend = [f"{letter} {name}" for name, letter in letters.items()]
    if omitted > 0:
        legend.append(f"({omitted} slower)")
    legend_width = max(map(len, legend)) + 2
    columns = max(MIN_WIDTH, width - AXIS_WIDTH - legend_width)
    batches = sorted({batch for points in series.values() for batch, _ in points})
    values = [ms for points in series.values() for _, ms in points]
    x_of, y_of = _Scale(batches, columns), _Scale(values, HEIGHT)
    area = [[" "] * columns for _ in range(HEIGHT)]
    for name in letters:
        _draw_line(area, [(x_of(batch), y_of(ms)) for batch, ms in sorted(series[name])])
    # the fastest last, so that it is visible where several share a place
    for name, letter in letters.items():
        for batch, ms in series[name]:
            area[HEIGHT - 1 - y_of(ms)][x_of(batch)] = letter
    ticks = {HEIGHT - 1 - y_of(ms): f"{ms:.3g}" for ms in _ticks(min(values), max(values))}
    rows = [f"{ticks.get(row, ''):>{AXIS_WIDTH - 2}} |{''.join(marks)}" for row, marks in enumerate(area)]
    axis = [" " * (AXIS_WIDTH - 1) + "+" + "-" * columns, " " * AXIS_WIDTH + _labels(batches, x_of, columns)]
    legend += [""] * (HEIGHT - len(legend))
    return [f"{row}  {word}".rstrip() for row, word in zip(rows, legend, strict=True)] + axis


class _Scale:
    """A logarithmic axis of `places` characters: it maps a positive number to its place, a single one to the middle."""

    def __init__(self, values: Sequence[float], places: int) -> None:
        self.low, self.high = log10(min(values)), log10(max(values))
        self.places = places

    def __call__(self, value: float) -> int:
        if self.high <= self.low:
            return self.places // 2
        return round((log10(value) - self.low) / (self.high - self.low) * (self.places - 1))


def _draw_line(area: list[list[str]], points: list[tuple[int, int]]) -> None:
    """Draw dots from point to point, one in each column."""
    for (left, low), (right, high) in pairwise(points):
        for x in range(left + 1, right):
            y = round(low + (high - low) * (x - left) / (right - left))
            if area[len(area) - 1 - y][x] == " ":
                area[len(area) - 1 - y][x] = "·"


def _ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten between two numbers; the two themselves where there is none between."""
    ticks = [factor * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for factor in (1, 2, 5)]
    return [value for value in ticks if low <= value <= high] or [low, high]


def _labels(batches: Sequence[float], x_of: _Scale, columns: int) -> str:
    """Return the batches under their places, without those that would touch the one before."""
    line = [" "] * (columns + 8)
    free = 0
    for batch in batches:
        text = f"{batch:g}"
        start = max(0, min(x_of(batch) - len(text) // 2, columns - len(text)))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(line).rstrip()
