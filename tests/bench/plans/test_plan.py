import os
from pathlib import Path

import pytest

from bench.errors import PlanError
from bench.plans import plan as plans
from bench.plans.plan import Settings, load_plan, parse_plan

GOOD = """
why = "A test."
rounds = 2
[measure]
noise = 0.05
[[group]]
name = "one"
why = "The first."
model = "resnet18"
variant = ["eager", "compile"]
precision = "fp32"
batch = [1, 2]
[[group]]
why = "The second, of which one case was there."
device = "cpu"
model = "resnet18"
variant = "eager"
precision = ["fp32", "bf16"]
batch = 2
"""


def test_groups_expand_in_order_and_a_case_counts_once() -> None:
    plan = parse_plan(GOOD, "test", "test.toml")
    assert [case.name for case in plan.cases] == [
        "resnet18/eager/fp32/b1/i224/stream",
        "resnet18/compile/fp32/b1/i224/stream",
        "resnet18/eager/fp32/b2/i224/stream",
        "resnet18/compile/fp32/b2/i224/stream",
        "resnet18/eager/bf16/b2/i224/stream",
    ]
    assert plan.rounds == 2
    assert plan.settings == Settings(noise=0.05)
    # wanted on a CPU by one group, and anywhere by the other
    assert {case.name for case in plan.reserved} == {"resnet18/eager/bf16/b2/i224/stream"}


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("rounds = 2", "rounds = two", 3, "Invalid value"),
        ("rounds = 2", "rounds = 0", 3, "at least 1"),
        ("rounds = 2", "runs = 2", 3, "did you mean rounds"),
        ("noise = 0.05", "noise = -1", 5, "too small"),
        ("noise = 0.05", "nois = 1", 5, "did you mean noise"),
        ("noise = 0.05", 'noise = "low"', 5, "not a number"),
        ('why = "The first."', "", 6, "no `why`"),
        ('model = "resnet18"\nvariant = ["eager", "compile"]', 'variant = "eager"', 6, "no model"),
        ('"compile"]', '"compiel"]', 10, "did you mean compile.*allowed: eager"),
        ('precision = "fp32"', 'precision = "fp23"', 11, "allowed: fp32"),
        ("batch = [1, 2]", "batch = []", 12, "empty"),
        ("batch = [1, 2]", 'batch = ["1"]', 12, "whole numbers"),
        ("batch = [1, 2]", 'batch = [1, "largest"]', 12, "holds 'largest'; it takes whole numbers and \"max\""),
        ("batch = [1, 2]", "batch = 0", 12, "not a positive number"),
        ("batch = [1, 2]", "batch = [1, -2]", 12, "not a positive number"),
        ("batch = [1, 2]", "batch = [true]", 12, "whole numbers"),
        ('device = "cpu"', 'device = "tpu"', 15, "allowed: any, cpu, cuda"),
        ('model = "resnet18"\nvariant = "eager"', 'model = "resnet20"\nvariant = "eager"', 16, "18, 34, 50, 101, 152"),
    ],
)
def test_an_error_names_the_file_the_line_and_the_words(old: str, new: str, line: int, said: str) -> None:
    assert old in GOOD
    with pytest.raises(PlanError, match=said) as error:
        parse_plan(GOOD.replace(old, new, 1), "test", "folder/test.toml")
    assert str(error.value).startswith(f"folder/test.toml:{line}: ")


@pytest.mark.parametrize("name", plans.plan_names())
def test_the_curated_plans_read_and_say_why(name: str) -> None:
    plan = plans.load_plan(name)
    assert plan.cases
    assert plan.why


def test_the_plans_that_the_readme_names_are_there() -> None:
    assert {"quick", "headline", "depths", "precisions", "full", "smoke"} <= set(plans.plan_names())


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD)
    assert plans.load_plan(str(path)).name == "mine"
    path.write_bytes(b"why = '\xff'")
    with pytest.raises(PlanError, match="not UTF-8 text"):
        plans.load_plan(str(path))


def test_an_unknown_plan_names_the_known_ones() -> None:
    with pytest.raises(PlanError, match=r"did you mean quick.*headline"):
        plans.load_plan("quik")


def test_only_keeps_what_a_glob_finds() -> None:
    plan = parse_plan(GOOD, "test", "test.toml")
    assert len(plan.only("compile").cases) == 2
    assert len(plan.only("*/b1/*").cases) == 2
    assert len(plan.only("compile", "*/bf16/*").cases) == 3
    assert plan.only() == plan
    assert not plan.only("resnet50").cases


def test_the_largest_batch_is_a_word_among_the_batches() -> None:
    some = parse_plan(GOOD.replace("batch = [1, 2]", 'batch = [1, "max"]'), "test", "test.toml")
    assert [case.name for case in some.cases if case.variant == "eager"][:2] == [
        "resnet18/eager/fp32/b1/i224/stream",
        "resnet18/eager/fp32/bmax/i224/stream",
    ]
    assert len(some.only("bmax").cases) == 2
    alone = parse_plan(GOOD.replace("batch = [1, 2]", 'batch = "max"'), "test", "test.toml")
    assert [case.largest for case in alone.cases] == [True, True, False, False]


def test_the_digest_is_of_what_is_run_not_of_the_words() -> None:
    plan = parse_plan(GOOD, "test", "test.toml")
    assert parse_plan(GOOD.replace("The first.", "Other words."), "x", "x").digest == plan.digest
    assert parse_plan(GOOD.replace("rounds = 2", "rounds = 3"), "x", "x").digest != plan.digest
    assert parse_plan(GOOD.replace("noise = 0.05", "noise = 0.04"), "x", "x").digest != plan.digest


GROUP = """[[group]]
why = "One case."
model = "resnet18"
variant = "eager"
precision = "fp32"
batch = 1
"""
HOSTILE = [
    ("group = [5]", "needs at least one"),
    ("group = 5", "needs at least one"),
    ("[group]\nwhy = 'x'", "needs at least one"),
    (f"rounds = {'9' * 5000}", "thousands of digits"),
    (f"rounds = {'9' * 4000}", "a number of more than"),
    (GROUP + "[measure]\nlatency_s = inf", "at most"),
    (GROUP + "[measure]\nlatency_s = nan", "at most"),
    (GROUP + "[measure]\nsamples = 99999999999", "at most"),
    ("a = " + "[" * 5000 + "]" * 5000, "nested too deep"),
    (
        GROUP.replace("batch = 1", f"batch = {list(range(1, 2000))}") + f"image = {list(range(32, 2000))}",
        "3,934,032 cases",
    ),
    (GROUP.replace("batch = 1", f"batch = {'9' * 5000}"), "thousands of digits"),
    (GROUP.replace("batch = 1", f"batch = {'9' * 4000}"), "batch is over 2,147,483,647"),
    (GROUP.replace("batch = 1", "batch = [[1]]"), "it takes whole numbers"),
    (GROUP + f"image = '{'x' * 5000}'", "it takes whole numbers"),
    (GROUP.replace("eager", "x" * 10**6), "unknown variant"),
]


@pytest.mark.parametrize(("text", "message"), HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_absurd_is_refused_in_a_sentence(text: str, message: str) -> None:
    with pytest.raises(PlanError, match=message) as caught:
        parse_plan(text, "name", "name.toml")
    assert str(caught.value).startswith("name.toml")


def test_a_plan_is_read_as_editors_save_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    for encoding in ("utf-8-sig", "utf-16"):
        path.write_bytes(GROUP.replace("\n", "\r\n").encode(encoding))
        assert len(load_plan(str(path)).cases) == 1


def test_a_plan_is_no_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(PlanError, match="a regular file is needed"):
        load_plan(str(tmp_path / "pipe.toml"))
