"""What befalls a machine while a whole sweep runs: a wall clock that is set, disks that fill. Real runs of the CLI."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from bench import paths as folders
from bench.machine.environment import ROOT
from bench.records.record import Record
from bench.records.store import Store

PLAN = """
why = "A test."
[measure]
warmup_s = 0.0
warmup_limit_s = 0.0
latency_s = 0.0
latency_limit_s = 0.05
steal = 1.0
throughput_s = 0.02
flush_batch = 0
[[group]]
name = "tiny"
why = "A small case, and some that no machine runs."
model = "resnet18"
variant = "eager"
precision = ["fp32", "fp8"]
batch = [1, 2, 3, 4, 5, 6]
image = 32
"""
REAL, NONE = ("-f", "fp32/b1/"), ("-f", "fp8", "-f", "fp32/b1/")


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(PLAN)
    return str(path)


def started(*words: str, env: dict[str, str] | None = None, **rest: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1", "CUDA_VISIBLE_DEVICES": ""} | (env or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **rest,
    )


def bench(*words: str, env: dict[str, str] | None = None, **rest: Any) -> subprocess.CompletedProcess[str]:
    with started(*words, env=env, **rest) as child:
        out, err = child.communicate(timeout=300)
    assert "Traceback" not in err, err
    return subprocess.CompletedProcess(child.args, child.returncode, out, err)


def whole(folder: Path) -> list[Record]:
    store = Store(folder)
    records = store.read()
    assert store.damage == []
    return records


@pytest.fixture(scope="module")
def jumping(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of processes whose wall clock jumps a day ahead or back from one reading to the next."""
    compiler = next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    if sys.platform != "linux" or not compiler:
        pytest.skip("no C compiler" if sys.platform == "linux" else "LD_PRELOAD is Linux's")
    library = tmp_path_factory.mktemp("clock") / "jumping_clock.so"
    source = Path(__file__).with_name("jumping_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library)}


def test_the_clock_of_these_tests_really_jumps(jumping: dict[str, str]) -> None:
    code = "import json, time; print(json.dumps([[time.time(), time.monotonic()] for _ in range(9)]))"
    told = subprocess.run([sys.executable, "-c", code], env=os.environ | jumping, stdout=subprocess.PIPE, check=True)
    wall, monotonic = (list(column) for column in zip(*json.loads(told.stdout), strict=True))
    steps = [round((b - a) / 86400) for a, b in pairwise(wall)]
    assert {1, -2} <= set(steps)
    assert monotonic == sorted(monotonic)


@pytest.mark.slow
def test_a_clock_that_jumps_costs_nothing(jumping: dict[str, str], plan: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = ("run", plan, *REAL, "-o", str(folder), "--input", "noise", "--rounds", "2")
    assert bench(*words, env=jumping).returncode == 0
    lines = (folder / "records.jsonl").read_text().splitlines()
    (folder / "records.jsonl").write_text(lines[0] + "\n")  # as of a sweep that was killed after a case
    assert bench(*words, "--resume", env=jumping).returncode == 0
    records = whole(folder)
    assert [(r.status, r.round) for r in records] == [("ok", 0), ("ok", 1)]
    for record in records:
        datetime.fromisoformat(record.started)
        assert record.environment["variables"]["LD_PRELOAD"] == "set"
        assert_sane(record)
    before = (folder / "records.jsonl").read_bytes()
    again = bench(*words, "--resume", env=jumping)
    assert again.returncode == 0
    assert (folder / "records.jsonl").read_bytes() == before
    assert bench("report", str(folder), env=jumping).stdout == again.stdout.split("Records: ")[0]


def assert_sane(record: Record) -> None:
    """Each time is positive, and all together are no longer than the process lived."""
    assert 0 < record.wall_s < 300
    assert all(0 < sample < record.wall_s * 1e9 for sample in record.latency_ns)
    assert 0 < record.throughput["ns"] < record.wall_s * 1e9
    parts = [value for value in record.cold.values() if isinstance(value, float)]
    assert all(part > 0 for part in parts)
    assert 0 < sum(parts) < record.wall_s
    assert 0 < record.warmup["s"] < record.wall_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Sets what the command line takes for the time, with a folder of results to itself."""

    def at(time: str) -> None:
        class Set(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
                return datetime.fromisoformat(time)

        monkeypatch.setattr(folders, "datetime", Set)

    monkeypatch.setattr(folders, "LOCAL", tmp_path / "local")
    return at


def used(folder: Path) -> Path:
    folder.mkdir(parents=True)  # fails for one that is there
    (folder / "records.jsonl").write_text("")
    return folder


def test_two_runs_in_one_second_share_no_folder(clock: Callable[[str], None]) -> None:
    clock("2026-01-31T12:00:00")
    begun = [used(folders.new_run_folder("tiny")) for _ in range(12)]
    assert len(set(begun)) == 12
    assert folders.latest_run_folder("tiny") == begun[-1]


def test_the_latest_folder_is_the_one_that_was_begun_last_whatever_the_clock_said(
    clock: Callable[[str], None],
) -> None:
    for time_ in ("2026-01-31T12:00:00", "2026-01-30T12:00:00", "2026-01-30T12:00:00", "2026-01-31T12:00:00"):
        clock(time_)
        folder = used(folders.new_run_folder("tiny"))
        assert folders.latest_run_folder("tiny") == folder


def test_the_latest_folder_of_a_plan_is_not_one_of_another_with_a_longer_name(clock: Callable[[str], None]) -> None:
    clock("2026-01-31T12:00:00")
    folder = used(folders.new_run_folder("tiny"))
    used(folders.new_run_folder("tiny-2"))
    used(folders.new_run_folder("verify-tiny"))
    assert folders.latest_run_folder("tiny") == folder


def test_a_folder_from_before_folders_had_numbers_is_found(clock: Callable[[str], None], tmp_path: Path) -> None:
    old = used(tmp_path / "local" / "tiny-20260131-120000")
    assert folders.latest_run_folder("tiny") == old
    clock("2026-01-30T12:00:00")
    new = used(folders.new_run_folder("tiny"))
    assert folders.latest_run_folder("tiny") == new


def fill(folder: Path) -> None:
    """As another program would."""
    left = shutil.disk_usage(folder).free
    with (folder / "ballast").open("wb", buffering=0) as file:
        while left:
            left -= file.write(bytes(left))


@pytest.mark.slow
def test_a_disk_that_fills_while_a_sweep_runs(tiny: Path, plan: str) -> None:
    folder = tiny / "out"
    words = ("run", plan, *REAL, "-o", str(folder), "--input", "noise", "--rounds", "3")
    with started(*words) as sweep:
        records = folder / "records.jsonl"
        while sweep.poll() is None and not (records.exists() and records.stat().st_size):
            time.sleep(0.02)
        fill(tiny)  # but for the last page of the records, which may hold one more
        _, told = sweep.communicate(timeout=200)
    assert sweep.returncode == 2, told
    last = told.strip().splitlines()[-1]
    assert last.startswith(f"bench: cannot append to {folder}")
    assert last.endswith(
        f"No space left on device; what was there is whole; free some space in {folder}, then --resume"
    )
    assert "Traceback" not in told
    kept = whole(folder)
    assert 1 <= len(kept) <= 2
    subprocess.run(["mount", "-o", "remount,size=1m", tiny], check=True)
    lines = records.read_bytes()
    assert bench(*words, "--resume").returncode == 0
    assert records.read_bytes().startswith(lines)
    assert [(r.status, r.round) for r in whole(folder)] == [("ok", 0), ("ok", 1), ("ok", 2)]


@pytest.mark.slow
def test_a_limit_on_the_size_of_files(plan: str, tmp_path: Path) -> None:
    """It needs no mount. What no machine runs comes first, and so meets the limit before any process is started."""
    folder = tmp_path / "out"
    words = ("run", plan, *NONE, "-o", str(folder), "--input", "noise")

    def limit() -> None:  # room for a record or two, which take about 1700 bytes
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    told = bench(*words, preexec_fn=limit)
    assert told.returncode == 2
    assert "File too large; what was there is whole; " in told.stderr
    kept = whole(folder)
    assert 1 <= len(kept) < 6
    assert bench(*words, "--resume").returncode == 0
    records = whole(folder)
    assert [r.status for r in records] == ["skipped"] * 6 + ["ok"]
    assert len({r.case for r in records}) == 7
    assert records[: len(kept)] == kept


@pytest.mark.slow
def test_a_full_temporary_folder_is_no_obstacle(tiny: Path, plan: str, tmp_path: Path) -> None:
    """Python takes another one, and a child's words go through a pipe."""
    fill(tiny)
    folder = tmp_path / "out"
    told = bench("run", plan, *REAL, "-o", str(folder), "--input", "noise", env={"TMPDIR": str(tiny)})
    assert told.returncode == 0, told.stderr
    assert [r.status for r in whole(folder)] == ["ok"]


@pytest.mark.slow
def test_a_full_cache_is_a_record_with_its_reason(tiny: Path, plan: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = ("run", plan, *REAL, "-o", str(folder), "--input", "noise", "--rounds", "2")
    told = bench(*words, env={"RESNET_CACHE": str(tiny)})
    assert told.returncode == 1, told.stderr
    records = whole(folder)
    assert [r.status for r in records] == ["error", "error"]
    assert f"No space left on device; free some space in {tiny}, or set RESNET_CACHE" in records[0].reason
