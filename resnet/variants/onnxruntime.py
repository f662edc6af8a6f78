"""ONNX Runtime on its built-in providers: CUDA's on a GPU, the CPU's on a CPU."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kernels.cards.owned import owned_folder
from resnet.cache import loading
from resnet.calibration import Calibration
from resnet.onnx.export import onnx_file
from resnet.onnx.quantize import quantized_file
from resnet.onnx.quantized import QuantizedOrtRunner, describe, float_operations
from resnet.onnx.session import CPU, CUDA, Options, OrtRunner, non_default_stream, open_session
from resnet.quant.processor import cpu_scheme, overflow
from resnet.runner import DTYPES, Runner, fastest_runner


def prepare(model: nn.Module, example: Tensor, precision: str, launch: str) -> Runner:
    """Prepare a session on the exported file.

    On CUDA the provider's two layouts are timed on the example and the faster is used: `prefer_nhwc` avoids the tensor
    cores' transposes, but only the other layout fuses convolution, sum and ReLU into one kernel (onnxruntime#19470).
    `details` has the error of a layout that does not run.
    """
    dtype = DTYPES[precision]
    path, cached = onnx_file(model, dtype, example.shape[1:])
    # all but some 50 kB of the file are weights
    details = {"export_cached": cached, "weights_bytes": path.stat().st_size, "graph": launch == "graph"}

    def start(provider: str, options: Options, stream: torch.cuda.Stream | None) -> OrtRunner:
        with loading("onnx", path) as artefact:
            session, session_details = open_session(path, provider, options)
        all_details = details | session_details | {"threads": torch.get_num_threads(), "artefact": artefact}
        return OrtRunner(lambda: session, example, dtype, all_details, stream=stream)

    if example.device.type == "cpu":
        return start(CPU, {}, None)
    stream = non_default_stream(example.device)
    runners, failures = dict[str, OrtRunner](), dict[str, str]()
    for layout, prefer_nhwc in (("nhwc", "1"), ("nchw", "0")):
        runner = start(CUDA, _cuda_options(stream, precision, launch) | {"prefer_nhwc": prefer_nhwc}, stream)
        try:
            runner(runner.place(example))
        except Exception as error:  # ONNX Runtime's errors share no class
            failures[layout] = str(error)
        else:
            runners[layout] = runner
    if not runners:
        raise RuntimeError(f"ONNX Runtime's CUDA provider ran in neither layout: {failures}")
    layout, times = fastest_runner(runners, example)
    runners[layout].details |= {"layout": layout, "layout_us": times, "layout_failures": failures}
    return runners[layout]


def prepare_quantized(
    model: nn.Module, example: Tensor, precision: str, launch: str, calibration: Calibration
) -> Runner:
    """Prepare a session on the QDQ file of ONNX Runtime's quantizer, whose ranges are this project's.

    `details` says why the weights have 7 bits, where this CPU needs that. Raises RuntimeError where the session left a
    layer in float that should be in 8 bits, which signed activations, the quantizer's default, cause silently.
    """
    import onnx

    file = quantized_file(model, example.shape[1:], calibration, "cpu", cpu_scheme())
    with owned_folder("optimized") as folder:
        optimized = folder / "optimized.onnx"
        with loading("onnx", file.path) as artefact:
            session, session_details = open_session(file.path, CPU, {}, optimized)
        operations = float_operations(onnx.load(str(optimized)).graph, onnx.load(str(file.path)))
    quantized = describe(file, calibration) | {"float_operations": operations}
    details = {"quantize_cached": file.cached, "weights_bytes": quantized["disk_bytes"], **session_details}
    details |= {
        "artefact": artefact,
        "threads": torch.get_num_threads(),
        "reduced_range": overflow(),
        "quantized": quantized,
    }
    return QuantizedOrtRunner(file, CPU, {}, "taps", lambda: session, example, torch.float32, details)


def _cuda_options(stream: torch.cuda.Stream, precision: str, launch: str) -> Options:
    return {
        "device_id": str(stream.device_index),
        "user_compute_stream": str(stream.cuda_stream),
        "cudnn_conv_algo_search": "EXHAUSTIVE",
        "cudnn_conv_use_max_workspace": "1",
        "fuse_conv_bias": "1",
        "use_tf32": str(int(precision == "tf32")),
        "enable_cuda_graph": str(int(launch == "graph")),
        # the default doubles the arena at each growth, which would inflate the memory numbers
        "arena_extend_strategy": "kSameAsRequested",
    }
