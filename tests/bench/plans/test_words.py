"""Globs are of whole segments, and one that matches nothing names what comes near."""

import pytest

from bench.errors import ArgumentError
from bench.plans.plan import load_plan
from bench.plans.words import matches, narrow

NAMES = [case.name for case in load_plan("quick").cases]
GRAPH = "resnet50/library-fused/fp16/b128/i224/graph"


@pytest.mark.parametrize(
    ("glob", "matched"),
    [
        ("library-fused", True),
        ("fused", False),
        ("*fused*", True),
        ("b128", True),
        ("b1", False),
        ("b1*", True),
        ("resnet50/*/fp16", True),
        ("resnet50/fp16", False),
        ("fp16/b128/", True),
        ("*/graph", True),
        ("*/resnet50", False),
        (GRAPH, True),
        (f"{GRAPH}/more", False),
        ("", False),
    ],
)
def test_a_glob_is_a_run_of_whole_segments(glob: str, matched: bool) -> None:
    assert matches(GRAPH, [glob]) is matched


def test_what_is_excluded_is_left_out_after_what_is_chosen() -> None:
    kept = narrow(NAMES, ["fp16", "bf16"], ["graph", "*compile*"])
    assert kept == [name for name in NAMES if "16" in name and "graph" not in name and "compile" not in name]
    assert narrow(NAMES, []) == NAMES


@pytest.mark.parametrize(
    ("only", "exclude", "message"),
    [
        (["fused"], [], r"no case of this matches fused \(near it: library-fused\)"),
        (["fp32", "compil"], [], r"matches compil \(near it: compile, compile-max\)"),
        ([], ["onnxrutime"], r"matches onnxrutime \(near it: onnxruntime"),
        (["b12"], [], r"near it: b128"),
        (["resnet50/eager/fp32/b128"], [], r"near it: resnet50/eager/fp"),
        (["fusd"], [], r"near it: library-fused"),
        (["zzz"], [], r"matches zzz; it has resnet50/eager/fp32/b1/i224/stream and 50 more"),
        (["fp32"], ["resnet50"], r"--exclude resnet50 leaves no case"),
    ],
)
def test_a_glob_that_matches_nothing_names_near_misses(only: list[str], exclude: list[str], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        narrow(NAMES, only, exclude)
