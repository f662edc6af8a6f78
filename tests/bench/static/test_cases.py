"""Facts on record: what is read back, what a difference is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import StoreError
from bench.static.cases import (
    CHANGED,
    ENVIRONMENT,
    FACTS,
    FAILED,
    FASTER,
    GONE,
    METHODS,
    NEW,
    NOT_COUNTED,
    SLOWER,
    Counted,
    Fact,
    Facts,
    compare_facts,
    failures,
)

NAME = "resnet18/eager/fp32/b1/i224/stream"
HERE = {"torch": "2.13.0", "cpu": "x86_64 AVX512"}


def facts(environment: dict[str, str] = HERE, name: str = NAME, **values: int | str) -> Facts:
    """Of one case: `launches=69` counted as eager's are."""
    methods = {"launches": "aten", "breaks": "dynamo", "weights": "parameters", "record": "accepted"}
    counted = Counted({fact: Fact(value, methods[fact]) for fact, value in values.items()}, {"bytes": "nobody says"})
    return Facts({name: counted}, environment, "0123456789", "2026-11-24")


def only(old: Facts, new: Facts) -> tuple[str, str, object, object]:
    (change,) = compare_facts(old, new)
    return change.word, change.fact, change.before, change.after


@given(st.integers(0, 1000), st.integers(0, 1000), st.sampled_from(["launches", "breaks", "weights"]))
def test_more_is_slower_less_is_faster_and_equal_is_nothing(before: int, after: int, fact: str) -> None:
    found = compare_facts(facts(**{fact: before}), facts(**{fact: after}))
    if before == after:
        assert found == []
    else:
        assert [(c.word, c.case, c.fact, c.before, c.after) for c in found] == [
            (SLOWER if after > before else FASTER, NAME, fact, before, after)
        ]
    assert bool(failures(found, strict=False)) == (after > before)


def test_the_sentence_names_case_fact_and_both_values() -> None:
    (change,) = compare_facts(facts(launches=69), facts(launches=1070))
    assert str(change) == f"{NAME}: kernels launched by a forward: 69 -> 1,070"


def test_another_torch_excuses_what_hangs_on_it_and_nothing_else() -> None:
    old, new = facts(launches=69, weights=100), facts({**HERE, "torch": "2.12.0"}, launches=70, weights=101)
    words = {change.fact: change for change in compare_facts(old, new)}
    assert words["launches"].word == ENVIRONMENT
    assert words["launches"].why == "torch 2.13.0 -> 2.12.0"
    assert words["weights"].word == SLOWER
    assert failures([words["launches"]], strict=False) == []
    assert failures([words["launches"]], strict=True) != []


def test_a_digest_that_differs_has_changed_and_fails_nothing() -> None:
    found = compare_facts(facts(record="aa"), facts(record="bb"))
    assert [change.word for change in found] == [CHANGED]
    assert failures(found, strict=True) == []


def test_what_was_counted_in_another_way_is_not_compared() -> None:
    new = facts()
    new.cases[NAME] = Counted({"launches": Fact(99, "inductor")})
    assert only(facts(launches=1), new) == (CHANGED, "launches", 1, 99)


def test_a_fact_or_a_case_that_is_gone_fails_and_a_new_one_does_not() -> None:
    assert only(facts(launches=1, breaks=0), facts(launches=1)) == (GONE, "breaks", 0, None)
    assert only(facts(launches=1), facts(launches=1, breaks=0)) == (NEW, "breaks", None, 0)
    other = facts(launches=1, name="resnet34/eager/fp32/b1/i224/stream")
    found = compare_facts(facts(launches=1), other)
    assert [change.word for change in found] == [GONE, NEW]
    assert failures(found, strict=False) == found[:1]


def test_a_case_that_fails_now_fails_and_one_that_a_package_lacks_for_does_not() -> None:
    old, failed, skipped = facts(launches=1), facts(), facts()
    failed.cases[NAME] = Counted(failed="Unsupported: graph break")
    skipped.cases[NAME] = Counted(skipped="pip install onnx")
    assert [change.word for change in compare_facts(old, failed)] == [FAILED]
    assert failures(compare_facts(old, failed), strict=False)
    assert [change.word for change in compare_facts(old, skipped)] == [NOT_COUNTED]
    assert not failures(compare_facts(old, skipped), strict=False)
    assert failures(compare_facts(old, skipped), strict=True)


def test_what_is_saved_is_what_is_loaded(tmp_path: Path) -> None:
    found = facts(launches=69, breaks=0, weights=5, record="ab")
    found.cases["resnet18/per-layer/fp16/b1/i224/stream"] = Counted(skipped="times on the GPU")
    found.save(tmp_path / "deep" / "facts.json")
    assert Facts.read(tmp_path / "deep" / "facts.json") == found
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["facts.json"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot read"),
        ("{", "no whole file of counts"),
        ("[]", "no whole file of counts"),
        ('{"schema": 99}', "schema 99 is newer"),
        (json.dumps(facts(launches=1).as_json()).replace('[1, "aten"]', '["1", "aten"]'), "'1' by 'aten' is no count"),
        (json.dumps(facts(launches=1).as_json()).replace('"aten"]', '"guessed"]'), "by 'guessed' is no count"),
    ],
)
def test_a_file_that_is_no_record_is_refused_in_a_sentence(tmp_path: Path, content: str | None, said: str) -> None:
    path = tmp_path / "facts.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreError, match=said):
        Facts.read(path)


def test_every_fact_of_the_committed_record_is_explained() -> None:
    found = Facts.read(Path(__file__).parents[3] / "results" / "static" / "counts.json")
    assert len(found.cases) >= 16
    for name, counted in found.cases.items():
        assert not counted.failed, name
        assert counted.facts.keys() | counted.absent.keys() == FACTS.keys(), name
        assert {fact.method for fact in counted.facts.values()} <= METHODS.keys()
