"""The simulated machine makes the noise that it is asked for, and the command line keeps its word on it.

Sweeps are few and seeded. A bound is one that a product with the claimed rate breaks once in 10,000 draws of the seed.
`python -m tests.noise` counts more of them.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.noise import calls, machine, records, shapes
from tests.noise.comparing import METRICS, many
from tests.noise.histories import NIGHTS, by_git, false_changes
from tests.noise.machine import PAUSE, SLOT, schedule, sweep
from tests.noise.measured import Lab, Measured, bears
from tests.noise.records import sides, write
from tests.noise.shapes import SHAPES
from tests.noise.tails import medians, mixture_p99, p99

# The generator, which imports nothing of the product.


def test_the_generator_is_apart_from_the_product() -> None:
    for module in (machine, shapes, records):
        tree = ast.parse(Path(str(module.__file__)).read_text())
        imports = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
        imports |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not [one for one in imports if one.split(".")[0] in ("bench", "kernels", "resnet", "scipy")], module


@pytest.mark.parametrize("design", ["apart", "turns"])
def test_one_process_runs_at_a_time(rng: np.random.Generator, design: str) -> None:
    starts = schedule(rng, design, 6, 9)
    in_order = np.sort(starts, axis=None)
    assert np.diff(in_order).min() == SLOT
    assert np.ptp(starts[0] - starts[1]) >= 0
    if design == "turns":
        assert np.abs(starts[0] - starts[1]).max() == SLOT  # a case's sides follow each other
    else:
        assert starts[1].min() - starts[0].max() == PAUSE + SLOT


@pytest.mark.parametrize("rho", [0.3, 0.9])
def test_what_is_written_is_correlated_as_asked(rng: np.random.Generator, rho: float) -> None:
    """From round to round of one sitting by `rho`, as the lines' own samples show; between sides in turns nearly 1."""
    shape = SHAPES[f"ar{str(rho)[1:]}"]
    white = shape.noise**2 / (shape.noise**2 + 0.01**2)
    for design in ("apart", "turns"):
        base, head = (written(lines) for lines in sides(rng, shape, sweep(rng, shape, design, 10, 300)))
        if design == "apart":
            assert abs(float((base[1:] * base[:-1]).mean() / base.var()) / (1 - white) - rho) < 0.05
        else:
            assert abs(float((base * head).mean() / base.var()) / (1 - white) - 1) < 0.03


def written(lines: list[dict[str, Any]]) -> machine.Floats:
    """Return the log of each line's median latency over its case's usual one, as [round, case]."""
    cases = len({line["case"] for line in lines})
    table = np.empty((len(lines) // cases, cases))
    for line in lines:
        case = int(line["case"].split("/")[3][1:]) - 1
        latency = np.median(line["latency_ns"]) / (1e6 * (1 + case % 7))
        table[line["round"], case] = np.log(latency)
    return table


def test_states_last_as_asked(rng: np.random.Generator) -> None:
    course = machine.states(rng, np.broadcast_to(np.arange(4000.0), (50, 4000)), 40.0)
    assert abs(course.mean() - 0.5) < 0.02
    assert abs(np.abs(np.diff(course)).mean() * 40 - 0.988) < 0.05  # 1 - exp(-2/40) over 2, times 40


def test_laws_have_their_sizes(rng: np.random.Generator) -> None:
    drawn = {law: machine.levels(rng, law, 0.01, (200_000,)) for law in ("normal", "outliers", "modes", "rare", "t3")}
    assert abs(drawn["normal"].std() - 0.01) < 1e-4
    assert abs((drawn["rare"] > 0.1).mean() - 0.1) < 0.005
    assert abs((drawn["modes"] > 0.012).mean() - 0.2) < 0.005
    assert 0.03 < (drawn["outliers"] > 0.03).mean() < 0.04  # 5 % times exp(-3/8), but for what is normal
    assert abs(np.quantile(drawn["t3"], 0.9) - 0.01 * 1.6377 / np.sqrt(3)) < 2e-4  # Student's table: 1.638


def test_samples_within_a_process_are_correlated_as_asked(rng: np.random.Generator) -> None:
    for rho in (0.0, 0.5, 0.9):
        series = machine.correlated(rng, rho, (300, 500))
        assert abs(float((series[:, 1:] * series[:, :-1]).mean()) - rho) < 0.02
        assert abs(float(series.std()) - 1) < 0.02


def test_a_throttled_line_says_so(rng: np.random.Generator) -> None:
    for shape in (SHAPES["throttled"], SHAPES["throttled-s"]):
        base, head = sides(rng, shape, sweep(rng, shape, "apart", 2, 3))
        for before, after in zip(base, head, strict=True):
            taken = sum(window["ns"] for window in after["windows"]) / 1e9
            assert after["throttled"]["throughput_s"] == pytest.approx(0.45 * taken)
            assert ["disturbed" in window for window in after["windows"]] == [shape.marked] * 3
            assert not before["throttled"]


def test_the_p99_of_a_mixture() -> None:
    (alone,) = mixture_p99(np.zeros((1, 3)))
    assert alone == pytest.approx(0.0232635, abs=1e-6)  # the normal's 2.32635
    (apart,) = mixture_p99(np.array([[0.0, 0.0, 1.0]]))  # the slowest third's 97th percentile: 0.03 of a third is 0.01
    assert apart == pytest.approx(1 + 0.0188079, abs=1e-6)


# What the command line says of it.


def test_the_short_way_says_what_a_process_says(lab: Lab, rng: np.random.Generator) -> None:
    ran = sides(rng, SHAPES["normal"], sweep(rng, SHAPES["normal"], "apart", 6, 2))
    with lab.folder() as folder:
        base, head = (write(folder / side, lines) for side, lines in zip("ab", ran, strict=True))
        assert calls.call("compare", base, head) == calls.call_apart("compare", base, head)


@pytest.mark.parametrize("design", ["apart", "turns"])
def test_half_as_slow_again_is_seen(lab: Lab, design: str) -> None:
    (judged,) = many(lab, SHAPES["normal"], design, 1, 10, 8, 0.5)
    assert judged.slower(0) == len(METRICS)
    assert not judged.elsewhere(0)
    assert judged.paired == {design == "turns"}  # the command sees from the times how it was measured


def quiet(lab: Lab, shape: str, design: str, sweeps: int = 16, cases: int = 8) -> Measured:
    alarmed = sum(bool(one.alarms) for one in many(lab, SHAPES[shape], design, sweeps, 10, cases))
    return Measured(f"false alarms {design}", shape, alarmed, sweeps, most=0.05)


@pytest.mark.parametrize("shape", ["normal", "ar.7", "drift"])
def test_in_turns_identical_code_is_no_alarm(lab: Lab, shape: str) -> None:
    assert bears(quiet(lab, shape, "turns"))


@pytest.mark.parametrize("shape", ["normal", "outliers"])
def test_apart_identical_code_is_no_alarm(lab: Lab, shape: str) -> None:
    assert bears(quiet(lab, shape, "apart"))


def test_three_per_cent_are_found_at_one_per_cent_of_noise(lab: Lab) -> None:
    slower = sum(one.slower(0) for one in many(lab, SHAPES["normal"], "turns", 15, 10, 4, 0.03))
    assert bears(Measured("power", "normal", slower, 30, least=0.95))


def test_a_quiet_store_has_no_change(lab: Lab) -> None:
    assert bears(false_changes(lab, NIGHTS[0], 6, cases=4, commits=30))


def test_commits_are_in_the_order_of_git(lab: Lab) -> None:
    measured = by_git(lab, 16)
    if measured is None:
        pytest.skip("no git checkout of so many commits")
    assert measured.hits == measured.trials


@pytest.mark.parametrize("kind", ["alike", "one in ten +20 %"])
def test_a_p99_within_a_limit_is_within_it(lab: Lab, kind: str) -> None:
    within, _ = p99(lab, kind, 0.0, 1, 3, 250)
    assert bears(within)


def test_the_interval_of_a_median_of_independent_samples_covers_it(lab: Lab) -> None:
    assert all(map(bears, medians(lab, 0.0, 2)))
