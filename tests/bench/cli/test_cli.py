"""The command line, as a user calls it: real processes, real exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.machine.environment import ROOT, no_cuda
from bench.records.record import Record
from bench.records.store import Store
from resnet.variants import VARIANTS, missing

PLAN = """
why = "A test."
[measure]
warmup_s = 0.0
warmup_limit_s = 0.0
latency_s = 0.0
latency_limit_s = 0.05
steal = 1.0
throughput_s = 0.02
[[group]]
name = "tiny"
why = "Two small cases, and one that a CPU cannot run."
model = "resnet18"
variant = "eager"
precision = ["fp32", "fp8"]
batch = [1, 2]
image = 32
"""
# one case, and one of a network that is quickly exported
ONE = PLAN.replace("[1, 2]", "1").replace('["fp32", "fp8"]', '"fp32"')
SMALL = ONE.replace('"resnet18"', '"tests.resnet.outside.outside_toys:build@width=64"')


def bench(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"} | env,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "tiny.toml"
    path.write_text(PLAN)
    return str(path)


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path, str]:
    """One sweep: what it printed, its folder, its plan."""
    folder = tmp_path_factory.mktemp("swept")
    path = folder / "tiny.toml"
    path.write_text(PLAN)
    return bench("run", str(path), "-o", str(folder / "out"), "--input", "noise"), folder / "out", str(path)


def test_help_names_every_command() -> None:
    done = bench("--help")
    assert done.returncode == 0
    for command in ("list", "run", "verify", "once", "env", "report", "campaign"):
        assert re.search(rf"^\W*{command}\b", done.stdout, re.M), command


def test_list_says_what_runs_here_and_why_not(plan: str) -> None:
    done = bench("list", plan)
    assert done.returncode == 0
    assert "runs    resnet18/eager/fp32/b1/i32/stream" in done.stdout
    assert re.search(r"skipped resnet18/eager/fp8/b1/i32/stream.*no fp8", done.stdout)
    assert "2 run here, 2 are skipped" in " ".join(done.stdout.split())
    assert {entry["runs"] for entry in json.loads(bench("list", plan, "--json").stdout)} == {True, False}


def test_a_sweep_ends_in_a_table_of_80_columns_and_the_answer(
    swept: tuple[subprocess.CompletedProcess[str], Path, str],
) -> None:
    done, folder, _ = swept
    assert done.returncode == 0, done.stderr
    *_, answer, records_at = done.stdout.splitlines()
    assert answer.startswith("resnet18 at 32 pixels, batch 1: only eager/fp32 was measured, ")
    assert records_at == f"Records: {folder}"
    assert "variant" in done.stdout
    assert max(map(len, done.stdout.split("\n\n")[0].splitlines())) <= 80
    assert "float64 reference answers of resnet18 at 32 pixels, that every case is checked against" in done.stderr
    assert "\x1b" not in done.stdout
    records = Store(folder).read()
    assert [r.status for r in records].count("ok") == 2
    assert [r.status for r in records].count("skipped") == 2


def test_a_record_says_where_its_numbers_come_from(
    swept: tuple[subprocess.CompletedProcess[str], Path, str],
) -> None:
    record = next(r for r in Store(swept[1]).read() if r.status == "ok")
    assert all(type(sample) is int and sample > 0 for sample in record.latency_ns)
    assert record.throughput["images"] > 0
    assert record.memory["host_resident_peak"] > 1 << 26
    assert set(record.gate) == {"before", "during", "after"}
    assert {"import_s", "build_s", "prepare_s", "first_call_s"} <= set(record.cold)
    assert record.input["source"] == "noise"
    assert len(record.weights) == 16
    assert record.plan["name"] == "tiny"
    assert record.environment["packages"]["torch"]
    assert record.details["memory_format"]
    assert record.runtime["threads"] >= 1
    assert record.watch.get("readings") or record.watch["unreadable"]
    assert record.cold["caches"] == "unused"  # eager compiles nothing
    assert len(record.flushed_ns) > 0


def test_a_folder_with_records_is_not_run_into(swept: tuple[subprocess.CompletedProcess[str], Path, str]) -> None:
    _, folder, plan = swept
    done = bench("run", plan, "-o", str(folder), "--input", "noise")
    assert done.returncode == 2
    assert "go on from them with --resume" in done.stderr
    other = bench("run", plan, "-o", str(folder), "--input", "noise", "--resume", "--seed", "7")
    assert other.returncode == 2
    assert "another seed (0, now 7)" in other.stderr


@pytest.mark.slow
def test_a_first_start_finds_nothing_compiled_and_the_next_does(tmp_path: Path) -> None:
    path = tmp_path / "cold.toml"
    # not SMALL, whose error is near the gate's limit when it is compiled for a CPU without AVX-512
    path.write_text(ONE.replace('"eager"', '"compile"'))
    usual = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"), "RESNET_BENCH_START": "fresh"}
    starts = []
    for name in ("first", "next"):
        done = bench("run", str(path), "-o", str(tmp_path / name), "--input", "noise", **usual)
        assert done.returncode == 0, done.stderr
        starts.append(Store(tmp_path / name).read()[0].cold)
    assert [cold["caches"] for cold in starts] == ["cold", "warm"]
    assert ["load_s" in cold["artefact"] for cold in starts] == [False, True]
    assert starts[0]["prepare_s"] > starts[1]["prepare_s"]


@pytest.mark.slow
@pytest.mark.skipif(bool(missing(VARIANTS["onnxruntime"], "cpu")), reason="onnxruntime is not installed")
def test_a_cold_start_neither_finds_nor_leaves_anything(tmp_path: Path) -> None:
    path = tmp_path / "cold.toml"
    path.write_text(SMALL.replace('"eager"', '"onnxruntime"'))
    usual = {"RESNET_COMPILED": str(tmp_path / "made")}
    assert bench("run", str(path), "-o", str(tmp_path / "usual"), "--input", "noise", **usual).returncode == 0
    before = sorted((tmp_path / "made").iterdir())
    done = bench("run", str(path), "-o", str(tmp_path / "cold"), "--input", "noise", "--cold", **usual)
    assert re.search(r"onnxruntime\s+fp32.*fresh", done.stdout)
    records = {name: Store(tmp_path / name).read()[0] for name in ("usual", "cold")}
    assert [record.cold["caches"] for record in records.values()] == ["cold", "fresh"]
    assert not records["cold"].details["export_cached"]
    assert sorted((tmp_path / "made").iterdir()) == before


def test_a_second_sweep_of_the_same_folder_resumes_to_nothing(
    swept: tuple[subprocess.CompletedProcess[str], Path, str],
) -> None:
    _, folder, plan = swept
    before = (folder / "records.jsonl").read_bytes()
    done = bench("run", plan, "-o", str(folder), "--resume", "--input", "noise")
    assert done.returncode == 0
    assert (folder / "records.jsonl").read_bytes() == before


def test_the_report_of_a_folder_is_the_table_that_was_printed(
    swept: tuple[subprocess.CompletedProcess[str], Path, str],
) -> None:
    done, folder, _ = swept
    again = bench("report", str(folder))
    assert again.stdout == done.stdout.split("Records: ")[0]
    assert json.loads(bench("report", str(folder), "--json").stdout)["rows"]


def test_the_longest_names_and_numbers_fit_80_columns(tmp_path: Path, record: Callable[..., Record]) -> None:
    store = Store(tmp_path)
    with store.writing():
        for number, variant in enumerate(("eager", "channels-last-amp", "onnxruntime-trt", "library-fused")):
            for launch in ("stream", "graph"):
                name = f"resnet152v2-none/{variant}/fp16/b256/i224/{launch}"
                memory = {"device_process": 99_999 << 20}
                for round in range(2):  # which differ so much that no interval is narrow enough to be printed
                    ms = 0.12345 * 3**number * (1 + round * (number + 1))
                    store.append(record(name, ms=ms, round=round, device="cuda", memory=memory))
    done = bench("report", str(tmp_path))
    assert "channels-last-amp+graph" in done.stdout
    assert "99999" in done.stdout
    assert "±?" in done.stdout
    assert "…" not in done.stdout
    assert max(map(len, done.stdout.split("\n\n")[0].splitlines())) <= 80


def test_verify_is_the_gate_alone(plan: str) -> None:
    done = bench("verify", plan, "-f", "b2", "--input", "noise", "--json")
    assert done.returncode == 0, done.stderr
    cases = {entry["case"]: entry for entry in json.loads(done.stdout)}
    assert cases["resnet18/eager/fp32/b2/i32/stream"]["status"] == "ok"
    assert cases["resnet18/eager/fp32/b2/i32/stream"]["gate"]["after"]["rms_multiple"] < 3


def test_once_runs_in_this_process() -> None:
    done = bench("once", "resnet18/eager/fp32/b1/i32/stream", "-n", "5", "--input", "noise", "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["status"] == "ok"
    assert len(answer["latency_ns"]) == 5


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run", "quik"), 2, "did you mean quick"),
        (("list", "quick", "-f", "resnet99"), 2, "no case of quick matches"),
        (("once", "resnet50/eager/fp33/b1/i224/stream"), 2, "allowed: fp32"),
        (("once", "resnet50/eager/fp8/b1/i224/stream"), 3, "no fp8"),
        (("report", "/no/such/folder"), 2, "is it a results folder"),
        (("run", "smoke", "--rounds", "0"), 2, "rounds"),
        (("run", "smoke", "--input", "/no/such/folder"), 2, "neither photos, noise, nor a folder"),
        (("run", "quick", "-f", "fp8", "-f", "onnxruntime-trt/fp32"), 2, "no case"),
        (("run", "smoke", "--view", "tails"), 2, "'tails' is not one of 'speed', "),
        (("run", "smoke", "-f", "eager", "--until", "1"), 2, "needs a case and its eager baseline"),
        (("run", "smoke", "--rounds-limit", "5"), 2, "--rounds-limit goes with --until"),
        (("run", "--model", "resnet18,mymodle:build"), 2, "there is no module mymodle in the folder"),
        (("once", "resnet18/mymodle:prepare/fp32/b1/i32/stream"), 2, "there is no module mymodle in the folder"),
        (("frobnicate",), 2, "frobnicate"),
    ],
)
def test_wrong_words_are_told_in_a_sentence(words: tuple[str, ...], code: int, said: str) -> None:
    done = bench(*words)
    assert done.returncode == code, done.stderr
    assert said in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_a_machine_that_can_run_nothing_of_a_plan_is_exit_3(plan: str, tmp_path: Path) -> None:
    done = bench("run", plan, "-f", "fp8", "-o", str(tmp_path / "out"))
    assert done.returncode == 3
    assert "can run no case" in done.stderr


def test_a_gpu_plan_and_the_gpu_command_without_a_gpu_are_exit_3() -> None:
    for words in (("run", "headline"), ("campaign",)):
        done = bench(*words, CUDA_VISIBLE_DEVICES="")
        assert done.returncode == 3
        assert "CUDA" in done.stderr


def test_ctrl_c_keeps_what_is_there_says_how_to_go_on_and_leaves_no_child(plan: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-m", "bench", "run", plan, "-o", str(folder), "--rounds", "20", "--input", "noise"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as sweep:
        for _ in range(600):
            time.sleep(0.2)
            if (folder / "records.jsonl").exists() and '"ok"' in (folder / "records.jsonl").read_text():
                break
        sweep.send_signal(signal.SIGINT)
        assert sweep.stderr
        stderr = sweep.stderr.read()
    assert sweep.returncode == 130
    assert "--resume" in stderr
    assert "Traceback" not in stderr
    store = Store(folder)
    assert any(record.status == "ok" for record in store.read())
    assert store.damage == []
    workers = subprocess.run(["pgrep", "-f", f"bench.worker [0-9]+ {sweep.pid}"], capture_output=True, text=True)
    assert workers.stdout == ""


def test_env_describes_this_machine(here: dict[str, Any]) -> None:
    described = json.loads(bench("env", "--json").stdout)
    assert described["environment"]["cpu"]["name"] == here["cpu"]["name"]
    assert all(entry["cure"] for entry in described["noisy"])
    shown = " ".join(bench("env").stdout.split())
    assert "Device: " in shown
    assert (no_cuda(here) or "") in shown
