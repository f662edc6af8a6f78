from itertools import pairwise

from bench.serving.capacity import Point
from bench.serving.curve import HEIGHT, plot_text

MS = 1e6
POINTS = [
    Point(100.0 * n, p50_ns=10 * MS, p99_ns=20 * MS * 2**n, late=0.0, batch=1.0) for n in range(1, 9)
]  # p99 from 40 ms to 5 s


def test_the_plot_in_text_has_both_quantiles_and_the_limit_within_80_columns() -> None:
    lines = plot_text(POINTS, 50 * MS)
    assert max(map(len, lines)) <= 80
    area = lines[:HEIGHT]
    assert sum(line.count("o") for line in area) == 8
    # what is over eight times the limit is off the plot: 320 ms is in, 640 ms is not
    assert sum(line.count("*") for line in area) == 4
    (limit,) = [line for line in area if line.startswith("    50.00 |")]
    assert limit.count("-") > 50
    # all medians are the same, so they stand in one line, evenly
    (medians,) = [line for line in area if "o" in line]
    places = [place for place, mark in enumerate(medians) if mark == "o"]
    assert {b - a for a, b in pairwise(places)} <= {7, 8}
    assert "800.0 requests/s" in lines[-2]


def test_higher_is_slower() -> None:
    area = plot_text(POINTS, 50 * MS)[:HEIGHT]
    rows = [row for column in range(80) for row, line in enumerate(area) if line[column : column + 1] == "*"]
    assert rows == sorted(rows, reverse=True)


def test_a_limit_far_from_every_latency_is_in_the_plot() -> None:
    for limit in (0.01 * MS, 1e6 * MS):
        lines = plot_text(POINTS, limit)
        assert any(line.count("-") > 50 and "|" in line for line in lines), limit
