"""Latency over the batch as text: logarithmic axes, a letter a way of running the model, within 80 columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10
from string import ascii_letters

from bench.plans.words import label
from bench.report.rows import Row
from bench.text import at_pixels

LINES = 18  # of the plot's area
GUTTER = 10  # columns of the latency axis
LEAST = 24  # columns of the plot's area
MOST = LINES - 1  # ways in one plot: its legend stands beside it

Points = list[tuple[float, float]]


def plots(found: Sequence[Row], width: int = 80) -> list[str]:
    """The lines of a plot for each model and picture size: the p50 of each way of running it over its batches."""
    families: dict[tuple[str, int], dict[str, Points]] = defaultdict(lambda: defaultdict(list))
    for row in found:
        case = row.case
        families[case.model, case.image][label(case)].append((case.batch, row.p50_ns / 1e6))
    lines: list[str] = []
    for (model, image), series in families.items():
        title = f"{model}{at_pixels(image)}: p50 latency in ms over the batch, both logarithmic"
        lines += [title, *_plot(series, width), ""]
    return lines[:-1]


def _plot(series: dict[str, Points], width: int) -> list[str]:
    """One plot; the slowest at its largest batch first in the legend, as it is highest."""
    names = sorted(series, key=lambda name: -max(series[name])[1])
    slower = len(names) - MOST
    series = {name: series[name] for name in names[max(0, slower) :]}
    letters = dict(zip(series, ascii_letters, strict=False))
    legend = [f"{letter} {name}" for name, letter in letters.items()]
    if slower > 0:
        legend.append(f"({slower} slower)")
    beside = max(map(len, legend)) + 2
    columns = max(LEAST, width - GUTTER - beside)
    batches = sorted({batch for points in series.values() for batch, _ in points})
    values = [ms for points in series.values() for _, ms in points]
    across, up = _scale(batches, columns), _scale(values, LINES)
    area = [[" "] * columns for _ in range(LINES)]
    for name in letters:
        _join(area, [(across(batch), up(ms)) for batch, ms in sorted(series[name])])
    # the fastest last, so that it is seen where several lie on one place
    for name, letter in letters.items():
        for batch, ms in series[name]:
            area[LINES - 1 - up(ms)][across(batch)] = letter
    ticks = {LINES - 1 - up(ms): f"{ms:.3g}" for ms in _ticks(min(values), max(values))}
    rows = [f"{ticks.get(row, ''):>{GUTTER - 2}} |{''.join(marks)}" for row, marks in enumerate(area)]
    axis = [" " * (GUTTER - 1) + "+" + "-" * columns, " " * GUTTER + _labels(batches, across, columns)]
    legend += [""] * (LINES - len(legend))
    return [f"{row}  {word}".rstrip() for row, word in zip(rows, legend, strict=True)] + axis


class _scale:
    """Places of positive numbers on a logarithmic axis of so many; of one number the middle."""

    def __init__(self, values: Sequence[float], places: int) -> None:
        self.low, self.high = log10(min(values)), log10(max(values))
        self.places = places

    def __call__(self, value: float) -> int:
        if self.high <= self.low:
            return self.places // 2
        return round((log10(value) - self.low) / (self.high - self.low) * (self.places - 1))


def _join(area: list[list[str]], points: list[tuple[int, int]]) -> None:
    """Dots from point to point, a column each."""
    for (left, low), (right, high) in pairwise(points):
        for x in range(left + 1, right):
            y = round(low + (high - low) * (x - left) / (right - left))
            if area[len(area) - 1 - y][x] == " ":
                area[len(area) - 1 - y][x] = "·"


def _ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two numbers; the two themselves where there is none between."""
    found = [factor * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for factor in (1, 2, 5)]
    return [value for value in found if low <= value <= high] or [low, high]


def _labels(batches: Sequence[float], across: _scale, columns: int) -> str:
    """The batches under their places, those left out that would touch the one before."""
    line = [" "] * (columns + 8)
    free = 0
    for batch in batches:
        text = f"{batch:g}"
        start = max(0, min(across(batch) - len(text) // 2, columns - len(text)))
        if start >= free:
            line[start : start + len(text)] = text
            free = start + len(text) + 1
    return "".join(line).rstrip()
