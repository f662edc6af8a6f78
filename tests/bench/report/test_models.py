"""The table of models by variants."""

from collections.abc import Callable
from pathlib import Path

from bench.records.record import Record
from bench.records.store import Store
from bench.report.markdown import MODELS, splice
from bench.report.models import render_models


def planted(record: Callable[..., Record]) -> list[Record]:
    own = {"network": {"origin": "timm 1.0", "weights": "own"}}
    lines = [
        record("timm:resnet10t/eager/fp32/b2/i64/stream", **own),
        record("timm:resnet10t/onnxruntime/fp32/b2/i64/stream", status="error", reason="no such operator | x", **own),
        record("timm:convnext_atto/eager/fp32/b2/i32/stream", **own),
        record("timm:convnext_atto/onnxruntime/fp32/b2/i32/stream", **own),
    ]
    for model, image in (("timm:resnet10t", 64), ("timm:convnext_atto", 32)):
        name = f"{model}/fused/fp16/b2/i{image}/stream"
        lines.append(record(name, status="skipped", reason="ResNets alone", **own))
    lines[2].gate = {"before": {"rms_multiple": 1.5}, "after": {"rms_multiple": 2.25}}
    return lines


def test_a_cell_is_the_worst_check_or_the_number_of_its_sentence(record: Callable[..., Record]) -> None:
    lines = render_models(planted(record)).splitlines()
    assert lines[0] == "| model | pixels | weights | eager/fp32 | onnxruntime/fp32 |"
    assert lines[2] == "| `timm:convnext_atto` | 32 | own | 2.25 | 1.00 |"
    assert lines[3] == "| `timm:resnet10t` | 64 | own | 1.00 | (1) |"
    assert "- (1) error: no such operator \\| x" in lines
    assert "- `fused/fp16`, for all: ResNets alone" in lines


def test_it_stands_in_a_document(record: Callable[..., Record], tmp_path: Path) -> None:
    with Store(tmp_path / MODELS).writing():
        for line in planted(record):
            Store(tmp_path / MODELS).append(line)
    document = tmp_path / "docs" / "MODELS.md"
    document.parent.mkdir()
    document.write_text(f"<!-- bench: {MODELS} -->\n<!-- /bench -->\n")
    (tmp_path / "README.md").write_text("")
    assert splice(tmp_path) == [document]
    assert "`timm:resnet10t`" in document.read_text()
    assert splice(tmp_path) == []


def test_a_case_in_8_bits_has_its_distance_from_float64(record: Callable[..., Record]) -> None:
    gate = {"before": {"rms_relative": 0.043, "code_distance": 0.5}, "after": {"rms_relative": 0.051}}
    (line,) = render_models([record("resnet18/onnxruntime/int8/b2/i32/stream", gate=gate)]).splitlines()[2:3]
    assert line.endswith("| 5.1 % |")
