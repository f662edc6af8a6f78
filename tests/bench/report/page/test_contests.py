"""What the page says of contests, and what it opens on."""

from __future__ import annotations

from typing import Any

from bench.report.page.contests import MANY_WAYS, contest_rows, opening, settling
from bench.report.page.settings import Setting
from bench.report.rows import rows_from_records
from tests.bench.report.page.sweeps import Make
from tests.bench.report.shown import windows

FAST, SLOW = windows([20] * 8), windows([10] * 8)


def setting_of(*records: Any) -> Setting:
    return Setting((), records=list(records), rows=rows_from_records(records))  # type: ignore[arg-type]


def test_there_is_a_contest_of_all_ways_and_one_within_each_precision(record: Make) -> None:
    setting = setting_of(
        record("resnet18/eager/fp32/b1/i224/stream", **SLOW),
        record("resnet18/compile/fp32/b1/i224/stream", **windows([11] * 8)),
        record("resnet18/eager/bf16/b1/i224/stream", **windows([19] * 8)),
        record("resnet18/compile/bf16/b1/i224/stream", **FAST),
    )
    ids = {id(row): place for place, row in enumerate(setting.rows)}
    contests = {frozenset(contest["ids"]): contest for contest in contest_rows(setting, ids)}
    of = {row.case.name.split("/i")[0]: ids[id(row)] for row in setting.rows}
    everything, fp32 = (
        contests[frozenset(of.values())],
        contests[frozenset(of[f"resnet18/{name}/fp32/b1"] for name in ("eager", "compile"))],
    )
    assert len(contests) == 3
    assert everything["ids"][0] == of["resnet18/compile/bf16/b1"]
    assert everything["verdict"] == fp32["verdict"] == "winner"
    assert fp32["candidates"] == [of["resnet18/compile/fp32/b1"]]
    assert fp32["eager"] == "1.10±0.0%"  # of eager in the same precision, though bf16's is faster
    assert "bf16" not in fp32["text"]


def test_a_way_that_is_alone_in_its_precision_is_not_said_to_be_the_only_one(record: Make) -> None:
    cases = ("eager/fp32", "compile/fp32", "compile/bf16")
    setting = setting_of(*(record(f"resnet18/{case}/b1/i224/stream", **SLOW) for case in cases))
    contests = contest_rows(setting, {id(row): place for place, row in enumerate(setting.rows)})
    assert [len(contest["ids"]) for contest in contests] == [3, 2]


def test_one_precision_has_no_contests_of_its_own(record: Make) -> None:
    setting = setting_of(*(record(f"resnet18/{name}/fp32/b1/i224/stream", **SLOW) for name in ("eager", "compile")))
    assert len(contest_rows(setting, {id(row): 0 for row in setting.rows})) == 1


def test_a_command_settles_what_is_open_of_what_the_filters_leave(record: Make) -> None:
    setting = setting_of(
        record("resnet18/eager/fp32/b1/i224/stream", **SLOW),
        record("resnet18/compile/fp32/b1/i224/stream", **windows([11] * 8)),
        record("resnet18/eager/bf16/b1/i224/stream", **windows([10, 20] * 4)),
        record("resnet18/compile/bf16/b1/i224/stream", **windows([20, 10] * 4)),
    )
    texts = settling(setting)
    assert "fp32/" not in texts
    assert "resnet18/compile/bf16/b1/i224/stream" in texts["bf16/"]
    assert "fp32" not in texts["bf16/stream"]


def test_a_command_settles_one_precision_that_is_chosen_as_another_machine_has_more(record: Make) -> None:
    speeds = {"eager": [10, 20], "compile": [20, 10]}
    records = (record(f"resnet18/{name}/fp32/b1/i224/stream", **windows(of * 4)) for name, of in speeds.items())
    texts = settling(setting_of(*records))
    assert "resnet18/compile/fp32/b1/i224/stream" in texts["/"]
    assert texts["fp32/"] == texts["fp32/stream"] == texts["/"]


def row(variant: str, precision: str, launch: str, speed: float, **fields: Any) -> dict[str, Any]:
    way = f"{variant}/{precision}/{launch}"
    return {
        "model": "resnet50",
        "variant": variant,
        "precision": precision,
        "launch": launch,
        "speed": speed,
        "way": way,
    } | fields


def test_the_page_opens_on_the_way_of_the_fastest_that_eager_ran_in_too() -> None:
    few = [row(f"v{number}", "fp32", "stream", number) for number in range(MANY_WAYS)]
    assert opening(few) == opening([]) == {}
    many = [*few, row("quick", "bf16", "graph", 90, unlike="*"), row("fused", "fp16", "graph", 50, unlike="")]
    assert opening(many) == {"precision": "fp16", "launch": "graph"}
    assert opening(many[:-1]) == {"precision": "bf16", "launch": "graph"}
    other = [row("only", "fp8", "stream", 1000, unlike="") | {"model": "resnet18"}]
    assert opening([*other, *many]) == {"precision": "fp16", "launch": "graph"}  # of the model with the most cases
