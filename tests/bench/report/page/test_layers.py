"""Files of layers beside the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bench.report.page.data import gather
from tests.bench.report.page.sweeps import layers_file


def test_layers_stand_one_after_the_other_with_their_floors(swept: Path, here: dict[str, Any]) -> None:
    (swept / "one.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here))
    (swept / "newer.json").write_text(layers_file("resnet18/eager/fp32/b1/i224/stream", here, layers=99))
    (swept / "damaged.json").write_text("{")
    (swept / "other.json").write_text('{"something": "else"}')
    data = gather([swept])
    assert [(row["layer"], row["start"], row["end"], row["floor_end"]) for row in data.layers] == [
        ("conv1", 0.0, 2.0, 1.0),
        ("fc", 2.0, 2.5, None),
    ]
    assert {row["setting"] for row in data.layers} == {0}
    assert [Path(line.partition(":")[0]).name for line in data.damage] == ["damaged.json", "newer.json"]
