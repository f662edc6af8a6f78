"""What docs/COMMANDS.md says of a command, against the command itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.cli import PLACES, load
from bench.cli.results.manual import describe_command, describe_names, describe_shared
from bench.plans.plan import plan_names
from resnet.variants import VARIANTS

ROOT = Path(__file__).resolve().parents[4]


@pytest.mark.parametrize("name", PLACES)
def test_every_word_of_a_command_is_in_its_section(name: str) -> None:
    text, shared = describe_command(ROOT, name, {}), describe_shared(ROOT, "shared", {})
    for parameter in load(name).params:
        for word in parameter.opts if parameter.param_type_name == "option" else ():
            assert f"{word}" in text or f"`{word}, " in shared, word
        longest = max(parameter.opts, key=len)
        assert parameter.param_type_name == "argument" or longest in text
    assert text.startswith(load(name).help.split(". ")[0].split("`")[0][:20])


def test_an_option_has_its_value_its_meaning_and_its_default() -> None:
    text = describe_command(ROOT, "run", {})
    assert "`bench run [PLAN]`" in text
    assert "| `--rounds-limit N` | At most, with --until. [default: 20] |" in text
    assert "| `--strict, --lenient` | Exit 1 also if a case was throttled" in text
    assert "`bench ab BASE_REV HEAD_REV [PLAN]`" in describe_command(ROOT, "ab", {})
    assert r"\[default" not in text


def test_what_many_commands_have_stands_once() -> None:
    shared = describe_shared(ROOT, "shared", {})
    assert "| `--csv` | Print CSV" in shared
    assert "| `-f, --filter GLOB` |" in shared
    assert "Print CSV" not in describe_command(ROOT, "run", {})
    assert "`--csv`" in describe_command(ROOT, "run", {})


def test_stars_are_no_emphasis() -> None:
    assert r"'\*', the default" in describe_shared(ROOT, "shared", {})


def test_plans_and_variants_are_named_with_why() -> None:
    plans, variants = describe_names(ROOT, "plans", {}), describe_names(ROOT, "variants", {})
    assert all(f"| `{name}` | " in plans for name in plan_names())
    assert all(f"| `{name}` | {variant.why} |" in variants for name, variant in VARIANTS.items())
