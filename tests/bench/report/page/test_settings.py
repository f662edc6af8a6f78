"""Machines apart, and the headline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.records.record import Record
from bench.report.answer import contests_of
from bench.report.page.data import gather
from bench.report.page.settings import headline
from bench.report.rows import rows_from_records
from tests.bench.report import precisions
from tests.bench.report.page.sweeps import Make, another, stored, sweep
from tests.bench.report.shown import windows


def told(records: list[Record]) -> str:
    return headline(contests_of(rows_from_records(records)))


def test_the_headline_names_the_way_that_wins_and_its_range(record: Make) -> None:
    assert told(sweep(record)) == (
        "compile-max/bf16 runs 2 models fastest (batch 1, 8): 2.00±0.0% times the images per second of the best eager."
    )
    assert "No case was measured" in headline([])


def test_the_headline_counts_models_and_not_their_image_sizes(record: Make) -> None:
    cases = [f"resnet18/{name}/fp32/b1/{image}/stream" for name in ("eager", "compile") for image in ("i160", "i224")]
    made = [record(case, ms=2 if "eager" in case else 1, round=n) for case in cases for n in range(3)]
    assert told(made).startswith("compile/fp32 runs resnet18 at 2 image sizes fastest")


def test_ties_are_no_wins_and_a_graph_does_not_compete_with_the_stream(record: Make) -> None:
    quick, slow = windows([20] * 8), windows([10] * 8)
    mixed = [
        record("resnet18/eager/fp32/b1/i224/stream", **slow),
        record("resnet18/compile/fp16/b1/i224/stream", **quick),
        record("resnet18/eager/fp16/b8/i224/graph", **quick),
        record("resnet18/compile/fp16/b8/i224/graph", **windows([10] * 7 + [40])),
        record("resnet18/eager/fp16/b8/i224/stream", **slow),
        record("resnet18/compile/fp16/b8/i224/stream", **windows([10.1] * 8)),
    ]
    assert told(mixed) == (
        "compile/fp16 runs resnet18 fastest in 1 of 3 comparisons (batch 1, 8): 2.00±0.0%* times the images per second "
        "of the best eager (* eager in another precision); several ways are equally fast in 1 of 3 comparisons; "
        "cannot be told in 1."
    )
    unknown = [
        record("resnet18/eager/fp32/b2/i224/stream", **windows([20] * 8)),
        record("resnet18/compile/fp32/b2/i224/stream", **windows([10] * 8, disturbed=range(5))),
    ]
    assert told([*mixed, *unknown]).endswith(
        "; several ways are equally fast in 1 of 4 comparisons; cannot be told in 2."
    )
    assert told([*mixed[:2], *unknown]).endswith("another precision); cannot be told in 1.")
    assert told(mixed[4:]) == "compile/fp16 and eager/fp16 run resnet18 equally fast (batch 8)."
    assert told(mixed[4:5]) == "Only one way of running resnet18 was measured (batch 8)."


def test_the_headline_names_all_that_win_as_often(record: Make) -> None:
    quick, slow = windows([20] * 8), windows([10] * 8)
    records = [
        record(f"resnet18/{variant}/fp32/b{batch}/i224/stream", **(quick if variant == winner else slow))
        for batch, winner in ((1, "eager"), (8, "compile"))
        for variant in ("eager", "compile")
    ]
    assert told(records) == (
        "eager/fp32 and compile/fp32 each are the fastest to run resnet18 in 1 of 2 comparisons (batch 1, 8)."
    )


def test_without_intervals_the_headline_says_what_was_ahead(record: Make) -> None:
    pair = [record(f"resnet18/{variant}/fp32/b1/i224/stream", ms=ms) for variant, ms in (("eager", 2), ("compile", 1))]
    assert told(pair) == "Which way runs resnet18 fastest cannot be told (batch 1): compile/fp32 was ahead."


def test_a_headline_of_a_tie_and_an_open_contest_says_in_how_many_nothing_can_be_told(record: Make) -> None:
    same = windows([20] * 8)
    tie = [record(f"resnet18/{variant}/fp32/b8/i224/stream", **same) for variant in ("eager", "compile")]
    pair = [record(f"resnet18/{variant}/fp32/b1/i224/stream", ms=ms) for variant, ms in (("eager", 2), ("compile", 1))]
    assert told([*pair, *tie]) == (
        "Which way runs resnet18 fastest cannot be told in 1 of 2 comparisons (batch 1, 8): compile/fp32 was ahead; "
        "several ways are equally fast in 1."
    )


def test_records_of_two_machines_never_share_a_chart(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    other = another(here, cpu=here["cpu"] | {"name": "another processor"})
    two = stored(tmp_path / "b", [record("resnet18/eager/fp32/b1/i224/stream", environment=other)])
    data = gather([stored(tmp_path / "a", sweep(record)), two])
    assert len(data.settings) == 2
    assert "another processor" in data.settings[1].label
    assert [row["setting"] for row in data.cases].count(1) == 1


def test_the_headline_has_eight_bits_in_a_sentence_apart(record: Make) -> None:
    contests = contests_of(rows_from_records(precisions.sweep(record, {"resnet50": 1.0})))
    assert headline(contests) == (
        "library-fused/bf16 runs resnet50 fastest (batch 1, 8): 1.32±0.0% times the images per second of the best "
        "eager. In int8, whose answers differ from float32's, library-fused runs it at 1.44 times that speed."
    )
