"""The error rates of `bench history` by simulation: false changes of a store, and changes that are detected.

Stores are series over commits, in memory, judged by the product's functions. The unit of noise is the standard
deviation of a point, taken for so large that the minimum effect suppresses no false change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import log1p, sqrt
from typing import Any

import numpy as np

from bench.history.history import judge_history
from bench.history.judge import FAMILY_ALPHA, NEWS_FOLLOWING
from bench.history.series import Point, Series
from bench.stats import share_interval
from bench.verdicts.rule import Array
from bench.verdicts.selftest import cells
from bench.verdicts.selftest.tables import Block

LARGE, USUAL = 0.05, 0.01  # relative noise: of the false changes, and of the changes to be detected
EFFECTS = (0.01, 0.02, 0.03, 0.05, 0.10)
LARGEST_CLAIM = 9.0  # times more: a larger one is printed as more than ten times
START = datetime(2026, 1, 1, tzinfo=UTC)
Shape = Callable[[np.random.Generator, int, int], Array]


def autoregression(draw: np.random.Generator, rows: int, points: int, phi: float) -> Array:
    """Return rows of a first-order autoregression of unit deviation, [rows, points]."""
    steps = draw.standard_normal((rows, points))
    x, scale = steps.copy(), sqrt(1 - phi**2)
    for place in range(1, points):
        x[:, place] = phi * x[:, place - 1] + scale * steps[:, place]
    return x


def sticky(draw: np.random.Generator, rows: int, points: int, flips: float) -> Array:
    """Return rows of two states, -1 and 1, that go over to the other with a probability at each point."""
    start = draw.random((rows, 1)) < 0.5
    return 2.0 * (((draw.random((rows, points)) < flips).cumsum(1) + start) % 2) - 1


def _modes(share: float) -> Shape:
    distance = sqrt(0.91 / (share * (1 - share)))
    return lambda draw, rows, points: (
        0.3 * draw.standard_normal((rows, points)) + distance * (draw.random((rows, points)) < share)
    )


def _outliers(draw: np.random.Generator, rows: int, points: int) -> Array:
    slower = 10 * np.abs(draw.standard_normal((rows, points))) * (draw.random((rows, points)) < 0.05)
    return np.asarray(draw.standard_normal((rows, points)) + slower)


def _beside(common: Shape) -> Shape:
    """Return a shape that all series of a store share, beside noise of each."""
    return lambda draw, rows, points: draw.standard_normal((rows, points)) + common(draw, 1, points)


SHAPES: dict[str, tuple[str, Shape]] = {
    "normal": ("normal", lambda draw, rows, points: draw.standard_normal((rows, points))),
    "heavy": ("Student's t, 3 degrees of freedom", lambda draw, rows, points: draw.standard_t(3, (rows, points))),
    "outliers": ("normal, and one point in 20 slower by 8 times the noise on average", _outliers),
    "slow": ("two modes: one point in five is slower", _modes(0.2)),
    "halves": ("two modes: every other point is slower", _modes(0.5)),
    "unequal": (
        "normal, series between a fifth and five times the noise",
        lambda draw, rows, points: np.exp(0.8 * draw.standard_normal((rows, 1))) * draw.standard_normal((rows, points)),
    ),
    "AR .3": ("each series an autoregression", partial(autoregression, phi=0.3)),
    "AR .7": ("the same, more lasting", partial(autoregression, phi=0.7)),
    "AR .9": ("the same, more lasting yet", partial(autoregression, phi=0.9)),
    "machine AR": ("all series share AR .9, beside their own noise", _beside(partial(autoregression, phi=0.9))),
    "sticky": (
        "each series has two states 4 apart, which it leaves one time in ten, beside noise of 1",
        lambda draw, rows, points: 2 * sticky(draw, rows, points, 0.1) + draw.standard_normal((rows, points)),
    ),
    "machine sticky": (
        "all series share such states, beside their own noise",
        _beside(lambda draw, rows, points: 2 * sticky(draw, rows, points, 0.1)),
    ),
    "drift": (
        "the machine slows by 4 times the noise over the history",
        _beside(lambda draw, rows, points: np.linspace(0, 4, points)[None, :]),
    ),
}


def store_of(x: Array) -> list[Series]:
    """Return a store of series over commits, of logarithms [series, commits]."""
    when = [START + timedelta(days=place) for place in range(x.shape[1])]
    return [
        Series(
            f"simulated/{number}", "latency", "a machine",
            [Point(f"{at:040x}", when[at], float(value), 1, "", 0, "", "", {}) for at, value in enumerate(row)],
        )
        for number, row in enumerate(np.exp(x))
    ]  # fmt: skip


def false_changes(seed: int, shape: str, series: int, commits: int, stores: int) -> dict[str, Any]:
    """Return in how many of some stores of unchanged series any has a change, and in how many all moved together."""
    wrong = moved = 0
    for number in range(stores):
        draw = np.random.default_rng((seed, number, series, commits))
        history = judge_history(store_of(LARGE * SHAPES[shape][1](draw, series, commits)))
        wrong += any(one.changes for one in history.series)
        moved += bool(history.movements)
    row = {"shape": shape, "series": series, "commits": commits, "stores": stores}
    return row | {"false": wrong, "moved": moved}


@dataclass(frozen=True)
class Planted:
    """A change in some series of a store: relative, from one commit to another, which it does not include."""

    name: str
    series: int
    commits: int
    first: int
    end: int
    effect: float
    changed: int = 1  # series


def share_found(seed: int, planted: Planted, stores: int) -> dict[str, Any]:
    """Return how many of the planted changes are detected, within 2 commits and in their direction."""
    hits = 0
    for number in range(stores):
        draw = np.random.default_rng((seed, number, planted.series, planted.commits))
        x = USUAL * draw.standard_normal((planted.series, planted.commits))
        x[: planted.changed, planted.first : planted.end] += log1p(planted.effect)
        for one in judge_history(store_of(x)).series[: planted.changed]:
            places = [(int(change.after.sha, 16), change.worse) for change in one.changes]
            ends = [(planted.first, True)] + [(planted.end, False)] * (planted.end < planted.commits)
            hits += all(any(abs(at - end) <= 2 and worse == up for at, worse in places) for end, up in ends)
    count = stores * planted.changed
    row = {"change": planted.name, "series": planted.series, "commits": planted.commits, "effect": planted.effect}
    return row | {"detected": hits, "planted": count}


def claims_found(seed: int, shape: str, series: int, commits: int, stores: int) -> dict[str, Any]:
    """Return how many changes are detected of the size that a series is said to show nine times in ten."""
    hits, sizes = 0, []
    for number in range(stores):
        draw = np.random.default_rng((seed, number, series, commits))
        x = USUAL * SHAPES[shape][1](draw, series, commits)
        size = judge_history(store_of(x)).series[0].detectable
        if size is None or size > LARGEST_CLAIM:
            continue
        sizes.append(size)
        first = commits - NEWS_FOLLOWING
        x[0, first:] += log1p(size)
        changes = judge_history(store_of(x)).series[0].changes
        hits += any(abs(int(change.after.sha, 16) - first) <= 2 and change.worse for change in changes)
    row = {"shape": shape, "series": series, "commits": commits, "stores": stores}
    return row | {"detected": hits, "planted": len(sizes), "size": float(np.median(sizes)) if sizes else None}


def simulate_history(seed: int, quick: bool = False) -> dict[str, Any]:
    """Return the error rates of histories as a file keeps them; `quick` of small stores alone (seconds)."""
    sizes: Sequence[tuple[int, int, int]] = [(1, 40, 40), (20, 40, 10)] if quick else [
        (1, 40, 200), (1, 200, 100), (20, 40, 100), (20, 200, 40), (900, 40, 10), (900, 200, 2),
    ]  # fmt: skip
    start = time.monotonic()
    rows = [false_changes(seed, shape, *size) for size in sizes for shape in SHAPES]
    if not quick:
        rows += [false_changes(seed, "normal", 3000, 200, 1)]
    large = 300 if quick else 3000
    planted = [Planted("5 commits ago", large, 200, 195, 200, effect, large // 10) for effect in EFFECTS]
    planted += [Planted("in the middle", large, 200, 100, 200, effect, large // 10) for effect in EFFECTS[1:4]]
    detected = [share_found(seed, one, 1) for one in planted]
    for series, stores in ((1, 40), (20, 10)) if quick else ((1, 200), (20, 100), (900, 10)):
        detected += [
            share_found(seed, Planted(f"commits 17 to {end} of 40", series, 40, 16, end, 0.3), stores)
            for end in (19, 24)
        ]
        detected += [
            share_found(seed, Planted(f"halves of {commits}", series, commits, commits // 2, commits, 0.65), stores)
            for commits in (6, 8, 12)
        ]
    claims = [
        claims_found(seed, shape, *size)
        for size in ([(1, 40, 20)] if quick else [(1, 40, 200), (20, 40, 100), (20, 200, 40)])
        for shape in SHAPES
    ]
    shapes = {name: meaning for name, (meaning, _) in SHAPES.items()}
    seconds = time.monotonic() - start
    return {"shapes": shapes, "false": rows, "detected": detected, "claims": claims, "seconds": seconds}


def history_blocks(results: dict[str, Any]) -> list[Block]:
    """Return the results of `simulate_history` as tables."""
    sizes = list(dict.fromkeys((row["series"], row["commits"]) for row in results["false"]))
    by_size = {(row["shape"], row["series"], row["commits"]): row for row in results["false"]}
    titles = ("noise", *(f"{series} x {commits}" for series, commits in sizes))
    lines: list[tuple[str, ...]] = [
        (shape, *(_count(by_size.get((shape, *size))) for size in sizes)) for shape in results["shapes"]
    ]
    notes = tuple(f"{name}: {meaning}" for name, meaning in results["shapes"].items())
    caption = "Histories without a change: stores in which any series has one, of those simulated, by series x commits"
    caption += f" ({100 * FAMILY_ALPHA:.0f} % are allowed)"
    detected: list[tuple[str, ...]] = [
        (row["change"], str(row["series"]), f"+{100 * row['effect']:.0f} %", _share(row, "detected", "planted"))
        for row in results["detected"]
    ]
    words = ("change", "series", "size", "detected")
    claims: list[tuple[str, ...]] = [
        (
            row["shape"],
            f"{row['series']} x {row['commits']}",
            f"+{100 * row['size']:.1f} %" if row["size"] else "-",
            _share(row, "detected", "planted") if row["planted"] else "-",
        )
        for row in results["claims"]
    ]
    claimed = "Changes of the size that would be found in nine of ten, five commits ago, in stores of series x commits:"
    claimed += " how many are, in percent [95 %]"
    return [
        Block(caption, titles, 1, lines, notes),
        Block("Histories with a change, 1 % normal noise: how many are found, in percent [95 %]", words, 1, detected),
        Block(claimed, ("noise", "series", "size", "detected"), 2, claims),
    ]


def _count(row: dict[str, Any] | None) -> str:
    return f"{row['false']}/{row['stores']}" if row else "-"


def _share(row: dict[str, Any], part: str, whole: str) -> str:
    low, high = share_interval(row[part], row[whole], 0.95)
    return f"{100 * row[part] / row[whole]:.3g} [{cells.number(low)}, {cells.number(high)}]"
