"""One case at several commits."""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import pytest

from bench.history.accepted import FILE
from bench.report.page import sections
from bench.report.page.data import gather
from bench.report.page.document import render_page
from bench.report.page.overview import still
from bench.report.page.settings import RECENT, chooser
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
    assert len(data.settings) == RECENT
    assert "commit dddddddddd of 2026-02-14" in data.settings[0].label  # the newest first
    assert data.settings[0].summary()["label"].endswith(", the newest of 14 commits")
    assert [setting.commit[0] for setting in data.settings] == list("dcba987654")
    (changed,) = [row for row in data.history if row["changes"] and row["metric"] == "latency"]
    (machine,) = data.overview.machines
    assert machine["commits"][changed["changes"][0]["at"]] == "7" * 10
    assert re.fullmatch(r"\+(19|20)\.\d %", changed["changes"][0]["text"])
    assert (changed["kind"], changed["changes"][0]["kind"]) == ("worse", "worse")
    assert changed["levels"] == [[0, 6, 10.01], [7, 13, 12.01]]
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
    (sentence,) = [text for text in data.overview.notes if "moved alike" in text]
    assert "between 6666666666 and 7777777777" in sentence
    assert not [row for row in data.history if row["changes"]]
    assert all([first for first, _, _ in row["levels"]] == [0, 7] for row in data.history)  # as the machine's
    assert still(data.overview) is None


def nights(
    folder: Path,
    record: Make,
    here: dict[str, Any],
    slower: dict[str, dict[int, float]],
    count: int = 24,
    rounds: int = 1,
) -> list[Path]:
    """A folder a commit, with some cases, each `slower` from some commits on; torch is newer in the last four."""
    folders = []
    for place in range(count):
        software = {"packages": here["packages"] | {"torch": "9.9"}} if place >= count - 4 else {}
        env = another(here, git={"sha": f"{place:040x}"[::-1], "dirty": False}, **software)
        made = [
            record(
                f"resnet18/{variant}/fp32/b1/i224/stream",
                ms=(10 + 0.01 * ((3 * place) % 5) + 0.1 * turn) * prod(by for at, by in steps.items() if place >= at),
                environment=env,
                started=f"2026-03-{place + 1:02d}T12:00:00+00:00",
                round=turn,
            )
            for variant, steps in slower.items()
            for turn in range(rounds)
        ]
        folders.append(stored(folder / f"{place:02d}", made))
    return folders


SLOWER = {"eager": {}, "compile": {5: 1.1}, "compile-max": {9: 0.8}}


def test_what_got_worse_stands_first_and_the_newest_commit_answers_whatever_its_software(
    tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    data = gather(nights(tmp_path, record, here, SLOWER))
    kinds = [(row["variant"], row["kind"]) for row in data.history if row["metric"] == "latency"]
    assert kinds == [("compile", "worse"), ("compile-max", "better"), ("eager", "same")]
    (machine,) = data.overview.machines
    assert machine["software"] == {"20": f"torch {here['packages']['torch']}, then 9.9"}
    assert "torch 9.9, commit 7" in data.settings[0].label
    assert data.settings[0].of_commits == 24
    groups = chooser(data.settings)
    assert [len(options) for _, options in groups] == [4, RECENT - 4]
    assert groups[0][1][0] == (0, "2026-03-24  7100000000")
    assert re.search(r"torch 9\.9$", groups[0][0])


def test_a_commit_that_was_tried_by_hand_answers_nothing(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    folders = nights(tmp_path / "store", record, here, SLOWER)
    env = another(here, git={"sha": "e" * 40, "dirty": False})
    day = "2026-04-01T12:00:00+00:00"
    one = record("resnet18/eager/fp32/b1/i224/stream", environment=env, started=day)
    data = gather([*folders, stored(tmp_path / "by-hand", [one])])
    assert data.settings[0].commit == "7100000000"
    assert all(setting.commit != "eeeeeeeeee" for setting in data.settings)


def test_rounds_have_an_interval_and_a_page_of_years_has_each_value_once(
    tmp_path: Path, record: Make, here: dict[str, Any]
) -> None:
    row = gather(nights(tmp_path, record, here, {"eager": {}, "compile": {}}, 14, rounds=3)).history[0]
    assert row["rounds"] == [3] * 14
    assert all(low < value < high for low, value, high in zip(row["lows"], row["values"], row["highs"], strict=True))
    arrays = [value for value in row.values() if isinstance(value, list)]
    assert max(map(len, arrays)) == 14
    assert all(not isinstance(value, dict) for array in arrays for value in array)


def test_an_accepted_change_is_no_news(
    tmp_path: Path, record: Make, here: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = nights(tmp_path, record, here, {"eager": {}, "compile": {5: 1.1}})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").mkdir()
    sha = f"{5:040x}"[::-1]
    (tmp_path / FILE).write_text(f'[[change]]\ncommit = "{sha}"\nreason = "more accurate"\n')
    (row,) = [row for row in gather(folders).history if row["changes"] and row["metric"] == "latency"]
    assert (row["kind"], row["changes"][0]["marks"]) == ("quiet", "acknowledged: more accurate")


def test_the_still_has_the_finding_and_what_got_worse_first(tmp_path: Path, record: Make, here: dict[str, Any]) -> None:
    overview = gather(nights(tmp_path, record, here, SLOWER)).overview
    spec = still(overview)
    assert spec is not None
    assert "24 commits in order, 2026-03-01 to 2026-03-24" in spec["description"]
    assert "The worst: resnet18/compile/fp32/b1/i224/stream, " in overview.finding
    panels = list(dict.fromkeys(row["panel"] for row in spec["data"]["values"]))
    assert len(panels) == 4
    assert panels[0].startswith("resnet18/compile/fp32/b1/i224/stream\n")
    assert "% worse at 5000000000" in panels[0]
