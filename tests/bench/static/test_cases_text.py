"""Facts as a person reads them."""

from __future__ import annotations

from dataclasses import replace

from bench.static.cases import Counted, Facts, compare_facts
from bench.static.cases_text import facts_lines, facts_markdown, summary
from tests.bench.static.test_cases import NAME, facts

OTHER = "resnet18/per-layer/fp16/b1/i224/stream"


def counted() -> Facts:
    now = facts(launches=1070, breaks=0, weights=2_500_000)
    return replace(now, cases=now.cases | {OTHER: Counted(skipped="times on the GPU")})


def test_how_many_were_counted_comes_first() -> None:
    assert summary(counted(), [], None) == ["1 case counted, 1 not counted here."]


def test_against_a_record_it_says_what_to_do() -> None:
    before, now = facts(launches=71), facts(launches=70)
    first, *others = summary(now, compare_facts(before, now), before)
    assert "1 FASTER" in first
    assert others == ["1 case counted.", "What is better becomes the new record with -o FILE."]


def test_a_table_has_what_was_counted_and_the_rest_with_its_reason() -> None:
    text = "\n".join(facts_markdown(counted(), [], None))
    assert f"| `{NAME}` | 1070 | 0 | - | - | 2.5 | - |" in text
    assert f"- {OTHER}: times on the GPU" in text
    said = [str(line.content) for line in facts_lines(counted(), [], None, 3.0)]
    assert said[0] == "[bold]1 case counted, 1 not counted here.[/] It took 3 s."
    assert f"{OTHER}: times on the GPU" in said


def test_with_a_record_only_what_differs_is_listed() -> None:
    before, now = facts(launches=69), facts(launches=70)
    _, *said = [str(line.content) for line in facts_lines(now, compare_facts(before, now), before, 3.0)]
    assert said == [f"SLOWER {NAME}: kernels launched by a forward: 69 -> 70"]
