"""ONNX Runtime's nodes on a CPU, timed by its own profiler, and the layers they are of.

A node is known by the parameters it reads, which keep the model's names through all of ONNX Runtime's fusions; one
without parameters by what it is, or by the node whose result it reads.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from bench.runs.job import KernelRow
from bench.worker.layers.parts import Part, Samples, Timed
from bench.worker.measure.clock import Clock
from resnet.onnx.export import INPUT, onnx_file
from resnet.onnx.session import CPU, OrtRunner

SUFFIX = "_kernel_time"
PARAMETER = re.compile(r"((?:layer\d+\.\d+\.)?(?:conv\d+|downsample\.\d+|preact_bn|post_bn|bn\d+|fc))\.(?:weight|bias)")
BLOCK = re.compile(r"layer\d+\.\d+")
KINDS = {"ReduceMean": "avgpool", "GlobalAveragePool": "avgpool", "AveragePool": "avgpool"}


def node_times(run: Any, model: Any, inputs: Sequence[Tensor], clock: Clock, executions: int, trace_to: str) -> Timed:
    """The session's twin, with its profiler on, over some executions."""
    import onnx
    from onnxruntime import InferenceSession

    x = inputs[0]
    path, _ = onnx_file(model, x.dtype, x.shape[1:])
    with tempfile.TemporaryDirectory() as folder:
        options = run._session.get_session_options()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        options.optimized_model_filepath = str(Path(folder) / "optimised.onnx")
        session = InferenceSession(str(path), options, providers=[CPU])
        graph = onnx.load(options.optimized_model_filepath).graph
        twin = OrtRunner(lambda: session, x, x.dtype, model.fc.out_features, {})
        placed = [twin.place(batch) for batch in inputs]
        samples = Samples(twin, placed, clock)
        samples.take(1)  # memory is planned
        samples.take(executions)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(SUFFIX)]
    taken: dict[str, list[dict[str, Any]]] = {}
    for event in sorted(nodes, key=lambda event: event["ts"]):
        taken.setdefault(event["name"].removesuffix(SUFFIX), []).append(event)
    layers = node_layers(graph)
    parts = []
    for name, found in taken.items():
        ns = [event["dur"] * 1e3 for event in found[-executions:]]
        kernel: KernelRow = {"name": found[0]["args"].get("op_name", name), "us": found[-1]["dur"], "count": 1}
        parts.append(Part(name, layers.get(name, ()), ns, [kernel]))
    if trace_to:
        last = [event for event in events if event["ts"] >= _last_run(events)]
        Path(trace_to).write_text(json.dumps({"traceEvents": last}))
    return Timed("onnxruntime", parts, samples.host[1:])


def _last_run(events: Sequence[dict[str, Any]]) -> float:
    return max(event["ts"] for event in events if event["name"] == "model_run")


def node_layers(graph: Any) -> dict[str, tuple[str, ...]]:
    """The model's modules of each node of an optimised graph, by the node's name."""
    found: dict[str, tuple[str, ...]] = {}
    made: dict[str, tuple[str, ...]] = {INPUT: ("conv1",)}  # by the name of a value
    for node in graph.node:
        layers = _layers(node.op_type, list(node.input), made)
        found[node.name] = layers
        made |= dict.fromkeys(node.output, layers)
    return found


def _layers(kind: str, inputs: Sequence[str], made: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    parameters = [match[1] for name in inputs if (match := PARAMETER.search(name))]
    sources = [made[name] for name in inputs if name in made]
    if parameters:
        own = parameters[0]
        block = own.rpartition(".conv")[0]
        # a convolution that reads two activations adds the second
        return (own, f"{block}.add") if block and len(sources) > 1 else (own,)
    if kind in KINDS:
        return (KINDS[kind],)
    if kind == "MaxPool" and ("conv1",) in sources:
        return ("maxpool",)
    if kind == "Add" and (blocks := [match[0] for own in sources if (match := BLOCK.match(own[0]))]):
        # a shortcut without parameters passes for the block before
        return (f"{max(blocks, key=_place)}.add",)
    return sources[0] if sources else ()


def _place(block: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", block)]
