"""The largest batch that fits: doubling, then bisection, each probe a fresh process (`bench.worker.fits`)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from bench.runs.job import CaseAnswer, CaseJob, fit_job
from bench.runs.process import Answer, Ask
from bench.runs.request import request

# The first batch tried: any GPU holds 64 pictures of 224 pixels in any variant, and no CPU should compute many times
# more than it has to.
START = {"cuda": 64, "cpu": 8}
# The last one. On a GPU: six times the batch at which a ResNet-50's activations at 224 pixels pass 2^31 elements
# (2675), and the answer to it still is only 130 MB in float64. On a CPU a larger one takes minutes.
LIMIT = {"cuda": 16384, "cpu": 1024}
# The search ends when the gap between what fits and what does not is this share of what fits.
RESOLUTION = 32
# How many failures for want of memory are tried once more: another process may have filled the device for a moment. On
# a device that is never quiet the search must end nevertheless.
REPEATS = 3

Probe = Callable[[int], Answer[CaseAnswer]]


def find(ask: Ask, job: CaseJob, stage: Callable[[str], None] = lambda name: None) -> Answer[CaseAnswer]:
    """The largest batch of the job's case (whose own is MAX), each probe with its time limit; see `largest`."""

    def probe(batch: int) -> Answer[CaseAnswer]:
        reached = "start"

        def tell(name: str) -> None:
            nonlocal reached
            reached = name
            stage(f"batch {batch}: {name}")

        answer = request(fit_job(job, batch), job.settings.limit_s, tell, ask)
        # in: preparing may take more than running
        return answer if answer.status == "ok" else replace(answer, reason=f"in {reached}: {answer.reason}")

    return largest(probe, START[job.device], LIMIT[job.device])


def largest(probe: Probe, start: int, limit: int) -> Answer[CaseAnswer]:
    """The answer of the largest batch up to `limit` that fits, found from `start` on; `data["largest"]` has the search.

    `fits` and `fails` bracket it; `fails` is null where `limit` fits. `reason` is that of `fails`, after its status:
    what bounds a batch need not be memory (an index that overflows, the time limit). `tried` has [batch, status, peak
    bytes or null, seconds] of each probe, in order. If nothing fits, `fits` is 0, and the status is that of batch 1.
    """
    search = _Search(start, limit)
    while batch := search.next():
        search.note(batch, probe(batch))
    return search.answer()


@dataclass
class _Search:
    start: int
    limit: int
    tried: list[tuple[int, Answer[CaseAnswer]]] = field(default_factory=list)
    fits: int = 0  # the largest that does
    fails: int | None = None  # the smallest above it that does not

    def next(self) -> int | None:
        """The batch to try next, None at the end: new ones between `fits` and `fails` until these are close."""
        if not self.tried:
            return self.start
        if self.fails is None:
            return min(2 * self.fits, self.limit) if self.fits < self.limit else None
        why = self.last[self.fails].status
        if not self.fits and self.fails > 1:
            # what is not for want of memory is most likely so at any batch
            return self.fails // 2 if why == "memory" else 1
        if self.fits and self.fails - self.fits > max(1, self.fits // RESOLUTION):
            return (self.fits + self.fails) // 2
        repeated = [batch for batch, _ in self.tried].count(self.fails) > 1
        repeats = len(self.tried) - len(self.last)
        return self.fails if why == "memory" and not repeated and repeats < REPEATS else None

    def note(self, batch: int, answer: Answer[CaseAnswer]) -> None:
        self.tried.append((batch, answer))
        self.fits = max((batch for batch, answer in self.last.items() if answer.status == "ok"), default=0)
        self.fails = min((batch for batch in self.last if batch > self.fits), default=None)

    @property
    def last(self) -> dict[int, Answer[CaseAnswer]]:
        """The last answer of each batch."""
        return dict(self.tried)

    def answer(self) -> Answer[CaseAnswer]:
        wall_s = sum(answer.wall_s for _, answer in self.tried)
        reason = f"not sought beyond {self.limit}"
        if self.fails is not None:
            bound = self.last[self.fails]
            reason = f"{bound.status}: {bound.reason}"
        tried = [[batch, answer.status, _peak(answer), round(answer.wall_s, 3)] for batch, answer in self.tried]
        found = {"fits": self.fits, "fails": self.fails, "reason": reason, "tried": tried}
        if self.fits:
            data = self.last[self.fits].data.copy()
            data["largest"] = found
            return Answer("ok", "", data, wall_s)
        one = self.last[1]
        return Answer(one.status, f"batch 1: {one.reason}", {"largest": found}, wall_s)


def _peak(answer: Answer[CaseAnswer]) -> Any:
    """Bytes on the device, where that can be read; the process's there, else the allocator's, else the host's."""
    used = answer.data.get("memory", {})
    names = ("device_process", "allocator_reserved_peak", "host_resident_peak")
    return next((used[name] for name in names if used.get(name) is not None), None)
