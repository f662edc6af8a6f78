"""What the gate says of planted cheats, each through a real process of a sweep."""

from typing import Any

import pytest

from bench.records.record import Record
from tests import cheats
from tests.cheats.sweep import assert_caught, records


@pytest.fixture(scope="module")
def caught(tmp_path_factory: pytest.TempPathFactory, here: dict[str, Any]) -> dict[str, Record]:
    """The records of every cheat, each through a real process, by variant."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        return records(cheats.CHEATS, tmp_path_factory.mktemp("cheats"), here | {"gpu": {"none": "hidden"}})


def test_the_honest_twin_of_the_cheats_has_a_speed(caught: dict[str, Record]) -> None:
    record = caught["honest"]
    assert record.status == "ok", record.reason
    assert record.latency_ns
    assert record.throughput
    assert set(record.gate) == {"before", "during", "after"}


@pytest.mark.parametrize("name", [name for name in cheats.CHEATS if name != "honest"])
def test_a_cheat_has_a_record_and_no_speed(caught: dict[str, Record], name: str) -> None:
    assert_caught(name, caught[name])
