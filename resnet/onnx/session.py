"""ONNX Runtime as a Runner: sessions that run where they were asked to, bound to torch's own memory and stream."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from resnet.onnx.export import INPUT, OUTPUT
from resnet.onnx.libraries import CUDA_LIBRARY, TENSORRT_LIBRARY
from resnet.runner import Placed

if TYPE_CHECKING:
    from onnxruntime import InferenceSession, IOBinding, RunOptions

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"
TENSORRT = "TensorrtExecutionProvider"

# What to do where a provider does not load. From 1.27 on, onnxruntime-gpu on PyPI is built for CUDA 13.
CURES = {
    CPU: "pip install onnxruntime-gpu",
    CUDA: "Install a torch for the CUDA version that onnxruntime-gpu is built for (1.27 and later: CUDA 13, cuDNN 9), "
    "or pip install 'onnxruntime-gpu<1.27' beside a torch for CUDA 12",
    TENSORRT: "Install TensorRT 10: pip install 'tensorrt-cu13<11' (onnxruntime-gpu up to 1.26: 'tensorrt-cu12<11')",
}
_LIBRARIES = {CUDA: CUDA_LIBRARY, TENSORRT: TENSORRT_LIBRARY}
_UNKNOWN_OPTION = re.compile(r'(?:Unknown provider|Invalid TensorRT EP) option: "?(\w+)')

Options = dict[str, str]


def open_session(path: Path, provider: str, options: Options) -> tuple[InferenceSession, list[str]]:
    """A session that runs on `provider`, and the options that this ONNX Runtime did not know and went without.

    Raises RuntimeError, with the library that is missing and the cure, where the session would run, wholly or in part,
    on the CPU instead. ONNX Runtime by itself does that with a line in the log: `get_available_providers()` lists
    what it was built for, and `get_providers()` is what it got.
    """
    import onnxruntime

    wanted, dropped = dict(options), list[str]()
    preloaded = provider == CPU or not hasattr(onnxruntime, "preload_dlls")
    while True:
        try:
            session = onnxruntime.InferenceSession(
                str(path), _session_options(provider), [(provider, wanted)], enable_fallback=0
            )
        except Exception as error:
            unknown = _UNKNOWN_OPTION.search(str(error))
            if unknown and wanted.pop(unknown[1], None) is not None:
                dropped.append(unknown[1])
                continue
            failure: Exception | None = error
        else:
            if session.get_providers()[0] == provider:
                return session, dropped
            failure = None
        if preloaded:
            raise _refused(provider, failure) from failure
        # `import torch` has loaded torch's CUDA libraries; where that was not enough, those of the nvidia packages
        onnxruntime.preload_dlls()
        preloaded = True


def _session_options(provider: str) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    options.inter_op_num_threads = 1
    # Pad_Fusion takes v2's padding with zeros for MaxPool's own, which is with -inf: wrong where the input is negative
    # (1.31.1; resnet50v2's logits were 1e-4 off in float32, 3e-7 without it).
    options.add_session_config_entry("optimization.disable_specified_optimizers", "Pad_Fusion")
    if provider != CPU:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _refused(provider: str, failure: Exception | None) -> RuntimeError:
    import onnxruntime

    why = str(failure).strip() if failure else "it fell back to the CPU"
    library = _LIBRARIES.get(provider)
    if library:
        try:
            ctypes.CDLL(str(Path(onnxruntime.__file__).parent / "capi" / library))
        except OSError as error:
            why = f"{library}: {error}"
    return RuntimeError(f"ONNX Runtime {onnxruntime.__version__} cannot run on {provider}: {why}. {CURES[provider]}")


class _Bound(NamedTuple):
    session: InferenceSession
    binding: IOBinding
    options: RunOptions
    logits: Tensor


class OrtRunner:
    """Runs a session on torch tensors in place: inputs and outputs are bound by address, once per placed buffer.

    On CUDA the session works on `stream`, a torch stream of its own: ONNX Runtime takes stream 0, which is torch's
    default, for no stream at all and makes one that torch does not wait for. A call from another stream puts the two
    in order with events and enqueues without waiting; a session's own CUDA graph before ONNX Runtime 1.28 or so is
    the exception, whose replay waits for the GPU whatever the run options say (onnxruntime#28686).

    `sessions` is called once for all buffers, or once for each where `session_per_buffer` says so.
    """

    def __init__(
        self,
        sessions: Callable[[], InferenceSession],
        example: Tensor,
        dtype: torch.dtype,
        classes: int,
        details: dict[str, Any],
        *,
        stream: torch.cuda.Stream | None = None,
        session_per_buffer: bool = False,
    ) -> None:
        self._sessions, self._stream = sessions, stream
        self._session = None if session_per_buffer else sessions()
        self._device, self._dtype, self._classes = example.device, dtype, classes
        self._placed: Placed[_Bound] = Placed()
        self.details = {
            "memory_format": "contiguous",
            "input_dtype": str(dtype).removeprefix("torch."),
            "graph": False,
            **details,
        }

    def place(self, batch: Tensor) -> Tensor:
        """A contiguous copy of `batch`, bound together with an output [N, classes]; with a graph, captured."""
        import onnxruntime

        x = batch.to(self._device, self._dtype, copy=True, memory_format=torch.contiguous_format)
        logits = torch.empty(len(x), self._classes, dtype=self._dtype, device=self._device)
        session = self._session or self._sessions()
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
        if current == self._stream:
            bound.session.run_with_iobinding(bound.binding, bound.options)
            return bound.logits
        self._stream.wait_stream(current)
        bound.session.run_with_iobinding(bound.binding, bound.options)
        current.wait_stream(self._stream)
        return bound.logits


def own_stream(device: torch.device) -> torch.cuda.Stream:
    """The current stream if it is not the default one, else a new one."""
    current = torch.cuda.current_stream(device)
    return current if current.cuda_stream else torch.cuda.Stream(device)
