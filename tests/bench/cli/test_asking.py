"""The options by which commands are asked for cases, in this process; nothing is measured."""

import csv
import io
import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.machine.visible import device_visible
from bench.plans.plan import plan_names
from bench.records.store import Store
from bench.runs.ab import LOOKS
from bench.verdicts.rule import RULE
from resnet.variants import VARIANTS


@pytest.fixture(autouse=True)
def on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("COLUMNS", "80")


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def listed(*words: str) -> list[str]:
    done = invoke("list", *words, "--json")
    assert done.exit_code == 0, done.stderr
    return [row["case"] for row in json.loads(done.stdout)]


def test_axes_a_filter_and_an_exclusion() -> None:
    words = ("--model", "resnet18,resnet34", "--variant", "*fused*,eager", "--batch", "1", "--batch", "8")
    assert listed(*words, "-f", "b8", "--exclude", "resnet34/library-fused", "--exclude", "fused") == [
        "resnet18/library-fused/fp32/b8/i224/stream",
        "resnet18/eager/fp32/b8/i224/stream",
        "resnet34/eager/fp32/b8/i224/stream",
    ]
    assert listed("smoke", "--precision", "fp32", "--batch", "4") == [
        f"resnet18/{variant}/fp32/b4/i64/stream" for variant in ("eager", "library-fused", "onnxruntime")
    ]


def test_a_bare_list_shows_all_that_can_be_named_and_why_some_does_not_run() -> None:
    done = invoke("list", "--json")
    catalogue = json.loads(done.stdout)
    assert list(catalogue) == ["plans", "models", "variants", "precisions"]
    assert {row["name"] for row in catalogue["plans"]} == set(plan_names())
    assert set(VARIANTS) <= {row["name"] for row in catalogue["variants"]}
    rows = [row for group in catalogue.values() for row in group]
    assert all(row["why"] for row in rows)
    assert all(row["runs"] == (not row["reason"]) for row in rows)
    by_name = {row["name"]: row for row in rows}
    assert by_name["headline"]["reason"] == "needs a CUDA device"
    assert "NVIDIA" in by_name["fused"]["reason"]
    assert by_name["eager"]["precisions"][0] == "fp32"
    assert "no fp8 form" in by_name["fp8"]["reason"]
    text = invoke("list").stdout
    assert all(name in text for name in by_name)
    assert max(len(line) for line in text.splitlines() if line.startswith(("runs", "skipped"))) <= 80


@pytest.mark.parametrize("command", ["run", "verify"])
def test_a_dry_run_shows_cases_reasons_and_minutes_and_writes_nothing(command: str, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    words = (command, "smoke", "--exclude", "eager", "-o", str(folder), "--dry-run")
    done = invoke(*words)
    assert done.exit_code == 0, done.stderr
    assert "runs    resnet18/library-fused/fp32/b2/i64/stream" in done.stdout
    assert "ONNX Runtime's CPU provider has no bf16" in done.stdout
    assert " executions, from " in " ".join(done.stdout.split())
    assert not folder.exists()
    numbers = json.loads(invoke(*words, "--json").stdout)
    assert 1 <= numbers["executions"] <= 3
    assert numbers["seconds"] > 1


def test_a_list_and_a_dry_run_are_csv_without_other_lines(tmp_path: Path) -> None:
    for words in (
        ["list", "smoke"],
        ["run", "smoke", "-o", str(tmp_path), "--dry-run"],
        ["ab", "HEAD", "HEAD", "smoke", "--dry-run"],
    ):
        rows = list(csv.DictReader(io.StringIO(invoke(*words, "--csv").stdout)))
        assert [row["case"] for row in rows] == listed("smoke")
        assert {row["runs"] for row in rows} == {"true", "false"}
        assert f"| {rows[0]['case']} | yes |" in invoke(*words, "--markdown").stdout
    names = [row["name"] for row in csv.DictReader(io.StringIO(invoke("list", "--csv").stdout))]
    assert {*VARIANTS, *plan_names()} <= set(names)
    assert "| smoke | yes |" in invoke("list", "--markdown").stdout


@pytest.mark.parametrize(
    ("options", "told"), [(["--rounds", "5"], "--rounds 6"), (["--budget", "1"], "--budget"), (["--rounds", "6"], "")]
)
def test_an_ab_that_is_too_short_for_a_verdict_says_so_beforehand_and_what_would_do(
    options: list[str], told: str
) -> None:
    assert LOOKS[0] == RULE.min_rounds
    done = invoke("ab", "HEAD", "HEAD", "resnet18/eager", "--image", "32", *options, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert ("cannot tell" in done.stderr) == bool(told)
    assert told in done.stderr
    assert ("apart by over 10 %" in done.stderr) == ("5" in options)
    if told == "--budget":
        assert int(done.stderr.rsplit("--budget", 1)[1].split()[0]) >= 60


def test_a_dry_ab_says_when_it_may_end_and_when_it_must() -> None:
    done = invoke("ab", "HEAD", "HEAD", "resnet18/eager", "--dry-run", "--json")
    answer = json.loads(done.stdout)
    assert answer["rounds"] == [6, 30]
    assert answer["seconds"][1] > 4 * answer["seconds"][0] > 0


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("run",), 2, "say which cases"),
        (("once",), 2, "name a case"),
        (("once", "resnet18", "--variant", "compile*"), 2, "3 match; name one"),
        (("layers", "resnet18/eager", "--against", "nothing"), 2, "neither a case"),
        (("run", "smoke", "--weights", "no/such.pt"), 2, "no/such.pt is not there"),
        (("run", "smoke", "--weights", "."), 2, "is a folder"),
        (("run", "smoke", "-f", "onxruntime"), 2, "near it: onnxruntime"),
        (("run", "smoke", "--device", "tpu"), 2, "not one of cpu, cuda, cuda:1"),
        (("run", "smoke", "--device", "cuda"), 3, "--device cuda: CUDA_VISIBLE_DEVICES hides every GPU"),
        (("list", "--model", "resnet19"), 2, "did you mean"),
        (("ab", "HEAD", "no-such-branch", "smoke", "--dry-run"), 2, "no-such-branch is no revision"),
    ],
)
def test_words_that_name_nothing_are_a_sentence_at_once(words: tuple[str, ...], code: int, said: str) -> None:
    done = invoke(*words)
    assert done.exit_code == code, done.output
    assert said in " ".join(done.stderr.split())


def test_settings_threads_and_builds_are_in_the_record(tmp_path: Path) -> None:
    words = (
        "--image",
        "32",
        "--input",
        "noise",
        "--threads",
        "1",
        "--samples",
        "3",
        "--warmup",
        "0",
        "--min-time",
        "0.01",
    )
    done = invoke("run", "resnet18/eager", *words, "--num-classes", "7", "--device", "cpu", "-o", str(tmp_path))
    assert done.exit_code == 0, done.output
    assert " for 1 execution, from " in " ".join(done.stderr.split())  # the estimate, at the start
    (record,) = Store(tmp_path).read()
    assert record.runtime["threads"] == record.settings["threads"] == 1
    assert (record.settings["samples"], record.settings["latency_s"], record.settings["warmup_s"]) == (3, 0.01, 0.0)
    assert record.network["num_classes"] == 7
    again = invoke(
        "run", "resnet18/eager", *words, "--threads", "2", "--num-classes", "7", "-o", str(tmp_path), "--resume"
    )
    assert again.exit_code == 2
    assert "another threads (1, now 2)" in " ".join(again.stderr.split())
    # without a plan it is all as in the folder: settings, classes, pictures
    done = invoke("run", "-o", str(tmp_path), "--resume", "--rounds", "2")
    assert done.exit_code == 0, done.output
    first, second = Store(tmp_path).read()
    assert (second.case, second.settings, second.network["given"]) == (first.case, first.settings, {"num_classes": 7})


def test_a_device_is_hidden_while_a_command_runs_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    card = {"name": "A card"}
    monkeypatch.setattr("bench.machine.visible.gpu", lambda: card)
    monkeypatch.setattr("bench.machine.visible._count", lambda: 2)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)
    for visible, word, expected in (
        (None, "cpu", ""), (None, "cuda", None), (None, "cuda:1", "1"), ("5,7", "cuda:1", "7"),
        ("5,7", "cuda:0", "5,7"),
    ):  # fmt: skip
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible) if visible else monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        with device_visible(word):
            assert os.environ.get("CUDA_VISIBLE_DEVICES") == expected
        assert os.environ.get("CUDA_VISIBLE_DEVICES") == visible
        assert "CUDA_DEVICE_ORDER" not in os.environ
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with pytest.raises(Exception, match="cuda:0 to cuda:1"), device_visible("cuda:2"):
        pass
