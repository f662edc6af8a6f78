"""One case at several commits."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from bench.report.page import sections
from bench.report.page.data import gather
from bench.report.page.document import render_page
from bench.runs.worktree import commit_order
from tests.bench.report.page.sweeps import Make, another, stored

pytest.importorskip("vl_convert")


def test_a_case_at_several_commits_is_shown_apart_and_over_them(
    tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    folders = []
    for place in range(14):
        env = another(here, git={"sha": f"{place:x}" * 40, "dirty": False})
        ms = 10 + 0.01 * (place % 3) + (2 if place > 6 else 0)
        day = f"2026-02-{place + 1:02d}T12:00:00+00:00"
        one = record("resnet18/eager/fp32/b1/i224/stream", ms=ms, environment=env, started=day)
        folders.append(stored(tmp_path / str(place), [one]))
    data = gather(folders)
    assert len(data.settings) == 14
    assert "commit dddddddddd" in data.settings[0].label  # the newest first
    (changed,) = [row for row in data.history if "change" in row and row["panel"].endswith("ms")]
    assert changed["commit"] == "7" * 10
    assert re.fullmatch(r"\+(19|20)\.\d %, worse", changed["change"])
    assert "history" in {section.name for section in sections.SECTIONS if section.draw(data)}


def test_what_the_history_lacks_is_no_line_that_could_not_be_read(
    tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    if not (commits := list(commit_order())):
        pytest.skip("a checkout without its commits")
    shas = ({"sha": sha, "dirty": False} for sha in (commits[0], "f" * 40))
    made = [
        record("resnet18/eager/fp32/b1/i224/stream", environment=another(here, git=git), round=number)
        for number, git in enumerate(shas)
    ]
    page = render_page([stored(tmp_path / "changed", made)])
    assert "<p>Of the history:</p>" in page
    assert "could not be read" not in page


def test_what_moved_all_series_is_a_sentence(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    for place in range(14):
        env = another(here, git={"sha": f"{place:x}" * 40, "dirty": False})
        day = f"2026-02-{place + 1:02d}T12:00:00+00:00"
        sweep = [
            record(
                f"resnet18/eager/fp32/b{batch}/i224/stream",
                ms=batch * (10 + 0.01 * ((place * batch) % 7) + (1 if place > 6 else 0)),
                environment=env,
                started=day,
            )
            for batch in range(1, 31)
        ]
        stored(tmp_path / f"{place:02d}", sweep)
    data = gather(sorted(tmp_path.iterdir()))
    (sentence,) = [text for text in data.of_history if "moved alike" in text]
    assert "between 6666666666 and 7777777777" in sentence
    assert not [row for row in data.history if "change" in row]
