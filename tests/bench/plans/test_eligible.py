from typing import Any

import pytest

from bench.machine.environment import device, no_cuda
from bench.plans.case import Case
from bench.plans.eligible import why_not

HOPPER: dict[str, Any] = {
    "gpu": {"name": "NVIDIA H200", "capability": [9, 0]},
    "torch_cuda": "13.0",
    "cpu": {"flags": []},
}
TURING = HOPPER | {"gpu": {"name": "Tesla T4", "capability": [7, 5]}}
VOLTA = HOPPER | {"gpu": {"name": "Tesla V100", "capability": [7, 0]}}
AMPERE = HOPPER | {"gpu": {"name": "NVIDIA A100-SXM4-80GB", "capability": [8, 0]}}
OWN = [f"{variant}/{precision}" for variant in ("fused", "per-layer") for precision in ("fp32", "tf32", "fp16", "bf16")]
CPU: dict[str, Any] = {"gpu": {"none": "no driver"}, "torch_cuda": None, "cpu": {"flags": ["avx512_bf16"]}}
OLD_CPU = CPU | {"cpu": {"flags": ["avx2"]}}


@pytest.mark.parametrize(
    ("machine", "case", "said"),
    [
        (HOPPER, "eager/bf16/b1/i224/graph", None),
        (HOPPER, "eager/fp16/b1/i224/stream", None),
        (HOPPER, "eager/fp8/b1/i224/stream", "no fp8"),
        (TURING, "eager/bf16/b1/i224/stream", "needs compute capability 8.0; this GPU has 7.5"),
        (TURING, "eager/tf32/b1/i224/stream", "needs compute capability 8.0"),
        (TURING, "eager/fp16/b1/i224/stream", None),
        *((TURING, f"{own}/b1/i224/graph", "our kernels need compute capability 8.0; this GPU has 7.5") for own in OWN),
        *((VOLTA, f"{own}/b1/i224/stream", "8.0; this GPU has 7.0") for own in OWN),
        (CPU, "eager/fp32/b1/i224/stream", None),
        (CPU, "eager/bf16/b1/i224/stream", None),
        (OLD_CPU, "eager/bf16/b1/i224/stream", "no bf16 instructions"),
        (CPU, "eager/fp16/b1/i224/stream", "10 times slower"),
        (CPU, "eager/fp32/b1/i224/graph", "needs a CUDA device"),
        (CPU, "eager/tf32/b1/i224/stream", "TF32"),
        (CPU, "onnxruntime-trt/fp16/b1/i224/stream", "NVIDIA GPUs"),
    ],
)
def test_what_a_machine_can_run(machine: dict[str, Any], case: str, said: str | None) -> None:
    reason = why_not(Case.parse(f"resnet50/{case}"), machine)
    assert reason is None if said is None else said in (reason or "")


@pytest.mark.parametrize(
    ("machine", "case", "said"),
    [
        (
            CPU,
            "mine:net/compile-max/int8",
            "alone in int8 (`resnet50` and the like), whose layers it has by name; others",
        ),
        (CPU, "mine:net/library-fused/int8", "others run in int8 by onnxruntime, openvino, where"),
        (
            CPU,
            "mine:net/library-fused/fp32",
            "any module runs by eager, compile, compile-max, compile-aot, onnxruntime, openvino",
        ),
        (HOPPER, "mine:net/fused/int8", "others run in int8 by onnxruntime-trt, where"),
        (HOPPER, "mine:net/fused/fp8", "no variant runs others in fp8 on this device"),
        (HOPPER, "resnet50v2/fused/fp8", "fused runs no pre-activation network (v2) in fp8: its norms follow sums"),
        (CPU, "resnet50/compile-max/int8", "no AVX512-VNNI"),
    ],
)
def test_8_bits_of_another_s_model_and_of_v2_name_who_can(machine: dict[str, Any], case: str, said: str) -> None:
    assert said in (why_not(Case.parse(f"{case}/b1/i224/stream"), machine) or "")


@pytest.mark.parametrize("own", OWN)
def test_our_kernels_run_from_ampere_on(own: str) -> None:
    reason = why_not(Case.parse(f"resnet50/{own}/b1/i224/graph"), AMPERE)
    assert reason is None or reason.startswith("pip install")  # where there is no Triton


def test_a_missing_package_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    reason = why_not(Case.parse("resnet50/onnxruntime/fp32/b1/i224/stream"), CPU)
    assert reason is not None
    assert reason.startswith("pip install")
    assert "onnxruntime" in reason


def test_a_group_for_the_other_device_is_skipped() -> None:
    case = Case.parse("resnet50/eager/fp32/b1/i224/stream")
    assert why_not(case, CPU, {case: "cuda"}) == "the plan wants it on a GPU"
    assert why_not(case, HOPPER, {case: "cpu"}) == "the plan wants it on a CPU"
    assert why_not(case, CPU, {case: "cpu"}) is None


def test_a_gpu_without_a_cuda_build_of_torch_is_no_cuda_device() -> None:
    machine = HOPPER | {"torch_cuda": None}
    assert device(machine) == "cpu"
    assert "CPU build" in (no_cuda(machine) or "")
