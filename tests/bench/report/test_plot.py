"""The plot on the terminal: points where they belong, within the width."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from bench.cli import app
from bench.plans.case import Case
from bench.records.record import Record
from bench.records.store import Store
from bench.report.plot import GUTTER, LINES, MOST, plots
from bench.report.rows import Row

Make = Callable[..., Record]


def row(name: str, ms: float) -> Row:
    case = Case.parse(name)
    record = Record(case, 0, "ok", latency_ns=[round(ms * 1e6)], throughput={"images": 1, "ns": 1})
    return Row(case, (record,), None)


def test_the_axes_are_logarithmic_so_that_a_power_is_a_line() -> None:
    found = plots([row(f"resnet18/eager/fp32/b{batch}/i224/stream", float(batch)) for batch in (1, 4, 16)])
    area = [line[GUTTER : GUTTER + 56] for line in found[1 : LINES + 1]]
    marks = sorted((x, LINES - 1 - y) for y, line in enumerate(area) for x, mark in enumerate(line) if mark == "a")
    (x1, y1), (x2, y2), (x3, y3) = marks
    assert (y1, y3) == (0, LINES - 1)
    assert x1 == 0
    assert abs(2 * x2 - x1 - x3) <= 1
    assert abs(2 * y2 - y1 - y3) <= 1
    assert found[0] == "resnet18: p50 latency in ms over the batch, both logarithmic"
    assert re.search(r"^ +1 +4 +16$", found[-1])


def test_the_slowest_is_first_in_the_legend_as_it_is_highest() -> None:
    found = plots(
        [row(f"resnet18/{variant}/fp32/b1/i224/stream", ms) for variant, ms in (("eager", 3.0), ("compile", 1.0))]
    )
    text = "\n".join(found)
    assert text.index("a eager/fp32") < text.index("b compile/fp32")


def test_of_many_ways_the_fastest_are_drawn_and_the_others_counted() -> None:
    names = [f"resnet18/{v}/{p}/b1/i224/{launch}" for v in ("eager", "compile", "fused", "per-layer")
             for p in ("fp32", "fp16", "bf16") for launch in ("stream", "graph")]  # fmt: skip
    text = "\n".join(plots([row(name, 1.0 + place) for place, name in enumerate(names)]))
    assert f"({len(names) - MOST} slower)" in text
    assert "eager/fp32\n" in text
    assert "per-layer/bf16/graph" not in text


def test_each_model_and_picture_size_has_a_plot_of_its_own() -> None:
    found = plots(
        [
            row(f"{model}/eager/fp32/b1/i{image}/stream", 1.0)
            for model in ("resnet18", "resnet50")
            for image in (64, 224)
        ]
    )
    assert [line.split(":")[0] for line in found if "p50 latency" in line] == [
        "resnet18 at 64 pixels",
        "resnet18",
        "resnet50 at 64 pixels",
        "resnet50",
    ]


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(["eager", "onnxruntime-trt"]), st.integers(1, 4096)), st.floats(0.01, 1e5), min_size=1
    ),
    st.integers(80, 200),
)
def test_it_fits_the_width_whatever_the_times(times: dict[tuple[str, int], float], width: int) -> None:
    found = plots(
        [row(f"resnet50/{variant}/fp32/b{batch}/i224/graph", ms) for (variant, batch), ms in times.items()], width
    )
    assert max(map(len, found)) <= max(width, len(found[0]))
    assert len(found) == LINES + 3


def test_nothing_measured_is_no_plot() -> None:
    assert plots([]) == []


def test_the_command_prints_it_plain_when_piped(tmp_path: Path, record: Make) -> None:
    store = Store(tmp_path)
    with store.writing():
        for batch in (1, 8):
            store.append(record(f"resnet18/eager/fp32/b{batch}/i224/stream", ms=batch))
    told = CliRunner().invoke(app, ["report", str(tmp_path), "--plot"])
    assert told.exit_code == 0
    assert "\x1b" not in told.output
    assert "a eager/fp32" in told.output
