"""Comparisons of random small folders: verdicts that must not depend on what says nothing of the code."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.noise.calls import call
from tests.noise.records import SHAS, name, record, write

Lines = list[dict[str, Any]]
Words = dict[tuple[str, str], str]
SWAPPED = {"SLOWER": "FASTER", "FASTER": "SLOWER", "SAME": "SAME", "AMBIGUOUS": "AMBIGUOUS"}
CASES, ROUNDS = (1, 19, 20, 40), (1, 3, 5, 7, 10)


def random_sides(seed: int) -> tuple[Lines, Lines]:
    """Return records of two sides: apart, in turns, or some of both; rounds may be missing, or without a window."""
    rng = np.random.default_rng(seed)
    cases, rounds = CASES[seed % 4], ROUNDS[seed % 5]
    noise, missing = rng.choice([0.0, 0.01, 0.1]), rng.choice([0.0, 0.2])
    effect = rng.choice([0.0, 0.03, -0.2]) + np.where(rng.random(cases) < 0.3, rng.choice([0.05, 0.5]), 0.0)
    sides: tuple[Lines, Lines] = ([], [])
    for turn in range(rounds):
        for case in range(cases):
            for side, lines in enumerate(sides):
                in_turns = seed % 3 == 0 or (seed % 3 == 1 and case % 2)
                start = (turn * cases + case) * 100.0 + side * (40.0 if in_turns else 1e6)
                ns = 1e6 * (1 + case % 7) * np.exp(noise * rng.standard_normal() + side * effect[case])
                taken = ns * np.exp(0.001 * rng.standard_normal((2, 5)))
                if (turn, case) == (0, 0) or rng.random() >= missing:
                    lines.append(record(name(case), turn, start, taken[0], (1e9 / taken[1]).tolist(), SHAS[side]))
    return sides


@pytest.mark.parametrize("seed", range(12))
def test_verdicts_do_not_depend_on_order_names_scale_or_other_metrics(seed: int, tmp_path: Path) -> None:
    base, head = random_sides(seed)

    def words(first: Lines, second: Lines, *options: str) -> Words:
        folders = write(tmp_path / "base", first), write(tmp_path / "head", second)
        answer = call("compare", *folders, *options).json
        assert sum(answer["counts"].values()) == len(answer["verdicts"])
        for one in answer["verdicts"]:
            assert one["kind"] != "rounds" or min(one["rounds"]) < 6
            assert one["wanted"] is None or one["wanted"] > min(one["rounds"])
            assert not (one["alike"] or one["kind"] == "common") or "moved alike" in " ".join(answer["summary"])
        return {(one["case"], one["metric"]): one["word"] for one in answer["verdicts"]}

    plain = words(base, head)
    assert {key: SWAPPED[word] for key, word in words(head, base).items()} == plain
    draw = random.Random(seed)
    assert words(draw.sample(base, len(base)), draw.sample(head, len(head))) == plain

    def changed(change: Callable[[dict[str, Any]], dict[str, Any]]) -> Words:
        return words([one | change(one) for one in base], [one | change(one) for one in head])

    assert changed(doubled) == plain
    names = sorted({one["case"] for one in [*base, *head]})
    renamed = dict(zip(names, draw.sample(names, len(names)), strict=True))
    assert changed(lambda one: {"case": renamed[one["case"]]}) == {
        (renamed[case], metric): word for (case, metric), word in plain.items()
    }
    alone = words(base, head, "--metric", "latency")
    assert all(alone[key] == word for key, word in plain.items() if key in alone and word in ("SLOWER", "FASTER"))


def doubled(one: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a record that took twice the time."""
    windows = [window | {"ns": 2 * window["ns"]} for window in one["windows"]]
    throughput = one["throughput"] | {"ns": 2 * one["throughput"]["ns"]}
    return {"latency_ns": [2 * ns for ns in one["latency_ns"]], "windows": windows, "throughput": throughput}


@pytest.mark.parametrize("in_turns", [False, True])
@pytest.mark.parametrize("rounds", [3, 6, 10])
def test_half_as_slow_again_in_one_case_of_forty_is_slower(in_turns: bool, rounds: int, tmp_path: Path) -> None:
    rng, sides = np.random.default_rng(rounds), list[Path]()
    for side, folder in enumerate(("base", "head")):
        lines = []
        for turn in range(rounds):
            for case in range(40):
                start = (turn * 40 + case) * 100.0 + side * (40.0 if in_turns else 1e6)
                ns = 1e6 * np.exp(0.02 * rng.standard_normal()) * (1.5 if side and case == 7 else 1.0)
                lines.append(record(name(case), turn, start, [ns] * 5, [1e9 / ns] * 3, SHAS[side]))
        sides.append(write(tmp_path / folder, lines))
    answer = call("compare", *sides)
    assert answer.code == 1
    slower = {one["case"] for one in answer.json["verdicts"] if one["word"] == "SLOWER"}
    assert name(7) in slower  # one draw in fifty has a false alarm beside it
