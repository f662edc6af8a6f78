"""`bench compare` as it is called: what it prints, how it ends."""

import json
import re

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.commands import command_line
from tests.bench.verdicts.sides import CASE, OTHER, Folder, run


def test_identical_code_is_the_same_and_the_exit_code_is_0(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 5.0}), folder("head", {CASE: 10.0, OTHER: 5.0})
    code, text = run(base, head)
    assert code == 0
    assert "0 SLOWER, 0 FASTER, 0 AMBIGUOUS, 8 SAME" in text
    assert "(--all lists them)" in text
    assert "equal" not in text
    assert "exact" in run(base, head, "--all")[1]


def test_all_cases_moving_alike_in_another_sitting_is_told(folder: Folder) -> None:
    cases = {f"resnet50/eager/fp32/b{batch}/i224/stream": 10.0 for batch in (1, 2, 3, 4)}
    base, head = folder("base", cases), folder("head", dict.fromkeys(cases, 10.4))
    assert "the latency of 4 of 4 cases changed together, by about +4." in run(base, head)[1]


def test_the_minimum_and_the_metrics_are_a_users_to_choose(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}), folder("head", {CASE: 10.5})
    code, text = run(base, head, "--metric", "latency", "--minimum", "latency=8%")
    assert code == 0
    assert "0 SLOWER, 0 FASTER, 0 AMBIGUOUS, 1 SAME: 1 verdict on 1 case." in text


def test_json_has_everything_and_markdown_is_a_comment(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0, OTHER: 9.0}), folder("head", {CASE: 10.5, OTHER: 9.0})
    result = CliRunner().invoke(app, ["compare", str(base), str(head), "--json"])
    data = json.loads(result.output)
    assert result.exit_code == 1
    assert data["counts"] == {"SLOWER": 2, "FASTER": 0, "AMBIGUOUS": 0, "SAME": 6}
    assert {one["metric"] for one in data["verdicts"]} == {"latency", "throughput", "weights", "host"}
    assert data["summary"][0].startswith("2 SLOWER")
    assert data["next"][0] == f"Where the time goes: {command_line('layers', CASE)}"
    result = CliRunner().invoke(app, ["compare", str(base), str(head), "--markdown"])
    assert result.output.startswith(f"**Slower: {CASE}: latency +5.")
    assert data["finding"] == result.output.splitlines()[0].strip("*")
    assert "| **slower +5." in result.output
    (compiled,) = (one for one in data["rollup"] if one["variant"] == "compile" and one["metric"] == "latency")
    assert (compiled["cases"], compiled["same"]) == (1, 1)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--metric", "speed"], "unknown metric 'speed'; allowed: latency"),
        (["--minimum", "latency"], "--minimum wants METRIC=PERCENT"),
        (["--minimum", "latency=-3"], "from 0 to 1000"),
        (["--minimum", "speed=3"], "unknown metric 'speed'"),
        (["--allow", "colour"], "unknown field 'colour'; allowed: device"),
        (["-f", "resnet18"], "matches resnet18"),
    ],
)
def test_what_is_typed_wrong_is_told_with_what_is_right(folder: Folder, options: list[str], said: str) -> None:
    code, text = run(folder("base", {CASE: 10.0}), folder("head", {CASE: 10.0}), *options)
    assert code == 2
    assert said in text.replace(" │ │ ", " ").replace("│", "")


@pytest.mark.parametrize("rounds", [1, 3])
def test_too_few_rounds_tell_nothing_and_show_the_largest_change(folder: Folder, rounds: int) -> None:
    base = folder("base", {CASE: 10.0, OTHER: 5.0}, rounds=rounds)
    head = folder("head", {CASE: 10.9, OTHER: 5.0}, rounds=rounds)
    result = CliRunner().invoke(app, ["compare", str(base), str(head), "--json"])
    assert result.exit_code == 4
    data = json.loads(result.stdout)
    assert data["counts"]["SLOWER"] == 0
    said = " ".join(data["summary"])
    assert f"6 rounds a side: here are {rounds}" in said
    assert f"not proven: {CASE}" in said
    commands = [step for step in data["next"] if command_line("run") in step or "--rounds 6" in step]
    assert [folder in step for step, folder in zip(commands, (str(head), str(base)), strict=True)] == [True, True]
    assert "latency AMBIGUOUS" in run(base, head)[1]
    assert "No case could be judged by a metric that varies" in said  # beside the weights, which are SAME
    assert "No case could be judged, so" in run(base, head, "--metric", "latency")[1]


def test_an_interval_that_leaves_out_0_and_is_ambiguous_gets_a_word(folder: Folder) -> None:
    base = folder("base", {CASE: 10.0}, rounds=6, noise=0.02)
    head = folder("head", {CASE: 10.6}, rounds=6, noise=0.02)
    said = f"AMBIGUOUS although the interval leaves out 0: {CASE}: latency: an interval is 95 % sure by itself, and a"
    assert f"{said} verdict surer, corrected for 1 test" in run(base, head, "--metric", "latency")[1]
    assert said in run(base, head, "--metric", "latency", "--markdown", "--all")[1]
    assert "leaves out 0" not in run(base, base.parent / "head", "--metric", "weights")[1]


def test_no_digits_are_printed_that_mean_nothing(folder: Folder) -> None:
    base, head = folder("base", {CASE: 10.0}, rounds=2, noise=1.0), folder("head", {CASE: 10.0}, rounds=2, noise=1.2)
    text = run(base, head, "--metric", "latency", "--all")[1]
    assert ">+1000" in text
    assert not re.search(r"\d{5}", text.split("SLOWER: worse")[0])
