"""A sweep that goes on from the records of an earlier one, or refuses to."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bench.errors import PlanError, StoreError
from bench.plans.plan import Settings
from bench.runs.process import Answer
from bench.runs.sweep import Sweep
from resnet.names import Build
from tests.bench.runs.played import GOOD, PLAN, FakeChild, names, ok


def test_a_killed_sweep_resumes_with_what_is_missing_and_nothing_else(sweep: Callable[..., Sweep]) -> None:
    def stop(job: dict[str, Any]) -> Answer:
        if len(child.jobs) == 9:
            raise KeyboardInterrupt
        return Answer("ok", "", dict(GOOD), 1.0)

    child = FakeChild(stop)
    with pytest.raises(KeyboardInterrupt):
        list(sweep(child).run())
    rest = FakeChild()
    made = sweep(rest, resume=True)
    list(made.run())
    assert names(child)[:8] + names(rest) == names_of_all(sweep)
    whole = made.store.read()
    assert len(whole) == 24
    assert len({(r.case, r.round) for r in whole}) == 24
    nothing = FakeChild()
    list(sweep(nothing, resume=True).run())
    assert nothing.jobs == []


def names_of_all(sweep: Callable[..., Sweep]) -> list[str]:
    child = FakeChild()
    list(sweep(child, folder="other").run())
    return names(child)


def test_a_folder_with_records_is_not_added_to_unless_asked(sweep: Callable[..., Sweep]) -> None:
    list(sweep(FakeChild()).run())
    child = FakeChild()
    with pytest.raises(StoreError, match=r"holds 24 records already; go on from them with --resume"):
        list(sweep(child).run())
    file = sweep(child).store.file
    file.write_bytes(file.read_bytes().splitlines(keepends=True)[0])
    with pytest.raises(StoreError, match=r"holds 1 record already; "):
        list(sweep(child).run())
    assert child.jobs == []


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"seed": 1}, r"another seed \(0, now 1\)"),
        ({"plan": replace(PLAN, settings=Settings(latency_s=9.0))}, r"another latency_s \(1.0, now 9.0\)"),
        ({"source": "noise"}, r"another input \(photos, now noise\)"),
        ({"env": {"cpu": {"name": "Another", "cores": 2}}}, r"another processor \(.*, now Another\)"),
        ({"env": {"packages": {"torch": "1.0"}}}, r"another torch \(.*, now 1.0\)"),
    ],
)
def test_what_was_measured_otherwise_is_not_gone_on_from(
    sweep: Callable[..., Sweep], here: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    seen = Answer("ok", "", GOOD | {"input": {"source": "photos"}}, 1.0)
    made = sweep(FakeChild(lambda job: seen))
    next(record for record in made.run() if record.status == "ok")
    if "env" in change:
        change = {"env": here | {key: here[key] | value for key, value in change["env"].items()}}
    with pytest.raises(StoreError, match=told):
        list(sweep(FakeChild(), resume=True, **change).run())
    free = replace(PLAN, rounds=5, settings=replace(PLAN.settings, limit_s=9.0))
    assert list(sweep(FakeChild(), resume=True, plan=free).run())  # more of the same is


@pytest.mark.parametrize(("note", "goes_on"), [("", False), ("photographs need Pillow", True)])
def test_noise_that_was_asked_for_does_not_become_photographs(
    sweep: Callable[..., Sweep], note: str, goes_on: bool
) -> None:
    seen = Answer("ok", "", GOOD | {"input": {"source": "noise", "note": note}}, 1.0)
    next(record for record in sweep(FakeChild(lambda job: seen)).run() if record.status == "ok")
    again = sweep(FakeChild(lambda job: seen), resume=True, source="photos")
    if goes_on:
        assert list(again.run())
    else:
        with pytest.raises(StoreError, match=r"another input \(noise, now photos\)"):
            list(again.run())


def test_other_weights_classes_or_channels_are_not_gone_on_from(sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    one, other = tmp_path / "one.pth", tmp_path / "other.pth"
    one.write_bytes(b"1")
    other.write_bytes(b"2")
    asked = Build(str(one), num_classes=10)
    built = {"num_classes": 10, "in_channels": 3, "parameters": 9}
    plan = replace(PLAN, build=asked)
    made = sweep(FakeChild(lambda job: ok(network=built)), plan=plan)
    record = next(record for record in made.run() if record.status == "ok")
    assert record.network == built | {"weights": "file", "file": "6b86b273ff34fce1", "given": {"num_classes": 10}}
    assert str(tmp_path) not in record.line()
    for build, told in [
        (replace(asked, weights=str(other)), r"another checkpoint \(6b86b273ff34fce1, now d4735e3a265e16ee\)"),
        (replace(asked, weights=f"{one}#ema"), r"another given entry \(the model's own, now ema\)"),
        (replace(asked, weights=""), r"another origin of the weights \(file, now synthetic\)"),
        (replace(asked, num_classes=0), r"another given num_classes \(10, now the model's own\)"),
        (replace(asked, in_channels=1), r"another given in_channels \(the model's own, now 1\)"),
    ]:
        child = FakeChild()
        with pytest.raises(StoreError, match=told):
            list(sweep(child, resume=True, plan=replace(PLAN, build=build)).run())
        assert child.jobs == []
    one.rename(tmp_path / "moved.pth")  # the same content at another place is the same
    moved = replace(asked, weights=str(tmp_path / "moved.pth"))
    assert list(sweep(FakeChild(), resume=True, plan=replace(PLAN, build=moved)).run())


def test_weights_that_are_not_there_are_told_before_anything_runs(sweep: Callable[..., Sweep], tmp_path: Path) -> None:
    child = FakeChild()
    plan = replace(PLAN, build=Build(str(tmp_path / "gone.pth")))
    with pytest.raises(PlanError, match=r"the weights cannot be read: No such file or directory: .*gone\.pth"):
        list(sweep(child, plan=plan).run())
    assert child.jobs == []


def test_what_failed_is_run_again_when_asked_and_then_counts_in_its_place(sweep: Callable[..., Sweep]) -> None:
    failing = FakeChild(lambda job: Answer("crash", "it did", {}, 1.0) if "/b3/" in job["case"] else ok())
    list(sweep(failing).run())
    idle, mended = FakeChild(), FakeChild()
    list(sweep(idle, resume=True).run())
    assert idle.jobs == []
    made = sweep(mended, retry=True)
    list(made.run())
    assert names(mended) == [name for name in names(failing) if "/b3/" in name]
    assert all(record.status in ("ok", "skipped") for record in made.store.read())
    assert len(made.store.read()) == 24
