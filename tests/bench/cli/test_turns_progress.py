"""What a sweep says while it runs: the row of a case that waits for its turns, the answer so far, what takes long."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from bench.cli.progress import Progress
from bench.plans.case import Case
from bench.records.record import Record
from bench.runs.turns import LEAST
from tests.bench.runs.test_process import soon

LONGEST = Case("resnet50", "channels-last-amp", "bf16", 32, 224, "stream")


def test_a_case_that_waits_for_its_turns_has_a_row(here: dict[str, Any], capfd: pytest.CaptureFixture[str]) -> None:
    progress = Progress("quick", here)
    progress.starts(LONGEST)
    progress.ready(LONGEST, 693.8e6)
    row = capfd.readouterr().err.splitlines()[-1]
    assert row == f"{LONGEST.name}  so far 693.8 ms, 46.12 images/s"
    assert len(row) <= 80
    assert progress.running == set()  # it sleeps


def test_an_answer_so_far_says_how_much_is_to_come_and_no_more_than_its_windows(
    record: Callable[..., Record], here: dict[str, Any], capfd: pytest.CaptureFixture[str]
) -> None:
    def windows(ns: int, count: int) -> list[dict[str, Any]]:
        return [{"turn": turn, "start_ns": turn, "images": 1, "ns": ns + turn} for turn in range(1, count + 1)]

    for count, said in ((LEAST, "onnxruntime/fp32 is fastest"), (2, "2 windows of each give no interval")):
        Progress("quick", here).so_far(
            [
                record(f"resnet50/{variant}/fp32/b1/i224/stream", windows=windows(ns, count))
                for variant, ns in (("eager", 900), ("onnxruntime", 300))
            ],
            4,
        )
        lines = capfd.readouterr().err.splitlines()[-4:]
        assert "So far, with 4 cases and the last checks still to come:" in lines
        assert said in lines[-1]  # a sentence is one line where stderr is no terminal
    Progress("quick", here).so_far([record("resnet50/eager/fp32/b1/i224/stream")], 4)
    assert "So far" not in capfd.readouterr().err  # one alone is no answer


def test_a_pipe_is_told_what_runs_before_it_wonders(
    here: dict[str, Any], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.progress.SILENCE_S", 0.01)
    with Progress("quick", here) as progress:
        assert soon(lambda: "earlier records: read, " in capfd.readouterr().err)
        progress.planned(22)
        progress.ready(replace(LONGEST, batch=1), 1e6)  # its record comes later, as the first of 22
        progress.starts(LONGEST)
        progress.stage("prepare")
        assert soon(lambda: f"[0/22] {LONGEST.name}: prepare, " in capfd.readouterr().err)
    capfd.readouterr()
    progress.stage("gate")
    assert not capfd.readouterr().err  # it is over
