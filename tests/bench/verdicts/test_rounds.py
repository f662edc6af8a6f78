"""Which rounds of two sides count, how they are paired, and the cases that have none."""

import json
from collections.abc import Callable
from pathlib import Path

from typer.testing import CliRunner

from bench.cli import app
from bench.records.record import Record
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders, run, words


def test_rounds_in_turns_are_paired_and_a_drift_that_both_share_is_taken_out(folder: Folder) -> None:
    def drifts(record: Record) -> None:
        record.latency_ns = [int(ns * (1 + 0.1 * record.round)) for ns in record.latency_ns]

    in_turns = [folder(f"turn{side}", {CASE: ms}, turns=side, change=drifts) for side, ms in ((1, 10.0), (2, 10.3))]
    apart = [folder(f"apart{side}", {CASE: ms}, change=drifts) for side, ms in ((1, 10.0), (2, 10.3))]
    paired, unpaired = (compare_folders(*pair, metrics=["latency"]).verdicts[0] for pair in (in_turns, apart))
    assert (paired.paired, paired.word) == (True, "SLOWER")
    assert (unpaired.paired, unpaired.word) == (False, "AMBIGUOUS")
    assert "did not take turns" in run(*apart)[1]
    assert "did not take turns" not in run(*in_turns)[1]


def test_rounds_that_throttled_do_not_count_and_too_many_forbid_a_verdict(folder: Folder) -> None:
    def throttles(share: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            if record.round < share:
                record.status, record.reason = "throttled", "hot"

        return change

    base = folder("base", {CASE: 10.0}, rounds=10)
    once = {
        verdict.metric: verdict
        for verdict in compare_folders(base, folder("once", {CASE: 20.0}, rounds=10, change=throttles(1))).verdicts
    }
    assert (once["latency"].word, once["latency"].rounds) == ("SLOWER", (10, 9))
    hot = folder("hot", {CASE: 20.0}, rounds=10, change=throttles(3))
    verdicts = {verdict.metric: verdict for verdict in compare_folders(base, hot).verdicts}
    assert (verdicts["latency"].word, verdicts["latency"].kind) == ("AMBIGUOUS", "throttled")
    assert verdicts["latency"].reason == "3 of 10 rounds throttled in head"
    assert verdicts["weights"].word == "SAME"
    every = compare_folders(base, folder("every", {CASE: 20.0}, rounds=10, change=throttles(10)))
    assert words(every) == {"latency": "AMBIGUOUS", "throughput": "AMBIGUOUS", "weights": "SAME", "host": "SAME"}


def test_a_round_most_of_whose_samples_fell_does_not_count(folder: Folder) -> None:
    def falls(record: Record) -> None:
        if record.round == 0:
            record.throttled = {"latency": [[0, 9]]}

    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}, change=falls)
    assert {verdict.metric: verdict.rounds for verdict in compare_folders(base, head).verdicts}["latency"] == (8, 7)


def test_cold_starts_are_compared_where_the_caches_were_found_alike(folder: Folder) -> None:
    def cold(states: list[str], s: float) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            state = states[record.round]
            parts = dict.fromkeys(("import_s", "build_s", "prepare_s", "place_s", "first_call_s"), s)
            record.cold = parts | {
                "caches": state,
                "prepare_s": s * (30 if state == "cold" else 1) + record.round / 1e3,
            }

        return change

    base = folder("base", {CASE: 10.0}, change=cold(["cold", *["warm"] * 7], 1.0))
    head = folder("head", {CASE: 10.0}, change=cold(["warm"] * 8, 1.0))
    (verdict,) = compare_folders(base, head, metrics=["cold-start"]).verdicts
    assert (verdict.word, verdict.rounds) == ("SAME", (7, 8))
    fresh = folder("fresh", {CASE: 10.0}, change=cold(["fresh"] * 8, 1.0))
    (verdict,) = compare_folders(base, fresh, metrics=["cold-start"]).verdicts
    assert (verdict.word, verdict.kind) == ("AMBIGUOUS", "caches")
    assert verdict.reason == "compile caches were cold, warm in base, fresh in head"


def test_neither_memory_nor_speed_of_forked_and_fresh_processes_is_compared(folder: Folder) -> None:
    def way(word: str) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            record.runtime = {"process": word} if word else {}
            record.memory = {"host_resident_peak": (600 if word == "forked" else 500) << 20}

        return change

    old, fresh, forked = (folder(f"x{word}", {CASE: 10.0}, change=way(word)) for word in ("", "fresh", "forked"))
    for verdict in compare_folders(fresh, forked, metrics=["host", "latency", "throughput"]).verdicts:
        assert (verdict.word, verdict.kind) == ("AMBIGUOUS", "process")
        assert verdict.reason == "processes were fresh in base, forked in head"
    (verdict,) = compare_folders(old, fresh, metrics=["host"]).verdicts  # before it was on record all were fresh
    assert (verdict.word, verdict.rounds) == ("SAME", (8, 8))
    (verdict,) = compare_folders(forked, forked, metrics=["latency"]).verdicts
    assert verdict.word == "SAME"
    code, text = run(fresh, forked)
    assert code == 4
    assert "latency, throughput, host: processes were fresh in base, forked in head" in text
    assert "measure the forked side anew, with RESNET_BENCH_START=fresh" in text
    assert "more rounds of both" not in text
    rows = json.loads(CliRunner().invoke(app, ["compare", str(fresh), str(forked), "--json"]).stdout)["verdicts"]
    assert [row["metric"] for row in rows if row["kind"] == "process" and row["wanted"] is None] == [
        "latency",
        "throughput",
        "host",
    ]
    assert "processes were fresh in base, forked in head" in run(fresh, forked, "--markdown")[1]


def test_rounds_of_the_way_of_starting_that_both_sides_have_are_compared(folder: Folder) -> None:
    def mixed(forked: int, slow: float, *, throttled: int = 0, disturbed: int = 0) -> Callable[[Record], None]:
        """The first `forked` rounds are forked, and slower; of these some throttled, or had disturbed windows alone."""

        def change(record: Record) -> None:
            is_forked = record.round < forked
            record.runtime = {"process": "forked" if is_forked else "fresh"}
            record.latency_ns = [int(ns * (slow if is_forked else 1)) for ns in record.latency_ns]
            if record.round < throttled:
                record.status, record.reason = "throttled", "hot"
            window = {"turn": 0, "start_ns": 1, "images": 100, "ns": int(1e9 + 1e6 * record.round)}
            record.throughput = {name: window[name] for name in ("images", "ns")}
            record.windows = [window | ({"disturbed": "other work"} if record.round < disturbed else {})] * 4

        return change

    def judged(base: Path, head: Path, metric: str) -> tuple[str, str, tuple[int, int]]:
        (verdict,) = compare_folders(base, head, metrics=[metric]).verdicts
        return verdict.word, verdict.kind, verdict.rounds

    base, fresh, forked = (
        folder(name, {CASE: 10.0}, rounds=16, change=mixed(count, 1.5))
        for name, count in (("base", 8), ("fresh", 4), ("forked", 16))
    )
    assert judged(base, fresh, "latency") == ("SAME", "", (8, 12))  # of the fresh rounds alone
    assert judged(base, forked, "latency") == ("SAME", "", (8, 16))
    few = folder("few", {CASE: 10.0}, rounds=16, change=mixed(13, 1.5))
    assert judged(folder("new", {CASE: 10.0}, rounds=16, change=mixed(0, 1)), few, "latency")[1:] == (
        "process",
        (16, 3),
    )
    hot = folder("hot", {CASE: 10.0}, rounds=16, change=mixed(16, 1.5, throttled=16))
    assert judged(fresh, hot, "latency")[:2] == ("AMBIGUOUS", "throttled")
    lost = folder("lost", {CASE: 10.0}, rounds=17, change=mixed(9, 1.5, disturbed=9))
    more = folder("more", {CASE: 10.0}, rounds=17, change=mixed(9, 1.5))
    assert judged(lost, more, "throughput") == ("SAME", "", (8, 8))  # and not of forked rounds, which base lost


def test_rounds_that_were_started_otherwise_are_told_where_the_rest_are_too_few(folder: Folder) -> None:
    def forked_from(first: int) -> Callable[[Record], None]:
        return lambda record: record.runtime.update(process="forked" if record.round >= first else "fresh")

    fresh, mixed, few = (folder(f"from{first}", {CASE: 10.0}, change=forked_from(first)) for first in (8, 6, 5))
    (verdict,) = compare_folders(fresh, mixed, metrics=["latency"]).verdicts
    assert (verdict.word, verdict.rounds) == ("SAME", (8, 6))
    (verdict,) = compare_folders(fresh, few, metrics=["latency"]).verdicts
    assert (verdict.word, verdict.kind, verdict.rounds) == ("AMBIGUOUS", "process", (8, 5))
    why = "processes were fresh in base, fresh, forked in head"
    assert verdict.reason == f"{why}: 5 rounds a side alike, and a verdict takes 6"


def test_every_case_is_somewhere(folder: Folder) -> None:
    names = [f"resnet50/eager/fp32/b{batch}/i224/stream" for batch in range(1, 8)]

    def base_has(record: Record) -> None:
        if record.case.batch == 5:
            record.status, record.reason = "skipped", "no"

    def head_has(record: Record) -> None:
        if record.case.batch == 3 and record.round % 4 == 0:
            record.status, record.reason = "crash", "signal 11"
        if record.case.batch == 4:
            record.status, record.reason = "skipped", "a package is missing"
        if record.case.batch == 5:
            record.status, record.reason = "skipped", "no"
        if record.case.batch == 7:
            record.status, record.reason = "wrong", "nan"

    base = folder("base", dict.fromkeys([*names[:5], names[6]], 10.0), change=base_has)
    head = folder("head", dict.fromkeys([names[0], *names[2:]], 10.0), change=head_has)
    comparison = compare_folders(base, head)
    assert {verdict.case for verdict in comparison.verdicts} == {names[0], names[2]}
    assert comparison.missing == {names[1]: "", names[3]: "skipped: a package is missing"}
    assert comparison.new == [names[5]]
    assert comparison.nowhere == [names[4]]
    assert [(verdict.case, verdict.rounds, verdict.of, verdict.status) for verdict in comparison.failed] == [
        (names[2], 2, 8, "crash"),
        (names[6], 8, 8, "wrong"),
    ]
    code, text = run(base, head)
    assert code == 1
    for said in (
        f"failed in head, 2 of 8 rounds: {names[2]}: crash: signal 11",
        f"missing in head: {names[1]}",
        f"missing in head: {names[3]}: skipped: a package is missing",
        f"new in head: {names[5]}",
        f"not measured on either side: {names[4]}",
    ):
        assert said in text
    assert run(base, head, "--fail-on", "nothing")[0] == 0
    assert run(base, head, "-f", "b1/", "--fail-on", "missing")[0] == 0
    assert run(base, head, "-f", "b1/", "-f", "b2/", "--fail-on", "missing")[0] == 1


def test_a_case_that_wavers_in_base_and_fails_in_every_round_of_head_is_news(folder: Folder) -> None:
    def failing(rounds: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            if record.case.name == CASE and record.round < rounds:
                record.status, record.reason = "crash", "signal 11"

        return change

    base = folder("base", {CASE: 10.0, OTHER: 5.0}, change=failing(1))
    head = folder("head", {CASE: 10.0, OTHER: 5.0}, change=failing(8))
    assert [(one.case, one.rounds) for one in compare_folders(base, head).failed] == [(CASE, 8)]
    assert run(base, head)[0] == 1
    wavers = folder("wavers", {CASE: 10.0, OTHER: 5.0}, change=failing(2))
    assert compare_folders(base, wavers).failed == []
