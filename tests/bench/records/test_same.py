from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from bench.records.record import Record
from bench.records.same import (
    CEILINGS,
    COMPARE,
    FIELDS,
    GROUP,
    RESUME,
    SERIES,
    by_way,
    differences,
    group_by_machine,
    machine_label,
)

Make = Callable[..., Record]
NAME = "resnet50/eager/fp32/b1/i224/stream"


def elsewhere(here: dict[str, Any], **changed: Any) -> dict[str, Any]:
    other = deepcopy(here)
    for path, value in changed.items():
        *parts, last = path.split("__")
        place = other
        for part in parts:
            place = place[part]
        place[last] = value
    return other


def test_records_of_another_machine_or_other_software_are_apart(record: Make, here: dict[str, Any]) -> None:
    environments = [here, here, elsewhere(here, cpu__name="Another CPU"), elsewhere(here, packages__torch="1.0")]
    records = [record(NAME, round=number, environment=made) for number, made in enumerate(environments)]
    assert [[one.round for one in own] for own in group_by_machine(records).values()] == [[0, 1], [2], [3]]


def test_another_commit_is_no_other_machine(record: Make, here: dict[str, Any]) -> None:
    records = [record(NAME), record(NAME, environment=elsewhere(here, git__sha="0" * 40))]
    assert len(group_by_machine(records)) == 1


def test_a_machine_is_named_by_what_runs_and_by_what_tells_it_from_the_others(
    record: Make, here: dict[str, Any]
) -> None:
    one, other = group_by_machine([record(NAME), record(NAME, environment=elsewhere(here, packages__torch="1.0"))])
    hardware = f"{here['cpu']['name']}, {here['cpu']['cores']} cores"
    assert machine_label(one) == hardware
    assert machine_label(other, (one, other)) == f"{hardware}, torch 1.0"
    gpu = elsewhere(here, gpu={"name": "NVIDIA H100"})
    (machine,) = group_by_machine([record(NAME, device="cuda", environment=gpu)])
    assert machine_label(machine) == "NVIDIA H100"


def test_a_record_without_an_environment_has_a_machine_of_its_own(record: Make) -> None:
    assert len(group_by_machine([record(NAME), record(NAME, environment={})])) == 2


def test_another_version_of_an_optional_library_is_another_row_and_one_that_a_record_lacks_is_none(
    record: Make, here: dict[str, Any]
) -> None:
    versions = [None, "2025.1", "2025.2"]
    records = [record(NAME, environment=elsewhere(here, packages__openvino=version)) for version in versions]
    assert len(group_by_machine(records)) == 1
    assert [dict(traits).get("openvino") for _, traits in by_way(records)] == versions
    assert len(by_way(records[:2])) == 1
    assert differences(records[1:2], records[2], COMPARE) == ["OpenVINO (2025.1, now 2025.2)"]
    assert not differences(records[:1], records[2], COMPARE)


PARTS, MACHINE = {"flags", "cache", "gpu-memory"}, {"device", "cpu", "cores", "gpu"}
SOFTWARE = {"driver", "python", "torch", "cuda", "triton", "onnxruntime"}
LIMITS = {"quota", "power", "mig"}
TOLD = {"plan", "weights-from", "weights-file", "given"}
EVERYTHING = {field.word for field in FIELDS}


@pytest.mark.parametrize(
    ("fields", "forbidding"),
    [
        (RESUME, EVERYTHING - PARTS),
        (COMPARE, EVERYTHING - PARTS - TOLD),
        (GROUP, MACHINE | SOFTWARE),
        (SERIES, MACHINE),
        (CEILINGS, MACHINE | PARTS | LIMITS),
    ],
    ids=["resume", "compare", "group", "series", "ceilings"],
)
def test_each_purpose_forbids_these_differences_and_no_others(record: Make, fields: Any, forbidding: set[str]) -> None:
    """Each field is changed by itself, as it stands in a record."""
    found = set()
    for field in FIELDS:
        old, new = (record(NAME, environment={}, input={}, plan={"digest": "0"}) for _ in range(2))
        path = field.paths[0]
        for side, value in ((old, "one"), (new, "other")):
            *parts, last = path.split(".")
            place: Any = vars(side)
            for part in parts:
                place = place.setdefault(part, {})
            place[last] = {"OMP_NUM_THREADS": value} if field.by_key else value
        if differences([old], new, fields):
            found.add(field.word)
    assert found == forbidding
