"""What is news in a history: acknowledgements, days and commits."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bench.errors import ArgumentError, StoreError
from bench.history.accepted import (
    Accepted,
    acknowledge,
    append_accepted,
    mark_news,
    parse_since,
    read_accepted,
)
from bench.history.history import History, judge_history
from tests.bench.history.test_history import START, noise, series

ORDER = {f"{place:040x}": place for place in range(60)}


def stepped(*steps: tuple[int, float]) -> History:
    """Return the history of a series of 60 commits with steps at some places, among 30 without."""
    values = 10 * noise(1, 60)
    for place, ratio in steps:
        values[place:] *= ratio
    return judge_history([series(values), *(series(10 * noise(seed, 60)) for seed in range(2, 32))], ORDER)


def news_of(history: History, *accepted: Accepted, since: int | datetime | None = None) -> list[int]:
    return [int(change.after.sha, 16) for _, change in mark_news(history, accepted, ORDER, since)]


def test_an_acknowledged_change_is_no_news_and_a_later_or_larger_one_or_another_case_is(tmp_path: Path) -> None:
    history = stepped((20, 1.1))
    entry, covered = acknowledge(history, ORDER, f"{20:040x}", ["eager"], ["latency"], 'on "purpose"\n')
    assert covered == 1
    append_accepted(tmp_path / "acknowledged.toml", entry)
    append_accepted(tmp_path / "acknowledged.toml", Accepted("a" * 40, "another"))
    kept = read_accepted(tmp_path / "acknowledged.toml")
    assert kept == [entry, Accepted("a" * 40, "another")]
    assert news_of(history, *kept) == []
    assert history.series[0].changes[0].acknowledged == 'on "purpose"\n'
    assert news_of(stepped((20, 1.1), (40, 1.1)), *kept) == [40]
    assert news_of(stepped((20, 1.25)), *kept) == [20]
    assert news_of(stepped((20, 1.1)), Accepted(entry.commit, "", ("compile",))) == [20]
    assert news_of(stepped((20, 1.1)), Accepted(entry.commit, "", (), ("gpu",))) == [20]
    assert news_of(history, *kept) == []  # which marks them
    with pytest.raises(ArgumentError, match="acknowledged already"):
        acknowledge(history, ORDER, f"{20:040x}", (), (), "again")


def test_an_acknowledgement_holds_where_the_place_is_not_sure() -> None:
    history = stepped((20, 1.03))
    (change,) = history.series[0].changes
    places = [int(point.sha, 16) for point in (change.earliest, change.latest)]
    assert places[0] < 20 <= places[1]
    for place in range(places[0] + 1, places[1] + 1):
        assert news_of(history, Accepted(f"{place:040x}", "meant")) == []
    for place in (places[0], places[1] + 1):
        assert news_of(history, Accepted(f"{place:040x}", "meant")) == [int(change.after.sha, 16)]


def test_the_way_back_is_never_acknowledged_and_mends_what_it_takes_back() -> None:
    history = stepped((20, 1.1), (40, 1 / 1.1))
    assert news_of(history) == []
    assert [change.mended for change in history.series[0].changes] == [f"{40:040x}", ""]
    assert news_of(stepped((20, 1.1), (40, 1 / 1.05))) == [20]  # half of it stands
    history.series[0].changes.append(replace(history.series[0].changes[0], after=history.series[0].points[50]))
    assert news_of(history) == [50]  # the first stays mended when it gets worse again
    with pytest.raises(ArgumentError, match="no change for the worse"):
        acknowledge(history, ORDER, f"{40:040x}", (), (), "faster")


def test_what_is_older_is_told_and_no_news() -> None:
    history = stepped((20, 1.1), (40, 1.1))
    assert news_of(history, since=30) == [40]
    assert [change.old for change in history.series[0].changes] == [True, False]
    assert news_of(history, since=START + timedelta(days=15)) == [20, 40]
    assert news_of(history, since=START + timedelta(days=50)) == []


def test_since_is_days_a_date_or_a_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    now = datetime(2026, 2, 10, tzinfo=UTC)
    assert parse_since("7d", {}, now) == datetime(2026, 2, 3, tzinfo=UTC)
    assert parse_since("2026-02-01", {}) == datetime(2026, 2, 1, tzinfo=UTC)
    monkeypatch.setattr("bench.history.accepted.resolve_commit", lambda name: "b" * 40)
    assert parse_since("v1", {"b" * 40: 7}) == 7
    with pytest.raises(ArgumentError, match="place"):
        parse_since("v1", {})
    monkeypatch.undo()
    with pytest.raises(ArgumentError, match="neither days"):
        parse_since("no-such-commit", {})


@pytest.mark.parametrize(
    "text",
    [
        "change = 1",
        "[[change]]\ncommit = 1",
        '[[change]]\ncommit = "abcdef0"',
        '[[change]]\ncommit = "abc"\nreason = "short"',
        '[[change]]\ncommit = "abcdef0"\nreason = "x"\ncases = [1]',
        '[[change]]\ncommit = "abcdef0"\nreason = "x"\nmetrics = ["speed"]',
        '[[change]]\ncommit = "abcdef0"\nreason = "x"\nup_to = true',
        '[[change]]\ncommit = "abcdef0"\nreason = "x"\nup_to = nan',
        '[[change]]\ncommit = "abcdef0"\nreason = "x"\nother = 1',
        "[[change",
    ],
)
def test_a_file_of_another_form_is_refused_by_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(StoreError, match=r"a\.toml"):
        read_accepted(tmp_path / "a.toml")
    assert read_accepted(tmp_path / "none.toml") == []


def test_a_commit_that_is_not_told_from_others_is_refused() -> None:
    history = stepped((20, 1.1))
    with pytest.raises(ArgumentError, match="7 digits"):
        acknowledge(history, ORDER, "0000000", (), (), "x")
