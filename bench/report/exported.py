"""The report for programs: the answer, every column of every view and what was left out, as JSON and as rows of CSV."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.records import quality
from bench.records.baseline import Against
from bench.records.record import Record
from bench.records.same import in_words, unusual
from bench.records.speed import SpeedRatio, share_of_others
from bench.report import views
from bench.report.answer import Contest, Settle, contests_of, describe_fastest, describe_settling, settled_in_documents
from bench.report.cells import Column
from bench.report.recommend import OBJECTIVES, Assessment
from bench.report.recommend_groups import Group, pareto_front
from bench.report.recommend_runs import useful_runs
from bench.report.rows import Row, group_without_speed, largest_batches, rows_from_records

ANOTHER = Column("p99 of another ≤", "p99_another_upper_ns", lambda row: row.p99_of_another)
SPEEDS = (views.IMAGES_PER_S, views.P50, views.P99, views.P99_BOUND, views.SAMPLES)
# of a case that is recommended
JSON_COLUMNS = (*SPEEDS, ANOTHER, views.MEMORY, views.ENERGY, views.TOP1)
# keys of bytes in --json that do not say so
BYTES_WITHOUT_UNIT = ("allocator_allocated_peak", "allocator_reserved_peak", "device_process", "host_resident_peak")


def report_as_json(records: list[Record], settle: Settle | None = None) -> dict[str, Any]:
    """Return the answer, every column of every view, the largest batches and what was left out, for --json."""
    rows = rows_from_records(records)
    return summary_as_json(records, rows, settle) | {"rows": [_row_as_json(row) for row in rows]}


def report_as_rows(records: list[Record]) -> list[dict[str, Any]]:
    """Return every column of every view for --csv: a row for each case, an interval as two columns."""
    return [_row_as_columns(row) for row in rows_from_records(records)]


def _row_as_columns(row: Row) -> dict[str, Any]:
    values = _row_as_json(row)
    low, high = values.pop("vs_eager_interval") or (None, None)
    slow, fast = values.pop("images_per_s_interval") or (None, None)
    named = {f"{key}_bytes" if key in BYTES_WITHOUT_UNIT else key: value for key, value in values.items()}
    return {"case": row.case.name, "model": row.case.model, "image": row.case.image} | named | {
        "vs_eager_low": low, "vs_eager_high": high, "images_per_s_low": slow, "images_per_s_high": fast,
    }  # fmt: skip


def summary_as_json(
    records: list[Record], rows: list[Row], settle: Settle | None = None, contests: list[Contest] | None = None
) -> dict[str, Any]:
    """Return the answer, the largest batches and the cases without a speed, those with one reason together.

    `settle` makes the command that would settle what is open; `contests` are those of the rows where they are known.
    """
    left_out, contests = group_without_speed(records), contests or contests_of(rows)
    return {
        "answer": describe_fastest(records, contests),
        "settling": describe_settling(contests, settle or settled_in_documents(records)) or None,
        "contests": contests_as_json(contests),
        "largest": [
            {"case": way[0].name, "choices": in_words(way[1]) or None} | search
            for way, search in largest_batches(records)
        ],
        "left_out": [{"status": status, "reason": why, "cases": [c.name for c in cs]} for status, why, cs in left_out],
    }


def _row_as_json(row: Row) -> dict[str, Any]:
    choices = row.choices or in_words(unusual(row.records[-1])) or None
    values: dict[str, Any] = {"case": row.case.name, "choices": choices, "rounds": row.rounds}
    for view in views.VIEWS.values():
        values |= {column.key: column.value(row) for column in view.columns}
    against, over_float32, quantized = row.against, row.against_float32, row.quantized
    values |= quality.score_values(row.score) | {
        "vs_fp32": over_float32 and over_float32.ratio.value,
        "vs_fp32_low": over_float32 and over_float32.ratio.low,
        "vs_fp32_high": over_float32 and over_float32.ratio.high,
        "vs_fp32_of": over_float32 and over_float32.baseline.name,
        "score_pictures": row.score.get("pictures"),
        "calibrate": quantized.get("calibrate"),
        "calibration_pictures": quantized.get("pictures"),
        "layers_8bit": quantized.get("layers"),
        "layers_wide": ", ".join(quantized["wide"]) if "wide" in quantized else None,
        "checked": quantized.get("checked"),
    }
    return values | {
        "p50_half_width": row.noise,
        "p50_half_width_target": row.noise_target,
        **_ratio_as_json("vs_eager", against),
        "vs_eager_basis": against and against.ratio.basis,
        "vs_eager_in_same_precision": against and against.same_precision,
        "vs_eager_with_same_launch": against and against.same_launch,
        "images_per_s_interval": row.images_per_s_interval,
        "windows_disturbed": sum("disturbed" in window for record in row.records for window in record.windows),
        "other_work": row.most_over_rounds(share_of_others),
    }


def contests_as_json(contests: Sequence[Contest]) -> list[dict[str, Any]]:
    """Return the contests for --json: the verdict, the cases that may be fastest, and why that is open."""
    return [
        {
            **{axis: getattr(contest.leader.case, axis) for axis in ("model", "image", "batch", "launch")},
            "eight_bits": contest.bits or None,
            "choices": contest.leader.choices or None,
            "verdict": contest.verdict,
            "candidates": [row.case.name for row in contest.candidates],
            "disturbance": contest.disturbance or None,
            "best_eager": contest.eager and contest.eager.baseline.name,
            **_ratio_as_json("vs_best_eager", contest.eager),
            "best_in_more_bits": contest.wider and contest.wider.baseline.name,
            **_ratio_as_json("vs_best_in_more_bits", contest.wider),
        }
        for contest in contests
    ]


def _ratio_as_json(key: str, against: Against | None) -> dict[str, Any]:
    ratio = against and against.ratio
    return {key: ratio and ratio.value, f"{key}_interval": ratio and [ratio.low, ratio.high]}


def group_as_json(group: Group, listed: bool) -> dict[str, Any]:
    """Return the choice of a group, or with `listed` its Pareto front, as `--json` prints it."""
    choice = group.choice
    fields: dict[str, Any] = {"group": group.heading, "objective": choice.budget.objective}
    fields |= {"disturbance": choice.disturbance or None, "evidence": choice.evidence}
    if listed:
        return fields | {"pareto": [_case_as_json(case) for case in pareto_front([*choice.fitting, *choice.undecided])]}
    ratio = choice.advantage
    return fields | {
        "answer": choice.answer,
        "best": choice.best and _case_as_json(choice.best),
        "runner_up": choice.runner_up and _case_as_json(choice.runner_up),
        "ahead": ratio and _lead_as_json(choice.challenger, ratio),
        "clear": choice.clear,
        "fitting": [case.row.case.name for case in choice.fitting],
        "undecided": [_case_as_json(case) for case in choice.undecided],
        "eight_bits_left_out": [_case_as_json(case) for case in choice.eight_bits],
        "unmeasured": [record.case.name for record in choice.unmeasured],
        "excluded": dict(choice.excluded),
        "runs": [{"why": why, "command": command} for why, command in useful_runs(choice, group.folders)],
    }


def _lead_as_json(rival: Assessment | None, lead: SpeedRatio) -> dict[str, Any]:
    fields: dict[str, Any] = {"over": rival and rival.row.case.name, "choices": (rival and rival.row.choices) or None}
    fields |= {"ratio": lead.value, "interval": [lead.low, lead.high], "basis": lead.basis, "samples": lead.samples}
    return fields


def group_as_rows(group: Group) -> list[dict[str, Any]]:
    """Return a row for each case that is not beyond a limit, the best first, as `--csv` prints it."""
    choice, rows = group.choice, []
    front = {case.row for case in pareto_front([*choice.fitting, *choice.undecided])}
    for case in (*choice.fitting, *choice.undecided):
        name = "best" if case is choice.best and not choice.disturbed else "within the limits"
        unit = OBJECTIVES[choice.budget.objective].unit
        fields = {"group": group.heading, "objective": choice.budget.objective, "unit": unit} | _case_as_json(case)
        fields |= {"undecided": "; ".join(case.undecided), "answer": "undecided" if case.undecided else name}
        fields |= {"beaten_by_none": case.row in front}
        rows.append(fields)
    return rows


def _case_as_json(case: Assessment) -> dict[str, Any]:
    fields: dict[str, Any] = {"case": case.row.case.name, "choices": case.row.choices or None}
    fields |= {"value": case.value, "rounds": case.row.rounds}
    fields |= {column.key: column.value(case.row) for column in JSON_COLUMNS} | quality.score_values(case.row.score)
    return fields | {"undecided": case.undecided}
