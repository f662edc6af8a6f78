"""`bench counts`: exit codes, what is printed, what is written; the count itself is given."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.kernels import counts as cli_counts
from bench.static.cases import SLOWER
from tests.bench.static.test_cases import NAME, facts


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting is tests/bench/static/test_count.py's; here a count is given."""
    monkeypatch.setattr(cli_counts, "count_cases", lambda *_, **__: facts(launches=70))


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["counts", *words])
    return done.exit_code, " ".join(done.output.split())


def test_one_launch_more_is_exit_code_1_and_says_where(tmp_path: Path) -> None:
    facts(launches=69).save(tmp_path / "f")
    code, said = run("--against", str(tmp_path / "f"), "-f", NAME)
    assert code == 1
    assert f"SLOWER {NAME}: kernels launched by a forward: 69 -> 70" in said


def test_one_launch_less_is_exit_code_0_and_says_how_to_keep_it(tmp_path: Path) -> None:
    facts(launches=71).save(tmp_path / "f")
    code, said = run("--against", str(tmp_path / "f"), "-f", NAME)
    assert code == 0
    assert "FASTER" in said
    assert "-o FILE" in said


def test_another_environment_is_told_and_only_strict_fails(tmp_path: Path) -> None:
    facts({"torch": "2.12.0"}, launches=69).save(tmp_path / "f")
    arguments = ("--against", str(tmp_path / "f"), "-f", NAME)
    assert run(*arguments)[0] == 0
    assert "torch 2.12.0 -> 2.13.0" in run(*arguments)[1]
    assert run(*arguments, "--strict")[0] == 1


def test_a_filter_leaves_out_the_rest_of_the_record(tmp_path: Path) -> None:
    known = facts(launches=70)
    other = facts(launches=1, name="resnet50/eager/fp32/b1/i224/stream")
    replace(known, cases=known.cases | other.cases).save(tmp_path / "f")
    assert run("--against", str(tmp_path / "f"), "-f", NAME)[0] == 0
    assert run("--against", str(tmp_path / "f"))[0] == 1


def test_json_and_markdown_hold_the_verdict(tmp_path: Path) -> None:
    facts(launches=69).save(tmp_path / "f")
    arguments = ["counts", "--against", str(tmp_path / "f"), "-f", NAME]
    data = json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)
    assert data["changes"][0]["word"] == SLOWER
    assert data["cases"][NAME]["facts"]["launches"] == [70, "aten"]
    text = CliRunner().invoke(app, [*arguments, "--markdown"]).stdout
    assert f"| SLOWER | `{NAME}` | kernels launched by a forward | 69 | 70 |" in text


def test_what_is_written_is_what_the_next_run_is_held_against(tmp_path: Path) -> None:
    assert run("-f", NAME, "-o", str(tmp_path / "f"))[0] == 0
    code, said = run("-f", NAME, "--against", str(tmp_path / "f"))
    assert (code, "nothing differs" in said) == (0, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nonsense",), "no plan 'nonsense'"),
        (("-f", "resnet99"), "no case of static matches resnet99"),
        (("--against", "/nowhere/f"), "cannot read /nowhere/f"),
        (("--strict",), "--strict is for --against"),
        (("-f", NAME, "-o", "/proc/f"), "cannot write /proc/f"),
    ],
)
def test_bad_usage_is_a_sentence(words: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, ["counts", *words])
    data = " ".join(done.output.replace("│", " ").split())
    assert said in data
    assert done.exit_code != 0
