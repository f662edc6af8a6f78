"""Records measured again: the command has their conditions, and what no record has is said in words."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from bench.cli.asking import selection_of
from bench.commands import command_line
from bench.plans.case import Case
from bench.plans.choose import ADHOC, Selection, choose
from bench.plans.plan import load_plan
from bench.records.again import (
    command_again,
    command_at_commits,
    command_for_case,
    command_to_score,
    first_record,
)
from bench.records.record import Record
from tests.bench.records.written import write

TOML = """
why = "A test."
[measure]
latency_s = 3.0
[[group]]
why = "Two cases."
model = "resnet18"
variant = ["eager", "compile"]
precision = "fp32"
batch = 1
image = 32
"""
ONE = Case.parse("resnet18/eager/fp32/b1/i32/stream")
OTHER = Case.parse("resnet18/compile/fp32/b1/i32/stream")


def records(asked: Selection, **fields: Any) -> list[Record]:
    """What a run of what is asked for leaves."""
    plan = choose(asked, "cpu")
    rest: dict[str, Any] = {"input": {"source": "photos"}} | fields
    return [
        Record(case, 0, "ok", plan={"name": plan.name}, settings=asdict(plan.settings), **rest) for case in plan.cases
    ]


def words_of(command: str) -> list[str]:
    prefix = command_line("run")
    assert command.startswith(prefix + " ")
    return shlex.split(command.removeprefix(prefix))


def asked_again(command: str) -> Selection:
    """What the options of a command, each a word and its value, ask for."""
    words, values = words_of(command), dict[str, Any]()
    plan = None if words[0].startswith("-") else words.pop(0)
    if "--p99" in words:
        words.remove("--p99")
        values["p99"] = True
    for option, value in zip(words[::2], words[1::2], strict=True):
        name = {"-f": "filter"}.get(option, option.removeprefix("--").replace("-", "_"))
        kinds = {"warmup": float, "min_time": float, "samples": int, "threads": int}
        number = kinds.get(name, str)(value)
        values[name] = [*values.get(name, []), value] if name == "filter" else [value] if name in AXES else number
    return selection_of({"plan": plan} | values)


AXES = ("model", "variant", "precision", "batch", "image", "launch")


@pytest.mark.parametrize(
    "asked",
    [
        Selection("smoke"),
        Selection("smoke", only=["eager"]),
        Selection("smoke", {"batch": ["3", "max"], "variant": ["eager", "compile"]}),
        Selection("mine.toml"),
        Selection("mine.toml", only=["compile"], settings={"samples": 40, "threads": 2}),
        Selection(ONE.name),
        Selection(None, {"model": ["resnet18"], "variant": ["eager", "compile"], "batch": ["1", "2"], "image": ["32"]}),
        Selection(None, {"model": ["resnet18"]}, settings={"min_time": 2.5, "warmup": 7.0}),
        Selection("smoke", settings={"p99": True, "threads": 2}),
    ],
    ids=str,
)
def test_the_command_runs_the_same_cases_with_the_same_settings(
    asked: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(TOML)
    found = records(asked)
    again = choose(asked_again(command_again(["run"], found[0], [record.case for record in found])), "cpu")
    assert set(again.cases) == {record.case for record in found}
    assert (again.name, asdict(again.settings)) == (found[0].plan["name"], found[0].settings)


def test_some_of_the_cases_are_named_one_by_one() -> None:
    found = records(Selection("smoke"))
    command = command_again(["run"], found[0], [found[0].case, found[1].case], "--rounds", 3)
    assert words_of(command) == ["smoke", "-f", found[0].case.name, "-f", found[1].case.name, "--rounds", "3"]


def test_seed_pictures_and_classes_are_given_again() -> None:
    (record,) = records(Selection(ONE.name), seed=7, network={"weights": "synthetic", "given": {"num_classes": 10}})
    record.input = {"source": "noise"}
    rest = ["--num-classes", "10", "--seed", "7", "--input", "noise"]
    assert words_of(command_again(["run"], record, [ONE])) == [ONE.name, *rest]
    assert command_for_case("layers", record) == command_line("layers", ONE.name, *rest)
    assert command_for_case("layers", replace(record, settings={"threads": 2})) == command_line(
        "layers", ONE.name, "--threads", 2, *rest
    )


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"plan": {"name": "theirs"}, "settings": {"noise": 0.5}}, "the file of its plan theirs, which no record has"),
        ({"input": {"source": "folder"}}, "the folder of its pictures (--input), which no record has"),
        ({"network": {"weights": "file"}}, "its checkpoint (--weights), which no record has"),
        ({"settings": {"steal": 0.5}}, "its settings steal, which no option gives"),
        ({"settings": {"samples": 0}}, "its settings samples, which no option gives"),  # nor a plan may have
        (
            {"settings": {"steal": 0.5}, "input": {"source": "folder"}},
            "the folder of its pictures (--input), which no record has, its settings steal, which no option gives",
        ),
    ],
)
def test_what_no_record_has_or_no_option_gives_is_said(fields: dict[str, Any], said: str) -> None:
    (record,) = records(Selection(ONE.name))
    text = command_again(["run"], replace(record, **fields), [ONE], "--rounds", 6)
    assert text.startswith(f"`{command_line('run')}` with {said}, and ")
    assert text.endswith("--rounds 6")


def test_a_plan_whose_settings_are_options_needs_no_file() -> None:
    (record,) = records(Selection(ONE.name, settings={"warmup": 3.0}))
    record.plan = {"name": "theirs"}
    assert words_of(command_again(["run"], record, [ONE], "--rounds", 6)) == [
        ONE.name, "--warmup", "3", "--rounds", "6",
    ]  # fmt: skip
    assert "its plan theirs" in command_again(["run"], record, [ONE], "-o", "here", "--resume")


def test_cold_caches_and_a_hidden_gpu_are_given_again(monkeypatch: pytest.MonkeyPatch) -> None:
    (record,) = records(Selection(ONE.name), cold={"caches": "fresh"}, device="cpu")
    assert words_of(command_again(["run"], record, [ONE], "--rounds", 2)) == [ONE.name, "--cold", "--rounds", "2"]
    assert "--cold" not in command_for_case("layers", record)
    monkeypatch.setattr("bench.records.again.gpu", lambda: {"name": "A card"})
    assert words_of(command_again(["run"], record, [ONE]))[-3:] == ["--device", "cpu", "--cold"]


def test_two_commits_are_compared_by_the_plan_that_has_the_case() -> None:
    case = load_plan("smoke").cases[0].name
    assert command_at_commits("a", "b", case, "smoke", 0, "photos") == command_line("ab", "a", "b", "smoke", "-f", case)
    assert command_at_commits("a", "b", ONE.name, "smoke", 3, "noise") == command_line(
        "ab", "a", "b", ONE.name, "--seed", "3", "--input", "noise"
    )
    assert command_at_commits("a", "b", ONE.name, ADHOC, 0, "") == command_line("ab", "a", "b", ONE.name)
    assert "its checkpoint (--weights)" in command_at_commits("a", "b", ONE.name, ADHOC, 0, "", "file")


def test_the_first_good_record_of_a_case_is_found(tmp_path: Path) -> None:
    bad, good = Record(ONE, 0, "wrong", "no"), Record(ONE, 1, "ok")
    write(tmp_path / "run", "no record", Record(OTHER, 0, "ok"), bad, good)
    assert first_record(tmp_path / "run", [ONE.name]) == good
    assert first_record(tmp_path / "run", ["none"]) is None
    assert first_record(tmp_path / "nowhere", [ONE.name]) is None


def test_a_case_in_8_bits_is_named_with_its_calibration_and_digits_need_no_folder() -> None:
    case = Case.parse("resnet18-digits/library-fused/int8/b1/i32/stream")
    asked = Selection(
        case.name, settings={"calibrate": "minmax", "keep_wide": "fc", "score_pictures": 9, "warmup": 3.0}
    )
    (record,) = records(asked, input={"source": "digits"}, network={"weights": "trained"})
    rest = ["--calibrate", "minmax", "--keep-wide", "fc"]
    assert words_of(command_again(["run"], record, [case])) == [case.name, "--warmup", "3", *rest]
    assert command_for_case("layers", record) == command_line("layers", case.name, *rest)
    in_float = replace(case, precision="fp32")  # which has no such choices, but where it joins a folder's records
    assert words_of(command_again(["run"], record, [in_float])) == [in_float.name, "--warmup", "3"]
    assert words_of(command_again(["run"], record, [in_float], "--resume"))[-5:] == [*rest, "--resume"]
    record.score = {"labelled": True}
    assert words_of(command_again(["run"], record, [case]))
    record.case = replace(case, model="resnet18")
    assert "the folder of its labelled pictures (--data)" in command_again(["run"], record, [case])
    labelled = command_to_score(record, [case], labels=True, pictures=900)
    assert labelled == command_line("accuracy", case.name, *rest, "--data", "DIR")
    record.case, record.plan = case, {"name": "a file that is not here"}
    drawn = command_to_score(record, [case], labels=True, pictures=900)
    assert drawn == command_line("accuracy", case.name, *rest, "--pictures", "900")


def test_cases_that_are_no_product_are_named_by_what_they_differ_in() -> None:
    cases = [Case.parse(f"resnet18/{way}/b1/i32/stream") for way in ("eager/fp32", "onnxruntime/int8", "eager/bf16")]
    command = command_again(["run"], Record(cases[0], 0, "ok", plan={"name": ADHOC}, settings={}), cases)
    assert command.endswith(" -f eager/fp32 -f onnxruntime/int8 -f eager/bf16")
    asked = choose(asked_again(command), "cpu").cases
    assert sorted(case.name for case in asked) == sorted(case.name for case in cases)


def test_choices_of_8_bits_are_said_for_cases_in_8_bits_alone() -> None:
    record = Record(ONE, 0, "ok", plan={"name": ADHOC}, settings={"keep_wide": "3"})
    assert "--keep-wide" not in command_again(["run"], record, [ONE])
    assert "--keep-wide 3" in command_again(["run"], record, [replace(ONE, precision="int8")])
    assert "--keep-wide 3" in command_again(["run"], record, [ONE], "-o", "out", "--resume")
