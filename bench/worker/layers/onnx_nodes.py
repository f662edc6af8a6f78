"""The nodes of an ONNX file on a CPU, timed by the profiler of ONNX Runtime or of OpenVINO, and their layers.

A node's layer is that of the parameters it reads, which keep the model's names through most of a runtime's fusions.
Nodes that convert between formats are of none: together they are one part.
In this project's networks a node without parameters has the layer of its operation, or of the node whose result it
reads; of a model from outside it has none, as nothing says where one of its layers ends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from bench.files import owned_folder, write_file
from bench.runs.job import KernelRow, PartRow
from bench.worker.layers.parts import Samples, Setup, Timed
from resnet.onnx.export import INPUT
from resnet.onnx.session import CPU, OrtRunner

SUFFIX = "_kernel_time"
PARAMETER = re.compile(r"((?:layer\d+\.\d+\.)?(?:conv\d+|downsample\.\d+|preact_bn|post_bn|bn\d+|fc))\.(?:weight|bias)")
# of a model from outside, whose own code is the wrapper's `net`
OUTSIDE = re.compile(r"^net\.(.+?)\.(?:weight|bias)(?:_quantized)?(?!\w)")
POINTWISE = {"Add", "Sub", "Mul", "Div"}
BLOCK = re.compile(r"layer\d+\.\d+")
SUMS = ("Add", "QLinearAdd", "Eltwise")
# Between integers and floats, and between orders in memory
CONVERSIONS = ("QuantizeLinear", "DequantizeLinear", "Transpose", "ReorderInput", "ReorderOutput", "Reorder", "Convert")
OPENVINO = {"Reduce": "ReduceMean", "Pooling": "MaxPool"}  # kinds of its operations in ONNX's words
POOLS = dict.fromkeys(("ReduceMean", "GlobalAveragePool", "AveragePool", "QLinearGlobalAveragePool"), "avgpool")


def node_times(runner: Any, setup: Setup) -> Timed:
    """Time a copy of the session, with its profiler on, over some executions."""
    import onnx
    from onnxruntime import InferenceSession

    x = setup.inputs[0]
    with owned_folder("layers") as folder:
        options = runner._session().get_session_options()
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        options.optimized_model_filepath = str(folder / "optimised.onnx")
        session = InferenceSession(runner._session()._model_path, options, providers=[CPU])
        graph = onnx.load(options.optimized_model_filepath).graph
        copy = OrtRunner(lambda: session, x, x.dtype, {})
        samples = Samples(copy, replace(setup, inputs=[copy.place(batch) for batch in setup.inputs]))
        samples.take(1)  # the first execution plans its memory
        samples.take(setup.executions)
        events = json.loads(Path(session.end_profiling()).read_text())
    nodes = [event for event in events if event.get("cat") == "Node" and event["name"].endswith(SUFFIX)]
    events_of: dict[str, list[dict[str, Any]]] = {}
    for event in sorted(nodes, key=lambda event: event["ts"]):
        events_of.setdefault(event["name"].removesuffix(SUFFIX), []).append(event)
    kinds = {name: found[0]["args"].get("op_name", name) for name, found in events_of.items()}
    times_us = {name: [event["dur"] for event in found[-setup.executions :]] for name, found in events_of.items()}
    parts = node_parts(times_us, kinds, node_layers(graph))
    if setup.trace_to:
        start = max(event["ts"] for event in events if event["name"] == "model_run")
        last_run = [event for event in events if event["ts"] >= start]
        write_file(Path(setup.trace_to), json.dumps({"traceEvents": last_run}))
    return Timed("onnxruntime", parts, samples.host[1:])


def operation_times(runner: Any, setup: Setup) -> Timed:
    """Time OpenVINO's operations, of a copy of the compiled model that counts what each takes."""
    copy = runner.profiled(setup.inputs[0])
    samples = Samples(copy, replace(setup, inputs=[copy.place(batch) for batch in setup.inputs]))
    samples.take(1)  # the first execution plans its memory
    times_us: dict[str, list[float]] = {}
    for number in range(setup.executions):
        x = samples.setup.inputs[len(samples.host) % len(setup.inputs)]
        samples.take(1)
        for name, us in copy.times_us(x).items():
            times_us.setdefault(name, [0.0] * setup.executions)[number] = us
    nodes = copy.operations(len(setup.inputs[0]))
    kinds = {node.name: "QuantizeLinear" if node.converts else OPENVINO.get(node.kind, node.kind) for node in nodes}
    constants = {node.name for node in nodes if node.kind == "Const"}
    graph = []
    for node in nodes:
        if node.reads and constants.issuperset(node.reads):  # computed from constants, once
            constants.add(node.name)
        elif node.reads:
            kind, name = kinds[node.name], node.name
            graph.append(SimpleNamespace(name=name, op_type=kind, input=node.reads, output=[name]))
    layers = node_layers(SimpleNamespace(initializer=[SimpleNamespace(name=name) for name in constants], node=graph))
    ran = {name: us for name, us in times_us.items() if name in layers and any(us)}
    return Timed("openvino", node_parts(ran, kinds, layers), samples.host[1:])


def node_parts(
    times_us: Mapping[str, Sequence[float]], kinds: Mapping[str, str], layers: Mapping[str, tuple[str, ...]]
) -> list[PartRow]:
    """Return a part for each node, from its times by execution, its kind and its layers; conversions are one part."""
    parts = []
    for name, us in times_us.items():
        kernel: KernelRow = {"name": kinds[name], "us": us[-1], "count": 1}
        modules = [] if kinds[name] in CONVERSIONS else list(layers.get(name, ()))
        parts.append(PartRow(name=name, modules=modules, ns=[1e3 * time for time in us], kernels=[kernel]))
    return _join_conversions(parts)


def _join_conversions(parts: Sequence[PartRow]) -> list[PartRow]:
    """Return the parts with those that convert as one, behind the others: what the formats cost, of no layer."""
    conversions = [part for part in parts if part["kernels"][0]["name"] in CONVERSIONS]
    others = [part for part in parts if part["kernels"][0]["name"] not in CONVERSIONS]
    if not conversions:
        return others
    ns = [sum(execution) for execution in zip(*(part["ns"] for part in conversions), strict=True)]
    kernels = [kernel for part in conversions for kernel in part["kernels"]]
    return [*others, PartRow(name="conversions", modules=[], ns=ns, kernels=kernels)]


def node_layers(graph: Any) -> dict[str, tuple[str, ...]]:
    """Return the model's modules of each node of an optimised graph, by the node's name."""
    is_outside = not any(PARAMETER.match(tensor.name) for tensor in graph.initializer)
    modules_of = _outside_modules if is_outside else _modules
    node_modules: dict[str, tuple[str, ...]] = {}
    value_modules: dict[str, tuple[str, ...]] = {} if is_outside else {INPUT: ("conv1",)}  # by the name of a value
    for node in graph.node:
        modules = modules_of(node.op_type, list(node.input), value_modules)
        node_modules[node.name] = modules
        value_modules |= dict.fromkeys(node.output, modules)
    return node_modules


def _modules(op_type: str, inputs: Sequence[str], value_modules: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    parameters = [match[1] for name in inputs if (match := PARAMETER.search(name))]
    sources = [value_modules[name] for name in inputs if name in value_modules]
    if parameters:
        module = parameters[0]
        block = module.rpartition(".conv")[0]
        # a convolution that reads two activations adds the second
        return (module, f"{block}.add") if block and len(sources) > 1 else (module,)
    if op_type in POOLS:
        return (POOLS[op_type],)
    if op_type in ("MaxPool", "NhwcMaxPool") and ("conv1",) in sources:
        return ("maxpool",)
    if op_type in SUMS and (blocks := [match[0] for modules in sources if (match := BLOCK.match(modules[0]))]):
        # a shortcut without parameters seems to be of the block before
        return (f"{max(blocks, key=_position)}.add",)
    return sources[0] if sources else ()


def _outside_modules(op_type: str, inputs: Sequence[str], value_modules: dict[str, tuple[str, ...]]) -> tuple[str, ...]:
    """Return the module whose parameters a node reads; none where ONNX Runtime renamed them, as in another layout.

    A sum with a bias is not the layer: its product is another node.
    """
    parameters = [match[1] for name in inputs if (match := OUTSIDE.match(name))]
    return tuple(parameters[:1]) if op_type not in POINTWISE else ()


def _position(block: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", block)]
