"""Rounds beside other work, or with disturbed windows alone: no evidence of a throughput, and told in every output."""

import json
from collections.abc import Callable

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import Record
from tests.bench.verdicts.sides import CASE, Folder, compare_folders, run, words


def beside(others: float = 0.0, until: int = 99, rate: float = 1.0, images: int = 100) -> Callable[[Record], None]:
    """Changes records: `others` of the time is of other work, and each window of rounds under `until` is disturbed."""

    def change(record: Record) -> None:
        lost = record.round < until
        record.watch = {"others": others}
        record.throughput = {"images": images, "ns": int((1e9 + 1e6 * record.round) / (rate if lost else 1.0))}
        window = {"turn": 0, "start_ns": 1, **record.throughput}
        record.windows = [window | ({"disturbed": "other work"} if lost else {}) for _ in range(4)]

    return change


def test_disturbed_windows_alone_are_no_evidence_of_a_throughput(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=6, change=beside(0.87))
    head = folder("head", {CASE: 10.0}, rounds=6, change=beside(0.5, rate=5.0))
    comparison = compare_folders(base, head)
    (throughput,) = (verdict for verdict in comparison.verdicts if verdict.metric == "throughput")
    assert (throughput.word, throughput.kind, throughput.rounds) == ("AMBIGUOUS", "disturbed", (0, 0))
    assert throughput.ratio is None
    assert "in 6 of 6 rounds of base and 6 of 6 rounds of head" in throughput.reason
    assert run(base, head, "--metric", "throughput")[0] == 4


def test_a_side_with_undisturbed_rounds_enough_is_judged_by_those(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=8, change=beside(until=0))
    head = folder("head", {CASE: 10.0}, rounds=8, change=beside(until=2, rate=5.0))
    comparison = compare_folders(base, head)
    (throughput,) = (verdict for verdict in comparison.verdicts if verdict.metric == "throughput")
    assert (throughput.word, throughput.rounds) == ("SAME", (8, 6))
    assert comparison.disturbed.startswith("Every throughput window was disturbed in 2 of 8 runs of head: ")
    few = folder("few", {CASE: 10.0}, rounds=8, change=beside(until=3, rate=5.0))
    assert words(compare_folders(base, few))["throughput"] == "AMBIGUOUS"


def test_where_both_took_turns_a_pair_goes_with_either_round(folder: Folder) -> None:
    def late(record: Record) -> None:
        beside(until=0)(record)
        if record.round > 5:
            record.windows = [window | {"disturbed": "other work"} for window in record.windows]

    base = folder("base", {CASE: 10.0}, rounds=8, turns=1, change=beside(until=2, rate=5.0))
    head = folder("head", {CASE: 10.0}, rounds=8, turns=2, change=late)
    comparison = compare_folders(base, head, metrics=["throughput"])
    assert [(verdict.paired, verdict.kind) for verdict in comparison.verdicts] == [(True, "disturbed")]


def test_other_work_is_told_on_its_side_in_every_output_and_a_quiet_machine_advised(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=6, change=beside(0.05, until=0))
    head = folder("head", {CASE: 10.3}, rounds=6, noise=0.1, change=beside(0.87, until=0))
    said = "OTHER WORK took up to 87% of the machine's time in 6 of 6 runs of head: measure again when the machine is"
    assert said in run(base, head)[1]
    assert said in run(base, head, "--markdown")[1]
    data = json.loads(CliRunner().invoke(app, ["compare", str(base), str(head), "--json"]).stdout)
    assert data["disturbed"].startswith(said)
    assert data["disturbed"] in data["summary"]
    steps = " ".join(data["next"])
    assert "when the machine is quiet, new runs of both" in steps
    assert "--resume" not in steps
    assert said not in run(base, head, "--metric", "weights")[1]


@pytest.mark.parametrize("old", [True, False])
def test_throttled_windows_forbid_a_verdict_on_throughput_as_samples_do_on_latency(folder: Folder, old: bool) -> None:
    """45 % of every window, and no sample of the latency; records up to schema 4 have no windows of their own."""

    def throttles(until: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            lost = record.round < until
            record.throughput = {"images": 100, "ns": int((1e9 + 1e6 * record.round) * (1.3 if lost else 1.0))}
            record.throttled = {"throughput_s": 0.45} if lost else {}
            window = {"turn": 0, "start_ns": 1, **record.throughput}
            record.windows = [] if old else [window | ({"disturbed": "gpu_idle"} if lost else {}) for _ in range(4)]

        return change

    base = folder("base", {CASE: 10.0}, rounds=10, change=throttles(0))
    head = folder("head", {CASE: 10.0}, rounds=10, change=throttles(10))
    latency, throughput = compare_folders(base, head, metrics=["latency", "throughput"]).verdicts
    assert (latency.word, latency.rounds) == ("SAME", (10, 10))
    assert (throughput.word, throughput.kind) == ("AMBIGUOUS", "throttled")
    assert throughput.reason == "10 of 10 rounds throttled in head"
    once = folder("once", {CASE: 10.0}, rounds=10, change=throttles(2))
    latency, throughput = compare_folders(base, once, metrics=["latency", "throughput"]).verdicts
    assert (throughput.word, throughput.rounds, latency.rounds) == ("SAME", (10, 8), (10, 10))
    both = compare_folders(head, folder("again", {CASE: 10.0}, rounds=10, change=throttles(10)), metrics=["throughput"])
    assert [verdict.kind for verdict in both.verdicts] == ["throttled"]


def test_a_cold_cache_counts_by_its_own_samples(folder: Folder) -> None:
    def change(record: Record) -> None:
        record.flushed_ns = record.latency_ns
        if record.round < 2:
            record.throttled = {"flushed": [[0, 11]]}

    base = folder(
        "base", {CASE: 10.0}, rounds=10, change=lambda record: setattr(record, "flushed_ns", record.latency_ns)
    )
    head = folder("head", {CASE: 10.0}, rounds=10, change=change)
    verdicts = {one.metric: one.rounds for one in compare_folders(base, head, metrics=["latency", "cold-l2"]).verdicts}
    assert verdicts == {"latency": (10, 10), "cold-l2": (10, 8)}


@pytest.mark.parametrize(("others", "turns", "word"), [(0.0, 0, "SLOWER"), (0.6, 0, "AMBIGUOUS"), (0.6, 1, "SLOWER")])
def test_few_rounds_apart_beside_other_work_show_nothing(folder: Folder, others: float, turns: int, word: str) -> None:
    """As the work may be what made all rounds of one side slower; in turns it was beside both."""
    base = folder("base", {CASE: 10.0}, rounds=3, turns=turns, change=beside(others, until=0))
    head = folder("head", {CASE: 20.0}, rounds=3, turns=2 * turns, change=beside(until=0))
    (latency,) = compare_folders(base, head, metrics=["latency"]).verdicts
    assert latency.word == word
    assert ("other work in 3 of 3 rounds of base" in latency.reason) == (word == "AMBIGUOUS")
    assert run(base, head, "--metric", "latency")[0] == (1 if word == "SLOWER" else 4)
