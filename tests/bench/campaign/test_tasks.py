"""The table of tasks against the commands that it names, and its limits."""

from pathlib import Path
from typing import Any

import pytest

from bench.campaign import campaign as campaigns
from bench.campaign.campaign import Campaign
from bench.campaign.tasks import STAGES, TASKS
from bench.cli import load
from bench.machine.environment import ROOT
from tests.bench.campaign.programs import on_a_card


def options(name: str) -> set[str]:
    return {word for parameter in load(name).params for word in parameter.opts}


@pytest.mark.parametrize("dry", [False, True])
def test_every_task_is_a_command_that_takes_these_options(here: dict[str, Any], tmp_path: Path, dry: bool) -> None:
    facts = here if dry else on_a_card(here)
    made = Campaign(facts, tmp_path, dry=dry)
    for task in TASKS.values():
        module, *words = made.command(task, 100)[2:]
        if module == "bench":
            assert {word for word in words if word.startswith("-")} <= options(words[0]), words
        else:
            assert module == "pytest"
            assert (ROOT / words[-1 - len(task.dry) if dry else -1]).is_dir()


def test_the_limits_of_alive_leave_its_last_task_100_seconds() -> None:
    *first, last = STAGES["alive"].tasks
    assert STAGES["alive"].seconds < 300
    assert STAGES["alive"].seconds - sum(task.seconds + campaigns.GRACE_S for task in first) > 100
    assert last.name == "first"
