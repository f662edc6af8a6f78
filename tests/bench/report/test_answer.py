"""The answer is as sure as its records: winners, ties, what cannot be told and what would settle it."""

from __future__ import annotations

from typing import Any

import pytest

from bench.records.record import Record
from bench.report.answer import Contest, contests_of, describe_fastest, describe_settling, settled_in_documents
from bench.report.exported import report_as_json, report_as_rows
from bench.report.page.settings import headline
from bench.report.rows import rows_from_records
from bench.report.views import VIEWS, notes
from tests.bench.report.precisions import quantized, score, sweep
from tests.bench.report.shown import Make, windows

QUIET = (1.0, 1.001, 0.999, 1.002, 0.998, 1.0, 1.003, 0.997)


def rates(speed: float, *factors: float, apart: bool = False, disturbed: tuple[int, ...] = ()) -> dict[str, Any]:
    return windows([speed * factor for factor in factors or QUIET], apart, disturbed)


def answer(records: list[Record]) -> str:
    return describe_fastest(records, contests_of(rows_from_records(records)))


def contest(records: list[Record]) -> Contest:
    (only,) = contests_of(rows_from_records(records))
    return only


def settling(records: list[Record]) -> str:
    return describe_settling(contests_of(rows_from_records(records)), settled_in_documents(records))


def cases(record: Make, **fields: dict[str, Any]) -> list[Record]:
    """Records at batch 1; `eager_bf16` is eager/bf16 on a stream, `eager_bf16_graph` as a graph."""
    made = []
    for name, content in fields.items():
        variant, precision, *launch = name.split("_")
        case = f"resnet50/{variant}/{precision}/b1/i224/{launch[0] if launch else 'stream'}"
        made.append(record(case, **content))
    return made


def test_a_winner_has_its_interval_its_gain_over_the_best_eager_and_over_the_next(record: Make) -> None:
    records = cases(
        record, eager_fp32=rates(10), eager_bf16=rates(20), compile_bf16=rates(40), onnxruntime_fp32=rates(30)
    )
    assert answer(records) == (
        "resnet50, batch 1: compile/bf16 is fastest, 40.00±0.3% images/s, 2.00±0.0% times the best eager (eager/bf16); "
        "33 % (33 to 33) faster than the next, onnxruntime/fp32."
    )
    assert settling(records) == ""
    assert contest(records).winner is not None


def test_another_precision_of_eager_is_said_with_the_number(record: Make) -> None:
    records = cases(record, eager_fp32=rates(10), compile_bf16=rates(40))
    assert "4.00±0.0% times the best eager (eager/fp32, not in bf16)" in answer(records)


def test_a_burst_that_slows_both_in_the_same_turns_leaves_the_winner(record: Make) -> None:
    burst = (1, 0.3, 1, 0.25, 0.9, 0.3, 1, 1.01)
    records = cases(record, eager_fp32=rates(10, *burst), compile_fp32=rates(11, *burst))
    assert "compile/fp32 is fastest" in answer(records)
    assert "1.10±0.0% times the best eager" in answer(records)


def test_one_ahead_by_turns_leads_whatever_the_medians_are(record: Make) -> None:
    """Each is 5 % faster or slower turn by turn, but the slower one has more windows, at quiet moments."""
    ours, theirs = rates(21, 1, 0.5, 0.5, 0.5, 0.5, 1, 0.5), rates(20, 1, 0.5, 0.5, 0.5, 0.5, 1, 0.5, 1, 1, 1, 1)
    records = cases(record, eager_fp32=theirs, compile_fp32=ours)
    assert [row.case.variant for row in rows_from_records(records)] == ["eager", "compile"]
    assert "compile/fp32 is fastest" in answer(records)
    why = "By the turns of both, compile/fp32 has 1.05±0.0% times the images/s of eager/fp32, whose median is higher."
    assert why in answer(records)
    eight = cases(record, eager_int8=rates(40))
    against = contests_of(rows_from_records([*records, *eight]))[1].wider
    assert against
    assert against.baseline.variant == "compile"  # the fastest in more bits is the one that leads there


def test_ties_are_ties(record: Make) -> None:
    wobble = (1.01, 0.99, 1.02, 0.98, 1.0, 1.01, 0.99, 1.0)
    records = cases(record, eager_fp32=rates(10), compile_fp32=rates(20), onnxruntime_fp32=rates(20.1, *wobble))
    assert "onnxruntime/fp32 and compile/fp32 are equally fast within ±2.6 %, 20.10±2% images/s, 20.00±0" in answer(
        records
    )
    assert "times the best eager (eager/fp32)" in answer(records)
    assert contest(records).winner is None
    assert settling(records) == ""


def test_a_lead_of_a_percent_is_none_of_one_process_each(record: Make) -> None:
    records = cases(record, eager_fp32=rates(10), compile_fp32=rates(10.1))
    assert contest(records).verdict == "tie"
    assert "times the best eager" not in answer(records)  # which is one of them
    in_rounds = [
        record(f"resnet50/{variant}/fp32/b1/i224/stream", ms=ms * (1 + number / 5), round=number)
        for variant, ms in (("eager", 10.1), ("compile", 10.0))
        for number in range(5)
    ]
    assert contest(in_rounds).verdict == "winner"
    assert "1.0 % (1.0 to 1.0) faster than the next, eager/fp32" in answer(in_rounds)


def test_a_winner_is_ahead_of_every_rival_not_of_the_next_alone(record: Make) -> None:
    """Clear of the second; the noisy third may be the fastest."""
    shares = {"compile": [1.2, 1.21] * 4, "eager": [1.0] * 8, "library-fused": [0.6, 1.5] * 4}
    rounds = [
        record(f"resnet50/{variant}/fp32/b1/i224/stream", round=number, ms=10 / share)
        for variant, of_variant in shares.items()
        for number, share in enumerate(of_variant)
    ]
    assert contest([one for one in rounds if one.case.variant != "library-fused"]).verdict == "winner"
    assert contest(rounds).verdict == "unknown"


@pytest.mark.parametrize("noisy", [(1, 2, 0.5, 1.5, 0.7, 1.2, 0.6, 1.1)])
def test_intervals_that_overlap_name_no_winner_and_what_would_settle_it(record: Make, noisy: tuple[float, ...]) -> None:
    """Six windows or more of processes that ran one after the other."""
    fields = {
        f"{variant}_fp32": rates(speed, *noisy, apart=True)
        for variant, speed in (("eager", 10), ("compile", 12), ("onnxruntime", 11))
    }
    records = cases(record, **fields, **{"compile-max_fp32": rates(0.1, apart=True)})
    assert "which is fastest cannot be told; ahead in this run was compile/fp32, 12" in answer(records)
    assert "within the noise of it onnxruntime/fp32 (11.00) and eager/fp32 (10.00)." in answer(records)
    assert settling(records) == (
        "To settle it: `bench run PLAN -f resnet50/compile/fp32/b1/i224/stream "
        "-f resnet50/onnxruntime/fp32/b1/i224/stream "
        "-f resnet50/eager/fp32/b1/i224/stream --rounds 8`"
    )


def test_two_rounds_that_differ_have_no_width_of_ten_digits(record: Make) -> None:
    records = [
        record(f"resnet50/{variant}/fp32/b1/i224/stream", ms=ms, round=number)
        for variant, times in (("eager", (10, 20)), ("compile", (9, 4)))
        for number, ms in enumerate(times)
    ]
    assert "which is fastest cannot be told" in answer(records)
    assert "±>100% times the best eager" in answer(records)
    assert "--rounds 8" in settling(records)


def test_old_records_have_a_fastest_of_the_run_and_no_winner(record: Make) -> None:
    records = [
        record(f"resnet50/{variant}/fp32/b1/i224/stream", ms=ms, plan={"name": "quick", "digest": "0"})
        for variant, ms in (("eager", 20), ("compile", 10), ("compile-max", 5))
    ]
    assert answer(records) == (
        "resnet50, batch 1: fastest in this run was compile-max/fp32, 200.0 images/s, 4.00 times the best eager "
        "(eager/fp32), then compile/fp32 (100.0) and eager/fp32 (50.00); 1 window of each gives no interval, so "
        "another run may order them otherwise."
    )
    assert settling(records) == "To settle it: `bench run quick`"


DISTURBED = {
    "other work": ({"watch": {"others": 0.81}}, {}, "as other work took up to 81% of the machine"),
    "throttled": (
        {"throttled": {"throughput_s": 4000.0}, "watch": {"spoilt_s": {"steal": 9.0}}},
        {},
        "as the machine throttled (steal)",
    ),
    "throttled, no reason": ({"throttled": {"latency": [[0, 9]]}}, {}, "as the machine throttled;"),
    "turns": ({}, {"disturbed": (0, 1, 2, 3, 4)}, "as 5 of 8 turns were disturbed"),
    "windows": (
        {},
        {"disturbed": (0, 1, 2, 3, 4), "apart": True},
        "as 5 of 8 windows of eager/fp32 were disturbed",
    ),
}


@pytest.mark.parametrize("kind", DISTURBED)
def test_a_disturbed_machine_has_no_winner(record: Make, kind: str) -> None:
    fields, how, reason = DISTURBED[kind]
    records = cases(record, compile_fp32=rates(140), eager_fp32=rates(10, **how) | fields)
    assert "which is fastest is not known" in answer(records)
    assert reason in answer(records)
    assert "ahead in this run was compile/fp32, 140.0±0.3% images/s, 14.00" in answer(records)
    assert "when the machine is quiet: `bench run PLAN`" in settling(records)
    assert contest(records).winner is None


def test_a_case_without_an_undisturbed_window_is_in_no_ratio_and_is_marked(record: Make) -> None:
    busy = rates(10, disturbed=tuple(range(8)), apart=True)
    records = cases(record, compile_fp32=rates(240, apart=True), eager_fp32=busy)
    assert "times the best eager" not in answer(records)
    first, eager = rows_from_records(records)
    shown = dict(zip(VIEWS["speed"].titles, VIEWS["speed"].cells(eager), strict=True))
    assert (shown["images/s"], shown["vs eager"]) == ("10.02!", "-")
    assert VIEWS["speed"].cells(first)[5:7] == ("240.0", "-")
    assert ["! (images/s)" in notes(VIEWS["speed"], [row]) for row in (first, eager)] == [False, True]
    row = report_as_rows(records)[1]
    assert (row["vs_eager"], row["windows_disturbed"], row["other_work"]) == (None, 8, None)


@pytest.mark.parametrize("apart", [False, True])
def test_disturbed_windows_alone_name_no_order(record: Make, apart: bool) -> None:
    busy = {"apart": apart, "disturbed": tuple(range(8))}
    records = cases(record, compile_fp32=rates(14, **busy), eager_fp32=rates(10, **busy))
    assert answer(records) == (
        "resnet50, batch 1: which is fastest cannot be told, as every window was disturbed; run again when the machine "
        "is quiet."
    )
    assert headline(contests_of(rows_from_records(records))).endswith("cannot be told (batch 1).")
    assert "when the machine is quiet: `bench run PLAN`" in settling(records)


def test_the_machine_is_judged_in_the_singular_too(record: Make) -> None:
    one = rates(10, 1.0, disturbed=(0,), apart=True)
    records = cases(record, compile_fp32=rates(140), eager_fp32=one)
    assert "as 1 of 1 window of eager/fp32 was disturbed" in answer(records)


def test_other_work_that_went_with_the_turns_it_disturbed_leaves_the_winner(record: Make) -> None:
    def of(others: float) -> str:
        crowded = rates(14, *QUIET, *QUIET, disturbed=(0, 1, 2, 3)) | {"watch": {"others": others}}
        return answer(cases(record, compile_fp32=crowded, eager_fp32=rates(10, *QUIET, *QUIET)))

    assert "compile/fp32 is fastest" not in of(0.9)
    assert "compile/fp32 is fastest" in of(0.25)


def test_graphs_compete_with_graphs(record: Make) -> None:
    cuda = {"device": "cuda"}
    fields = {
        "eager_fp16_graph": rates(40),
        "compile_fp16_graph": rates(80),
        "eager_fp16": rates(10),
        "compile_fp16": rates(15),
    }
    records = cases(record, **{name: content | cuda for name, content in fields.items()})
    first, second = answer(records).splitlines()
    assert first.startswith("resnet50, batch 1, as a graph: compile/fp16/graph is fastest")
    assert (
        "2.00±0.0% times the best eager (eager/fp16/graph); 100 % (100 to 100) faster than the next, eager/fp16/graph"
        in first
    )
    assert second.startswith("resnet50, batch 1, on a stream: compile/fp16 is fastest")
    assert "1.50±0.0% times the best eager (eager/fp16)" in second
    only_stream = [
        r for r in records if r.case.name != "resnet50/eager/fp16/b1/i224/graph" and r.case.launch != "stream"
    ]
    only_stream += [r for r in records if r.case.variant == "eager" and r.case.launch == "stream"]
    assert answer(only_stream) == (
        "resnet50, batch 1, as a graph: only compile/fp16/graph was measured, 80.00±0.3% images/s, 8.00±0.0% times the "
        "best eager (eager/fp16, on a stream)."
    )


def test_json_has_the_verdict_and_the_command(record: Make) -> None:
    told = report_as_json(cases(record, eager_fp32=rates(10), compile_fp32=rates(10.1)))
    assert told["contests"][0]["verdict"] == "tie"
    assert len(told["contests"][0]["candidates"]) == 2
    assert told["settling"] is None
    assert told["rows"][0]["vs_eager_basis"] == "turns"
    assert told["rows"][0]["images_per_s_interval"] == pytest.approx((10.07, 10.13))


def test_two_rounds_that_agree_name_no_winner(record: Make) -> None:
    """Where processes are fast or slow by chance, two rounds of equal cases agree in one of eight."""
    for rounds, verdict in ((2, "unknown"), (3, "winner")):
        records = [
            record(f"resnet50/{variant}/fp32/b1/i224/stream", ms=ms * (1 + number / 1000), round=number)
            for variant, ms in (("eager", 11.0), ("compile", 10.0))
            for number in range(rounds)
        ]
        assert contest(records).verdict == verdict


def test_rounds_that_were_disturbed_throughout_are_in_no_number(record: Make) -> None:
    case = "resnet50/eager/fp32/b1/i224/stream"
    records = [record(case, round=number, **rates(20)) for number in range(2)]
    records += [record(case, round=number, **rates(1, disturbed=tuple(range(8)))) for number in range(2, 5)]
    (row,) = rows_from_records(records)
    assert row.images_per_s == pytest.approx(20, rel=0.01)
    (row,) = rows_from_records(records[2:])
    assert row.images_per_s == pytest.approx(1, rel=0.01)


def test_eight_bits_compete_with_each_other_alone_and_say_what_they_cost(record: Make) -> None:
    records = [one for one in sweep(record, {"resnet50": 1.0}) if one.case.batch == 1]
    full, eight = answer(records).splitlines()
    assert full.startswith("resnet50, batch 1: library-fused/bf16 is fastest, 100.0±2% images/s, 1.32±0.0% times")
    assert "int8" not in full
    assert eight == (
        "resnet50, batch 1, in int8: library-fused/int8 is fastest, 144.0±2% images/s, 3.00±0.0% times "
        "library-fused/fp32 and 1.44±0.0% times library-fused/bf16, the fastest in more bits; 24 % (24 to 24) faster "
        "than the next, onnxruntime/int8. It agrees with float32 on 86 % (83 to 89) of 500 pictures and has 76 % "
        "(72 to 80) right, 1.6 percentage points (-0.4 to 3.8) less than float32."
    )
    told = report_as_json(records)["contests"]
    assert [contest["eight_bits"] for contest in told] == [None, "int8"]
    assert told[1]["best_in_more_bits"] == "resnet50/library-fused/bf16/b1/i224/stream"


def test_eight_bits_without_a_score_say_that_their_price_is_not_known(record: Make) -> None:
    records = [
        one for one in sweep(record, {"resnet50": 1.0}, scored=False)
        if one.case.batch == 1 and one.case.variant == "onnxruntime"
    ]  # fmt: skip
    full, eight = answer(records).splitlines()
    assert "only onnxruntime/fp32 was measured" in full
    assert "2.23±0.0% times onnxruntime/fp32, the fastest in more bits. It has no score on record" in eight


def test_a_tie_in_eight_bits_has_the_price_of_each(record: Make) -> None:
    def of(variant: str, agree: int) -> Record:
        name = f"resnet50/{variant}/int8/b1/i224/stream"
        return record(name, **rates(20), score=score(agree, labelled=False), quantized=quantized(variant))

    told = answer([of("onnxruntime", 400), of("library-fused", 450)])
    assert "in int8: onnxruntime/int8 and library-fused/int8 are equally fast" in told
    assert "onnxruntime/int8 agrees with float32 on 80 % (76 to 83) of 500 pictures." in told
    assert "library-fused/int8 agrees with float32 on 90 % (87 to 92) of 500 pictures." in told


def test_each_way_that_is_named_behind_in_eight_bits_has_its_price(record: Make) -> None:
    records = [
        record(f"resnet50/{variant}/int8/b1/i224/stream", **rates(speed), score=score(agree, labelled=False))
        for variant, speed, agree in (("openvino", 20, 400), ("onnxruntime", 10, 450), ("compile-max", 5, 420))
    ]
    records[1].watch["others"] = 0.81
    told = answer(records)
    assert "not known" in told
    assert told.count("agrees with float32 on") == 3
