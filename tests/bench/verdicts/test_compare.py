"""Two frames to a word a case and metric; the command's exit code goes with it."""

from collections.abc import Callable

import pytest

from bench.records.record import Record
from bench.verdicts.compare import compare_lists
from bench.verdicts.lists import read_lists
from tests.bench.verdicts.sides import CASE, OTHER, Folder, compare_folders, run, words


def test_a_slowdown_is_slower_by_every_measure_of_speed_and_the_rest_is_the_same(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 5.0}), folder("head", {CASE: 10.5, OTHER: 5.0})
    comparison = compare_folders(base, head)
    assert words(comparison) == {"latency": "SLOWER", "throughput": "SLOWER", "weights": "SAME", "host": "SAME"}
    assert set(words(comparison, OTHER).values()) == {"SAME"}
    (latency,) = (verdict for verdict in comparison.verdicts if verdict.case == CASE and verdict.metric == "latency")
    assert latency.ratio == pytest.approx(1.05, abs=0.01)
    assert latency.low
    assert latency.high
    assert latency.low < latency.ratio < latency.high
    assert (latency.base, latency.head) == (pytest.approx(10, rel=0.01), pytest.approx(10.5, rel=0.01))
    assert latency.rounds == (8, 8)
    code, text = run(base, head)
    assert code == 1
    assert "2 SLOWER, 0 FASTER, 0 AMBIGUOUS, 6 SAME: 8 verdicts on 2 cases." in text
    assert f"The worst: {CASE}" in text
    assert f"bench layers {CASE}" in text


def test_the_other_way_round_it_is_faster(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.5}), folder("head", {CASE: 10.0})
    assert words(compare_folders(base, head))["latency"] == "FASTER"
    assert run(base, head)[0] == 0


def test_noise_is_ambiguous_with_the_rounds_that_tell(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}, noise=0.1), folder("head", {CASE: 10.4}, noise=0.1)
    (latency,) = (verdict for verdict in compare_folders(base, head).verdicts if verdict.metric == "latency")
    assert (latency.word, latency.kind) == ("AMBIGUOUS", "noise")
    assert latency.wanted is None or latency.wanted > 8
    code, _ = run(base, head)
    assert code == 0
    assert run(base, head, "--fail-on", "ambiguous")[0] == 1


def test_few_rounds_are_ambiguous_and_what_is_exact_is_not(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}, rounds=3), folder("head", {CASE: 10.9}, rounds=3)
    verdicts = {verdict.metric: verdict for verdict in compare_folders(base, head).verdicts}
    assert verdicts["latency"].word == "AMBIGUOUS"
    assert verdicts["latency"].wanted == 6
    assert verdicts["weights"].word == "SAME"
    code, text = run(base, head)
    assert code == 4
    assert "3 rounds a side, and a verdict takes 6, or rounds that are all apart by 10 %" in text
    assert f"The largest change, not proven: {CASE}, " in text
    assert "with the file of its plan test, which no record has" in text
    assert "--resume --rounds 6" in text


@pytest.mark.parametrize("turns", [0, 1])
def test_few_rounds_that_are_all_apart_are_a_change_of_either_direction(folder: Folder, turns: int) -> None:
    def sides(rounds: int, ms: float, noise: float = 0.01) -> dict[str, str]:
        name = f"{rounds}-{ms}-{noise}"
        base = folder(f"base{name}", {CASE: 10.0}, rounds=rounds, noise=noise, turns=turns)
        head = folder(f"head{name}", {CASE: ms}, rounds=rounds, noise=noise, turns=2 * turns)
        return words(compare_folders(base, head, metrics=["latency", "throughput"]))

    assert sides(3, 12.5) == {"latency": "SLOWER", "throughput": "SLOWER"}
    assert sides(5, 8.0) == {"latency": "FASTER", "throughput": "FASTER"}
    assert set(sides(2, 20.0).values()) == {"AMBIGUOUS"}
    assert set(sides(3, 10.5).values()) == {"AMBIGUOUS"}
    assert set(sides(4, 12.5, 0.15).values()) == {"AMBIGUOUS"}


def test_a_change_that_few_rounds_show_says_what_it_rests_on(folder: Folder) -> None:
    cases = {CASE: 10.0, OTHER: 5.0}
    base, head = folder("base", cases, rounds=3), folder("head", cases | {CASE: 12.5}, rounds=3)
    (worst, _) = compare_folders(base, head).of("SLOWER")
    assert worst.reason == "each of 3 rounds is beyond each of base's 3 by over 10 %, and their spread"
    code, text = run(base, head)
    assert code == 1
    assert "Too few rounds for a test: only where every round is apart by more than 10 % is there a verdict." in text
    assert "What this finds nine times in ten with 3 rounds, if every round keeps apart by 10 %: latency" in text
    faster = folder("faster", cases | {CASE: 8.0}, rounds=3)
    assert run(base, faster)[0] == 4  # the other case is open


def test_one_round_tells_that_weights_grew(folder: Folder) -> None:
    def heavier(record: Record) -> None:
        record.memory["weights"] += record.memory["weights"] // 500

    base, head = folder("base", {CASE: 10.0}, rounds=1), folder("head", {CASE: 10.0}, rounds=1, change=heavier)
    assert words(compare_folders(base, head))["weights"] == "SLOWER"
    code, text = run(base, head)
    assert code == 1
    assert "No case could be judged by a metric that varies." in text  # and yet one is a failure
    assert words(compare_folders(base, head, minimum={"weights": 0.01}))["weights"] == "SAME"


def test_a_metric_that_one_side_lacks_is_told(folder: Folder) -> None:
    def energy(record: Record) -> None:
        record.energy = {"joules": 500.0 + record.round, "images": 1000, "s": 5.0}

    base, head = folder("base", {CASE: 10.0}, change=energy), folder("head", {CASE: 10.0})
    assert compare_folders(base, head).one_sided == {"energy": {"base": 1}}
    assert "energy: base alone has it, in 1 case" in run(base, head)[1]


def test_a_hundred_cases_of_identical_code_give_no_alarm_and_one_slow_one_does(folder: Folder) -> None:
    cases = {f"resnet50/eager/fp32/b{batch}/i224/stream": 10.0 for batch in range(1, 101)}
    base, head = folder("base", cases, noise=0.01), folder("head", cases | {CASE: 10.5}, noise=0.01)
    comparison = compare_folders(base, head)
    assert {(verdict.case, verdict.metric) for verdict in comparison.of("SLOWER")} == {
        (CASE, "latency"),
        (CASE, "throughput"),
    }
    assert comparison.of("FASTER") == []


def test_device_times_with_the_hosts_launches_inside_are_compared_with_none(folder: Folder) -> None:
    """Records up to schema 2 have no `gpu_how`; what they call GPU time is three times the device's here."""

    def timed(how: str, ns: int) -> Callable[[Record], None]:
        def change(record: Record) -> None:
            record.gpu_ns, record.gpu_how = [ns + place for place in range(15)], how

        return change

    old, one, other = (
        read_lists(folder(name, {CASE: 10.0}, change=timed(how, ns)))
        for name, how, ns in (("old", "", 3_000_000), ("one", "held", 1_000_000), ("other", "held", 1_000_000))
    )
    comparison = compare_lists(old, one, ["latency", "gpu"])
    assert {verdict.metric for verdict in comparison.verdicts} == {"latency"}
    assert comparison.one_sided == {"gpu": {"head": 1}}
    assert {verdict.metric for verdict in compare_lists(one, other, ["latency", "gpu"]).verdicts} == {"latency", "gpu"}
