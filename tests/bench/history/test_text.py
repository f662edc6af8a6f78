"""The sentences of a history: what they say, and that they are said where there is something to say."""

import re
from dataclasses import replace
from io import StringIO
from math import log1p

import numpy as np
import pytest
from rich.console import Console

from bench.history.accepted import mark_news
from bench.history.export import as_json
from bench.history.history import History, judge_history
from bench.history.series import Series
from bench.history.text import ended_sentence, history_markdown, movement_sentence, print_history
from bench.verdicts.selftest.history import store_of
from tests.bench.history.test_history import noise, series


def printed(history: History) -> str:
    out = StringIO()
    print_history(Console(file=out, width=400), history, False)
    return out.getvalue()


@pytest.mark.parametrize("count", [1, 2])
def test_newest_commits_at_which_all_series_moved_alike_are_told(count: int) -> None:
    """Their movement is taken off the series, so that none of these can say it."""
    x = 0.01 * np.random.default_rng(0).standard_normal((60, 40))
    x[:, -count:] += log1p(0.2)
    history = judge_history(store_of(x))
    assert not any(one.unsure or one.changes for one in history.series)
    sentence = "all of 60 series (latency) moved alike in time: the newest"
    for text in (
        printed(history),
        history_markdown(history),
        as_json(history.series[0], history)["unsure_with_all"][0],
    ):
        assert sentence in text
    assert "+20 % off the level before: too few to tell" in printed(history)


def test_newest_points_of_half_the_series_are_told_of_each_of_these_alone() -> None:
    x = 0.01 * np.random.default_rng(0).standard_normal((60, 40))
    x[:40, -1] += log1p(0.2)
    history = judge_history(store_of(x))
    assert not history.newest
    assert [bool(one.unsure) for one in history.series] == [True] * 40 + [False] * 20
    first = history.series[0]
    assert f"too few to tell; confirm: {first.confirm}\n" in printed(history)
    assert f"To confirm:\n\n```\n{first.confirm}\n" in history_markdown(history)
    assert as_json(first, history)["confirm"] == first.confirm


def test_what_moved_memory_is_not_called_slower() -> None:
    x = 0.01 * np.random.default_rng(0).standard_normal((60, 60))
    x[:, 40:] += log1p(0.05)
    some = store_of(x)
    (move,) = judge_history(some).movements
    assert "slower, +5.0 %" in movement_sentence(move)
    host = movement_sentence(replace(move, metrics=("host",)))
    assert "worse, +5.0 %" in host
    assert "in time" not in host


def test_series_that_end_before_others_are_told() -> None:
    """A case that fails has no times: its history would look well for ever."""
    whole, short, elsewhere = (series(list(10 * noise(seed, count))) for seed, count in ((1, 20), (2, 15), (3, 12)))
    elsewhere.machine = "another"
    assert ended_sentence([whole, elsewhere]) == ""
    told = ended_sentence([whole, short, elsewhere])
    assert told.startswith("1 of 3 series has no point at the newest commit")
    assert f"ends at {14:040x}"[:18] in told
    assert told in printed(judge_history([whole, short]))[:1000].replace("1 of 2", "1 of 3")


def test_markdown_has_what_confirms_a_change_and_what_else_changed() -> None:
    def stepped(ratio: float) -> Series:
        values = 10 * noise(1, 40)
        values[20:] *= ratio
        return series(list(values), ["1.0"] * 20 + ["2.0"] * 20)

    history = judge_history([stepped(1.1)])
    mark_news(history, [], {})
    text = history_markdown(history)
    assert re.search(r"\*\*1 worse at 0{10} \(\d{4}-\d\d-\d\d\), after 0{10}; torch 1.0, then 2.0\*\*", text)
    assert history.series[0].changes[0].confirm(history.series[0].case) in text
    history.series[0].changes[0] = replace(history.series[0].changes[0], acknowledged="two\nlines")
    quiet = history_markdown(history)
    assert "acknowledged: two lines; torch" in quiet
    assert "bench ab" not in quiet
