"""`bench constants`: its arithmetic, its file, and a dry run that walks every experiment."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.errors import StoreError
from bench.experiments.arithmetic import Work, bottleneck, rates_between
from bench.experiments.kept import ConstantsFile
from bench.experiments.lists import EXPERIMENTS, MODEL
from bench.machine.environment import environment, no_cuda
from kernels.cards.constants import read_constants

TILES, STEPS = 392, 36  # of 128x256: 14x14 at batch 256, 256 channels, a 3x3's depth in steps of 64
L2, TENSOR = 6.0e12, 700e12


def bench(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["constants", *words])
    return done.exit_code, done.output


def work(block_n: int, depth: int) -> Work:
    return Work.of(TILES * 256 // block_n, depth * STEPS, 128, block_n, 64)


def seconds(one: Work, l2: float, tensor: float) -> float:
    """A card's time: the slower of the two, and a launch."""
    return max(one.fetched / l2, one.operations / tensor) + 5e-6


@pytest.mark.parametrize(
    ("l2", "tensor", "bounded"), [(L2, 4 * TENSOR, "L2"), (4 * L2, TENSOR, "tensor cores"), (7.0e12, 500e12, "both")]
)
def test_two_tiles_and_two_depths_tell_what_bounds(l2: float, tensor: float, bounded: str) -> None:
    slopes = {}
    for block_n in (128, 256):
        short, long = work(block_n, 1), work(block_n, 2)
        slopes[block_n] = rates_between(short, long, seconds(short, l2, tensor), seconds(long, l2, tensor))
    square, wide = slopes[128], slopes[256]
    assert square
    assert wide
    assert bottleneck(square, wide) == bounded
    reached = max(square.fetched, wide.fetched), max(square.operations, wide.operations)
    assert reached[0] == pytest.approx(l2) if bounded != "tensor cores" else reached[0] < l2
    assert reached[1] == pytest.approx(tensor) if bounded != "L2" else reached[1] < tensor


def test_the_work_of_a_3x3_by_hand() -> None:
    one = Work.of(TILES, STEPS, 128, 256, 64)
    assert one.operations == 2 * 50176 * 256 * 2304
    assert one.fetched == 392 * 36 * (128 * 64 + 256 * 64) * 2


def test_twice_the_depth_in_less_time_is_noise() -> None:
    assert rates_between(work(128, 1), work(128, 2), 2e-4, 1.9e-4) is None


def outcome(status: str = "ok", **more: Any) -> dict[str, Any]:
    return {"status": status, "reason": "", "seconds": 1.0, **more}


def facts(gpu: str) -> dict[str, Any]:
    return {"gpu": {"name": gpu}}


def test_the_file_holds_predictions_before_outcomes_and_keeps_what_it_had(tmp_path: Path) -> None:
    file = tmp_path / "constants.json"
    first, second = EXPERIMENTS[0], EXPERIMENTS[1]
    kept = ConstantsFile(file, facts("NVIDIA H100"), dry=False)
    kept.expect([first, second])
    found = json.loads(file.read_text())
    assert [(one["name"], one["status"]) for one in found["experiments"]] == [
        (first.name, "skipped"), (second.name, "skipped"),
    ]  # fmt: skip
    assert found["experiments"][0]["prediction"] == {
        "text": first.predicted, "source": MODEL, "numbers": first.numbers,
    }  # fmt: skip
    made = {"launch_us": {"value": 1.9, "unit": "us", "how": "measured"}}
    kept.add(first.name, outcome(data={"ns": [1, 2]}, constants=made))

    later = ConstantsFile(file, facts("NVIDIA H100"), dry=False)
    later.expect([first, second])
    later.add(first.name, outcome("skipped"))
    later.add(second.name, outcome("timeout"))
    found = json.loads(file.read_text())
    assert later.answered() == {first.name}
    assert found["constants"] == made
    assert read_constants(file, "NVIDIA H100")["launch_us"].value == 1.9  # what the configurations' model reads of it
    assert [(one["name"], one["status"]) for one in found["experiments"]] == [
        (first.name, "ok"), (second.name, "timeout"),
    ]  # fmt: skip
    assert found["experiments"][0]["data"] == {"ns": [1, 2]}

    ConstantsFile(file, facts("NVIDIA H200"), dry=False)
    assert json.loads(file.read_text())["constants"] == {}


def test_another_file_is_not_written_over(tmp_path: Path) -> None:
    file = tmp_path / "constants.json"
    for text in ("not JSON", '{"schema": 99}', "[]"):
        file.write_text(text)
        with pytest.raises(StoreError, match=r"constants\.json"):
            ConstantsFile(file, facts("NVIDIA H200"), dry=False)
        assert file.read_text() == text


@pytest.mark.skipif(no_cuda(environment()) is None, reason="there is a GPU")
def test_without_a_card_it_says_so(tmp_path: Path) -> None:
    code, said = bench("-o", str(tmp_path / "constants.json"))
    assert code == 3
    assert "no CUDA device" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.gpu
@pytest.mark.slow
def test_constants_of_this_card(tmp_path: Path) -> None:
    file = tmp_path / "constants.json"
    _, said = bench("launches", "memory", "products", "-o", str(file))
    found = json.loads(file.read_text())["constants"]
    assert {"launch_us", "memory_share", "l2_bytes_per_s", "tensor_share_ptr"} <= found.keys(), said


def test_a_share_of_more_than_the_whole_is_refused() -> None:
    """Who reads the file would refuse all of it: a datasheet's row is wrong, which the data then says."""
    from bench.worker.experiments.place import Place
    from bench.worker.experiments.products import as_outcome
    from bench.worker.measure.clock import Clock

    card = Place("cuda", Clock(), "NVIDIA H200", 90, 132)
    found = as_outcome(card, {}, memory_share=(1.4, "1", "a copy"), launch_us=(1.9, "us", "empty kernels"))
    assert set(found["constants"]) == {"launch_us"}
    assert found["data"]["refused memory_share"]["value"] == 1.4
    assert card.machine.memory == 4.8e12


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("========= RACECHECK SUMMARY: 0 hazards displayed (0 errors, 0 warnings)", "ok"),
        ("========= RACECHECK SUMMARY: 1 hazard displayed (1 error, 0 warnings)", "wrong"),
        ("========= Error: Target application terminated before first instrumented API call", "error"),
    ],
)
def test_what_racecheck_says(said: str, outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool needs a GPU; what it prints is from its manual."""
    from bench.worker.experiments.agreement import racecheck
    from bench.worker.experiments.place import Place
    from bench.worker.measure.clock import Clock

    tool = tmp_path / "compute-sanitizer"
    tool.write_text(f"#!/bin/sh\necho '{said}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    card = Place("cuda", Clock(), "NVIDIA H200", 90, 132)
    if outcome == "error":
        with pytest.raises(RuntimeError, match=r"no summary: .*terminated"):
            racecheck(card, "racecheck")
        return
    fields = racecheck(card, "racecheck")
    assert fields["data"]["hazards"] == (outcome == "wrong")
    assert fields.get("status", "ok") == outcome
    assert outcome == "ok" or "1 hazard displayed" in fields["reason"]
