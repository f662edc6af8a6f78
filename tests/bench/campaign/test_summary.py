"""The last lines, and what is missing, in order."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bench.campaign.campaign import Campaign
from bench.campaign.summary import MAX_LINES, missing_tasks, summarize
from bench.campaign.tasks import TASKS
from bench.plans import plan as plans
from bench.records.record import Record
from bench.records.store import Store
from tests.bench.campaign.programs import on_a_card, program, quiet


def test_what_is_done_for_this_card_and_code_is_not_missing(here: dict[str, Any], tmp_path: Path) -> None:
    facts = on_a_card(here)
    made = Campaign(facts, tmp_path)
    assert missing_tasks(made) == list(TASKS.values())
    list(made.run_tasks([program(TASKS["pieces"], "pass")], 60, quiet))
    assert TASKS["pieces"] not in missing_tasks(Campaign(facts, tmp_path))
    other = facts | {"git": {"sha": "f" * 40, "dirty": False}}
    assert TASKS["pieces"] in missing_tasks(Campaign(other, tmp_path))
    assert TASKS["pieces"] in missing_tasks(
        Campaign(facts | {"gpu": facts["gpu"] | {"name": "NVIDIA Other"}}, tmp_path)
    )


def test_what_is_of_other_code_is_not_shown_as_this_ones(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(on_a_card(here), tmp_path)
    made.root.mkdir(parents=True)
    found = {"pieces": [{"name": "stem", "status": "ok"}], "provenance": {"environment": made.env}}
    for env, shown in ((made.env, True), (made.env | {"git": {"sha": "f" * 40, "dirty": False}}, False)):
        (made.root / "pieces.json").write_text(json.dumps(found | {"provenance": {"environment": env}}))
        assert any("stem" in line for line in summarize(made)) == shown
    for damaged in ('{"pieces": null}', '{"pieces": [3], "provenance": 1}', "[3]", '{"pieces": 3, "provenance": {}}'):
        (made.root / "pieces.json").write_text(damaged)
        lines = summarize(made)
        assert any(line.split()[:3] == ["error", "summary", "pieces:"] for line in lines), lines
        assert lines[-1].startswith("Missing: ")  # the other sections are there


def test_a_first_sweep_that_has_begun_waits_for_the_second_stage(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts = on_a_card(here)
    made, task = Campaign(facts, tmp_path), TASKS["first"]
    settings = asdict(plans.load_plan("first").settings)
    store = Store(made.folder(task))
    with store.writing():
        store.append(
            record(
                made._due_executions(task)[0][0].name,
                device="cuda",
                environment=facts,
                settings=settings,
                plan={"name": task.plan},
            )
        )
    names = [task.name for task in missing_tasks(made)]
    assert names.index("pieces") < names.index("constants") < names.index("headline") < names.index("first")
    assert names.index("first") < names.index("tests")


def test_a_wrong_path_and_a_speed_have_a_line_each(
    here: dict[str, Any], tmp_path: Path, record: Callable[..., Record]
) -> None:
    facts = on_a_card(here)
    made = Campaign(facts, tmp_path)

    def keep(name: str, cases: dict[str, dict[str, Any]]) -> None:
        task = TASKS[name]
        plan = plans.load_plan(task.plan)
        settings = asdict((plans.gate_only(plan) if "verify" in task.argv else plan).settings)
        store = Store(made.folder(task))
        with store.writing():
            for case, more in cases.items():
                store.append(
                    record(case, device="cuda", environment=facts, settings=settings, plan={"name": plan.name}, **more)
                )

    keep("gate-first", {"resnet50/fused/fp16/b3/i224/graph": {"status": "wrong", "reason": "before timing: 8 times"}})
    keep("first", {
        "resnet50/eager/fp16/b128/i224/graph": {"ms": 10.0},
        "resnet50/fused/fp16/b128/i224/graph": {"ms": 4.0},
        "resnet50/per-layer/fp16/b128/i224/graph": {"status": "memory", "reason": "out of it"},
    })  # fmt: skip
    lines = summarize(made)
    assert any(" ".join(line.split()) == "wrong gate fused fp16 graph b3: before timing: 8 times" for line in lines)
    assert any("32,000 images/s" in line and "fused" in line and "2.50 times eager" in line for line in lines)
    assert any(line.startswith("memory") and "per-layer" in line for line in lines)


def test_no_more_than_forty_lines_and_what_is_not_ok_among_them(here: dict[str, Any], tmp_path: Path) -> None:
    made = Campaign(here, tmp_path, dry=True)
    pieces = [{"name": f"piece {number}", "status": "ok" if number % 10 else "wrong"} for number in range(200)]
    made.root.mkdir(parents=True)
    (made.root / "pieces.json").write_text(json.dumps({"pieces": pieces, "provenance": {"environment": here}}))
    lines = summarize(made)
    assert len(lines) <= MAX_LINES
    assert sum(line.startswith("wrong") for line in lines) == 20
    assert any(line.startswith("ok      piece      180: piece 1, ") for line in lines)
