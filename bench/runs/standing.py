"""The work of a sweep: its rounds, the cases whose records stand already, and the references that are there."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.errors import PlanError, StoreError
from bench.plans.case import Case
from bench.plans.plan import Plan
from bench.plans.scored import labels_in
from bench.records.baseline import unsettled
from bench.records.record import Record
from bench.records.same import RESUME, SweepConditions, differences
from bench.records.store import Store
from bench.runs.job import ReferenceAnswer
from bench.runs.process import Answer
from bench.text import plural
from resnet.data.labelled import find_labelled
from resnet.variants import find_variant

GOOD = ("ok", "skipped")
# The ends of a process that another one may not have: any other failure is the model's.
MAY_PASS = ("crash", "memory", "timeout")
LACKING = "no reference to hold it against"  # the beginning of the reason of every case without one


@dataclass(frozen=True)
class Turn:
    """A case that is due in a round; `run` runs it and returns its record, which is then on disk."""

    case: Case
    round: int
    place: int  # in the round's order; -1 for a skipped case
    run: Callable[[], Record]


def earlier_records(store: Store, now: SweepConditions, goes_on: bool, data: str = "") -> list[Record]:
    """Return the records that a sweep's folder has already. Raises StoreError if the sweep must not continue them.

    `data` is the folder of labelled pictures that the sweep scores cases on, or empty.
    """
    try:
        records = store.read()
    except StoreError:  # nothing there yet
        return []
    if records and not goes_on:
        raise StoreError(
            f"{store.folder} holds {len(records)} {plural(len(records), 'record')} already; "
            "go on from them with --resume, or choose another folder with -o"
        )
    differing = [*differences(records, now, RESUME), *_other_labels(records, now, data)]
    if differing:
        what = ", another ".join(differing)
        why = f"the records in {store.folder} were measured with another {what}"
        raise StoreError(f"{why}; choose another folder with -o")
    return records


def _other_labels(records: Iterable[Record], now: SweepConditions, data: str) -> list[str]:
    """Return in words that `records` were scored on other labelled pictures than those in `data`, if they were."""
    count = now.settings["score_pictures"]  # others are other pictures of the same folder, which is as it was asked
    digests = {
        record.score.get("data", ""): record.settings.get("score_pictures")
        for record in records
        if record.score.get("labelled") and labels_in(record.case.model, "a folder")
    }
    if not digests:
        return []
    if not data:
        return ["folder of labelled pictures (--data, now none)"]
    before = {digest for digest, pictures in digests.items() if pictures == count}
    here = find_labelled(data).chosen(count).digest() if before else ""
    return [f"folder of labelled pictures ({other}, now {here})" for other in sorted(before - {here})]


def standing(records: Iterable[Record], retry: bool) -> set[tuple[Case, int]]:
    """Return the case and round of the records that stand; with `retry` failures do not.

    Nor does a case that failed only because its references did, for a reason that may have passed.
    """
    return {
        (record.case, record.round)
        for record in records
        if record.status in GOOD or not (retry or (record.status in MAY_PASS and record.reason.startswith(LACKING)))
    }


def compared(case: Case) -> tuple[Any, ...]:
    """Return what cases have in common that are compared: the batch first, as small ones give the first rows."""
    return (case.largest, case.batch, case.model, case.image)


def rounds_of(
    plan: Plan, runnable: Sequence[Case], records: Sequence[Record], seed: int, short: bool, in_turns: bool
) -> Iterator[tuple[int, list[Case]]]:
    """Yield the number and the cases of each round, shuffled by the seed against drift.

    Where time is `short` the first round is in the plan's order, variants that compile for minutes last: what is left
    out is worth least. Rounds beyond the plan's, up to its limit, have cases whose ratio to eager is not settled by the
    `records`, which grow meanwhile. Cases that take turns are together.
    """
    for number in range(max(plan.rounds, plan.rounds_limit)):
        cases = list(runnable)
        if number >= plan.rounds:
            open_cases = unsettled(cases, records, plan.settings.ratio)
            cases = [case for case in cases if case in open_cases]
        if not cases:
            return
        if number == 0 and short:
            cases.sort(key=lambda case: find_variant(case.variant).compiles_long)
        else:
            random.Random(f"{seed} {number}").shuffle(cases)
        if in_turns:
            cases.sort(key=compared)
        yield number, cases


@dataclass
class References:
    """The references of `cases`: computed once for all of a model and an image size, and with `of_batch` of a batch.

    A small batch's take seconds, a large one's long. `make` makes those of some cases.
    """

    cases: Sequence[Case]
    of_batch: bool
    make: Callable[[list[Case]], Answer[ReferenceAnswer]]
    answers: dict[Any, tuple[int, Answer[ReferenceAnswer]]] = field(default_factory=dict)  # and the round of each

    def of(self, case: Case, number: int) -> Answer[ReferenceAnswer]:
        """Return the references of a case in a round.

        Where making them failed for a reason that may pass, it is tried once more, and again in each later round.
        Raises PlanError where the labelled pictures do not suit the one model that there is.
        """
        key = self._key(case)
        earlier = self.answers.get(key)
        if earlier is None or (earlier[1].status in MAY_PASS and earlier[0] != number):
            cases = [other for other in self.cases if self._key(other) == key]
            answer = self.make(cases)
            if answer.status in MAY_PASS:
                answer = self.make(cases)
            if answer.reason.startswith("--data") and len({other.model for other in self.cases}) == 1:
                raise PlanError(answer.reason)
            self.answers[key] = number, answer
        return self.answers[key][1]

    def _key(self, case: Case) -> tuple[str, int, int]:
        return case.model, case.image, case.batch if self.of_batch else 0


def without(reference: Answer[Any]) -> Answer[Any]:
    """Return the answer of a case that has no process, as making its references failed."""
    return Answer(reference.status, f"{LACKING}: {reference.reason}", {}, 0.0)
