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
