"""The GPU campaign: its data against the commands and plans it names; a dry run of every slice, by real processes."""

import json
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from bench import campaign, plan
from bench.campaign import LIMITS, SLICES, USUAL, Campaign, Slice, Step, standin, standin_case
from bench.case import Case
from bench.cli import app
from bench.store import Store

ROOT = Path(__file__).resolve().parents[2]


def options(name: str) -> set[str]:
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    return {word for parameter in command.params for word in parameter.opts}


def test_every_step_is_a_command_that_takes_these_options(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    for found in SLICES.values():
        for step in found.steps:
            module, *words = made.command(step, 100)[2:]
            if module == "bench":
                assert {word for word in words if word.startswith("-")} <= options(words[0]), words
            else:
                assert module == "pytest"
                assert all((ROOT / word).exists() for word in words if word.startswith("tests/"))


def test_every_plan_of_a_gpu_has_a_stand_in_that_can_be_read(here: dict[str, Any]) -> None:
    for found in SLICES.values():
        for step in found.steps:
            if step.plan:
                dry = plan.read(standin(plan.load(step.plan), here), step.plan, step.plan)
                assert dry.cases
                assert all(case.image == 32 and case.launch == "stream" for case in dry.cases)


def test_a_case_that_no_cpu_serves_gives_way_to_eager() -> None:
    assert standin_case(Case.parse("resnet50/fused/fp16/b128/i224/graph")).name == "resnet18/eager/fp32/b1/i32/stream"
    told = standin_case(Case.parse("resnet50/library-fused/bf16/b128/i224/graph"))
    assert told.name == "resnet18/library-fused/bf16/b1/i32/stream"


def script(monkeypatch: pytest.MonkeyPatch, *steps: str, shares: tuple[float, ...] = ()) -> None:
    """A slice `try` whose steps are Python programs; {root} is in them."""
    made = [Step(("-c", text), share) for text, share in zip(steps, shares or (1.0,) * len(steps), strict=True)]
    monkeypatch.setitem(SLICES, "try", Slice("try", "A test.", tuple(made)))


def test_what_changes_is_mirrored_by_the_same_names_while_a_step_runs(
    here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "LOOK_S", 0.1)
    results, out = tmp_path / "results", tmp_path / "out"
    (results / "dry" / "headline").mkdir(parents=True)
    (results / "dry" / "headline" / "records.jsonl").write_text("old\n")
    write = "import pathlib, time; p = pathlib.Path('{root}', 'depths'); p.mkdir(); (p / '.lock').write_text('');"
    seen = f"(p / 'records.jsonl').write_text('one'); o = pathlib.Path('{out}', 'dry/depths/records.jsonl')"
    wait = "\nwhile not o.exists(): time.sleep(0.05)"
    script(monkeypatch, write + seen + wait)
    made = Campaign(here, results, out, dry=True)
    assert list(made.run("try", 60))
    assert not made.failed
    assert [path.relative_to(out) for path in out.rglob("*") if path.is_file()] == [Path("dry/depths/records.jsonl")]


def test_a_step_that_fails_or_hangs_costs_itself_alone(
    here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign, "GRACE_S", 2.0)
    hang = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(600)"
    write = "import pathlib; pathlib.Path('{root}').mkdir(); pathlib.Path('{root}', 'end').write_text('')"
    script(monkeypatch, "raise SystemExit(3)", hang, write, shares=(1.0, 0.2, 1.0))
    made = Campaign(here, tmp_path, dry=True)
    start = time.monotonic()
    assert len(list(made.run("try", 20))) == 3
    assert time.monotonic() - start < 20
    assert [line.split()[-1] for line in made.failed] == ["3", "-9"]
    assert (made.root / "end").exists()


def test_no_step_starts_when_the_time_is_over(
    here: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script(monkeypatch, "raise SystemExit(3)")
    made = Campaign(here, tmp_path, dry=True)
    assert list(made.run("try", campaign.GRACE_S)) == []
    assert "out of time" in made.failed[0]


def test_too_much_for_a_machine_that_gives_back_little_is_told(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    made.root.mkdir()
    for number in range(LIMITS[0] + 1):
        (made.root / str(number)).touch()
    with (made.root / "large").open("wb") as file:
        file.truncate(LIMITS[1] + 1)
    assert len(made.too_much()) == 2


@pytest.mark.parametrize(("name", "place"), [("depths", 0), ("correctness", 1)])
def test_a_slice_goes_on_in_its_folder_and_not_in_another_machines(tmp_path: Path, name: str, place: int) -> None:
    step = SLICES[name].steps[place]
    chosen = plan.gate_only(plan.load(name)) if name == "correctness" else plan.load(name)
    record = Store(ROOT / "results" / "cpu-quick").load()[-1]
    record.environment |= {"gpu": {"name": "NVIDIA Test"}, "torch_cuda": "13.0"}
    record.device, record.settings = "cuda", asdict(chosen.settings)
    store = Store(tmp_path / "nvidia-test" / name)
    with store.writing():
        store.append(record)
    assert Campaign(record.environment, tmp_path).folder(step) == store.folder
    other = record.environment | {"packages": record.environment["packages"] | {"torch": "1.0"}}
    assert Campaign(other, tmp_path).folder(step) == store.folder.with_name(f"{name}-2")


def bench(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "bench", "gpu", *words], capture_output=True, text=True, cwd=ROOT)


def test_bad_usage_and_no_gpu() -> None:
    told = bench("depth")
    assert told.returncode == 2
    assert "unknown slice 'depth'; allowed: correctness" in " ".join(told.stderr.split())


@pytest.mark.slow
def test_a_dry_run_walks_every_kind_of_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slices left out are sweeps as `headline` is, of plans whose stand-ins are read above."""
    monkeypatch.setenv("OUT", str(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    walked = ("correctness", "tune", "headline", "layers")
    assert set(USUAL) < set(walked)
    left_out = [step for name, found in SLICES.items() if name not in walked for step in found.steps]
    sweep = [word for word in SLICES["headline"].steps[0].argv if not word.startswith("{")]
    assert all([word for word in step.argv if not word.startswith("{")] == sweep for step in left_out)
    told = bench(*walked, "--dry")
    assert told.returncode == 0, told.stdout + told.stderr
    for name in walked:
        assert f"\n{name}, " in told.stdout
    for name in ("correctness", "headline"):
        (record,) = Store(tmp_path / "dry" / name).load()
        assert record.status == "ok", record.reason
    assert json.loads((tmp_path / "tuned" / "dry.json").read_text())
    assert json.loads((tmp_path / "ceilings" / "dry.json").read_text())
    assert list((tmp_path / "dry" / "layers").glob("*.json"))
