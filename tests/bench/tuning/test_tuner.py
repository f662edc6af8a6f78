"""The tuner: its order with a child that is played, its judgement of kernels that are wrong, all of it in a dry run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import triton
from rich.console import Console
from torch import Tensor
from triton.backends.compiler import GPUTarget
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.kernels import tune as cli_tune
from bench.errors import StoreError, TuningError
from bench.machine.environment import ROOT, environment, no_cuda
from bench.runs.kernel_jobs import NetworksJob, TryJob
from bench.runs.process import Answer
from bench.tuning import trials
from bench.tuning import tuner as tuning
from bench.tuning.trials import Kept, Trial
from bench.tuning.tuner import KNOWN, Gpu, Network, Target, Tuner
from bench.worker.measure.clock import HostClock
from bench.worker.tune import candidate as subject
from bench.worker.tune import search as tune
from kernels.kinds import default, implementation
from kernels.launch import INTERPRETED, Operands, output
from kernels.space.config import Config
from kernels.space.layer import Layer
from kernels.table import Table

GPU = KNOWN["NVIDIA H200"]
VERSIONS = {"torch": "2.13.0", "triton": "3.7.1"}
LARGE = Layer(32, 56, 56, 64, 64, (3, 3), 1, 1)
MIDDLE = Layer(32, 28, 28, 128, 512, (1, 1), residual=True)
SMALL = Layer(32, 7, 7, 512, 512, (1, 1))
NETWORK = Network("resnet50", 32, "fp16", {SMALL: 1, MIDDLE: 6, LARGE: 5})
Verdict = Callable[[str, str], dict[str, Any] | Answer]


class FakeChild:
    """Answers like `worker/tune/search.py`, a second a candidate; a verdict that is an Answer is how it dies."""

    def __init__(self, verdict: Verdict | None = None) -> None:
        self.verdict = verdict or (lambda layer, config: {"status": "lost", "us": 9.0})
        self.time = 0.0
        self.jobs: list[dict[str, Any]] = []
        self.tried: list[tuple[str, str]] = []

    def now(self) -> float:
        return self.time

    def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
        self.jobs.append(job)
        start = self.time
        for visit in job["visits"]:
            layer = tuning.layer_from(visit["layer"]).key
            for number, config in visit["challengers"]:
                if self.time - start >= job["seconds"]:
                    return Answer("ok", "", {}, 1.0)
                hear(f"try {number} running {config}")
                self.time += 1
                self.tried.append((layer, config))
                ended = self.verdict(layer, config)
                if isinstance(ended, Answer):
                    return ended
                hear(f"done {number} {json.dumps(ended)}")
        return Answer("ok", "", {}, 1.0)


def better(layer: str, config: str, seen: Counter[str] = Counter()) -> dict[str, Any]:  # noqa: B006 - remembers
    """Each candidate of a layer is faster than the one before."""
    seen[layer] += 1
    return {"status": "won", "us": 100.0 / seen[layer], "beside_us": 100.0}


@pytest.fixture
def tuner(tmp_path: Path) -> Callable[..., Tuner]:
    def make(child: FakeChild, **rest: Any) -> Tuner:
        kept = Kept(tmp_path / "table.json")
        given = {"cap": 6, "ask": child, "now": child.now, "versions": VERSIONS, "networks": [NETWORK]} | rest
        return Tuner(GPU, kept=kept, **given)

    return make


def test_a_larger_share_gets_more_and_a_short_budget_several_of_what_costs_most(tuner: Callable[..., Tuner]) -> None:
    child = FakeChild()
    made = tuner(child, cap=None, budget_s=40)
    made.run()
    counts = Counter(layer for layer, _ in child.tried)
    assert counts[LARGE.key] > counts[MIDDLE.key] > counts[SMALL.key] == 0
    first = {target.layer: target.candidates[0] for target in made.targets}
    assert first == {layer: str(default(layer, 90, 132)) for layer in NETWORK.layers}
    long = tuner(FakeChild(), cap=None, budget_s=400)
    long.run()
    assert all(len(target.tried) > 1 for target in long.targets)


def test_turns_are_by_share_and_go_on_where_they_were() -> None:
    targets = [Target(LARGE, 0.75, list("abcdefgh")), Target(SMALL, 0.25, list("xyz"))]
    order = "".join(config for _, config in tuning.turns(targets))
    assert order == "abcxdefyghz"  # a tie is the larger one's: 0.75 / 3 and 0.25
    for config in "abcx":
        lost = Trial(GPU.name, "", config, "lost", 1.0, 1.0, 1.0, "", "", "")
        targets[config == "x"].note(lost)
    assert "".join(config for _, config in tuning.turns(targets)) == order[4:]


def test_candidates_are_in_the_order_of_the_model_and_not_all_of_a_kind() -> None:
    found = [Config.parse(text) for text in tuning.ordered(LARGE, GPU)]
    assert len(set(found)) == len(found) > 50
    assert {config.impl for config in found} == {"ptr", "tma"}
    assert len({(config.impl, config.block_m, config.block_n) for config in found[:12]}) > 2
    times = [tuning.predicted(LARGE, str(config), GPU) for config in found]
    assert sum(times[:10]) < sum(times[-10:])


def test_it_stops_on_time(tuner: Callable[..., Tuner]) -> None:
    child = FakeChild()
    tuner(child, cap=None, budget_s=100).run()
    assert 100 - tuning.START_S <= child.time <= 100
    assert all(job["seconds"] <= 100 for job in child.jobs)


def test_what_is_done_is_not_done_again_and_the_rest_is(tuner: Callable[..., Tuner]) -> None:
    first, second, third = FakeChild(), FakeChild(), FakeChild()
    tuner(first, budget_s=tuning.START_S + 5).run()
    assert 5 < len(first.tried) < 3 * 6
    tuner(second).run()
    assert not set(first.tried) & set(second.tried)
    assert len(first.tried) + len(second.tried) == 3 * 6
    again = tuner(third)
    again.run()
    assert third.jobs == []
    assert all(len(target.tried) == 6 for target in again.targets)


def test_other_versions_try_again_and_begin_with_what_was_best(tuner: Callable[..., Tuner]) -> None:
    best = tuning.ordered(LARGE, GPU)[4]
    won = {"status": "won", "us": 5.0}
    tuner(FakeChild(lambda layer, config: won if config == best else {"status": "lost", "us": 9.0})).run()
    child = FakeChild()
    tuner(child, versions=VERSIONS | {"triton": "3.8.0"}).run()
    assert len(child.tried) == 3 * 6
    assert (LARGE.key, best) in child.tried[:3]


def test_the_table_has_every_improvement_at_once(tuner: Callable[..., Tuner]) -> None:
    seen = []

    def told(target: Target, trial: Trial) -> None:
        made = Table.load(Path(target_path))
        entry = next(entry for entry in made if entry.layer == trial.layer)
        assert (entry.config, entry.us) == (trial.config, round(trial.us or 0, 3))
        assert (entry.gpu, entry.chosen, entry.triton) == (GPU.name, "measured", "3.7.1")
        seen.append(trial)

    child = FakeChild(lambda layer, config: better(layer, config))
    made = tuner(child, told=told)
    target_path = made.kept.path
    made.run()
    assert len(seen) == 3 * 6
    lines = [Trial(**json.loads(line)) for line in made.kept.lines.read_text().splitlines()]
    assert lines == seen
    assert all(trial.made_by.startswith("torch 2.13.0, triton 3.7.1, kernels ") for trial in lines)
    assert all(trial.predicted_us > 0 for trial in lines)


@pytest.mark.parametrize("status", ["wrong", "refused", "failed"])
def test_what_is_not_right_is_recorded_and_never_chosen(tuner: Callable[..., Tuner], status: str) -> None:
    bad = {(layer.key, str(default(layer, 90, 132))) for layer in NETWORK.layers}

    def verdict(layer: str, config: str) -> dict[str, Any]:
        return {"status": status, "reason": "off"} if (layer, config) in bad else {"status": "lost", "us": 9.0}

    made = tuner(FakeChild(verdict))
    made.run()
    assert all(target.best is None and target.count(status) == 1 for target in made.targets)
    assert len(Table.load(made.kept.path) if made.kept.path.exists() else []) == 0


def test_a_best_that_is_wrong_in_another_process_is_left_out_of_the_table(tuner: Callable[..., Tuner]) -> None:
    class Doubting(FakeChild):
        def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
            for visit in job["visits"]:
                if visit["best"]:
                    hear(f"try {visit['best'][0]} running")
                    hear(f'done {visit["best"][0]} {{"status": "wrong", "reason": "off"}}')
            return super().__call__(job, limit_s, hear)

    best = {layer.key: str(default(layer, 90, 132)) for layer in NETWORK.layers}
    verdict = lambda layer, config: {"status": "won" if config == best[layer] else "lost", "us": 5.0}  # noqa: E731
    made = tuner(Doubting(verdict), batch=3)
    made.run()
    assert len(Table.load(made.kept.path)) == 0
    assert all(target.tried[best[target.layer.key]].status == "wrong" for target in made.targets)


def test_a_process_that_dies_costs_one_candidate(tuner: Callable[..., Tuner]) -> None:
    deadly = tuning.ordered(LARGE, GPU)[2]

    def verdict(layer: str, config: str) -> dict[str, Any] | Answer:
        if (layer, config) == (LARGE.key, deadly):
            return Answer("crash", "died by signal SIGSEGV", {}, 1.0)
        return {"status": "lost", "us": 9.0}

    child = FakeChild(verdict)
    made = tuner(child)
    made.run()
    assert len(child.tried) == len(set(child.tried)) == 3 * 6
    failed = [trial for target in made.targets for trial in target.tried.values() if trial.status == "failed"]
    assert [(trial.layer, trial.config, trial.reason) for trial in failed] == [
        (LARGE.key, deadly, "died by signal SIGSEGV")
    ]


def test_of_several_that_were_being_compiled_the_deadly_one_is_found(tuner: Callable[..., Tuner]) -> None:
    deadly = (LARGE.key, tuning.ordered(LARGE, GPU)[1])

    class Compiling(FakeChild):
        def __call__(self, job: dict[str, Any], limit_s: float, hear: Callable[[str], None]) -> Answer:
            fresh = [
                (number, (tuning.layer_from(visit["layer"]).key, config))
                for visit in job["visits"]
                for number, config in visit["challengers"]
                if number not in job["compiled"]
            ]
            for start in range(0, len(fresh), job["threads"] or 4):
                group = fresh[start : start + (job["threads"] or 4)]
                for number, _ in group:
                    hear(f"try {number} compiling")
                if any(named == deadly for _, named in group):
                    self.jobs.append(job)
                    return Answer("crash", "died by signal SIGABRT", {}, 1.0)
                for number, _ in group:
                    hear(f"passed {number}")
            return super().__call__(job, limit_s, hear)

    child = Compiling()
    made = tuner(child)
    made.run()
    failed = [(t.layer.key, config) for t in made.targets for config, x in t.tried.items() if x.status == "failed"]
    assert failed == [deadly]
    assert sum(len(target.tried) for target in made.targets) == 3 * 6


def test_a_process_that_never_does_anything_is_an_error(tuner: Callable[..., Tuner]) -> None:
    def dead(*_: Any) -> Answer:
        return Answer("error", "ModuleNotFoundError: No module named 'triton'", {}, 1.0)

    with pytest.raises(TuningError, match="No module named 'triton'"):
        tuner(FakeChild(), ask=dead).run()


def test_two_at_once_are_refused(tuner: Callable[..., Tuner]) -> None:
    made = tuner(FakeChild())
    with made.kept.writing(), pytest.raises(StoreError, match="another tuner"):
        tuner(FakeChild()).run()


def test_killed_while_it_writes_the_table_is_whole(
    tuner: Callable[..., Tuner], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = tuner(FakeChild(lambda layer, config: better(layer, config)), cap=1)
    made.run()
    before = made.kept.path.read_bytes()

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            tuner(FakeChild(lambda layer, config: better(layer, config)), cap=2).run()
    assert made.kept.path.read_bytes() == before
    child = FakeChild()
    tuner(child, cap=2).run()
    assert len(child.tried) == 2  # the third was on disk, as a line, before the table was written


def test_a_full_disk_is_told_and_a_line_cut_short_costs_itself(
    tuner: Callable[..., Tuner], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(trials.os, "write", lambda file, data: write(file, data[:50]))
        with pytest.raises(StoreError, match="disk is full"):
            tuner(FakeChild()).run()
    child = FakeChild()
    made = tuner(child)
    made.run()
    assert len(child.tried) == 3 * 6
    assert len(made.kept.lines.read_text().splitlines()) == 1 + 3 * 6


@pytest.mark.parametrize(
    ("times", "won"), [([0.985] * 40, False), ([0.95] * 40, True), ([0.9] * 6 + [1.0] * 34, False)]
)
def test_a_challenger_wins_by_the_margin_and_twice(times: list[float], won: bool) -> None:
    drift = iter(range(1000))
    left = iter(times)
    # a clock that slows down by 30 % meets both
    found = tune.contest(lambda: 1 + next(drift) / 250, lambda: next(left) * (1 + next(drift) / 250), (6, 30))
    assert found[2] is won


def job(arch: int = 90, threads: int = 1) -> TryJob:
    """One of no candidates, on a CPU."""
    return TryJob([], [], "cpu", arch, 0, threads, 600.0)


class Driver:
    """Enough of a CUDA driver for Triton's launcher to compile."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, _: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


@pytest.mark.skipif(INTERPRETED, reason="kernels defined under TRITON_INTERPRET=1 cannot be compiled")
@pytest.mark.parametrize("text", ["ptr-64x64x32-w4-s3-k2-g8-pdl", "tma-1.8.8x64x32-w4-s3-k1-g8-serial"])
def test_a_candidate_is_compiled_once_and_what_is_judged_is_launched(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Judged by one process, launched by another."""
    layer, config = Layer(2, 8, 8, 64, 64, (3, 3), 1, 1), Config.parse(text)
    heard = []
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    listen = lambda *, cache_hit, metadata, **_: heard.append((metadata["hash"], cache_hit))  # noqa: E731
    monkeypatch.setattr(triton.knobs.compilation, "listener", listen)
    visits = [tune.Visit(layer, None, [(0, config)])]
    talk = tune._Talk(lambda stage: None, time.monotonic() + 600)
    assert tune.compile_all(visits, set(), job(arch=90, threads=2), talk) == {0}
    made = [key for key, hit in heard if not hit]
    assert len(made) == len(set(made)) == (2 if config.split_k > 1 else 1)
    heard.clear()
    monkeypatch.setattr(triton.runtime.driver, "_active", Driver())
    operands, out = Operands.of(layer, "cpu"), output(layer, "cpu")
    for launch, arguments in implementation(layer, config).calls(layer, config, operands, out):
        launch.kernel.device_caches.clear()  # as a new process finds them
        launch.kernel.run(*arguments, grid=launch.grid, warmup=True, **launch.constants, **launch.options)
        launch.kernel.device_caches.clear()
    assert heard == [(key, True) for key in made]


# --- the judgement, by what a CPU can do


LITTLE = Layer(2, 6, 6, 16, 32, (3, 3), 1, 1, residual=True, dtype="fp32")
CONFIG = Config.parse("ptr-16x16x16-w4-s2-k1-g8")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Tensor], object]], list[str]]:
    """What is told of a candidate whose kernel does `spoil` to the right output."""

    def judge(spoil: Callable[[Tensor], object]) -> list[str]:
        right = subject.launcher

        def spoilt(layer: Layer, config: Config, operands: Any, out: Tensor, parts: Any) -> Callable[[], object]:
            run = right(layer, config, operands, out, parts)
            return lambda: (run(), spoil(out))

        monkeypatch.setattr(subject, "launcher", spoilt)
        told: list[str] = []
        visit = tune.Visit(LITTLE, None, [(0, CONFIG)])
        talk = tune._Talk(told.append, time.monotonic() + 600)
        tune._visit(visit, job(), HostClock(), talk)
        return [line for line in told if line.startswith("done")]

    return judge


def test_what_is_right_is_timed(judged: Callable[..., list[str]]) -> None:
    (line,) = judged(lambda out: None)
    assert json.loads(line.split(" ", 2)[2])["status"] == "won"


CALLS = iter(range(99))


def behind(out: Tensor) -> None:
    """One element past the end of it."""
    torch.as_strided(out, (1,), (1,), out.storage_offset() + out.numel()).fill_(1.0)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda out: out[1, 3, 2, 2].add_(1e-3), "1 of 2304 values are off"),
        (lambda out: out[0, 0].fill_(torch.nan), "36 are NaN or unwritten"),
        (lambda out: out[:, :, 5].zero_(), "values are off"),
        (lambda out: out.mul_(1 + 2.0**-23 * (next(CALLS) % 2)), "two runs"),
        (behind, "outside its output"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_never_timed(
    judged: Callable[..., list[str]], spoil: Callable[[Tensor], object], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def timed(*_: Any) -> None:
        raise AssertionError("a wrong candidate was timed")

    monkeypatch.setattr(subject.Subject, "timer", timed)
    (line,) = judged(spoil)
    ended = json.loads(line.split(" ", 2)[2])
    assert ended["status"] == "wrong"
    assert reason in ended["reason"]
    assert "us" not in ended


def test_what_is_wrong_only_back_to_back_has_no_time(judged: Callable[..., list[str]]) -> None:
    calls = iter(range(9))
    (line,) = judged(lambda out: out.add_(1.0) if next(calls) > 1 else None)
    assert json.loads(line.split(" ", 2)[2]) == {
        "status": "wrong",
        "reason": "launched back to back it writes something else than alone",
    }


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("shape", [{}, {"prologue": True}, {"second": (12, 12, 24, 2)}])
def test_rounding_is_allowed_and_a_missing_product_is_not(dtype: str, shape: dict[str, Any]) -> None:
    """The op's own aten is within the tolerance; without one channel of one tap it is not."""
    layer = replace(LITTLE, c_in=64, dtype=dtype, **shape)
    made = subject.Subject(layer, "cpu", HostClock(), seed=1)
    assert made.wrong(CONFIG) == ""
    weight, _ = subject.unpack(made.sets[0].weight, layer)
    weight[:, 7, 1, 1] = 0
    assert "values are off" in made.wrong(CONFIG)


@pytest.mark.parametrize("dtype", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize(
    ("layer", "config"),
    [
        (Layer(2, 22, 17, 3, 24, (7, 7), 2, 3, relu=False, pool=True), "ptr-32x32x32-w4-s1-k1-g2"),
        (Layer(3, 7, 5, 72, 40, (1, 1), relu=False, mean=True), "ptr-1x16x64-w8-s3-k1-g8"),
        (Layer(3, 7, 5, 72, 40, (1, 1), relu=False, prologue=True, mean=True), "ptr-16x16x32-w4-s2-k2-g8"),
    ],
    ids=["stem", "head in one kernel", "head in two"],
)
def test_a_stem_and_a_head_are_judged_as_a_convolution_is(layer: Layer, config: str, dtype: str) -> None:
    layer = replace(layer, dtype=dtype)
    made = subject.Subject(layer, "cpu", HostClock(), seed=1)
    assert made.want.abs().max() > 0.5
    assert made.wrong(Config.parse(config)) == ""
    made.sets[0].weight[:, 3:6] = 0
    assert "values are off" in made.wrong(Config.parse(config))


# --- tables, the command line


def bench(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench", "tune", *words],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "80", "NO_COLOR": "1"} | env,
        capture_output=True,
        text=True,
        timeout=550,
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["resnet51"], "unknown model"),
        (["--batch", "0"], "not positive numbers"),
        (["--batch", "1,x"], "not positive numbers"),
        (["--precision", "int8"], "there are kernels for"),
        (["--dry"], "name a file outside"),
        (["--dry", "-o", str(GPU.file)], "name a file outside"),
    ],
)
def test_bad_usage(words: list[str], sentence: str) -> None:
    done = CliRunner(env={"COLUMNS": "80", "NO_COLOR": "1"}).invoke(app, ["tune", *words])
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.replace("│", "").split())


@pytest.mark.skipif(no_cuda(environment()) is None, reason="this machine has a GPU")
def test_without_a_gpu_it_says_so() -> None:
    done = bench()
    assert done.returncode == 3
    assert "no CUDA device" in done.stderr
    assert "--dry" in done.stderr


@pytest.mark.parametrize(
    "text",
    ['{"schema": 9}', "", "\0\0", '{"schema": 1, "entries": [', '{"schema": 1, "entries": [{"gpu": "x", "layer": 3}]}'],
)
def test_a_file_that_is_no_table_is_left_alone_and_told_at_once(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_tune, "ask", None)  # before anything is worked out
    file = tmp_path / "mine.json"
    file.write_text(text)
    done = CliRunner().invoke(app, ["tune", "resnet18", "--dry", "-o", str(file)])
    assert done.exit_code == 2
    assert "not a table of configurations" in done.output
    assert "choose another file with -o" in done.output
    assert file.read_text() == text
    assert list(tmp_path.iterdir()) == [file]


def test_a_damaged_table_is_one_sentence_and_bad_usage(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text("{")
    done = bench("resnet18", "--dry", "-o", str(file))
    assert done.returncode == 2
    assert done.stderr.startswith(f"bench: {file}: not a table of configurations")
    assert len(done.stderr.strip().splitlines()) == 1


def test_it_fits_80_columns(tuner: Callable[..., Tuner], capsys: pytest.CaptureFixture[str]) -> None:
    """With the longest layer and the longest configuration of all networks."""
    layer = Layer(256, 14, 14, 256, 1024, (1, 1), second=(28, 28, 512, 2))
    network = Network("resnet152v1-none", 256, "fp16", {layer: 12})
    child = FakeChild(lambda layer, config: {"status": "won", "us": 1234.567, "beside_us": 22222.22})
    made = tuner(child, networks=[network])
    made.run()
    (target,) = made.targets
    long = replace(target.tried[target.best or ""], config="tma-1.16.16x128x32-w8-s3-k16-g8-pdl")
    target.candidates.append(long.config)
    target.note(long)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cli_tune, "out", Console(width=80, highlight=False))
        cli_tune._print(made, 0, False)
    lines = capsys.readouterr().out.splitlines()
    assert any("tma-1.16.16x128x32-w8-s3-k16" in line and "14x14x256 1x1 1024 +d" in line for line in lines), lines
    assert all(len(line) <= 80 for line in lines if "Table:" not in line)


@pytest.fixture(scope="module")
def dried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dry run that was killed at its first improvement."""
    file = tmp_path_factory.mktemp("dry") / "table.json"
    child = subprocess.Popen([sys.executable, "-m", "bench", "tune", *DRY, str(file)], cwd=ROOT, stderr=subprocess.PIPE)
    while not file.exists() and child.poll() is None:
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    return file


DRY = ["resnet18-none", "--image", "32", "--batch", "1", "--precision", "fp32", "--candidates", "1", "--dry", "-o"]


@pytest.mark.slow
def test_a_dry_run_that_was_killed_goes_on_where_it_was(dried: Path) -> None:
    before = Table.load(dried)
    tried = dried.with_suffix(".trials.jsonl").read_text().splitlines()
    assert len(before) >= 1
    done = bench(*DRY, str(dried), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["gpu"]["name"].startswith("dry run")
    assert told["left"] == 0
    rows = told["layers"]
    assert len(rows) == 9
    assert all(row["tried"] == 1 and row["us"] > 0 and row["predicted_us"] > 0 and not row["wrong"] for row in rows)
    lines = dried.with_suffix(".trials.jsonl").read_text().splitlines()
    assert lines[: len(tried)] == tried
    assert len({(trial["layer"], trial["config"]) for trial in map(json.loads, lines)}) == len(lines) == 9
    assert len(Table.load(dried)) == 9
    (network,) = told["networks"]
    assert network["layers"] == 18  # stem, 16 convolutions, head
    assert network["us"] > 0


@pytest.mark.gpu
@pytest.mark.timed
@pytest.mark.slow
def test_two_layers_on_this_gpu(tmp_path: Path) -> None:
    here = tune.networks(NetworksJob(["resnet18"], [8], ["fp16"]), print)
    network = Network.read(here["networks"][0])
    two = replace(network, layers=dict(list(network.layers.items())[:2]))
    kept = Kept(tmp_path / "table.json")
    start = time.monotonic()
    made = Tuner(Gpu(**here["gpu"]), here["versions"], kept, [two], budget_s=60, cap=24)
    made.run()
    assert time.monotonic() - start < 75
    for target in made.targets:
        assert target.best, {config: (trial.status, trial.reason) for config, trial in target.tried.items()}
        assert len(target.tried) >= 8
        # faster than a millisecond, slower than its bytes at 10 TB/s
        assert target.layer.bytes / 1e7 < (target.us or 0) < 1000
    assert {entry.layer for entry in Table.load(kept.path)} == {layer.key for layer in two.layers}
