from itertools import pairwise
from pathlib import Path

import pytest

from bench.plans.case import Case
from bench.serving.capacity import Capacity, Point
from bench.serving.curve import HEIGHT, plot_text, save_picture
from bench.serving.queue import Batching, Service
from bench.stats import Ratio

MS = 1e6
POINTS = [
    Point(100.0 * n, p50_ns=10 * MS, p99_ns=20 * MS * 2**n, late=0.0, batch=1.0) for n in range(1, 9)
]  # p99 from 40 ms to 5 s


def curve(variant: str) -> tuple[Capacity, list[Point]]:
    case = Case.parse(f"resnet50/{variant}/bf16/b8/i224/graph")
    service = Service(case, {1: ((10 * MS,),), 8: ((20 * MS,),)})
    return Capacity(service, Batching((1, 8)), 15 * MS, Ratio(300, 290, 310, 8)), POINTS


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


@pytest.mark.parametrize("ending", [".svg", ".png"])
def test_a_picture_has_each_service_in_its_legend(tmp_path: Path, ending: str) -> None:
    pytest.importorskip("altair")
    pytest.importorskip("vl_convert")
    path = tmp_path / f"load{ending}"
    save_picture([curve("compile"), curve("fused")], path, "resnet50 on <this> machine")
    made = path.read_bytes()
    if ending == ".png":
        assert made.startswith(b"\x89PNG")
    else:
        for words in ("compile/bf16/graph, batch up to 8", "fused/bf16/graph", "requests per second", "&lt;this&gt;"):
            assert words in made.decode(), words


def test_the_plot_in_text_needs_no_plotting_library(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "altair", None)
    assert plot_text(POINTS, 15 * MS)
    with pytest.raises(ImportError):
        save_picture([curve("compile")], Path("never.svg"), "")
