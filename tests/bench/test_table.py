from collections.abc import Callable

import pytest

from bench.case import Case
from bench.record import Record
from bench.table import answer, as_json, cells, left_out, notes, rows, summary, trust

Make = Callable[..., Record]


@pytest.fixture
def records(record: Make) -> list[Record]:
    return [
        record("resnet50/eager/fp32/b1/i224/stream", ms=60),
        record("resnet50/eager/bf16/b1/i224/stream", ms=30),
        record("resnet50/compile-max/bf16/b1/i224/stream", ms=15),
        record("resnet50/onnxruntime/fp16/b1/i224/stream", ms=20),
        record("resnet50/eager/fp32/b8/i224/stream", ms=400),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=80, round=0),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=90, round=1),
        record("resnet50/compile-max/bf16/b8/i224/stream", ms=100, round=2),
        record("resnet50/compile/bf16/b8/i224/stream", status="wrong", reason="not a number"),
        record("resnet50/eager/tf32/b1/i224/stream", status="skipped", reason="no tensor cores"),
        record("resnet50/eager/tf32/b8/i224/stream", status="skipped", reason="no tensor cores"),
    ]


def test_the_fastest_of_each_batch_is_on_top(records: list[Record]) -> None:
    assert [(row.case.batch, row.case.variant, row.case.precision) for row in rows(records)] == [
        (1, "compile-max", "bf16"),
        (1, "onnxruntime", "fp16"),
        (1, "eager", "bf16"),
        (1, "eager", "fp32"),
        (8, "compile-max", "bf16"),
        (8, "eager", "fp32"),
    ]


def test_speeds_are_against_eager_in_the_same_precision_or_fp32_with_a_star(records: list[Record]) -> None:
    shown = {row.case.name: cells(row) for row in rows(records)}
    assert shown["resnet50/compile-max/bf16/b1/i224/stream"][6] == "2.00"
    assert shown["resnet50/onnxruntime/fp16/b1/i224/stream"][6] == "3.00*"
    assert shown["resnet50/eager/fp32/b8/i224/stream"][6] == "1.00"


def test_rounds_count_as_one_sample_each(records: list[Record]) -> None:
    row = next(row for row in rows(records) if row.case.batch == 8 and row.case.variant == "compile-max")
    assert row.rounds == 3
    assert row.p50_ns == 90e6
    assert row.noise is None  # three rounds give no 95 % interval; their pooled samples would pretend to
    assert row.images_per_s == pytest.approx(8 / 0.09)


def test_the_sentence_states_the_answer(records: list[Record]) -> None:
    first, second = answer(rows(records)).splitlines()
    assert first == (
        "resnet50, batch 1: compile-max/bf16 is fastest, 66.67 images/s, 2.00 times the best eager (eager/bf16); "
        "33 % faster than the next, onnxruntime/fp16."
    )
    assert "batch 8: compile-max/bf16 is fastest" in second
    assert answer([]) == "No case was measured."


def test_a_lead_within_the_noise_is_not_told_as_one(record: Make) -> None:
    noisy = {"latency_ns": [9_000_000, 10_000_000, 11_000_000] * 5}
    found = rows(
        [
            record("resnet50/eager/fp32/b1/i224/stream", ms=10.0, **noisy),
            record("resnet50/compile/fp32/b1/i224/stream", ms=9.5, **noisy),
        ]
    )
    assert answer(found).endswith("the next, eager/fp32, is within the noise of it.")


def test_what_has_no_speed_is_told_alike_ones_together(records: list[Record]) -> None:
    told = left_out(records)
    assert [(status, reason, len(cases)) for status, reason, cases in told] == [
        ("wrong", "not a number", 1),
        ("skipped", "no tensor cores", 2),
    ]
    assert summary(told[1][2]) == "2 cases (resnet50; eager; tf32; batch 1, 8; stream)"
    assert "1 run failed the gate" in trust(records, rows(records))


def test_a_graph_is_named_and_eager_under_a_graph_is_no_baseline(record: Make) -> None:
    found = rows(
        [
            record("resnet50/eager/fp16/b1/i224/graph", ms=1, device="cuda"),
            record("resnet50/eager/fp16/b1/i224/stream", ms=4, device="cuda"),
        ]
    )
    assert cells(found[0])[0] == "eager+graph"
    assert cells(found[0])[6] == "4.00"
    assert "on the device" in notes(found)


def test_digits_are_four_and_never_an_exponent(record: Make) -> None:
    for ms, shown in (
        (0.01234, "0.0123"),
        (1.2345, "1.234"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (12345.6, "12,346"),
    ):
        row = rows([record("resnet50/eager/fp32/b1/i224/stream", ms=ms)])[0]
        assert cells(row)[3] == shown


def test_json_holds_the_same(records: list[Record]) -> None:
    told = as_json(records)
    assert [row["case"] for row in told["rows"]] == [row.case.name for row in rows(records)]
    assert Case.parse(told["rows"][0]["case"])
    assert {entry["status"] for entry in told["left_out"]} == {"wrong", "skipped"}
