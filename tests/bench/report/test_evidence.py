"""Sentences below the table: what was refused, how noisy, what disturbed, what happened where nothing was measured."""

from __future__ import annotations

from bench.records.record import Record
from bench.report.answer import contests_of, describe_fastest
from bench.report.evidence import describe_reliability, describe_unseen
from bench.report.exported import report_as_json
from bench.report.markdown import render_markdown
from bench.report.rows import rows_from_records
from tests.bench.report.shown import Make, windows


def told(records: list[Record]) -> str:
    return describe_reliability(records, rows_from_records(records))


def test_choices_that_are_not_usual_are_named_once_each(record: Make) -> None:
    names = ("onnxruntime/int8", "openvino/int8", "openvino/fp32")
    settings = {"threads": 2, "calibrate": "minmax", "calibration_pictures": 1, "keep_wide": "1"}
    records = [
        record(
            f"resnet18/{name}/b1/i32/stream", settings=settings, quantized={"wide": ["fc"]} if "int8" in name else {}
        )
        for name in names
    ]
    whose = "onnxruntime/int8, openvino/int8"
    text = f"With threads 2: all. With calibrate minmax, calibration-pictures 1, keep-wide 1 (fc): {whose}."
    assert told(records).endswith(text)
    assert render_markdown(records).count(text) == 1
    assert {row["choices"] for row in report_as_json(records)["rows"]} == {
        "threads 2, calibrate minmax, calibration-pictures 1, keep-wide 1", "threads 2",
    }  # fmt: skip


def test_a_refused_answer_is_counted(records: list[Record]) -> None:
    assert "1 run failed the accuracy gate" in told(records)


def test_nothing_measured_is_told_as_it_went_and_passes_no_gate(record: Make) -> None:
    def both(*statuses: str) -> str:
        records = [record(f"resnet50/eager/fp32/b{n}/i224/stream", status=s) for n, s in enumerate(statuses, 1)]
        return f"{describe_fastest(records, contests_of(rows_from_records(records)))} {told(records)}"

    assert both() == "No case was measured. "
    assert both("skipped", "skipped") == "No case was measured: 2 skipped. "
    assert both("error", "crash", "error").startswith(
        "No case was measured: 2 error, 1 crash. 3 runs got no speed (2 e"
    )
    assert "No case was measured: 1 wrong, 1 skipped. 1 run failed the accuracy gate" in both("wrong", "skipped")
    for statuses in ((), ("skipped",), ("error",), ("wrong",)):
        assert "passed" not in both(*statuses)


def test_a_failed_and_a_throttled_case_among_many_are_told(record: Make) -> None:
    names = [f"resnet50/eager/fp32/b{n}/i224/stream" for n in (1, 2, 3)]
    records = [record(name, status=status) for name, status in zip(names, ("ok", "crash", "throttled"), strict=True)]
    assert "All answers that were given passed the accuracy gate; 2 runs got no speed (1 crash, 1 throttled)" in told(
        records
    )
    assert told(records[:1]).startswith("All answers passed the accuracy gate; one process per case")


def test_each_noise_that_was_asked_for_is_told(record: Make) -> None:
    noisy = [
        record(f"resnet50/eager/fp32/b{n}/i224/stream", latency_stop={"rule": "time", "asked": asked})
        for n, asked in enumerate((0.05, 0.02, 0.05), 1)
    ]
    assert "3 of 3 runs ended at their time limit, noisier than their ±5 % (2) and ±2 % (1) (" in told(noisy)
    assert "1 of 1 run ended at its time limit, noisier than its ±2 % (bench" in told(noisy[1:2])


def test_nothing_is_claimed_of_one_case_alone_or_of_rounds_that_tell_nothing(record: Make) -> None:
    names = ("resnet50/eager/fp32/b1/i224/stream", "resnet50/compile/fp32/b1/i224/stream")
    pair = [record(name) for name in names]
    assert "differences of a few percent" in told(pair)
    assert "differences" not in told(pair[:1])

    def rounds(*ms: float) -> str:
        return told([record(names[0], ms=one, round=k) for k, one in enumerate(ms)])

    assert "at least 2 processes stand behind each number" in rounds(10, 10.1)
    assert "processes" not in rounds(10, 20)


def test_turns_that_were_disturbed_are_counted(record: Make) -> None:
    names = ("resnet50/eager/fp32/b1/i224/stream", "resnet50/compile/fp32/b1/i224/stream")
    pair = [record(names[0], **windows([10] * 8, disturbed=(2,))), record(names[1], **windows([20] * 8))]
    assert "1 of 8 turns was disturbed and counts for no case" in told(pair)
    assert "turns" not in told(pair[1:])


def test_processes_that_were_started_in_two_ways_are_told(record: Make) -> None:
    ways = {"eager": "forked", "compile": "fresh"}
    mixed = [record(f"resnet50/{name}/fp32/b1/i224/stream", runtime={"process": way}) for name, way in ways.items()]
    assert "1 of 2 processes was forked, which is not shown to leave speeds as they are" in told(mixed)
    assert all("forked" not in told([one]) for one in mixed)


def test_other_work_beside_the_timing_is_told_loudly(record: Make) -> None:
    quiet = record("resnet50/eager/fp32/b1/i224/stream", watch={"others": 0.02})
    crowded = record("resnet50/compile/fp32/b1/i224/stream", watch={"others": 0.45})
    assert "OTHER WORK" not in describe_reliability([quiet], rows_from_records([quiet]))
    assert "OTHER WORK took up to 45% of this machine's time during 1 run" in describe_reliability(
        [quiet, crowded], rows_from_records([quiet, crowded])
    )


def test_layers_that_the_gate_would_not_see_are_told(record: Make) -> None:
    seeing = record("resnet50/eager/fp32/b1/i224/stream", gate={"before": {"blind": []}})
    blind = record("resnet50/eager/bf16/b1/i224/stream", gate={"before": {"blind": ["layer1.0.conv1", "fc", "conv1"]}})
    assert describe_unseen([seeing]) == ""
    told = "would not see errors of 3 layers of resnet50 in bf16 (layer1.0.conv1, fc, ...)"
    assert told in describe_reliability([seeing, blind], rows_from_records([seeing, blind]))
    less = record("resnet18/eager/bf16/b1/i224/stream", gate={"before": {"blind": ["fc"]}})
    assert f"{told}, which add next to nothing to the answers; so of 1 more" in describe_unseen([less, blind])


def test_a_run_without_an_undisturbed_window_is_told_with_the_reasons(record: Make) -> None:
    def windows(*reasons: str) -> list[dict[str, object]]:
        return [{"turn": k, "start_ns": k, "images": 1, "ns": 9, "disturbed": why} for k, why in enumerate(reasons)]

    whole = record("resnet50/eager/fp16/b1/i224/stream", windows=windows("other work", "steal, other work"))
    partly = record("resnet50/compile/fp16/b1/i224/stream", windows=[*windows("stopped"), {"images": 1, "ns": 9}])
    told = describe_reliability([whole, partly], rows_from_records([whole, partly]))
    assert "every window of 1 of 2 runs was disturbed (other work, steal)" in " ".join(told.split())


def test_cold_samples_that_were_spoilt_have_the_reason_of_their_own_time(record: Make) -> None:
    cold = record("resnet50/eager/fp16/b1/i224/stream", flushed_ns=[5], flushed_watch={"spoilt_s": {"steal": 1.0}})
    cold.throttled = {"flushed": [[0, 0]]}
    assert "the machine throttled (steal)" in describe_reliability([cold], rows_from_records([cold]))
