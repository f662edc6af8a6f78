import re
from collections.abc import Callable
from typing import Any

import pytest

from bench.cli.progress import Progress
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
