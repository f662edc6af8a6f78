"""What the model predicts of a network, as data and as the tables of docs/KERNELS.md, and what came of it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.cli.kernels import kernels as cli_kernels
from bench.errors import StoreError
from bench.machine.environment import ROOT
from bench.runs.process import Answer
from bench.static import markdown as kernel_tables
from bench.static import predictions
from bench.static.kernels import Accepted, Entry
from bench.static.predictions import GPU, group_of, rows
from bench.tuning.tuner import Network, predicted
from kernels.kinds import default
from kernels.space.layer import Layer
from kernels.table import Entry as Measured
from kernels.table import Table

MIDDLE = Layer(128, 56, 56, 64, 64, (3, 3), 1, 1)
LAST = Layer(128, 56, 56, 64, 256, (1, 1), residual=True)
OTHER = replace(MIDDLE, h=28, w=28)
MADE = {"command": "bench kernels --predict file", "date": "2026-11-24", "commit": "0123456789"}


def network(batch: int) -> Network:
    layers = {MIDDLE: 3, LAST: 2, OTHER: 1}
    return Network("resnet50", batch, "fp16", {replace(layer, n=batch): count for layer, count in layers.items()})


def measured(*layers: Layer, us: float = 10.0, chosen: str = "measured") -> Table:
    return Table(Measured(GPU.name, layer.key, "ptr-64x64x64-w4-s3-k1-g8", chosen, us, "", "") for layer in layers)


@pytest.fixture
def found(tmp_path: Path) -> dict[str, object]:
    return predictions.save(tmp_path / "file.json", [network(128), network(256)], MADE)


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (MIDDLE, "3x3, 64 to 64"),
        (LAST, "1x1 to 256 and sum"),
        (replace(LAST, residual=False), "1x1 to 256"),
        (replace(LAST, residual=False, second=(56, 56, 64, 1)), "1x1 to 256 and shortcut"),
        (replace(MIDDLE, kernel=(7, 7), pool=True), "stem"),
        (replace(LAST, mean=True), "head"),
    ],
)
def test_layers_that_differ_in_their_input_alone_are_a_group(layer: Layer, name: str) -> None:
    assert group_of(layer) == name


def test_a_group_is_all_launches_of_its_layers(found: dict[str, object]) -> None:
    window, last = rows(found, Table())[128]
    assert (window.launches, last.launches) == (4, 2)
    each = [predicted(layer, str(default(layer, 90, 132)), GPU) for layer in (MIDDLE, OTHER)]
    assert window.us == pytest.approx(3 * each[0] + each[1], rel=0.01)


def test_an_outcome_is_there_once_all_of_a_group_are_measured(found: dict[str, object]) -> None:
    window, last = rows(found, measured(MIDDLE, LAST))[128]
    assert (window.measured, last.measured) == (None, 20.0)
    window, _ = rows(found, measured(MIDDLE, OTHER))[128]
    assert window.measured == 40.0
    assert rows(found, measured(MIDDLE, OTHER))[256][0].measured is None
    window, _ = rows(found, measured(MIDDLE, OTHER, chosen="model"))[128]
    assert window.measured is None


def test_the_table_says_what_is_not_measured_and_how_far_the_goals_are(found: dict[str, object]) -> None:
    text = kernel_tables.predicted(found, measured(MIDDLE, OTHER))
    assert "| 3x3, 64 to 64 | 4 |" in text
    assert "| 40.0 |" in text
    assert "not measured" in text
    assert "which is no measurement" in text
    assert "Batch 128: the goal is 39,000 images/s, the model has " in text
    assert "the outcome is not measured." in text
    whole = kernel_tables.predicted(found, measured(*network(128).layers, us=1e6 * 128 / 6 / 39_000))
    assert "the outcome is 39,000." in whole


def test_a_prediction_is_its_file(tmp_path: Path, found: dict[str, object]) -> None:
    assert predictions.read(tmp_path / "file.json") == found


@pytest.mark.parametrize("content", [None, "[]", "{", '{"schema": 2, "networks": []}'])
def test_a_file_that_is_no_prediction(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(StoreError, match=r"file\.json"):
        predictions.read(path)


def test_the_command_writes_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the child answers is `networks` of the tuner, which has tests of its own."""
    told = {"model": "resnet50", "batch": 128, "precision": "fp16", "layers": [[asdict(MIDDLE), 1]]}
    asked = {}

    def ask(job: dict[str, object], limit_s: float) -> Answer:
        asked.update(job)
        return Answer("ok", "", {"networks": [json.loads(json.dumps(told))]}, 0.0)

    monkeypatch.setattr(cli_kernels, "ask", ask)
    done = CliRunner().invoke(app, ["kernels", "--predict", str(tmp_path / "file.json")])
    assert done.exit_code == 0, done.output
    assert (asked["models"], asked["batches"]) == (["resnet50"], [1, 32, 128, 256])
    assert "images/s" in done.stdout
    assert predictions.read(tmp_path / "file.json")["networks"][0]["batch"] == 128
    done = CliRunner().invoke(app, ["kernels", "--predict", str(tmp_path / "none" / "file.json")])
    assert done.exit_code == 2


def test_what_is_emitted_is_a_row_for_each_kernel_of_the_network() -> None:
    facts = {
        "registers": 128, "stack": 0, "spill_stores": 0, "shared": 65536, "occupancy": 3, "tensor": {"HGMMA": 8},
        "async_loads": 24, "bulk_loads": 0, "bulk_stores": 0, "code": 4096, "warps": 8,
        "operand_a": "shared", "wait_depth": 1, "overwrites": 0, "barrier": True,
    }  # fmt: skip
    small = "ptr-64x64x64-w4-s3-k1-g8/resnet50/fp16-n32-7x7x512-3x3-s1-p1-k512-relu"
    large = "ptr-128x64x64-w4-s3-k1-g8/resnet50/fp16-n32-56x56x64-3x3-s1-p1-k64-relu"
    other = "ptr-64x64x64-w4-s3-k1-g8/resnet50/fp16-n1-7x7x512-3x3-s1-p1-k512-relu"
    entries = [
        Entry(90, "conv", (small, other), facts),
        Entry(90, "conv", (large,), facts | {"stack": 8, "spill_stores": 2, "overwrites": 3, "operand_a": "registers"}),
        Entry(80, "conv", (large,), facts),
    ]
    text = kernel_tables.emitted(Accepted(entries, "3.7.1", "0123456789", "2026-11-24"))
    first, second = [line for line in text.splitlines() if "`conv`" in line]
    assert first.startswith("| 56x56x64-3x3-s1-p1-k64-relu | `conv` ptr-128x64x64-w4-s3-k1-g8 | 128 | 8 bytes of stack")
    assert second.startswith("| 7x7x512-3x3-s1-p1-k512-relu | `conv` ptr-64x64x64-w4-s3-k1-g8 | 128 | none | 64 | 3 |")
    assert "| 8 HGMMA | registers | 1 | 3 | yes | a24 | 4 |" in first
    assert "| 8 HGMMA | shared | 1 | 0 | yes | a24 | 4 |" in second
    assert "Triton 3.7.1, commit 0123456789, 2026-11-24" in text
    assert (
        "Of all 3 kernels of the record 1 overwrite or lack the barrier; of 3 with wgmma and 8 warps 3 have it" in text
    )


def test_a_page_whose_record_cannot_be_read_says_which(tmp_path: Path) -> None:
    for name in ("accepted.json", "predictions.json"):
        with pytest.raises(StoreError, match=name):
            kernel_tables.section(tmp_path, f"results/kernels/{name}")


def test_this_checkout_s_prediction_is_whole() -> None:
    found = predictions.read(ROOT / "results/kernels/predictions.json")
    by_batch = rows(found, Table())
    assert set(by_batch) == set(predictions.BATCHES)
    assert all(found[0].group == "stem" and found[-1].group == "head" for found in by_batch.values())
