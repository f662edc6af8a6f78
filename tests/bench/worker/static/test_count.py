"""Facts as they are counted, with planted kernels and planted graph breaks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from bench.plans.case import Case
from bench.static.cases import SLOWER, Counted, Facts, compare_facts
from bench.static.kernels import Accepted
from bench.worker.static import count as static
from bench.worker.static.count import Dispatched, count_case
from bench.worker.static.counters import calls_in, compilations
from resnet.names import Build
from resnet.runner import TorchRunner
from resnet.variants import eager, fused
from resnet.variants.compile import compiled_runner

EAGER = Case.parse("resnet18/eager/fp32/b1/i32/stream")
FUSED = Case.parse("resnet18/fused/fp16/b1/i64/stream")


def verdicts(before: Counted, after: Counted, name: str = EAGER.name) -> list[tuple[str, str, Any, Any]]:
    old, new = (Facts({name: one}, static.environment(), "", "") for one in (before, after))
    return [(change.word, change.fact, change.before, change.after) for change in compare_facts(old, new)]


def test_eager_launches_what_its_layers_are() -> None:
    found = count_case(EAGER).facts
    # 20 convolutions, 20 norms, 17 ReLUs, 8 sums, pool, mean, classifier
    assert found["launches"].value == 68
    assert found["weights"].value == 46796608
    assert found["flops"].value == 75046912


def test_a_planted_clone_is_slower_by_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_case(EAGER)
    honest = eager._runner

    def cloning(model: Any, *rest: Any) -> TorchRunner:
        runner = honest(model, *rest)
        forward = runner._forward
        runner._forward = lambda x: forward(x.clone())
        return runner

    monkeypatch.setattr(eager, "_runner", cloning)
    after = count_case(EAGER)
    launches = before.facts["launches"].value
    assert isinstance(launches, int)
    assert verdicts(before, after)[0] == (SLOWER, "launches", launches, launches + 1)
    assert [fact for _, fact, *_ in verdicts(before, after)] == ["launches", "bytes"]


def test_a_planted_clone_in_our_own_network_is_slower_by_one_launch(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_case(FUSED)
    forward = fused.FusedNetwork.forward
    monkeypatch.setattr(fused.FusedNetwork, "forward", lambda self, x: forward(self, x).clone())
    after = count_case(FUSED)
    found = verdicts(before, after, FUSED.name)
    assert [(word, fact) for word, fact, *_ in found] == [(SLOWER, "launches"), (SLOWER, "bytes")]
    assert found[0][3] == found[0][2] + 1


def test_a_planted_kernel_in_our_own_network_is_slower(monkeypatch: pytest.MonkeyPatch) -> None:
    before = count_case(FUSED)
    honest = fused.FusedNetwork.__init__

    def longer(network: Any, *args: Any) -> None:
        honest(network, *args)
        network.calls = [*network.calls, network.calls[-1]]

    monkeypatch.setattr(fused.FusedNetwork, "__init__", longer)
    found = verdicts(before, count_case(FUSED), FUSED.name)
    assert found[0][:2] == (SLOWER, "launches")
    assert found[0][3] == found[0][2] + 1


def test_our_own_network_launches_at_least_one_kernel_a_step_and_leaves_the_launcher_as_it_was() -> None:
    kept = static.launches.bind_launch, static.launches.target_of
    found = count_case(FUSED).facts
    launches = found["launches"].value
    assert isinstance(launches, int)
    assert launches >= 20 - 3  # stem with its pool, three projections inside, mean and classifier
    assert (static.launches.bind_launch, static.launches.target_of) == kept


def test_our_own_network_in_8_bits_reads_less_and_needs_no_gpu() -> None:
    codes, half = (count_case(Case.parse(f"resnet18/fused/{word}/b1/i64/stream")) for word in ("int8", "fp16"))
    assert codes.failed == ""
    assert codes.facts["launches"].value >= 20 - 3
    for fact in ("bytes", "weights", "activations"):
        assert codes.facts[fact].value < 0.7 * half.facts[fact].value, fact


def compiled(function: Any) -> tuple[int, int]:
    """Kernels and breaks of a toy network's forward, compiled as the variants do, who ask for one graph or none."""
    x, compile_ = torch.randn(2, 8), torch.compile
    with compilations() as made, torch.no_grad():
        compiled_runner(function, {}, x, torch.float32, "contiguous", {})
    assert torch.compile is compile_
    return made.calls, made.breaks


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's own imports
def test_a_planted_graph_break_and_a_planted_kernel_are_counted_where_torch_compiles() -> None:
    net = nn.Sequential(nn.Linear(8, 8), nn.ReLU())

    def broken(x: torch.Tensor) -> torch.Tensor:
        x = net(x)
        torch._dynamo.graph_break()
        return net(x)

    def longer(x: torch.Tensor) -> torch.Tensor:
        return net(net(x))

    assert compiled(net) == (2, 0)
    assert compiled(longer) == (4, 0)
    assert compiled(broken) == (4, 1)


def test_kernels_are_read_off_generated_code_in_each_of_inductors_spellings() -> None:
    source = """
cpp_fused_relu_0 = async_compile.cpp_pybinding([], '')
def call(args):
    buf0 = empty_strided_cpu((2, 8), (8, 1), torch.float32)
    buf1 = torch.ops.aten.empty.memory_format([2])
    extern_kernels.mm(args[0], buf0, out=buf0)
    buf2 = torch.ops.mkldnn._linear_pointwise.default(buf0)
    cpp_fused_relu_0(buf2)
    triton_poi_fused_relu_0.run(buf2, 16, grid=grid(16), stream=stream0)
    assert_size_stride(buf2, (2, 8), (8, 1))
    return (buf2, )
"""
    assert calls_in(source) == 4


def test_a_view_or_an_empty_is_no_kernel_and_a_cast_is_one() -> None:
    x = torch.randn(4, 4)
    with torch.inference_mode(), Dispatched() as mode:
        x.view(16), x.t(), torch.empty(3), x.to(torch.float32), x.contiguous(), x.detach()
        torch.empty(4, 4).t_().squeeze_().as_strided_((2,), (1,))
        assert mode.names == []
        x.to(torch.bfloat16)
        x.t().contiguous()
        x.add_(1)
    assert len(mode.names) == 3
    assert mode.bytes == (64 + 32) + (64 + 64) + (64 + 64)


def test_waiting_for_a_value_is_a_kernel() -> None:
    x = torch.randn(4)
    with torch.inference_mode(), Dispatched() as mode:
        x[0].item()
    assert mode.names == ["aten._local_scalar_dense.default"]


def test_a_case_that_cannot_be_counted_says_why() -> None:
    assert "timing them on the GPU" in count_case(Case.parse("resnet18/per-layer/fp16/b1/i64/stream")).skipped
    assert "TensorRT" in count_case(Case.parse("resnet18/onnxruntime-trt/fp16/b1/i64/stream")).skipped
    assert "no count" in count_case(Case.parse("resnet18/eager/fp32/bmax/i64/stream")).skipped
    assert "stream" in count_case(Case.parse("resnet18/fused/fp16/b1/i64/graph")).skipped
    assert "fp16" in count_case(Case.parse("resnet18/eager/fp16/b1/i64/stream")).skipped


TOY = """
from torch import nn

def build(num_classes=10, in_channels=3):
    first = nn.Conv2d(in_channels, 8, 3, bias=False)
    return nn.Sequential(first, nn.ReLU(), nn.Flatten(), nn.Linear(7200, num_classes))
"""


def test_a_model_from_outside_is_counted_with_its_classes_and_channels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy_counts.py").write_text(TOY)
    monkeypatch.chdir(tmp_path)
    build = Build(num_classes=7, in_channels=1)
    found = count_case(Case.parse("toy_counts:build/eager/fp32/b2/i32/stream"), build)
    assert not found.failed
    values = {name: fact.value for name, fact in found.facts.items()}
    assert values["flops"] == 2 * 2 * (9 * 8 * 30 * 30 + 7200 * 7)
    assert values["weights"] == 4 * (9 * 8 + 7200 * 7 + 7)
    assert count_case(EAGER, build).facts["weights"].value < count_case(EAGER).facts["weights"].value
    assert "ResNets alone" in count_case(Case.parse("toy_counts:build/fused/fp16/b1/i32/stream")).skipped


def test_a_variant_that_raises_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise RuntimeError("\nno luck\ntoday")

    monkeypatch.setattr(eager, "prepare", broken)
    assert count_case(EAGER) == Counted(failed="RuntimeError: no luck")


def test_the_record_of_a_layer_nobody_compiles_is_absent_with_the_reason() -> None:
    with pytest.raises(LookupError, match="compiles no resnet18/fp16-n1-"):
        static.record_of(FUSED, Accepted([], "3.7.1", "", ""))


def test_a_session_has_the_nodes_and_weights_of_the_graph_that_it_optimises() -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    counted = count_case(Case.parse("resnet18/onnxruntime/fp32/b1/i32/stream"))
    assert not counted.failed
    assert 20 < counted.facts["launches"].value < 40  # convolutions with their sums and ReLUs, pools, the last layer
    assert counted.facts["weights"].value > 4 * 11e6
