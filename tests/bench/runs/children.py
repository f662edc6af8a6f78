"""Every kind of child that reads records, checks software or does a job, each asked for its answer."""

from __future__ import annotations

from pathlib import Path

from bench.machine.software import _module
from bench.records.parse import _Helper
from bench.runs.process import ask


def assert_children_answer(folder: Path) -> None:
    """Assert that each answers as it does where nothing is odd; `folder` gets a file of records."""
    (folder / "records.jsonl").write_text("{}\n")
    helper = _Helper([(folder / "records.jsonl", 0, 3)], samples=False)
    part = helper.receive()
    helper.close()
    assert part
    assert part.end == 3
    assert not _module("json", "").reason
    assert ask({"job": "none such"}, 60).reason.startswith("KeyError: ('none such', '')")
