import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from resnet import variants
from resnet.variants import DEVICES, LAUNCHES, PRECISIONS, VARIANTS, missing, prepare, refusal


def test_the_table_loads_without_torch() -> None:
    code = "import sys, resnet.variants; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_a_row_is_whole(variant: variants.Variant) -> None:
    assert find_spec(f"resnet.variants.{variant.module}")
    assert len(variant.why) > 20
    assert set(variant.serves) <= set(DEVICES)
    assert {word for words in variant.serves.values() for word in words} <= set(PRECISIONS)
    # a reason for something that is served would never be read
    assert not [key for key in variant.excluded if key[1] in variant.serves.get(key[0], ())]


def test_every_combination_is_served_or_has_a_reason() -> None:
    for variant in VARIANTS.values():
        for device in DEVICES:
            for precision in PRECISIONS:
                for launch in LAUNCHES:
                    reason = refusal(variant, device, precision, launch)
                    served = precision in variant.serves.get(device, ()) and (device, launch) != ("cpu", "graph")
                    assert (reason is None) == served
                    assert served or reason


@pytest.mark.parametrize(
    ("name", "device", "precision", "launch", "words"),
    [
        ("eager", "cpu", "fp16", "stream", "10 times slower"),
        ("eager", "cpu", "tf32", "stream", "tensor cores"),
        ("eager", "cuda", "int8", "stream", "no int8 form"),
        ("eager", "cpu", "fp32", "graph", "CUDA graph"),
        ("channels-last-amp", "cuda", "fp32", "stream", "eager"),
        ("onnxruntime", "cpu", "bf16", "stream", "bf16"),
        ("onnxruntime-trt", "cpu", "fp16", "stream", "NVIDIA"),
        ("onnxruntime-trt", "cuda", "fp32", "stream", "TF32"),
    ],
)
def test_a_refusal_says_why(name: str, device: str, precision: str, launch: str, words: str) -> None:
    assert words in str(refusal(VARIANTS[name], device, precision, launch))


def test_an_unknown_word_names_the_allowed_ones() -> None:
    with pytest.raises(ValueError, match="fp32, tf32"):
        refusal(VARIANTS["eager"], "cpu", "half", "stream")


def test_a_missing_package_gives_the_pip_line(monkeypatch: pytest.MonkeyPatch, build, batch) -> None:
    variant = replace(VARIANTS["eager"], needs={"no_such_package": "no-such-package<11"})
    assert missing(variant, "cpu") == "pip install 'no-such-package<11'"
    monkeypatch.setattr(variants, "VARIANTS", {"eager": variant})
    with pytest.raises(RuntimeError, match="pip install 'no-such-package<11'"):
        prepare("eager", build("resnet18"), batch, "fp32", "stream")


@pytest.fixture
def onnxruntime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of libraries of an ONNX Runtime that is not to be imported, nor what else is asked for."""
    for package in ("onnxruntime", "onnx", "onnxscript", "tensorrt"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise AssertionError('it is not to be imported')")
    (tmp_path / "onnxruntime" / "capi").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    for package in ("onnxruntime", "onnx", "onnxscript", "tensorrt"):
        monkeypatch.delitem(sys.modules, package, raising=False)
    return tmp_path / "onnxruntime" / "capi"


def test_a_cpu_build_of_onnxruntime_is_not_cudas(onnxruntime: Path) -> None:
    cure = "this onnxruntime is a CPU build: pip install onnxruntime-gpu"
    (onnxruntime / "libonnxruntime_providers_shared.so").touch()
    rows = [VARIANTS["onnxruntime"], VARIANTS["onnxruntime-trt"]]
    assert [missing(row, "cuda") for row in rows] == [cure, cure]
    assert missing(rows[0], "cpu") is None
    (onnxruntime / "libonnxruntime_providers_cuda.so").touch()
    assert [missing(row, "cuda") for row in rows] == [None, cure]
    (onnxruntime / "libonnxruntime_providers_tensorrt.so").touch()
    assert [missing(row, "cuda") for row in rows] == [None, None]


@pytest.mark.parametrize(
    ("name", "precision", "launch", "words"),
    [
        ("egaer", "fp32", "stream", "there are eager, "),
        ("eager", "fp16", "stream", "10 times slower"),
        ("eager", "fp32", "graph", "CUDA graph"),
    ],
)
def test_prepare_refuses_early(name: str, precision: str, launch: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        prepare(name, None, torch.zeros(1, 3, 32, 32), precision, launch)  # type: ignore[arg-type]
