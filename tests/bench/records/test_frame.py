"""Records as rows and columns, and what is damaged, missing, or being written."""

import random
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import pytest

from bench.errors import StoreError
from bench.plans.case import Case
from bench.records.columns import COLUMNS, SAMPLES, Column, row_maker
from bench.records.frame import Damage, load
from bench.records.record import SCHEMA, Record
from bench.records.store import Store
from bench.stats import median_interval, quantile
from tests.bench.records.written import NAME, Make, quick, write

# ---- rows and columns


def test_a_row_per_case_and_round(tmp_path: Path, record: Make) -> None:
    other = "resnet50/compile/bf16/b8/i224/stream"
    found = load(write(tmp_path / "r", record(NAME), record(NAME, round=1), record(other, ms=20.0)))
    assert list(found["case"]) == [NAME, NAME, other]
    assert list(found["round"]) == [0, 1, 0]
    assert list(found.loc[2, ["model", "variant", "precision", "batch", "image", "launch"]]) == [
        *("resnet50", "compile", "bf16", 8, 224, "stream")
    ]
    assert list(found["p50_ns"]) == [10e6, 10e6, 20e6]
    assert found["images_per_s"].tolist() == pytest.approx([100, 100, 400])
    assert list(found["folder"].unique()) == [str(tmp_path / "r")]
    assert str(found["started"][0]) == "2026-01-31 12:00:00+00:00"


def test_records_from_before_a_variant_was_renamed_join_those_from_after(tmp_path: Path) -> None:
    new = quick("resnet50/per-layer/fp16/b1/i224/graph", 1)
    old = quick(new.case.name).line().replace("per-layer", "mixed")
    read = load(write(tmp_path / "r", old, new))
    assert list(read["case"]) == [new.case.name] * 2
    assert list(read["variant"]) == ["per-layer"] * 2
    assert {record.case for record in Store(tmp_path / "r").read()} == {new.case}


def test_the_columns_are_the_table_and_keep_their_types_when_empty(tmp_path: Path, record: Make) -> None:
    full, empty = load(write(tmp_path / "r", record(NAME))), load()
    assert list(full) == list(empty) == list(COLUMNS)
    assert list(load(tmp_path / "r", samples=True)) == [*COLUMNS, *SAMPLES]
    assert (len(full), len(empty)) == (1, 0)
    kinds = {"int": "Int64", "float": "float64", "bool": "boolean", "time": "datetime64[us, UTC]", "word": "category"}
    for found in (full, empty):
        assert {name: str(found[name].dtype) for name in COLUMNS} == {
            name: kinds.get(column.kind, str(pd.Series(["text"]).dtype)) for name, column in COLUMNS.items()
        }


def test_what_a_user_asks_next(tmp_path: Path, record: Make) -> None:
    for folder, ms in (("a", 10.0), ("b", 30.0)):
        write(tmp_path / folder, *(record(NAME, ms=ms + k, round=k) for k in range(3)))
        write(tmp_path / folder, record(NAME, round=3, status="crash"))
    found = load(tmp_path / "a", tmp_path / "b")
    keys = ["model", "variant", "precision", "batch"]
    assert found.groupby(keys)["p50_ns"].median().to_dict() == {("resnet18", "eager", "fp32", 1): 21e6}
    wide = found.groupby([*keys, "folder"])["p50_ns"].median().unstack()
    wide["ratio"] = wide[str(tmp_path / "b")] / wide[str(tmp_path / "a")]  # columns of categories would refuse
    assert wide["ratio"].tolist() == pytest.approx([31 / 11])
    found.loc[found.status == "ok", "wall_s"] = 1.0
    assert found["wall_s"].sum() == 6.0


def test_what_disturbed_a_case_stands_beside_its_speed(tmp_path: Path) -> None:
    windows = [{"start_ns": k, "images": 1, "ns": 9} | ({"disturbed": "steal"} if k else {}) for k in range(3)]
    busy = quick(device="cpu", windows=windows, watch={"others": 0.5}, throughput={"images": 1, "ns": 9})
    row = load(write(tmp_path / "r", busy)).iloc[0]
    assert (row["windows"], row["windows_disturbed"], row["other_work"]) == (1, 2, 0.5)


def test_throttled_samples_are_left_out_and_counted(tmp_path: Path) -> None:
    samples = [10, 11, 12, 99, 98, 13, 14, 15, 97]
    found = quick(
        latency_ns=samples,
        gpu_ns=[s - 5 for s in samples],
        gpu_how="held",
        throttled={"latency": [[3, 4], [8, 8]], "gpu": [[3, 4], [8, 8]]},
    )
    row = load(write(tmp_path / "r", found)).iloc[0]
    assert (row["p50_ns"], row["gpu_p50_ns"], row["samples"], row["dropped"]) == (12.5, 7.5, 6, 3)
    assert (row["p50_low_ns"], row["p50_high_ns"]) == median_interval(found.kept("latency_ns"))
    row = load(tmp_path / "r", samples=True).iloc[0]
    assert list(row["latency_ns"]) == samples
    assert np.median(np.delete(row["latency_ns"], row["latency_fallen"])) == row["p50_ns"]


@pytest.mark.parametrize(("count", "tails"), [(63, ()), (64, ("p90",)), (661, ("p90",)), (662, ("p90", "p99"))])
def test_a_tail_stands_with_its_bounds_where_the_samples_support_it(
    tmp_path: Path, count: int, tails: tuple[str, ...]
) -> None:
    samples = random.Random(count).sample(range(1000, 1000 + count), count)
    row = load(write(tmp_path / "r", quick(latency_ns=samples))).iloc[0]
    for name, p in (("p90", 0.9), ("p99", 0.99)):
        expected = quantile(samples, p)
        assert (expected is not None) == (name in tails)
        for column, value in zip(("", "_low", "_high"), ("value", "lower", "upper"), strict=True):
            cell = row[f"{name}{column}_ns"]
            assert np.isnan(cell) if expected is None else cell == getattr(expected, value)


@pytest.mark.parametrize("status", ["throttled", "wrong", "crash"])
def test_what_is_not_ok_has_no_times(tmp_path: Path, status: str) -> None:
    found = quick(status=status, latency_ns=[1] * 10, throughput={"images": 1, "ns": 1})
    row = load(write(tmp_path / "r", found)).iloc[0]
    assert np.isnan([row["p50_ns"], row["p50_low_ns"], row["images_per_s"]]).all()
    assert row["samples"] == 10


def test_what_cannot_be_read_on_a_machine_is_none(tmp_path: Path) -> None:
    environment = {"cpu": {"cores": "unreadable: no"}, "gpu": {"none": "no driver"}, "git": "unreadable: no git"}
    row = load(write(tmp_path / "r", quick(environment=environment, energy={"unreadable": "no counter"}))).iloc[0]
    assert row[["cores", "gpu", "driver", "git_sha", "git_dirty", "energy_j_per_image", "temperature_c"]].isna().all()
    assert row[["p50_ns", "memory_weights", "started", "plan"]].isna().all()


def test_the_environment_is_the_same_whatever_the_hour_and_the_commit(tmp_path: Path) -> None:
    base = {"gpu": {"name": "H100", "temperature_c": 30, "driver": "580"}, "git": {"sha": "a"}, "packages": {}}
    warm = base | {"gpu": {"name": "H100", "temperature_c": 60, "driver": "580"}, "git": {"sha": "b"}}
    other = base | {"gpu": {"name": "H100", "temperature_c": 30, "driver": "590"}}
    records = [quick(round=k, environment=found) for k, found in enumerate((base, warm, other))]
    assert load(write(tmp_path / "r", *records))["environment"].cat.codes.tolist() in ([0, 0, 1], [1, 1, 0])


def test_of_a_round_run_again_the_last_counts(tmp_path: Path, record: Make) -> None:
    records = [record(NAME, status="memory"), record(NAME, round=1), record(NAME, ms=5.0)]
    write(tmp_path / "a", *records)
    write(tmp_path / "b", records[1])  # the same case and round in another folder is another
    found = load(tmp_path / "a", tmp_path / "b", samples=True)
    assert list(found["round"]) == [1, 0, 1]
    assert list(found["status"]) == ["ok"] * 3
    assert found["latency_ns"][1][0] == 5e6 - 1000


def test_a_folder_given_twice_is_read_once(tmp_path: Path, record: Make) -> None:
    folder = write(tmp_path / "a", record(NAME))
    assert len(load(folder, f"{folder}/", folder / ".." / "a")) == 1
    assert len(load(folder / "records.jsonl")) == 1


def test_it_agrees_with_the_store(tmp_path: Path, record: Make) -> None:
    folder = write(tmp_path / "a", record(NAME), "{", record(NAME, round=1), record(NAME, ms=7.0))
    store = Store(folder)
    records = store.read()
    with pytest.warns(Damage) as warned:
        found = load(folder)
    assert [str(one.message) for one in warned] == ["\n".join(store.damage)]
    assert list(found["p50_ns"]) == [median(one.latency_ns) for one in records]


# ---- what is damaged, missing, or being written


def test_damaged_lines_are_told_and_the_rest_is_read(tmp_path: Path, record: Make) -> None:
    good = record(NAME).line()
    newer = good.replace(f'"schema":{SCHEMA}', f'"schema":{SCHEMA + 1}', 1)
    strange = quick(round=1, latency_ns=["1", "2"]).line()  # type: ignore[list-item]
    lines = [good, "", good[:50], b"\xff\xfe", newer, strange, "[" * 100_000, good.replace('"round":0', '"round":7')]
    with pytest.warns(Damage) as warned:
        found = load(write(tmp_path / "r", *lines))
    assert list(found["round"]) == [0, 7]
    text = str(warned[0].message).splitlines()
    file = tmp_path / "r" / "records.jsonl"
    assert text[0] == f"{file}:3: left out: not a whole record (JSONDecodeError)"
    assert text[1] == f"{file}:4: left out: is not UTF-8 text"
    assert "is newer than this version's" in text[2]
    assert text[3] == f'{file}:6: left out: latency_ns[0] is "1", where a whole number of 1 or more belongs'
    assert ":7: left out:" in text[4]
    assert warned[0].filename == __file__


def test_many_damaged_lines_are_counted(tmp_path: Path) -> None:
    with pytest.warns(Damage, match="20 lines are left out, 0 are read"):
        load(write(tmp_path / "r", *["{"] * 20))


def test_half_a_surrogate_pair_costs_nothing(tmp_path: Path) -> None:
    found = load(write(tmp_path / "r", quick(status="error", reason="no file a\udcffb")))
    assert found["reason"][0] == "no file a?b"


def test_a_number_past_64_bits_costs_its_line(tmp_path: Path) -> None:
    with pytest.warns(Damage, match=r":1: left out: memory\.weights is a number past 64 bits, where a whole number"):
        assert load(write(tmp_path / "r", quick(memory={"weights": 2**70, "device_process": 5}))).empty


def test_a_line_that_is_being_written_is_left_for_the_next_time(tmp_path: Path, record: Make) -> None:
    folder, line = write(tmp_path / "r", record(NAME)), record(NAME, round=1).line()
    with (folder / "records.jsonl").open("a") as file:
        for piece, count in ((line[:100], 1), (line[100:], 2), ("\n", 2)):  # whole before its end is there
            file.write(piece)
            file.flush()
            assert len(load(folder)) == len(load(folder, samples=True)) == count


def test_a_missing_place_says_so(tmp_path: Path) -> None:
    for name, message in (("x", "is it a results folder"), ("x.jsonl", "no file"), ("x.parquet", "no file")):
        with pytest.raises(StoreError, match=message):
            load(tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match=r"file holds no records\.jsonl"):
        load(tmp_path / "file")


def test_a_column_may_be_of_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = Column("float", "gate.after.rms_multiple", "error after the timing")
    monkeypatch.setitem(COLUMNS, "error_after", deep)
    row = row_maker(["error_after", "status"])
    case = Case.parse("resnet18/eager/fp32/b1/i32/stream")
    assert row(Record(case, 0, "ok", gate={"after": {"rms_multiple": 0.5}})) == [0.5, "ok"]
    assert row(Record(case, 0, "crash")) == [None, "crash"]
