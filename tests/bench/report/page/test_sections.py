"""The sections that records fill, and what would fill the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from bench.cli import app
from bench.plans.plan import plan_names
from bench.report.page import sections
from bench.report.page.data import gather
from bench.report.views import VIEWS
from tests.bench.report.page.sweeps import quick

pytest.importorskip("vl_convert")


def test_only_sections_that_the_records_fill_appear_and_the_others_say_what_would(swept: Path) -> None:
    data = gather([swept])
    shown = [section.name for section in sections.SECTIONS if section.draw(data)]
    over_batch = ["batch", "latency", "batch-memory"]
    assert shown == ["front", *over_batch, "depth", "precision", "memory", "cold", "noise", "rounds"]
    assert "Energy needs energy" in quick()
    assert "<code>bench run energy</code>" in quick()
    assert 'id="chart-energy"' not in quick()


@pytest.mark.parametrize("section", sections.SECTIONS, ids=lambda section: section.name)
def test_what_would_fill_a_section_is_a_command_of_ours(section: sections.Section) -> None:
    tool, command, *rest = section.command.split()
    assert tool == "bench"
    assert command in get_command(app).commands
    if command == "run":
        assert rest[0] in plan_names()
    assert section.view in VIEWS
