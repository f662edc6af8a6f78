"""ONNX Runtime as a Runner: sessions that run on the requested provider, bound to torch's memory and stream."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnet.onnx.export import FOLDED, INPUT, OUTPUT
from resnet.onnx.libraries import CUDA_LIBRARY, TENSORRT_LIBRARY
from resnet.runner import Placed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding, RunOptions

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

# Cures for a provider that does not load. From 1.27 on, onnxruntime-gpu on PyPI is built for CUDA 13.
CURES = {
    CPU: "pip install onnxruntime-gpu",
    CUDA: "Install a torch for the CUDA version that onnxruntime-gpu is built for (1.27 and later: CUDA 13, cuDNN 9), "
    "or pip install 'onnxruntime-gpu<1.27' beside a torch for CUDA 12",
    TENSORRT: "Install TensorRT 10: pip install 'tensorrt-cu13<11' (onnxruntime-gpu up to 1.26: 'tensorrt-cu12<11')",
}
_LIBRARIES = {CUDA: CUDA_LIBRARY, TENSORRT: TENSORRT_LIBRARY}
_UNKNOWN_OPTION = re.compile(r'(?:Unknown provider|Invalid TensorRT EP) option: "?(\w+)')

Options = dict[str, str]


def open_session(
    model: Path | bytes, provider: str, options: Options, optimized: Path | None = None
) -> tuple[InferenceSession, dict[str, Any]]:
    """Open a session on `provider`; return it and its details for the record: providers and options.

    `model` is an ONNX file, or its bytes; the graph that the session runs is written to `optimized`.

    Raises RuntimeError, with the missing library and the cure, where the session would run, wholly or in part, on the
    CPU instead. ONNX Runtime by default falls back with a line in the log: `get_available_providers()` lists the
    providers that it was built for, `get_providers()` those of the session.
    """
    import onnxruntime

    accepted, rejected = dict(options), list[str]()
    preloaded = provider == CPU or not hasattr(onnxruntime, "preload_dlls")
    while True:
        try:
            source, chosen = model if isinstance(model, bytes) else str(model), _session_options(provider, optimized)
            session = onnxruntime.InferenceSession(source, chosen, [(provider, accepted)], enable_fallback=0)
        except Exception as error:
            unknown = _UNKNOWN_OPTION.search(str(error))
            if unknown and accepted.pop(unknown[1], None) is not None:
                rejected.append(unknown[1])
                continue
            failure: Exception | None = error
        else:
            if session.get_providers()[0] == provider:
                return session, {
                    "providers": session.get_providers(),
                    "provider_options": session.get_provider_options()[provider],
                    "options_unknown_here": rejected,
                    "folded": session.get_modelmeta().custom_metadata_map.get(FOLDED, ""),
                }
            failure = None
        if preloaded:
            raise _refusal(provider, failure) from failure
        # `import torch` has loaded torch's CUDA libraries; where they do not suffice, load the nvidia packages'
        onnxruntime.preload_dlls()
        preloaded = True


def _session_options(provider: str, optimized: Path | None) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if optimized:
        options.optimized_model_filepath = str(optimized)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Pad_Fusion merges v2's padding with zeros into MaxPool's, which pads with -inf: wrong where the input is negative
    # (1.31.1; resnet50v2's logits were 1e-4 off in float32, 3e-7 without it).
    # WeightBiasQuantization puts the weights of a convolution between two grids in 8 bits, which are to stay in float
    # where the file has them in float (1.22 to 1.31).
    options.add_session_config_entry("optimization.disable_specified_optimizers", "Pad_Fusion;WeightBiasQuantization")
    if provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _refusal(provider: str, failure: Exception | None) -> RuntimeError:
    import onnxruntime

    reason = str(failure).strip() if failure else "it fell back to the CPU"
    library = _LIBRARIES.get(provider)
    if library:
        try:
            ctypes.CDLL(str(Path(onnxruntime.__file__).parent / "capi" / library))
        except OSError as error:
            reason = f"{library}: {error}"
    return RuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot run on {provider}: {reason}. {CURES[provider]}")


class _Bound(NamedTuple):
    session: InferenceSession
    binding: IOBinding
    options: RunOptions
    logits: Tensor


class OrtRunner:
    """A variant that runs sessions on torch tensors in place: each placed buffer and its output are bound by address.

    On CUDA the session runs on `stream`, which is not torch's default stream: ONNX Runtime takes stream 0 for no stream
    and creates one that torch does not wait for. A call from another stream orders the two with events and enqueues
    without waiting; the exception is a session's CUDA graph before ONNX Runtime 1.28 or so, whose replay waits for the
    GPU whatever the run options say (onnxruntime#28686).

    `session` is called for each placed buffer: it returns the session that runs it, the same or another.
    """

    def __init__(
        self,
        session: Callable[[], InferenceSession],
        example: Tensor,
        dtype: torch.dtype,
        details: dict[str, Any],
        *,
        stream: torch.cuda.Stream | None = None,
    ) -> None:
        self._session, self._stream = session, stream
        self._device, self._dtype = example.device, dtype
        self._placed: Placed[_Bound] = Placed()
        word = str(dtype).removeprefix("torch.")
        self.details = {"memory_format": "contiguous", "input_dtype": word, "graph": False, **details}

    def place(self, batch: Tensor) -> Tensor:
        """Return a contiguous copy of `batch`, bound with an output [N, classes]; with a graph, capture it."""
        import onnxruntime

        x = batch.to(self._device, self._dtype, copy=True, memory_format=torch.contiguous_format)
        session = self._session()
        _, classes = session.get_outputs()[0].shape  # of which the batch is a name, or a number
        logits = torch.empty(len(x), classes, dtype=self._dtype, device=self._device)
        binding = session.io_binding()
        element = torch.empty(0, dtype=self._dtype).numpy().dtype.type
        where = (self._device.type, self._device.index or 0, element)
        binding.bind_input(INPUT, *where, tuple(x.shape), x.data_ptr())
        binding.bind_output(OUTPUT, *where, tuple(logits.shape), logits.data_ptr())
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        if self.details["graph"]:
            options.add_run_config_entry("gpu_graph_id", str(len(self._placed) + 1))
        self._placed[x] = _Bound(session, binding, options, logits)
        if self.details["graph"]:
            self(x)
        return x

    def __call__(self, x: Tensor) -> Tensor:
        bound = self._placed[x]
        if self._stream is None:
            bound.session.run_with_iobinding(bound.binding, bound.options)
            return bound.logits
        current = torch.cuda.current_stream(self._device)
        crosses = current != self._stream
        if crosses:
            self._stream.wait_stream(current)
        bound.session.run_with_iobinding(bound.binding, bound.options)
        if crosses:
            current.wait_stream(self._stream)
        return bound.logits


def non_default_stream(device: torch.device) -> torch.cuda.Stream:
    """Return the current stream, or a new one if that is the default stream."""
    current = torch.cuda.current_stream(device)
    return current if current.cuda_stream else torch.cuda.Stream(device)
