"""Our kernels as a network: the ops' aten on any machine, the kernels interpreted, and what only a GPU shows."""

import copy
import importlib.util
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

if importlib.util.find_spec("triton") is None:
    pytest.skip("kernels need triton", allow_module_level=True)

import resnet.archs
import resnet.model
from bench.worker import reference
from bench.worker.gate import judge
from bench.worker.truth import FloatTruth
from kernels.space.layer import Layer
from resnet.archs import SHORTCUTS, VERSIONS, Spec
from resnet.calibration import EIGHT_BITS, Calibration
from resnet.fold import fold
from resnet.fused.network import FusedNetwork
from resnet.fused.program import build_program
from resnet.quant.check import check_steps
from resnet.quant.steps import Taps
from resnet.variants import VARIANTS, fused, prepare, refusal
from resnet.weights.synthetic import digest
from tests.networks import convolutions

DESIGNS = [Spec(depth, version, shortcut).name for depth in (18, 50) for version in VERSIONS for shortcut in SHORTCUTS]
# one picture, and sizes that no tile divides, in turn
SHAPES = [(1, 3, 64, 64), (2, 3, 33, 47), (3, 3, 40, 33)]


@pytest.fixture(scope="module")
def gate():
    """Holds logits of a batch against float64 as the harness does: at a multiple of plain torch's error."""
    switches = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32

    def check(model, batch, precision, logits, device="cpu"):
        exact = reference.logits(model, batch, reference.EXACT, device)
        plain = reference.logits(model, batch, precision, device).astype(np.float64)
        return judge([(0, logits)], FloatTruth(precision, len(batch), exact, plain))

    yield check
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = switches


def pictures(shape, seed=1):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network(model, batch, precision="fp32"):
    return FusedNetwork(build_program(fold(model), tuple(batch.shape)), precision, batch.device)


def placed(batch, dtype=torch.float32):
    return batch.to(dtype, copy=True, memory_format=torch.channels_last)


class Seen(TorchDispatchMode):
    """The ops that are called, with their arguments; what they call themselves is not seen."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func, args))
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", DESIGNS)
def test_every_design_agrees_with_float64(name, build, gate) -> None:
    batch = pictures(SHAPES[DESIGNS.index(name) % len(SHAPES)])
    before = digest(build(name))
    runner = fused.prepare(build(name), batch, "fp32", "stream")
    gate(build(name), batch, "fp32", runner(runner.place(batch)))
    assert digest(build(name)) == before


@pytest.mark.parametrize("precision", ["fp16", "bf16"])  # plain torch has no tf32 on a CPU: test_tf32.py
@pytest.mark.parametrize("name", ["resnet18", "resnet50v2", "resnet18-A"])
def test_every_precision_agrees_with_float64(name, precision, build, gate) -> None:
    batch = pictures(SHAPES[2])
    runner = fused.prepare(build(name), batch, precision, "stream")
    logits = runner(runner.place(batch))
    assert logits.dtype == {"fp16": torch.float16, "bf16": torch.bfloat16}[precision]
    gate(build(name), batch, precision, logits)


def test_details_fit_a_record(build, batch) -> None:
    details = fused.prepare(build("resnet18"), batch, "bf16", "stream").details
    json.dumps(details)
    assert details["memory_format"] == "channels_last"
    assert details["kernels"] == "aten"
    assert details["steps"] == 18
    # 16 bits a weight, no norms, and biases in float32
    assert 1.99 < details["weights_bytes"] / sum(p.numel() for p in build("resnet18").parameters()) < 2.01
    assert details["activation_bytes"] < details["eager_activation_bytes"]


def test_each_batch_gets_its_own_answer(build, batch) -> None:
    runner = fused.prepare(build("resnet18v2"), batch, "fp32", "stream")
    first, second = runner.place(batch), runner.place(batch.flip(0))
    want = runner(first).clone()
    assert torch.equal(runner(second), want.flip(0))
    assert torch.equal(runner(first), want)
    assert torch.equal(first, placed(batch))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnet50v2", "resnet18v2-A"])
def test_nothing_is_read_that_a_call_has_not_written(name, build, batch) -> None:
    net = network(build(name), batch)
    with torch.inference_mode():
        want = net(placed(batch)).clone()
        net.memory.fill_(255)  # NaN in every format
        net.logits.fill_(torch.nan)
        assert torch.equal(net(placed(batch)), want)


def test_a_call_is_its_kernels_and_allocates_nothing(build, batch) -> None:
    net, x = network(build("resnet50"), batch), placed(batch)
    logits = net(x).data_ptr()
    with torch.inference_mode(), Seen() as seen:
        again = net(x)
    assert again.data_ptr() == logits
    assert Counter(func._schema.name for func, _ in seen.calls) == {
        "resnet_bench::conv_bias_relu_pool_out": 1,
        "resnet_bench::conv_bias_act_out": 48,
        "resnet_bench::pool_linear_out": 1,
    }


@pytest.mark.parametrize("name", ["resnet18v1", "resnet50", "resnet50v2", "resnet18-A", "resnet50-none"])
def test_layers_are_what_the_op_is_called_with(name, build, batch) -> None:
    net = network(build(name), batch, "bf16")
    with torch.inference_mode(), Seen() as seen:
        net(placed(batch, torch.bfloat16))
    called = []
    for func, args in seen.calls:
        if func is torch.ops.resnet_bench.conv_bias_act_out.default:
            x, weight, *rest = args
            _, residual, x2, scale, _, geometry, relu, precision, _, _ = rest
            (n, c, h, w), (kernel_h, kernel_w, stride, padding, stride2) = x.shape, geometry
            second = None if x2 is None else (*x2.shape[2:], x2.shape[1], stride2)
            shape = (n, h, w, c, weight.shape[0], (kernel_h, kernel_w), stride, padding)
            called.append(Layer(*shape, residual is not None, relu, second, scale is not None, precision))
    assert list(dict.fromkeys(called)) == convolutions(name, 2, 64, "bf16")


def test_another_shape_is_refused(build, batch) -> None:
    runner = fused.prepare(build("resnet18"), batch, "fp32", "stream")
    with pytest.raises(ValueError, match=r"\[1, 3, 64, 64\].*is for \[2, 3, 64, 64\]"):
        runner(runner.place(batch[:1]))


def test_the_table_serves_no_cpu_and_says_why(build, batch) -> None:
    for precision in EIGHT_BITS:
        assert refusal(VARIANTS["fused"], "cuda", precision, "stream") is None
        assert "nothing to choose from" in str(refusal(VARIANTS["per-layer"], "cuda", precision, "stream"))
    for precision in ("fp32", "bf16", "fp16"):
        assert "NVIDIA" in str(refusal(VARIANTS["fused"], "cpu", precision, "stream"))
    with pytest.raises(ValueError, match="NVIDIA"):
        prepare("fused", build("resnet18"), batch, "fp32", "stream")


def interpreted(cases, folder):
    """Logits and details of (model, batch, precision) cases."""
    given, made = folder / "given", folder / "made"
    torch.save(cases, given)
    root = Path(__file__).parents[3]
    command = [sys.executable, str(Path(__file__).with_name("interpreted.py")), str(given), str(made)]
    environment = os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join([str(root), *sys.path])}
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return torch.load(made, weights_only=False)


@pytest.mark.slow
def test_the_interpreted_kernels_are_the_network(build, gate, monkeypatch, tmp_path) -> None:
    """Every kind of step, in networks with few channels; and ResNet-18 with as many as its first two stages have."""

    def narrow(name: str, widths: tuple[int, ...]) -> torch.nn.Module:
        with monkeypatch.context() as patch:
            patch.setattr(resnet.archs, "STAGE_WIDTHS", widths)
            return build.__wrapped__(name)

    batch, few = pictures((2, 3, 33, 40)), (16, 16, 32, 32)
    cases = [(narrow("resnet18v1-C", few), batch, "fp32"), (narrow("resnet50v2-A", few), batch, "fp16")]
    cases.append((narrow("resnet18", (64, 64, 128, 128)), pictures((1, 3, 32, 32)), "fp16"))
    eight = [(narrow("resnet50", few), batch, "int8"), (narrow("resnet18", few), batch, "fp8")]
    for (model, batch, precision), (logits, details, taps) in zip(
        cases + eight, interpreted(cases + eight, tmp_path), strict=True
    ):
        assert details["kernels"] == "triton, interpreted"
        assert details["configurations"]
        if precision not in EIGHT_BITS:
            gate(model, batch, precision, logits)
            continue
        # the declared steps by aten: int8 the same integers, e4m3 sums in another order
        runner = fused.prepare_quantized(model, batch, precision, "stream", Calibration(batch, "minmax"))
        want = runner.taps(runner.place(batch)).activations
        assert taps.keys() == want.keys()
        if precision == "int8":
            # the stem's sums of fp16 products are in another order too: hardly a code differs, and none here
            assert [name for name in want if not torch.equal(taps[name], want[name])] == []
        for row in range(len(batch)):
            check_steps(runner.steps, batch[row : row + 1], Taps(taps, logits), row)


@pytest.mark.gpu
@pytest.mark.parametrize("launch", ["stream", "graph"])
@pytest.mark.parametrize("precision", EIGHT_BITS)
@pytest.mark.parametrize("name", ["resnet50", "resnet18-A"])
def test_on_a_gpu_8_bits_are_what_they_declare(name, precision, launch, build) -> None:
    if precision == "fp8" and torch.cuda.get_device_capability() < (8, 9):
        pytest.skip("this GPU has no e4m3")
    model, batch = build(name), pictures((3, 3, 64, 64))
    calibration = Calibration(batch, "minmax", ("layer1.0.conv1",))
    runner = prepare("fused", model, batch.cuda(), precision, launch, calibration)
    x = runner.place(batch)
    logits = runner(x).clone()
    taps = runner.taps(x)
    assert torch.equal(taps.logits, logits)
    for row in range(len(batch)):
        check_steps(runner.steps, batch[row : row + 1], taps, row)
    # int8 beside aten's on the CPU: the same integers, but for the stem's and the wide layer's sums of fp16 products
    if precision == "int8":
        other = fused.prepare_quantized(model, batch, precision, "stream", calibration)
        want = other.taps(other.place(batch)).activations["maxpool"]
        assert float((taps.activations["maxpool"].cpu() != want).float().mean()) < 1e-4


@pytest.mark.gpu
@pytest.mark.parametrize("launch", ["stream", "graph"])
@pytest.mark.parametrize("precision", ["fp32", "tf32", "fp16", "bf16"])
@pytest.mark.parametrize("count", [1, 3, 32])
def test_on_a_gpu_it_agrees_with_float64(count, precision, launch, build, gate) -> None:
    model = build("resnet50")
    batch, other = pictures((count, 3, 64, 64)), pictures((count, 3, 64, 64), seed=2)
    runner = prepare("fused", model, batch.cuda(), precision, launch)
    first, second = runner.place(batch), runner.place(other)
    for _ in range(2):
        gate(model, batch, precision, runner(first), "cuda")
        gate(model, other, precision, runner(second), "cuda")
    assert runner.details["graph"] is (launch == "graph")


@pytest.mark.gpu
@pytest.mark.parametrize("name", DESIGNS)
def test_on_a_gpu_every_design_agrees_with_float64(name, build, gate) -> None:
    batch = pictures(SHAPES[DESIGNS.index(name) % len(SHAPES)])
    runner = prepare("fused", build(name), batch.cuda(), "fp16", "stream")
    errors = gate(build(name), batch, "fp16", runner(runner.place(batch)), "cuda")
    assert errors["pictures"] == len(batch)


@pytest.mark.gpu
@pytest.mark.parametrize("launch", ["stream", "graph"])
def test_on_a_gpu_a_call_allocates_nothing(launch, build, batch) -> None:
    runner = prepare("fused", build("resnet50"), batch.cuda(), "fp16", launch)
    x = runner.place(batch)
    for _ in range(3):
        runner(x)
    torch.cuda.synchronize()
    before = torch.cuda.memory_stats()["allocation.all.allocated"]
    for _ in range(3):
        runner(x)
    assert torch.cuda.memory_stats()["allocation.all.allocated"] == before


@pytest.mark.gpu
def test_on_a_gpu_its_activations_take_less_than_eager_s(build) -> None:
    batch = pictures((32, 3, 224, 224)).cuda()
    # a copy: `build` gives every test the same model
    model = copy.deepcopy(build("resnet50")).cuda().half().to(memory_format=torch.channels_last)
    x = batch.half().to(memory_format=torch.channels_last)
    with torch.inference_mode():
        model(x)
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        held = torch.cuda.memory_allocated()
        model(x)
        eager = torch.cuda.max_memory_allocated() - held
    runner = prepare("fused", build("resnet50"), batch, "fp16", "stream")
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    runner(runner.place(batch))
    grown = torch.cuda.max_memory_allocated() - held - batch.nbytes // 2
    assert grown < 2**20  # beside the placed batch
    assert runner.details["activation_bytes"] < runner.details["eager_activation_bytes"] <= eager
