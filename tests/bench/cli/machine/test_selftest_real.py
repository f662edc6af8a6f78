"""`bench selftest --real` as it is called, in a repository whose worker's clock is made up."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.machine import selftest as cli_selftest
from bench.report.markdown import splice
from bench.verdicts.selftest import tables as error_rates
from tests.bench.verdicts.selftest.repository import PLAN, repository_in


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return repository_in(tmp_path_factory.mktemp("repository"))


def selftest(*words: str) -> Any:
    return CliRunner().invoke(app, ["selftest", *words], env={"COLUMNS": "80"})


def test_the_command_writes_what_the_documents_show(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli_selftest, "ROOT", repository)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (tmp_path / "README.md").write_text(f"<!-- bench: {error_rates.REAL} -->\nold\n<!-- /bench -->\n")
    assert splice(tmp_path) == [tmp_path / "README.md"]
    assert f"Not measured yet: `{error_rates.HOW}`" in (tmp_path / "README.md").read_text()
    plan, target = tmp_path / "test.toml", tmp_path / error_rates.REAL
    plan.write_text(PLAN)
    done = selftest("--real", str(plan), "-f", "resnet18", "--delay", "25", "--rounds", "6", "-o", str(target))
    assert done.exit_code == 0, done.output
    assert max((len(line) for line in done.stdout.splitlines() if "  " in line.strip()), default=0) <= 80
    assert "0 of 1 cases with a false alarm" in " ".join(done.stdout.split())
    results = json.loads(target.read_text())
    assert error_rates.read_error_rates(target) == results
    assert {row["case"] for row in results["tests"]} == {"resnet18/eager/fp32/b1/i32/stream"}
    assert results["setting"]["looks"] == [6]
    assert splice(tmp_path) == [tmp_path / "README.md"]
    text = (tmp_path / "README.md").read_text()
    assert "| none | latency | 0 | 0 | 1 | 0 |" in text
    assert "| +25 % | throughput | 1 | 0 | 0 | 0 | +2" in text
    assert "Machine: " in text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--real", "smoke", "--noise", "1"], "--noise is for the simulation"),
        (["--real", "smoke", "--from", "."], "--from is for the simulation"),
        (["--delay", "3"], "--delay is for real runs"),
        (["--real", "smoke", "--delay", "3;5"], "--delay wants percentages with commas"),
        (["--real", "smoke", "--delay", "0"], "each is more than 0"),
    ],
)
def test_what_is_typed_wrong_is_told(options: list[str], said: str) -> None:
    done = selftest(*options)
    assert done.exit_code == 2
    assert said in " ".join(done.output.replace("│", "").split())
