"""How many rounds a sweep runs, and in what order where its time is short."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from bench.plans.case import Case
from bench.plans.plan import parse_plan
from bench.records.record import Record
from bench.report.answer import contests_of
from bench.report.rows import rows_from_records
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from bench.runs.turns import LEAST, Events
from bench.stats import LEAST_ROUNDS
from tests.bench.runs.played import GOOD, FakeChild, Machine, names, ok

PAIR = parse_plan(
    """
why = "A test."
rounds = 2
rounds_limit = 20
[measure]
ratio = 0.05
[[group]]
why = "A case that settles, one that does not, one that fails, and what they are held against."
model = "resnet18"
variant = ["eager", "library-fused", "compile", "onnxruntime"]
precision = "fp32"
batch = 1
image = 64
""",
    "pair",
    "pair.toml",
)


def test_rounds_follow_until_the_ratio_is_known_and_then_no_more(sweep: Callable[..., Sweep]) -> None:
    draw = random.Random(0)
    noise = {"eager": 0.005, "library-fused": 0.005, "compile": 0.3}

    def answer(job: dict[str, Any]) -> Answer:
        variant = job["case"].split("/")[1]
        if variant == "onnxruntime":
            return Answer("crash", "it did", {}, 1.0)
        ns = round(1e9 * draw.lognormvariate(0, noise[variant]))
        return ok(throughput={"images": 1, "ns": ns})

    made = sweep(FakeChild(answer), PAIR)
    records = list(made.run())
    counts = Counter(record.case.variant for record in records)
    assert counts["library-fused"] == LEAST_ROUNDS
    assert counts["compile"] == counts["eager"] == 20  # to the limit, and what it is held against beside it
    assert counts["onnxruntime"] == 2  # what fails is not run for its ratio's sake
    for number in range(20):
        together = {r.case.variant for r in records if r.round == number}
        assert {"eager", "compile"} <= together
    again = FakeChild(answer)
    list(sweep(again, PAIR, resume=True).run())
    assert again.jobs == []


VALUED = parse_plan(
    """
why = "A test."
rounds = 2
[[group]]
why = "First: the batches in the order they are written, of each the variants."
model = "resnet18"
variant = ["library-fused", "compile", "eager"]
precision = "fp32"
batch = [8, 1]
image = 64
[[group]]
why = "Then these."
model = "resnet18"
variant = ["compile-max", "eager", "library-fused"]
precision = "bf16"
batch = 2
image = 64
""",
    "valued",
    "valued.toml",
)


@pytest.fixture
def every_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a CPU that has instructions for all of them."""
    monkeypatch.setattr("bench.plans.eligible._lacking_hardware", lambda case, env, where: None)


@pytest.mark.usefixtures("every_precision")
def test_where_time_is_short_the_first_round_goes_by_value(sweep: Callable[..., Sweep]) -> None:
    """In the plan's order, what compiles for minutes last; the second round is shuffled as ever."""
    child, freely = FakeChild(), FakeChild()
    records = list(sweep(child, VALUED, budget_s=1000).run())
    ran = [name.removeprefix("resnet18/").removesuffix("/i64/stream") for name in names(child)]
    assert ran[:9] == [
        *("library-fused/fp32/b8", "eager/fp32/b8", "library-fused/fp32/b1", "eager/fp32/b1"),
        *("eager/bf16/b2", "library-fused/bf16/b2"),
        *("compile/fp32/b8", "compile/fp32/b1", "compile-max/bf16/b2"),
    ]
    assert [(record.round, record.order) for record in records] == [(k // 9, k % 9) for k in range(18)]
    list(sweep(freely, VALUED, folder="free").run())
    assert names(freely)[9:] == names(child)[9:]
    assert names(freely)[:9] != names(child)[:9]


@pytest.mark.usefixtures("every_precision")
def test_what_fits_no_more_is_what_is_of_least_value_and_comes_when_gone_on(sweep: Callable[..., Sweep]) -> None:
    plan = replace(VALUED, rounds=1)

    def answer(job: dict[str, Any]) -> Answer:
        return Answer("ok", "", dict(GOOD), 10.0)

    # nothing has compiled yet, so what does is taken to need a minute
    made, first, second = sweep(FakeChild(answer), plan, budget_s=30), FakeChild(answer), FakeChild(answer)
    made.ask = first
    list(made.run())
    assert [case.variant for case in made.left_out] == ["compile", "compile", "compile-max"]
    list(sweep(second, plan, budget_s=1000, resume=True).run())
    assert [name.split("/")[1] for name in names(second)] == ["compile", "compile", "compile-max"]


def test_no_case_starts_that_would_end_after_the_budget(sweep: Callable[..., Sweep]) -> None:
    child = FakeChild(lambda job: Answer("ok", "", dict(GOOD), 1000.0))
    made = sweep(child, budget_s=500)
    records = list(made.run())
    assert len(child.jobs) == 1
    assert sum(r.status == "ok" for r in records) == 1
    assert len(made.left_out) == 17


def test_cases_in_turns_whose_references_took_all_the_budget_are_left_out(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = replace(PAIR, rounds=1, rounds_limit=0, settings=replace(PAIR.settings, turns=4))
    made = sweep(FakeChild(), plan, budget_s=100)
    make = made._make_references

    def spend(cases: list[Case]) -> Any:
        made._budget.start -= 200
        return make(cases)

    monkeypatch.setattr(made, "_make_references", spend)
    assert list(made.run()) == []
    assert set(made.left_out) == set(plan.cases)


class Heard(Events):
    """Keeps what was so far, and the cases in the order in which they end."""

    def __init__(self) -> None:
        self.parts: list[tuple[list[Record], int]] = []
        self.order: list[Case] = []

    def so_far(self, records: Sequence[Record], to_come: int) -> None:
        self.parts.append((list(records), to_come))

    def ended(self, record: Record) -> None:
        self.order.append(record.case)


def in_turns(sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch, machine: Machine) -> Sweep:
    """Return a sweep of PAIR at two batches, in turns, with played processes."""
    cases = tuple(replace(case, batch=batch) for batch in (1, 8) for case in PAIR.cases)
    settings = replace(PAIR.settings, turns=20)
    made = sweep(FakeChild(), replace(PAIR, cases=cases, rounds=1, rounds_limit=0, settings=settings), events=Heard())
    monkeypatch.setattr(made, "_start", lambda paths, case: machine.start(case))
    return made


def test_both_batches_have_an_answer_before_anything_compiles_and_it_is_as_sure_as_its_windows(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = in_turns(sweep, monkeypatch, Machine())
    records, heard = list(made.run()), made.events
    assert isinstance(heard, Heard)
    assert len(records) == 8
    of_batch = [{w["turn"] for one in records if one.case.batch == batch for w in one.windows} for batch in (1, 8)]
    assert not of_batch[0] & of_batch[1]  # of one moment each, though the batches' parts alternate
    assert [(one[0].case.batch, len(one), to_come) for one, to_come in heard.parts] == [(1, 3, 1), (8, 3, 1)]
    late = [case.variant == "compile" for case in heard.order]
    assert late.index(True) > 2  # the first of each batch has ended by then
    for ran, _ in heard.parts:
        assert {record.status for record in ran} == {"ok"}
        assert {record.environment["cpu"]["name"] for record in ran} == {made.env["cpu"]["name"]}
        (contest,) = contests_of(rows_from_records(ran))
        assert contest.winner
        assert contest.winner.case.variant == "onnxruntime"
        assert {lead.samples for lead in contest.leads.values() if lead} == {LEAST}


def test_an_answer_so_far_counts_neither_what_is_run_again_nor_what_is_left_out(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = {(replace(case, batch=batch), 0): "crash" for batch in (1, 8) for case in PAIR.cases}
    assert {one.status for one in in_turns(sweep, monkeypatch, Machine(dies=failing)).run()} == {"crash"}
    made = in_turns(sweep, monkeypatch, Machine())
    made.retry = True
    monkeypatch.setattr(made, "_over_budget", lambda case, more_s=0.0: _left_out(made, case))
    assert len(list(made.run())) == 7
    assert isinstance(made.events, Heard)
    assert [(len(ran), to_come) for ran, to_come in made.events.parts] == [(2, 1), (3, 1)]


def _left_out(made: Sweep, case: Case) -> bool:
    """Return whether a played budget has no time for a case as its process is to start."""
    over = (case.variant, case.batch) == ("library-fused", 1) and bool(made._live)
    made.left_out += [case] if over else []
    return over


def test_a_sweep_that_is_stopped_has_what_its_cases_have_measured_by_then(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = in_turns(sweep, monkeypatch, Machine())

    def interrupt(case: Case, number: int) -> None:
        if case.batch == 8 and number == LEAST + 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(made.events, "turn", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(made.run())
    done = {record.case for record in made.records}
    assert {(case.variant, case.batch) for case in done} == {("library-fused", 1)}
    between = made.unfinished()
    assert {(one.case.batch, len(one.windows)) for one in between} == {(1, LEAST), (8, 3)}
    assert not done & {one.case for one in between}


def test_a_case_in_turns_that_throttled_is_run_again_on_its_own(
    sweep: Callable[..., Sweep], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the others of its group have ended, and the record has the reason."""
    plan = replace(PAIR, rounds=1, rounds_limit=0, settings=replace(PAIR.settings, turns=4))
    alone = FakeChild()
    made = sweep(alone, plan)

    class Ending:
        """A process that ends before its first turn, with its answer."""

        wall_s = 1.0

        def __init__(self, case: Case) -> None:
            self.case = case

        def work(self, limit_s: float) -> None:
            assert limit_s > 0

        def answer(self) -> Answer:
            spoilt = {"latency": [[0, 9]]} if self.case.variant == "compile" else {}
            return ok(latency_ns=[5] * 10, throttled=spoilt)

    @contextmanager
    def start(paths: dict[str, str], case: Case) -> Iterator[Ending]:
        yield Ending(case)

    monkeypatch.setattr(made, "_start", start)
    records = list(made.run())
    assert [job["case"] for job in alone.jobs] == [records[-1].case.name]
    assert records[-1].case.variant == "compile"
    assert [attempt["status"] for attempt in records[-1].attempts] == ["ok"]
    assert [record.attempts for record in records[:-1]] == [[]] * (len(plan.cases) - 1)
