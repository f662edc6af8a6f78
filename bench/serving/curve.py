"""Latency over the request rate, plotted as text and as a picture."""

from __future__ import annotations

import json
from collections.abc import Sequence
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

from bench.files import write_file
from bench.kinds import kind_of
from bench.plans.words import label
from bench.serving.capacity import Capacity, Point
from bench.text import digits

WIDTH, HEIGHT = 62, 14  # of the text plot's area, in characters: with its axis it fits 80 columns
PICTURES = (".svg", ".png")
NEEDS = "pip install vl-convert-python"
Curve = tuple[Capacity, list[Point]]


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


def save_picture(curves: Sequence[Curve], path: Path, title: str) -> None:
    """Save the curves of some services as an SVG or PNG file, with p50 and p99 beside each other.

    Raises ImportError without vl-convert, OSError where the file cannot be written.
    """
    import vl_convert

    limit_ms = curves[0][0].limit_ns / 1e6
    values = [row for capacity, points in curves for row in _rows(capacity, points)]
    highest = 8 * max(limit_ms, *(points[0].p99_ns / 1e6 for _, points in curves))
    log = {"type": "log", "domainMax": highest, "clamp": True, "nice": False}
    # colour and shape both distinguish the services, and share one legend
    names = list(dict.fromkeys(row["service"] for row in values))
    service = {"field": "service", "type": "nominal", "scale": {"domain": names}, "title": None}
    points_of: dict[str, Any] = {
        "x": {"field": "rate", "type": "quantitative", "title": "requests per second"},
        "y": {"field": "ms", "type": "quantitative", "title": "latency, ms", "scale": log},
        "color": service,
    }
    layers = [
        {"mark": "line", "encoding": points_of},
        {"mark": {"type": "point", "filled": True, "size": 36}, "encoding": points_of | {"shape": service}},
        {"mark": {"type": "rule", "strokeDash": [2, 2]}, "encoding": {"y": {"datum": limit_ms}}},
    ]
    spec = {
        "title": {"text": title, "subtitle": f"dotted: the limit, {limit_ms:g} ms"},
        "data": {"values": values},
        "facet": {"column": {"field": "quantile", "type": "nominal", "title": None}},
        "spec": {"layer": layers, "width": 340, "height": 260},
        "config": {"legend": {"orient": "bottom", "columns": 2}},
    }
    text_of_spec = json.dumps(spec)
    draw = vl_convert.vegalite_to_png if path.suffix == ".png" else vl_convert.vegalite_to_svg
    content = draw(text_of_spec)
    content = content if isinstance(content, bytes) else content.encode()
    write_file(path, content, kind=kind_of(content))


def _rows(capacity: Capacity, points: Sequence[Point]) -> list[dict[str, Any]]:
    max_batch = capacity.batching.max_batch
    name = f"{label(capacity.service.case)}, batch {'up to ' * (max_batch > 1)}{max_batch}"
    return [
        {"service": name, "rate": point.rate, "quantile": quantile, "ms": ns / 1e6}
        for point in points
        for quantile, ns in (("p50", point.p50_ns), ("p99", point.p99_ns))
    ]
