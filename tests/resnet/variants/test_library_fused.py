from collections import Counter

import pytest
import torch
from torch.backends import mkldnn
from torch.profiler import ProfilerActivity, profile

from resnet.fold import fold
from resnet.library import ops as library_ops
from resnet.library.ops import CudnnConv
from resnet.variants import prepare
from resnet.variants.library_fused import _cudnn
from tests.resnet.sixteen_bits import skip_without_bf16

DESIGNS = [
    "resnet50",
    "resnet50v1",
    "resnet50v2",
    "resnet18-C",
    "resnet18-none",
    "resnet18v2-A",
    "resnet18v2-none",
]


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_and_shortcut_agrees(name, build, batch, error, tolerance) -> None:
    runner = prepare("library-fused", build(name), batch, "fp32", "stream")
    assert error(build(name), batch, runner(runner.place(batch))) < tolerance["fp32"]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_epilogues_are_inside_the_convolutions(precision, build, batch, capfd) -> None:
    """20 convolutions and no norm, ReLU or sum beside them; and inside oneDNN no weight or tensor is laid out anew."""
    skip_without_bf16("library-fused", precision)
    runner = prepare("library-fused", build("resnet18"), batch, precision, "stream")
    x = runner.place(batch)
    runner(x)
    with profile(activities=[ProfilerActivity.CPU]) as trace:
        runner(x)
    calls = Counter(event.name for event in trace.events())
    assert calls["mkldnn::_convolution_pointwise"] == 12  # the stem, 8 first convolutions of a block, 3 projections
    assert calls["mkldnn::_convolution_pointwise_"] == 8  # with the sum
    separate = {"aten::batch_norm", "aten::relu", "aten::relu_", "aten::add", "aten::add_", "aten::conv2d"}
    assert not separate & set(calls)
    capfd.readouterr()
    with mkldnn.verbose(mkldnn.VERBOSE_ON):
        runner(x)
    primitives = Counter(line.split(",")[5] for line in capfd.readouterr().out.splitlines() if ",exec,cpu," in line)
    assert primitives["convolution"] == 20
    assert primitives["reorder"] == 0


def always(answer):
    return lambda calls, device: (answer, {name: 1.0 if name == answer else 9.0 for name in calls})


@pytest.mark.parametrize(("name", "fused"), [("resnet50", 49), ("resnet18v1", 17), ("resnet18v2", 8)])
def test_cudnn_network_agrees(name, fused, build, batch, error, tolerance, cudnn_on_a_cpu, monkeypatch) -> None:
    monkeypatch.setattr(library_ops, "fastest", always("fused"))
    model = build(name)
    runner = _cudnn(fold(model), batch, torch.float32, "channels_last")
    assert runner.details["epilogues"]["fused"] == fused  # all that end in a ReLU
    assert not runner.details["epilogues"]["not_fused"]
    cudnn_on_a_cpu.clear()
    assert error(model, batch, runner(runner.place(batch))) < tolerance["fp32"]
    assert cudnn_on_a_cpu.total() == fused


@pytest.mark.usefixtures("cudnn_on_a_cpu")
def test_a_slower_fused_call_is_not_taken(build, batch, error, tolerance, monkeypatch) -> None:
    monkeypatch.setattr(library_ops, "fastest", always("separate"))
    model = build("resnet18")
    runner = _cudnn(fold(model), batch, torch.float32, "channels_last")
    epilogues = runner.details["epilogues"]
    assert (epilogues["convolutions"], epilogues["fused"], len(epilogues["not_fused"])) == (20, 0, 17)
    assert epilogues["not_fused"]["stem"] == "fused 9.0 us, separate 1.0 us"
    assert error(model, batch, runner(runner.place(batch))) < tolerance["fp32"]


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(RuntimeError("no engine\nat line"), "no engine"), (torch.nan, "nan"), (1e3, "apart")],
)
def test_a_fused_call_that_fails_or_lies_is_not_taken(outcome, words, monkeypatch) -> None:
    def broken(x, weight, *_):
        if isinstance(outcome, RuntimeError):
            raise outcome
        return torch.full((1, 4, 8, 8), outcome)

    monkeypatch.setattr(torch, "cudnn_convolution_relu", broken)
    conv = CudnnConv(torch.nn.Conv2d(3, 4, 3, padding=1, bias=False), torch.float32, torch.channels_last)
    with torch.no_grad():
        conv.choose(torch.ones(1, 3, 8, 8), relu=True)
    assert not conv.fused
    assert words in str(conv.choice)
