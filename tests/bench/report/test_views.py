"""Columns and views: digits, what is told only where it is known, and room."""

import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.plans.case import Case
from bench.plans.words import label
from bench.records.record import Record
from bench.report.exported import report_as_json
from bench.report.rows import rows_from_records
from bench.report.terminal import gate_rows, print_gate
from bench.report.views import VIEWS, notes, usual_view
from bench.roofline.ceilings import path_of, save_ceilings
from tests.bench.report.precisions import CHECK, quantized, score, sweep
from tests.bench.report.shown import CARD, CEILINGS, Make, cells


def test_digits_are_four_and_never_an_exponent(record: Make) -> None:
    for ms, shown in (
        (0.01234, "0.0123"),
        (1.2345, "1.234"),
        (12.345, "12.35"),
        (123.45, "123.5"),
        (12345.6, "12,346"),
    ):
        row = rows_from_records([record("resnet50/eager/fp32/b1/i224/stream", ms=ms)])[0]
        assert cells(row)[3] == shown


def test_json_holds_the_same(records: list[Record]) -> None:
    told = report_as_json(records)
    assert [row["case"] for row in told["rows"]] == [row.case.name for row in rows_from_records(records)]
    assert Case.parse(told["rows"][0]["case"])
    assert {entry["status"] for entry in told["left_out"]} == {"wrong", "skipped"}


def test_the_target_stands_behind_an_interval_that_is_wider(record: Make) -> None:
    name = "resnet50/eager/fp32/b1/i224/stream"
    assert cells(rows_from_records([record(name)])[0])[4] == "0.0"
    noisy = {"latency_ns": [9_000_000, 10_000_000, 11_000_000] * 5}
    row = rows_from_records([record(name, latency_stop={"rule": "time", "asked": 0.02}, **noisy)])[0]
    assert cells(row)[4] == "10.0>2"
    assert cells(rows_from_records([record(name, latency_stop={}, **noisy)])[0])[4] == "10.0"
    told = report_as_json(list(row.records))["rows"][0]
    assert (told["p50_half_width"], told["p50_half_width_target"]) == (pytest.approx(0.1), 0.02)


def test_a_tail_is_told_only_where_the_samples_support_it(record: Make) -> None:
    shown = VIEWS["tail"]

    def told(count: int, rounds: int = 1) -> dict[str, str]:
        samples = random.Random(count).sample(range(1_000_000, 1_000_000 + count), count)
        row = rows_from_records(
            [record("resnet50/eager/fp32/b1/i224/stream", latency_ns=samples, round=k) for k in range(rounds)]
        )[0]
        return dict(zip(shown.titles, shown.cells(row), strict=True))

    assert told(661)["p99"] == told(661)["p99 ≤"] == "-"
    assert told(662)["p99"] != "-"
    assert told(331, rounds=2)["p99"] != "-"
    assert told(662)["p99.9"] == "-"
    assert told(6636)["p99.9"] != "-"


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_fits_a_terminal_and_says_what_its_columns_mean(
    record: Make, here: dict[str, Any], measured: Path, name: str
) -> None:
    card = here | {"gpu": CARD, "torch_cuda": "12.8"}
    save_ceilings(CEILINGS, path_of(card, measured))
    full = {
        "environment": card,
        "device": "cuda",
        "gpu_ns": [234_567] * 15,
        "gpu_how": "held",
        "flushed_ns": [345_678] * 15,
        "flushed_gpu_ns": [234_567] * 15,
        "latency_ns": random.Random(0).sample(range(345_678, 352_378), 6700),
        "cold": {"import_s": 12.3, "build_s": 1.5, "prepare_s": 123.4, "place_s": 0.1, "first_call_s": 12.3}
        | {"caches": "partly", "artefact": {"kind": "state dict", "bytes": 123_456_789, "load_s": 123.4}},
        "memory": dict.fromkeys(
            ("weights", "allocator_allocated_peak", "allocator_reserved_peak", "device_process", "host_resident_peak"),
            123_456 << 20,
        ),
        "energy": {"joules": 1000.0, "images": 3000, "s": 5.0, "temperature_c": [40, 62]},
        "watch": {"sm_mhz": [1200, 1980, 1980]},
        "warmup": {"s": 12.3},
        "gate": {"before": CHECK | {"code_distance": 0.500003, "rms_relative": 0.123}},
        "score": score(431, 17, 9),
    }
    precision = "int8" if name == "precisions" else "bf16"
    full["quantized"] = quantized("library-fused") if precision == "int8" else {}
    records = [
        record(f"resnet50/{variant}/{precision}/b256/i224/{launch}", round=k, ms=1000 + 100 * k, **full)
        for variant, launch in (("channels-last-amp", "graph"), ("eager", "stream"))
        for k in range(3)
    ]
    records += [record("resnet50/eager/fp32/b256/i224/graph", round=k, ms=3000, **full) for k in range(3)]
    found = rows_from_records(records)
    view = VIEWS[name]
    lines = [view.titles, *(view.cells(row) for row in found)]
    assert not any(cell == "-" for line in lines for cell in line)
    widths = [max(len(line[k]) for line in lines) for k in range(len(view.titles))]
    widths = [len(title) if title in view.wrapped else w for title, w in zip(view.titles, widths, strict=True)]
    assert sum(widths) + len(widths) - 1 <= 80
    for title in view.titles[3:]:
        meaning = title.removesuffix(" ms").removesuffix(" s")
        assert meaning.removesuffix(" ≤") in notes(view, found)


def test_a_first_answer_is_told_only_where_all_of_it_is_known(record: Make) -> None:
    """A process that was forked has no time of imports, and one that made the file none of loading it as a server."""
    artefact = {"kind": "package", "bytes": 48_500_000, "load_s": 0.05}
    whole = {"import_s": 1.0, "prepare_s": 7.0, "place_s": 0.25, "first_call_s": 0.5, "artefact": artefact}
    less = [whole | {"import_s": None}, whole | {"artefact": {"kind": "package", "bytes": 48_500_000}}, {}]
    rows = [rows_from_records([record("resnet50/eager/fp32/b1/i224/stream", cold=cold)])[0] for cold in (whole, *less)]
    told = [dict(zip(VIEWS["deploy"].titles, VIEWS["deploy"].cells(row), strict=True)) for row in rows]
    assert (told[0]["artefact"], told[0]["MB"], told[0]["load"], told[0]["answer s"]) == (
        *("package", "48.5", "0.0500"),
        "1.800",
    )
    assert [row["answer s"] for row in told[1:]] == ["-"] * 3
    assert (told[1]["load"], told[2]["load"]) == ("0.0500", "-")
    totals = [VIEWS["cold"].cells(row)[VIEWS["cold"].titles.index("total s")] for row in rows]
    assert totals == ["8.750", "-", "8.750", "-"]
    assert "without --cold" in notes(VIEWS["deploy"], rows)
    assert "without --cold" not in notes(VIEWS["deploy"], rows[:1])
    for mark in ("- (artefact): the record has none", "- (answer s): no artefact, or "):
        assert mark in notes(VIEWS["deploy"], rows[3:])
    assert "- (artefact)" not in notes(VIEWS["deploy"], rows[:3])


def test_an_energy_may_lack_its_temperatures(record: Make) -> None:
    (row,) = rows_from_records(
        [record("resnet50/eager/fp32/b1/i224/stream", energy={"joules": 9.0, "images": 3, "s": 1.0})]
    )
    assert VIEWS["energy"].cells(row)[3:7] == ("3.0000", "9", "-", "-")


def test_eight_bits_never_stand_without_what_they_cost(record: Make) -> None:
    made = sweep(record, {"resnet50": 1.0})
    rows = rows_from_records(made)
    assert usual_view(rows) == "precisions"
    assert usual_view(row for row in rows if not row.is_eight_bits) == "speed"
    shown = {label(row.case): row for row in rows if row.case.batch == 1}
    view = VIEWS["precisions"].of(rows)
    told = {name: dict(zip(view.titles, view.cells(row), strict=True)) for name, row in shown.items()}
    fused, plain = told["library-fused/int8"], told["channels-last-amp/bf16"]
    assert (fused["prec"], fused["vs fp32"], fused["disk"]) == ("int8-1u", "3.00±0%", "26.2")
    assert (fused["agree"], fused["loss"]) == ("86±3", "1.6±2.2")
    assert (plain["prec"], plain["vs fp32"], plain["disk"]) == ("bf16", "1.70±0%*", "102")


def test_columns_of_a_precision_s_price_are_there_where_a_row_has_one(record: Make) -> None:
    for labelled, scored, gone in ((False, True, {"right", "loss"}), (True, False, {"rms", "agree", "right", "loss"})):
        rows = rows_from_records(sweep(record, {"resnet50": 1.0}, labelled, scored))
        view = VIEWS["precisions"].of(rows)
        assert set(VIEWS["precisions"].titles) - set(view.titles) == gone
        assert ("agree: " in notes(view, rows), "loss: " in notes(view, rows)) == (scored, labelled and scored)


def test_a_score_of_another_folder_s_record_is_joined_to_its_rows(record: Make) -> None:
    timed = sweep(record, {"resnet50": 1.0}, scored=False)
    scored = [
        record(one.case.name.replace("b1", "b50"), latency_ns=[], throughput={}, score=score(418, 24, 6))
        for one in timed
        if (one.case.precision, one.case.batch) == ("int8", 1)
    ]
    rows = rows_from_records([*timed, *scored])
    assert len(rows) == len(timed)
    assert {row.case.precision for row in rows if row.score} == {"int8"}
    assert sum(bool(row.score) for row in rows) == 4
    told = [row for row in report_as_json([*timed, *scored])["rows"] if row["agreement"]]
    assert (told[0]["agreement"], told[0]["accuracy_loss"]) == (418 / 500, 18 / 500)
    assert told[0]["layers_wide"] == "fc"


def test_the_gate_s_table_has_how_far_8_bits_are_where_there_are_any(
    record: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    eight = {"code_distance": 0.5003, "rms_relative": 0.0421, "top1": 1.0}
    records = [
        record("resnet18/eager/fp32/b1/i32/stream", gate={"before": CHECK}),
        record("resnet18/library-fused/int8/b1/i32/stream", gate={"before": eight}),
        record("resnet18/compile/fp32/b1/i32/stream", status="wrong", reason="not a number"),
        record("resnet18/compile/int8/b1/i32/stream", status="wrong", reason="too few", score=score(60)),
    ]

    def lines(some: list[Record]) -> list[str]:
        print_gate(Console(width=80), some)
        printed = capsys.readouterr().out
        assert all(len(line) <= 80 for line in printed.splitlines())
        return printed.splitlines()

    title, wrong, plain, integers = lines(records[:3])[:4]
    assert title.split() == ["case", "status", "rms", "error", "max", "error", "top-1", "codes", "rms", "%"]
    assert wrong.split()[1:] == ["wrong", *"-----"]
    title, of_few, legend, *_ = lines(records[3:])  # what a limit judged is shown, and nothing empty
    assert [*title.split(), *of_few.split()[1:]] == ["case", "status", "agree", "wrong", "12±3"]
    assert legend.startswith("agree: percent of")
    assert plain.split()[1:] == ["ok", "1.10", "1.20", "1.00", "-", "-"]
    assert integers.split()[1:] == ["ok", "-", "-", "1.00", "0.500", "4.2"]
    assert "codes" not in lines(records[:1])[0]
    assert (
        gate_rows(records[:3])[2] | {"rms_multiple": None, "code_distance": 0.5003, "rms_relative": 0.0421}
        == gate_rows(records[:3])[2]
    )
