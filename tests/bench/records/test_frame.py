import json
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.plans.case import Case
from bench.records import frame, parse
from bench.records.columns import COLUMNS, SAMPLES
from bench.records.frame import Damage, export, load
from bench.records.record import SCHEMA, Record
from bench.records.store import Store
from bench.stats import median_interval

NAME = "resnet18/eager/fp32/b1/i64/stream"
Make = Callable[..., Record]


@pytest.fixture(autouse=True, scope="module")
def a_cache_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RESNET_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def write(folder: Path, *records: Record | str | bytes) -> Path:
    """A results folder with these records, or lines, added to what it has."""
    folder.mkdir(exist_ok=True)
    with (folder / "records.jsonl").open("ab") as file:
        for record in records:
            line = record.line() if isinstance(record, Record) else record
            file.write((line.encode() if isinstance(line, str) else line) + b"\n")
    return folder


def quick(name: str = NAME, round: int = 0, **fields: Any) -> Record:
    """A record without a machine, for tests that need many."""
    return Record(Case.parse(name), round, fields.pop("status", "ok"), **fields)


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
    records = store.load()
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
    with pytest.warns(Damage, match="and 15 more"):
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
    with pytest.raises(StoreError, match="cannot read"):
        load(tmp_path / "file")


# ---- the index


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """What is parsed from now on, as offsets; every file is long enough for an index."""
    seen: list[tuple[int, int]] = []
    real = parse.parse

    def watched(file: Path, start: int, stop: int, samples: bool) -> parse.Part:
        seen.append((start, stop))
        return real(file, start, stop, samples)

    monkeypatch.setattr(parse, "parse", watched)
    monkeypatch.setattr(frame, "INDEXED", 1)
    return seen


def index(folder: Path) -> Path:
    found = frame._index_of(folder / "records.jsonl")
    assert found
    return found


def test_a_second_load_parses_what_was_appended(tmp_path: Path, parsed: list[tuple[int, int]]) -> None:
    folder = write(tmp_path / "r", quick(latency_ns=[1, 2, 3]), "{", quick(round=1, gpu_ns=[5], gpu_how="held"))
    with pytest.warns(Damage, match=":2: left out"):
        first = load(folder)
    size = (folder / "records.jsonl").stat().st_size
    with pytest.warns(Damage, match=":2: left out"):  # told each time, though not parsed again
        assert_frame_equal(load(folder), first)
    assert parsed == [(0, size)]
    write(folder, quick(round=2), "}", quick(round=1, gpu_ns=[7], gpu_how="held"))
    with pytest.warns(Damage, match=r":2: left out(.|\n)*:5: left out"):
        found = load(folder)
    assert parsed == [(0, size), (size, (folder / "records.jsonl").stat().st_size)]
    assert list(found["round"]) == [0, 2, 1]
    assert found["gpu_p50_ns"][2] == 7
    index(folder).unlink()
    with pytest.warns(Damage):
        assert_frame_equal(load(folder), found)


def test_a_file_that_was_replaced_or_cut_is_indexed_anew(tmp_path: Path, parsed: list[tuple[int, int]]) -> None:
    folder = write(tmp_path / "r", *(quick(round=k, reason="x" * 1000) for k in range(9)))
    file = folder / "records.jsonl"
    load(folder)
    whole = file.read_bytes()
    for change, rounds in (
        (whole[: len(whole) // 9 * 4], 4),
        (whole + whole.replace(b"eager", b"compile"), 18),
        (whole.replace(b'"seed":0', b'"seed":1') + whole.replace(b"eager", b"compile"), 18),
        (whole.replace(b'"round":7', b'"round":77') + whole.replace(b"eager", b"compile"), 18),
    ):
        file.write_bytes(change)
        found = load(folder)
        assert len(found) == rounds
        os.remove(index(folder))
        assert_frame_equal(found, load(folder))
    assert found["round"].tolist() == [0, 1, 2, 3, 4, 5, 6, 77, 8, *range(9)]


@pytest.mark.parametrize("harm", [b"", b"PAR1 and nothing", None])
def test_a_damaged_index_is_made_anew(tmp_path: Path, parsed: list[tuple[int, int]], harm: bytes | None) -> None:
    folder = write(tmp_path / "r", quick(latency_ns=[1, 2, 3]))
    first = load(folder)
    kept = index(folder).read_bytes()
    index(folder).write_bytes(kept[: len(kept) // 2] if harm is None else harm)
    assert_frame_equal(load(folder), first)
    assert len(parsed) == 2
    assert_frame_equal(load(folder), first)
    assert len(parsed) == 2


def test_an_index_of_other_code_is_made_anew(
    tmp_path: Path, parsed: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write(tmp_path / "r", quick())
    load(folder)
    monkeypatch.setattr(frame, "_code", lambda: "other")
    load(folder)
    assert len(parsed) == 2


def test_no_index_can_be_kept_and_nothing_is_lost(
    tmp_path: Path, parsed: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    folder = write(tmp_path / "r", quick())
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "file"))
    assert len(load(folder)) == len(load(folder)) == 1
    assert len(parsed) == 2
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    index(folder).mkdir()  # its name is taken
    assert len(load(folder)) == 1
    assert [path.name for path in (tmp_path / "cache" / "frames").iterdir()] == [index(folder).name]


def test_a_short_file_has_no_index(tmp_path: Path) -> None:
    folder = write(tmp_path / "r", quick())
    load(folder)
    assert not index(folder).exists()


# ---- several processes


@pytest.fixture
def small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parse, "RANGE", 3000)
    monkeypatch.setattr(parse, "HELPED", 1)
    monkeypatch.setattr(parse, "_cores", lambda: 2)


real_one = sys.executable


@pytest.mark.parametrize("interpreter", [real_one, "/bin/false", "/nowhere/python"])
def test_helpers_change_nothing_and_may_die(
    tmp_path: Path, small_ranges: None, monkeypatch: pytest.MonkeyPatch, interpreter: str
) -> None:
    """With helpers that work, that die at once, and that cannot be started."""
    draw = random.Random(0)
    lines: list[Record | str] = [quick(round=k, latency_ns=[draw.randrange(10**9)] * (k % 70)) for k in range(40)]
    lines.insert(20, "{")
    folder = write(tmp_path / "r", *lines)
    file = folder / "records.jsonl"
    with monkeypatch.context() as patch:
        patch.setattr(parse, "_cores", lambda: 1)
        with pytest.warns(Damage, match="jsonl:21: left out"):
            alone = load(folder, samples=True)
    ranges = parse._ranges(file, 0, file.stat().st_size)
    assert len(ranges) > 4
    assert [start for start, _ in ranges[1:]] == [stop for _, stop in ranges[:-1]]
    here: list[int] = []
    real = parse.parse
    monkeypatch.setattr(parse, "parse", lambda *given: here.append(1) or real(*given))  # type: ignore[func-returns-value]
    monkeypatch.setattr(sys, "executable", interpreter)
    with pytest.warns(Damage, match="jsonl:21: left out"):
        assert_frame_equal(load(folder, samples=True), alone)
    assert len(here) == (0 if interpreter == real_one else 2 * len(ranges))  # once for the rows, once for samples
    assert alone["round"].tolist() == list(range(40))


# ---- Parquet


def test_an_export_comes_back_equal(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME), record(NAME, round=1, status="error"), record(NAME, ms=3.0))
    write(tmp_path / "b", record("resnet50/compile/bf16/b8/i224/stream", throttled={"latency": [[0, 2]]}))
    folders, path = [tmp_path / "a", tmp_path / "b"], tmp_path / "all.parquet"
    export(folders, path)
    assert_frame_equal(load(path), load(*folders))
    assert_frame_equal(load(path, samples=True), load(*folders, samples=True))
    export([path], path)  # onto itself
    assert_frame_equal(load(path, samples=True), load(*folders, samples=True))
    assert len(load(path, tmp_path / "b")) == 4


def test_other_tools_read_an_export(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME))
    export([tmp_path / "a"], tmp_path / "a.parquet")
    plain = pd.read_parquet(tmp_path / "a.parquet")
    assert plain["p50_ns"].tolist() == [10e6]
    assert plain["latency_ns"][0].dtype == np.int64


def test_an_export_of_an_older_version_lacks_columns(tmp_path: Path, record: Make) -> None:
    write(tmp_path / "a", record(NAME))
    export([tmp_path / "a"], tmp_path / "new.parquet")
    pd.read_parquet(tmp_path / "new.parquet").drop(columns=["flushed_p50_ns", "environment", "flushed_ns"]).to_parquet(
        tmp_path / "old.parquet"
    )
    found = load(tmp_path / "old.parquet", samples=True)
    assert list(found) == [*COLUMNS, *SAMPLES]
    assert found[["flushed_p50_ns", "environment", "flushed_ns"]].isna().all(axis=None)
    assert found["p50_ns"].tolist() == [10e6]


def test_what_is_no_export_says_so(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_text("nonsense")
    with pytest.raises(StoreError, match="damaged, or no Parquet file"):
        load(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(StoreError, match="no file that bench exported"):
        load(path)


def test_an_export_that_cannot_be_written_says_so(tmp_path: Path, record: Make) -> None:
    folder = write(tmp_path / "a", record(NAME))
    for path, message in (
        (folder / "records.jsonl" / "x.parquet", "cannot write .*Not a directory"),
        (folder, "it is a folder"),
    ):
        with pytest.raises(StoreError, match=message):
            export([folder], path)
    (tmp_path / "x.parquet").write_text("what was there")
    with pytest.raises(StoreError, match="is it a results folder"):
        export([folder, tmp_path / "none"], tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").read_text() == "what was there"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "x.parquet"]


def test_a_full_disk_leaves_the_export_that_was_there(tmp_path: Path) -> None:
    tiny = tmp_path / "tiny"
    tiny.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", tiny], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"cannot mount a small file system: {made.stderr.strip()}")
    try:
        (tiny / "x.parquet").write_text("what was there")
        draw = random.Random(0)
        folder = write(tmp_path / "a", quick(latency_ns=[draw.randrange(10**15) for _ in range(50_000)]))
        with pytest.raises(StoreError, match=r"No space left.*what was there is whole"):
            export([folder], tiny / "x.parquet")
        assert [path.name for path in tiny.iterdir()] == ["x.parquet"]
        assert (tiny / "x.parquet").read_text() == "what was there"
    finally:
        subprocess.run(["umount", tiny], check=True)


def test_damage_is_told_when_exporting(tmp_path: Path) -> None:
    with pytest.warns(Damage, match=":1: left out"):
        export([write(tmp_path / "a", "{", quick())], tmp_path / "x.parquet")


def test_importing_bench_leaves_pandas_alone() -> None:
    code = "import sys, bench; sys.exit(' '.join({'pandas', 'pyarrow', 'numpy', 'torch'} & sys.modules.keys()) or 0)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# ---- properties

TIMES = st.lists(st.integers(1, 10**12), max_size=40)
RECORDS = st.lists(
    st.tuples(st.sampled_from(["eager", "compile"]), st.sampled_from([1, 8]), st.sampled_from(["ok", "crash"]), TIMES),
    min_size=1,
    max_size=12,
)


def loaded(records: list[Record]) -> pd.DataFrame:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *records)
        return load(folder)


@settings(deadline=None, max_examples=40)
@given(TIMES, st.integers(1, 1000))
def test_times_scale_with_their_samples(times: list[int], factor: int) -> None:
    scaled = [factor * time for time in times]
    one, two = (quick(latency_ns=s, gpu_ns=s, gpu_how="held", flushed_ns=s, flushed_gpu_ns=s) for s in (times, scaled))
    names = [name for name in COLUMNS if name.endswith("_ns")]
    before, after = (loaded([found])[names].iloc[0].to_numpy(float) for found in (one, two))
    np.testing.assert_allclose(after, factor * before, rtol=1e-12)
    assert np.isnan(before).all() == (not times)


@settings(deadline=None, max_examples=30)
@given(RECORDS, st.randoms(use_true_random=False))
def test_the_order_of_lines_does_not_matter(drawn: list[tuple[str, int, str, list[int]]], draw: random.Random) -> None:
    records = [
        quick(f"resnet18/{variant}/fp32/b{batch}/i64/stream", round=k, status=status, latency_ns=times)
        for k, (variant, batch, status, times) in enumerate(drawn)
    ]
    shuffled = draw.sample(records, len(records))
    one, two = (
        loaded(found).groupby(["model", "variant", "precision", "batch"])["p50_ns"].median()
        for found in (records, shuffled)
    )
    pd.testing.assert_series_equal(one, two)
    # and what has no time takes no part in the median
    timed = {}
    for variant, batch, status, times in drawn:
        timed.setdefault((variant, batch), [])
        if status == "ok" and times:
            timed[variant, batch].append(median(times))
    for (variant, batch), medians in timed.items():
        value = one["resnet18", variant, "fp32", batch]
        assert value == pytest.approx(median(medians)) if medians else np.isnan(value)


@settings(deadline=None, max_examples=30)
@given(RECORDS)
def test_a_round_trip_through_parquet(drawn: list[tuple[str, int, str, list[int]]]) -> None:
    records = [
        quick(f"resnet18/{variant}/fp32/b{batch}/i64/stream", status=status, latency_ns=times, wall_s=float(len(times)))
        for variant, batch, status, times in drawn
    ]
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), *records)
        export([folder], Path(folder) / "x.parquet")
        assert_frame_equal(load(Path(folder) / "x.parquet", samples=True), load(folder, samples=True))
        last = {(record.case.name, record.round): record for record in records}
        assert [json.dumps(cell.tolist()) for cell in load(folder, samples=True)["latency_ns"]] == [
            json.dumps(record.latency_ns) for record in records if last[record.case.name, record.round] is record
        ]
