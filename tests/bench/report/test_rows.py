"""Records to rows: their order, their ratios, the sentences above and below them."""

from collections.abc import Callable

import pytest

from bench.plans.words import summarize_cases
from bench.records.record import Record
from bench.report.evidence import describe_reliability
from bench.report.exported import report_as_json
from bench.report.rows import (
    group_without_speed,
    largest_batches,
    rows_from_records,
)
from bench.report.views import VIEWS, notes
from tests.bench.report.shown import SPEED, Make, cells


def test_the_fastest_of_each_batch_is_on_top(records: list[Record]) -> None:
    assert [(row.case.batch, row.case.variant, row.case.precision) for row in rows_from_records(records)] == [
        (1, "compile-max", "bf16"),
        (1, "onnxruntime", "fp16"),
        (1, "eager", "bf16"),
        (1, "eager", "fp32"),
        (8, "compile-max", "bf16"),
        (8, "eager", "fp32"),
    ]


def test_speeds_are_against_eager_in_the_same_precision_or_fp32_with_a_star(records: list[Record]) -> None:
    shown = {row.case.name: cells(row) for row in rows_from_records(records)}
    assert shown["resnet50/compile-max/bf16/b1/i224/stream"][6] == "2.00"
    assert shown["resnet50/onnxruntime/fp16/b1/i224/stream"][6] == "3.00*"
    assert shown["resnet50/eager/fp32/b8/i224/stream"][6] == "1.00"


def test_rounds_count_as_one_sample_each(records: list[Record]) -> None:
    row = next(row for row in rows_from_records(records) if row.case.batch == 8 and row.case.variant == "compile-max")
    assert row.rounds == 3
    assert row.p50_ns == 90e6
    # Student's interval of three medians, 80, 90 and 100 ms: wide, and their pooled samples would pretend otherwise
    assert row.noise == pytest.approx(0.28, abs=0.01)
    assert row.images_per_s == pytest.approx(8 / 0.09)


def test_what_has_no_speed_is_told_alike_ones_together(records: list[Record]) -> None:
    told = group_without_speed(records)
    assert [(status, reason, len(cases)) for status, reason, cases in told] == [
        ("wrong", "not a number", 1),
        ("skipped", "no tensor cores", 2),
    ]
    assert summarize_cases(told[1][2]) == "2 cases (resnet50; eager; tf32; batch 1, 8; stream)"


def test_a_ratio_is_to_eager_with_the_same_launch_and_none_is_lost_for_want_of_it(record: Make) -> None:
    def ratios(*cases: tuple[str, float]) -> dict[str, str]:
        found = rows_from_records([record(f"resnet50/{case}", ms=ms, device="cuda") for case, ms in cases])
        assert ("^ (vs eager)" in notes(SPEED, found)) == any("^" in cells(row)[6] for row in found)
        return {"/".join(row.case.name.split("/")[1:]): cells(row)[6] for row in found}

    eager_graph, eager_stream = ("eager/fp16/b1/i224/graph", 2), ("eager/fp16/b1/i224/stream", 4)
    graph, stream = ("compile/fp16/b1/i224/graph", 1), ("compile/fp16/b1/i224/stream", 3.2)
    assert ratios(eager_graph, eager_stream, graph, stream) == {
        graph[0]: "2.00", stream[0]: "1.25", eager_graph[0]: "1.00", eager_stream[0]: "1.00",
    }  # fmt: skip
    assert ratios(eager_stream, graph)[graph[0]] == "4.00^"
    assert ratios(eager_graph, stream)[stream[0]] == "0.62^"
    in_fp32 = ("eager/fp32/b1/i224/stream", 8)
    assert ratios(in_fp32, graph)[graph[0]] == "8.00*^"
    assert ratios(in_fp32, stream)[stream[0]] == "2.50*"


def test_a_ratio_over_rounds_has_its_interval(record: Make) -> None:
    names = ("resnet50/eager/fp32/b1/i224/stream", "resnet50/compile/fp32/b1/i224/stream")
    # the machine slows down round by round, and both with it: the ratio is 2 in each
    found = rows_from_records(
        [record(name, ms=ms * (1 + k), round=k) for name, ms in zip(names, (20, 10), strict=True) for k in range(3)]
    )
    assert found[0].case.variant == "compile"
    assert cells(found[0])[6] == "2.00±0.0%"
    assert found[0].noise is not None
    assert found[0].noise > 0.5


def test_rounds_that_one_of_the_two_lacks_do_not_count(record: Make) -> None:
    found = rows_from_records(
        [
            record("resnet50/eager/fp32/b1/i224/stream", ms=20, round=0),
            record("resnet50/eager/fp32/b1/i224/stream", ms=80, round=1),
            record("resnet50/compile/fp32/b1/i224/stream", ms=10, round=0),
        ]
    )
    row = next(row for row in found if row.case.variant == "compile")
    assert row.against is not None
    assert row.against.ratio.value == pytest.approx(2)
    assert row.against.ratio.samples == 0  # of windows: such records have none


def test_throttled_samples_are_not_counted(record: Make) -> None:
    samples = [10_000_000] * 10 + [90_000_000] * 20
    fallen = {"latency_ns": samples, "throttled": {"latency": [[10, 29]]}, "watch": {"spoilt_s": {"steal": 1.8}}}
    records = [record("resnet50/eager/fp32/b1/i224/stream", **fallen)]
    row = rows_from_records(records)[0]
    assert row.p50_ns == 10e6
    assert dict(zip(VIEWS["latency"].titles, VIEWS["latency"].cells(row), strict=True))["dropped"] == "66.7%"
    assert "in 1 of 1 run the machine throttled (steal)" in describe_reliability(records, [row])


def test_the_largest_batch_is_a_row_of_its_own(record: Make) -> None:
    told = {
        "fits": 96,
        "fails": 99,
        "reason": "out of memory",
        "tried": [[96, "ok", 5, 1.0], [99, "memory", None, 1.0]],
    }
    records = [record("resnet50/eager/fp32/bmax/i224/stream", latency_ns=[], throughput={}, largest=told)]
    assert rows_from_records(records) == []
    assert [(case.name, traits, found["fits"]) for (case, traits), found in largest_batches(records)] == [
        ("resnet50/eager/fp32/bmax/i224/stream", (), 96)
    ]
    assert report_as_json(records)["largest"][0]["fails"] == 99


@pytest.mark.parametrize("status", ["wrong", "throttled"])
def test_a_case_that_is_not_ok_has_no_row_whatever_it_measured(record: Callable[..., Record], status: str) -> None:
    times = {"latency_ns": [10_000_000] * 9, "throughput": {"images": 10, "ns": 1_000_000_000}}
    assert rows_from_records([record("resnet50/eager/fp32/b1/i224/stream", status=status, **times)]) == []


INT8, FLOAT32, EAGER = (
    f"resnet18/{way}/b1/i32/stream" for way in ("onnxruntime/int8", "onnxruntime/fp32", "eager/fp32")
)


def chosen(record: Make, rounds: int = 1, **settings: object) -> list[Record]:
    """Records of a run of three cases with other choices for 8 bits; its rounds are `rounds` and on."""
    made = [record(name, ms=ms, round=rounds, settings=settings) for name, ms in ((INT8, 2), (FLOAT32, 4), (EAGER, 8))]
    made[0].score = {"pictures": 64, "agree": 60 - rounds, "rms": 0.1, "labelled": False}
    return made


def test_runs_of_one_case_in_8_bits_with_other_choices_are_rows_of_their_own(record: Make) -> None:
    first, second = chosen(record, 1, calibrate="minmax"), chosen(record, 2, keep_wide="conv1", score_pictures=9)
    second[0].latency_ns, second[0].throughput = [3_000_000] * 15, {"images": 100, "ns": 300_000_000}
    rows = rows_from_records([*first, *second])
    assert [(row.case.name, row.choices, row.rounds) for row in rows] == [
        (INT8, "calibrate minmax, keep-wide none", 1),
        (INT8, "calibrate mse, keep-wide conv1", 1),
        (FLOAT32, "", 2),
        (EAGER, "", 2),
    ]
    for row, speed, gain, agreed in ((rows[0], 500, 2.0, 59), (rows[1], 1000 / 3, 4 / 3, 58)):
        assert row.images_per_s == pytest.approx(speed)
        assert row.score["agree"] == agreed
        assert row.against_float32
        assert row.against_float32.ratio.value == pytest.approx(gain)
        assert row.against
        assert row.against.ratio.value == pytest.approx(2 * gain)
    assert {row.choices for row in rows_from_records(first)} == {""}
    shown = [VIEWS["accuracy"].cells(row)[0] for row in rows]  # without what is as usual
    assert shown == ["onnxruntime, minmax", "onnxruntime, keep-wide conv1", "onnxruntime", "eager"]


@pytest.mark.parametrize(
    ("fields", "choices"),
    [
        ({"seed": 3}, ["weights of seed 0", "weights of seed 3"]),
        ({"weights": "0123456789abcdef", "network": {"weights": "file"}}, ["weights of seed 0", "weights 01234567"]),
        ({"settings": {"threads": 2}}, ["threads unset", "threads 2"]),
        ({"device": "cuda"}, ["device cpu", "device cuda"]),
    ],
)
def test_runs_of_other_weights_threads_or_machines_are_rows_of_their_own(
    record: Make, here: dict[str, object], fields: dict[str, object], choices: list[str]
) -> None:
    environment = here | {"variables": {}}
    records = [
        record(EAGER, ms=8, environment=environment),
        record(EAGER, ms=16, environment=environment, round=1, **fields),
    ]
    assert [row.choices for row in rows_from_records(records)] == choices
    records[1].status, records[1].reason = "wrong", "not a number"
    assert [(row.case.name, row.rounds) for row in rows_from_records(records)] == [(EAGER, 1)]
    assert [reason for _, reason, _ in group_without_speed(records)] == [f"not a number ({choices[1]})"]


def test_classes_that_an_older_record_lacks_are_no_other_network(record: Make) -> None:
    older, newer, other = (record(EAGER, network=network) for network in ({}, {"num_classes": 9}, {"num_classes": 10}))
    assert [row.choices for row in rows_from_records([older, newer])] == [""]
    assert sorted(row.choices for row in rows_from_records([newer, other])) == ["classes 10", "classes 9"]


def test_a_ratio_is_to_the_run_that_is_most_alike_where_records_say_less_than_others(record: Make) -> None:
    names, known = ("resnet50/compile/fp32/b1/i224/stream", "resnet50/eager/fp32/b1/i224/stream"), (None, 9, 10)
    records = [
        record(name, round=place, network={"num_classes": classes} if classes else {})
        for place, classes in enumerate(known)
        for name in names
    ]
    assert [row.choices for row in rows_from_records(records) if row.against is None] == []


def test_host_memory_of_fresh_and_forked_rounds_is_not_blended(record: Callable[..., Record]) -> None:
    def rounds(*ways: str) -> list[Record]:
        sizes = {"forked": 600, "fresh": 500}
        return [
            record(
                "resnet18/eager/fp32/b1/i64/stream", round=number, runtime={"process": way},
                memory={"host_resident_peak": sizes[way] + number, "weights": number},
            )
            for number, way in enumerate(ways)
        ]  # fmt: skip

    (row,) = rows_from_records(rounds("forked", "fresh", "forked"))
    assert (row.memory, row.peak_memory("weights")) == (501, 2)
    (row,) = rows_from_records(rounds("forked", "forked"))
    assert row.memory == 601
