"""The page's data: points of samples, parts of memory, rounds of a case."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.report.page.data import POINTS, gather, memory_parts, quantiles, sequence
from bench.report.page.document import render_page
from bench.report.rows import rows_from_records
from tests.bench.report.page.sweeps import Make, stored


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=300))
def test_samples_become_a_bounded_number_of_points_within_their_range(samples: list[float]) -> None:
    found = quantiles(sorted(samples))
    assert len(found) == min(len(samples), POINTS)
    assert found == sorted(found)
    assert (found[0], found[-1]) == (min(samples), max(samples))
    inorder = sequence(samples)
    assert len(inorder) == min(len(samples), POINTS)
    assert min(samples) <= min(inorder) <= max(inorder) <= max(samples)


def test_a_trend_in_the_samples_is_a_trend_in_the_points() -> None:
    found = sequence([float(n) for n in range(1000)])
    assert found == sorted(found)
    assert found[0] < 50 < 950 < found[-1]


@pytest.mark.parametrize(
    ("device", "memory", "parts"),
    [
        (
            "cuda",
            {"weights": 100, "allocator_allocated_peak": 300, "allocator_reserved_peak": 500, "device_process": 900},
            {"weights": 100, "work": 200, "spare": 200, "rest": 400},
        ),
        # ONNX Runtime: next to nothing in torch's allocator, its weights elsewhere
        (
            "cuda",
            {"weights": 100, "allocator_allocated_peak": 10, "allocator_reserved_peak": 20, "device_process": 900},
            {"weights": 100, "work": 0, "spare": 0, "rest": 800},
        ),
        ("cpu", {"weights": 100, "host_resident_peak": 900}, {"weights": 100, "rest": 800}),
        ("cpu", {"weights": 100, "host_resident_peak": None}, {}),
    ],
)
def test_the_parts_of_memory_add_up_to_the_process(
    record: Make, device: str, memory: dict[str, int | None], parts: dict[str, int]
) -> None:
    (row,) = rows_from_records([record("resnet18/eager/fp32/b1/i224/stream", device=device, memory=memory)])
    assert memory_parts(row) == parts


def test_folders_of_one_machine_are_rounds_of_one_case(tmp_path: Path, record: Make) -> None:
    name = "resnet18/eager/fp32/b1/i224/stream"
    folders = [stored(tmp_path / str(n), [record(name, ms=10 + n)]) for n in range(3)]
    data = gather([*folders, folders[0]])
    (case,) = data.cases
    assert case["rounds"] == 3
    assert case["p50"] == 11.0
    assert [entry["round"] for entry in data.records] == [0, 0, 0]  # as each folder has it


def test_a_model_from_outside_has_no_depth_whatever_digits_its_name_has(tmp_path: Path, record: Make) -> None:
    models = ("mymodule:build", "torchvision:resnext50_32x4d", "resnet50v2")
    records = [record(f"{model}/mine:prepare/fp32/b1/i224/stream") for model in models]
    data = gather([stored(tmp_path / "a", records)])
    assert {case["model"]: case.get("depth") for case in data.cases} == dict.fromkeys(models[:2]) | {"resnet50v2": 50}
    assert render_page([tmp_path / "a"])
