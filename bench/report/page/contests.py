"""The contests that the page's answer speaks of: over all ways, and within each precision where there are several.

The script of the page shows those whose rows are the ones that the filters leave; where no contest has just these it
judges by the rows' own intervals, and says so.
"""

from __future__ import annotations

from itertools import product
from typing import Any

from bench.report.answer import Contest, describe_fastest, describe_settling, settled_in_documents
from bench.report.cells import times_eager
from bench.report.page.settings import Setting

MANY_WAYS = 12  # of a model: with more, the page opens on one precision and launch


def contest_rows(setting: Setting, ids: dict[int, int]) -> list[dict[str, Any]]:
    """Return what the page says of each contest of a setting; `ids` has the id of each row, by its identity."""
    seen: dict[frozenset[int], Contest] = {}
    # a way that is alone in its precision is not the only one that was measured
    for contest in (*setting.contests, *(one for one in setting.within if one.verdict != "alone")):
        seen.setdefault(frozenset(map(id, contest.rows)), contest)
    return [
        {
            "ids": [ids[id(row)] for row in contest.rows],  # the leader first
            "verdict": contest.verdict,
            "candidates": [ids[id(row)] for row in contest.candidates],
            "disturbance": contest.disturbance or None,
            "gain": contest.eager and contest.eager.ratio.value,
            "eager": contest.eager and times_eager(contest.eager),
            "wider": contest.wider and contest.wider.ratio.value,
            "text": describe_fastest([], [contest]),
        }
        for contest in seen.values()
    ]


def settling(setting: Setting) -> dict[str, str]:
    """Return the command that would settle what is open, by what filters leave: `fp16/graph`, `/` for all."""
    settle = settled_in_documents(setting.records)
    cases = [row.case for row in setting.rows]
    texts = {}
    precisions, launches = (sorted({getattr(case, axis) for case in cases}) for axis in ("precision", "launch"))
    for precision, launch in product(("", *precisions), ("", *launches)):
        among = (setting.within if precision else []) or setting.contests
        left = [contest for contest in among if precision in ("", contest.leader.case.precision)]
        if text := describe_settling([one for one in left if launch in ("", one.leader.case.launch)], settle):
            texts[f"{precision}/{launch}"] = text
    return texts


def opening(rows: list[dict[str, Any]]) -> dict[str, str]:
    """Return the precision and the launch that the page of a setting's rows opens on; empty where it shows all.

    They are those of the fastest case of the model with the most cases that has eager beside it in both.
    """
    ways: dict[str, set[str]] = {}
    for row in rows:
        ways.setdefault(row["model"], set()).add(row["way"])
    if max(map(len, ways.values()), default=0) <= MANY_WAYS:
        return {}
    models = [row["model"] for row in rows]
    most = max(dict.fromkeys(models), key=models.count)
    of_model = [row for row in rows if row["model"] == most]
    alike = [row for row in of_model if row.get("unlike") == ""]
    fastest = max(alike or of_model, key=lambda row: float(row["speed"]))
    return {axis: fastest[axis] for axis in ("precision", "launch")}
