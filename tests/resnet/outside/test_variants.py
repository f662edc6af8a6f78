"""Any module by every variant that needs only a module; the others say what they take."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import resnet
from bench.plans.case import Case, CaseError
from bench.plans.eligible import why_not
from resnet.code import Unserved
from resnet.onnx import export
from resnet.onnx.export import onnx_file
from resnet.outside.identity import code_digest, identity

Toy = Callable[..., Any]
BATCH = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("variant", ["library-fused"])
def test_a_variant_of_this_project_s_networks_says_so(toy: Toy, variant: str, here: dict[str, Any]) -> None:
    with pytest.raises(Unserved, match=r"runs this project's ResNets alone.*eager.*this is a OutsideModel"):
        resnet.prepare(variant, toy("build"), BATCH, "fp32")
    with pytest.raises(Unserved, match="this is a Conv2d"):
        resnet.prepare(variant, nn.Conv2d(3, 4, 1), BATCH, "fp32")


@pytest.mark.parametrize("variant", ["fused", "per-layer", "library-fused"])
def test_their_cases_are_skipped_before_anything_runs(variant: str, here: dict[str, Any]) -> None:
    case = Case("outside_toys:build", variant, "fp16", 2, 32, "stream")
    assert f"{variant} runs this project's ResNets alone" in str(why_not(case, here))


@pytest.mark.usefixtures("without_gradients")
@pytest.mark.parametrize("name", ["answering@kind=mapping", "behaving@how=traces_not"])
def test_onnxruntime_answers_as_the_module(toy: Toy, name: str) -> None:
    model = toy(name)
    run = resnet.prepare("onnxruntime", model, BATCH, "fp32")
    assert torch.allclose(run(run.place(BATCH)), model(BATCH), atol=1e-5)
    assert ("no batch norm of 3" in run.details["folded"]) == ("traces_not" in name)


@pytest.mark.filterwarnings("default")  # of the exporter
@pytest.mark.parametrize(("variant", "who"), [("onnxruntime", "torch.onnx can"), ("compile-aot", "torch.export does ")])
def test_what_cannot_be_exported_has_a_sentence(toy: Toy, variant: str, who: str) -> None:
    with pytest.raises(Unserved, match=rf"{who}not \w+ the model: \w+: \w+.*; eager and compile run it"):
        resnet.prepare(variant, toy("behaving@how=exports_not"), BATCH, "fp32")


def test_8_bits_of_a_module_are_refused_with_a_sentence_where_they_could_not_be_checked(toy: Toy) -> None:
    pytest.importorskip("onnxruntime")
    for name, variant, words in (
        ("behaving@how=traces_not", "onnxruntime", r"torch.fx cannot trace the model \(\w+: .*\), so its batch norms"),
        ("build", "compile-max", "alone in int8 .* others run in int8 by onnxruntime, openvino, where"),
    ):
        with pytest.raises(Unserved, match=words):
            resnet.prepare(variant, toy(name), BATCH, "int8")


def test_equal_weights_under_other_code_are_another_file(monkeypatch: pytest.MonkeyPatch) -> None:
    class Twice(nn.Module):
        def __init__(self, factor: float) -> None:
            super().__init__()
            self.fc, self.factor = nn.Linear(3 * 4 * 4, 5), factor

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1)) * self.factor

    one, two = Twice(1.0).eval(), Twice(2.0).eval()
    two.load_state_dict(one.state_dict())
    assert identity(one) != identity(two)
    monkeypatch.setattr(export, "cached_file", lambda key, *_: (key, True))  # without making the file
    keys = [onnx_file(model, torch.float32, torch.Size((3, 4, 4)))[0] for model in (one, two, one)]
    assert keys[0] == keys[2] != keys[1]


def test_the_code_is_what_the_module_s_file_imports_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "planted_net.py").write_text(
        "import planted_layers\n\ndef build():\n    return planted_layers.Layer()\n"
    )
    layers = tmp_path / "planted_layers.py"
    layers.write_text("from torch import nn\n\nclass Layer(nn.Identity):\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import planted_net

    model = planted_net.build()
    before = code_digest(model, ["planted_net"])
    layers.write_text(layers.read_text() + "# edited\n")
    assert len(before) == 16
    assert code_digest(model, ["planted_net"]) != before
    assert code_digest(nn.Linear(1, 1)) == ""
    for name in ("planted_net", "planted_layers"):
        monkeypatch.delitem(sys.modules, name)


def test_names_of_the_hub_are_refused_and_small_pictures_are_not() -> None:
    for name in ("hf-hub:timm/resnet18.a1_in1k", "timm:hf-hub:timm/resnet18.a1_in1k"):
        with pytest.raises(CaseError, match="would be downloaded"):
            Case(name, "eager", "fp32", 1, 32, "stream")
    assert Case("mymodule:build", "eager", "fp32", 1, 8, "stream").image == 8
    with pytest.raises(CaseError, match="image 0"):
        Case("mymodule:build", "eager", "fp32", 1, 0, "stream")
