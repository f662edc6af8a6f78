"""The verdict on one metric of one case."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log, log1p

from bench.verdicts.metrics import METRICS

LEAST_SHARED = 0.001  # a smaller change that all cases share, relative, is none to read about


@dataclass(frozen=True)
class Verdict:
    """The verdict on one metric of one case.

    `base` and `head` are geometric means over the rounds, in the metric's unit. `ratio` is head / base; `low` and
    `high` are its 95 % confidence interval, of each test by itself. `p` is corrected for the number of tests. A metric
    that does not vary from round to round has no interval and no p. `kind` is why a verdict is AMBIGUOUS (rounds,
    throttled, disturbed, busy, caches, process, common or noise), and `wanted` how many rounds a side would settle it,
    if any would.

    Between two sittings `common` is what all cases share, a ratio, and `ratio` with its interval is what is left of the
    change without it. `alike` is true of a case that moved with all others, and by no more than they did;
    `by_separation` of a change that too few rounds for a test show, because every one of a side is beyond the other's.
    """

    case: str
    metric: str
    word: str
    reason: str
    rounds: tuple[int, int]
    paired: bool
    minimum: float
    base: float | None = None
    head: float | None = None
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    kind: str = ""
    wanted: int | None = None
    common: float | None = None
    alike: bool = False
    by_separation: bool = False

    @property
    def worse(self) -> float:
        """How much worse head is, as a logarithm: the order of verdicts."""
        if self.base is None or self.head is None or self.base == self.head:
            return 0.0
        size = log(self.ratio) if self.ratio else inf if self.head > self.base else -inf
        return METRICS[self.metric].sign * size

    @property
    def is_clear(self) -> bool:
        """True if the change is past the minimum, and its interval leaves out none at all."""
        beyond = abs(self.worse) > log1p(self.minimum)
        return bool(beyond and self.low and self.high and not self.low <= 1 <= self.high)


@dataclass(frozen=True)
class Moved:
    """A metric that most cases moved alike, `cases` of the `of` that were compared: the ratio, and its 95 % interval.

    Apart (not `paired`) it was taken off before each case was judged, because it may be the machine's; in turns it was
    not. `past` is true where it is past the metric's minimum, and `worse` where that is a slowdown.
    """

    metric: str
    paired: bool
    cases: int
    of: int
    ratio: float
    low: float
    high: float
    past: bool
    worse: bool


@dataclass(frozen=True)
class DisturbedRound:
    """A round of one side in which all cases moved alike, by `ratio`, which was taken off."""

    metric: str
    side: str
    round: int
    ratio: float


@dataclass(frozen=True)
class Smallest:
    """The smallest changes of a metric, relative (0.03), that are detected nine times in ten.

    One is that of the median case, one that of the noisiest, `case`. `rounds` are those of the side that has fewer, at
    most; where they are under those of a test, the changes are what separates every round of both sides.
    """

    metric: str
    median: float
    noisiest: float
    case: str
    rounds: int
    tested: bool
