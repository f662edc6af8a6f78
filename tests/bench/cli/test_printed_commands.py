"""Every command that a message prints can be pasted: the command line takes it as it stands there."""

import ast
import json
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from bench.cli import PLACES, app
from bench.cli.measure import ab as cli_ab
from bench.cli.measure import sweep as cli_sweep
from bench.commands import command_line
from bench.machine.environment import ROOT
from bench.plans.plan import load_plan
from tests.bench.records.written import Make, write
from tests.repositories import git

NAMES = [*PLACES]
MENTIONED = re.compile(rf"\bbench ({'|'.join(NAMES)})\b")
# Texts that mean a command by its name, and print none to paste: of documents, the page, and what a command is about.
GENERAL = {
    "bench/history/accepted.py",
    "bench/kinds.py", "bench/report/layers/roofs.py", "bench/report/layers/rows.py",
    "bench/report/page/sections.py", "bench/report/page/words.py",
    "bench/report/evidence.py", "bench/report/views.py", "bench/roofline/layers.py", "bench/roofline/layers_text.py",
    "bench/machine/snapshot.py", "bench/runs/worktree.py", "bench/static/markdown.py", "bench/static/predictions.py",
    "bench/verdicts/selftest/real_tables.py", "bench/verdicts/selftest/tables.py", "bench/worker/once.py",
    "bench/worker/static/count.py", "bench/cli/kernels/op.py",
}  # fmt: skip
EAGER, COMPILE = "resnet18/eager/fp32/b1/i32/stream", "resnet18/compile/fp32/b1/i32/stream"
TOML = """
why = "A test."
[[group]]
why = "Two cases."
model = "resnet18"
variant = ["eager", "compile"]
precision = "fp32"
batch = 1
image = 32
"""


def texts(source: str) -> Iterator[tuple[int, str]]:
    """The strings of a module with their lines, without docstrings and helps."""
    tree, left_out = ast.parse(source), set[int]()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node) is not None:
            left_out.add(id(node.body[0].value))  # type: ignore[attr-defined]
        if isinstance(node, ast.keyword) and node.arg in ("help", "text"):
            left_out |= {id(part) for part in ast.walk(node.value)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in left_out:
            yield node.lineno, node.value


def test_messages_spell_commands_by_the_one_function() -> None:
    spelled = {
        (path.relative_to(ROOT).as_posix(), line, text)
        for path in (ROOT / "bench").rglob("*.py")
        for line, text in texts(path.read_text())
        if MENTIONED.search(text)
    }
    assert [entry for entry in sorted(spelled) if entry[0] not in GENERAL] == []


def printed(text: str) -> list[list[str]]:
    """The words of each command in a text, behind the program's: to the end of its backticks, or of its line."""
    return [shlex.split(words) for words in re.findall(rf"{re.escape(command_line())} ([^`\n]+)", text)]


def parse(words: list[str]) -> None:
    """Let the command line read the words of a command, up to running it."""
    group: Any = typer.main.get_command(app)
    with group.make_context("bench", list(words)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(name, rest, parent=context)


@pytest.fixture
def results(tmp_path: Path, record: Make, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with a plan's file, and with results of a base and a head that cannot be told apart."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("COLUMNS", "80")
    (tmp_path / "my plan.toml").write_text(TOML)
    for side, factor in (("base", 1.0), ("head", 1.2)):
        for number in range(3):
            plan = {"name": "my plan", "digest": "0"}
            one = record(EAGER, ms=10 * factor, round=number, plan=plan, seed=2)
            other = record(COMPILE, ms=10 * factor + number, round=number, plan=plan, seed=2)
            one.memory["weights"] = other.memory["weights"] = int(factor * (100 << 20))
            one.input = other.input = {"source": "noise"}
            write(tmp_path / side, one, other)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "commands"),
    [
        (["compare", "base", "head"], ["layers", "run"]),
        (["compare", "base", "head", "--json"], ["layers", "run"]),
        (["recommend", "head", "--p99-ms", "50"], ["run"]),
        (["recommend", "head", "--objective", "throughput", "--json"], ["run"]),
        (["run", "my plan.toml", "--variant", "fused,onnxruntime-trt", "--precision", "fp16"], ["list"]),
        (["run", "my plan.toml", "-f", "compile", "--until", "1"], ["list"]),
        (["run"], ["list"]),
        (["capacity", "."], ["report"]),
        (["counts", "--against", "nowhere.json"], ["counts"]),
        (["kernels", "--check", "nowhere.json"], ["kernels"]),
        (["floors"], ["ceilings"]),
        (["op"], ["op"]),
        (["ceilings", "--quick", "-o", "ceilings.json", "--force"], []),
        (["import", "exported.json", "-o", "imported"], ["report"]),
    ],
    ids=" ".join,
)
def test_a_printed_command_is_one_that_the_command_line_takes(
    words: list[str], commands: list[str], results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.cli.machine.floors.load_ceilings", lambda facts: None)
    CliRunner().invoke(app, ["export", "head", "--format", "pytest-benchmark", "-o", "exported.json"])
    result = CliRunner().invoke(app, words)
    text = result.output
    if "--json" in words:
        text = "\n".join(string for string in strings(json.loads(result.stdout)))
    found = printed(text)
    assert {name for name, *_ in found} >= set(commands), text
    for command in found:
        parse(command)


def strings(data: Any) -> Iterator[str]:
    """All strings in JSON."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from strings(item)


def interrupted(*_: object, **__: object) -> Iterator[None]:
    raise KeyboardInterrupt
    yield


@pytest.mark.parametrize("command", ["run", "verify"])
def test_the_command_that_goes_on_is_the_one_that_was_stopped(
    command: str, results: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_sweep.Sweep, "run", interrupted)
    words = ["my plan.toml", "-f", "eager", "--seed", "3", "--input", "noise", "--threads", "1"]
    result = CliRunner().invoke(app, [command, *words])
    assert result.exit_code == 130, result.output
    (again,) = [found for found in printed(result.output) if found[0] == command]
    parse(again)
    assert set(words) < set(again)
    assert again[again.index("-o") + 1 :][1] == "--resume"
    assert f"Stopped. {again[again.index('-o') + 1]} has no record yet." in " ".join(result.output.split())
    shutil.rmtree(again[again.index("-o") + 1], ignore_errors=True)


def test_a_duel_that_was_stopped_names_what_judges_it_and_what_goes_on(
    results: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    for name in ("pyproject.toml", "constraints.txt", "bench/worker.py", "resnet/variants.py", "resnet/__init__.py"):
        (repository / name).parent.mkdir(parents=True, exist_ok=True)
        (repository / name).touch()
    (repository / "bench" / "__init__.py").touch()
    git(repository, "init", "--quiet")
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message", "one")
    monkeypatch.setattr(cli_ab, "ROOT", repository)
    monkeypatch.setattr(cli_ab.Duel, "run", interrupted)
    words = ["HEAD", ".", "my plan.toml", "-f", "eager", "--minimum", "latency=3", "--input", "noise"]
    result = CliRunner().invoke(app, ["ab", *words, "-o", str(tmp_path / "out of place")])
    assert result.exit_code == 130, result.output
    judge, again = printed(result.output)
    assert judge[:3] == ["compare", f"{tmp_path}/out of place/base", f"{tmp_path}/out of place/head"]
    assert "latency=3" in judge
    assert set(words) < set(again)
    parse(judge)
    parse(again)


def test_what_is_advised_after_a_comparison_names_the_plans_file_and_its_conditions(results: Path) -> None:
    result = CliRunner().invoke(app, ["compare", "base", "head", "--json"])
    layers, run, _ = (printed(step)[0] for step in json.loads(result.stdout)["next"])
    assert layers == ["layers", EAGER, "--seed", "2", "--input", "noise"]
    assert run[:2] == ["run", "my plan.toml"]
    assert run[-9:-1] == ["--seed", "2", "--input", "noise", "-o", "head", "--resume", "--rounds"]
    assert load_plan(run[1]).cases


def test_a_command_that_could_not_be_pasted_is_noticed() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse(["run", "smoke", "--no-such-option"])
    with pytest.raises(Exception, match="No such command"):
        parse(["nothing"])
    assert printed(f"Try `{command_line('list', 'a b')}` or {command_line('run', 'quick')}") == [
        ["list", "a b"],
        ["run", "quick"],
    ]
