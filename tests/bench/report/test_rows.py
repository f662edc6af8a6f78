from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import bench.report.rows
from bench.plans.case import Case
from bench.plans.words import summary
from bench.records.record import Record
from bench.report.rows import Row, answer, largest, left_out, rows, trust
from bench.report.views import VIEWS, as_json, notes
from bench.roofline.ceilings import path_of, save
from bench.roofline.floors import Measured
from resnet.floors import Ceilings, network_floors

Make = Callable[..., Record]
CEILINGS = Ceilings("this machine", {"fp32": 2e11, "bf16": 4e11}, 2e10, None, 0.0, "measured")
CARD = {"name": "NVIDIA H200", "memory_bytes": 1 << 37, "power_limit_w": 700.0, "mig": False}
SPEED = VIEWS["speed"]


def floor_s(*network: Any) -> float:
    """The floor of a network in seconds."""
    return sum(floor.seconds for floor in network_floors(*network))


def cells(row: Row) -> tuple[str, ...]:
    return SPEED.cells(row)


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
    # Student's interval of three medians, 80, 90 and 100 ms: wide, and their pooled samples would pretend otherwise
    assert row.noise == pytest.approx(0.28, abs=0.01)
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
    assert "on the device" in notes(SPEED, found)


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


def test_noise_reached_stands_beside_noise_asked(record: Make) -> None:
    row = rows([record("resnet50/eager/fp32/b1/i224/stream")])[0]
    assert cells(row)[4] == "0.0/2"
    unknown = rows([record("resnet50/eager/fp32/b1/i224/stream", latency_stop={})])[0]
    assert cells(unknown)[4] == "-"


def test_a_ratio_over_rounds_has_its_interval(record: Make) -> None:
    names = ("resnet50/eager/fp32/b1/i224/stream", "resnet50/compile/fp32/b1/i224/stream")
    # the machine slows down round by round, and both with it: the ratio is 2 in each
    found = rows(
        [record(name, ms=ms * (1 + k), round=k) for name, ms in zip(names, (20, 10), strict=True) for k in range(3)]
    )
    assert found[0].case.variant == "compile"
    assert cells(found[0])[6] == "2.00±0%"
    assert found[0].noise is not None
    assert found[0].noise > 0.5


def test_rounds_that_one_of_the_two_lacks_do_not_count(record: Make) -> None:
    found = rows(
        [
            record("resnet50/eager/fp32/b1/i224/stream", ms=20, round=0),
            record("resnet50/eager/fp32/b1/i224/stream", ms=80, round=1),
            record("resnet50/compile/fp32/b1/i224/stream", ms=10, round=0),
        ]
    )
    row = next(row for row in found if row.case.variant == "compile")
    assert row.against is not None
    assert row.against.ratio.value == pytest.approx(2)
    assert row.against.ratio.rounds == 1


def test_samples_that_fell_are_not_counted(record: Make) -> None:
    samples = [10_000_000] * 10 + [90_000_000] * 20
    fallen = {"latency_ns": samples, "throttled": {"latency": [[10, 29]]}, "watch": {"spoilt_s": {"steal": 1.8}}}
    records = [record("resnet50/eager/fp32/b1/i224/stream", **fallen)]
    row = rows(records)[0]
    assert row.p50_ns == 10e6
    assert dict(zip(VIEWS["latency"].titles, VIEWS["latency"].cells(row), strict=True))["fell %"] == "66.7"
    assert "samples fell while the machine throttled (steal)" in trust(records, [row])


def test_other_work_beside_the_timing_is_told_loudly(record: Make) -> None:
    quiet = record("resnet50/eager/fp32/b1/i224/stream", watch={"others": 0.02})
    crowded = record("resnet50/compile/fp32/b1/i224/stream", watch={"others": 0.45})
    assert "OTHER WORK" not in trust([quiet], rows([quiet]))
    assert "OTHER WORK took up to 45% of this machine's time during 1 runs" in trust(
        [quiet, crowded], rows([quiet, crowded])
    )


def test_a_tail_is_told_only_where_the_samples_support_it(record: Make) -> None:
    shown = VIEWS["tail"]

    def told(count: int, rounds: int = 1) -> dict[str, str]:
        samples = list(range(1_000_000, 1_000_000 + count))
        row = rows([record("resnet50/eager/fp32/b1/i224/stream", latency_ns=samples, round=k) for k in range(rounds)])[
            0
        ]
        return dict(zip(shown.titles, shown.cells(row), strict=True))

    assert told(661)["p99"] == told(661)["p99 ≤"] == "-"
    assert told(662)["p99"] != "-"
    assert told(331, rounds=2)["p99"] != "-"
    assert told(662)["p99.9"] == "-"
    assert told(6636)["p99.9"] != "-"


def test_the_largest_batch_is_a_row_of_its_own(record: Make) -> None:
    told = {
        "fits": 96,
        "fails": 99,
        "reason": "out of memory",
        "tried": [[96, "ok", 5, 1.0], [99, "memory", None, 1.0]],
    }
    records = [record("resnet50/eager/fp32/bmax/i224/stream", latency_ns=[], throughput={}, largest=told)]
    assert rows(records) == []
    assert [(case.name, found["fits"]) for case, found in largest(records)] == [
        ("resnet50/eager/fp32/bmax/i224/stream", 96)
    ]
    assert as_json(records)["largest"][0]["fails"] == 99


@pytest.fixture
def measured(here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the ceilings of this machine's CPU, where tables look for them."""
    cpu = here | {"gpu": {"none": "a test"}}
    save(CEILINGS, path_of(cpu, tmp_path))
    monkeypatch.setattr(bench.report.rows, "Measured", partial(Measured, folder=tmp_path))
    return tmp_path


def floor_cells(row: Row) -> dict[str, str]:
    return dict(zip(VIEWS["floor"].titles, VIEWS["floor"].cells(row), strict=True))


def test_a_time_stands_beside_its_floor_on_its_own_machine(record: Make, here: dict[str, Any], measured: Path) -> None:
    cpu = {"environment": here | {"gpu": {"none": "a test"}}}
    row = rows([record("resnet50/eager/fp32/b8/i224/stream", ms=1000, **cpu)])[0]
    floor = floor_s("resnet50", 8, 224, "fp32", CEILINGS)
    assert floor == pytest.approx(8 * 8.18e9 / 2e11, rel=0.02)  # few of its layers are bound by bytes
    shown = floor_cells(row)
    assert (shown["floor"], shown["of floor"]) == (f"{1e3 * floor:.1f}", f"{100 * floor:.0f}%")
    assert row.floor_ns("block") == pytest.approx(1e9 * floor_s("resnet50", 8, 224, "fp32", CEILINGS, "block"))
    told = as_json(list(row.records))["rows"][0]
    assert told["of_floor"] == pytest.approx(floor)
    assert told["least_ns"] < told["floor_ns"]


def test_ceilings_of_another_machine_or_precision_are_never_used(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    name, facts = "resnet50/eager/fp32/b8/i224/stream", here | {"gpu": {"none": "a test"}}
    more_cores = facts | {"cpu": facts["cpu"] | {"cores": 999}}
    card = facts | {"gpu": CARD, "torch_cuda": "12.8"}
    others: list[dict[str, Any]] = [
        {"environment": more_cores},
        {"environment": card, "device": "cuda"},
        {"environment": facts, "device": "cuda"},
        {"environment": {}},
    ]
    for other in others:
        (row,) = rows([record(name, **other)])
        assert row.ceilings is None
        assert floor_cells(row)["of floor"] == "-"
        mixed = rows([record(name, round=0, environment=facts), record(name, round=1, **other)])[0]
        assert mixed.ceilings is None
    (row,) = rows([record("resnet50/onnxruntime/fp16/b8/i224/stream", environment=facts)])
    assert row.ceilings is not None
    assert floor_cells(row)["of floor"] == "-"


def test_a_damaged_file_of_ceilings_leaves_the_table_standing(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    (file,) = measured.iterdir()
    file.write_text("{")
    facts = {"environment": here | {"gpu": {"none": "a test"}}}
    assert floor_cells(rows([record("resnet50/eager/fp32/b8/i224/stream", **facts)])[0])["of floor"] == "-"


def test_the_first_view_has_the_floor_too_where_there_is_room_and_a_floor(
    record: Make, here: dict[str, Any], measured: Path
) -> None:
    names = ("resnet50/eager/fp32/b8/i224/stream", "resnet50/channels-last-amp/bf16/b8/i224/stream")
    found = rows([record(name, ms=500, environment=here | {"gpu": {"none": "a test"}}) for name in names])
    wide = SPEED.within(found, 80)
    assert wide.titles == (*SPEED.titles, "of floor")
    assert "of floor:" in notes(wide, found)
    assert "of floor:" not in notes(SPEED, found)
    lines = [" ".join(cells) for cells in (wide.titles, *map(wide.cells, found))]
    assert SPEED.within(found, 40) == SPEED
    assert max(map(len, lines)) <= 80
    unknown = [replace(row, ceilings=None) for row in found]
    assert SPEED.within(unknown, 200) == SPEED


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_fits_a_terminal_and_says_what_its_columns_mean(
    record: Make, here: dict[str, Any], measured: Path, name: str
) -> None:
    card = here | {"gpu": CARD, "torch_cuda": "12.8"}
    save(CEILINGS, path_of(card, measured))
    full = {
        "environment": card,
        "device": "cuda",
        "gpu_ns": [12_345_678] * 15,
        "gpu_how": "held",
        "flushed_ns": [12_345_678] * 15,
        "flushed_gpu_ns": [12_345_678] * 15,
        "latency_ns": [1_234_567_890 + k for k in range(6700)],
        "cold": {"import_s": 12.3, "build_s": 1.5, "prepare_s": 123.4, "first_call_s": 12.3, "caches": "partly"},
        "memory": dict.fromkeys(
            ("weights", "allocator_allocated_peak", "allocator_reserved_peak", "device_process", "host_resident_peak"),
            123_456 << 20,
        ),
        "energy": {"joules": 1000.0, "images": 3000, "s": 5.0, "temperature_c": [40, 62]},
        "watch": {"sm_mhz": [1200, 1980, 1980]},
        "warmup": {"s": 12.3},
        "gate": {"before": {"rms_multiple": 1.2, "max_multiple": 1.2, "top1": 1.0, "top1_plain": 1.0}},
    }
    records = [
        record(f"resnet50/{variant}/bf16/b256/i224/{launch}", round=k, ms=1000 + 100 * k, **full)
        for variant, launch in (("channels-last-amp", "graph"), ("eager", "stream"))
        for k in range(3)
    ]
    found = rows(records)
    view = VIEWS[name]
    lines = [view.titles, *(view.cells(row) for row in found)]
    assert not any(cell == "-" for line in lines for cell in line)
    widths = [max(len(line[k]) for line in lines) for k in range(len(view.titles))]
    assert sum(widths) + len(widths) - 1 <= 80
    for title in view.titles[3:]:
        assert title.split()[0].split("/")[0].rstrip(".") in notes(view, found)
