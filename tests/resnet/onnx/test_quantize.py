import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from resnet.calibration import Calibration
from resnet.onnx.quantize import quantized_file
from resnet.onnx.quantized import QuantizedOrtRunner, describe
from resnet.onnx.session import CPU, open_session
from resnet.quant.network import Scheme
from tests.resnet.eight_bits import check_runner

IMAGE = torch.Size((3, 32, 32))
NAME = "resnet18-digits"  # a quarter of the channels


@pytest.fixture(autouse=True)
def _without_gradients(without_gradients: None) -> None:
    """As a runner is to be called."""


def test_the_file_for_tensorrt_rounds_a_sum_once_and_its_integers_have_no_zero_point(
    build, batch: Tensor, calibration: Calibration
) -> None:
    """ONNX Runtime's CPU provider runs the same file, so its declaration is held against real integers."""
    file = quantized_file(build(NAME), IMAGE, calibration, "tensorrt", Scheme("int8"))
    session, _ = open_session(file.path, CPU, {})
    runner = QuantizedOrtRunner(file, CPU, {}, "units", lambda: session, batch, torch.float32, {})
    steps = {step.name: step for step in runner.steps}
    assert {(step.output.kind, step.output.zero) for step in steps.values() if step.output} == {("int8", 0)}
    assert len(steps["layer1.0.add"].weights) == 1
    assert len(steps["layer2.0.add"].weights) == 2
    assert "layer1.0.conv2" not in steps
    runner.details["quantized"] = describe(file, calibration)
    assert check_runner(runner, build(NAME), batch)["layers"] == 21


def test_a_layer_that_is_not_there_cannot_stay_wide(build, calibration: Calibration) -> None:
    choice = Calibration(calibration.pictures, "minmax", ("layer9.conv",))
    with pytest.raises(ValueError, match=r"no layer is called layer9.conv; there are conv1, layer1.0.conv1"):
        quantized_file(build(NAME), IMAGE, choice, "cpu", Scheme("uint8"))


def test_weights_of_7_bits_where_the_cpu_needs_them(build, calibration: Calibration) -> None:
    file = quantized_file(build(NAME), IMAGE, calibration, "cpu", Scheme("uint8", largest=64))
    runner = QuantizedOrtRunner(file, CPU, {}, "taps", lambda: None, calibration.pictures, torch.float32, {})  # type: ignore[arg-type]
    assert max(int(weight.codes.abs().max()) for step in runner.steps for weight in step.weights) == 64


PROGRAM = """
import torch
from resnet.calibration import Calibration
from resnet.onnx.quantize import quantized_file
from resnet.quant.network import Scheme
from resnet.archs import Spec
from resnet.model import ResNet
torch.manual_seed(0)
pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
model = ResNet(Spec.parse("resnet18-digits"), num_classes=10, in_channels=3).eval().requires_grad_(False)
print(quantized_file(model, pictures.shape[1:], Calibration(pictures, "minmax"), "cpu", Scheme("uint8")).path)
"""


def test_the_same_choice_writes_the_same_bytes_in_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path))
    with torch.random.fork_rng(devices=[]):
        exec(PROGRAM, {})
    here = Path(capsys.readouterr().out.strip()).read_bytes()
    environment = os.environ | {"RESNET_CACHE": str(tmp_path / "other"), "PYTHONHASHSEED": "1"}
    (tmp_path / "other").mkdir()
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).read_bytes() == here
