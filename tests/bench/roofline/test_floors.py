from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bench.cli import app
from bench.cli.machine import floors as cli_floors
from bench.commands import command_line
from bench.machine.environment import environment
from bench.roofline.ceilings import path_of, save_ceilings
from bench.roofline.floors import DATASHEETS, floor_rows
from resnet.floors import FUSIONS, Ceilings, described_floors

HERE = Ceilings("a CPU, 2 cores", {"bf16": 4e11, "fp32": 2e11}, 2e10, None, 0.0, "measured", {"date": "2026-01-31"})


def floor_s(
    model: str, batch: int, image: int, precision: str, ceilings: Ceilings, fusion: str = "conv", **network: int
) -> float:
    """The floor of a network in seconds."""
    return sum(floor.seconds for floor in described_floors(model, batch, image, precision, network, ceilings, fusion))


def bench(*words: str) -> Result:
    return CliRunner().invoke(app, ["floors", *words], env={"COLUMNS": "80", "NO_COLOR": "1", "TERMINAL_WIDTH": "80"})


def test_datasheets_are_dense_and_say_that_they_are_datasheets() -> None:
    assert {"h100", "h200", "a100", "l40s", "b200"} <= DATASHEETS.keys()
    for name, card in DATASHEETS.items():
        assert card.source == "datasheet"
        assert name.split("-")[0].upper() in card.machine.replace("RTX ", "RTX")
        assert card.provenance["document"]
        assert card.l2 is None
        assert card.launch_s == 0
        rates = card.flops
        assert rates["fp16"] == rates["bf16"]
        assert rates["fp32"] <= rates["tf32"] < rates["fp16"] < rates.get("int8", rates["fp8"] if name == "b300" else 0)
        # each halving of the width doubles a dense rate; one with sparsity among them would make it four
        if "GeForce" in card.machine:
            continue  # float sums at half of the rate, and sums of whole numbers at all of it
        for wide, narrow in (("tf32", "fp16"), ("fp16", "int8"), ("int8", "fp8")):
            if narrow in rates and wide in rates:
                assert rates[narrow] / rates[wide] == pytest.approx(1 if narrow == "fp8" else 2, rel=0.05), name
    assert DATASHEETS["h100"].flops["fp16"] == 989.5e12
    assert DATASHEETS["a100"].flops["fp16"] == 312e12
    assert "fp8" not in DATASHEETS["a100"].flops
    assert DATASHEETS["h200"].bandwidth == 4.8e12


def test_a_row_has_the_floor_of_every_fusion_model() -> None:
    (row,) = floor_rows("resnet34", 224, {"h200": DATASHEETS["h200"]}, ["fp16"], [32])
    for fusion in FUSIONS:
        floor = floor_s("resnet34", 32, 224, "fp16", DATASHEETS["h200"], fusion)
        assert row["floor_s"][fusion] == pytest.approx(floor)
        assert row["images_per_s"][fusion] == pytest.approx(32 / floor)
    assert 0 < row["memory_share"] < 1


def test_without_precisions_a_machine_has_a_row_for_each_of_its_own() -> None:
    found = floor_rows("resnet18", 224, {"here": HERE}, [], [1, 8])
    assert [(row["precision"], row["batch"]) for row in found] == [("fp32", 1), ("fp32", 8), ("bf16", 1), ("bf16", 8)]


def test_the_table_of_every_card_fits_80_columns_and_is_marked() -> None:
    told = bench("resnet152v2", "--gpu", "all", "--precision", "fp32,tf32,fp16,bf16,fp8,int8", "--batch", "1,1024")
    assert told.exit_code == 0, told.output
    assert max(len(line) for line in told.output.splitlines() if "  " in line) <= 80  # a sentence is one line
    assert re.search(r"a100 +fp8 +1 +- +- +- +- +- +- +-$", told.output, re.M)
    assert " ".join(told.output.split()).count("not measured") == len(DATASHEETS)
    assert "can be faster than this" in " ".join(told.output.split())


def test_json_holds_the_ceilings_and_the_floors() -> None:
    told = json.loads(bench("--gpu", "h100,b200", "--batch", "8", "--json").output)
    assert told["model"] == "resnet50"
    assert told["ceilings"]["b200"]["source"] == "datasheet"
    assert [(row["machine"], row["precision"], row["batch"]) for row in told["rows"]] == [
        ("h100", "fp16", 8),
        ("b200", "fp16", 8),
    ]
    assert told["rows"][0]["floor_s"]["conv"] > told["rows"][1]["floor_s"]["conv"]


def test_here_is_what_was_measured_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = cli_floors.load_ceilings
    monkeypatch.setattr(cli_floors, "load_ceilings", lambda facts: real(facts, tmp_path))
    told = bench()
    assert told.exit_code == 3
    assert f"run `{command_line('ceilings')}`" in told.output
    save_ceilings(HERE, path_of(environment(), tmp_path))
    told = bench("resnet18", "--batch", "8")
    assert told.exit_code == 0, told.output
    assert "here: a CPU, 2 cores, measured 2026-01-31" in told.output
    assert "GFLOP/s" in told.output
    milliseconds = f"{1e3 * floor_s('resnet18', 8, 224, 'fp32', HERE):.1f}"
    assert re.search(rf"^here +fp32 +8 .*\b{milliseconds}\b", told.output, re.M)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--gpu", "h300"], "unknown GPU 'h300'; allowed: a100, a100-40gb, a100-pcie, a10, l40s, l4"),
        (["resnet51", "--gpu", "h100"], "unknown model 'resnet51'"),
        (["--gpu", "h100", "--batch", "0"], "batch '0' is not a positive number of images"),
        (["--gpu", "h100", "--batch", "1,,2"], "batch '' is not a positive number of images"),
        (["--gpu", "h100", "--precision", "fp64"], "unknown precision 'fp64'; allowed: fp32"),
        (["--gpu", "h100", "--image", "3"], "--image"),
    ],
)
def test_a_word_that_means_nothing_ends_with_code_2_and_the_allowed_ones(words: list[str], message: str) -> None:
    told = bench(*words)
    assert told.exit_code == 2
    assert message in told.output
    assert "Traceback" not in told.output


def test_a_network_has_the_floor_of_its_own_classes_and_channels() -> None:
    words = ["resnet18", "--gpu", "h100", "--batch", "1", "--json"]
    usual, own = (
        json.loads(bench(*words, *more).output)["rows"][0]["floor_s"]["conv"]
        for more in ([], ["--num-classes", "100000", "--in-channels", "1"])
    )
    assert own == pytest.approx(
        floor_s("resnet18", 1, 224, "fp16", DATASHEETS["h100"], num_classes=100000, in_channels=1)
    )
    assert own > 2 * usual  # the classifier's 51 million weights


MODEL = """
from torch import nn

def build(width=8, num_classes=10):
    layers = nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, 4, 1)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * 32 * 32, num_classes))
"""


def test_a_model_from_outside_has_the_floor_of_the_work_that_was_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_floors.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    words = ["toy_floors:build@width=16", "--gpu", "h100", "--precision", "fp16", "--batch", "2", "--image", "32"]
    told = json.loads(bench(*words, "--num-classes", "7", "--json").output)
    assert list(told["fusions"]) == ["conv"]
    pixels, bandwidth = 32 * 32, DATASHEETS["h100"].bandwidth
    first = 2 * 2 * (3 + 16) * pixels + 2 * (16 * 27 + 16)  # with the bias that the norm leaves
    second = 2 * 2 * (16 + 4) * pixels + 2 * (16 * 4 + 4)
    last = 2 * 2 * (4 * pixels + 7) + 2 * (4 * pixels * 7 + 7)
    assert told["rows"][0]["floor_s"]["conv"] == pytest.approx((first + second + last) / bandwidth)
    assert told["rows"][0]["memory_share"] == 1


def test_a_model_that_cannot_be_built_is_told_in_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_floors.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    told = bench("toy_floors:other", "--gpu", "h100")
    assert told.exit_code != 0
    assert "toy_floors" in told.output
    assert "Traceback" not in told.output
