import gc
import sys
import weakref
from collections import Counter
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import onnx
import onnxruntime
import pytest
import torch

from resnet.onnx.export import INPUT, OUTPUT, onnx_file
from resnet.onnx.libraries import TENSORRT_LIBRARY
from resnet.onnx.session import CPU, CUDA, TENSORRT, open_session
from resnet.variants import onnxruntime as ort
from resnet.variants import onnxruntime_trt as ort_trt
from resnet.variants import prepare

IMAGE = torch.Size((3, 64, 64))
# rented machines may have the build for CPUs alone; constraints*.txt have this one
GPU_BUILD = pytest.mark.skipif(
    CUDA not in onnxruntime.get_available_providers(),
    reason="needs onnxruntime-gpu: its CPU build has no such provider",
)


@pytest.fixture
def exported(build) -> Path:
    return onnx_file(build("resnet18"), torch.float32, IMAGE)[0]


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_norms_are_folded_and_no_shape_is_computed(exported: Path) -> None:
    nodes = operators(exported)
    assert nodes["Conv"] == 20
    assert not {"BatchNormalization", "Shape", "Gather", "Cast"} & set(nodes)


def test_the_norms_that_no_convolution_precedes_stay(build) -> None:
    assert operators(onnx_file(build("resnet18v2"), torch.float32, IMAGE)[0])["BatchNormalization"] == 9


def test_the_batch_is_dynamic(build, exported: Path, error, tolerance) -> None:
    session, _ = open_session(exported, CPU, {})
    assert session.get_inputs()[0].shape == ["batch", 3, 64, 64]
    for count in (1, 5):
        images = torch.randn(count, *IMAGE, generator=torch.Generator().manual_seed(count))
        logits = torch.from_numpy(session.run([OUTPUT], {INPUT: images.numpy()})[0])
        assert torch.allclose(logits, build("resnet18")(images), rtol=0, atol=1e-4)


def test_a_file_is_made_once_for_its_weights_and_dtype(build, exported: Path) -> None:
    model = build("resnet18")
    assert onnx_file(model, torch.float32, IMAGE) == (exported, True)
    assert onnx_file(model, torch.float16, IMAGE)[0] != exported
    assert onnx_file(model, torch.float16, IMAGE)[0].stat().st_size < 0.51 * exported.stat().st_size


def test_a_damaged_file_is_made_again(build, exported: Path) -> None:
    exported.write_bytes(exported.read_bytes()[:1000])
    with pytest.warns(RuntimeWarning, match="damaged"):
        path, cached = onnx_file(build("resnet18"), torch.float32, IMAGE)
    assert not cached
    assert operators(path)["Conv"] == 20


def test_an_unplaced_batch_is_refused(build, batch) -> None:
    runner = prepare("onnxruntime", build("resnet18"), batch, "fp32", "stream")
    assert runner.details["providers"] == [CPU]
    with pytest.raises(ValueError, match="not placed"):
        runner(batch)


def test_outputs_are_written_in_place(build, batch) -> None:
    """A poisoned output must be overwritten, and by the run, not by a copy after it."""
    runner = prepare("onnxruntime", build("resnet18"), batch, "fp32", "stream")
    x = runner.place(batch)
    logits = runner(x)
    want = logits.clone()
    logits.fill_(torch.nan)
    assert runner(x).data_ptr() == logits.data_ptr()
    assert torch.equal(logits, want)


@GPU_BUILD
@pytest.mark.skipif(torch.cuda.is_available(), reason="here the providers may well load")
@pytest.mark.parametrize(("provider", "cure"), [(CUDA, "CUDA 13"), (TENSORRT, "tensorrt-cu13<11")])
def test_a_silent_fallback_is_refused(provider: str, cure: str, exported: Path) -> None:
    with pytest.raises(RuntimeError, match=rf"cannot run on {provider}: libonnxruntime_providers_.*{cure}"):
        open_session(exported, provider, {"device_id": "0"})


class Session(NamedTuple):
    providers: list[str]

    def get_providers(self) -> list[str]:
        return self.providers

    def get_modelmeta(self) -> Any:
        return SimpleNamespace(custom_metadata_map={})

    def get_provider_options(self) -> dict[str, dict[str, str]]:
        return {provider: {} for provider in self.providers}


def test_an_option_that_this_version_lacks_is_dropped_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(path, options, providers, enable_fallback):
        if "fuse_conv_bias" in providers[0][1]:
            raise RuntimeError('Unknown provider option: "fuse_conv_bias".')
        return Session([CUDA, CPU])

    monkeypatch.setattr(onnxruntime, "InferenceSession", session)
    _, details = open_session(Path("any.onnx"), CUDA, {"device_id": "0", "fuse_conv_bias": "1"})
    assert details["options_unknown_here"] == ["fuse_conv_bias"]


def test_a_session_that_came_up_on_the_cpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", lambda *args, **kwargs: Session([CPU]))
    monkeypatch.setattr(onnxruntime, "preload_dlls", lambda: None)
    with pytest.raises(RuntimeError, match="cannot run on CUDAExecutionProvider"):
        open_session(Path("any.onnx"), CUDA, {})


class Stream(NamedTuple):
    cuda_stream: int = 4096
    device_index: int = 0


@GPU_BUILD
def test_options_name_what_the_installed_providers_parse(tmp_path: Path) -> None:
    """A typing error would be an option that is unknown everywhere, and dropped."""
    trt = (Path(onnxruntime.__file__).parent / "capi" / TENSORRT_LIBRARY).read_bytes()
    example = torch.empty(2, *IMAGE, device="meta")
    wanted = ort_trt._options(Stream(), example, tmp_path, "fp16", "graph")
    assert {name for name in wanted if name.startswith("trt_") and name.encode() not in trt} == set()
    assert wanted["trt_profile_min_shapes"] == "images:2x3x64x64"
    assert wanted["trt_fp16_enable"] == wanted["trt_cuda_graph_enable"] == "1"
    in_8_bits = ort_trt._options(Stream(), example, tmp_path, "int8", "stream")
    assert in_8_bits["trt_int8_enable"] == in_8_bits["trt_fp16_enable"] == "1"
    options = ort._cuda_options(Stream(), "tf32", "graph")
    assert options["user_compute_stream"] == "4096"
    assert options["use_tf32"] == options["enable_cuda_graph"] == "1"
    assert ort._cuda_options(Stream(), "fp16", "stream")["use_tf32"] == "0"


@pytest.mark.parametrize("launch", ["stream", "graph"])
def test_with_graphs_the_first_session_of_tensorrt_is_freed(
    launch: str, build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each buffer has another one then, and an engine that nothing uses would count in the memory numbers."""
    opened: list[weakref.ref[Any]] = []

    def open_one(*_: object) -> tuple[Any, dict[str, Any]]:
        session = type("Session", (), {})()
        opened.append(weakref.ref(session))
        return session, {}

    monkeypatch.setitem(sys.modules, "tensorrt", ModuleType("tensorrt"))
    monkeypatch.setattr(ort_trt, "open_session", open_one)
    monkeypatch.setattr(ort_trt, "non_default_stream", lambda device: Stream())
    monkeypatch.setattr(ort_trt, "onnx_file", lambda *_: (Path(__file__), True))
    monkeypatch.setattr(ort_trt, "compiled_dir", lambda: tmp_path)
    runner = ort_trt.prepare(build("resnet18"), torch.empty(2, *IMAGE), "fp16", launch)
    gc.collect()
    assert [session() is not None for session in opened] == [launch == "stream"]
    assert (runner._session() is runner._session()) == (launch == "stream")
