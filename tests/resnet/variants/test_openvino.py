"""OpenVINO on a CPU: what it is asked for and takes, and torch's memory read and written in place."""

import subprocess
import sys

import pytest
import torch

from resnet.calibration import Calibration
from resnet.variants import VARIANTS, missing, prepare

if cure := missing(VARIANTS["openvino"], "cpu"):
    pytest.skip(cure, allow_module_level=True)

from openvino import Core

from resnet.onnx.export import onnx_file
from resnet.openvino import session
from tests.resnet.eight_bits import check_runner


def test_outputs_are_written_in_place(build, batch) -> None:
    """A poisoned output must be overwritten, and by the run, not by a copy after it."""
    runner = prepare("openvino", build("resnet18"), batch, "fp32")
    x = runner.place(batch)
    logits = runner(x)
    want = logits.clone()
    logits.fill_(torch.nan)
    assert runner(x).data_ptr() == logits.data_ptr()
    assert torch.equal(logits, want)


def test_another_batch_has_a_network_of_its_own(build, batch, error) -> None:
    runner = prepare("openvino", build("resnet18"), batch, "fp32")
    one = runner(runner.place(batch[:1])).clone()
    assert one.shape == (1, 10)
    assert torch.allclose(one, runner(runner.place(batch))[:1], rtol=0, atol=1e-4)
    with pytest.raises(ValueError, match="not placed"):
        runner(batch)


def test_each_precision_is_what_the_plugin_says(build, batch) -> None:
    """Its default here is bf16 for both."""
    file = onnx_file(build("resnet18"), torch.float32, batch.shape[1:])[0]
    for precision, word in (("fp32", "f32"), ("bf16", "bf16")):
        try:
            runner = session.OpenVinoRunner(lambda: Core().read_model(file), batch, precision, {})
        except RuntimeError as error:
            pytest.skip(str(error))
        assert {node.type for node in runner.operations(len(batch)) if node.kind == "Convolution"} == {word}
        assert runner.details["threads"] == torch.get_num_threads()


def test_a_cpu_without_bf16_is_an_error(build, batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(session.HINTS, "bf16", "f32")
    model = Core().read_model(onnx_file(build("resnet18"), torch.float32, batch.shape[1:])[0])
    compiled = session.compile_model(session.for_batch(model, 2), "bf16")
    monkeypatch.setattr(Core, "compile_model", lambda *_: compiled)
    monkeypatch.setitem(session.HINTS, "bf16", "bf16")
    with pytest.raises(RuntimeError, match="computes in f32 where bf16 is wanted"):
        session.compile_model(model, "bf16")


def test_nothing_is_sent_when_it_is_imported() -> None:
    code = "import sys, resnet.openvino, openvino; sys.exit(sys.modules['openvino_telemetry'] is not None)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", ["resnet18-digits", "resnet18v2-digits"])
def test_every_step_in_8_bits_is_exact(name, build, batch) -> None:
    runner = prepare("openvino", build(name), batch, "int8", "stream", Calibration(batch, "minmax", ("conv1",)))
    assert runner.details["quantized"]["wide"] == ["conv1"]
    check_runner(runner, build(name), batch)


def test_an_operation_is_known_by_its_layer_and_one_that_converts_either_way_is_no_arithmetic() -> None:
    reads = ("node_relu_4", "layer2.0.downsample.0.weight")
    convolution = session.Operation("node_conv2d_7/WithoutBiases", "Convolution", "f32", ("node_conv2d_7",), reads)
    assert (convolution.layer, convolution.converts) == ("layer2.0.downsample.0", False)
    for name in ("relu_4_DequantizeLinear", "relu_4_QuantizeLinear"):
        assert session.Operation(name, "Subgraph", "f32", (name,), ("relu_4",)).converts
