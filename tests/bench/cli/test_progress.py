"""The live lines of a sweep and its estimates of the time left."""

import io
import re
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from bench.cli.progress import Progress
from bench.plans.case import Case
from bench.records.record import Record


def test_what_was_passed_over_among_the_pictures_is_told_once(
    record: Callable[..., Record], here: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    note = {"source": "folder", "note": "passed over ._a.jpg, hidden and so no pictures"}
    with Progress("test", here) as progress:
        for batch in (1, 2):
            progress.ended(record(f"resnet18/eager/fp32/b{batch}/i64/stream", input=note))
    assert capsys.readouterr().err.count("--input: passed over ._a.jpg") == 1


def test_a_case_without_turns_has_a_row_as_it_ends_and_one_skipped_once_started_is_counted(
    record: Callable[..., Record], here: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first, refused = (record(f"resnet18/{v}/fp32/b4/i64/stream") for v in ("eager", "compile-aot"))
    unable = record("resnet18/fused/fp32/b4/i64/graph", status="skipped", reason="no GPU")
    refused.status, refused.reason = "skipped", "torch.export refuses it"
    with Progress("test", here) as progress:
        progress.ended(unable)
        progress.planned(2)
        for one in (first, refused):
            progress.starts(one.case)
            progress.ended(one)
    lines = capsys.readouterr().err.splitlines()
    assert lines[-3] == f"{first.case.name}  10 ms, 400 images/s"
    assert lines[-2].startswith(f"[1/2] {first.case.name}  ")
    assert lines[-1] == f"[2/2] skipped {refused.case.name}"
    assert unable.case.name not in "".join(lines)


def test_the_time_left_is_at_most_the_budgets(
    record: Callable[..., Record], here: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    for budget, said in ((40.0, r" (about 40|about 3\d) s left"), (float("inf"), "about 16 min left")):
        with Progress("test", here, budget) as progress:
            progress.planned(60)
            progress.ended(record("resnet18/eager/fp32/b1/i64/stream", wall_s=16.5))
        assert re.search(said, capsys.readouterr().err)


def test_the_time_left_goes_by_the_settings_until_a_case_has_ended(
    record: Callable[..., Record], here: dict[str, Any]
) -> None:
    progress = Progress("test", here)
    progress.planned(4)
    assert progress._left() == ""  # nothing is known yet
    progress.expected(120)
    assert progress._left() == "about 2 min left"
    progress.began -= 100
    assert progress._left() == "about 20 s left"
    progress.began -= 100
    assert progress._left() == "longer than estimated"
    first = record("resnet18/eager/fp32/b1/i64/stream", wall_s=10.0)
    progress.starts(first.case)
    progress.ended(first)
    assert progress._left() == "about 30 s left"
    progress.last_end -= 7  # of the next case
    assert progress._left() == "about 23 s left"
    progress.last_end -= 70
    assert progress._left() == "about 20 s left"  # of the two behind it


def test_cases_that_took_turns_count_with_their_share(record: Callable[..., Record], here: dict[str, Any]) -> None:
    progress = Progress("test", here)
    progress.planned(4)
    both = [record(f"resnet18/{variant}/fp32/b1/i64/stream", wall_s=60.0) for variant in ("eager", "compile")]
    for one in both:
        progress.starts(one.case)
        progress.ready(one.case, 1e6)
    progress.last_end -= 60  # for both together
    progress.ended(both[0])
    assert progress._left() == "about 60 s left"  # the other one of them has had its turns
    progress.ended(both[1])
    assert progress._left() == "about 60 s left"
    progress.planned(2)
    assert progress._left() == ""


@pytest.mark.parametrize("width", [40, 60, 120])
def test_the_live_lines_cut_no_name(here: dict[str, Any], width: int) -> None:
    progress, out = Progress("test", here), Console(width=width, file=io.StringIO())
    progress.planned(22)
    progress.expected(3000)
    name = "resnet152v2-none/channels-last-amp/bf16/b128/i224/graph"
    progress.starts(Case.parse(name))
    progress.stage("prepare")
    out.print(*progress.bar.get_renderables())
    lines = out.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "0/22" in lines[0]
    assert "about 50 min left" in lines[0]
    assert "".join(lines[1:]).replace(" ", "").startswith(f"{name}:prepare,0s")
    assert max(map(len, lines)) <= width


def test_many_contests_so_far_are_a_sentence(
    record: Callable[..., Record], here: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    ways = [f"{variant}/fp32/b{batch}" for batch in range(1, 9) for variant in ("eager", "compile")]
    Progress("test", here).so_far([record(f"resnet18/{way}/i64/stream") for way in ways], 3)
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("Of 8 contests of 1 model, each at one batch and launch: ")
