"""The layers of a case, as rows of the page."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from bench.plans.words import label
from bench.records import same
from bench.report.layers import rows as layers
from bench.report.page.settings import case_fields


def layer_rows(folders: Iterable[Path], settings: dict[same.Key, int], damage: list[str]) -> list[dict[str, Any]]:
    """Return the rows of the files of `bench layers -o` in some folders; what cannot be read adds to `damage`.

    A file of a machine without records here is shown with every setting.
    """
    rows: list[dict[str, Any]] = []
    for timed, rival, apart in layers.with_rivals(layers.read_files(folders, damage)):
        fields = {"setting": settings.get(same.group_key(timed.record))} | case_fields(timed.case)
        fields["panel"] = f"{fields['group']}: {fields['way']}{apart}"
        fields |= {"beside": fields["panel"], "rival": None, "rival_variant": None}
        if rival:
            fields |= {"rival": label(rival.case), "rival_variant": rival.case.variant}
            fields["beside"] += f"; outlined: {fields['rival']}"
        rows += [{"id": len(rows) + place} | fields | row for place, row in enumerate(layers.rows_of(timed, rival))]
    return rows
